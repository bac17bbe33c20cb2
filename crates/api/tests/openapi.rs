//! The OpenAPI document against its golden file. A difference is a decision about compatibility; to take it:
//! `JETBATCH_BLESS=1 cargo test -p jetbatch-api`.
#![allow(clippy::unwrap_used)]
use api::{Method, Route, document};
use serde_json::Value;
use std::{collections::BTreeSet, path::Path};

#[test]
fn the_document_is_the_golden_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let text = document().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("JETBATCH_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    let at = text.lines().zip(golden.lines()).position(|(one, two)| one != two);
    assert!(text == golden, "another than openapi.json from line {:?} on", at.map(|at| at + 1));
}

#[test]
fn the_document_has_every_route_and_no_other() {
    let document: Value = serde_json::from_str(&document().to_json().unwrap()).unwrap();
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        found.extend(item.as_object().unwrap().keys().map(|method| (path.clone(), method.to_uppercase())));
    }
    let routes = Route::ALL.iter().map(|route| (route.path().to_owned(), route.method().as_str().to_owned()));
    assert_eq!(found, routes.collect::<BTreeSet<_>>());
    assert!(Route::ALL.iter().any(|route| route.method() == Method::Delete));
}

/// What is referred to is there.
#[test]
fn no_reference_hangs() {
    let document: Value = serde_json::from_str(&document().to_json().unwrap()).unwrap();
    let mut open = vec![&document];
    let mut seen = 0;
    while let Some(value) = open.pop() {
        if let Some(pointer) = value["$ref"].as_str() {
            let pointer = pointer.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
            seen += 1;
        }
        match value {
            Value::Object(fields) => open.extend(fields.values()),
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    assert!(seen > 50, "{seen}");
}

/// A client that knows the statuses of a route knows what to do with each answer.
#[test]
fn every_refusal_stands_under_its_status() {
    let document: Value = serde_json::from_str(&document().to_json().unwrap()).unwrap();
    for route in Route::ALL {
        let responses = &document["paths"][route.path()][route.method().as_str().to_lowercase()]["responses"];
        for code in route.refuses() {
            let said = responses[code.status().to_string()]["description"].as_str().unwrap_or_default();
            assert!(said.contains(code.as_str()), "{route:?} {code:?}: {said}");
        }
    }
}
