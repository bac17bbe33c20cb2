//! How to run a pool's model.
//!
//! A folder of a model as Hugging Face writes it (`config.json`, `tokenizer.json`, `tokenizer_config.json`,
//! `*.safetensors`), with no network:
//!
//! ```toml
//! kind = "mistralrs"
//! model = { folder = "models/tiny" }
//! ```
//!
//! A model of the Hugging Face hub, downloaded on first use, quantised while loading:
//!
//! ```toml
//! kind = "mistralrs"
//! model = { hub = "Qwen/Qwen2.5-0.5B-Instruct", revision = "main" }
//! name = "qwen-0.5b"
//! isq = "q4k"
//! slots = 128
//! context = 8192
//! paged_attention = "on"
//! paged_memory_mib = 20000
//! paged_block_tokens = 32
//! check = "on"
//! ```
//!
//! GGUF files, in a folder or on the hub:
//!
//! ```toml
//! kind = "mistralrs"
//! model = { gguf = "models/qwen-gguf", files = ["qwen-q4_k_m.gguf"], tokenizer = "models/qwen/tokenizer.json" }
//! device = "cpu"
//! ```
//!
//! UQFF files, which are weights quantised ahead of time, in a folder or on the hub:
//!
//! ```toml
//! kind = "mistralrs"
//! model = { uqff = "models/qwen-uqff", files = ["q4k-0.uqff"] }
//! ```
//!
//! A model that makes embeddings:
//!
//! ```toml
//! kind = "mistralrs"
//! model = { hub = "Qwen/Qwen3-Embedding-0.6B" }
//! task = "embeddings"
//! ```
//!
//! Servers elsewhere that speak OpenAI's HTTP:
//!
//! ```toml
//! kind = "openai"
//! base_urls = ["http://10.0.0.7:8000/v1", "http://10.0.0.8:8000/v1"]
//! model = "Qwen/Qwen2.5-7B-Instruct"
//! api_key_env = "VLLM_API_KEY"
//! ```
//!
//! The echo engine, for load and fault tests:
//!
//! ```toml
//! kind = "echo"
//! echo = { delay_ms = 5, fail_containing = "boom" }
//! ```

mod echo;
mod forms;
mod given;
mod mistralrs;
mod openai;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

pub use echo::{Behaviour, Echo};
pub use given::Misplaced;
pub use mistralrs::{Device, Dtype, Mistralrs, PagedAttention, Source, SpecialTokens};
pub use openai::{Openai, Slots, Stream};

/// How to run a pool's model, by the kind of its engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "given::Given", tag = "kind", rename_all = "snake_case")]
pub enum Spec {
    Mistralrs(Box<Mistralrs>),
    Echo(Box<Echo>),
    Openai(Box<Openai>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Kind {
    Mistralrs,
    Echo,
    Openai,
}

/// What an engine is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// /v1/chat/completions and /v1/completions. Servers elsewhere may take more.
    #[default]
    Chat,
    /// /v1/embeddings alone.
    Embeddings,
}

/// Whether a worker, before it takes work, has its engine [checked](crate::check) for sequences that it mixes up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    #[default]
    Off,
    On,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

impl Spec {
    /// An echo engine with every default.
    pub fn echo() -> Self {
        Echo::default().into()
    }

    /// A folder's model with every default.
    pub fn folder(folder: impl Into<String>) -> Self {
        Mistralrs::folder(folder).into()
    }

    pub const fn kind(&self) -> Kind {
        match self {
            Self::Mistralrs(_) => Kind::Mistralrs,
            Self::Echo(_) => Kind::Echo,
            Self::Openai(_) => Kind::Openai,
        }
    }

    pub fn task(&self) -> Task {
        match self {
            Self::Mistralrs(spec) => spec.task,
            Self::Echo(_) | Self::Openai(_) => Task::Chat,
        }
    }

    /// Sequences that run together, where that is set.
    pub fn slots(&self) -> Option<usize> {
        match self {
            Self::Mistralrs(spec) => spec.slots,
            Self::Echo(spec) => spec.slots,
            Self::Openai(spec) => match spec.slots {
                Slots::Fixed(slots) => Some(slots * spec.base_urls.len()),
                Slots::Auto => None,
            },
        }
    }

    pub fn with_slots(mut self, slots: usize) -> Self {
        match &mut self {
            Self::Mistralrs(spec) => spec.slots = Some(slots),
            Self::Echo(spec) => spec.slots = Some(slots),
            Self::Openai(spec) => spec.slots = Slots::Fixed(slots.div_ceil(spec.base_urls.len().max(1))),
        }
        self
    }

    pub fn check(&self) -> Check {
        match self {
            Self::Mistralrs(spec) => spec.check,
            Self::Echo(spec) => spec.check,
            Self::Openai(spec) => spec.check,
        }
    }
}

impl From<Mistralrs> for Spec {
    fn from(spec: Mistralrs) -> Self {
        Self::Mistralrs(Box::new(spec))
    }
}

impl From<Openai> for Spec {
    fn from(spec: Openai) -> Self {
        Self::Openai(Box::new(spec))
    }
}

impl From<Echo> for Spec {
    fn from(spec: Echo) -> Self {
        Self::Echo(Box::new(spec))
    }
}

#[cfg(test)]
mod tests {
    use config::{Config, File, FileFormat};

    use super::*;

    fn parse(toml: &str) -> Result<Spec, config::ConfigError> {
        Config::builder().add_source(File::from_str(toml, FileFormat::Toml)).build()?.try_deserialize()
    }

    fn examples() -> Vec<String> {
        let docs = include_str!("spec.rs").lines().map_while(|line| line.strip_prefix("//!"));
        let docs: Vec<&str> = docs.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
        let docs = docs.join("\n");
        docs.split("```toml").skip(1).filter_map(|text| text.split("```").next()).map(str::to_owned).collect()
    }

    fn mistralrs(spec: &Spec) -> &Mistralrs {
        let Spec::Mistralrs(spec) = spec else { panic!("{spec:?}") };
        spec
    }

    #[test]
    fn every_example_parses() {
        let specs: Vec<Spec> = examples().iter().map(|toml| parse(toml).expect(toml)).collect();
        assert_eq!(specs.len(), 7);
        assert_eq!(specs[0], Spec::folder("models/tiny"));
        assert_eq!((mistralrs(&specs[1]).paged_attention, specs[1].check()), (PagedAttention::On, Check::On));
        assert_eq!(mistralrs(&specs[2]).model.files, ["qwen-q4_k_m.gguf"]);
        assert_eq!((specs[3].task(), specs[4].task()), (Task::Chat, Task::Embeddings));
        let Spec::Openai(openai) = &specs[5] else { panic!("{:?}", specs[5]) };
        assert_eq!((openai.base_urls.len(), openai.slots), (2, Slots::Auto));
        assert!(matches!(&specs[6], Spec::Echo(echo) if echo.echo.delay_ms == 5));
    }

    #[test]
    fn unknown_keys_are_errors() {
        for (toml, why) in [
            ("kind = \"echo\"\nslot = 1", "`slot` is no setting of an engine of kind 'echo', which takes name, slots,"),
            ("kind = \"echo\"\necho = { delay = 1 }", "unknown field `delay`, expected one of `delay_ms`"),
            ("kind = \"mistralrs\"\nmodel = { path = \"x\" }", "unknown field `path`, expected one of `folder`"),
            ("kind = \"vllm\"", "vllm"),
            ("kind = \"mistralrs\"\nmodel = { folder = \"x\" }\ndevice = \"tpu\"", "tpu"),
            ("kind = \"echo\"\ncheck = true", "check"),
            ("kind = \"mistralrs\"\nmodel = { folder = \"x\" }\ntask = \"vectors\"", "vectors for key `task`"),
            ("slots = 1", "kind"),
            ("kind = \"openai\"\nbase_urls = [\"x\"]\nslots = 0", "is not a number of 1 and more"),
            ("kind = \"openai\"\nbase_urls = [\"x\"]\nslots = \"many\"", "'many' is not a number"),
        ] {
            let error = parse(toml).expect_err(toml).to_string();
            assert!(error.contains(why), "{toml}: {error}");
        }
    }

    #[test]
    fn a_setting_of_another_kind_is_an_error() {
        for (toml, why) in [
            ("kind = \"echo\"\nisq = \"q4k\"", "`isq` is no setting of an engine of kind 'echo', which takes name"),
            ("kind = \"echo\"\nmodel = { folder = \"x\" }", "`model` is no setting"),
            (
                "kind = \"mistralrs\"\nmodel = { folder = \"x\" }\necho = { delay_ms = 5 }",
                "`echo` is no setting of an engine of kind 'mistralrs', which takes model, name",
            ),
            ("kind = \"echo\"\ntask = \"embeddings\"", "`task` is no setting"),
            ("kind = \"mistralrs\"", "`model` is missing"),
            ("kind = \"mistralrs\"\nmodel = \"x\"", "`model` is a name"),
            ("kind = \"openai\"", "`base_urls` is missing"),
            ("kind = \"openai\"\nbase_urls = [\"x\"]\nmodel = { hub = \"x\" }", "`model` is a place"),
        ] {
            let error = parse(toml).expect_err(toml).to_string();
            assert!(error.contains(why), "{toml}: {error}");
        }
    }

    /// What a kind is said to take is what it holds.
    #[test]
    fn each_kind_takes_its_own_settings() {
        let fixed = Openai { slots: Slots::Fixed(3), model: Some("m".into()), ..Openai::at("http://a") };
        for spec in [Spec::echo(), Spec::folder("x"), Openai::at("http://a").into(), fixed.into()] {
            let written = serde_json::to_value(&spec).expect("JSON");
            let mut keys: Vec<&str> = written.as_object().expect("an object").keys().map(String::as_str).collect();
            let mut takes = given::takes(spec.kind()).to_vec();
            takes.push("kind");
            keys.sort_unstable();
            takes.sort_unstable();
            assert_eq!(keys, takes);
            assert_eq!(serde_json::from_value::<Spec>(written).expect("a spec"), spec);
        }
    }
}
