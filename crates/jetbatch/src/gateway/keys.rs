//! Keys over HTTP, for admins: of all tenants.
use super::{
    app::App,
    body,
    error::{Answer, Rejection},
};
use crate::keys::{self, Made};
use api::{CreateKey, ErrorCode, Key, Keys, MadeKey, RotateKey, Whoami};
use axum::{
    Json,
    body::Body,
    extract::Path,
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_LENGTH},
    },
    response::{IntoResponse, Response},
};
use domain::key::{KeyId, Role};

/// `GET /keys`.
pub async fn many(app: App) -> Answer {
    let all = keys::list(&keys::bucket(&app.shared.bus)).await?;
    Ok(Json(Keys::new(all.into_iter().map(shown).collect())).into_response())
}

/// `POST /keys`.
pub async fn create(app: App, headers: HeaderMap, sent: Body) -> Answer {
    let asked = body::json::<CreateKey>(&app, &headers, sent).await?.value;
    let made = keys::create(&keys::bucket(&app.shared.bus), asked.into()).await?;
    tracing::info!(key = %made.key.id, tenant = %made.key.tenant, roles = %made.key.roles, "a key was made");
    app.note.on(made.key.id);
    Ok(told(&app, StatusCode::CREATED, made))
}

/// `GET /keys/{id}`.
pub async fn one(app: App, Path(id): Path<String>) -> Answer {
    let key = keys::find(&keys::bucket(&app.shared.bus), parse(&id)?).await?;
    Ok(Json(shown(key)).into_response())
}

/// `DELETE /keys/{id}`.
pub async fn revoke(app: App, Path(id): Path<String>) -> Answer {
    let key = keys::revoke(&keys::bucket(&app.shared.bus), parse(&id)?).await?;
    app.keys.note(key.clone());
    tracing::info!(key = %key.id, tenant = %key.tenant, "a key was revoked");
    Ok(Json(shown(key)).into_response())
}

/// `POST /keys/{id}/rotate`.
pub async fn rotate(app: App, Path(id): Path<String>, headers: HeaderMap, sent: Body) -> Answer {
    let id = parse(&id)?;
    let none = headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0");
    let RotateKey { grace } = if none { RotateKey::default() } else { body::json(&app, &headers, sent).await?.value };
    let made = keys::rotate(&keys::bucket(&app.shared.bus), id, grace.as_deref()).await?;
    tracing::info!(key = %id, tenant = %made.key.tenant, "a key has another secret");
    Ok(told(&app, StatusCode::OK, made))
}

/// `GET /whoami`.
pub async fn whoami(app: App) -> Json<Whoami> {
    Json(who(app.caller()))
}

/// What a caller may do.
pub fn who(caller: &super::auth::Caller) -> Whoami {
    let key = caller.key();
    Whoami {
        object: api::Kind::Caller,
        tenant: caller.tenant(),
        roles: Role::ALL.iter().copied().filter(|role| caller.may(*role)).collect(),
        pools: caller.pools().to_vec(),
        key: key.map(|key| key.id),
        name: key.map(|key| key.name.clone()),
        expires_at: key.and_then(|key| key.expires).map(Into::into),
    }
}

fn told(app: &App, status: StatusCode, made: Made) -> Response {
    let Made { key, token } = made;
    app.keys.note(key.clone());
    let made = MadeKey { key: shown(key), secret: token.reveal() };
    (status, [(CACHE_CONTROL, "no-store")], Json(made)).into_response()
}

fn shown(key: domain::key::Key) -> Key {
    Key::new(key, crate::clock::now())
}

fn parse(id: &str) -> Result<KeyId, Rejection> {
    id.parse().map_err(|error: domain::id::Invalid| Rejection::invalid(error.to_string()).param("id"))
}

impl From<keys::Error> for Rejection {
    fn from(error: keys::Error) -> Self {
        use keys::Error as E;
        match &error {
            E::Fault(fault) => Self::invalid(error.to_string()).param(fault.field()),
            E::Unknown(_) => Self::new(ErrorCode::KeyNotFound, error.to_string()),
            E::Revoked(_) | E::Contended(_) => Self::conflict(error.to_string()),
            E::Strange(_) | E::Read(_) | E::Write(_) | E::Random(_) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "keys could not be read or written");
                Self::unavailable("keys cannot be read or written now")
            }
        }
    }
}
