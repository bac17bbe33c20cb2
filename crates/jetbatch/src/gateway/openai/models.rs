//! The models that pools serve.
use super::super::{
    app::App,
    error::{Answer, Rejection},
};
use api::{
    ErrorCode,
    openai::{Model, ModelList},
};
use axum::{Json, extract::Path, response::IntoResponse};

/// `GET /v1/models`.
pub async fn many(app: App) -> Json<ModelList> {
    let routes = app.routes();
    Json(ModelList::new(routes.models().into_iter().map(model).collect()))
}

/// `GET /v1/models/{id}`.
pub async fn one(app: App, Path(name): Path<String>) -> Answer {
    match app.routes().models().into_iter().find(|served| **served == name) {
        Some(name) => Ok(Json(model(name)).into_response()),
        None => Err(unknown(&name)),
    }
}

/// None knows since when it is served.
fn model(name: &str) -> Model {
    Model::new(name, 0)
}

pub fn unknown(name: &str) -> Rejection {
    let message = format!("no pool serves the model '{}'; GET /v1/models lists those that are served", short(name));
    Rejection::new(ErrorCode::ModelNotFound, message).param("model")
}

fn short(name: &str) -> String {
    name.chars().take(64).collect()
}
