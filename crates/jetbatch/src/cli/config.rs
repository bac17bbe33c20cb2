//! `jetbatch config check`, and how every command finds its configuration.
use super::{error::Error, out, text};
use crate::{
    bus::context::ContextName,
    config::{Config as Settings, LoadError},
};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// Looked for where `--config` is not given.
const PLACES: [&str; 2] = ["jetbatch.toml", "config/jetbatch.toml"];

/// The `--config` option, and which NATS it is about.
#[derive(Debug, Args)]
pub struct File {
    /// Configuration [default: jetbatch.toml or config/jetbatch.toml, if one is here]
    #[arg(long, short, value_name = "FILE", env = "JETBATCH_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// A context of the `nats` command: its address and login, in the place of those in the configuration
    #[arg(long, value_name = "NAME", global = true)]
    context: Option<ContextName>,
}

#[derive(Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Read a configuration, and say what it means
    Check {
        /// The file [default: as for `serve`]
        file: Option<PathBuf>,
    },
}

impl File {
    pub fn load(&self) -> Result<Settings, Error> {
        let (_, mut settings) = load(self.config.as_deref())?;
        if let Some(context) = &self.context {
            settings.nats = settings.nats.in_context(context);
        }
        Ok(settings)
    }
}

/// The settings, and the file they are from.
fn load(file: Option<&Path>) -> Result<(Option<PathBuf>, Settings), Error> {
    let here = || PLACES.map(Path::new).into_iter().find(|place| place.exists());
    let file = file.or_else(here);
    if let Some(file) = file.filter(|file| !file.is_file()) {
        return Err(Error::Usage(format!("there is no configuration at {}", file.display())));
    }
    let name = file.map_or_else(|| "the environment".to_owned(), |file| file.display().to_string());
    let settings = Settings::load(file).map_err(|error| match &error {
        // It names its own place.
        LoadError::Variable { .. } => Error::Usage(crate::chain::chain(&error)),
        _ => Error::Usage(format!("{name}: {}", crate::chain::chain(&error))),
    })?;
    Ok((file.map(Path::to_owned), settings))
}

pub fn config(args: &Config) -> Result<(), Error> {
    let What::Check { file } = &args.what;
    let (file, settings) = load(file.as_deref())?;
    let file = file.map_or_else(|| "no file, defaults and environment".to_owned(), |file| file.display().to_string());
    out::line(format!("{file}: valid"))?;
    let nats = settings.nats.url.as_deref().map(crate::bus::redact);
    let named = settings.nats.context.as_ref().map(|name| format!("as the context '{name}' says"));
    let own = || format!("own server in {}", settings.nats.data_dir.display());
    out::line(format!("nats   {}", nats.or(named).unwrap_or_else(own)))?;
    out::line(format!("http   {}", settings.http.listen))?;
    pools(&settings)
}

fn pools(settings: &Settings) -> Result<(), Error> {
    if settings.pools.is_empty() {
        return out::line("pools  none: `serve` needs at least one");
    }
    for (name, pool) in &settings.pools {
        let models = if pool.models.is_empty() { name.to_string() } else { pool.models.join(", ") };
        let chunk = text::plural(pool.chunk_requests().into(), "request");
        out::line(format!("pool   {name}: models {models}; at most {chunk} in a chunk"))?;
    }
    Ok(())
}
