//! `jetbatch keys`: who may do what at the doors. It talks to NATS, so the first key needs none.
use super::{admin::Link, config, error::Error, out, text};
use crate::{
    bus::Bucket,
    clock,
    keys::{self, Made},
};
use api::{Key, Keys as All, MadeKey};
use clap::{Args, Subcommand};
use domain::{
    Pool, Tenant,
    audit::What,
    key::{Draft, KeyId, Role, Roles},
};

#[derive(Debug, Args)]
pub struct Keys {
    #[command(subcommand)]
    what: Verb,
    #[command(flatten)]
    config: config::File,
    /// Print JSON for scripts
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a key. Its secret is shown this once; only its hash is kept
    Create(Create),
    /// List keys, the newest first
    List,
    /// Take a key back, at once and for good
    Revoke {
        /// The key's id
        id: KeyId,
    },
    /// Give a key another secret, which is shown this once
    Rotate {
        /// The key's id
        id: KeyId,
        /// How long the old secret is taken, too: 90s, 30m, 1h, at most 30d [default: not at all]
        #[arg(long)]
        grace: Option<String>,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// For people: whose it is, or what for
    name: String,
    /// Whose jobs it is for: 1 to 32 of a-z, 0-9 and '-'
    #[arg(long, default_value = "default")]
    tenant: Tenant,
    /// What it allows: submit, read, operate (workers, metrics), admin (all, and keys); some with commas between them
    #[arg(long = "role", visible_alias = "roles", value_delimiter = ',', value_parser = role, default_value = "submit,read")]
    roles: Vec<Role>,
    /// How long it lives: 90s, 30m, 48h, 90d [default: until it is revoked]
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// The only pools that its jobs may run in; may be given several times [default: all]
    #[arg(long = "pool")]
    pools: Vec<Pool>,
}

fn role(word: &str) -> Result<Role, String> {
    word.parse().map_err(|_| format!("use some of {}", text::words(Role::ALL)))
}

pub async fn keys(args: Keys) -> Result<(), Error> {
    let link = Link::open(&args.config).await?;
    let done = act(&link, args.what, args.json).await;
    done.and(link.close().await)
}

async fn act(link: &Link, what: Verb, is_json: bool) -> Result<(), Error> {
    let bucket = keys::bucket(&link.bus);
    match what {
        Verb::Create(create) => {
            // A first key may be made before anything was started.
            link.open_streams().await?;
            create.run(link, &bucket, is_json).await
        }
        Verb::List => {
            let all = keys::list(&bucket).await.map_err(failed)?;
            table(all.into_iter().map(shown).collect(), is_json)
        }
        Verb::Revoke { id } => {
            let key = shown(keys::revoke(&bucket, id).await.map_err(failed)?);
            link.record(What::RevokeKey, id).await;
            if is_json { json(&key) } else { out::line(format!("key {id} is revoked")) }
        }
        Verb::Rotate { id, grace } => {
            let made = keys::rotate(&bucket, id, grace.as_deref()).await.map_err(failed)?;
            link.record(What::RotateKey, id).await;
            told(made, is_json)
        }
    }
}

impl Create {
    async fn run(self, link: &Link, bucket: &Bucket, is_json: bool) -> Result<(), Error> {
        let Self { name, tenant, roles, expires: expires_in, pools } = self;
        let roles = roles.into_iter().collect::<Roles>();
        let draft = Draft { name, tenant, roles, pools, expires_in };
        let made = keys::create(bucket, draft).await.map_err(failed)?;
        link.record(What::CreateKey, made.key.id).await;
        told(made, is_json)
    }
}

/// The secret alone goes to standard output, for `export JETBATCH_API_KEY=$(jetbatch keys create ...)`.
fn told(made: Made, is_json: bool) -> Result<(), Error> {
    let Made { key, token } = made;
    if is_json {
        return json(&MadeKey { key: shown(key), secret: token.reveal() });
    }
    out::note(format_args!("key {} of tenant {}: {}. It is shown this once:", key.id, key.tenant, key.roles));
    out::line(token.reveal())
}

fn table(keys: Vec<Key>, is_json: bool) -> Result<(), Error> {
    if is_json {
        return json(&All::new(keys));
    }
    if keys.is_empty() {
        return out::line("no keys");
    }
    let now = clock::now().get();
    let heading = ["key", "name", "tenant", "roles", "pools", "state", "created", "expires"];
    let pools = |pools: &[Pool]| pools.iter().map(Pool::as_str).collect::<Vec<_>>().join(",");
    let rows = keys.iter().map(|key| {
        vec![
            key.id.to_string(),
            key.name.clone(),
            key.tenant.to_string(),
            key.roles.to_string(),
            if key.pools.is_empty() { "all".to_owned() } else { pools(&key.pools) },
            key.state.as_str().to_owned(),
            text::moment(key.created_at.ms(), now),
            key.expires_at.map_or_else(|| "never".to_owned(), |at| text::moment(at.ms(), now)),
        ]
    });
    let heading = heading.map(str::to_owned).to_vec();
    out::line(text::table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>()))
}

fn shown(key: domain::key::Key) -> Key {
    Key::new(key, clock::now())
}

fn json(value: &impl serde::Serialize) -> Result<(), Error> {
    out::line(serde_json::to_string(value).expect("a key is plain JSON"))
}

fn failed(error: keys::Error) -> Error {
    match &error {
        keys::Error::Fault(_) => Error::Usage(error.to_string()),
        keys::Error::Unknown(_) => Error::Refused { status: 404, message: error.to_string() },
        keys::Error::Revoked(_) | keys::Error::Contended(_) => {
            Error::Refused { status: 409, message: error.to_string() }
        }
        _ => Error::failed(error),
    }
}
