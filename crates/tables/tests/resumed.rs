//! The same input again: what has a good answer is not asked once more, whatever became of the rows meanwhile.
#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tables::{
    Asked, Error, Files, Options, Pick, Said, Spec,
    join::{Input, Wanted, join},
    open,
    resume::{Defaults, Gather, Plan, Sorted, Split, has_answers},
};

/// A folder, what is asked in it, and how often anything was.
struct Stand {
    dir: tempfile::TempDir,
    spec: Spec,
    asked: Vec<String>,
}

impl Stand {
    fn new() -> Self {
        let spec = Spec { prompt_column: Some("text".to_owned()), model: Some("m".to_owned()), ..Spec::default() };
        Self { dir: tempfile::tempdir().unwrap(), spec, asked: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn input(&self, rows: &[&str]) {
        let rows: Vec<String> = rows.iter().map(|text| format!("{text},x")).collect();
        fs::write(self.path("in.csv"), format!("text,other\n{}\n", rows.join("\n"))).unwrap();
    }

    fn files(&self) -> Files {
        Files::find(&[self.path("in.csv")]).unwrap()
    }

    /// Sorts the input by what these tables have.
    fn split(&self, earlier: &[&str]) -> Split {
        let requests = Asked::new(self.files(), &self.spec, Said::default(), Pick::All).unwrap().requests().unwrap();
        let mut gather = Gather::new(self.dir.path()).unwrap();
        for name in earlier {
            gather.table(&self.path(name)).unwrap();
        }
        let earlier = (!earlier.is_empty()).then(|| gather.finish().unwrap());
        Split::new(requests, earlier, Defaults::default(), false, self.dir.path()).unwrap()
    }

    /// Asks what is missing, of an engine that counts, and fails where it is told to. Writes all into `out`.
    fn run(&mut self, earlier: &[&str], out: &str) -> Sorted {
        let mut split = self.split(earlier);
        let (mut good, mut bad) = (String::new(), String::new());
        for (number, request) in split.by_ref().map(Result::unwrap).enumerate() {
            let line: Value = serde_json::from_slice(&request.line).unwrap();
            let (text, is_failure) = match line["refused"].as_str() {
                Some(why) => (why.to_owned(), true),
                None => {
                    let text = line["body"]["messages"][0]["content"].as_str().unwrap().to_owned();
                    self.asked.push(text.clone());
                    (format!("{text}{}", self.asked.len()), text.starts_with("fail"))
                }
            };
            let body = match is_failure {
                true => json!({"error": {"message": text}}),
                false => json!({"choices": [{"message": {"content": text}}], "usage": {"prompt_tokens": 7}}),
            };
            let told = json!({"id": format!("batch_req_0a_{number}"), "custom_id": line["custom_id"],
                "response": {"status_code": 200, "request_id": "r", "body": body}, "error": null});
            *(if is_failure { &mut bad } else { &mut good }) += &format!("{told}\n");
        }
        let (plan, sorted) = split.finish().unwrap();
        self.join(plan, &good, &bad, out).unwrap();
        sorted
    }

    fn join(&self, plan: Plan, good: &str, bad: &str, out: &str) -> Result<(), Error> {
        let input = Input { files: self.files(), said: Said::default(), id_column: None, pick: Pick::All };
        let from = [good.as_bytes(), bad.as_bytes()];
        join(input, &Wanted::default(), Some(plan), from, &self.path(out)).map(drop)
    }

    /// Of each row its text and its answer.
    fn rows(&self, name: &str) -> Vec<(Value, Value)> {
        let said = |row: Value| (row["text"].clone(), row["response"].clone());
        rows(&self.path(name)).into_iter().map(said).collect()
    }
}

fn rows(path: &Path) -> Vec<Value> {
    let row = |rows: &tables::Rows, at| Value::Object(rows.row(at).unwrap());
    let read = open(path, &Options::default()).unwrap();
    read.flat_map(|rows| (0..rows.count()).map(|at| row(&rows, at)).collect::<Vec<_>>()).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(Value, Value)> {
    pairs.iter().map(|(text, answer)| (json!(text), json!(answer))).collect()
}

#[test]
fn rows_that_were_added_removed_and_moved_are_found_by_what_they_ask() {
    for name in ["out.parquet", "out.csv", "out.tsv", "out.jsonl"] {
        let mut stand = Stand::new();
        stand.input(&["a", "b", "c", "d"]);
        let all = Sorted { asked: 4, ..Sorted::default() };
        assert_eq!((stand.run(&[], name), stand.asked.len()), (all, 4));
        assert_eq!(stand.rows(name), pairs(&[("a", "a1"), ("b", "b2"), ("c", "c3"), ("d", "d4")]));
        assert_eq!(stand.run(&[name], name), Sorted { taken: 4, ..Sorted::default() }, "{name}");

        stand.input(&["d", "new", "b", "a"]);
        let sorted = stand.run(&[name], name);
        assert_eq!((sorted.taken, sorted.asked, stand.asked.last().unwrap().as_str()), (3, 1, "new"), "{name}");
        assert_eq!(stand.rows(name), pairs(&[("d", "d4"), ("new", "new5"), ("b", "b2"), ("a", "a1")]));
        assert_eq!(rows(&stand.path(name))[0]["prompt_tokens"].to_string().trim_matches('"'), "7");

        stand.spec.params.insert("temperature".to_owned(), json!(1));
        assert_eq!(stand.run(&[name], name).asked, 4, "another temperature is another request");
    }
}

#[test]
fn what_failed_runs_again_and_what_is_no_request_is_told() {
    let mut stand = Stand::new();
    stand.input(&["a", "fail", "", "b,ragged"]);
    assert_eq!(stand.run(&[], "out.parquet"), Sorted { asked: 4, ..Sorted::default() });
    let again = Sorted { asked: 1, taken: 1, refused: 2 };
    assert_eq!(stand.run(&["out.parquet"], "out.parquet"), again);
    assert_eq!(stand.asked, ["a", "fail", "fail"]);
    let errors: Vec<Value> = rows(&stand.path("out.parquet")).iter().map(|row| row["error"].clone()).collect();
    let ragged = "in.csv, line 5: 3 fields where the first line names 2 columns";
    assert_eq!(errors, [Value::Null, json!("fail3"), json!("column `text` is null"), json!(ragged)]);
}

#[test]
fn each_answer_is_given_once() {
    let mut stand = Stand::new();
    stand.input(&["a", "a", "b", "a"]);
    stand.run(&[], "out.csv");
    // Four rows that ask the same have four answers of their own, and keep their order.
    stand.input(&["a", "a", "a", "a"]);
    assert_eq!(stand.run(&["out.csv"], "out.csv"), Sorted { asked: 1, taken: 3, refused: 0 });
    assert_eq!(stand.rows("out.csv"), pairs(&[("a", "a1"), ("a", "a2"), ("a", "a4"), ("a", "a5")]));
}

#[test]
fn a_job_is_taken_over_by_its_input_and_its_output() {
    let stand = Stand::new();
    stand.input(&["a", "b", "c"]);
    let lines: Vec<String> =
        stand.split(&[]).map(|request| String::from_utf8(request.unwrap().line).unwrap()).collect();
    let told = |id: &str, text: &str| {
        json!({"id": "batch_req_0a_1", "custom_id": id, "error": null,
            "response": {"status_code": 200, "request_id": "r", "body": {"choices": [{"text": text}]}}})
        .to_string()
    };
    let gather = |good: &str| {
        let mut gather = Gather::new(stand.dir.path()).unwrap();
        let input = format!("\u{feff}{}\n\n", lines.join("\n"));
        gather.job(input.as_bytes(), good.as_bytes(), &Defaults::default()).map(|count| (count, gather))
    };
    let (count, gather_b) = gather(&told("in.csv:2", "B")).unwrap();
    assert_eq!(count, 1);
    let requests = Asked::new(stand.files(), &stand.spec, Said::default(), Pick::All).unwrap().requests().unwrap();
    let earlier = gather_b.finish().unwrap();
    let mut split = Split::new(requests, Some(earlier), Defaults::default(), false, stand.dir.path()).unwrap();
    assert_eq!(split.by_ref().count(), 2);
    assert_eq!(split.finish().unwrap().1, Sorted { asked: 2, taken: 1, refused: 0 });
    let error = gather(&told("other.csv:2", "B")).err().unwrap().to_string();
    assert!(error.contains("`other.csv:2` belongs to no row here"), "{error}");
}

#[test]
fn a_table_that_was_asked_twice_has_the_answers_of_both_times() {
    let mut stand = Stand::new();
    stand.input(&["a", "b"]);
    stand.run(&[], "out.csv");
    // Its answers are asked something; the new ones stand beside them.
    let names = ["response", "error", "finish_reason", "prompt_tokens", "completion_tokens", "model", "request_id"];
    let names: String = names.iter().map(|name| format!(",n_{name}")).collect();
    let text = fs::read_to_string(stand.path("out.csv")).unwrap();
    let beside = |(n, line): (usize, &str)| match n {
        0 => format!("{line}{names},n_request_hash\n"),
        n => format!("{line},N{n},,,,,,,{n:032x}\n"),
    };
    fs::write(stand.path("twice.csv"), text.lines().enumerate().map(beside).collect::<String>()).unwrap();
    let mut gather = Gather::new(stand.dir.path()).unwrap();
    assert_eq!(gather.table(&stand.path("twice.csv")).unwrap(), 4);
    assert_eq!(stand.run(&["twice.csv"], "out.csv").taken, 2);
}

#[test]
fn an_input_that_changes_meanwhile_leaves_no_table() {
    let stand = Stand::new();
    stand.input(&["a", "b"]);
    let mut split = stand.split(&[]);
    assert_eq!(split.by_ref().count(), 2);
    stand.input(&["a"]);
    let error = stand.join(split.finish().unwrap().0, "", "", "out.csv").unwrap_err().to_string();
    assert!(error.contains("`in.csv:2` belongs to no row here"), "{error}");
    assert!(!stand.path("out.csv").exists());
}

#[test]
fn a_table_that_does_not_say_what_it_answers_is_told() {
    let stand = Stand::new();
    stand.input(&["a"]);
    assert!(!has_answers(&stand.path("in.csv")).unwrap());
    let error = Gather::new(stand.dir.path()).unwrap().table(&stand.path("in.csv")).unwrap_err().to_string();
    assert!(error.contains("in.csv has no column `request_hash`"), "{error}");
}
