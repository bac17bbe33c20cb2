use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    pub const fn new(ms: u64) -> Self {
        Self(ms)
    }

    pub const fn get(self) -> u64 {
        self.0
    }

    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to here; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Parses a completion window: a number and one of `s`, `m`, `h`, `d` (`90s`, `30m`, `24h`, `7d`). Milliseconds.
pub fn window(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit = text.chars().last()?;
    let scale = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return None,
    };
    let count = &text[..text.len() - 1];
    let count: u64 = count.bytes().all(|byte| byte.is_ascii_digit()).then(|| count.parse().ok())??;
    count.checked_mul(scale).filter(|ms| *ms > 0)
}

/// A window as it is written, in the largest unit up to an hour that gives a whole number.
pub fn spelled(ms: u64) -> String {
    match ms {
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ => format!("{}s", ms / 1_000),
    }
}

/// Up to whole seconds, minutes or tens of minutes: more nobody can tell.
pub const fn rounded(ms: u64) -> u64 {
    let unit = match ms {
        0..120_000 => 1_000,
        120_000..7_200_000 => 60_000,
        _ => 600_000,
    };
    let units = ms.div_ceil(unit);
    if units == 0 { unit } else { units * unit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_a_number_and_a_unit() {
        assert_eq!(window("24h"), Some(86_400_000));
        assert_eq!(window("90s"), Some(90_000));
        assert_eq!(window(" 7d "), Some(604_800_000));
        for bad in ["", "h", "24", "0h", "-1h", "1.5h", "24 h", "99999999999999999d", "24é", "+24h"] {
            assert_eq!(window(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_window_is_read_as_it_is_written() {
        for (ms, text) in [(86_400_000, "24h"), (604_800_000, "168h"), (5_400_000, "90m"), (91_000, "91s")] {
            assert_eq!((spelled(ms).as_str(), window(text)), (text, Some(ms)));
        }
    }
}
