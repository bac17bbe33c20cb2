//! All rooms in this process, for `demo` and `bench`: a data folder of their own, a free port, their own nats-server.
use super::{client::Client, error::Error, meter::Meter, submit::upload, watch::watch};
use crate::{
    bus::Bus,
    chain::chain,
    config::{Auth, Config, PoolConfig},
    keys,
    serve::{self, Roles, Running},
};
use api::Job;
use domain::{
    Pool, Tenant,
    key::{self, Draft},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

pub struct Local {
    running: Running,
    pub client: Client,
    pub data: PathBuf,
    config: Config,
}

impl Local {
    pub async fn start(data: &Path, pool: &str, engine: engine::Spec) -> Result<Self, Error> {
        Self::serve(data, pool, PoolConfig::of(engine)).await
    }

    pub async fn serve(data: &Path, pool: &str, served: PoolConfig) -> Result<Self, Error> {
        Self::open(data, config(data, pool, served)?, Roles::all(), None).await
    }

    async fn open(data: &Path, config: Config, roles: Roles, key: Option<&str>) -> Result<Self, Error> {
        let running = serve::start(config.clone(), roles).await.map_err(Error::failed)?;
        let address = running.http.ok_or_else(|| Error::Failed("the gateway has no address".to_owned()))?;
        let client = Client::new(&format!("http://{address}"), key)?;
        Ok(Self { running, client, data: data.to_owned(), config })
    }

    /// Another door to the same rooms, where nobody is let in without a key, and a client that has one.
    pub async fn keyed(&self) -> Result<Self, Error> {
        let draft = Draft {
            name: "bench".to_owned(),
            tenant: Tenant::default(),
            roles: [key::Role::Read].into_iter().collect(),
            pools: Vec::new(),
            expires_in: None,
        };
        let bus = self.bus("bench").await?;
        let made = keys::create(&keys::bucket(&bus), draft).await.map_err(Error::failed)?;
        let mut config = Config { nats: self.running.link(), ..self.config.clone() };
        config.http.auth = Auth::Required;
        let gateway = "gateway".parse().map_err(Error::failed)?;
        Self::open(&self.data, config, gateway, Some(&made.token.reveal())).await
    }

    /// Does `work`, unless a room fails first, or the user ends it: then that is the answer, and the rooms can stop.
    pub async fn beside<T>(&mut self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            done = work => done,
            error = self.running.failed() => Err(Error::Failed(chain(&error))),
            _ = tokio::signal::ctrl_c() => Err(Error::Failed("interrupted".to_owned())),
        }
    }

    /// Uploads a file and follows its job to the end.
    pub async fn run(&mut self, file: &Path, model: Option<&str>, meter: &mut Meter) -> Result<Job, Error> {
        let client = self.client.clone();
        self.beside(async {
            let id = upload(&client, file, model).await?;
            watch(&client, id, meter).await.map(|(_, job)| job)
        })
        .await
    }

    /// A connection beside those of the rooms.
    pub async fn bus(&self, name: &str) -> Result<Bus, Error> {
        serve::connect(&self.running.link(), name, None).await.map_err(Error::failed)
    }

    pub fn server_pid(&self) -> Option<u32> {
        self.running.server_pid()
    }

    pub async fn stop(self) -> Result<(), Error> {
        self.running.stop().await.map_err(Error::failed)
    }
}

/// Only warnings are logged: what is on the screen is the command's own.
pub fn quiet() -> crate::telemetry::Settings {
    crate::telemetry::Settings { log: "warn".to_owned(), ..Default::default() }
}

fn config(data: &Path, pool: &str, served: PoolConfig) -> Result<Config, Error> {
    let pool: Pool = pool.parse().map_err(Error::failed)?;
    let mut config = Config::default();
    config.nats.data_dir = data.join("nats");
    // The usual one is for a `serve` beside this or after it.
    config.nats.server_port = 0;
    config.store = store::Settings::local(data.join("store"));
    // Nobody else's work runs here: what is not done when it stops is not missed.
    config.worker.drain_s = 2;
    // An engine in a process of its own is as quiet as this one.
    config.telemetry = quiet();
    config.http.tls = None;
    config.http.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.pools.insert(pool, served);
    Ok(config)
}
