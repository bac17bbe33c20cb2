//! An engine's settings as they are written, and what of them the kind takes.
//!
//! serde's own tagged enums read every value before they know the kind, and then take no number that is written as text,
//! as one in an environment variable is.
use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, de::IgnoredAny};

use super::{
    Behaviour, Check, Device, Dtype, Echo, Kind, Mistralrs, Openai, PagedAttention, Slots, Spec, SpecialTokens, Stream,
    Task,
    forms::{Model, Texts},
};

const MISTRALRS: &[&str] = &[
    "model",
    "name",
    "task",
    "slots",
    "context",
    "prefix_cache",
    "isq",
    "dtype",
    "device",
    "paged_attention",
    "paged_memory_share",
    "paged_memory_mib",
    "paged_block_tokens",
    "call_seconds_max",
    "special_tokens",
    "check",
];
const OPENAI: &[&str] = &[
    "base_urls",
    "model",
    "api_key_env",
    "headers",
    "ca",
    "slots",
    "slots_max",
    "stream",
    "call_seconds_max",
    "check",
];
const ECHO: &[&str] = &["name", "slots", "check", "echo"];

/// The settings of a kind.
pub(super) const fn takes(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Mistralrs => MISTRALRS,
        Kind::Echo => ECHO,
        Kind::Openai => OPENAI,
    }
}

/// A setting that is not where it belongs.
#[derive(Debug, thiserror::Error)]
pub enum Misplaced {
    #[error("`{key}` is no setting of an engine of kind '{}', which takes {}", kind.as_str(), takes(*kind).join(", "))]
    Unknown { key: String, kind: Kind },
    #[error("`{key}` is missing, which an engine of kind '{}' needs", kind.as_str())]
    Missing { key: &'static str, kind: Kind },
    #[error("`model` is a name, and an engine of kind '{}' needs to know where the model lies, as {{ folder = \"...\" }}", .0.as_str())]
    Named(Kind),
    #[error("`model` is a place, and an engine of kind '{}' takes the model's name at the server", .0.as_str())]
    Placed(Kind),
}

macro_rules! given {
    ($($key:ident: $type:ty,)*) => {
        /// The settings of all kinds.
        #[derive(Deserialize)]
        pub struct Given {
            kind: Kind,
            $($key: Option<$type>,)*
            #[serde(flatten)]
            unknown: BTreeMap<String, IgnoredAny>,
        }

        impl Given {
            /// Those that are set.
            fn keys(&self) -> impl Iterator<Item = &str> {
                let known = [$((stringify!($key), self.$key.is_some()),)*];
                let set = known.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| key);
                self.unknown.keys().map(String::as_str).chain(set)
            }
        }
    };
}

given! {
    model: Model,
    name: String,
    task: Task,
    slots: Slots,
    context: usize,
    prefix_cache: usize,
    isq: String,
    dtype: Dtype,
    device: Device,
    paged_attention: PagedAttention,
    paged_memory_share: f32,
    paged_memory_mib: usize,
    paged_block_tokens: usize,
    call_seconds_max: u64,
    special_tokens: SpecialTokens,
    check: Check,
    echo: Behaviour,
    base_urls: Texts,
    api_key_env: String,
    headers: BTreeMap<String, String>,
    ca: PathBuf,
    slots_max: usize,
    stream: Stream,
}

impl TryFrom<Given> for Spec {
    type Error = Misplaced;

    fn try_from(given: Given) -> Result<Self, Misplaced> {
        let kind = given.kind;
        if let Some(key) = given.keys().find(|key| !takes(kind).contains(key)) {
            return Err(Misplaced::Unknown { key: key.to_owned(), kind });
        }
        match kind {
            Kind::Mistralrs => Ok(mistralrs(given)?.into()),
            Kind::Echo => Ok(echo(given).into()),
            Kind::Openai => Ok(openai(given)?.into()),
        }
    }
}

fn mistralrs(given: Given) -> Result<Mistralrs, Misplaced> {
    Ok(Mistralrs {
        model: match given.model {
            Some(Model::At(source)) => source,
            Some(Model::Named(_)) => return Err(Misplaced::Named(given.kind)),
            None => return Err(Misplaced::Missing { key: "model", kind: given.kind }),
        },
        name: given.name,
        task: given.task.unwrap_or_default(),
        slots: number(given.slots),
        context: given.context,
        prefix_cache: given.prefix_cache,
        isq: given.isq,
        dtype: given.dtype.unwrap_or_default(),
        device: given.device.unwrap_or_default(),
        paged_attention: given.paged_attention.unwrap_or_default(),
        paged_memory_share: given.paged_memory_share,
        paged_memory_mib: given.paged_memory_mib,
        paged_block_tokens: given.paged_block_tokens,
        call_seconds_max: given.call_seconds_max,
        special_tokens: given.special_tokens.unwrap_or_default(),
        check: given.check.unwrap_or_default(),
    })
}

fn echo(given: Given) -> Echo {
    Echo {
        name: given.name,
        slots: number(given.slots),
        check: given.check.unwrap_or_default(),
        echo: given.echo.unwrap_or_default(),
    }
}

fn openai(given: Given) -> Result<Openai, Misplaced> {
    let missing = Misplaced::Missing { key: "base_urls", kind: given.kind };
    Ok(Openai {
        base_urls: given.base_urls.ok_or(missing)?.0,
        model: match given.model {
            Some(Model::Named(name)) => Some(name),
            Some(Model::At(_)) => return Err(Misplaced::Placed(given.kind)),
            None => None,
        },
        api_key_env: given.api_key_env,
        headers: given.headers.unwrap_or_default(),
        ca: given.ca,
        slots: given.slots.unwrap_or_default(),
        slots_max: given.slots_max,
        stream: given.stream.unwrap_or_default(),
        call_seconds_max: given.call_seconds_max,
        check: given.check.unwrap_or_default(),
    })
}

/// Of engines that choose a number themselves where none is given.
const fn number(slots: Option<Slots>) -> Option<usize> {
    match slots {
        Some(Slots::Fixed(slots)) => Some(slots),
        Some(Slots::Auto) | None => None,
    }
}
