//! The command line. Client commands talk HTTP to a running jetbatch; `serve`, `demo` and `bench` run the rooms;
//! `keys`, `limits`, `nats`, `streams`, `rebuild` and `doctor` talk to NATS, `doctor --engine` to engines.
mod admin;
mod audit;
mod bench;
mod client;
mod config;
mod dead;
mod demo;
mod engines;
mod error;
mod job;
mod keys;
mod limits;
mod local;
mod meter;
mod nats;
mod out;
mod quote;
mod remote;
mod run;
mod serve;
mod shell;
mod submit;
mod table;
mod text;
mod top;
mod trace;
mod usage;
mod watch;
mod why;
mod workers;

use api::Route;
use clap::{CommandFactory, Parser, Subcommand};
use domain::command::CommandKind;
use error::{EXIT_CODES, Error};
use std::{io, process::ExitCode};
use tokio::runtime::{Builder, Runtime};

/// Batch inference that keeps its promises: a file of prompts in, every prompt answered exactly once.
#[derive(Debug, Parser)]
#[command(name = "jetbatch", version, about, after_help = EXIT_CODES, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every room here on a sample of prompts, and check every answer
    Demo(demo::Demo),
    /// Run the rooms: all of them, or some in each of several processes
    Serve(serve::Serve),
    /// Submit a file of requests
    Submit(Box<submit::Submit>),
    /// Submit a file, follow it, and print its answers as they come: `jetbatch run FILE > answers.jsonl`
    Run(Box<run::Run>),
    /// Say what a file would come to if it were submitted now: when it would be done, and which window would hold
    Quote(Box<quote::QuoteArgs>),
    /// Look at files before they are submitted: columns, the first requests, bad rows; needs no server
    Validate(Box<table::validate::Validate>),
    /// Show how a job stands
    Status(remote::Status),
    /// Say where a job's time went, and in one sentence why it is or was late
    Why(why::Why),
    /// Show what a job's chunks did when, as a tree, from the event log
    Trace(trace::Trace),
    /// List jobs, newest first
    Jobs(remote::Jobs),
    /// Read a job's answers, also while it runs: what is archived so far, in input order
    Results(Box<table::results::Results>),
    /// Read a job's error lines
    Errors(remote::Download),
    /// Cancel a job: no chunk of it starts afterwards, and what is answered is kept
    Cancel(remote::One),
    /// Pause a job: nothing of it runs until it is resumed; its deadline stands
    Pause(remote::One),
    /// Let a paused job go on
    Resume(remote::One),
    /// Move a job's deadline
    Deadline(remote::Deadline),
    /// Change a job's priority
    Priority(remote::Priority),
    /// Submit the requests of an ended job that failed once more, as a job of their own
    Retry(remote::Retry),
    /// Remove what a job that ended has left: inputs, outputs, results
    Delete(remote::One),
    /// Watch jobs, pools and workers on the terminal, and give orders
    Top(top::Top),
    /// Look at requests that were given up: list, show, replay, drop
    Dead(dead::Dead),
    /// Show who works: pool, model, device, rate, state, since when and why; drain, quarantine or trust one
    Workers(workers::Workers),
    /// Make, list, revoke and rotate keys: who may do what at the doors
    Keys(keys::Keys),
    /// Show and change what tenants may have: requests a second, jobs, queued requests, bytes, uploads
    Limits(limits::Limits),
    /// Show what a tenant used, day by day: jobs, requests, tokens, bytes
    Usage(usage::Usage),
    /// Let others speak to the same NATS: contexts for the `nats` command, logins with least rights
    Nats(nats::Nats),
    /// Show who did what, when, from where and to which job
    Audit(audit::Audit),
    /// Bring the streams on NATS to their files, or say where they differ
    Streams(admin::Streams),
    /// Make every job's status anew from the event log, or compare them with it
    Rebuild(admin::Rebuild),
    /// Print the event log, an event a line: subject, version, payload in hex. `jetbatch log > FILE` saves it
    Log(admin::Log),
    /// Measure
    Bench(bench::Bench),
    /// Say what of the NATS set-up endangers data, and how to mend it; or whether engines answer as they should
    Doctor(admin::Doctor),
    /// Look at a configuration
    Config(config::Config),
    /// Print what completes commands in a shell: `source <(jetbatch completions bash)`
    Completions(shell::Completions),
    /// Write a man page for each command into a folder
    Man(shell::Man),
    /// Run an engine for the worker that started this process
    #[command(hide = true)]
    EngineHost,
}

pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    let runtime = match runtime(&command) {
        Ok(runtime) => runtime,
        Err(error) => return end(Err(Error::failed(error))),
    };
    let outcome = runtime.block_on(run(command));
    // A read of standard input that blocks, or a model that still loads, must not hold up the exit.
    runtime.shutdown_background();
    end(outcome)
}

/// An engine has threads of its own and wants every core: what passes its calls on stays on one.
fn runtime(command: &Command) -> io::Result<Runtime> {
    match command {
        Command::EngineHost => Builder::new_multi_thread().worker_threads(1).enable_all().build(),
        _ => Runtime::new(),
    }
}

fn end(outcome: Result<(), Error>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            out::note(format_args!("jetbatch: {error}"));
            error.code()
        }
    }
}

async fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Demo(args) => demo::demo(args).await,
        Command::Serve(args) => serve::serve(args).await,
        Command::Submit(args) => submit::submit(*args).await,
        Command::Run(args) => run::run(*args).await,
        Command::Quote(args) => quote::quote(*args).await,
        Command::Status(args) => remote::status(args).await,
        Command::Trace(args) => trace::trace(args).await,
        Command::Why(args) => why::why(args).await,
        Command::Jobs(args) => remote::jobs(args).await,
        Command::Validate(args) => table::validate::validate(*args).await,
        Command::Results(args) => table::results::results(*args).await,
        Command::Errors(args) => remote::download(args, Route::Errors).await,
        Command::Cancel(args) => remote::command(args, CommandKind::Cancel).await,
        Command::Pause(args) => remote::command(args, CommandKind::Pause).await,
        Command::Resume(args) => remote::command(args, CommandKind::Resume).await,
        Command::Deadline(args) => remote::deadline(args).await,
        Command::Priority(args) => remote::priority(args).await,
        Command::Retry(args) => remote::retry(args).await,
        Command::Delete(args) => remote::delete(args).await,
        Command::Top(args) => top::top(args).await,
        Command::Dead(args) => dead::dead(args).await,
        Command::Workers(args) => workers::workers(args).await,
        Command::Keys(args) => keys::keys(args).await,
        Command::Limits(args) => limits::limits(args).await,
        Command::Usage(args) => usage::usage(args).await,
        Command::Nats(args) => nats::nats(args).await,
        Command::Audit(args) => audit::audit(args).await,
        Command::Streams(args) => admin::streams(args).await,
        Command::Rebuild(args) => admin::rebuild(args).await,
        Command::Log(args) => admin::log(args).await,
        Command::Bench(args) => bench::bench(args).await,
        Command::Doctor(args) => admin::doctor(args).await,
        Command::Config(args) => config::config(&args),
        Command::Completions(args) => shell::completions(&args, Cli::command()),
        Command::Man(args) => shell::man(&args, Cli::command()),
        Command::EngineHost => crate::serve::engine_host().await.map_err(Error::failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_parse() {
        for line in [
            "jetbatch demo --engine echo",
            "jetbatch serve --roles worker --config x.toml",
            "jetbatch submit - --model m --window 2h --priority high --metadata a=b --metadata c=d=e --key k --strict --watch",
            "jetbatch run batch.jsonl --model m --limit 20 --errors bad.jsonl",
            "jetbatch submit a.parquet b.csv.gz --prompt-column text --system S --max-tokens 8 --param top_k=20 --sample 5",
            "jetbatch run in/*.csv --template t.jinja --id-column id --param-column temperature=t -o out.parquet --keep id",
            "jetbatch validate data.txt --endpoint /v1/embeddings --format text --json",
            "jetbatch results 018f4e2a-7c1b-7000-8000-0123456789ab -o a.csv --input a.csv b.csv --id-column id --keep a,b",
            "jetbatch completions fish",
            "jetbatch man target/man",
            "jetbatch trace 018f4e2a-7c1b-7000-8000-0123456789ab --json",
            "jetbatch why 018f4e2a-7c1b-7000-8000-0123456789ab --json",
            "jetbatch quote - --model m --window 8h --priority high --json",
            "jetbatch jobs --state in_progress --json",
            "jetbatch pause 018f4e2a-7c1b-7000-8000-0123456789ab",
            "jetbatch deadline 018f4e2a-7c1b-7000-8000-0123456789ab 48h",
            "jetbatch priority 018f4e2a-7c1b-7000-8000-0123456789ab high",
            "jetbatch results 018f4e2a-7c1b-7000-8000-0123456789ab -o out.jsonl",
            "jetbatch retry 018f4e2a-7c1b-7000-8000-0123456789ab --watch",
            "jetbatch dead list --job 018f4e2a-7c1b-7000-8000-0123456789ab --pool a --reason timeout --limit 5 --after 9",
            "jetbatch dead show 17 --json",
            "jetbatch dead replay 17 18",
            "jetbatch dead drop 17",
            "jetbatch top --url http://127.0.0.1:1",
            "jetbatch workers --json",
            "jetbatch workers drain w1",
            "jetbatch workers quarantine w1 --json",
            "jetbatch workers trust w1 --url http://127.0.0.1:1",
            "jetbatch keys create ci --tenant blue --role submit,read --role operate --expires 90d --pool a --json",
            "jetbatch keys list --config x.toml",
            "jetbatch keys revoke 00000000000000ab",
            "jetbatch keys rotate 00000000000000ab --grace 1h",
            "jetbatch limits list --json",
            "jetbatch limits set blue running_jobs=3 stored_bytes=unlimited uploads=",
            "jetbatch usage --from 2026-11-01 --to 2026-11-30 --tenant * --json",
            "jetbatch audit --job 018f4e2a-7c1b-7000-8000-0123456789ab --tenant blue --since 1h --json",
            "jetbatch jobs --api-key jb_x",
            "jetbatch nats context --name here --config x.toml",
            "jetbatch doctor --context here",
            "jetbatch nats setup --out d --tenant blue --tenant red --worker gpu=a,b --worker cpu=c",
            "jetbatch streams check",
            "jetbatch doctor --engine --json",
            "jetbatch rebuild --compare --keep",
            "jetbatch bench throughput --requests 10 --json",
            "jetbatch bench http --requests 10 --upload-mb 1 --connections 2 --seconds 1 --json",
            "jetbatch bench memory --requests 1,2",
            "jetbatch config check x.toml",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in [
            "jetbatch dead drop",
            "jetbatch limits set blue",
            "jetbatch usage --from yesterday",
            "jetbatch limits set blue jobs=3",
            "jetbatch limits set blue uploads=few",
            "jetbatch nats context --name ../here",
            "jetbatch nats setup --tenant A",
            "jetbatch nats setup --worker gpu",
            "jetbatch keys create ci --role boss",
            "jetbatch keys create ci --tenant A",
            "jetbatch keys revoke 7",
            "jetbatch dead list --reason bad",
            "jetbatch workers drain",
            "jetbatch status 17",
            "jetbatch serve --roles cook",
            "jetbatch run x --limit 0",
            "jetbatch submit",
            "jetbatch submit x --limit 1 --sample 1",
            "jetbatch submit x --format xml",
            "jetbatch results 018f4e2a-7c1b-7000-8000-0123456789ab --input a.csv",
            "jetbatch submit x --metadata a",
            "jetbatch rebuild --keep",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
