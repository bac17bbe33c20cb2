//! `jetbatch nats setup`: the users of a nats-server, each with the least rights that its part needs.
use crate::{
    bus::private,
    cli::{config, error::Error, out},
};
use clap::Args;
use domain::{Pool, Tenant, WorkerName};
use nkeys::KeyPair;
use std::{
    fmt::Write as _,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};
use wire::Login;

const ACCOUNTS: &str = "accounts.conf";

#[derive(Debug, Args)]
pub struct Setup {
    /// The folder that is written; keys that lie there are kept
    #[arg(long, value_name = "DIR", default_value = "nats-setup")]
    out: PathBuf,
    /// A tenant that gets a login to submit with; may be given several times
    #[arg(long = "tenant", value_name = "NAME", default_value = "default")]
    tenants: Vec<Tenant>,
    /// A login for workers, and the pools it may serve; may be given several times [default: one for each pool that is
    /// configured, by its name]
    #[arg(long = "worker", value_name = "NAME=POOL,POOL", value_parser = worker)]
    workers: Vec<Login>,
}

/// A login, and how the server knows it.
struct User {
    login: Login,
    /// Its public key, or a variable that holds it.
    key: String,
}

fn worker(text: &str) -> Result<Login, String> {
    let (name, pools) = text.split_once('=').ok_or("use NAME=POOL,POOL")?;
    let name: WorkerName = name.parse().map_err(|error: domain::id::Invalid| error.to_string())?;
    let pools = pools.split(',').map(str::parse).collect::<Result<Vec<Pool>, _>>();
    Ok(Login::Worker { name, pools: pools.map_err(|error| error.to_string())? })
}

impl Setup {
    pub fn run(self, config: &config::File) -> Result<(), Error> {
        let logins = self.logins(config)?;
        let failed = |source: io::Error| Error::Failed(format!("cannot write into {}: {source}", self.out.display()));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.out).map_err(failed)?;
        let users = logins.into_iter().map(|login| {
            let key = key(&self.out, &login).map_err(failed)?;
            Ok(User { login, key })
        });
        let users = users.collect::<Result<Vec<_>, Error>>()?;
        let accounts = self.out.join(ACCOUNTS);
        private::write(&accounts, &render(&users)).map_err(failed)?;
        tell(&accounts, &self.out, &users)
    }

    fn logins(&self, config: &config::File) -> Result<Vec<Login>, Error> {
        let workers = if self.workers.is_empty() { each_pool(config)? } else { self.workers.clone() };
        let submitters = self.tenants.iter().copied().map(Login::Submitter);
        let logins: Vec<Login> = std::iter::once(Login::Head).chain(workers).chain(submitters).collect();
        let twice = logins
            .iter()
            .enumerate()
            .find(|(n, login)| logins[..*n].iter().any(|it| it.to_string() == login.to_string()));
        match twice {
            Some((_, login)) => Err(Error::Usage(format!("{login} is named twice"))),
            None => Ok(logins),
        }
    }
}

fn each_pool(config: &config::File) -> Result<Vec<Login>, Error> {
    let pools: Vec<Pool> = config.load()?.pools.into_keys().collect();
    if pools.is_empty() {
        return Err(Error::Usage("no pool is configured; name them: --worker NAME=POOL,POOL".to_owned()));
    }
    Ok(pools.into_iter().map(|pool| Login::Worker { name: WorkerName::of(pool.as_str()), pools: vec![pool] }).collect())
}

fn seed(dir: &Path, login: &Login) -> PathBuf {
    dir.join(format!("{login}.nk"))
}

/// The public key of the seed that lies there, or of a new one.
fn key(dir: &Path, login: &Login) -> io::Result<String> {
    let path = seed(dir, login);
    let unfit = |error: nkeys::error::Error| io::Error::other(format!("{}: {error}", path.display()));
    match fs::read_to_string(&path) {
        Ok(text) => KeyPair::from_seed(text.trim()).map(|pair| pair.public_key()).map_err(unfit),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let pair = KeyPair::new_user();
            private::write(&path, &format!("{}\n", pair.seed().map_err(unfit)?))?;
            Ok(pair.public_key())
        }
        Err(error) => Err(error),
    }
}

/// As nats-server reads it.
fn render(users: &[User]) -> String {
    let mut text = "# Written by `jetbatch nats setup`: each part of jetbatch with the least rights that it needs.\n\
                    accounts {\n  JETBATCH {\n    jetstream: enabled\n    users: [\n"
        .to_owned();
    for user in users {
        let rights = user.login.rights();
        let lists = [("publish", &rights.publish), ("subscribe", &rights.subscribe)];
        // A String takes all that is written to it.
        let _ = writeln!(text, "      # {}\n      {{ nkey: {}, permissions: {{", user.login, user.key);
        for (what, subjects) in lists {
            let subjects: String = subjects.iter().map(|subject| format!("          {subject:?}\n")).collect();
            let _ = writeln!(text, "        {what}: [\n{subjects}        ]");
        }
        let _ = writeln!(text, "        allow_responses: {}\n      }} }}", rights.answers);
    }
    text + "    ]\n  }\n}\n"
}

fn tell(accounts: &Path, dir: &Path, users: &[User]) -> Result<(), Error> {
    out::line(format!("{}: `include` it in the configuration of nats-server (docs/nats.md)", accounts.display()))?;
    users.iter().try_for_each(|User { login, .. }| {
        out::line(format!("{}: nats.inbox_prefix = \"{}\"", seed(dir, login).display(), login.inbox()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/nats/accounts.conf");

    /// What is deployed by hand says what the program writes. `JETBATCH_BLESS=1` writes it.
    #[test]
    fn the_example_is_what_is_written() {
        let logins = [
            (Login::Head, "$HEAD_NKEY"),
            (worker("gpu=tiny").unwrap(), "$WORKER_NKEY"),
            (Login::Submitter(Tenant::default()), "$SUBMITTER_NKEY"),
        ];
        let users = logins.map(|(login, key)| User { login, key: key.to_owned() });
        let text = render(&users);
        if std::env::var_os("JETBATCH_BLESS").is_some() {
            fs::write(EXAMPLE, &text).unwrap();
        }
        assert_eq!(fs::read_to_string(EXAMPLE).unwrap_or_default(), text);
    }

    #[test]
    fn keys_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let blue = Login::Submitter("blue".parse().unwrap());
        let first = key(dir.path(), &Login::Head).unwrap();
        assert_eq!(key(dir.path(), &Login::Head).unwrap(), first);
        assert_ne!(key(dir.path(), &blue).unwrap(), first);
        fs::write(seed(dir.path(), &blue), "no seed").unwrap();
        assert!(key(dir.path(), &blue).unwrap_err().to_string().contains("submitter-blue.nk"));
    }

    #[test]
    fn a_worker_is_a_name_and_its_pools() {
        assert_eq!(worker("gpu=a,b").unwrap().to_string(), "worker-gpu");
        for bad in ["gpu", "gpu=", "=a", "g p=a", "gpu=a b", "gpu=A"] {
            assert!(worker(bad).is_err(), "{bad}");
        }
    }
}
