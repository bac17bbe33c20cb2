//! `POST /jobs?dry_run=true`: what a submission would come to. Its input is validated by the very code that intake runs, and
//! the projector is asked for the rest; nothing is submitted, and nothing is left in the store.
use super::{
    app::App,
    body::{self, media},
    error::{Answer, Rejection},
    fields::Fields,
    submit,
    upload::{self, Upload},
};
use crate::{
    ask, clock,
    input::{self, Content, Plans, Source, SourceError, Terms},
    paths,
};
use api::{ErrorCode, FORM, JSON, Quote};
use axum::{Json, extract::Request, response::IntoResponse};
use domain::{
    JobId,
    admission::{Admission, Verdict},
    event::{Input, SegmentPlan},
    foresight::{Asked, Endangered},
    submission::{Checked, Submission},
};
use uuid::Uuid;

const DRY_RUN: &str = "dry_run";

/// The query without `dry_run`, and whether it is asked for.
pub fn asked(query: Option<&str>) -> Result<(Option<String>, bool), Rejection> {
    let Some(query) = query else { return Ok((None, false)) };
    let (dry, rest): (Vec<_>, Vec<_>) = query.split('&').partition(|part| part.split('=').next() == Some(DRY_RUN));
    let is_dry = match dry[..] {
        [] | ["dry_run=false"] => false,
        ["dry_run=true"] => true,
        _ => return Err(Rejection::invalid("'dry_run' must be true or false").param(DRY_RUN)),
    };
    Ok((Some(rest.join("&")).filter(|rest| !rest.is_empty()), is_dry))
}

pub async fn quote(app: App, query: Option<String>, request: Request) -> Answer {
    let headers = request.headers().clone();
    match media(&headers).as_str() {
        JSON => {
            if query.is_some() {
                return Err(Rejection::invalid("a JSON submission has its settings in the body, not in the query"));
            }
            let body::Json { value, place: _place, .. } =
                body::json::<Submission>(&app, &headers, request.into_body()).await?;
            of(&app, value.check()?).await
        }
        kind if kind != FORM && submit::is_file(kind, query.as_deref()) => {
            let fields = Fields::query(query.as_deref())?;
            submit::check(&app, &fields)?;
            let file = upload::raw(&app, &app.shared.store.passing(), request).await?;
            of_file(&app, &fields, &file).await
        }
        FORM => {
            let mut fields = Fields::query(query.as_deref())?;
            let store = app.shared.store.passing();
            let file = upload::form(&app, &store, request, &mut fields, |fields| submit::check(&app, fields)).await?;
            of_file(&app, &fields, &file).await
        }
        other => Err(Rejection::media(other, submit::TAKEN)),
    }
}

/// The file is deleted when it is dropped.
async fn of_file(app: &App, fields: &Fields, file: &Upload) -> Answer {
    of(app, fields.submission(file.url())?).await
}

async fn of(app: &App, submission: Checked) -> Answer {
    let _place = app.quote_place()?;
    let (terms, strict) = (Terms::of(&submission, app.caller().pools(), &app.shared.config), submission.is_strict());
    let (window_ms, priority) = (submission.window_ms(), submission.priority.unwrap_or_default());
    let mut loads = Loads(Asked::new(priority, window_ms).of(app.tenant()));
    let mut input = inspect(app, submission, &terms, &mut loads).await?;
    input.strict = strict;
    let deadline = clock::now().plus(window_ms).into();
    let draft = Quote::new(input.clone(), window_ms, deadline, None);
    if !draft.valid {
        return Ok(Json(draft).into_response());
    }
    let mut quoted = ask::quoted(&app.shared.bus, &loads.0).await.ok_or_else(silent)?;
    quoted.endangered = visible(app, quoted.endangered).await?;
    Ok(Json(Quote::new(input, window_ms, deadline, Some(quoted))).into_response())
}

fn silent() -> Rejection {
    Rejection::unavailable(
        "nobody forecasts now: no projector answers, or it is still reading the log; try again in a moment",
    )
}

/// What is asked of the projector, of the segments as they come.
struct Loads(Asked);

impl Plans for Loads {
    async fn take(&mut self, plan: SegmentPlan) -> Result<(), input::Error> {
        self.0.take(&plan);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), input::Error> {
        Ok(())
    }
}

async fn inspect(
    app: &App,
    submission: Checked,
    terms: &Terms,
    loads: &mut Loads,
) -> Result<api::QuotedInput, Rejection> {
    let shared = &app.shared;
    let submission = submission.into_inner();
    let place = match &submission.input {
        None => Ok(Input::Inline),
        Some(given) => input::locate(given.url(), app.tenant(), &shared.config.intake),
    };
    let place = place.and_then(|place| Ok((place, Content::of(submission)?)));
    let refused = |error| Ok(api::QuotedInput { errors: vec![error], errors_total: 1, ..Default::default() });
    let (place, content) = match place {
        Ok(found) => found,
        Err(error) => return refused(error),
    };
    // Of no job: what is copied goes again.
    let id = JobId::new(Uuid::now_v7());
    let source = match Source::open(shared, id, &place, content).await {
        Ok(source) => source,
        Err(SourceError::Refused(error)) => return refused(error),
        Err(SourceError::Store(error)) => return Err(error.into()),
    };
    let copied = source.is_own;
    let verdict = input::validate(shared, terms, source, loads).await;
    if copied {
        shared.store.delete(&paths::input(id)).await?;
    }
    let found = match verdict? {
        input::Verdict::Good { requests, bytes, warnings, .. } => {
            api::QuotedInput { requests, bytes, warnings, ..Default::default() }
        }
        input::Verdict::Bad { requests, errors, total } => {
            api::QuotedInput { requests, errors, errors_total: total, ..Default::default() }
        }
    };
    Ok(found)
}

/// Those of the caller's tenant.
async fn visible(app: &App, all: Vec<Endangered>) -> Result<Vec<Endangered>, Rejection> {
    let mut visible = Vec::new();
    for one in all {
        if app.find(one.job).await?.is_some() {
            visible.push(one);
        }
    }
    Ok(visible)
}

/// Says no to a submission whose window will not hold, where one of its pools refuses such jobs. What else is wrong with it,
/// or is not known, or not now, because others are looked at, is found out when it is taken.
pub async fn admit(app: &App, submission: &Checked) -> Result<(), Rejection> {
    let config = &app.shared.config;
    if config.admission(config.pools.keys()) != Admission::Refuse {
        return Ok(());
    }
    let Ok(_place) = app.quote_place() else { return Ok(()) };
    let terms = Terms::of(submission, app.caller().pools(), config);
    let (window_ms, priority) = (submission.window_ms(), submission.priority.unwrap_or_default());
    let mut loads = Loads(Asked::new(priority, window_ms).of(app.tenant()));
    let found = inspect(app, submission.clone(), &terms, &mut loads).await?;
    if found.errors_total > 0 || config.admission(loads.0.pools()) != Admission::Refuse {
        return Ok(());
    }
    let quoted = ask::quoted(&app.shared.bus, &loads.0).await;
    match Admission::Refuse.judge(clock::now().plus(window_ms), quoted.as_ref()) {
        Verdict::Refused(said) => Err(Rejection::new(ErrorCode::WindowTooShort, said).param("completion_window")),
        Verdict::Holds | Verdict::Warned(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_is_asked_for_in_the_query() {
        assert_eq!(asked(None), Ok((None, false)));
        assert_eq!(asked(Some("dry_run=true")), Ok((None, true)));
        assert_eq!(asked(Some("model=a&dry_run=true&strict=true")), Ok((Some("model=a&strict=true".into()), true)));
        assert_eq!(asked(Some("model=a&dry_run=false")), Ok((Some("model=a".into()), false)));
        for bad in ["dry_run", "dry_run=yes", "dry_run=true&dry_run=true"] {
            assert_eq!(asked(Some(bad)).unwrap_err().param.as_deref(), Some(DRY_RUN));
        }
    }
}
