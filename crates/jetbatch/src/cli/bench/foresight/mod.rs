//! `jetbatch bench foresight`: what a pass of the forecast and of the scheduler costs where many jobs run.
mod crowd;

use super::print;
use crate::cli::error::Error;
use clap::{Args, value_parser};
use crowd::Crowd;
use serde::Serialize;
use std::{
    fmt::{self, Display},
    time::Instant,
};

#[derive(Debug, Args)]
pub struct Foresight {
    /// Jobs that run at once
    #[arg(long, default_value_t = 1_000, value_parser = value_parser!(u64).range(1..=100_000))]
    jobs: u64,
    /// Segments of each
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=10_000))]
    segments: u32,
    /// Tenants that they are of
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u64).range(1..=100_000))]
    tenants: u64,
    /// Passes of each kind
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u32).range(1..=100_000))]
    passes: u32,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    jobs: u64,
    segments: u32,
    tenants: u64,
    passes: u32,
    /// Of every job.
    forecast: Times,
    /// Of workers that are needed.
    needed: Times,
    /// What to send.
    schedule: Times,
    /// The three together: what a second costs.
    pass: Times,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Times {
    least: f64,
    median: f64,
    most: f64,
}

pub fn foresight(args: Foresight) -> Result<(), Error> {
    print(args.json, &measure(&args))
}

fn measure(args: &Foresight) -> Report {
    let Foresight { jobs, segments, tenants, passes, .. } = *args;
    let mut crowd = Crowd::new(jobs, segments, tenants);
    // The first hears of all that was submitted.
    crowd.read();
    let each: Vec<[f64; 3]> =
        (0..passes).map(|_| [ms(|| crowd.read()), ms(|| crowd.needed()), ms(|| crowd.send())]).collect();
    let of = |part: usize| Times::of(each.iter().map(|times| times[part]).collect());
    let pass = Times::of(each.iter().map(|times| times.iter().sum()).collect());
    Report { jobs, segments, tenants, passes, forecast: of(0), needed: of(1), schedule: of(2), pass }
}

fn ms(pass: impl FnOnce() -> usize) -> f64 {
    let began = Instant::now();
    std::hint::black_box(pass());
    began.elapsed().as_secs_f64() * 1_000.0
}

impl Times {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let at = |place: usize| times.get(place).copied().unwrap_or(0.0);
        Self { least: at(0), median: at(times.len() / 2), most: at(times.len().saturating_sub(1)) }
    }
}

impl Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ms a pass ({:.2} to {:.2})", self.median, self.least, self.most)
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jobs, segments, tenants, passes, .. } = self;
        writeln!(f, "{jobs} jobs of {segments} segments, {tenants} tenants, {passes} passes")?;
        let rows =
            [("forecast", self.forecast), ("needed", self.needed), ("schedule", self.schedule), ("all", self.pass)];
        rows.iter().try_for_each(|(name, times)| writeln!(f, "{name:<9} {times}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_has_a_forecast_and_the_pool_has_something_to_send() {
        let mut crowd = Crowd::new(12, 3, 5);
        assert_eq!(crowd.read(), 12);
        assert!(crowd.needed() > 0 && crowd.send() > 0);
        let report = measure(&Foresight { jobs: 2, segments: 1, tenants: 1, passes: 3, json: false });
        let Times { least, median, most } = report.pass;
        assert!(0.0 < least && least <= median && median <= most);
        let text = report.to_string();
        assert!(text.starts_with("2 jobs of 1 segments, 1 tenants, 3 passes\nforecast "), "{text}");
    }
}
