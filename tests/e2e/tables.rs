//! Tables in, tables out: docs/tables.md as it is written, and what it says of bad rows and wrong columns.
use crate::{
    cli::jetbatch,
    support::{LONG, MODEL, Plan, Stand, root},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};
use testkit::{
    process::{Start, binary},
    wait_for,
};

/// Made by pyarrow: four rows, of which the third has no text.
fn made(name: &str) -> PathBuf {
    root().join("crates/tables/tests/files").join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn rows(path: &Path) -> Vec<Value> {
    let row = |rows: &tables::Rows, at| Value::Object(rows.row(at).unwrap());
    let read = tables::open(path, &tables::Options::default()).unwrap();
    read.flat_map(|rows| (0..rows.count()).map(|at| row(&rows, at)).collect::<Vec<_>>()).collect()
}

fn of<'a>(rows: &'a [Value], name: &str) -> Vec<&'a Value> {
    rows.iter().map(|row| &row[name]).collect()
}

/// The commands of the document.
fn commands() -> Vec<String> {
    let text = fs::read_to_string(root().join("docs/tables.md")).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("jetbatch "));
    lines.map(str::to_owned).collect()
}

async fn shell(stand: &Stand, command: &str) -> String {
    let path = format!("{}:{}", binary().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let script = format!("cd {} && {command}", text(&stand.path("")));
    let start = Start::new("sh").args(["-c", &script]).env("PATH", &path).env("JETBATCH_URL", &stand.http.base);
    let mut run = start.env("NO_PROXY", "127.0.0.1").spawn();
    assert_eq!(run.exit(LONG).await.code(), Some(0), "{command}: {}", run.story());
    run.stdout()
}

#[tokio::test]
async fn the_document_works_as_it_is_written() {
    let stand = Plan::echo("", 8).start().await;
    fs::copy(made("types.parquet"), stand.path("reviews.parquet")).unwrap();
    fs::create_dir(stand.path("parts")).unwrap();
    fs::copy(made("types.parquet"), stand.path("parts/b.parquet")).unwrap();
    fs::copy(made("pandas.csv.gz"), stand.path("parts/a.csv.gz")).unwrap();
    fs::write(stand.path("parts/_SUCCESS"), "").unwrap();
    fs::write(stand.path("questions.txt"), "What is 2 + 3?\n\nWho?\n").unwrap();
    fs::write(stand.path("prompt.jinja"), "Is {{ text }} {{ lang }}?\n").unwrap();
    let mut id = String::new();
    for command in commands() {
        let said = shell(&stand, &command.replace("<id>", &id)).await;
        if command.starts_with("jetbatch submit") {
            id = said.trim().to_owned();
        }
        if command.starts_with("jetbatch validate") {
            assert!(said.contains("rows       4") && said.contains("bad        1"), "{said}");
            assert!(said.contains("chat (list<struct<") && said.contains(r#""content":"one""#), "{said}");
        }
    }
    let input = rows(&stand.path("reviews.parquet"));
    for name in ["answers.parquet", "later.parquet"] {
        let out = rows(&stand.path(name));
        assert_eq!((of(&out, "id"), of(&out, "text")), (of(&input, "id"), of(&input, "text")), "{name}");
        assert_eq!(of(&out, "response"), of(&input, "text"), "{name}");
        assert_eq!(of(&out, "error")[1..3], [&Value::Null, &json!("column `text` is null")], "{name}");
        assert!(out[0]["request_id"].as_str().unwrap().starts_with("req_"), "{name}");
    }
    let whole = rows(&stand.path("answers.parquet"));
    assert_eq!((of(&whole, "price"), of(&whole, "at")), (of(&input, "price"), of(&input, "at")));
    assert!(whole[0]["prompt_tokens"].as_i64() > Some(0) && whole[0]["finish_reason"] == "stop");
    let tried = rows(&stand.path("tried.csv"));
    assert_eq!(of(&tried, "response"), [&json!("Is one en?"), &json!("Is two\nlines en?")]);
    let chats = rows(&stand.path("chats.jsonl"));
    assert_eq!(of(&chats, "id"), [&json!(10), &json!(11), &json!(12), &json!(13)]);
    assert_eq!((&chats[1]["response"], &chats[3]["error"]), (&json!("b"), &json!("column `chat` has no message")));
    let parts = rows(&stand.path("parts.parquet"));
    let said: Vec<Option<&str>> = parts.iter().map(|row| row["response"].as_str()).collect();
    let want = [Some("a"), Some("b,\"c\"\nd"), None, Some("one"), Some("two\nlines"), None, Some("vier \u{e9}")];
    assert_eq!(said, want);
    assert_eq!(of(&rows(&stand.path("questions.csv")), "response"), [&json!("What is 2 + 3?"), &json!("Who?")]);
    assert_eq!(rows(&stand.path("plain.csv"))[2]["custom_id"], "reviews.parquet:3");
    // Neither needed a job of its own to be whole again.
    assert_eq!(of(&rows(&stand.path("more.parquet")), "response"), of(&input, "text"));
    let [more, later] = ["more.parquet", "later.parquet"].map(|name| rows(&stand.path(name)));
    assert_eq!(of(&more, "request_id")[..2], of(&later, "request_id")[..2]);
    assert_eq!(of(&more, "request_hash"), of(&later, "request_hash"));
}

#[tokio::test]
async fn a_schemas_fields_are_columns_and_an_open_quote_costs_one_row() {
    let stand = Plan::echo("", 8).start().await;
    let url = stand.http.base.as_str();
    let (input, out, schema) = (stand.path("in.csv"), stand.path("out.parquet"), stand.path("schema.json"));
    fs::write(&input, "id;text\n1;{\"stars\":4,\"label\":\"good, or so\"}\n2;\"open\n3;{\"stars\":\"no\"}\n").unwrap();
    fs::write(&schema, r#"{"type":"object","properties":{"stars":{"type":"integer"},"label":{"type":"string"}}}"#)
        .unwrap();
    let map = ["--delimiter", ";", "--prompt-column", "text", "--id-column", "id", "--model", MODEL, "--url", url];
    let run = ["run", text(&input), "--schema", text(&schema), "-o", text(&out)];
    let run = jetbatch(&[&run, &map[..]].concat(), 0).await;
    let later = stand.path("later.parquet");
    let id = run.stderr().lines().find_map(|line| line.strip_prefix("job ").map(str::to_owned)).unwrap();
    let results =
        ["results", &id, "--input", text(&input), "--delimiter", ";", "--id-column", "id", "-o", text(&later)];
    jetbatch(&[&results[..], &["--schema", text(&schema), "--url", url]].concat(), 0).await;
    for out in [&out, &later] {
        let rows = rows(out);
        assert_eq!(of(&rows, "stars"), [&json!(4), &Value::Null, &Value::Null], "{}", run.story());
        assert_eq!((&rows[0]["label"], &rows[2]["id"]), (&json!("good, or so"), &json!("3")));
        assert_eq!(rows[1]["error"], "in.csv, line 3: a quote is opened and not closed");
    }
    assert_eq!(of(&rows(&out), "request_hash"), of(&rows(&later), "request_hash"));
}

#[tokio::test]
async fn bad_rows_end_as_error_rows_and_wrong_columns_before_anything_runs() {
    let stand = Plan::echo("", 8).start().await;
    let url = stand.http.base.as_str();
    let (input, out) = (stand.path("in.csv"), stand.path("out.csv"));
    let bytes = b"id,text\na,one\nb,\n,three\nd,\xff\ne\nf,six\n";
    fs::write(&input, bytes).unwrap();
    let map = ["--prompt-column", "text", "--id-column", "id", "--model", MODEL, "--url", url];
    let run = jetbatch(&[&["run", text(&input), "-o", text(&out)], &map[..]].concat(), 0).await;
    assert!(run.stderr().contains("warning: 4 of 6 requests will be answered with an error"), "{}", run.story());
    let found = rows(&out);
    let said: Vec<Option<&str>> = found.iter().map(|row| row["response"].as_str()).collect();
    assert_eq!(said, [Some("one"), None, None, None, None, Some("six")]);
    let errors: Vec<Option<&str>> = found.iter().map(|row| row["error"].as_str()).collect();
    let want = [
        None,
        Some("column `text` is null"),
        Some("column `id` is null, and names no request"),
        Some("in.csv, line 5: column `text` is no UTF-8"),
        Some("in.csv, line 6: 1 fields where the first line names 2 columns"),
        None,
    ];
    assert_eq!(errors, want);
    // The kept columns of a row that cannot be read are empty; all others are as they were.
    assert_eq!(of(&found, "id")[..3], [&json!("a"), &json!("b"), &Value::Null]);

    let jobs = || async { stand.http.get("/jobs").await.body["data"].as_array().unwrap().len() };
    let before = jobs().await;
    let unknown = jetbatch(&["submit", text(&input), "--prompt-column", "txt", "--url", url], 2).await;
    assert!(unknown.stderr().contains("no column `txt`; the columns are `id`, `text`"), "{}", unknown.story());
    let none = jetbatch(&["submit", text(&input), "--url", url], 2).await;
    assert!(none.stderr().contains("say where the prompts are"), "{}", none.story());
    jetbatch(&["run", text(&input), "-o", "out.xls", "--prompt-column", "text", "--url", url], 2).await;
    jetbatch(&["submit", text(&input), "--image-column", "text", "--url", url], 2).await;
    assert_eq!(jobs().await, before);
    jetbatch(&[&["submit", text(&input), "--strict", "--watch"], &map[..]].concat(), 3).await;
}

/// Rows enough that the writing takes a while.
const MANY: usize = 30_000;

#[tokio::test]
async fn a_table_is_whole_or_not_there_whenever_its_writer_is_killed() {
    let stand = Plan::echo("", 64).start().await;
    let (input, out) = (stand.path("in.csv"), stand.path("out.parquet"));
    let lines: String = (0..MANY).map(|n| format!("{n},What is {n}?\n")).collect();
    fs::write(&input, format!("id,text\n{lines}")).unwrap();
    let url = stand.http.base.as_str();
    let submit = ["submit", text(&input), "--prompt-column", "text", "--model", MODEL, "--url", url];
    let id = jetbatch(&submit, 0).await.stdout().trim().to_owned();
    stand.end(id.parse().unwrap()).await;
    let part = stand.path("out.parquet.part");
    let results = ["results", &id, "--input", text(&input), "-o", text(&out), "--url", url];
    let killed = async || {
        let _ = fs::remove_file(&part);
        let mut writer = Start::new(binary()).args(results).env("NO_PROXY", "127.0.0.1").spawn();
        wait_for("the first of the table", LONG, || async { part.exists().then_some(()) }).await;
        writer.kill9().await;
    };
    killed().await;
    assert!(part.exists() && !out.exists(), "it was too fast to be killed");
    jetbatch(&results, 0).await;
    assert!(!part.exists());
    let whole = fs::read(&out).unwrap();
    killed().await;
    assert!(part.exists(), "it was too fast to be killed");
    assert!(fs::read(&out).unwrap() == whole, "the table that was there is whole still");
    assert_eq!(rows(&out).len(), MANY);
}
