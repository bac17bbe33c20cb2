use crate::Kind;
use domain::{
    Tenant,
    usage::{Amounts, Day, Row},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = UsedAmounts)]
pub struct Used {
    /// That began.
    pub jobs: u64,
    /// That have an answer, or an error line of their own.
    pub requests: u64,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    /// Of the prompt tokens.
    pub cached_tokens: u64,
    /// Bytes of validated inputs.
    pub input_bytes: u64,
    /// Bytes of answers and error lines.
    pub output_bytes: u64,
}

/// The same of a tenant's day, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsedDay {
    pub tenant: Tenant,
    pub date: Day,
    #[serde(flatten)]
    pub used: Used,
}

/// What was used from a day to another, both included. Days without anything are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageDays {
    pub object: Kind,
    pub from: Day,
    pub to: Day,
    /// By tenant, and then by day.
    pub data: Vec<UsedDay>,
    pub total: Used,
}

/// Which days, and whose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    /// 29 days before `to` where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Day>,
    /// Today where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Day>,
    /// For admins: another tenant's, or `*` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(pattern = r"^([a-z0-9-]{1,32}|\*)$")]
    pub tenant: Option<String>,
}

impl From<Amounts> for Used {
    fn from(amounts: Amounts) -> Self {
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        let Amounts { jobs, requests, prompt, completion, cached, input, output } = amounts;
        Self {
            jobs: count(jobs),
            requests: count(requests),
            prompt_tokens: count(prompt),
            completion_tokens: count(completion),
            cached_tokens: count(cached),
            input_bytes: count(input),
            output_bytes: count(output),
        }
    }
}

impl UsageDays {
    pub fn new(from: Day, to: Day, rows: &[Row]) -> Self {
        let total = rows.iter().fold(Amounts::default(), |sum, row| sum.plus(row.used)).into();
        let day = |row: &Row| UsedDay { tenant: row.tenant, date: row.day, used: row.used.into() };
        Self { object: Kind::Usage, from, to, data: rows.iter().map(day).collect(), total }
    }
}
