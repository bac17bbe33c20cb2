//! Tenants' limits over HTTP, for admins.
use super::{
    app::App,
    body,
    error::{Answer, Rejection},
    quota::Used,
};
use crate::quota;
use api::{Kind, TenantLimits};
use axum::{Json, body::Body, extract::Path, http::HeaderMap, response::IntoResponse};
use domain::{Tenant, id::Invalid, quota::Limits};

/// `GET /limits`.
pub async fn many(app: App) -> Answer {
    let set = quota::list(&quota::bucket(&app.shared.bus)).await?;
    Ok(Json(quota::shown(&app.shared.config, &set)).into_response())
}

/// `GET /limits/{tenant}`. There is no list of tenants: each has limits.
pub async fn one(app: App, Path(tenant): Path<String>) -> Answer {
    let tenant = parse(&tenant)?;
    let set = quota::find(&quota::bucket(&app.shared.bus), tenant).await?;
    Ok(Json(shown(&app, tenant, set).await?).into_response())
}

/// `PUT /limits/{tenant}`.
pub async fn set(app: App, Path(tenant): Path<String>, headers: HeaderMap, sent: Body) -> Answer {
    let tenant = parse(&tenant)?;
    let limits = body::json::<Limits>(&app, &headers, sent).await?.value;
    let set = quota::change(&quota::bucket(&app.shared.bus), tenant, |_| limits.clone()).await?;
    app.quota.rules.note(tenant, set.clone());
    tracing::info!(%tenant, "a tenant's limits were set");
    Ok(Json(shown(&app, tenant, set).await?).into_response())
}

async fn shown(app: &App, tenant: Tenant, set: Limits) -> Result<TenantLimits, Rejection> {
    let Used { running_jobs, queued_requests, stored_bytes, uploads } = app.quota.used(app, tenant).await?;
    let limits = set.over(&app.shared.config.limits(tenant));
    let used = Some(api::Used { running_jobs, queued_requests, stored_bytes, uploads });
    Ok(TenantLimits { object: Kind::Limits, tenant, limits, set, used })
}

fn parse(tenant: &str) -> Result<Tenant, Rejection> {
    tenant.parse().map_err(|error: Invalid| Rejection::invalid(error.to_string()).param("id"))
}

impl From<quota::Error> for Rejection {
    fn from(error: quota::Error) -> Self {
        match &error {
            quota::Error::Contended(_) => Self::conflict(error.to_string()),
            quota::Error::Read(_) | quota::Error::Write(_) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "limits could not be read or written");
                Self::unavailable("limits cannot be read or written now")
            }
        }
    }
}
