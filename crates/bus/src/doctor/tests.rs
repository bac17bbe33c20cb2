use super::Severity::{self, Danger, Note, Warning};
use super::{ConsumerFact, DiskSync, Facts, StreamFact, Usage, judge};
use crate::{Difference, Role, SERVER_VERSION_MIN};

/// Nothing to find fault with.
fn sound() -> Facts {
    let stream = |name: &str, role: Role| {
        let name = name.to_owned();
        StreamFact { name, role, dedup_s: 600, replicas: 3, ..StreamFact::default() }
    };
    Facts {
        version: Some(SERVER_VERSION_MIN),
        sync: Some(DiskSync::Always),
        servers: Some(3),
        max_payload_bytes: 1 << 20,
        replicas: 3,
        retry_s: 45,
        log: Some("EVENTS".into()),
        streams: vec![stream("EVENTS", Role::Log), stream("SUBMIT", Role::Queue), stream("RESULTS", Role::Queue)],
        consumers: vec![ConsumerFact { ack_wait_s: 30, max_deliver: -1, ..ConsumerFact::default() }],
        ..Facts::default()
    }
}

fn spoil(spoil: impl FnOnce(&mut Facts)) -> Vec<(Severity, String)> {
    let mut facts = sound();
    spoil(&mut facts);
    judge(&facts).into_iter().map(|finding| (finding.severity, finding.what)).collect()
}

#[test]
fn a_sound_set_up_has_no_findings() {
    assert_eq!(spoil(|_| ()), []);
}

#[test]
fn each_danger_is_found_alone() {
    type Spoil = fn(&mut Facts);
    let cases: [(Spoil, Severity, &str); 18] = [
        (|f| f.streams[1].is_shrunk = true, Note, "SUBMIT is smaller"),
        (|f| f.version = crate::version::parse("2.14.5"), Danger, "2.14.5"),
        (|f| f.sync = Some(DiskSync::Every { seconds: 120 }), Warning, "120 s"),
        (|f| f.sync = None, Note, "unknown"),
        (|f| f.replicas = 5, Danger, "5 replicas"),
        (|f| f.replicas = 1, Danger, "one replica"),
        (|f| f.replicas = 2, Warning, "2 replicas"),
        (|f| f.streams[0].in_memory = true, Danger, "in memory"),
        (|f| f.max_payload_bytes = 1 << 19, Danger, "max_payload"),
        (|f| f.account = Usage { bytes: 85, max_bytes: Some(100) }, Warning, "85 %"),
        (|f| f.streams[1].dedup_s = 60, Danger, "SUBMIT forgets"),
        (|f| f.consumers[0].max_deliver = 5, Danger, "5 deliveries"),
        (|f| f.consumers[0].ack_wait_s = 1, Warning, "waits 1 s"),
        (|f| f.streams[0].max_age_s = Some(86_400), Danger, "after 1 days"),
        (|f| f.streams[2].max_age_s = Some(86_400), Danger, "RESULTS drops"),
        (|f| f.differences.push(Difference::Missing { what: "EVENTS".into() }), Danger, "EVENTS"),
        (|f| f.differences.push(Difference::Missing { what: "SUBMIT".into() }), Warning, "SUBMIT"),
        (|f| f.differences.push(taken()), Danger, "belongs to stream 'ORDERS'"),
    ];
    for (change, severity, text) in cases {
        let found = spoil(change);
        assert!(matches!(found.as_slice(), [(s, what)] if *s == severity && what.contains(text)), "{text}: {found:?}");
    }
}

#[test]
fn the_gravest_comes_first() {
    let found = spoil(|facts| {
        facts.sync = None;
        facts.streams[0].in_memory = true;
        facts.consumers[0].ack_wait_s = 1;
    });
    assert_eq!(found.iter().map(|(severity, _)| *severity).collect::<Vec<_>>(), [Danger, Warning, Note]);
}

#[test]
fn one_server_that_syncs_rarely_is_a_danger() {
    let alone = |facts: &mut Facts| {
        (facts.servers, facts.replicas) = (Some(1), 1);
        facts.sync = Some(DiskSync::Every { seconds: 120 });
    };
    assert_eq!(spoil(alone)[0], (Danger, "sync_interval is 120 s".to_owned()));
}

#[test]
fn apply_is_advised_only_for_what_it_mends() {
    let field = |name: &str| crate::Field { name: name.into(), file: "file".into(), server: "memory".into() };
    let differs = |what: &str, name: &str| Difference::Differs { what: what.into(), fields: vec![field(name)] };
    let taken = taken();
    for (difference, advised, named) in [
        (Difference::Missing { what: "SUBMIT".into() }, "Run jetbatch streams apply.", ""),
        (differs("EVENTS", "max_age"), "Run jetbatch streams apply.", ""),
        (differs("EVENTS", "storage"), "apply is refused", "EVENTS"),
        (taken, "nats stream edit ORDERS", "'orders'"),
    ] {
        let mut facts = sound();
        facts.differences.push(difference);
        let finding = &judge(&facts)[0];
        assert!(finding.mend.contains(advised) && finding.mend.contains(named), "{finding}");
    }
}

/// A stream of another program has a subject of ours.
fn taken() -> Difference {
    Difference::Taken { what: "SUBMIT".into(), subject: "orders".into(), by: "ORDERS".into() }
}
