//! When a job will be done, as it is told, and how it stands against its deadline.
use crate::{Timestamp, foresight::Reading};
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

/// The time by which the job is done with one chance in ten, with even odds, and with nine chances in ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Told")]
pub struct Eta {
    pub p10: Timestamp,
    pub p50: Timestamp,
    pub p90: Timestamp,
}

/// What was stored before there was a p10.
#[derive(Deserialize)]
struct Told {
    p10: Option<Timestamp>,
    p50: Timestamp,
    p90: Timestamp,
}

impl From<Told> for Eta {
    fn from(told: Told) -> Self {
        let Told { p10, p50, p90 } = told;
        Self { p10: p10.unwrap_or(p50), p50, p90 }
    }
}

impl From<Reading> for Eta {
    fn from(reading: Reading) -> Self {
        let Reading { p10, p50, p90, .. } = reading;
        Self { p10, p50, p90 }
    }
}

impl Eta {
    /// Nothing is left to wait for.
    pub const fn now(now: Timestamp) -> Self {
        Self { p10: now, p50: now, p90: now }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Sla {
    OnTrack,
    /// With more than one chance in ten it misses the deadline.
    AtRisk,
    /// It waits for something that has to be mended: there is no estimate.
    Stalled,
    Met,
    Missed,
}

impl Sla {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// A running job's standing against its deadline.
pub fn sla(now: Timestamp, deadline: Timestamp, eta: Option<Eta>) -> Sla {
    match eta {
        _ if now > deadline => Sla::Missed,
        Some(eta) if eta.p90 > deadline => Sla::AtRisk,
        Some(_) | None => Sla::OnTrack,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_without_a_p10_is_read() {
        let read = |json| serde_json::from_str::<Eta>(json).unwrap();
        let (p50, p90) = (Timestamp::new(20), Timestamp::new(30));
        assert_eq!(read(r#"{"p50":20,"p90":30}"#), Eta { p10: p50, p50, p90 });
        let eta = Eta { p10: Timestamp::new(10), p50, p90 };
        assert_eq!(read(&serde_json::to_string(&eta).unwrap()), eta);
    }

    #[test]
    fn a_job_is_at_risk_before_it_misses() {
        let now = Timestamp::new(0);
        let at = Timestamp::new;
        let eta = Eta { p10: at(9_000), p50: at(10_000), p90: at(12_000) };
        assert_eq!(sla(now, Timestamp::new(60_000), Some(eta)), Sla::OnTrack);
        assert_eq!(sla(now, Timestamp::new(10_100), Some(eta)), Sla::AtRisk);
        assert_eq!(sla(Timestamp::new(10_101), Timestamp::new(10_100), Some(eta)), Sla::Missed);
    }
}
