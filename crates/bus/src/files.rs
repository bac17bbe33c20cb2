use std::path::{Path, PathBuf};

use async_nats::jetstream::{consumer, stream};
use serde_json::{Value, json};

use super::{Settings, Storage, pull};

/// A file's name under `streams/` and what is in it.
pub type BuiltIn = (&'static str, &'static str);

/// What a program declares: its streams and buckets in the order in which they are applied, and its durable consumers.
#[derive(Debug, Clone, Copy)]
pub struct Declared {
    pub streams: &'static [BuiltIn],
    pub consumers: &'static [BuiltIn],
    /// The metadata that says `true` of a stream that is rebuilt when it is gone.
    pub cache_mark: &'static str,
    /// The stream from which all else is rebuilt.
    pub log: &'static str,
    /// Streams whose messages stay until they are taken.
    pub queues: &'static [&'static str],
}

/// What a stream is for, as far as it decides what endangers it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    Log,
    Queue,
    #[default]
    Other,
}

/// Stands in a consumer file for the name of a pool.
const POOL: &str = "{pool}";

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a stream or consumer configuration: {source}")]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("{path} names {found}; the file's name says {expected}")]
    Name { path: PathBuf, found: String, expected: String },
    #[error("{path} replaces none of the built-in files")]
    Stray { path: PathBuf },
}

/// The streams, buckets and consumers as their files describe them, with replicas and storage as configured.
#[derive(Debug, Clone)]
pub struct Files {
    pub streams: Vec<StreamFile>,
    consumers: Vec<ConsumerFile>,
}

#[derive(Debug, Clone)]
pub struct StreamFile {
    pub name: String,
    pub subjects: Vec<String>,
    /// A subject keeps its first message for ever, so a second publish is harmless.
    pub one_per_subject: bool,
    /// Rebuilt from the log: when it is gone it is created again, and nothing is lost.
    pub is_cache: bool,
    pub role: Role,
    pub json: Value,
}

#[derive(Debug, Clone)]
struct ConsumerFile {
    stream: String,
    json: Value,
}

impl Declared {
    fn role(&self, stream: &str) -> Role {
        match stream {
            _ if stream == self.log => Role::Log,
            _ if self.queues.contains(&stream) => Role::Queue,
            _ => Role::Other,
        }
    }
}

impl Files {
    pub fn load(declared: &Declared, settings: &Settings) -> Result<Self, FileError> {
        if let Some(dir) = &settings.streams_dir {
            refuse_strays(declared, dir)?;
        }
        let dir = settings.streams_dir.as_deref();
        let streams = declared.streams.iter();
        let streams = streams.map(|file| StreamFile::load(file, dir, settings, declared));
        let consumers = declared.consumers.iter().map(|file| ConsumerFile::load(file, dir, settings));
        Ok(Self { streams: streams.collect::<Result<_, _>>()?, consumers: consumers.collect::<Result<_, _>>()? })
    }

    pub fn stream(&self, name: &str) -> Option<&StreamFile> {
        self.streams.iter().find(|stream| stream.name == name)
    }

    pub fn log(&self) -> Option<&StreamFile> {
        self.streams.iter().find(|stream| stream.role == Role::Log)
    }

    /// The stream that takes a concrete subject.
    pub fn stream_of(&self, subject: &str) -> Option<&StreamFile> {
        self.streams.iter().find(|stream| stream.subjects.iter().any(|filter| matches(filter, subject)))
    }

    /// Stream, name and configuration of every consumer, those of pools once for each pool.
    pub fn consumers(&self, pools: &[String]) -> Vec<(String, String, Value)> {
        let all = self.consumers.iter().flat_map(|file| {
            let names = if file.is_template() { pools.to_vec() } else { vec![file.name()] };
            names.into_iter().map(|name| (file.stream.clone(), name.clone(), file.config(&name)))
        });
        all.collect()
    }

    pub fn consumer(&self, stream: &str, name: &str) -> Option<Value> {
        let here = || self.consumers.iter().filter(|file| file.stream == stream);
        let file = here().find(|file| file.name() == name).or_else(|| here().find(|file| file.is_template()))?;
        Some(file.config(name))
    }
}

impl StreamFile {
    fn load(file: &BuiltIn, dir: Option<&Path>, settings: &Settings, declared: &Declared) -> Result<Self, FileError> {
        let (path, mut json) = read::<stream::Config>(file, dir)?;
        let name = stem(file.0);
        check_name(&path, &json["name"], &name)?;
        json["num_replicas"] = json!(settings.replicas);
        // What a file keeps in memory is not worth a disk.
        if json["storage"] != json!(Storage::Memory.name()) {
            json["storage"] = json!(settings.storage.name());
        }
        let subjects = json["subjects"].as_array().into_iter().flatten();
        let subjects = subjects.filter_map(|subject| subject.as_str().map(str::to_owned)).collect();
        let one_per_subject =
            json["discard_new_per_subject"] == json!(true) && json["max_msgs_per_subject"] == json!(1);
        let is_cache = json["metadata"][declared.cache_mark] == json!("true");
        let role = declared.role(&name);
        Ok(Self { name, subjects, one_per_subject, is_cache, role, json })
    }
}

impl ConsumerFile {
    fn load(file: &BuiltIn, dir: Option<&Path>, settings: &Settings) -> Result<Self, FileError> {
        let (path, mut json) = read::<consumer::Config>(file, dir)?;
        if json["durable_name"] != json!(POOL) {
            check_name(&path, &json["durable_name"], &stem(file.0))?;
        }
        json["ack_wait"] = json!(pull::nanos(std::time::Duration::from_secs(settings.ack_wait_s)));
        let stream = file.0.split('/').nth(1).unwrap_or_default().to_owned();
        Ok(Self { stream, json })
    }

    fn name(&self) -> String {
        self.json["durable_name"].as_str().unwrap_or_default().to_owned()
    }

    fn is_template(&self) -> bool {
        self.name() == POOL
    }

    fn config(&self, name: &str) -> Value {
        let mut config = self.json.clone();
        for key in ["durable_name", "filter_subject"] {
            if let Some(text) = config[key].as_str() {
                config[key] = json!(text.replace(POOL, name));
            }
        }
        config
    }
}

/// Reads a file, from the folder where it lies there, and checks that the client's type knows it.
fn read<T: serde::de::DeserializeOwned>(
    (name, builtin): &BuiltIn,
    dir: Option<&Path>,
) -> Result<(PathBuf, Value), FileError> {
    let path = dir.map(|dir| dir.join(name)).filter(|path| path.exists());
    let (path, text) = match path {
        Some(path) => match std::fs::read_to_string(&path) {
            Ok(text) => (path, text),
            Err(source) => return Err(FileError::Read { path, source }),
        },
        None => (PathBuf::from(name), (*builtin).to_owned()),
    };
    let parsed = serde_json::from_str::<T>(&text).and_then(|_| serde_json::from_str(&text));
    parsed.map(|json| (path.clone(), json)).map_err(|source| FileError::Parse { path, source })
}

/// A file that is never read would be a change that is never made.
fn refuse_strays(declared: &Declared, dir: &Path) -> Result<(), FileError> {
    let known = declared.streams.iter().chain(declared.consumers);
    let known: Vec<PathBuf> = known.map(|(name, _)| dir.join(name)).collect();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = entries.map_err(|source| FileError::Read { path: folder, source })?;
        for path in entries.into_iter().map(|entry| entry.path()) {
            let is_json = path.extension().is_some_and(|end| end == "json");
            if path.is_dir() {
                folders.push(path);
            } else if is_json && !known.contains(&path) {
                return Err(FileError::Stray { path });
            }
        }
    }
    Ok(())
}

fn stem(file: &str) -> String {
    Path::new(file).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

fn check_name(path: &Path, found: &Value, expected: &str) -> Result<(), FileError> {
    let found = found.as_str().unwrap_or_default().to_owned();
    if found == expected {
        Ok(())
    } else {
        Err(FileError::Name { path: path.into(), found, expected: expected.into() })
    }
}

/// Whether a NATS filter (`*` one token, `>` the rest) takes a concrete subject.
pub(super) fn matches(filter: &str, subject: &str) -> bool {
    let (mut filter, mut subject) = (filter.split('.'), subject.split('.'));
    loop {
        match (filter.next(), subject.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some(want), Some(have)) if want == "*" || want == have => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_on_the_server() {
        for (filter, subject, expected) in [
            ("a.*.c", "a.b.c", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            ("a.*", "a.b.c", false),
            ("a.b", "a.b", true),
            ("a.b.c", "a.b", false),
        ] {
            assert_eq!(matches(filter, subject), expected, "{filter} {subject}");
        }
    }

    const QUEUE: &str = r#"{"name":"QUEUE","subjects":["queue.*.*.*"],"retention":"workqueue","storage":"file",
        "num_replicas":1,"max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"max_msg_size":-1,
        "max_msgs_per_subject":-1,"discard":"new","duplicate_window":0,"metadata":{"cache":"true"}}"#;
    const POOLS: &str = r#"{"durable_name":"{pool}","deliver_policy":"all","ack_policy":"explicit","ack_wait":1,
        "max_deliver":-1,"filter_subject":"queue.{pool}.>","replay_policy":"instant"}"#;
    const DECLARED: Declared = Declared {
        streams: &[("QUEUE.json", QUEUE)],
        consumers: &[("consumers/QUEUE/pool.json", POOLS)],
        cache_mark: "cache",
        log: "LOG",
        queues: &["QUEUE"],
    };

    #[test]
    fn a_subject_has_its_stream() {
        let files = Files::load(&DECLARED, &Settings::default()).unwrap();
        let stream = files.stream_of("queue.a.b.c").unwrap();
        assert_eq!((stream.name.as_str(), stream.is_cache, stream.one_per_subject), ("QUEUE", true, false));
        assert_eq!(stream.role, Role::Queue);
        assert!(files.stream_of("queue.a").is_none());
    }

    #[test]
    fn a_pool_has_its_consumer() {
        let settings = Settings { ack_wait_s: 7, ..Settings::default() };
        let config = Files::load(&DECLARED, &settings).unwrap().consumer("QUEUE", "small").unwrap();
        assert_eq!(config["durable_name"], "small");
        assert_eq!(config["filter_subject"], "queue.small.>");
        assert_eq!(config["ack_wait"], 7_000_000_000_u64);
    }
}
