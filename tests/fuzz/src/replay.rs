//! Every kept file again, without libfuzzer: what was mended once stays mended.
use crate::{config, envelope, line, subject, submission};
use std::{fs, path::PathBuf};

/// The same folder, seen from this package and from `crates/jetbatch`.
fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(target: &str, holds: fn(&[u8])) {
    let files = corpus(target);
    assert!(files.len() >= 10, "{target} has {} files", files.len());
    for file in files {
        // Shown only when the property below it fails.
        println!("{}", file.display());
        holds(&fs::read(file).unwrap());
    }
}

#[test]
fn lines() {
    replay("line", line::holds);
}

#[test]
fn envelopes() {
    replay("envelope", envelope::holds);
}

#[test]
fn subjects() {
    replay("subject", subject::holds);
}

#[test]
fn submissions() {
    replay("submission", submission::holds);
}

#[test]
fn configurations() {
    replay("config", config::holds);
}
