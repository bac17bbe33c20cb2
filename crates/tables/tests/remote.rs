//! Files that lie elsewhere give the same requests as files of this machine, and rows are known by where they stand.
#![allow(clippy::unwrap_used)]
use bytes::Bytes;
use std::{collections::BTreeSet, fs, io, ops::Range, path::Path, sync::Arc};
use tables::{Asked, Files, Pick, Remote, Said, Source, Spec};

struct Memory(Vec<u8>);

impl Source for Memory {
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        Ok(self.0[range.start as usize..range.end as usize].to_vec().into())
    }
}

const FILES: [&str; 4] = ["pandas.csv.gz", "pandas.parquet", "types.arrow", "types.parquet"];

fn made(name: &str) -> std::path::PathBuf {
    Path::new("tests/files").join(name)
}

fn elsewhere(names: &[&str]) -> Files {
    let remote = |name: &&str| (name.to_string(), Remote(Arc::new(Memory(fs::read(made(name)).unwrap()))));
    Files::elsewhere(names.iter().map(remote).collect()).unwrap()
}

fn asked(files: Files) -> Asked {
    let spec = Spec { prompt_column: Some("text".into()), ..Spec::default() };
    Asked::new(files, &spec, Said::default(), Pick::All).unwrap()
}

fn lines(files: Files) -> Vec<Vec<u8>> {
    asked(files).requests().unwrap().map(|request| request.unwrap().line).collect()
}

#[test]
fn the_same_lines_wherever_the_files_lie() {
    for name in FILES {
        assert_eq!(lines(elsewhere(&[name])), lines(Files::find(&[made(name)]).unwrap()), "{name}");
    }
    let here: Vec<_> = FILES.iter().rev().map(|name| made(name)).collect();
    assert_eq!(lines(elsewhere(&FILES)), lines(Files::find(&here).unwrap()));
}

#[test]
fn a_row_is_known_by_its_file_and_row_group() {
    let names = ["pandas.csv.gz", "types.parquet"];
    let before = lines(elsewhere(&names[..1])).len() as u64;
    let spots = asked(elsewhere(&names)).spots(&BTreeSet::from([2, before + 3])).unwrap();
    let said: Vec<String> = spots.values().map(ToString::to_string).collect();
    assert_eq!(said[0], "pandas.csv.gz, row 2");
    assert!(said[1].starts_with("types.parquet, row group ") && said[1].ends_with(", row 3"), "{said:?}");
}
