//! Every file in `config/` is read as `serve` reads it.
#![allow(clippy::unwrap_used)]
use jetbatch::config::Config;
use std::{
    fs,
    path::{Path, PathBuf},
};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect()
}

fn reference() -> String {
    let path = files().into_iter().find(|path| path.ends_with("jetbatch.toml")).unwrap();
    fs::read_to_string(path).unwrap()
}

/// One login is left: two are a mistake.
const OTHER_LOGINS: [&str; 5] = ["#context", "#nkey_file", "#user", "#password", "#token"];

/// With the settings that are commented out: a `#` without a space after it.
fn uncommented(text: &str) -> String {
    let bare = |line: &str| {
        line.strip_prefix('#')
            .filter(|rest| rest.starts_with('[') || !rest.starts_with([' ', '\0']) && rest.contains('='))
            .map(str::to_owned)
    };
    let kept = text.lines().filter(|line| !OTHER_LOGINS.iter().any(|key| line.starts_with(key)));
    kept.map(|line| bare(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

#[test]
fn every_file_loads() {
    let files = files();
    assert_eq!(files.len(), 11, "{files:?}");
    for file in files {
        let config = Config::load(Some(&file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(!config.pools.is_empty(), "{} has no pool", file.display());
    }
}

#[test]
fn settings_that_are_commented_out_are_valid_too() {
    for file in files() {
        let text = uncommented(&fs::read_to_string(&file).unwrap());
        Config::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

#[test]
fn the_reference_states_the_defaults() {
    let mut config = Config::parse(&reference()).unwrap();
    config.pools.clear();
    assert_eq!(format!("{config:#?}"), format!("{:#?}", Config::default()));
}

/// A key that is missing in the reference would be found by nobody.
#[test]
fn the_reference_names_every_key() {
    let text = reference();
    let sources = [
        include_str!("../src/config.rs"),
        include_str!("../src/config/tenants.rs"),
        include_str!("../src/config/webhooks.rs"),
        include_str!("../../bus/src/settings.rs"),
        include_str!("../../store/src/settings.rs"),
        include_str!("../../engine/src/spec/mistralrs.rs"),
        include_str!("../../engine/src/spec/echo.rs"),
        include_str!("../../engine/src/spec/openai.rs"),
    ];
    for key in sources.into_iter().flat_map(keys) {
        assert!(text.lines().any(|line| names(line, &key)), "{key} is not in config/jetbatch.toml");
    }
}

/// `key = 1`, `#key = 1`, `{ key = 1 }`, or a section of that name.
fn names(line: &str, key: &str) -> bool {
    let mut words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.any(|word| word == key) && (line.contains('=') || line.trim_start_matches('#').starts_with('['))
}

/// The public fields of the structs that are read from a file.
fn keys(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let fields = code.lines().filter_map(|line| line.strip_prefix("    pub ")?.split_once(": "));
    let names = fields.map(|(name, _)| name.to_owned());
    names.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_')).collect()
}

/// As browsers send them, or none would ever match.
#[test]
fn an_origin_is_a_scheme_and_a_host() {
    for (origin, is_one) in [
        ("https://app.example", true),
        ("http://localhost:3000", true),
        ("https://App.Example:8443", true),
        ("app.example", false),
        ("https://app.example/", false),
        ("https://app.example:443", false),
        ("*", false),
        ("null", false),
    ] {
        let parsed = Config::parse(&format!("[http]\ncors_origins = ['{origin}']"));
        assert_eq!(parsed.is_ok(), is_one, "{origin}: {:?}", parsed.err().map(|error| error.to_string()));
    }
}
