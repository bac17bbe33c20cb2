//! What a file is: told by its first bytes, by its name, or by the user.
use std::path::Path;
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Format {
    Parquet,
    /// Arrow IPC, as a file or as a stream.
    Arrow,
    Csv,
    Tsv,
    /// A JSON object a line.
    Jsonl,
    /// A text a line.
    Text,
}

/// What a whole file is packed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    Gzip,
    Zstd,
    Bzip2,
}

impl Format {
    pub const ALL: &[Self] = Self::VARIANTS;

    /// By the name's end, below `.gz` and its like.
    pub fn of_name(path: &Path) -> Option<Self> {
        let path = if Packing::of_name(path).is_some() { path.with_extension("") } else { path.to_owned() };
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "parquet" | "pq" => Some(Self::Parquet),
            "arrow" | "arrows" | "ipc" | "feather" => Some(Self::Arrow),
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            "jsonl" | "ndjson" | "json" => Some(Self::Jsonl),
            "txt" | "text" => Some(Self::Text),
            _ => None,
        }
    }

    /// By the first bytes of what is not packed. Text has no mark of its own.
    pub fn of_bytes(head: &[u8]) -> Option<Self> {
        match head {
            [b'P', b'A', b'R', b'1', ..] => Some(Self::Parquet),
            [b'A', b'R', b'R', b'O', b'W', b'1', ..] | [0xff, 0xff, 0xff, 0xff, ..] => Some(Self::Arrow),
            _ if head.trim_ascii_start().starts_with(b"{") => Some(Self::Jsonl),
            _ => None,
        }
    }

    pub const fn is_binary(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow)
    }
}

impl Packing {
    pub fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "gz" | "gzip" => Some(Self::Gzip),
            "zst" | "zstd" => Some(Self::Zstd),
            "bz2" => Some(Self::Bzip2),
            _ => None,
        }
    }

    pub fn of_bytes(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            // Or a frame that is skipped, as packers in parallel write one first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Self::Bzip2),
            _ => None,
        }
    }
}

/// What stands between the values of CSV, in the user's words.
pub fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Ok(*byte),
        _ => Err("use one ASCII character, or tab".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_first_bytes_tell_the_format() {
        for (name, format, packing) in [
            ("a.parquet", Some(Format::Parquet), None),
            ("b/a.CSV.gz", Some(Format::Csv), Some(Packing::Gzip)),
            ("a.tsv.zst", Some(Format::Tsv), Some(Packing::Zstd)),
            ("a.ndjson.bz2", Some(Format::Jsonl), Some(Packing::Bzip2)),
            ("a", None, None),
        ] {
            let path = Path::new(name);
            assert_eq!((Format::of_name(path), Packing::of_name(path)), (format, packing), "{name}");
        }
        assert_eq!(Format::of_bytes(b"PAR1..."), Some(Format::Parquet));
        assert_eq!(Format::of_bytes(b" \n{\"a\":1}"), Some(Format::Jsonl));
        assert_eq!(Format::of_bytes(b"a,b"), None);
        assert_eq!(Packing::of_bytes(b"BZh9"), Some(Packing::Bzip2));
    }
}
