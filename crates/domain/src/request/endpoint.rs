//! What a request is for.
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(const_into_str, parse_err_ty = UnknownEndpoint, parse_err_fn = UnknownEndpoint::new)]
pub enum Endpoint {
    #[strum(serialize = "/v1/chat/completions")]
    Chat,
    #[strum(serialize = "/v1/completions")]
    Completions,
    #[strum(serialize = "/v1/embeddings")]
    Embeddings,
}

impl Endpoint {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const fn url(self) -> &'static str {
        self.into_str()
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an endpoint: use /v1/chat/completions, /v1/completions or /v1/embeddings")]
pub struct UnknownEndpoint(String);

impl UnknownEndpoint {
    fn new(url: &str) -> Self {
        Self(url.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_print_as_they_parse() {
        for endpoint in Endpoint::ALL {
            assert_eq!(endpoint.to_string().parse(), Ok(*endpoint));
        }
        assert_eq!("/v1/responses".parse::<Endpoint>(), Err(UnknownEndpoint::new("/v1/responses")));
    }
}
