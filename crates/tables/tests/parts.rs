//! Folders in the form of Spark and Hive: what a path says is columns of its rows.
#![allow(clippy::unwrap_used)]
use bytes::Bytes;
use std::{fs, io, ops::Range, path::Path, sync::Arc};
use tables::{
    Asked, Files, Pick, Remote, Said, Source, Spec,
    join::{self, Input, Wanted},
};

const NAMES: [&str; 4] =
    ["lang=de/_SUCCESS", "lang=de/day=1%3A2/a.csv", "lang=fr/part.jsonl", "lang=__HIVE_DEFAULT_PARTITION__/z.parquet"];

fn laid(root: &Path) -> Files {
    for name in NAMES {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
    }
    fs::write(root.join(NAMES[0]), "").unwrap();
    fs::write(root.join("lang=de/.a.csv.crc"), "x").unwrap();
    fs::write(root.join(NAMES[1]), "text,n\none,1\n").unwrap();
    fs::write(root.join(NAMES[2]), "{\"text\":\"two\",\"lang\":\"own\"}\n").unwrap();
    fs::copy("tests/files/pandas.parquet", root.join(NAMES[3])).unwrap();
    Files::find(&[root.to_owned()]).unwrap()
}

#[test]
fn a_template_has_the_columns_of_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let template = "{{ text }} {{ lang is none }} {{ lang or '' }} {{ day is none }}".to_owned();
    let spec = Spec { template: Some(template), model: Some("m".into()), ..Spec::default() };
    let asked = Asked::new(laid(dir.path()), &spec, Said::default(), Pick::All).unwrap();
    let first: Vec<&str> = asked.first().names().collect();
    assert!(first.contains(&"lang") && first.contains(&"day"), "{first:?}");
    let lines: Vec<String> =
        asked.requests().unwrap().map(|request| String::from_utf8(request.unwrap().line).unwrap()).collect();
    let has = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(has("one False de False") && has("two False own True") && has("a True  True"), "{lines:?}");
}

#[test]
fn what_is_kept_has_the_columns_of_the_path() {
    let dir = tempfile::tempdir().unwrap();
    for (lang, n) in [("de", 1), ("fr", 2)] {
        fs::create_dir_all(dir.path().join(format!("t/lang={lang}"))).unwrap();
        fs::copy("tests/files/pandas.parquet", dir.path().join(format!("t/lang={lang}/{n}.parquet"))).unwrap();
    }
    for out in ["o.csv", "o.jsonl", "o.parquet"] {
        let files = Files::find(&[dir.path().join("t/*/*.parquet")]).unwrap();
        let input = Input { files, said: Said::default(), id_column: None, pick: Pick::All };
        let wanted = Wanted { keep: Some(vec!["lang".into()]), ..Wanted::default() };
        let to = dir.path().join(out);
        let counts = join::join(input, &wanted, None, [&b""[..], b""], &to).unwrap();
        let rows = tables::open(&to, &tables::Options::default())
            .unwrap()
            .flat_map(|rows| (0..rows.count()).map(|at| rows.field(at, "lang").unwrap().unwrap()).collect::<Vec<_>>());
        let langs: Vec<_> = rows.collect();
        assert_eq!((langs.len() as u64, &langs[0]), (counts.rows, &"de".into()), "{out}");
        assert_eq!(langs[langs.len() - 1], "fr", "{out}");
    }
}

/// The folders above the one that is named are where somebody keeps his files.
#[test]
fn only_what_stands_below_the_input_is_columns() {
    let dir = tempfile::tempdir().unwrap();
    let above = dir.path().join("model=x/lang=de");
    fs::create_dir_all(&above).unwrap();
    fs::write(above.join("a.csv"), "text\none\n").unwrap();
    for (named, columns) in [
        (above.join("a.csv"), vec!["text"]),
        (above.join("*.csv"), vec!["text"]),
        (above.clone(), vec!["text"]),
        (dir.path().join("model=x"), vec!["text", "lang"]),
        (dir.path().join("*/*/a.csv"), vec!["text", "lang", "model"]),
    ] {
        let spec = Spec { prompt_column: Some("text".into()), ..Spec::default() };
        let asked =
            Asked::new(Files::find(std::slice::from_ref(&named)).unwrap(), &spec, Said::default(), Pick::All).unwrap();
        assert_eq!(asked.first().names().collect::<Vec<_>>(), columns, "{}", named.display());
    }
}

struct Memory(&'static [u8]);

impl Source for Memory {
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        Ok(Bytes::from_static(&self.0[range.start as usize..range.end as usize]))
    }
}

#[test]
fn one_file_elsewhere_has_the_columns_of_its_path() {
    let remote = Remote(Arc::new(Memory(b"n\n1\n")));
    let files = Files::elsewhere(vec![("in/text=a%20b/1.csv".to_owned(), remote)]).unwrap();
    let spec = Spec { prompt_column: Some("text".into()), model: Some("m".into()), ..Spec::default() };
    let asked = Asked::new(files, &spec, Said::default(), Pick::All).unwrap();
    let lines: Vec<_> = asked.requests().unwrap().map(|request| request.unwrap()).collect();
    assert_eq!(lines[0].bad, None);
    assert!(String::from_utf8_lossy(&lines[0].line).contains(r#""content":"a b""#), "{lines:?}");
}
