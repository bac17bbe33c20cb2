//! Numbers, sizes and times as people read them.
use jiff::Timestamp;

/// `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `a, b, c`.
pub fn words(all: &[impl Copy + Into<&'static str>]) -> String {
    all.iter().map(|one| (*one).into()).collect::<Vec<_>>().join(", ")
}

/// A rate: whole above a hundred, one decimal below.
pub fn rate(per_s: f64) -> String {
    if per_s >= 100.0 { count(per_s.round() as u64) } else { format!("{per_s:.1}") }
}

/// `35.0 MB`, in powers of ten.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A length of time in milliseconds, in its two largest units.
pub fn span(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0..10 => format!("{:.1} s", ms as f64 / 1e3),
        10..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// A moment, with how far away it is: `2026-11-20T15:04:05Z (in 3 h 2 min)`.
pub fn moment(ms: u64, now: u64) -> String {
    let far = if ms >= now { format!("in {}", span(ms - now)) } else { format!("{} ago", span(now - ms)) };
    match i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms - ms % 1_000).ok()) {
        Some(at) => format!("{at} ({far})"),
        None => far,
    }
}

/// `1 request`, `2 requests`.
pub fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Rows in columns of equal width; the first row is the heading.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let wide = |c: usize| rows.iter().filter_map(|row| row.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(wide).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(rate(12.34), "12.3");
        assert_eq!(rate(61_234.5), "61,235");
        assert_eq!(bytes(35_000_000), "35.0 MB");
        assert_eq!(plural(1, "request"), "1 request");
    }

    #[test]
    fn times_read_well() {
        assert_eq!(span(1_250), "1.2 s");
        assert_eq!(span(62_000), "1 min 2 s");
        assert_eq!(span(90_000_000), "1 d 1 h");
        assert_eq!(moment(1_000_500, 999_500), "1970-01-01T00:16:40Z (in 1.0 s)");
        assert_eq!(moment(0, 2_000), "1970-01-01T00:00:00Z (2.0 s ago)");
    }

    #[test]
    fn columns_align() {
        let rows = [vec!["a".to_owned(), "b".to_owned()], vec!["long".to_owned(), "c".to_owned()]];
        assert_eq!(table(&rows), "a     b\nlong  c");
    }
}
