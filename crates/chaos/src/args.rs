//! The command line.
use crate::plan::{Spec, Weights};
use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Runs jetbatch on a NATS cluster of its own, breaks things by seed, and holds every answer against the right one.
///
/// The exit code is 0 only if nothing was lost, doubled or wrong.
#[derive(Debug, Parser)]
#[command(name = "jetbatch-chaos", version)]
pub struct Args {
    /// The same seed plans the same jobs and faults
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[arg(long, default_value_t = 20_000)]
    requests: u64,
    #[arg(long, default_value_t = 30)]
    faults: u32,
    /// Milliseconds between two faults, on average
    #[arg(long, default_value_t = 5_000)]
    gap_ms: u64,
    /// Only these faults, each with its weight: kill-head=3,cut-node
    #[arg(long)]
    kinds: Option<Weights>,
    #[arg(long, value_enum, default_value_t = Engine::Echo)]
    engine: Engine,
    /// NATS nodes: 1 or 3
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
    nodes: u8,
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    workers: u8,
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    heads: u8,
    /// Most jobs are cancelled or run out of time
    #[arg(long)]
    hasty: bool,
    /// Jobs that are paused and resumed
    #[arg(long)]
    pauses: bool,
    /// Requests that fail whenever they run
    #[arg(long)]
    poison: bool,
    /// Requests that end the process that runs them
    #[arg(long)]
    deadly: bool,
    /// NATS syncs each message to the disk
    #[arg(long)]
    pub sync_always: bool,
    /// Seconds without any progress after which the run is given up
    #[arg(long, default_value_t = 180)]
    pub patience: u64,
    /// The jetbatch program; by default the one beside this
    #[arg(long)]
    jetbatch: Option<PathBuf>,
    /// More settings for jetbatch, in TOML
    #[arg(long, default_value = "")]
    toml: String,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Keep the folder of the run; it is kept where something was wrong
    #[arg(long)]
    pub keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// Answers with the question
    Echo,
    /// The bundled model
    Tiny,
}

impl Args {
    pub fn spec(&self) -> Spec {
        Spec {
            seed: self.seed,
            requests: self.requests.max(1),
            faults: self.faults,
            gap_ms: self.gap_ms.max(5),
            nodes: self.nodes,
            workers: self.workers,
            heads: self.heads,
            hasty: self.hasty,
            pauses: self.pauses,
            poison: self.poison,
            deadly: self.deadly,
            model: self.engine == Engine::Tiny,
            weights: self.kinds.clone().unwrap_or_default(),
        }
    }

    pub fn jetbatch(&self) -> PathBuf {
        self.jetbatch.clone().unwrap_or_else(testkit::process::binary)
    }

    pub fn toml(&self) -> String {
        format!("{}\n", self.toml)
    }

    /// The folder of the bundled model.
    pub fn models(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use clap::CommandFactory;
    use std::path::Path;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_scenario_is_planned() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/chaos");
        let mut found = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let words = text.lines().flat_map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
            let args = Args::try_parse_from(std::iter::once("jetbatch-chaos").chain(words));
            let args = args.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(!Plan::draw(&args.spec()).faults.is_empty(), "{}", path.display());
            found += 1;
        }
        assert!(found >= 2, "{found} scenarios");
    }
}
