//! A file that is no JSONL has one error, which says what it looks like, and not one for each line. Only a file in which
//! a line is wrong is looked at.
use crate::event::{Code, LineError};
use serde::de::IgnoredAny;

/// What files of other kinds begin with.
const MAGIC: [(&[u8], &str); 8] = [
    (b"\x1f\x8b", "looks like gzip; unpack it first (gunzip)"),
    (b"\x28\xb5\x2f\xfd", "looks like zstd; unpack it first (zstd -d)"),
    (b"\x50\x2a\x4d\x18", "looks like zstd; unpack it first (zstd -d)"),
    (b"BZh", "looks like bzip2; unpack it first (bunzip2)"),
    (b"\xfd7zXZ\0", "looks like xz; unpack it first (unxz)"),
    (b"PK\x03\x04", "looks like a zip archive or a spreadsheet; send its rows as JSONL"),
    (b"PAR1", "looks like Parquet; send its rows as JSONL"),
    (b"{\\rtf", "looks like RTF; save it as plain text"),
];
const ZEROS: &str = "begins with NUL bytes, as the copy of a file does that was not written to its end; send it again";
const UTF16: &str = "looks like UTF-16; save it as UTF-8";
const ARRAY: &str = "looks like a JSON array; write one object a line, without brackets and commas (jq -c '.[]')";
const PRETTY: &str = "looks like pretty-printed JSON; write each object on one line (jq -c .)";
const JOINED: &str = "holds more than one object on its first line; write one object a line (with curl use --data-binary, \
                      which keeps line ends)";
const COMMAS: &str = "has commas between its objects; write one object a line, with nothing between";
const RETURNS: &str = "has CR line ends; save it with LF or CRLF line ends";
const CSV: &str = "looks like CSV; write each row as one JSON object";

/// What a file that begins so looks like, if it is none of one JSON object a line.
pub fn of(head: &[u8]) -> Option<LineError> {
    if let Some(what) = binary(head) {
        return Some(error(Code::InvalidUtf8, None, what));
    }
    let (number, line, next) = first(head)?;
    text(line, next).map(|what| error(Code::InvalidJsonLine, Some(number), what))
}

fn error(code: Code, line: Option<u64>, what: &str) -> LineError {
    LineError { code, line, param: None, message: format!("the file {what}") }
}

/// The same of what begins as no text does.
pub fn binary(head: &[u8]) -> Option<&'static str> {
    let begun = MAGIC.into_iter().find(|(magic, _)| head.starts_with(magic));
    let zeros = || (head.len() >= 4 && head.iter().take(16).all(|byte| *byte == 0)).then_some(ZEROS);
    begun.map(|(_, what)| what).or_else(zeros).or_else(|| is_utf16(head).then_some(UTF16))
}

/// By its mark, or by the zeros beside the first characters.
fn is_utf16(head: &[u8]) -> bool {
    let zeros = |parity: usize| head.iter().take(16).skip(parity).step_by(2).all(|byte| *byte == 0);
    head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") || (head.len() >= 4 && (zeros(0) || zeros(1)))
}

/// The first line that is not blank, its number (1-based), and what follows it.
fn first(head: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let (mut number, mut rest) = (1, head);
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let (line, after) = (rest[..end].trim_ascii(), &rest[(end + 1).min(rest.len())..]);
        match line {
            [] if after.is_empty() => return None,
            [] => (number, rest) = (number + 1, after),
            line => return Some((number, line, after)),
        }
    }
}

fn text(line: &[u8], next: &[u8]) -> Option<&'static str> {
    match line[0] {
        b'[' if is_array(line, next) => Some(ARRAY),
        b'{' if line == b"{" => Some(PRETTY),
        b'{' => beyond(line),
        _ if is_csv(line, next) => Some(CSV),
        _ => None,
    }
}

/// One of objects, on one line or on many.
fn is_array(line: &[u8], next: &[u8]) -> bool {
    let within = |bytes: &[u8]| bytes.trim_ascii_start().first().is_some_and(|byte| matches!(byte, b'{' | b']'));
    within(&line[1..]) || (line.len() == 1 && within(next))
}

/// What comes after the first object of the first line.
fn beyond(line: &[u8]) -> Option<&'static str> {
    let mut objects = serde_json::Deserializer::from_slice(line).into_iter::<IgnoredAny>();
    objects.next()?.ok()?;
    let rest = &line[objects.byte_offset()..];
    let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    match rest.get(blanks) {
        Some(b'{') if rest[..blanks].contains(&b'\r') => Some(RETURNS),
        Some(b'{') => Some(JOINED),
        Some(b',') => Some(COMMAS),
        _ => None,
    }
}

/// A heading of names, and no JSON below it.
fn is_csv(line: &[u8], next: &[u8]) -> bool {
    let cells = |line: &[u8]| [b',', b';', b'\t'].map(|mark| line.iter().filter(|byte| **byte == mark).count());
    let below = first(next).map(|(_, line, _)| line);
    let same = below.is_none_or(|row| line.first() != Some(&b'{') && row[0] != b'{' && row[0] != b'[');
    same && !is_json(line)
        && serde_json::from_slice::<IgnoredAny>(line).is_err()
        && cells(line).into_iter().any(|count| count > 0)
}

/// Whether an object or a list begins behind characters that nobody sees.
fn is_json(line: &[u8]) -> bool {
    let text = std::str::from_utf8(line).unwrap_or_default();
    let unseen =
        |letter: char| letter.is_whitespace() || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    text.trim_start_matches(unseen).starts_with(['{', '['])
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = r#"{"custom_id":"a","body":{"messages":[{"role":"user","content":"x, y"}]}}"#;

    #[test]
    fn each_kind_of_file_has_its_hint() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        for (head, what, line) in [
            (b"\x1f\x8b\x08\0rest".to_vec(), "gzip", None),
            (b"\x28\xb5\x2f\xfd\0\n".to_vec(), "zstd", None),
            (b"\x50\x2a\x4d\x18\x04\0\0\0".to_vec(), "zstd", None),
            ([b"\xff\xfe".to_vec(), utf16(A)].concat(), "UTF-16; save it as UTF-8", None),
            (utf16(A), "UTF-16", None),
            (vec![0; 100], "NUL bytes", None),
            (A.encode_utf16().flat_map(u16::to_be_bytes).collect(), "UTF-16", None),
            (format!("[{A}, {A}]").into(), "JSON array", Some(1)),
            (format!("\n[\n  {A},\n  {A}\n]").into(), "JSON array", Some(2)),
            (b"{\n  \"custom_id\": \"a\"\n}\n".to_vec(), "pretty-printed", Some(1)),
            (format!("{A}{A}").into(), "--data-binary", Some(1)),
            (format!("\u{feff}{A} {A} {{\"cut").into(), "--data-binary", Some(1)),
            (format!("{A},\n{A},\n").into(), "commas", Some(1)),
            (format!("{A}\r{A}\r").into(), "CR line ends", Some(1)),
            (b"custom_id,prompt\na,hello\n".to_vec(), "CSV", Some(1)),
            (b"\"id\";\"prompt\"\n1;\"x\"\n".to_vec(), "CSV", Some(1)),
        ] {
            let hint = of(&head).unwrap_or_else(|| panic!("{what}"));
            assert!(hint.message.contains(what), "{what}: {hint:?}");
            assert_eq!(hint.line, line, "{what}");
        }
    }

    #[test]
    fn what_is_wrong_in_single_lines_has_none() {
        for head in [
            "".to_owned(),
            "\n \n".to_owned(),
            A.to_owned(),
            format!("{A}\n[1,2,3]\n{A}{A}\n"),
            format!("[1,2]\n{A}\n"),
            format!("null\n{A}\n"),
            "\"text\"\n".to_owned(),
            format!("hello, world\n{A}\n"),
            "hello\n".to_owned(),
            format!("{}\n{A}", &A[..20]),
            format!("\u{a0}{A}\n{A}\n"),
            format!("\u{200b}\u{feff}{A}\n"),
            format!("\u{a0}{A}"),
        ] {
            assert_eq!(of(head.as_bytes()), None, "{head}");
        }
    }
}
