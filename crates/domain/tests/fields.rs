//! The table of fields in docs/fields.md says what the reader of requests does.
#![allow(clippy::unwrap_used)]
use domain::{
    Endpoint,
    request::{Taken, fields},
};
use std::collections::{BTreeMap, BTreeSet};

const FIELDS: &str = include_str!("../../../docs/fields.md");

/// A field as the table and the code both name it: of what, name, and what becomes of it.
type Row = (&'static str, String, &'static str);

/// The words between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The table's rows: of what, fields, what becomes of them.
fn rows() -> Vec<[&'static str; 3]> {
    let table = FIELDS.lines().skip_while(|line| *line != "| of | fields of a body | |").skip(2);
    let cells = |line: &'static str| -> [&'static str; 3] {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        cells.try_into().unwrap()
    };
    table.take_while(|line| line.starts_with('|')).map(cells).collect()
}

fn taken(taken: Taken) -> &'static str {
    match taken {
        Taken::Honoured => "honoured",
        Taken::Harmless => "harmless",
        Taken::Refused { .. } => "refused",
    }
}

fn of(name: &str, endpoint: Option<Endpoint>) -> &'static str {
    match endpoint {
        Some(_) if name.starts_with("messages[].") => "a message",
        Some(Endpoint::Chat) => "chat",
        Some(Endpoint::Completions) => "completions",
        Some(Endpoint::Embeddings) => "embeddings",
        None => "both",
    }
}

#[test]
fn the_table_holds_every_field_and_no_other() {
    let written = rows().into_iter().flat_map(|[of, names, what]| {
        let what = what.split([',', ':', ' ']).next().unwrap();
        quoted(names).map(move |name| (of, name.to_owned(), what)).collect::<Vec<Row>>()
    });
    let written: Vec<Row> = written.collect();
    let known = fields().into_iter().map(|(name, endpoint, what)| {
        (of(&name, endpoint), name.trim_start_matches("messages[].").to_owned(), taken(what))
    });
    let known: BTreeSet<Row> = known.collect();
    assert_eq!(written.iter().cloned().collect::<BTreeSet<Row>>(), known);
    assert_eq!(written.len(), known.len(), "a field stands twice");
}

#[test]
fn the_table_says_why_and_what_is_taken_after_all() {
    let rows = rows();
    let said: BTreeMap<(&str, &str), &str> =
        rows.iter().flat_map(|[of, names, what]| quoted(names).map(move |name| ((*of, name), *what))).collect();
    for (name, endpoint, taken) in fields() {
        let Taken::Refused { but, why } = taken else { continue };
        let said = said[&(of(&name, endpoint), name.trim_start_matches("messages[]."))];
        assert!(said.contains(why), "{name}: {said} does not say: {why}");
        let missing: Vec<_> = but.iter().filter(|value| !quoted(said).any(|word| word == **value)).collect();
        assert!(missing.is_empty(), "{name}: {said} does not take {missing:?}");
    }
}
