#![allow(clippy::unwrap_used)]
use super::*;
use serde_json::json;
use std::{fs, io::Write, path::PathBuf};

/// A file made by pyarrow or pandas.
fn made(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

/// All rows of a file; a bad one as its reason.
fn rows(path: &Path) -> Vec<Result<Value, String>> {
    let batches = open(path, &Options::default()).unwrap();
    let row = |rows: &Rows, at| rows.row(at).map(Value::Object);
    batches.flat_map(|rows| (0..rows.count()).map(|at| row(&rows, at)).collect::<Vec<_>>()).collect()
}

fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

#[test]
fn types_of_other_programs_are_read() {
    for name in ["types.parquet", "types.arrow"] {
        let columns = columns_of(&made(name), &Options::default()).unwrap();
        let kinds: Vec<&str> = columns.iter().map(|column| column.kind.as_str()).collect();
        let chats = "list<struct<role: string, content: string, name: string>>";
        assert_eq!(kinds[..5], ["int64", "string", "string", chats, "timestamp[UTC]"], "{name}");
        let rows = rows(&made(name));
        let want = json!({"id": 10, "text": "one", "lang": "en", "at": "2026-01-02T03:04:05.600Z", "price": "12.50",
            "chat": [{"role": "user", "content": "a", "name": null}], "score": 0.1});
        assert_eq!(rows[0].as_ref().unwrap(), &want, "{name}");
        let nulls =
            json!({"id": 12, "text": null, "lang": "de", "at": null, "price": null, "chat": null, "score": null});
        assert_eq!(rows[2].as_ref().unwrap(), &nulls, "{name}");
        assert_eq!(rows[3].as_ref().unwrap()["score"], json!(null), "{name}: not a number");
        assert_eq!((rows.len(), &rows[1].as_ref().unwrap()["price"]), (4, &json!("-0.01")), "{name}");
    }
}

#[test]
fn pandas_is_read() {
    for (name, id, text) in [("pandas.parquet", json!(2), "b,c"), ("pandas.csv.gz", json!("2"), "b,\"c\"\nd")] {
        let rows = rows(&made(name));
        assert_eq!(rows.len(), 3, "{name}");
        assert_eq!(rows[1].as_ref().unwrap(), &json!({"id": id, "text": text}), "{name}");
        assert_eq!(rows[2].as_ref().unwrap()["text"], json!(null), "{name}");
    }
}

#[test]
fn only_what_is_wanted_is_read() {
    let columns = Some(["text".to_owned()].into());
    for name in ["types.parquet", "types.arrow", "pandas.csv.gz"] {
        let options = Options { columns: columns.clone(), ..Options::default() };
        let mut reader = open(&made(name), &options).unwrap();
        assert!(reader.names().count() > 1, "{name}");
        assert_eq!(reader.next().unwrap().row(0).unwrap().len(), 1, "{name}");
    }
}

#[test]
fn a_row_group_that_is_broken_is_told_row_by_row() {
    let whole = fs::read(made("types.parquet")).unwrap();
    let (_dir, path) = written("broken.parquet", &whole);
    let mut bytes = whole.clone();
    // The first page of the first row group lies right behind the mark.
    bytes[4..40].fill(0xff);
    fs::write(&path, &bytes).unwrap();
    let rows = rows(&path);
    assert_eq!(rows.len(), 4);
    assert!(rows[0].as_ref().unwrap_err().starts_with("broken.parquet, row group 0: "), "{:?}", rows[0]);
    assert!(rows[1].is_err() && rows[2].is_ok() && rows[3].is_ok());
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = open(&path, &Options::default()).err().unwrap().to_string();
    assert!(error.contains("broken.parquet: no whole Parquet file"), "{error}");
}

#[test]
fn a_ragged_line_is_one_bad_row() {
    let (_dir, path) = written("a.csv", b"\xef\xbb\xbfid,text\n1,a\n2\n3,\"b\nc\"\n4,\xff\n5,\n");
    let want = [
        Ok(json!({"id": "1", "text": "a"})),
        Err("a.csv, line 3: 1 fields where the first line names 2 columns".to_owned()),
        Ok(json!({"id": "3", "text": "b\nc"})),
        Err("a.csv, line 6: column `text` is no UTF-8".to_owned()),
        Ok(json!({"id": "5", "text": null})),
    ];
    assert_eq!(rows(&path), want);
    let (_dir, path) = written("a.tsv", b"a\ta\n");
    assert!(open(&path, &Options::default()).err().unwrap().to_string().contains("column `a` stands twice"));
}

#[test]
fn quotes_that_are_closed_or_bare_are_no_fault() {
    for whole in [
        "id,text\n1,6\" pipe\n2,\"x\ny\"",
        "id,text\n1,6\" pipe\n2,\"x\ny\"\n",
        "id,text\n2,\"x\n\"\"y\"\n",
        "id,text\n1,6\"",
    ] {
        let (_dir, path) = written("b.csv", whole.as_bytes());
        assert!(rows(&path).iter().all(Result::is_ok), "{whole}");
    }
}

#[test]
fn an_open_quote_spoils_its_own_line_and_no_other() {
    let open = |name: &str, line: u64| Err(format!("{name}, line {line}: a quote is opened and not closed"));
    let row = |id: &str, text: &str| Ok(json!({"id": id, "text": text}));
    // It is closed nowhere; or by the quote that opens another value, of which text comes after.
    let (_dir, path) = written("a.csv", b"id,text\n1,\"a\n2,b\n3,\"c\nd\"\n4,say \"e\"\n5,\"f\"\"\"g\n6,h\n7,\"i\n8,j");
    let want = [
        open("a.csv", 2),
        row("2", "b"),
        row("3", "c\nd"),
        row("4", "say \"e\""),
        row("5", "f\"g"),
        row("6", "h"),
        open("a.csv", 9),
        row("8", "j"),
    ];
    assert_eq!(rows(&path), want);
    let (_dir, path) = written("a.csv", b"id,\"text\n1,a\n");
    let error = super::open(&path, &Options::default()).err().unwrap().to_string();
    assert!(error.ends_with("a.csv: line 1: a quote is opened and not closed"), "{error}");
    // Bare values, and others, after one of several lines.
    let (_dir, path) = written("a.csv", b"id,text,c,d\n1,\"a\nb\",c,\"d\n\"\n2,\"a\n\"\"b\",c,d\n");
    let want = [("1", "a\nb", "d\n"), ("2", "a\n\"b", "d")];
    assert_eq!(rows(&path), want.map(|(id, text, d)| Ok(json!({"id": id, "text": text, "c": "c", "d": d}))));
    // A value that goes on for more than a block, and a line that goes on for ever.
    let long = "x\n".repeat(100_000);
    let forever = "y".repeat(crate::lines::LINE_BYTES_MAX + 10);
    let text = format!("id,text\r\n1,\"{long}\"\r\n2,{forever}\r\n3,\"{forever}\r\n4,z\r\n");
    let (_dir, path) = written("a.csv", text.as_bytes());
    let long_line = Err("a.csv, line 100003: longer than 16 MiB".to_owned());
    let found = rows(&path);
    assert_eq!(found[1..], [long_line, open("a.csv", 100_004), row("4", "z")]);
    let text = found[0].as_ref().unwrap()["text"].as_str().unwrap();
    assert!(text == long, "{} bytes for {}, which begin with {:?}", text.len(), long.len(), &text[..20]);
}

#[test]
fn a_quote_in_each_line_takes_no_longer_than_the_lines() {
    let text = format!("id,text\n{}", "1,\"a\n".repeat(300_000));
    let (_dir, path) = written("a.csv", text.as_bytes());
    let since = std::time::Instant::now();
    let found = rows(&path);
    assert_eq!((found.len(), found.iter().filter(|row| row.is_err()).count()), (300_000, 300_000));
    assert!(since.elapsed().as_secs() < 20, "{:?}", since.elapsed());
}

#[test]
fn csv_has_any_line_end_and_any_delimiter() {
    let row = |id: &str, text: &str| Ok(json!({"id": id, "text": text}));
    for (name, bytes) in [
        ("a.csv", &b"id;text\r1;a\r\r2;\"b,\"\r"[..]),
        ("a.tsv", b"id;text\r\n1;a\r\n\r\n2;b,"),
        ("a", b"\xef\xbb\xbfid;text\n1;a\n2;b,\n"),
    ] {
        let (_dir, path) = written(name, bytes);
        let said = Said { format: (name == "a").then_some(Format::Csv), delimiter: Some(b';') };
        let read = open(&path, &Options { said, columns: None }).unwrap();
        let found: Vec<_> = read.flat_map(|rows| [rows.row(0), rows.row(1)]).collect();
        assert_eq!(
            found.into_iter().map(|row| row.map(Value::Object)).collect::<Vec<_>>(),
            [row("1", "a"), row("2", "b,")]
        );
    }
}

#[test]
fn lines_of_objects_and_of_text_are_rows() {
    let (_dir, path) = written("a.jsonl", b"{\"a\":1}\n\n[2]\n{\"a\":\"x\",\"b\":null}\n\xff\n");
    let found = rows(&path);
    assert_eq!(found.len(), 4);
    assert_eq!(found[2], Ok(json!({"a": "x", "b": null})));
    assert!(found[1].as_ref().unwrap_err().starts_with("a.jsonl, line 3: no JSON object"));
    assert_eq!(found[3], Err("a.jsonl, line 5: no UTF-8".to_owned()));
    let columns = columns_of(&path, &Options::default()).unwrap();
    assert_eq!(
        columns.iter().map(|c| (c.name.as_str(), c.kind.as_str())).collect::<Vec<_>>(),
        [("a", "any"), ("b", "null")]
    );
    let (_dir, path) = written("a.txt", b"one\r\n \ntwo");
    assert_eq!(rows(&path), [Ok(json!({"text": "one"})), Ok(json!({"text": "two"}))]);
}

#[test]
fn what_is_packed_is_unpacked_and_what_breaks_off_is_told() {
    let text: String = (0..5_000).map(|n| format!("line number {n}\n")).collect();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(text.as_bytes()).unwrap();
    let gz = gz.finish().unwrap();
    let mut bz = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bz.write_all(text.as_bytes()).unwrap();
    let zst = zstd::encode_all(text.as_bytes(), 1).unwrap();
    // As pzstd writes it.
    let skipped = [b"\x50\x2a\x4d\x18\x04\0\0\0abcd", &zst[..]].concat();
    for (name, bytes) in
        [("a.txt.gz", gz.clone()), ("a.txt.bz2", bz.finish().unwrap()), ("a.txt", zst), ("b.txt.zst", skipped)]
    {
        let (_dir, path) = written(name, &bytes);
        assert_eq!(rows(&path).len(), 5_000, "{name}");
    }
    // Two members, as `cat a.gz b.gz` makes them.
    let (_dir, path) = written("two.txt.gz", &[gz.clone(), gz.clone()].concat());
    assert_eq!(rows(&path).len(), 10_000);
    let (_dir, path) = written("cut.txt.gz", &gz[..gz.len() / 2]);
    let rows = rows(&path);
    let why = rows.last().unwrap().as_ref().unwrap_err();
    assert!(rows.len() > 100 && why.starts_with("cut.txt.gz, line "), "{why}");
}

#[test]
fn a_format_may_have_to_be_said() {
    let (_dir, path) = written("data", b"a,b\n1,2\n");
    let error = open(&path, &Options::default()).err().unwrap().to_string();
    assert!(error.contains("say --format"), "{error}");
    let options = Options { said: Said { format: Some(Format::Csv), delimiter: None }, columns: None };
    assert_eq!(open(&path, &options).unwrap().next().unwrap().row(0).unwrap().len(), 2);
}
