//! A server's JSON, as it goes into a line of the output. Pure.
use std::borrow::Cow;

/// JSON text on one line: what stands between its tokens goes where a line end is among it.
pub fn one_line(text: &str) -> String {
    let text = mended(text.trim());
    if !text.contains(['\n', '\r']) {
        return text.into_owned();
    }
    let (mut line, mut quoted, mut escaped) = (String::with_capacity(text.len()), false, false);
    for letter in text.chars() {
        if !quoted && letter.is_ascii_whitespace() {
            continue;
        }
        quoted ^= letter == '"' && !escaped;
        escaped = quoted && letter == '\\' && !escaped;
        line.push(letter);
    }
    line
}

/// Halves of surrogate pairs, which no text holds and few read, become what stands for a lost character.
fn mended(text: &str) -> Cow<'_, str> {
    let halves = halves(text);
    if halves.is_empty() {
        return text.into();
    }
    let mut whole = text.to_owned();
    for at in halves {
        whole.replace_range(at..at + 6, "\\ufffd");
    }
    whole.into()
}

/// Where `\ud83d` stands without its other half.
fn halves(text: &str) -> Vec<usize> {
    let (mut from, mut found) = (0, Vec::new());
    while let Some(at) = text[from..].find('\\').map(|at| from + at) {
        from = match (unit(text, at), unit(text, at + 6)) {
            (None, _) => at + 2,
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => at + 12,
            (Some(0xd800..=0xdfff), _) => {
                found.push(at);
                at + 6
            }
            (Some(_), _) => at + 6,
        };
    }
    found
}

/// The code unit of the escape `\uXXXX` at this byte.
fn unit(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_pair_is_a_lost_character() {
        for (text, mended) in [
            (r#"{"a":"\ud83d"}"#, r#"{"a":"\ufffd"}"#),
            (r#"{"a":"\uDE00\ud83d\ude00\uD83Dx"}"#, r#"{"a":"\ufffd\ud83d\ude00\ufffdx"}"#),
            (r#"{"a":"\\ud83d é\n\u00e9"}"#, r#"{"a":"\\ud83d é\n\u00e9"}"#),
        ] {
            assert_eq!(one_line(text), mended);
            assert!(serde_json::from_str::<serde_json::Value>(mended).is_ok());
        }
    }
}
