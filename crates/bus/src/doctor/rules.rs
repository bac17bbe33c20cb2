use super::Severity::{Danger, Note, Warning};
use super::{DiskSync, Facts, Finding, Usage};
use crate::{Difference, Field, Role, SERVER_VERSION_MIN};

type Rule = fn(&Facts) -> Vec<Finding>;

pub(super) const ALL: [Rule; 11] =
    [version, sync, replicas, memory, payload, space, shrunk, dedup, consumers, retention, differences];

const MESSAGE_BYTES_MAX: u64 = 1 << 20;
const PAYLOAD_BYTES_MAX: u64 = 8 << 20;
const LOG_DAYS_MIN: u64 = 30;
const ACK_WAIT_S_MIN: u64 = 10;
const FULL_PERCENT: u64 = 95;
const FILLING_PERCENT: u64 = 80;
/// A sync this often loses little more than what was under way anyway.
const SYNC_S_SHORT: u64 = 1;
const SYNC_S_LONG: u64 = 10;

fn version(facts: &Facts) -> Vec<Finding> {
    const WHY: &str = "Older releases can lose acknowledged messages when a disk write fails or a machine dies, even with \
                       sync_interval always (nats-server issues 8312, 8456, 8475).";
    let mend = format!("Upgrade every nats-server to {SERVER_VERSION_MIN} or newer.");
    match &facts.version {
        Some(version) if *version >= SERVER_VERSION_MIN => Vec::new(),
        Some(version) => vec![Finding::new(Danger, format!("nats-server is version {version}"), WHY, &mend)],
        None => vec![Finding::new(Warning, "the version of nats-server is unknown", WHY, &mend)],
    }
}

fn sync(facts: &Facts) -> Vec<Finding> {
    let mend = match facts.is_own {
        true => "Set nats.sync_interval = \"always\" in jetbatch's configuration (slower), or use a cluster of three.",
        false => "Set sync_interval: always in the jetstream block of every nats-server.",
    };
    let is_alone = facts.servers.unwrap_or(1) < 3 || facts.replicas < 3;
    let why = match is_alone {
        true => {
            "Messages are acknowledged before they are on disk: a power failure loses those since the last sync. A crash of the process loses none."
        }
        false => {
            "Messages are acknowledged before they are on disk: a power failure of two servers at once loses those since the last sync."
        }
    };
    let (severity, what) = match facts.sync {
        Some(DiskSync::Always) => return Vec::new(),
        None => (Note, "sync_interval is unknown, because no monitoring address answered".to_owned()),
        Some(DiskSync::Every { seconds }) => {
            let severity = match seconds {
                0..=SYNC_S_SHORT => Note,
                _ if is_alone && seconds > SYNC_S_LONG => Danger,
                _ => Warning,
            };
            (severity, format!("sync_interval is {seconds} s"))
        }
    };
    vec![Finding::new(severity, what, why, mend)]
}

fn replicas(facts: &Facts) -> Vec<Finding> {
    const MEND: &str = "Set nats.replicas = 3 and run jetbatch streams apply.";
    let (configured, servers) = (facts.replicas, facts.servers);
    let finding = match (configured, servers) {
        (wanted, Some(servers)) if wanted > servers => Finding::new(
            Danger,
            format!("{wanted} replicas are configured, but there are {servers} servers"),
            "Streams cannot be created with more replicas than servers.",
            "Add servers, or lower nats.replicas.",
        ),
        (1, Some(1)) => Finding::new(
            Note,
            "one server, one copy of everything",
            "The loss of its disk is the loss of all jobs, and while it is down jetbatch stands still.",
            "Run three servers in separate failure domains, set nats.replicas = 3, or back up the streams.",
        ),
        (1, Some(_)) => Finding::new(
            Danger,
            "one replica in a cluster",
            "Each stream lives on one server; the loss of that server's disk loses it.",
            MEND,
        ),
        (even, _) if even % 2 == 0 => Finding::new(
            Warning,
            format!("{even} replicas"),
            "An even number tolerates no more failures than one replica less, and two tolerate none.",
            MEND,
        ),
        _ => return Vec::new(),
    };
    vec![finding]
}

fn memory(facts: &Facts) -> Vec<Finding> {
    let volatile = facts.streams.iter().filter(|stream| stream.in_memory && !stream.is_cache);
    let findings = volatile.map(|stream| {
        let what = format!("stream {} is in memory", stream.name);
        let mend = "Set nats.storage = \"file\"; delete the stream first, because the server does not move it.";
        Finding::new(Danger, what, "It is gone when its servers restart.", mend)
    });
    findings.collect()
}

fn payload(facts: &Facts) -> Vec<Finding> {
    let bytes = facts.max_payload_bytes;
    let finding = match bytes {
        MESSAGE_BYTES_MAX..=PAYLOAD_BYTES_MAX => return Vec::new(),
        0..MESSAGE_BYTES_MAX => Finding::new(
            Danger,
            format!("max_payload is {bytes} bytes"),
            "Chunks and results of up to 1 MiB are refused, and their jobs cannot end.",
            "Set max_payload to 1MB, the default, on every nats-server.",
        ),
        _ => Finding::new(
            Warning,
            format!("max_payload is {bytes} bytes"),
            "Messages that large stall a server's other clients; jetbatch needs 1 MiB.",
            "Set max_payload to 1MB, the default, on every nats-server.",
        ),
    };
    vec![finding]
}

fn space(facts: &Facts) -> Vec<Finding> {
    let streams = facts.streams.iter().map(|stream| (format!("stream {}", stream.name), stream.usage));
    let places = [("the account".to_owned(), facts.account), ("the server".to_owned(), facts.server)];
    places.into_iter().chain(streams).filter_map(|(place, usage)| filling(&place, usage)).collect()
}

fn filling(place: &str, usage: Usage) -> Option<Finding> {
    let percent = usage.percent().filter(|percent| *percent >= FILLING_PERCENT)?;
    let severity = if percent >= FULL_PERCENT { Danger } else { Warning };
    let what = format!("{place} uses {percent} % of its storage");
    let why = "When it is full, publishing waits and then fails; jobs stand still.";
    let mend = "Give it more storage, or let jobs end and be archived before submitting more.";
    Some(Finding::new(severity, what, why, mend))
}

fn shrunk(facts: &Facts) -> Vec<Finding> {
    let small = facts.streams.iter().filter(|stream| stream.is_shrunk);
    let findings = small.map(|stream| {
        let what = format!("stream {} is smaller than its file says", stream.name);
        let why = "The server had not the storage it asks for; many large jobs at once will wait for each other.";
        let mend =
            "Give the server more storage (max_file_store), and raise the stream's max_bytes with nats stream edit.";
        Finding::new(Note, what, why, mend)
    });
    findings.collect()
}

fn dedup(facts: &Facts) -> Vec<Finding> {
    let needed = 2 * facts.retry_s;
    let short = facts.streams.iter().filter(|stream| !stream.is_cache && stream.dedup_s < needed);
    let findings = short.map(|stream| {
        let what = format!("stream {} forgets message ids after {} s", stream.name, stream.dedup_s);
        let why = "A publish that is tried again after that is stored twice.";
        let mend = format!("Set its duplicate_window to {needed} s or more, or lower nats.retry_s.");
        Finding::new(Danger, what, why, &mend)
    });
    findings.collect()
}

fn consumers(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for consumer in &facts.consumers {
        let what = &consumer.what;
        if consumer.max_deliver > 0 {
            let text = format!("consumer {what} gives up after {} deliveries", consumer.max_deliver);
            let why = "A message that reaches the limit stays in the stream for ever, and no worker sees it again.";
            findings.push(Finding::new(Danger, text, why, "Set max_deliver to -1: jetbatch counts attempts itself."));
        }
        if consumer.ack_wait_s < ACK_WAIT_S_MIN {
            let text = format!("consumer {what} waits {} s for an acknowledgement", consumer.ack_wait_s);
            let why = "A short pause of a worker has its chunks run twice.";
            findings.push(Finding::new(Warning, text, why, "Set nats.ack_wait_s to 30."));
        }
        if consumer.max_ack_pending.is_some_and(|max| consumer.ack_pending >= max) {
            let text = format!("consumer {what} has {} messages unacknowledged, its maximum", consumer.ack_pending);
            let why = "It hands out no more until some are acknowledged.";
            findings.push(Finding::new(Warning, text, why, "Raise max_ack_pending in its file and apply it."));
        }
    }
    findings
}

fn retention(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for stream in facts.streams.iter().filter(|stream| !stream.is_cache) {
        let (name, is_log) = (&stream.name, stream.role == Role::Log);
        let days = stream.max_age_s.map(|seconds| seconds / 86_400);
        if let Some(days) = days.filter(|days| is_log && *days < LOG_DAYS_MIN) {
            let what = format!("stream {name} forgets facts after {days} days");
            let why = "A job that lasts longer, or is asked for later, loses its beginning.";
            findings.push(Finding::new(
                Danger,
                what,
                why,
                &format!("Set max_age to 365 days in {name}.json and apply it."),
            ));
        }
        let is_bounded = stream.usage.max_bytes.is_some() || stream.max_messages.is_some();
        if is_log && is_bounded && stream.discards_old {
            let what = format!("stream {name} drops its oldest facts when it is full");
            let why = "The facts of running jobs vanish without a word.";
            findings.push(Finding::new(Danger, what, why, "Take max_bytes and max_msgs off, or set discard to new."));
        }
        if stream.role == Role::Queue && stream.max_age_s.is_some() {
            let what = format!("stream {name} drops messages by age");
            let why = "A submitted job or a finished result vanishes before it was taken.";
            findings.push(Finding::new(Danger, what, why, "Set its max_age to 0 and apply it."));
        }
    }
    findings
}

fn differences(facts: &Facts) -> Vec<Finding> {
    let is_log = |what: &str| facts.log.as_deref() == Some(what);
    let findings = facts.differences.iter().map(|difference| {
        let undescribed = "The server does not hold the stream or consumer as its file describes it.";
        let (severity, why) = match difference {
            Difference::Taken { .. } => {
                (Danger, "What is published there is acknowledged by a stream that jetbatch never reads.")
            }
            Difference::Missing { what } if is_log(what) => (Danger, undescribed),
            Difference::Missing { .. } | Difference::Differs { .. } => (Warning, undescribed),
        };
        Finding::new(severity, difference.to_string(), why, &mend(facts, difference))
    });
    findings.collect()
}

/// What apply can mend, and what to do where it cannot.
fn mend(facts: &Facts, difference: &Difference) -> String {
    match difference {
        Difference::Taken { subject, by, .. } => format!(
            "Take '{subject}' out of stream {by} (nats stream edit {by}), or give jetbatch a NATS account of its own; \
             then run jetbatch streams apply."
        ),
        Difference::Differs { what, fields } if fields.iter().any(Field::is_fixed) && !is_made_anew(facts, what) => {
            format!(
                "No stream changes that in its life, and jetbatch streams apply is refused: back {what} up (nats stream \
                 backup), delete it, and restore it under the other setting; or set the file to what the server holds."
            )
        }
        Difference::Missing { .. } | Difference::Differs { .. } => "Run jetbatch streams apply.".to_owned(),
    }
}

/// A queue that is a cache is made anew by an apply, and a bucket is not.
fn is_made_anew(facts: &Facts, what: &str) -> bool {
    !what.starts_with("KV_") && facts.streams.iter().any(|stream| stream.name == what && stream.is_cache)
}
