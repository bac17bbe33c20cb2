use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{ConsumerFact, DiskSync, Facts, StreamFact, Usage};
use crate::create::SHRUNK_FROM;
use crate::files::StreamFile;
use crate::server;
use crate::{ApplyError, Bus, Settings};

const MONITOR_PORT: u16 = 8222;
const MONITOR_TIMEOUT: Duration = Duration::from_secs(2);
const NANOS: u64 = 1_000_000_000;

/// Asks JetStream, and the monitoring address where one answers.
pub async fn gather(bus: &Bus, settings: &Settings, pools: &[String]) -> Result<Facts, ApplyError> {
    bus.has_jetstream().await?;
    let info = bus.client().server_info();
    let own = server::monitor(&settings.data_dir).await;
    let own = own.filter(|own| own.id == info.server_id);
    let is_own = own.is_some();
    let monitor = own.map_or_else(|| monitor_of(settings.url.as_deref(), &info.host), |own| own.monitor);
    let jsz: Option<Value> = ask(&format!("{monitor}/jsz")).await;
    let account: Value = bus.api("INFO", &json!({})).await.unwrap_or_default();
    Ok(Facts {
        version: crate::version::parse(&info.version),
        is_own,
        sync: jsz.as_ref().and_then(sync),
        servers: servers(jsz.as_ref(), info.cluster.is_none()),
        max_payload_bytes: info.max_payload as u64,
        replicas: settings.replicas,
        retry_s: settings.retry_s,
        account: usage(&account["storage"], &account["limits"]["max_storage"]),
        server: jsz.as_ref().map(|jsz| usage(&jsz["storage"], &jsz["config"]["max_storage"])).unwrap_or_default(),
        log: bus.files().log().map(|file| file.name.clone()),
        streams: streams(bus).await,
        consumers: consumers(bus, pools).await,
        differences: bus.check_streams(pools).await?,
    })
}

/// The usual monitoring port of the configured host.
fn monitor_of(url: Option<&str>, host: &str) -> String {
    let first = url.and_then(|url| url.split(',').next()).unwrap_or_default();
    let named = url::Url::parse(first).ok().and_then(|url| url.host_str().map(str::to_owned));
    format!("http://{}:{MONITOR_PORT}", named.unwrap_or_else(|| host.to_owned()))
}

async fn ask<T: DeserializeOwned>(url: &str) -> Option<T> {
    let client = reqwest::Client::builder().no_proxy().timeout(MONITOR_TIMEOUT).build().ok()?;
    client.get(url).send().await.ok()?.json().await.ok()
}

fn sync(jsz: &Value) -> Option<DiskSync> {
    let config = jsz.get("config")?;
    if config["sync_always"] == json!(true) {
        return Some(DiskSync::Always);
    }
    Some(DiskSync::Every { seconds: config["sync_interval"].as_u64()?.div_ceil(NANOS) })
}

fn servers(jsz: Option<&Value>, is_alone: bool) -> Option<usize> {
    let size = jsz.and_then(|jsz| jsz["meta_cluster"]["cluster_size"].as_u64());
    size.and_then(|size| usize::try_from(size).ok()).or(is_alone.then_some(1))
}

fn usage(bytes: &Value, max: &Value) -> Usage {
    Usage { bytes: bytes.as_u64().unwrap_or(0), max_bytes: limit(max) }
}

fn limit(value: &Value) -> Option<u64> {
    value.as_i64().and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0)
}

async fn streams(bus: &Bus) -> Vec<StreamFact> {
    let mut facts = Vec::new();
    for file in &bus.files().streams {
        let info: Result<Value, _> = bus.api(&format!("STREAM.INFO.{}", file.name), &json!({})).await;
        facts.extend(info.ok().map(|info| stream(file, &info)));
    }
    facts
}

fn stream(file: &StreamFile, info: &Value) -> StreamFact {
    let config = &info["config"];
    StreamFact {
        name: file.name.clone(),
        usage: usage(&info["state"]["bytes"], &config["max_bytes"]),
        replicas: config["num_replicas"].as_u64().unwrap_or(1),
        in_memory: config["storage"] == json!("memory"),
        discards_old: config["discard"] != json!("new"),
        max_messages: limit(&config["max_msgs"]),
        max_age_s: limit(&config["max_age"]).map(|nanos| nanos / NANOS),
        dedup_s: config["duplicate_window"].as_u64().unwrap_or(0) / NANOS,
        is_cache: file.is_cache,
        role: file.role,
        is_shrunk: config["metadata"].get(SHRUNK_FROM).is_some(),
    }
}

async fn consumers(bus: &Bus, pools: &[String]) -> Vec<ConsumerFact> {
    let mut facts = Vec::new();
    for (stream, name, _) in bus.files().consumers(pools) {
        let info: Result<Value, _> = bus.api(&format!("CONSUMER.INFO.{stream}.{name}"), &json!({})).await;
        facts.extend(info.ok().map(|info| consumer(format!("{stream}/{name}"), &info)));
    }
    facts
}

fn consumer(what: String, info: &Value) -> ConsumerFact {
    let config = &info["config"];
    ConsumerFact {
        what,
        ack_wait_s: config["ack_wait"].as_u64().unwrap_or(0) / NANOS,
        max_deliver: config["max_deliver"].as_i64().unwrap_or(-1),
        ack_pending: info["num_ack_pending"].as_u64().unwrap_or(0),
        max_ack_pending: limit(&config["max_ack_pending"]),
    }
}
