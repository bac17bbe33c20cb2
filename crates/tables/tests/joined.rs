//! Answers come back beside their rows, whatever the formats.
#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tables::{
    Asked, Error, Files, Options, Pick, Said, Spec,
    join::{Counts, Input, Wanted, join},
    open,
    write::Fields,
};

fn made(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

fn files(paths: &[PathBuf]) -> Files {
    Files::find(paths).unwrap()
}

fn rows(path: &Path) -> Vec<Value> {
    let row = |rows: &tables::Rows, at| Value::Object(rows.row(at).unwrap());
    let read = open(path, &Options::default()).unwrap();
    read.flat_map(|rows| (0..rows.count()).map(|at| row(&rows, at)).collect::<Vec<_>>()).collect()
}

fn spec() -> Spec {
    Spec { prompt_column: Some("text".to_owned()), model: Some("m".to_owned()), ..Spec::default() }
}

/// What a server would answer: good lines and bad ones.
fn answered(paths: &[PathBuf], pick: Pick) -> (String, String) {
    let (mut good, mut bad) = (String::new(), String::new());
    let asked = Asked::new(files(paths), &spec(), Said::default(), pick).unwrap();
    for (number, request) in asked.requests().unwrap().enumerate() {
        let request = request.unwrap();
        let line: Value = serde_json::from_slice(&request.line).unwrap();
        let (id, body) = (
            format!("batch_req_0a_{number}"),
            match request.bad {
                Some(why) => json!({"error": {"message": why}}),
                None => json!({"model": "m", "usage": {"prompt_tokens": 2, "completion_tokens": 1},
                "choices": [{"message": {"content": line["body"]["messages"][0]["content"]}, "finish_reason": "stop"}]}),
            },
        );
        let status = if body["error"].is_null() { 200 } else { 400 };
        let told = json!({"id": id, "custom_id": line["custom_id"], "error": null,
            "response": {"status_code": status, "request_id": "r", "body": body}});
        let to = if status == 200 { &mut good } else { &mut bad };
        *to += &format!("{told}\n");
    }
    (good, bad)
}

fn joined(paths: &[PathBuf], pick: Pick, wanted: &Wanted, to: &Path) -> Result<Counts, Error> {
    let (good, bad) = answered(paths, pick);
    let input = Input { files: files(paths), said: Said::default(), id_column: None, pick };
    join(input, wanted, None, [good.as_bytes(), bad.as_bytes()], to)
}

#[test]
fn every_row_has_its_answer_and_keeps_its_types() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.parquet");
    let counts = joined(&[made("types.parquet")], Pick::All, &Wanted::default(), &out).unwrap();
    assert_eq!(counts, Counts { rows: 4, failed: 1, missing: 0 });
    let (before, after) = (rows(&made("types.parquet")), rows(&out));
    for (before, after) in before.iter().zip(&after) {
        for (name, value) in before.as_object().unwrap() {
            assert_eq!(&after[name], value, "{name}");
        }
        assert_eq!(after["response"], before["text"]);
    }
    assert_eq!((&after[2]["error"], &after[2]["model"]), (&json!("column `text` is null"), &Value::Null));
    assert_eq!((&after[3]["prompt_tokens"], &after[3]["finish_reason"]), (&json!(2), &json!("stop")));
    let schema = |path: &Path| open(path, &Options::default()).unwrap().schema.unwrap();
    for field in schema(&made("types.parquet")).fields() {
        assert_eq!(schema(&out).field_with_name(field.name()).unwrap().data_type(), field.data_type());
    }
}

#[test]
fn untyped_rows_are_kept_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("in/a.csv"), dir.path().join("in/b.csv"));
    fs::create_dir(dir.path().join("in")).unwrap();
    fs::write(&a, "id,text\n1,one\n2,\n3\n").unwrap();
    fs::write(&b, "id,text\n4,four\n").unwrap();
    for name in ["out.csv", "out.tsv", "out.jsonl", "out.parquet"] {
        let out = dir.path().join(name);
        let wanted = Wanted { keep: Some(vec!["id".to_owned()]), prefix: "a_".to_owned(), ..Wanted::default() };
        joined(&[a.clone(), b.clone()], Pick::All, &wanted, &out).unwrap();
        let rows = rows(&out);
        let said: Vec<_> = rows.iter().map(|row| (row["id"].clone(), row["a_response"].clone())).collect();
        let none = Value::Null;
        let want =
            [(json!("1"), json!("one")), (json!("2"), none.clone()), (none.clone(), none), (json!("4"), json!("four"))];
        assert_eq!(said, want, "{name}");
        assert_eq!(rows[2]["a_error"], json!("a.csv, line 4: 1 fields where the first line names 2 columns"));
    }
}

#[test]
fn a_sample_is_joined_with_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("a.jsonl"), dir.path().join("out.parquet"));
    let text: String = (0..3_000).map(|n| format!("{{\"text\":\"t{n}\",\"n\":{n},\"x\":[{n}]}}\n")).collect();
    fs::write(&path, text).unwrap();
    for (pick, count) in [(Pick::Sample(50), 50), (Pick::First(1_500), 1_500)] {
        let counts = joined(std::slice::from_ref(&path), pick, &Wanted::default(), &out).unwrap();
        assert_eq!(counts, Counts { rows: count, failed: 0, missing: 0 });
        for row in rows(&out) {
            assert_eq!(
                (&row["response"], &row["x"]),
                (&json!(format!("t{}", row["n"])), &json!(format!("[{}]", row["n"])))
            );
        }
    }
}

#[test]
fn a_sample_of_request_lines_is_joined_with_the_same_lines() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("a.jsonl"), dir.path().join("out.jsonl"));
    let line = |n| {
        format!("{{\"custom_id\":\"r{n}\",\"body\":{{\"messages\":[{{\"role\":\"user\",\"content\":\"t{n}\"}}]}}}}\n")
    };
    fs::write(&path, (0..500).map(line).collect::<String>()).unwrap();
    let asked =
        Asked::new(files(std::slice::from_ref(&path)), &Spec::default(), Said::default(), Pick::Sample(20)).unwrap();
    let good: String = asked
        .requests()
        .unwrap()
        .enumerate()
        .map(|(number, request)| {
            let line: Value = serde_json::from_slice(&request.unwrap().line).unwrap();
            let body = json!({"choices": [{"message": {"content": line["body"]["messages"][0]["content"]}}]});
            let told = json!({"id": format!("batch_req_0a_{number}"), "custom_id": line["custom_id"], "error": null,
            "response": {"status_code": 200, "request_id": "r", "body": body}});
            format!("{told}\n")
        })
        .collect();
    let input = Input { files: files(&[path]), said: Said::default(), id_column: None, pick: Pick::Sample(20) };
    let counts = join(input, &Wanted::default(), None, [good.as_bytes(), b""], &out).unwrap();
    assert_eq!(counts, Counts { rows: 20, failed: 0, missing: 0 });
    for row in rows(&out) {
        assert_eq!(row["response"], json!(format!("t{}", &row["custom_id"].as_str().unwrap()[1..])));
    }
}

#[test]
fn the_fields_of_a_schema_are_columns_with_types() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    let answers = [r#"{"stars":4,"label":"good","why":["a"]}"#, r#"{"stars":"4"}"#, "no JSON"];
    let rows_in: Vec<String> = answers.iter().map(|text| json!({"text": text}).to_string()).collect();
    fs::write(&path, rows_in.join("\n")).unwrap();
    let schema = json!({"properties": {"stars": {"type": "integer"}, "label": {"type": "string"}, "why": {}}});
    let wanted = Wanted { fields: Fields::of(&schema), ..Wanted::default() };
    for name in ["out.parquet", "out.jsonl", "out.csv"] {
        let out = dir.path().join(name);
        joined(std::slice::from_ref(&path), Pick::All, &wanted, &out).unwrap();
        let rows = rows(&out);
        let (four, list) = match name {
            "out.parquet" => (json!(4), json!("[\"a\"]")),
            "out.jsonl" => (json!(4), json!(["a"])),
            _ => (json!("4"), json!("[\"a\"]")),
        };
        assert_eq!((&rows[0]["stars"], &rows[0]["label"], &rows[0]["why"]), (&four, &json!("good"), &list), "{name}");
        assert!(rows[1..].iter().all(|row| row["stars"].is_null() && row["label"].is_null()), "{name}");
    }
    fs::write(&path, r#"{"text":"a","stars":1}"#).unwrap();
    let error = joined(&[path], Pick::All, &wanted, &dir.path().join("out.csv")).unwrap_err().to_string();
    assert!(error.starts_with("`stars`: the input has a column of this name"), "{error}");
}

#[test]
fn what_does_not_fit_is_told_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.csv");
    let (good, bad) = answered(&[made("types.parquet")], Pick::All);
    let input =
        Input { files: files(&[made("pandas.parquet")]), said: Said::default(), id_column: None, pick: Pick::All };
    let error = join(input, &Wanted::default(), None, [good.as_bytes(), bad.as_bytes()], &out).unwrap_err().to_string();
    assert!(error.contains("`types.parquet:1` belongs to no row here"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let keep = Wanted { keep: Some(vec!["txt".to_owned()]), ..Wanted::default() };
    let error = joined(&[made("pandas.parquet")], Pick::All, &keep, &out).unwrap_err().to_string();
    assert_eq!(error, "there is no column `txt`; the columns are `id`, `text`");
    let path = dir.path().join("m.csv");
    fs::write(&path, "text,model\na,b\n").unwrap();
    let error = joined(&[path], Pick::All, &Wanted::default(), &out).unwrap_err().to_string();
    assert!(error.starts_with("`model`: the input has a column of this name"), "{error}");
    assert!(joined(&[made("pandas.parquet")], Pick::All, &Wanted::default(), &dir.path().join("out.xls")).is_err());
}

#[test]
fn a_column_that_is_not_there_is_refused_before_anything_is_read() {
    let spec = Spec { prompt_column: Some("txt".to_owned()), ..Spec::default() };
    let error =
        Asked::new(files(&[made("pandas.parquet")]), &spec, Said::default(), Pick::All).err().unwrap().to_string();
    assert!(error.ends_with("pandas.parquet: there is no column `txt`; the columns are `id`, `text`"), "{error}");
    let none =
        Asked::new(files(&[made("pandas.parquet")]), &Spec::default(), Said::default(), Pick::All).err().unwrap();
    assert!(none.to_string().ends_with("the columns are `id`, `text`"), "{none}");
}
