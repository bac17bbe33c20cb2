//! What tenants used, day by day, from the facts of the log. A fact that changes nothing of its job, since it was folded
//! before, changes nothing here.
use crate::{Job, Tenant, Timestamp};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// Days that are kept of each tenant, counted from the newest: more than the log itself remembers.
pub const DAYS_MAX: u32 = 400;
/// Rows of one answer.
pub const ROWS_MAX: usize = 2_000;

const DAY_MS: u64 = 86_400_000;
/// The last day that has a year of four digits.
const LAST: u32 = 2_932_896;

/// A day in UTC, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(value_type = String, format = Date, examples("2026-11-30")))]
pub struct Day(u32);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no day; write it as 2026-11-30")]
pub struct NoDay;

impl Day {
    /// The day of a moment.
    pub fn of(at: Timestamp) -> Self {
        Self(u32::try_from(at.get() / DAY_MS).unwrap_or(LAST).min(LAST))
    }

    /// So many days before.
    pub const fn before(self, days: u32) -> Self {
        Self(self.0.saturating_sub(days))
    }

    /// Days from `earlier` to here; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }

    /// Year, month and day of the month: in eras of 400 years that begin in March, so that a leap day is the last.
    const fn date(self) -> (u32, u32, u32) {
        let days = self.0 + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let of_month = of_year - (153 * month + 2) / 5 + 1;
        let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        (year + 400 * era + later, month, of_month)
    }

    /// None: there is no such day, or it is before 1970.
    fn new(year: u32, month: u32, day: u32) -> Option<Self> {
        let (of_year, from_march) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
        let (era, year_of) = (of_year / 400, of_year % 400);
        let days = year_of * 365 + year_of / 4 - year_of / 100 + (153 * from_march + 2) / 5 + day.checked_sub(1)?;
        let found = Self((era * 146_097 + days).checked_sub(719_468)?);
        (found.date() == (year, month, day)).then_some(found)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Day {
    type Err = NoDay;

    fn from_str(text: &str) -> Result<Self, NoDay> {
        let number = |part: &str| part.parse().ok().filter(|_| part.bytes().all(|b| b.is_ascii_digit()));
        match text.split('-').collect::<Vec<_>>()[..] {
            [year, month, day] if (year.len(), month.len(), day.len()) == (4, 2, 2) => {
                let parts = (number(year), number(month).filter(|month| *month <= 12), number(day));
                let (Some(year), Some(month), Some(day)) = parts else { return Err(NoDay) };
                Self::new(year, month, day).ok_or(NoDay)
            }
            _ => Err(NoDay),
        }
    }
}

impl TryFrom<String> for Day {
    type Error = NoDay;

    fn try_from(text: String) -> Result<Self, NoDay> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

/// What was used. On a day on which results were lost that were counted on another, it can be less than nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    pub jobs: i64,
    /// Requests with an answer or an error line of their own.
    pub requests: i64,
    pub prompt: i64,
    pub completion: i64,
    pub cached: i64,
    /// Bytes of validated inputs.
    pub input: i64,
    /// Bytes of archived lines.
    pub output: i64,
}

impl Amounts {
    /// Of a job by now.
    pub fn of(job: &Job) -> Self {
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let (tally, usage) = (&job.tally, &job.tally.usage);
        Self {
            jobs: 1,
            requests: count(tally.completed.saturating_add(tally.failed)),
            prompt: count(usage.prompt),
            completion: count(usage.completion),
            cached: count(usage.cached),
            input: count(job.planned.as_ref().map_or(0, |planned| planned.bytes)),
            output: count(job.output_bytes.saturating_add(job.error_bytes)),
        }
    }

    fn with(self, other: Self, by: impl Fn(i64, i64) -> i64) -> Self {
        Self {
            jobs: by(self.jobs, other.jobs),
            requests: by(self.requests, other.requests),
            prompt: by(self.prompt, other.prompt),
            completion: by(self.completion, other.completion),
            cached: by(self.cached, other.cached),
            input: by(self.input, other.input),
            output: by(self.output, other.output),
        }
    }

    pub fn plus(self, other: Self) -> Self {
        self.with(other, i64::saturating_add)
    }

    fn minus(self, other: Self) -> Self {
        self.with(other, i64::saturating_sub)
    }
}

/// What all tenants used, day by day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger(BTreeMap<Tenant, BTreeMap<Day, Amounts>>);

impl Ledger {
    /// Takes what an event changed: what its job came to before it, if there was one, and after it.
    pub fn note(&mut self, tenant: Tenant, at: Timestamp, before: Amounts, after: Amounts) {
        let change = after.minus(before);
        if change == Amounts::default() {
            return;
        }
        let (days, day) = (self.0.entry(tenant).or_default(), Day::of(at));
        let known = days.len();
        let sum = days.entry(day).or_default();
        *sum = sum.plus(change);
        // Each event comes by here, and a new day seldom.
        if days.len() > known
            && let Some(newest) = days.keys().next_back().copied()
        {
            days.retain(|day, _| newest.since(*day) < DAYS_MAX);
        }
    }

    /// What is asked for: by tenant, and then by day. None: those are more rows than one answer has.
    pub fn told(&self, asked: &Asked) -> Option<Vec<Row>> {
        let days = |tenant: &Tenant, days: &BTreeMap<Day, Amounts>| {
            let row = |(day, used): (&Day, &Amounts)| Row { tenant: *tenant, day: *day, used: *used };
            days.range(asked.from..=asked.to.max(asked.from)).map(row).collect::<Vec<_>>()
        };
        let tenants = self.0.iter().filter(|(tenant, _)| asked.tenant.is_none_or(|asked| asked == **tenant));
        let rows: Vec<_> = tenants.flat_map(|(tenant, all)| days(tenant, all)).take(ROWS_MAX + 1).collect();
        (rows.len() <= ROWS_MAX).then_some(rows)
    }
}

/// What is asked of who projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// None: all.
    pub tenant: Option<Tenant>,
    pub from: Day,
    pub to: Day,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// None: more than [`ROWS_MAX`]. It must be said, though: an answer that tells an error has no rows either.
    #[serde(deserialize_with = "Option::deserialize")]
    pub rows: Option<Vec<Row>>,
}

/// What a tenant used on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    pub tenant: Tenant,
    pub day: Day,
    pub used: Amounts,
}

#[cfg(test)]
mod tests;
