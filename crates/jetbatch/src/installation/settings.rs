//! Heads of one installation are to agree about what follows for a job: its pools, how it is cut, where it lies. Each says
//! what it holds beside its beats in `leases`, and tells where another says otherwise.
use crate::{
    bus::{PublishError, ReadError},
    clock,
    config::Config,
    shared::Shared,
};
use domain::{
    Timestamp,
    trouble::{Kind, Scope, Trouble},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use wire::bucket;

/// Below this word each head has its key in the bucket.
const HEADS: &str = "heads";
/// A third of the bucket's time to live.
const EVERY: Duration = Duration::from_secs(1);
const WITHIN: Duration = Duration::from_secs(2);
/// Looks at the others are rarer than beats.
const LOOK_EVERY: u32 = 5;

/// What a head says of itself, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Digest {
    holder: String,
    at: Timestamp,
    settings: BTreeMap<String, String>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] PublishError),
}

/// Until `stop`.
pub async fn agree(shared: Shared, head: String, stop: CancellationToken) {
    let ours = digest(&shared.config);
    for round in 0_u32.. {
        let turn = timeout(WITHIN, turn(&shared, &head, &ours, round.is_multiple_of(LOOK_EVERY)));
        match stop.run_until_cancelled(turn).await {
            None => break,
            Some(Ok(Err(error))) => tracing::debug!(%error, "the other heads' settings are not known"),
            Some(Ok(Ok(())) | Err(_)) => {}
        }
        if stop.run_until_cancelled(sleep(EVERY)).await.is_none() {
            break;
        }
    }
    let leases = shared.bus.bucket(bucket::LEASES);
    // Where NATS is silent the key is forgotten.
    drop(timeout(WITHIN, leases.erase(&key(&head))).await);
}

async fn turn(shared: &Shared, head: &str, ours: &BTreeMap<String, String>, looks: bool) -> Result<(), Error> {
    let leases = shared.bus.bucket(bucket::LEASES);
    let digest = Digest { holder: head.to_owned(), at: clock::now(), settings: ours.clone() };
    leases.put(&key(head), serde_json::to_vec(&digest).expect("a digest is plain JSON")).await?;
    if !looks {
        return Ok(());
    }
    let mut others = Vec::new();
    for key in leases.keys_below(HEADS).await? {
        let held = leases.get(&key).await?;
        others.extend(held.and_then(|(value, _)| serde_json::from_slice::<Digest>(&value).ok()));
    }
    match differing(ours, &others) {
        None => shared.troubles.clear(&Scope::Installation, Kind::Settings),
        Some(cause) => {
            let mend = "give all heads that share a NATS the same configuration, and start them again";
            shared.troubles.tell(Scope::Installation, Trouble::new(Kind::Settings, cause, mend, clock::now()));
        }
    }
    Ok(())
}

fn key(head: &str) -> String {
    format!("{HEADS}.{head}")
}

/// Who says otherwise, and of what.
fn differing(ours: &BTreeMap<String, String>, others: &[Digest]) -> Option<String> {
    let words = others.iter().filter_map(|other| {
        let differ = ours.iter().filter(|(name, hash)| other.settings.get(*name).is_some_and(|held| held != *hash));
        let names: Vec<&str> = differ.map(|(name, _)| name.as_str()).collect();
        (!names.is_empty()).then(|| format!("head {} has other {} than this one", other.holder, names.join(", ")))
    });
    let mut words: Vec<String> = words.collect();
    words.sort_unstable();
    (!words.is_empty()).then(|| words.join("; "))
}

/// By name: what a job is made of, whether it is taken, and whose turn it is, follow from these.
fn digest(config: &Config) -> BTreeMap<String, String> {
    let pools: Vec<_> = config.pools.iter().map(|(name, pool)| (name, &pool.models)).collect();
    let admission: Vec<_> = config.pools.iter().map(|(name, pool)| (name, pool.admission)).collect();
    // A tenant that weighs as all do need not be named everywhere.
    let weights = config.tenants.iter().map(|(tenant, own)| (tenant, own.weight.to_string()));
    let weights: Vec<_> = weights.filter(|(_, weight)| weight != "1").collect();
    let hash = |text: String| blake3::hash(text.as_bytes()).to_hex()[..16].to_owned();
    BTreeMap::from([
        ("pools".to_owned(), hash(format!("{pools:?} {:?}", config.default_pool))),
        ("packing (chunk_requests)".to_owned(), hash(format!("{:?}", config.packing()))),
        ("admission".to_owned(), hash(format!("{admission:?}"))),
        ("tenants (weight)".to_owned(), hash(format!("{weights:?}"))),
        ("store.url".to_owned(), hash(config.store.url.clone())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(holder: &str, toml: &str) -> Digest {
        let settings = digest(&Config::parse(toml).unwrap());
        Digest { holder: holder.into(), at: Timestamp::new(1), settings }
    }

    #[test]
    fn heads_that_disagree_are_named_with_what_differs() {
        const POOL: &str = "[pools.a.engine]\nkind = 'echo'\n";
        let ours = held("us", POOL);
        let same = held("same", &format!("[http]\njson_bytes_max = 9\n{POOL}"));
        let store = held("b", &format!("[store]\nurl = 'x'\n{POOL}"));
        let pools = held("a", "[pools.a]\nmodels = ['m']\nchunk_requests = 7\n[pools.a.engine]\nkind = 'echo'\n");
        let named = held("named", &format!("{POOL}[tenants.blue]\n"));
        assert_eq!(differing(&ours.settings, &[ours.clone(), same, named]), None);
        let heavy = held("c", &format!("{POOL}[tenants.blue]\nweight = 2.0\n"));
        let strict = held("d", &format!("[pools.a]\nadmission = 'refuse'\n{POOL}"));
        let told = differing(&ours.settings, &[heavy, strict]).unwrap();
        assert_eq!(told, "head c has other tenants (weight) than this one; head d has other admission than this one");
        let told = differing(&ours.settings, &[store, pools]).unwrap();
        let want =
            "head a has other packing (chunk_requests), pools than this one; head b has other store.url than this one";
        assert_eq!(told, want);
    }
}
