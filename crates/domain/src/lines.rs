//! The one splitter of lines. A stream of blocks goes through [`Lines`], in memory bounded by the longest line that is
//! taken; what lies in memory whole has its [`spans`] and [`texts`]. Blank lines are no lines of a job anywhere.
use memchr::{memchr, memchr_iter};
use std::ops::Range;

/// Where the lines are that are not blank, each with its line end.
pub fn spans(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let ends = memchr_iter(b'\n', bytes).map(|at| at + 1).chain([bytes.len()]);
    let spans = ends.scan(0, |start, end| Some(std::mem::replace(start, end)..end));
    spans.filter(|span| !bytes[span.clone()].trim_ascii().is_empty())
}

/// The lines that are not blank, without blanks around them.
pub fn texts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    spans(bytes).map(|span| bytes[span].trim_ascii())
}

/// The first lines of a stream of blocks: so many that are not blank.
#[derive(Debug)]
pub struct Head {
    left: u64,
    /// The open line is not blank.
    is_text: bool,
}

impl Head {
    pub const fn new(lines: u64) -> Self {
        Self { left: lines, is_text: false }
    }

    /// How many bytes of this block belong to them.
    pub fn cut(&mut self, block: &[u8]) -> usize {
        let mut start = 0;
        for end in memchr_iter(b'\n', block).map(|at| at + 1).chain([block.len()]) {
            if self.left == 0 {
                return start;
            }
            let line = &block[start..end];
            start = end;
            self.is_text |= !line.trim_ascii().is_empty();
            if self.is_text && line.ends_with(b"\n") {
                self.is_text = false;
                self.left -= 1;
            }
        }
        start
    }
}

/// One line of an input.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Number (1-based), offset in the input, bytes with its line end, and the text without.
    Text { number: u64, offset: u64, bytes: u32, text: &'a [u8] },
    /// Longer than is taken.
    TooLong { number: u64 },
}

#[derive(Debug)]
pub struct Lines {
    max: usize,
    number: u64,
    /// Where the open line begins.
    offset: u64,
    open: Vec<u8>,
    /// The open line is too long: it is skipped to its end. Its bytes so far.
    skipped: u64,
}

const BOM: &[u8] = b"\xef\xbb\xbf";
/// What a line may have beside its text: the mark before the first one, and the line end. Blanks that go beyond make a
/// line too long, wherever the blocks end.
const AROUND: usize = BOM.len() + 2;

impl Lines {
    pub const fn new(max: usize) -> Self {
        Self { max, number: 0, offset: 0, open: Vec::new(), skipped: 0 }
    }

    /// Gives every line that ends in this block to `take`. Blank lines are counted and passed over.
    pub fn feed(&mut self, block: &[u8], mut take: impl FnMut(Line<'_>)) {
        let mut rest = block;
        while let Some(end) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end + 1);
            rest = after;
            if self.open.is_empty() && self.skipped == 0 {
                self.line(line, &mut take);
            } else {
                self.keep(line);
                self.close(&mut take);
            }
        }
        if !rest.is_empty() {
            self.keep(rest);
        }
    }

    /// The last line, where it has no line end.
    pub fn finish(&mut self, mut take: impl FnMut(Line<'_>)) {
        if !self.open.is_empty() || self.skipped > 0 {
            self.close(&mut take);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.skipped == 0 && self.open.len() + bytes.len() <= self.max + AROUND {
            self.open.extend_from_slice(bytes);
            return;
        }
        self.skipped += (self.open.len() + bytes.len()) as u64;
        self.open = Vec::new();
    }

    fn close(&mut self, take: &mut impl FnMut(Line<'_>)) {
        if self.skipped == 0 {
            let open = std::mem::take(&mut self.open);
            self.line(&open, take);
            self.open = open;
            self.open.clear();
            return;
        }
        self.number += 1;
        self.offset += std::mem::take(&mut self.skipped);
        take(Line::TooLong { number: self.number });
    }

    fn line(&mut self, line: &[u8], take: &mut impl FnMut(Line<'_>)) {
        self.number += 1;
        let mark = if self.number == 1 && line.starts_with(BOM) { BOM.len() } else { 0 };
        let (number, offset) = (self.number, self.offset + mark as u64);
        self.offset += line.len() as u64;
        let is_whole = line.len() <= self.max + AROUND;
        let line = &line[mark..];
        let text = line.trim_ascii();
        match text.len() {
            len if !is_whole || len > self.max => take(Line::TooLong { number }),
            0 => {}
            _ => take(Line::Text { number, offset, bytes: line.len() as u32, text }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number, and for a line that is taken its offset and text.
    type Taken = (u64, Option<(u64, Vec<u8>)>);

    fn lines(input: &[u8], block: usize) -> Vec<Taken> {
        let mut lines = Lines::new(8);
        let mut out = Vec::new();
        let mut take = |line: Line<'_>| match line {
            Line::Text { number, offset, bytes, text } => {
                assert!(input[offset as usize..offset as usize + bytes as usize].trim_ascii() == text);
                out.push((number, Some((offset, text.to_vec()))));
            }
            Line::TooLong { number } => out.push((number, None)),
        };
        input.chunks(block).for_each(|b| lines.feed(b, &mut take));
        lines.finish(&mut take);
        out
    }

    #[test]
    fn a_head_is_so_many_lines_wherever_the_blocks_end() {
        let text = b"\n{1}\n \n{2}\r\n{3}";
        for (lines, bytes) in [(0, 0), (1, 5), (2, 12), (3, 15), (4, 15)] {
            for size in 1..=text.len() {
                let mut head = Head::new(lines);
                let cut: usize = text.chunks(size).map(|block| head.cut(block)).sum();
                assert_eq!(cut, bytes, "{lines} lines in blocks of {size}");
            }
        }
    }

    #[test]
    fn lines_are_the_same_whatever_the_blocks() {
        let input = b"\xef\xbb\xbfone\r\n\n  \ntwo\n123456789\n12345678\nend";
        let text = |n, offset, t: &str| (n, Some((offset, t.as_bytes().to_vec())));
        let expected = [text(1, 3, "one"), text(4, 12, "two"), (5, None), text(6, 26, "12345678"), text(7, 35, "end")];
        for block in 1..input.len() {
            assert_eq!(lines(input, block), expected, "blocks of {block}");
        }
    }

    #[test]
    fn blanks_count_the_same_whatever_the_blocks() {
        let input =
            [b"one".as_slice(), &[b' '; 20], b"\n", &[b' '; 20], b"\n\xef\xbb\xbf1234567\n12345678\r\n"].concat();
        for block in 1..input.len() + 1 {
            let expected = [(1, None), (2, None), (3, None), (4, Some((56, b"12345678".to_vec())))];
            assert_eq!(lines(&input, block), expected, "blocks of {block}");
        }
    }

    #[test]
    fn what_lies_in_memory_has_the_same_lines() {
        for (input, want) in [
            (&b"one\r\n\n  \n two\nend"[..], &["one", "two", "end"][..]),
            (b"one\n", &["one"]),
            (b"\n\n", &[]),
            (b"", &[]),
        ] {
            assert_eq!(texts(input).map(|text| std::str::from_utf8(text).unwrap()).collect::<Vec<_>>(), want);
            let mut read = Vec::new();
            let mut lines = Lines::new(8);
            let mut take = |line: Line<'_>| {
                if let Line::Text { offset, bytes, .. } = line {
                    read.push(offset as usize..offset as usize + bytes as usize);
                }
            };
            lines.feed(input, &mut take);
            lines.finish(&mut take);
            assert_eq!(spans(input).collect::<Vec<_>>(), read);
        }
    }

    #[test]
    fn nothing_is_no_line() {
        assert_eq!(lines(b"", 1), []);
        assert_eq!(lines(b"\n \n", 1), []);
    }
}
