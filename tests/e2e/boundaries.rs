//! The borders between crates, and the one home of subjects: facts, not promises.
use crate::support::root;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

fn metadata() -> Metadata {
    let host = std::process::Command::new("rustc").arg("-vV").output().unwrap().stdout;
    let host = String::from_utf8(host).unwrap();
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned();
    let options = ["--locked".to_owned(), "--filter-platform".to_owned(), host];
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).other_options(options).exec().unwrap()
}

#[test]
fn only_the_engine_depends_on_mistralrs() {
    let metadata = metadata();
    let mut found: Vec<&str> = Vec::new();
    for package in metadata.workspace_packages() {
        if package.dependencies.iter().any(|dependency| dependency.name.starts_with("mistralrs")) {
            found.push(&package.name);
        }
    }
    assert_eq!(found, ["jetbatch-engine"]);
}

#[test]
fn the_core_does_no_io() {
    const IO: [&str; 16] = [
        "tokio",
        "async-nats",
        "axum",
        "mistralrs",
        "mistralrs-core",
        "reqwest",
        "hyper",
        "tonic",
        "mio",
        "socket2",
        "object_store",
        "async-std",
        "futures",
        "tracing",
        "opentelemetry",
        "rand",
    ];
    let metadata = metadata();
    for (name, own) in [
        ("jetbatch-domain", &[][..]),
        ("jetbatch-address", &[]),
        ("jetbatch-wire", &["jetbatch-address", "jetbatch-domain"]),
        ("jetbatch-api", &["jetbatch-domain"]),
    ] {
        let closure = closure(&metadata, name);
        let wrong: Vec<&&str> = IO.iter().filter(|io| closure.contains(**io)).collect();
        assert!(wrong.is_empty(), "{name} reaches {wrong:?}");
        assert_eq!(ours(&closure, name), own, "{name}");
    }
}

/// What carries messages and what keeps objects could serve another program.
#[test]
fn bus_and_store_know_nothing_of_jobs() {
    let metadata = metadata();
    for (name, own) in [("jetbatch-bus", &["jetbatch-address"][..]), ("jetbatch-store", &[]), ("jetbatch-tables", &[])]
    {
        assert_eq!(ours(&closure(&metadata, name), name), own, "{name}");
    }
}

/// The crates of this workspace that another one needs, sorted.
fn ours<'a>(closure: &'a HashSet<String>, name: &str) -> Vec<&'a str> {
    let mut ours: Vec<&str> = closure.iter().map(String::as_str).filter(|dep| dep.starts_with("jetbatch")).collect();
    ours.retain(|dep| *dep != name);
    ours.sort_unstable();
    ours
}

/// The names of all packages that a package needs to be built into something that runs.
fn closure(metadata: &Metadata, name: &str) -> HashSet<String> {
    let nodes = &metadata.resolve.as_ref().unwrap().nodes;
    let nodes: HashMap<&PackageId, _> = nodes.iter().map(|node| (&node.id, node)).collect();
    let package = metadata.workspace_packages().into_iter().find(|package| package.name.as_str() == name).unwrap();
    let mut open = vec![&package.id];
    let mut seen: HashSet<&PackageId> = HashSet::new();
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            let normal =
                |dep: &&cargo_metadata::NodeDep| dep.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal);
            open.extend(nodes[id].deps.iter().filter(normal).map(|dep| &dep.pkg));
        }
    }
    seen.into_iter().map(|id| metadata[id].name.to_string()).collect()
}

const ROOMS: [&str; 8] = ["archiver", "control", "gateway", "intake", "projector", "scheduler", "webhooks", "worker"];

/// What two rooms need stands in a place of its own, and settings are read without any room.
#[test]
fn rooms_import_no_rooms() {
    let src = root().join("crates/jetbatch/src");
    let mut found = Vec::new();
    for path in sources(&src) {
        let place = path.strip_prefix(&src).unwrap().iter().next().unwrap().to_string_lossy();
        let place = place.trim_end_matches(".rs").to_owned();
        // What starts the rooms knows them, and the commands start things too.
        if ["serve", "cli", "lib", "main"].contains(&place.as_str()) {
            continue;
        }
        let names = crate_names(&std::fs::read_to_string(&path).unwrap());
        let wrong = names.into_iter().filter(|name| *name != place && ROOMS.contains(&name.as_str()));
        found.extend(wrong.map(|name| format!("{} uses {name}", path.display())));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The modules of the crate that a file names: `crate::name`, and each of `use crate::{name, name::{..}}`.
fn crate_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => names.push(word(rest)),
            Some(list) => {
                let mut depth = 0;
                let mut begins = true;
                for (at, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => begins = true,
                        c if begins && depth == 0 && !c.is_whitespace() => {
                            names.push(word(&list[at..]));
                            begins = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

#[test]
fn the_names_of_a_file_are_found() {
    let text = "use crate::{\n    bus::{Bus, gateway},\n    intake,\n    log::{self, Log},\n};\nuse crate::worker::x;";
    assert_eq!(crate_names(text), ["bus", "intake", "log", "worker"]);
}

/// A subject is spelled in `wire::Subject` and nowhere else. Tests beside the code may spell one, and so may a trace's
/// attribute that tells a subject's shape.
#[test]
fn subjects_have_one_home() {
    let home = root().join("crates/wire/src/subject.rs");
    let mut found = Vec::new();
    for path in sources(&root().join("crates")) {
        if path == home || !path.components().any(|part| part.as_os_str() == "src") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for (line, number) in code.lines().zip(1..) {
            let is_comment = line.trim_start().starts_with("//");
            if !is_comment && !line.contains("names::messaging(") && line.split('"').skip(1).step_by(2).any(is_subject)
            {
                found.push(format!("{}:{number}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "subjects outside wire::Subject:\n{}", found.join("\n"));
}

/// Whether a string literal is a subject, a wildcard, or a format of one.
fn is_subject(literal: &str) -> bool {
    const FIRST: [&str; 10] = ["audit", "tenant", "jobs", "event", "work", "result", "input", "alert", "dead", "hook"];
    let legal =
        |token: &str| !token.is_empty() && token.chars().all(|c| c.is_ascii_alphanumeric() || "_-{}:*>".contains(c));
    let tokens: Vec<&str> = literal.split('.').collect();
    let is_file = matches!(tokens[..], [_, "jsonl" | "json" | "toml" | "js"]);
    tokens.len() > 1 && FIRST.contains(&tokens[0]) && tokens[1..].iter().all(|token| legal(token)) && !is_file
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_search_finds_what_it_looks_for() {
    for subject in ["jobs.submit", "event.job.{job}", "work.{pool}.>", "result.{job}.{}.{}.{tag:016x}-{part}", "dead.>"]
    {
        assert!(is_subject(subject), "{subject}");
    }
    for other in
        ["jobs", "input.jsonl", "input: no", "jobs/{job}/input.jsonl", "work.<pool>.<job>", "event.job. The rest"]
    {
        assert!(!is_subject(other), "{other}");
    }
}
