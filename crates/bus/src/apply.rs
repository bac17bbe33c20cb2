use std::collections::HashSet;
use std::fmt;

use futures::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Bus;
use super::api::{ApiError, code};
use super::create::{Fresh, MOVED_FROM, SHRUNK_FROM};
use super::files::StreamFile;

/// A setting that the server holds otherwise than the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: String,
    pub file: Value,
    pub server: Value,
}

/// What was done to bring a stream or consumer (`WORK/small`) to its file.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Created {
        what: String,
    },
    Updated {
        what: String,
        fields: Vec<Field>,
    },
    /// A cache, for a setting that no stream changes in its life.
    Replaced {
        what: String,
        fields: Vec<Field>,
    },
}

/// What stands between the server and a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    Missing {
        what: String,
    },
    /// And it cannot be created: another stream has its subject.
    Taken {
        what: String,
        subject: String,
        by: String,
    },
    Differs {
        what: String,
        fields: Vec<Field>,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("the server refuses to create {what}: {reason} ({code})")]
    Create { what: String, code: u64, reason: String },
    #[error("the server refuses to change {what} ({}): {reason} ({code})", join(fields))]
    Update { what: String, fields: Vec<Field>, code: u64, reason: String },
    #[error(
        "{what} cannot be created: its subject '{subject}' belongs to stream '{by}'. Take it out of there (nats stream \
         edit {by}), or give jetbatch a NATS account of its own"
    )]
    Taken { what: String, subject: String, by: String },
    #[error(
        "JetStream is switched off ({why}): jetbatch keeps its log there. Add `jetstream {{ store_dir: \"...\" }}` to the \
         configuration of nats-server (or start it with -js), and let the account use it"
    )]
    NoJetStream { why: String },
    #[error(
        "NATS denies {subject} to the user that jetbatch logs in as, so that {what} cannot be looked at: allow that user to \
         publish there, in its permissions"
    )]
    Denied { what: String, subject: String },
    #[error("{what} cannot be applied, because JetStream did not answer for {seconds} s: {reason}")]
    Unavailable { what: String, seconds: u64, reason: String },
}

impl ApplyError {
    /// It may be looked at, and is not there, and making it is somebody else's right.
    pub(super) fn is_anothers(&self) -> bool {
        matches!(self, Self::Denied { subject, .. } if subject.contains(".CREATE."))
    }
}

/// What the stream of a bucket is named with.
const BUCKET: &str = "KV_";

#[derive(Deserialize)]
struct Names {
    streams: Option<HashSet<String>>,
}

/// A stream or consumer file on its way to the server.
pub(super) struct Target<'a> {
    pub what: String,
    kind: Kind<'a>,
    pub file: Value,
}

#[derive(Clone, Copy)]
enum Kind<'a> {
    Stream { name: &'a str, is_cache: bool },
    Consumer { stream: &'a str, name: &'a str },
}

impl Bus {
    /// Brings streams, buckets and consumers to their files, and says what it changed.
    pub async fn apply_streams(&self, pools: &[String]) -> Result<Vec<Change>, ApplyError> {
        self.apply_where(pools, |_| true).await
    }

    /// The same for who starts: what is there but gives no answer, because its nodes look for a leader, is brought to
    /// its file when it has one, and nobody waits for that.
    pub async fn open_streams(&self, pools: &[String]) -> Result<Vec<Change>, ApplyError> {
        self.has_jetstream().await?;
        let silent = self.silent(pools).await?;
        if !silent.is_empty() {
            tracing::info!(?silent, "no leader answers yet; it is checked later");
            tokio::spawn(self.clone().apply_later(pools.to_vec(), silent.clone()));
        }
        self.apply_where(pools, |what| !silent.contains(what)).await
    }

    async fn apply_later(self, pools: Vec<String>, which: HashSet<String>) {
        match self.apply_where(&pools, |what| which.contains(what)).await {
            Ok(changes) => changes.iter().for_each(|change| tracing::debug!(%change, "brought to its file")),
            Err(error) => tracing::warn!(%error, "a stream may differ from its file"),
        }
    }

    async fn apply_where(&self, pools: &[String], which: impl Fn(&str) -> bool) -> Result<Vec<Change>, ApplyError> {
        self.has_jetstream().await?;
        let (consumers, mut changes, mut fresh) = (self.files().consumers(pools), Vec::new(), Fresh::default());
        for target in self.targets(&consumers).filter(|target| which(&target.what)) {
            changes.extend(self.apply(&target, &mut fresh).await?);
        }
        fresh.tell();
        Ok(changes)
    }

    /// Streams before the consumers on them.
    fn targets<'a>(&'a self, consumers: &'a [(String, String, Value)]) -> impl Iterator<Item = Target<'a>> {
        let streams = self.files().streams.iter().map(Target::stream);
        streams.chain(consumers.iter().map(|(stream, name, config)| Target::consumer(stream, name, config)))
    }

    /// What does not answer, though the cluster knows its stream. What the cluster does not know may have to be made.
    async fn silent(&self, pools: &[String]) -> Result<HashSet<String>, ApplyError> {
        let consumers = self.files().consumers(pools);
        let asks = self.targets(&consumers).map(|target| async move {
            let is_silent = self.glance(&target.verb("INFO"), &json!({})).await.is_none();
            is_silent.then(|| (target.stream_name().to_owned(), target.what))
        });
        let silent: Vec<(String, String)> = join_all(asks).await.into_iter().flatten().collect();
        if silent.is_empty() {
            return Ok(HashSet::new());
        }
        let known = self.names().await?;
        Ok(silent.into_iter().filter(|(stream, _)| known.contains(stream)).map(|(_, what)| what).collect())
    }

    /// What [`Bus::apply_streams`] would change.
    pub async fn check_streams(&self, pools: &[String]) -> Result<Vec<Difference>, ApplyError> {
        self.has_jetstream().await?;
        let (consumers, mut found) = (self.files().consumers(pools), Vec::new());
        for target in self.targets(&consumers) {
            found.extend(self.check(&target).await?);
        }
        Ok(found)
    }

    /// Creates a consumer that is gone from its file, and its stream if that is a cache. Looks at the consumer
    /// first, because a worker may have the right to nothing else.
    pub(super) async fn restore(&self, stream: &str, consumer: &str) -> Result<(), ApplyError> {
        let Some(config) = self.files().consumer(stream, consumer) else { return Ok(()) };
        let target = Target::consumer(stream, consumer, &config);
        if self.config(&target).await?.is_none() {
            self.revive(stream).await;
            self.create(&target, &mut Fresh::default()).await?;
            tracing::warn!(what = target.what, "a consumer was gone and is created again");
        }
        Ok(())
    }

    /// The same for who asks again anyway: it waits neither for a leader nor, in a cluster, for the leader of all. A
    /// consumer may serve pulls while its cluster cannot say whether there is one.
    pub(super) async fn restore_if_gone(&self, stream: &str, consumer: &str) -> Result<(), ApplyError> {
        let info = Target::consumer(stream, consumer, &Value::Null).verb("INFO");
        match self.glance(&info, &json!({})).await {
            // What it says is looked into with more patience.
            Some(Err(_)) => self.restore(stream, consumer).await,
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Creates a cache that is gone. A stream of truth is never created behind anyone's back: its loss must be seen.
    pub(super) async fn revive(&self, stream: &str) {
        let Some(file) = self.files().stream(stream).filter(|file| file.is_cache) else { return };
        let target = Target::stream(file);
        match self.config(&target).await {
            Ok(Some(_)) => {}
            Ok(None) => match self.found(&target, &mut Fresh::default()).await {
                Ok(Some(_)) => tracing::warn!(stream, "a stream was gone and is created again"),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "a stream is gone"),
            },
            Err(error) => tracing::debug!(%error, "a stream cannot be looked up"),
        }
    }

    /// The streams that the cluster knows of, with a leader or without.
    async fn names(&self) -> Result<HashSet<String>, ApplyError> {
        match self.api::<Names>("STREAM.NAMES", &json!({})).await {
            Ok(names) => Ok(names.streams.unwrap_or_default()),
            // A right that only this needs.
            Err(ApiError::Refused { .. } | ApiError::Denied { .. }) => Ok(HashSet::new()),
            Err(ApiError::Unavailable { seconds, reason }) => {
                Err(ApplyError::Unavailable { what: "the streams".to_owned(), seconds, reason })
            }
        }
    }

    async fn check(&self, target: &Target<'_>) -> Result<Option<Difference>, ApplyError> {
        let what = target.what.clone();
        let Some(have) = self.config(target).await? else {
            let taken =
                self.taken(target).await.map(|(subject, by)| Difference::Taken { what: what.clone(), subject, by });
            return Ok(Some(taken.unwrap_or(Difference::Missing { what })));
        };
        let fields = differences(&target.file, &have);
        Ok((!fields.is_empty()).then_some(Difference::Differs { what, fields }))
    }

    async fn apply(&self, target: &Target<'_>, fresh: &mut Fresh) -> Result<Option<Change>, ApplyError> {
        let Some(have) = self.config(target).await? else { return self.found(target, fresh).await };
        let fields = differences(&target.file, &have);
        match fields.as_slice() {
            [] => Ok(None),
            differ if target.is_replaceable() && differ.iter().any(Field::is_fixed) => {
                self.replace(target, fields, fresh).await
            }
            _ => self.update(target, have, fields).await,
        }
    }

    /// Deletes a cache and creates it anew. What it held is owed, and comes again. Who may not delete it goes on with it
    /// as it is.
    async fn replace(
        &self,
        target: &Target<'_>,
        fields: Vec<Field>,
        fresh: &mut Fresh,
    ) -> Result<Option<Change>, ApplyError> {
        match self.api::<Value>(&target.verb("DELETE"), &json!({})).await {
            Err(error) if error.code() != code::STREAM_NOT_FOUND => {
                tracing::warn!(what = target.what, %error, "it differs from its file ({}), and stays so", join(&fields));
                return Ok(None);
            }
            Ok(_) | Err(_) => {}
        }
        let created = self.found(target, fresh).await?;
        Ok(created.map(|_| Change::Replaced { what: target.what.clone(), fields }))
    }

    /// Creates what was not there. Processes that start together may each have looked before one of them created it,
    /// and where storage is short it got another size there.
    async fn found(&self, target: &Target<'_>, fresh: &mut Fresh) -> Result<Option<Change>, ApplyError> {
        match self.create(target, fresh).await {
            Err(ApplyError::Create { code: code::NAME_IN_USE, .. }) => Ok(None),
            Err(ApplyError::Create { what, code: code::OVERLAP, reason }) => Err(match self.taken(target).await {
                Some((subject, by)) => ApplyError::Taken { what, subject, by },
                None => ApplyError::Create { what, code: code::OVERLAP, reason },
            }),
            created => created.map(Some),
        }
    }

    /// Another stream that has one of a stream's subjects, and that subject.
    async fn taken(&self, target: &Target<'_>) -> Option<(String, String)> {
        for subject in target.file["subjects"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let names = self.api::<Names>("STREAM.NAMES", &json!({"subject": subject})).await.ok()?;
            let other = names.streams.into_iter().flatten().find(|name| name != target.stream_name());
            if let Some(by) = other {
                return Some((subject.to_owned(), by));
            }
        }
        None
    }

    async fn config(&self, target: &Target<'_>) -> Result<Option<Value>, ApplyError> {
        let info: Result<Value, ApiError> = self.api(&target.verb("INFO"), &json!({})).await;
        match info {
            Ok(info) => Ok(Some(info["config"].clone())),
            Err(error) if [code::STREAM_NOT_FOUND, code::CONSUMER_NOT_FOUND].contains(&error.code()) => Ok(None),
            Err(error) => Err(target.refused(Vec::new(), error)),
        }
    }

    async fn update(&self, target: &Target<'_>, have: Value, fields: Vec<Field>) -> Result<Option<Change>, ApplyError> {
        let what = target.what.clone();
        let config = merge(have, &fields);
        let updated: Result<Value, ApiError> = self.api(&target.verb("UPDATE"), &target.body(&config)).await;
        match updated {
            Ok(_) => Ok(Some(Change::Updated { what, fields })),
            Err(error) if error.is_tight() && fields.iter().all(Field::is_bytes) => {
                tracing::warn!(what, "the server has little storage; max_bytes stays smaller than its file says");
                Ok(None)
            }
            Err(error) => Err(target.refused(fields, error)),
        }
    }
}

impl<'a> Target<'a> {
    fn stream(file: &'a StreamFile) -> Self {
        Self {
            what: file.name.clone(),
            kind: Kind::Stream { name: &file.name, is_cache: file.is_cache },
            file: file.json.clone(),
        }
    }

    fn consumer(stream: &'a str, name: &'a str, config: &Value) -> Self {
        Self { what: format!("{stream}/{name}"), kind: Kind::Consumer { stream, name }, file: config.clone() }
    }

    /// Buckets are not: what a leader holds there is not taken from under it.
    fn is_replaceable(&self) -> bool {
        matches!(self.kind, Kind::Stream { is_cache: true, name } if !name.starts_with(BUCKET))
    }

    fn stream_name(&self) -> &str {
        match self.kind {
            Kind::Stream { name, .. } => name,
            Kind::Consumer { stream, .. } => stream,
        }
    }

    /// Consumers have one verb for both creating and updating.
    pub fn verb(&self, verb: &str) -> String {
        match self.kind {
            Kind::Stream { name, .. } => format!("STREAM.{verb}.{name}"),
            Kind::Consumer { stream, name } => {
                format!("CONSUMER.{}.{stream}.{name}", if verb == "UPDATE" { "CREATE" } else { verb })
            }
        }
    }

    pub fn body(&self, config: &Value) -> Value {
        match self.kind {
            Kind::Stream { .. } => config.clone(),
            Kind::Consumer { stream, .. } => json!({"stream_name": stream, "config": config}),
        }
    }

    pub fn refused(&self, fields: Vec<Field>, error: ApiError) -> ApplyError {
        let what = self.what.clone();
        match error {
            ApiError::Refused { code, reason } if fields.is_empty() => ApplyError::Create { what, code, reason },
            ApiError::Refused { code, reason } => ApplyError::Update { what, fields, code, reason },
            ApiError::Unavailable { seconds, reason } => ApplyError::Unavailable { what, seconds, reason },
            ApiError::Denied { subject } => ApplyError::Denied { what, subject },
        }
    }
}

/// The fields that the file sets and the server holds otherwise. What the file leaves out is the operator's.
fn differences(file: &Value, server: &Value) -> Vec<Field> {
    let fields = file.as_object().into_iter().flatten().filter_map(|(name, file)| {
        let held = server.get(name).cloned().unwrap_or(Value::Null);
        let is_shrunk = name == "max_bytes" && server["metadata"][SHRUNK_FROM] == json!(file.to_string());
        let is_moved = name == "storage" && server["metadata"][MOVED_FROM] == *file;
        (!is_shrunk && !is_moved && !same(name, file, &held)).then(|| Field {
            name: name.clone(),
            file: file.clone(),
            server: held,
        })
    });
    fields.collect()
}

fn same(name: &str, file: &Value, server: &Value) -> bool {
    match (name, file, server) {
        // The server adds entries of its own.
        ("metadata", Value::Object(file), _) => file.iter().all(|(key, value)| server.get(key) == Some(value)),
        (_, Value::Number(file), server) if name.starts_with("max_") => {
            unlimited(file.as_i64()) == unlimited(server.as_i64())
        }
        // The server leaves out what is empty.
        (_, file, Value::Null) => [json!(null), json!(false), json!(0), json!(""), json!([]), json!({})].contains(file),
        (_, file, server) => file == server,
    }
}

/// The server writes -1 where a file may say 0 or nothing.
fn unlimited(limit: Option<i64>) -> Option<i64> {
    limit.filter(|limit| *limit > 0)
}

fn merge(mut config: Value, fields: &[Field]) -> Value {
    for Field { name, file, .. } in fields {
        match (name.as_str(), file) {
            ("metadata", Value::Object(entries)) => entries.iter().for_each(|(key, value)| {
                config["metadata"][key] = value.clone();
            }),
            _ => config[name] = file.clone(),
        }
    }
    config
}

impl Field {
    fn is_bytes(&self) -> bool {
        self.name == "max_bytes"
    }

    /// The server refuses to change it.
    pub(super) fn is_fixed(&self) -> bool {
        ["storage", "retention"].contains(&self.name.as_str())
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.name, self.server, self.file)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created { what } => write!(f, "{what} created"),
            Self::Updated { what, fields } => write!(f, "{what} updated ({})", join(fields)),
            Self::Replaced { what, fields } => write!(f, "{what} created anew ({})", join(fields)),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { what } => write!(f, "{what} is missing"),
            Self::Taken { what, subject, by } => {
                write!(f, "{what} is missing, and its subject '{subject}' belongs to stream '{by}'")
            }
            Self::Differs { what, fields } => write!(f, "{what} differs ({})", join(fields)),
        }
    }
}

fn join(fields: &[Field]) -> String {
    fields.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
