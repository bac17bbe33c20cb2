//! From a file and the environment to settings, and what is said where that fails.
use super::Config;
use crate::bus;
use domain::{Pool, Tenant, event::FaultClass};
use std::{collections::HashMap, ffi::OsString, path::Path};

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{0}")]
    Invalid(#[from] config::ConfigError),
    #[error(transparent)]
    Nats(#[from] bus::SettingsError),
    #[error("model '{model}' is served by the pools '{one}' and '{two}'; give it to one of them")]
    TwoPools { model: String, one: Pool, two: Pool },
    #[error("http.cors_origins has '{0}'; an origin is a scheme, a host and a port, such as https://app.example")]
    Origin(String),
    #[error("default_pool '{0}' is not a configured pool")]
    NoSuchPool(Pool),
    #[error("retry.{}: {why}", class.as_str())]
    Retry { class: FaultClass, why: &'static str },
    #[error("worker.pools names '{0}', which is not a configured pool")]
    NoSuchWorkerPool(Pool),
    #[error("{name} in the environment")]
    Variable { name: String, source: Box<LoadError> },
    #[error("{name} in the environment is no setting; {meant} is")]
    Underscores { name: String, meant: String },
    #[error("'{0}' is not a key")]
    Key(String),
    #[error("{key} is {value}; at most {most} is taken")]
    TooMuch { key: String, value: u64, most: u64 },
    #[error("tenants.{tenant}.weight is {weight}; it must be a number from 0.01 to 100, such as 2.0")]
    Weight { tenant: Tenant, weight: f64 },
    #[error("scheduler.ahead_s is {0}; it must be a number of seconds, such as 2.0")]
    Ahead(f64),
    #[error("{key}: {why}")]
    Webhook { key: String, why: String },
}

/// Of the variables that are settings.
const PREFIX: &str = "JETBATCH__";

fn is_setting(name: &str) -> bool {
    name.get(..PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(PREFIX))
}

/// What a variable that is no setting may have been meant as: two underscores stand before a section, and before a key.
fn meant(name: &str) -> Vec<String> {
    let Some(rest) = name.strip_prefix("JETBATCH_").filter(|rest| !rest.starts_with('_')) else { return Vec::new() };
    let cuts = rest.match_indices('_').map(|(at, _)| format!("{PREFIX}{}__{}", &rest[..at], &rest[at + 1..]));
    std::iter::once(format!("{PREFIX}{rest}")).chain(cuts).collect()
}

type Builder = config::ConfigBuilder<config::builder::DefaultState>;

impl Config {
    /// `file` if given, then the environment.
    pub fn load(file: Option<&Path>) -> Result<Self, LoadError> {
        let mut builder = config::Config::builder();
        if let Some(file) = file {
            builder = add(builder, config::File::from(file).format(config::FileFormat::Toml))?;
        }
        Self::under(builder, std::env::vars_os())
    }

    /// What is wrong in the environment alone is told by the variable's name.
    fn under(file: Builder, vars: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, LoadError> {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        let (vars, others): (HashMap<_, _>, HashMap<_, _>) =
            vars.filter_map(text).partition(|(name, _)| is_setting(name));
        let with = |vars: HashMap<String, String>| Self::read(add(file.clone(), environment().source(Some(vars)))?);
        let would_do = |name: &String, value: &String| with(HashMap::from([(name.clone(), value.clone())])).is_ok();
        for (name, value) in others {
            if let Some(meant) = meant(&name).into_iter().find(|meant| would_do(meant, &value)) {
                return Err(LoadError::Underscores { name, meant });
            }
        }
        let failed = match with(vars.clone()) {
            Err(failed) if with(HashMap::new()).is_ok() => failed,
            loaded => return loaded,
        };
        let mut names: Vec<&String> = vars.keys().collect();
        names.sort_unstable();
        let one = |name: &&&String| with(HashMap::from([((**name).clone(), vars[**name].clone())])).is_err();
        let name = names.iter().find(one).map_or_else(|| PREFIX.to_owned() + "..", |name| (*name).clone());
        Err(LoadError::Variable { name, source: Box::new(failed) })
    }

    fn read(builder: Builder) -> Result<Self, LoadError> {
        let built = builder.build()?;
        let config: Self = built.clone().try_deserialize().map_err(|error| spelled(error, built))?;
        config.check()?;
        Ok(config)
    }

    /// From TOML text alone.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        let source = config::File::from_str(text, config::FileFormat::Toml);
        Self::read(add(config::Config::builder(), source)?)
    }
}

/// Each value is text until its field reads it: guessed at, a password of digits would lose its leading zeros.
fn environment() -> config::Environment {
    config::Environment::with_prefix("JETBATCH").prefix_separator("__").separator("__")
}

/// The parser takes `a[9]` for a place in a list, and makes the list that long.
fn add(builder: Builder, source: impl config::Source + Send + Sync + 'static) -> Result<Builder, LoadError> {
    match source.collect()?.into_keys().find(|key| key.contains('[')) {
        Some(key) => Err(LoadError::Key(key)),
        None => Ok(builder.add_source(source)),
    }
}

/// A word that is none of a setting's words is told with those that are.
fn spelled(error: config::ConfigError, built: config::Config) -> LoadError {
    if !error.to_string().contains("does not have variant constructor") {
        return error.into();
    }
    let again = built.try_deserialize().map(serde_json::from_value::<Config>);
    match again {
        Ok(Err(said)) if said.to_string().contains("unknown variant") => {
            let key = error.to_string().split_once(" for key ").map(|(_, key)| format!(" for key {key}"));
            config::ConfigError::Message(format!("{said}{}", key.unwrap_or_default())).into()
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::quota::{Limit, Most};

    const POOLS: &str = "[pools.a.engine]\nkind = 'echo'\n[pools.b.engine]\nkind = 'echo'";

    #[test]
    fn a_variable_is_what_its_field_takes() {
        let vars = [
            ("JETBATCH__NATS__PASSWORD", "0012"),
            ("JETBATCH__HTTP__LISTEN", "0.0.0.0:1"),
            ("JETBATCH__HTTP__JSON_BYTES_MAX", "7"),
            ("JETBATCH__SCHEDULER__AHEAD_S", "0.5"),
            ("JETBATCH__STORE__FSYNC", "false"),
            ("JETBATCH__HTTP__HOSTS", "a.example, b.example"),
            ("JETBATCH__INTAKE__FILE_ROOTS", "/in"),
            ("JETBATCH__WORKER__POOLS", "a"),
            ("JETBATCH__POOLS__A__MODELS", r#"["m", "n"]"#),
            ("JETBATCH__POOLS__A__ENGINE__KIND", "echo"),
            ("JETBATCH__POOLS__A__ENGINE__SLOTS", "3"),
            ("JETBATCH__LIMITS__UPLOADS", "4"),
            ("JETBATCH__TENANTS__BLUE__LIMITS__STORED_BYTES", "unlimited"),
        ];
        let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let source = environment().source(Some(vars.into_iter().collect()));
        let config: Config = config::Config::builder().add_source(source).build().unwrap().try_deserialize().unwrap();
        let limits = config.limits("blue".parse().unwrap());
        assert_eq!(limits.get(Limit::Uploads), Some(Most::Of(4)));
        assert_eq!(limits.get(Limit::StoredBytes), Some(Most::Unlimited));
        assert_eq!(config.nats.password.unwrap().reveal(), "0012");
        assert_eq!((config.http.listen.port(), config.http.json_bytes_max), (1, 7));
        assert_eq!((config.scheduler.ahead_s, config.store.fsync), (0.5, false));
        assert_eq!(config.http.hosts, ["a.example", "b.example"]);
        assert_eq!((config.intake.file_roots, config.worker.pools), (vec!["/in".into()], vec!["a".parse().unwrap()]));
        let pool = config.pools.into_values().next().unwrap();
        assert_eq!((pool.engine.slots(), pool.models), (Some(3), vec!["m".to_owned(), "n".to_owned()]));
    }

    #[test]
    fn a_variable_in_error_is_named() {
        let load = |file: &str, vars: &[(&str, &str)]| {
            let file = config::File::from_str(file, config::FileFormat::Toml);
            let vars = vars.iter().map(|(name, value)| (name.into(), value.into()));
            Config::under(add(config::Config::builder(), file).unwrap(), vars.collect::<Vec<_>>().into_iter())
        };
        const GOOD: (&str, &str) = ("JETBATCH__HTTP__JSON_BYTES_MAX", "7");
        for bad in [
            ("JETBATCH__HTTP__LISTEN", "here"),
            ("JETBATCH__HTPP__LISTEN", "127.0.0.1:1"),
            ("JETBATCH__WORKER__POOLS", "x"),
        ] {
            let error = load(POOLS, &[GOOD, bad]).unwrap_err();
            assert!(matches!(&error, LoadError::Variable { name, .. } if name == bad.0), "{error:?}");
        }
        assert!(!matches!(load("[http]\nlisten = 'here'", &[GOOD]), Err(LoadError::Variable { .. }) | Ok(_)));
        assert!(load(POOLS, &[GOOD, ("JETBATCH_CONFIG", "x"), ("JETBATCH_NATS_PORT", "tcp://10.0.0.1:4222")]).is_ok());
        for (name, value, meant) in [
            ("JETBATCH_HTTP_LISTEN", "127.0.0.1:1", "JETBATCH__HTTP__LISTEN"),
            ("JETBATCH_HTTP_JSON_BYTES_MAX", "7", "JETBATCH__HTTP__JSON_BYTES_MAX"),
            ("JETBATCH_DEFAULT_POOL", "a", "JETBATCH__DEFAULT_POOL"),
        ] {
            let error = load(POOLS, &[GOOD, (name, value)]).unwrap_err().to_string();
            assert_eq!(error, format!("{name} in the environment is no setting; {meant} is"));
        }
    }
}
