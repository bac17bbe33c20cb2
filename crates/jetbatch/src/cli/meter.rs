//! Progress: a bar on a terminal, a line now and then elsewhere, nothing where a script asked for JSON.
//! It goes to standard error, so that results on standard output stay clean.
use super::{job::rates, out, text};
use crate::clock;
use api::Job;
use domain::status::State;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

/// Between two plain lines of the same state.
const LINE_EVERY: Duration = Duration::from_secs(5);
const BYTES: &str = "{prefix:<11} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}";
const SPINNER: &str = "{prefix:<11} {spinner} {bytes} {bytes_per_sec}";
const REQUESTS: &str = "{prefix:<11} [{bar:30}] {pos}/{len} {msg}";

pub enum Meter {
    Bar(ProgressBar),
    Lines { said: Option<(State, Instant)> },
    Quiet,
}

impl Meter {
    fn new(is_quiet: bool, template: &str, length: Option<u64>) -> Self {
        match (is_quiet, std::io::stderr().is_terminal()) {
            (true, _) => Self::Quiet,
            (false, false) => Self::Lines { said: None },
            (false, true) => Self::Bar(bar(template, length)),
        }
    }

    /// For a stream of bytes; `total` where it is known.
    pub fn bytes(is_quiet: bool, what: &'static str, total: Option<u64>) -> Self {
        let meter = Self::new(is_quiet, if total.is_some() { BYTES } else { SPINNER }, total);
        if let Self::Bar(bar) = &meter {
            bar.set_prefix(what);
        }
        meter
    }

    /// For a job.
    pub fn job(is_quiet: bool) -> Self {
        Self::new(is_quiet, REQUESTS, None)
    }

    /// For a job whose answers are printed meanwhile: a bar would stand between the lines on a terminal.
    pub fn beside(is_quiet: bool, is_on_terminal: bool) -> Self {
        if is_on_terminal && !is_quiet { Self::Lines { said: None } } else { Self::job(is_quiet) }
    }

    /// A bar that a stream of bytes moves along; hidden where there is none to see.
    pub fn pulse(&self) -> ProgressBar {
        match self {
            Self::Bar(bar) => bar.clone(),
            Self::Lines { .. } | Self::Quiet => ProgressBar::hidden(),
        }
    }

    pub fn show(&mut self, job: &Job) {
        match self {
            Self::Bar(bar) => {
                bar.set_prefix(job.state.as_str());
                // Nothing is counted until the input is validated.
                if job.requests.total > 0 {
                    bar.set_length(job.requests.total);
                }
                bar.set_position(job.answered());
                bar.set_message(message(job));
            }
            Self::Lines { said } if is_news(said.as_ref(), job.state) => {
                *said = Some((job.state, Instant::now()));
                out::note(plain(job));
            }
            Self::Lines { .. } | Self::Quiet => {}
        }
    }

    /// A line above the bar.
    pub fn say(&self, line: &str) {
        match self {
            Self::Bar(bar) => bar.println(line),
            Self::Lines { .. } => out::note(line),
            Self::Quiet => {}
        }
    }

    /// Leaves the last state of the bar on the screen.
    pub fn done(self) {
        if let Self::Bar(bar) = self {
            bar.abandon();
        }
    }

    /// Takes the bar away.
    pub fn clear(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn bar(template: &str, length: Option<u64>) -> ProgressBar {
    let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar
}

fn is_news(said: Option<&(State, Instant)>, state: State) -> bool {
    said.is_none_or(|(before, at)| *before != state || at.elapsed() >= LINE_EVERY)
}

fn plain(job: &Job) -> String {
    let counts = match job.requests.total {
        0 => String::new(),
        total => format!(" {}/{total}", job.answered()),
    };
    format!("{}{counts} {}", job.state.as_str(), message(job)).trim_end().to_owned()
}

/// `512 requests/s, 4,700 tokens/s, ETA 12 s`.
fn message(job: &Job) -> String {
    let now = clock::now().get();
    let eta = job.eta.as_ref().map(|eta| format!("ETA {}", text::span(eta.p50.ms().saturating_sub(now))));
    let failed = match job.requests.failed {
        0 => None,
        failed if failed == job.requests.total => Some(format!("all {} failed", text::count(failed))),
        failed => Some(format!("{} failed", text::count(failed))),
    };
    let stalled = job.stalled.as_ref().map(|stalled| format!("stalled: {}", stalled.cause));
    [rates(job), failed, eta, stalled].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
