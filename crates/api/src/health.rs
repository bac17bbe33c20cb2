use crate::Route;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether all that the door stands on is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ready {
    pub status: Readiness,
    /// What is missing.
    pub reasons: Vec<String>,
    /// What keeps work from going on though the door is ready: of pools, with cause and mend; twenty at most.
    #[serde(default)]
    pub troubles: Vec<String>,
    /// Where NATS is, without its login.
    pub nats: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    Ready,
    NotReady,
}

impl Ready {
    pub fn new(reasons: Vec<String>) -> Self {
        let status = if reasons.is_empty() { Readiness::Ready } else { Readiness::NotReady };
        Self { status, reasons, troubles: Vec::new(), nats: None }
    }
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct About {
    pub name: String,
    pub version: String,
    pub links: AboutLinks,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AboutLinks {
    pub jobs: String,
    pub start: String,
    pub files: String,
    pub dead: String,
    #[serde(default)]
    pub workers: String,
    pub health: String,
    pub ready: String,
    pub metrics: String,
    #[serde(default)]
    pub openapi: String,
}

impl About {
    pub fn new(version: &str) -> Self {
        let path = |route: Route| route.path().to_owned();
        let links = AboutLinks {
            jobs: path(Route::Jobs),
            start: path(Route::Start),
            files: path(Route::Keep),
            dead: path(Route::DeadList),
            workers: path(Route::Workers),
            health: path(Route::Alive),
            ready: path(Route::Ready),
            metrics: path(Route::Metrics),
            openapi: path(Route::OpenApi),
        };
        Self { name: "jetbatch".to_owned(), version: version.to_owned(), links }
    }
}
