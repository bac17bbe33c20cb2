//! When a job will be done, from the order the scheduler sends by and the speed its pools were seen to have.
use crate::{Millis, rate::Speed};
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

/// The time by which the job is done with even odds, and with nine chances in ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eta {
    pub p50: Millis,
    pub p90: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Sla {
    OnTrack,
    /// With more than one chance in ten it misses the deadline.
    AtRisk,
    Met,
    Missed,
}

impl Sla {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// The least doubt there is about any estimate.
const DOUBT_MIN: f64 = 0.05;
/// The normal distribution's 90th percentile.
const Z90: f64 = 1.282;

/// `ahead`: requests that the pool answers until this job's last one, its own included.
pub fn eta(now: Millis, ahead: u64, speed: Speed) -> Eta {
    let seconds = ahead as f64 / speed.mean;
    let doubt = speed.variation * (1.0 / speed.windows as f64 + 1.0 / seconds.max(1.0)).sqrt();
    let late = 1.0 + Z90 * doubt.max(DOUBT_MIN);
    let after = |factor: f64| now.plus((seconds * factor * 1_000.0).ceil() as u64);
    Eta { p50: after(1.0), p90: after(late) }
}

/// Of two pools a job needs both.
pub fn later(a: Eta, b: Eta) -> Eta {
    Eta { p50: a.p50.max(b.p50), p90: a.p90.max(b.p90) }
}

/// A running job's standing against its deadline.
pub fn sla(now: Millis, deadline: Millis, eta: Option<Eta>) -> Sla {
    match eta {
        _ if now > deadline => Sla::Missed,
        Some(eta) if eta.p90 > deadline => Sla::AtRisk,
        Some(_) | None => Sla::OnTrack,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEED: Speed = Speed { mean: 100.0, variation: 0.2, windows: 30 };

    #[test]
    fn p90_is_later_than_p50_and_both_move_with_the_work_ahead() {
        let now = Millis::new(1_000_000);
        let (near, far) = (eta(now, 1_000, SPEED), eta(now, 100_000, SPEED));
        assert_eq!(near.p50, now.plus(10_000));
        assert!(near.p90 > near.p50 && far.p50 > near.p90);
        assert_eq!(eta(now, 0, SPEED).p90, now);
    }

    #[test]
    fn a_job_is_at_risk_before_it_misses() {
        let now = Millis::new(0);
        let eta = eta(now, 1_000, SPEED);
        assert_eq!(sla(now, Millis::new(60_000), Some(eta)), Sla::OnTrack);
        assert_eq!(sla(now, Millis::new(10_100), Some(eta)), Sla::AtRisk);
        assert_eq!(sla(Millis::new(10_101), Millis::new(10_100), Some(eta)), Sla::Missed);
    }
}
