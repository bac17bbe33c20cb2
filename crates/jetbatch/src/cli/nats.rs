//! `jetbatch nats`: what others need to speak to the same NATS.
mod setup;

use super::{config, error::Error, out};
use crate::bus::{
    Settings,
    context::{self, ContextName},
    server,
};
use clap::{Args, Subcommand};

/// The context that is written unless another is named.
pub const CONTEXT: &str = "jetbatch";

#[derive(Debug, Args)]
pub struct Nats {
    #[command(subcommand)]
    what: Verb,
    #[command(flatten)]
    config: config::File,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write a context for the `nats` command: `nats --context jetbatch stream ls` then works. Its file holds the
    /// password, and only you can read it
    Context {
        /// The context's name
        #[arg(long, default_value = CONTEXT)]
        name: ContextName,
    },
    /// Write the users of a nats-server, each with the least rights that its part of jetbatch needs: a head, workers,
    /// submitters. A configuration to include, and a file with the key of each, which only you can read
    Setup(setup::Setup),
}

pub async fn nats(args: Nats) -> Result<(), Error> {
    match args.what {
        Verb::Context { name } => write(&name, &args.config).await,
        Verb::Setup(setup) => setup.run(&args.config),
    }
}

async fn write(name: &ContextName, config: &config::File) -> Result<(), Error> {
    let settings = reached(&config.load()?.nats).await?;
    let path = context::write(name, "jetbatch's NATS", &settings).map_err(Error::failed)?;
    out::line(format!("{} is written: nats --context {name} stream ls", path.display()))
}

/// The NATS that is configured, or the own server.
async fn reached(settings: &Settings) -> Result<Settings, Error> {
    let settings = context::resolve(settings).map_err(Error::failed)?;
    if settings.url.is_some() {
        return Ok(server::signed(&settings).await);
    }
    let dir = settings.data_dir.display();
    let none = || Error::Failed(format!("there is no own server in {dir} yet: `jetbatch serve` starts one"));
    server::reached(&settings).await.map_err(Error::failed)?.ok_or_else(none)
}
