//! Records of CSV, by RFC 4180 and a little beyond it: any line end, and quotes within a bare value are as they stand. A
//! quote that opens a value and is closed nowhere would swallow all that comes after: it spoils its own line and no other.
use crate::{lines::LINE_BYTES_MAX, open::Bytes};
use memchr::{memchr, memchr_iter, memchr2, memchr3};
use std::io::{self, Read};

const BLOCK_BYTES: usize = 64 << 10;
const UNCLOSED: &str = "a quote is opened and not closed";
const TOO_LONG: &str = "longer than 16 MiB";

/// The values of a record.
#[derive(Debug, Default)]
pub struct Fields {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Fields {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}

pub enum Found {
    End,
    Record,
    /// A line that is none.
    Broken(&'static str),
}

/// Where a record ends, in bytes from its beginning.
enum Step {
    Whole(usize),
    /// Its end is not there yet.
    More,
    Unclosed,
}

pub struct Records {
    from: Bytes,
    delimiter: u8,
    /// What was read and not passed over.
    window: Vec<u8>,
    /// Where the next record begins in it.
    at: usize,
    /// Nothing comes after the window.
    is_end: bool,
    /// Why nothing more can be read. What was read before stands.
    failed: Option<io::Error>,
    fields: Fields,
    /// The line at which the last record began, and the next one, 1-based.
    line: u64,
    next: u64,
}

impl Records {
    pub fn new(from: Bytes, delimiter: u8) -> Self {
        let (window, fields) = (Vec::new(), Fields::default());
        Self { from, delimiter, window, at: 0, is_end: false, failed: None, fields, line: 1, next: 1 }
    }

    pub const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Where the last record began.
    pub const fn line(&self) -> u64 {
        self.line
    }

    pub fn next(&mut self) -> io::Result<Found> {
        if self.window.is_empty() && !self.is_end {
            self.fill();
            self.at = if self.window.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        }
        loop {
            self.line = self.next;
            let open = &self.window[self.at..];
            if open.is_empty() && self.is_end {
                return Ok(Found::End);
            }
            let is_whole = self.is_end || open.len() > LINE_BYTES_MAX;
            match parse(open, self.delimiter, is_whole, &mut self.fields) {
                Step::Whole(bytes) if is_blank(&open[..bytes]) => self.pass(bytes),
                Step::Whole(bytes) if bytes > LINE_BYTES_MAX => return Ok(self.spoil(TOO_LONG)),
                Step::Whole(bytes) => {
                    self.pass(bytes);
                    return Ok(Found::Record);
                }
                Step::Unclosed => return Ok(self.spoil(UNCLOSED)),
                Step::More if is_whole => return Ok(self.spoil(TOO_LONG)),
                Step::More => match self.failed.take() {
                    Some(error) => return Err(error),
                    None => self.fill(),
                },
            }
        }
    }

    /// Reads on: as much as the open record has already, so that a long one is parsed a few times and not often.
    fn fill(&mut self) {
        self.window.drain(..self.at);
        self.at = 0;
        let wanted = self.window.len().max(BLOCK_BYTES) as u64;
        match self.from.by_ref().take(wanted).read_to_end(&mut self.window) {
            Ok(read) => self.is_end = read == 0,
            Err(error) => self.failed = Some(error),
        }
    }

    fn pass(&mut self, bytes: usize) {
        self.next += lines(&self.window[self.at..self.at + bytes]);
        self.at += bytes;
    }

    /// Passes over one line, whatever it holds.
    fn spoil(&mut self, why: &'static str) -> Found {
        loop {
            let open = &self.window[self.at..];
            let is_last = self.is_end || self.failed.is_some();
            match memchr2(b'\n', b'\r', open) {
                // The other half of a line end may still come.
                Some(end) if open[end..] == *b"\r" && !is_last => self.at += end,
                Some(end) => {
                    let is_pair = open[end..].starts_with(b"\r\n");
                    self.pass(end + 1 + usize::from(is_pair));
                    return Found::Broken(why);
                }
                None => self.at = self.window.len(),
            }
            if is_last {
                return Found::Broken(why);
            }
            self.fill();
        }
    }
}

fn is_blank(record: &[u8]) -> bool {
    matches!(record, b"\n" | b"\r" | b"\r\n")
}

/// Line ends. Those of old, `\r` alone, count where there are no others.
fn lines(bytes: &[u8]) -> u64 {
    let count = memchr_iter(b'\n', bytes).count() as u64;
    if count > 0 { count } else { u64::from(bytes.ends_with(b"\r")) }
}

/// Reads one record from its beginning. `is_end`: nothing comes after these bytes, or nothing more is waited for.
fn parse(bytes: &[u8], delimiter: u8, is_end: bool, fields: &mut Fields) -> Step {
    fields.clear();
    let mut at = 0;
    loop {
        let start = at;
        if bytes.get(at) == Some(&b'"') {
            match quoted(bytes, at + 1, is_end, &mut fields.text) {
                Ok(end) => at = end,
                Err(step) => return step,
            }
        }
        let rest = &bytes[at..];
        let bare = match memchr3(delimiter, b'\n', b'\r', rest) {
            Some(bare) => bare,
            None if is_end && bytes.len() <= LINE_BYTES_MAX => rest.len(),
            None => return Step::More,
        };
        // Text behind the end of a value of several lines: that was no end, but the beginning of another one's.
        if bare > 0 && memchr(b'\n', &bytes[start..at]).is_some() {
            return Step::Unclosed;
        }
        fields.text.extend_from_slice(&rest[..bare]);
        fields.ends.push(fields.text.len());
        at += bare;
        match bytes.get(at) {
            Some(&byte) if byte == delimiter => at += 1,
            Some(b'\r') if at + 1 == bytes.len() && !is_end => return Step::More,
            Some(b'\r') if bytes.get(at + 1) == Some(&b'\n') => return Step::Whole(at + 2),
            Some(_) => return Step::Whole(at + 1),
            None => return Step::Whole(at),
        }
    }
}

/// A value within quotes, from `at` on: where it ends.
fn quoted(bytes: &[u8], mut at: usize, is_end: bool, text: &mut Vec<u8>) -> Result<usize, Step> {
    loop {
        let Some(quote) = memchr(b'"', &bytes[at..]) else {
            return Err(if is_end { Step::Unclosed } else { Step::More });
        };
        text.extend_from_slice(&bytes[at..at + quote]);
        at += quote + 1;
        match bytes.get(at) {
            Some(b'"') => {
                text.push(b'"');
                at += 1;
            }
            None if !is_end => return Err(Step::More),
            _ => return Ok(at),
        }
    }
}
