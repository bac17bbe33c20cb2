//! Who asks, and whether he may: one look before each handler, by what its route needs.
use super::{app::App, audit::Record, error::Rejection, limits, observe, state::AppState};
use crate::config::{Auth, Http};
use api::{Access, ErrorCode, Route};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use domain::{
    Pool, Tenant,
    key::{Key, Refused, Role, Token},
};
use std::sync::Arc;
use tokio::time::timeout;

/// The cookie that a page's key is kept in.
pub const COOKIE: &str = "jetbatch_key";

/// Who asks.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Somebody without a key, where none is asked for: of the tenant `default`, and may all.
    Anyone,
    Key(Arc<Key>),
    /// Somebody whom NATS lets publish for a tenant: he may submit, and see what is his.
    Tenant(Tenant),
}

impl Caller {
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Anyone | Self::Tenant(_) => None,
            Self::Key(key) => Some(key),
        }
    }

    pub fn tenant(&self) -> Tenant {
        match self {
            Self::Anyone => Tenant::default(),
            Self::Key(key) => key.tenant,
            Self::Tenant(tenant) => *tenant,
        }
    }

    pub fn may(&self, role: Role) -> bool {
        match self {
            Self::Anyone => true,
            Self::Key(key) => key.roles.has(role),
            Self::Tenant(_) => matches!(role, Role::Submit | Role::Read),
        }
    }

    /// Those that his jobs may run in; none: all.
    pub fn pools(&self) -> &[Pool] {
        self.key().map_or(&[], |key| &key.pools)
    }
}

/// Whether a door asks for keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Who shows none is let in.
    Optional,
    Always,
    /// Not even for one that is shown.
    Never,
}

impl Http {
    /// Whether the door that it describes asks for keys.
    pub(super) const fn demand(&self) -> Demand {
        match self.auth {
            Auth::Off => Demand::Never,
            Auth::Required => Demand::Always,
            Auth::Auto if self.listen.ip().is_loopback() => Demand::Optional,
            Auth::Auto => Demand::Always,
        }
    }
}

/// What a route's look needs to know.
#[derive(Clone)]
pub struct Guard {
    pub app: Arc<AppState>,
    pub route: Route,
}

/// Lets a request through to its handler, with who asks.
pub async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    match guard.admit(request.method(), request.headers()).await {
        Ok(caller) => {
            let record = caller.as_ref().and_then(|caller| Record::open(&guard.app, guard.route, caller, &mut request));
            caller.into_iter().for_each(|caller| drop(request.extensions_mut().insert(caller)));
            let response = next.run(request).await;
            if let Some(record) = record {
                record.close(response.status()).await;
            }
            response
        }
        Err(refused) => refused.into_response(),
    }
}

impl Guard {
    /// None: anybody is let in, and this is nobody who is known.
    async fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<Option<Caller>, Rejection> {
        let access = self.route.access();
        let caller = match access {
            Access::Open => return Ok(identify(&self.app, method, headers).ok()),
            Access::Key => self.known(method, headers).await?,
            Access::Role(role) => {
                let caller = self.known(method, headers).await?;
                if caller.may(role) { caller } else { return Err(lacks(&caller, role)) }
            }
        };
        // Whoever raises a limit that is too low is not held up by it.
        if access != Access::Role(Role::Admin) {
            App::of(self.app.clone(), caller.clone()).count_request()?;
        }
        Ok(Some(caller))
    }

    async fn known(&self, method: &Method, headers: &HeaderMap) -> Result<Caller, Rejection> {
        let shown = Shown::of(headers);
        if self.app.demand != Demand::Never && !matches!(shown, Shown::Nothing) {
            let all = timeout(limits::KEYS_WITHIN, self.app.keys.completed()).await;
            all.map_err(|_| Rejection::unavailable("the keys are still being read; try again in a moment"))?;
        }
        identify(&self.app, method, headers)
    }
}

/// What a request proves itself by.
enum Shown<'a> {
    Nothing,
    Bearer(&'a str),
    Cookie(&'a str),
}

impl<'a> Shown<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            return Self::Bearer(value.to_str().ok().and_then(bearer).unwrap_or_default());
        }
        headers
            .get_all(header::COOKIE)
            .iter()
            .find_map(|value| cookie(value.to_str().ok()?))
            .map_or(Self::Nothing, Self::Cookie)
    }
}

/// Who a request is of, by what is known now.
fn identify(app: &AppState, method: &Method, headers: &HeaderMap) -> Result<Caller, Rejection> {
    let token = match (app.demand, Shown::of(headers)) {
        (Demand::Never, _) | (Demand::Optional, Shown::Nothing) => return Ok(Caller::Anyone),
        // OpenAI's clients send some word where none is asked for.
        (Demand::Optional, Shown::Bearer(word)) if !Token::is_meant(word) => return Ok(Caller::Anyone),
        (Demand::Always, Shown::Nothing) => return Err(nothing(app)),
        (_, Shown::Bearer(word)) => word,
        (_, Shown::Cookie(word)) if method.is_safe() || observe::is_own(headers) => word,
        (_, Shown::Cookie(_)) => return Err(observe::foreign()),
    };
    find(app, token).map(Caller::Key)
}

/// The key that a token is of.
pub fn find(app: &AppState, token: &str) -> Result<Arc<Key>, Rejection> {
    let token: Token = token.parse().map_err(|_| Refused::Unknown)?;
    Ok(app.keys.find(&token)?)
}

fn nothing(app: &AppState) -> Rejection {
    if app.keys.is_empty() {
        return Rejection::new(ErrorCode::InvalidApiKey, format!("{}; {FIRST}", Refused::Missing));
    }
    Refused::Missing.into()
}

/// How a door gets its first key.
pub const FIRST: &str =
    "there is no key yet: `jetbatch keys create NAME --role admin`, with this head's configuration, makes the first";

fn lacks(caller: &Caller, role: Role) -> Rejection {
    let has = caller.key().map(|key| key.roles.to_string()).unwrap_or_default();
    let why = format!("this needs a key with the role '{}'; yours has: {has}", role.as_str());
    Rejection::new(ErrorCode::MissingRole, why)
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, word) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(word.trim())
}

fn cookie(value: &str) -> Option<&str> {
    value.split(';').find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_in_a_header_or_kept_in_a_cookie() {
        assert_eq!(bearer("Bearer jb_x"), Some("jb_x"));
        assert_eq!(bearer("bearer  jb_x "), Some("jb_x"));
        assert_eq!((bearer("Basic eDp5"), bearer("jb_x")), (None, None));
        assert_eq!(cookie("a=b; jetbatch_key=jb_x; c=d"), Some("jb_x"));
        assert_eq!((cookie("jetbatch_keys=jb_x"), cookie("xjetbatch_key=1")), (None, None));
    }
}
