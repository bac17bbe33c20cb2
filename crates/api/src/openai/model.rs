use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A model that a pool serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OpenAiModel)]
pub struct Model {
    pub id: String,
    /// `model`.
    pub object: String,
    pub created: u64,
    pub owned_by: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OpenAiModelList)]
pub struct ModelList {
    /// `list`.
    pub object: String,
    pub data: Vec<Model>,
}

impl Model {
    pub fn new(id: impl Into<String>, created: u64) -> Self {
        Self { id: id.into(), object: "model".to_owned(), created, owned_by: "jetbatch".to_owned() }
    }
}

impl ModelList {
    pub fn new(data: Vec<Model>) -> Self {
        Self { object: "list".to_owned(), data }
    }
}
