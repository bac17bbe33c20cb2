//! A text is a subject in one spelling only: a message read under a name can be found, deduplicated and purged by it.
use domain::{ChunkId, JobId, Pool, event::FaultClass};
use wire::Subject;

pub fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(subject) = text.parse::<Subject>() {
        assert_eq!(subject.to_string(), text);
        legal(text);
    }
    if let Ok(pool) = text.parse::<Pool>() {
        prints(pool, data);
    }
}

/// Tokens that NATS takes in a publish: none is empty, a wildcard, or has a blank.
fn legal(text: &str) {
    let token = |token: &str| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic() && !b"*>".contains(&b));
    assert!(text.split('.').all(token), "{text}");
}

/// Whatever is in a subject, it prints so that it parses.
fn prints(pool: Pool, data: &[u8]) {
    let number = |at: usize| data.iter().skip(at).fold(0u64, |sum, &b| sum.wrapping_mul(257).wrapping_add(b.into()));
    let (job, chunk) = (JobId::keyed("", pool.as_str()), ChunkId::new(number(0) as u32, number(1) as u32));
    let (tag, part) = (number(2), number(3) as u32);
    let reason = FaultClass::ALL[data.len() % FaultClass::ALL.len()];
    for subject in [
        Subject::Work { pool: pool.clone(), job, chunk },
        Subject::Result { job, chunk },
        Subject::ResultPart { job, chunk, tag, part },
        Subject::InputPart { job, chunk, part, pool: pool.clone() },
        Subject::OldInputPart { job, chunk, part },
        Subject::Dead { pool, reason, job, chunk },
    ] {
        legal(&subject.to_string());
        assert_eq!(subject.to_string().parse(), Ok(subject));
    }
}
