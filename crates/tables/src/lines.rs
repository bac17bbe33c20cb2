//! Lines of a stream, in memory bounded by the longest that is taken.
use memchr::memchr;
use std::io::{self, BufRead};

/// A longer line cannot be a row.
pub const LINE_BYTES_MAX: usize = 16 << 20;

#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    End,
    Text,
    TooLong,
}

/// Reads one line into `line`, without its line end.
pub fn next(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    let (mut any, mut too_long) = (false, false);
    loop {
        let block = from.fill_buf()?;
        if block.is_empty() {
            break;
        }
        any = true;
        let end = memchr(b'\n', block);
        let piece = &block[..end.unwrap_or(block.len())];
        too_long |= line.len() + piece.len() > LINE_BYTES_MAX;
        if !too_long {
            line.extend_from_slice(piece);
        }
        let used = piece.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            break;
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(match (any, too_long) {
        (false, _) => Line::End,
        (true, true) => Line::TooLong,
        (true, false) => Line::Text,
    })
}

/// Reads the next line that is not blank. False: there is none.
pub fn full(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        match next(from, line)? {
            Line::End => return Ok(false),
            Line::TooLong => return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is longer than 16 MiB")),
            Line::Text if line.trim_ascii().is_empty() => {}
            Line::Text => return Ok(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    #[test]
    fn lines_are_cut_wherever_the_blocks_end() {
        let mut from = BufReader::with_capacity(3, &b"one\r\n\nlonger"[..]);
        let mut line = Vec::new();
        let mut found = Vec::new();
        while next(&mut from, &mut line).unwrap() == Line::Text {
            found.push(String::from_utf8(line.clone()).unwrap());
        }
        assert_eq!(found, ["one", "", "longer"]);
    }
}
