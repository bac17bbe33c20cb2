//! `GET /usage`: what tenants used, as who projects has it from the log.
use super::{
    app::App,
    error::{Answer, Rejection},
    fields::clipped,
    params,
};
use crate::{ask, clock};
use api::{ErrorCode, UsageDays};
use axum::{Json, extract::RawQuery, response::IntoResponse};
use domain::{
    Tenant,
    id::Invalid,
    key::Role,
    usage::{Asked, Day, NoDay, ROWS_MAX, Told},
};

/// Of all tenants.
const ALL: &str = "*";
const DAYS_DEFAULT: u32 = 30;

pub async fn days(app: App, RawQuery(text): RawQuery) -> Answer {
    let asked = query(app.tenant(), Day::of(clock::now()), text.as_deref())?;
    if asked.tenant != Some(app.tenant()) && !app.may(Role::Admin) {
        let why = "another tenant's usage needs a key with the role 'admin'";
        return Err(Rejection::new(ErrorCode::MissingRole, why));
    }
    let rows = ask(&app, &asked).await?.rows;
    let many = || Rejection::invalid(format!("these are more than {ROWS_MAX} days; ask for fewer, or for one tenant"));
    let rows = rows.ok_or_else(|| many().param("from"))?;
    Ok(Json(UsageDays::new(asked.from, asked.to, &rows)).into_response())
}

fn query(own: Tenant, today: Day, text: Option<&str>) -> Result<Asked, Rejection> {
    let (mut from, mut to, mut tenant) = (None, None, Some(own));
    for (name, value) in params::pairs(text)? {
        let wrong = |message: String| Rejection::invalid(message).param(clipped(&name));
        let day = || value.parse().map_err(|why: NoDay| wrong(why.to_string()));
        match &*name {
            "from" => from = Some(day()?),
            "to" => to = Some(day()?),
            "tenant" if value == ALL => tenant = None,
            "tenant" => tenant = Some(value.parse().map_err(|why: Invalid| wrong(why.to_string()))?),
            _ => return Err(wrong("use from, to or tenant".to_owned())),
        }
    }
    let to = to.unwrap_or_else(|| from.unwrap_or(today).max(today));
    let from = from.unwrap_or_else(|| to.before(DAYS_DEFAULT - 1));
    if from > to {
        return Err(Rejection::invalid("'from' is after 'to'").param("from"));
    }
    Ok(Asked { tenant, from, to })
}

async fn ask(app: &App, asked: &Asked) -> Result<Told, Rejection> {
    let silent = || {
        Rejection::unavailable(
            "nobody tells usage now: no projector answers, or it is still reading the log; try again in a moment",
        )
    };
    ask::used(&app.shared.bus, asked).await.ok_or_else(silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_checked() {
        let (blue, today) = ("blue".parse().unwrap(), "2026-11-30".parse().unwrap());
        let got = |text: &str| query(blue, today, Some(text).filter(|text| !text.is_empty()));
        let days = |text: &str| got(text).map(|asked| format!("{} {}", asked.from, asked.to)).unwrap();
        assert_eq!((days(""), got("").unwrap().tenant), ("2026-11-01 2026-11-30".to_owned(), Some(blue)));
        assert_eq!(days("from=2026-10-05"), "2026-10-05 2026-11-30");
        assert_eq!(days("to=2026-03-01&from=2026-02-28"), "2026-02-28 2026-03-01");
        assert_eq!(got("tenant=*").unwrap().tenant, None);
        for (bad, param) in [
            ("from=yesterday", "from"),
            ("to=2026-02-30", "to"),
            ("from=2026-11-02&to=2026-11-01", "from"),
            ("tenant=A", "tenant"),
            ("x=1", "x"),
        ] {
            assert_eq!(got(bad).unwrap_err().param.as_deref(), Some(param), "{bad}");
        }
    }
}
