//! README's commands, as they are written and in their order, against a `serve` of their own.
pub mod blocks;
mod table;

use crate::support::{LONG, Need, is_echo, room, root, skip};
use domain::JobId;
use std::{fs, os::unix::fs::symlink, path::Path};
use table::{OMITTED, RUNS, Run, SERVE};
use tempfile::TempDir;
use testkit::{
    process::{Jetbatch, Start, binary},
    tool, wait_for,
};
use wire::Subject;

/// A job that README names itself, over NATS.
const OWN_ID: &str = "018f4e2a-7c1b-7000-8000-0123456789ab";

pub fn commands() -> Vec<String> {
    blocks::commands(&fs::read_to_string(root().join("README.md")).unwrap())
}

/// The tables and README name the same commands, and those that run in the same order.
#[test]
fn every_command_of_readme_is_known() {
    let commands = commands();
    let left: Vec<&String> = commands.iter().filter(|command| !is_omitted(command)).collect();
    for (command, run) in left.iter().zip(&RUNS) {
        assert!(command.starts_with(run.begins), "README has `{command}` where the table has `{}`", run.begins);
    }
    assert_eq!(left.len(), RUNS.len(), "a command is in README or in the table alone");
    for (begins, why) in OMITTED {
        assert!(commands.iter().any(|command| command.starts_with(begins)), "README has no `{begins}` ({why})");
    }
    assert!(commands.iter().any(|command| command == SERVE), "README does not say `{SERVE}`");
}

#[tokio::test]
async fn readme_works_as_it_is_written() {
    let _place = room(2).await;
    let reader = Reader::new();
    let mut serve = reader.start(SERVE);
    let up = serve.line("jetbatch is up", LONG).await;
    // In a task, so that a command that fails does not keep the serve from stopping its nats-server.
    let read = tokio::spawn(reader.at(&up).read()).await;
    serve.term();
    let ended = serve.exit(LONG).await;
    read.unwrap_or_else(|_| panic!("{}", serve.story()));
    assert!(ended.success(), "{}", serve.story());
}

/// Someone in a folder like the repository's, with the programs that README has them build.
struct Reader {
    dir: TempDir,
    /// Programs that this machine has not.
    lacks: Vec<&'static str>,
    http: String,
    ids: Vec<String>,
}

impl Reader {
    fn new() -> Self {
        let dir = TempDir::with_prefix("jetbatch-readme-").unwrap();
        fs::create_dir(dir.path().join("bin")).unwrap();
        symlink(binary(), dir.path().join("bin/jetbatch")).unwrap();
        symlink(root().join("models"), dir.path().join("models")).unwrap();
        configure(&dir.path().join("config"));
        let lacks = ["nats", "curl"].into_iter().filter(|program| !provide(program, dir.path())).collect();
        let (http, ids) = Default::default();
        Self { dir, lacks, http, ids }
    }

    /// With the addresses that the start's last line tells.
    fn at(self, up: &str) -> Self {
        let word = |begins: &str| up.split_whitespace().find(|word| word.starts_with(begins)).unwrap().to_owned();
        let http = word("http://");
        assert!(up.contains("(jetbatch nats context; nats --context jetbatch pub jobs.submit ...)"), "{up}");
        Self { http, ..self }
    }

    /// Runs all that runs here, one after the other.
    async fn read(mut self) {
        let commands = commands();
        let runs = commands.iter().filter(|command| !is_omitted(command)).zip(&RUNS);
        let lacks = self.lacks.clone();
        for (command, run) in runs.filter(|(command, _)| !lacks.iter().any(|program| needs(command, program))) {
            self.run(command, run).await;
        }
        let lines = |name: &str| fs::read_to_string(self.dir.path().join(name)).unwrap().lines().count();
        assert_eq!([lines("answers.jsonl"), lines("prompts.jsonl")], [778, 20_000]);
    }

    async fn run(&mut self, command: &str, run: &Run) {
        let last = self.ids.last().map_or("", String::as_str);
        let literal = command.replace("<id>", last);
        let literal = literal.replace("localhost:8800", self.http.trim_start_matches("http://"));
        let mut running = self.start(&literal);
        let ended = running.exit(LONG).await;
        assert_eq!(ended.code(), Some(run.code), "{literal}\n{}", running.story());
        let said = [running.stdout(), running.stderr()].join("\n");
        let is_right = if run.says.is_empty() { running.stdout().is_empty() } else { said.contains(run.says) };
        assert!(is_right, "{literal} does not say {:?}\n{}", run.says, running.story());
        if run.names {
            self.ids.push(id(&said).unwrap_or_else(|| panic!("{literal} names no job\n{}", running.story())));
        }
        if command.contains(Subject::Control.to_string().as_str()) {
            self.is_cancelled().await;
        }
    }

    /// What is published is done later.
    async fn is_cancelled(&self) {
        let status = format!("jetbatch status {} --json", self.ids.last().unwrap());
        wait_for("the order that came over NATS", LONG, || async {
            let mut status = self.start(&status);
            status.exit(LONG).await;
            status.stdout().contains(r#""state":"cancelled""#).then_some(())
        })
        .await;
    }

    /// On ports of its own: others may run beside it.
    fn start(&self, command: &str) -> Jetbatch {
        let (dir, path) = (self.dir.path(), std::env::var_os("PATH").unwrap_or_default());
        let path = std::iter::once(dir.join("bin")).chain(std::env::split_paths(&path));
        let shell = Start::new("/bin/sh").arg("-c").arg(format!("exec {command}")).dir(dir);
        shell
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("HOME", dir)
            .env("XDG_CONFIG_HOME", dir)
            .env("NO_PROXY", "127.0.0.1")
            .env("JETBATCH_URL", &self.http)
            .env("JETBATCH__HTTP__LISTEN", "127.0.0.1:0")
            .env("JETBATCH__NATS__SERVER_PORT", "0")
            .env("JETBATCH__NATS__SERVER_BIN", testkit::nats::binary())
            .spawn()
    }
}

/// What is not in [`RUNS`].
fn is_omitted(command: &str) -> bool {
    command == SERVE || OMITTED.iter().any(|(begins, _)| command.starts_with(begins))
}

/// Puts a program where the reader has it, if this machine has it.
fn provide(program: &str, dir: &Path) -> bool {
    let (need, variable) = match program {
        "nats" => (Need::Nats, "JETBATCH_TEST_NATS_CLI"),
        _ => (Need::Curl, "JETBATCH_TEST_CURL"),
    };
    match tool(program, variable) {
        Some(path) => symlink(path, dir.join("bin").join(program)).unwrap(),
        None => {
            skip(need, &format!("README's use of `{program}`"), &format!("there is none, and {variable} names none"))
        }
    }
    dir.join("bin").join(program).exists()
}

fn needs(command: &str, program: &str) -> bool {
    command.starts_with(&format!("{program} ")) || (program == "nats" && command.contains(OWN_ID))
}

/// The first job's id in a text.
fn id(text: &str) -> Option<String> {
    let mut words = text.split(|c: char| !(c.is_ascii_hexdigit() || c == '-'));
    words.find(|word| word.parse::<JobId>().is_ok()).map(str::to_owned)
}

/// Settings of README's configuration that an echo engine does not know.
const MISTRALRS: [&str; 5] = ["dtype", "device", "paged_attention", "special_tokens", "task"];

/// README's configuration; for a jetbatch without mistral.rs with an echo engine as slow as a small model.
fn configure(folder: &Path) {
    if !is_echo() {
        return symlink(root().join("config"), folder).unwrap();
    }
    let text = fs::read_to_string(root().join("config/jetbatch.toml")).unwrap();
    let (model, engine) = ("\nmodel = { folder = \"models/tiny\" }\n", "\nkind = \"mistralrs\"\n");
    assert!(text.contains(model) && text.contains(engine));
    let is_echos = |line: &&str| !MISTRALRS.iter().any(|name| line.starts_with(&format!("{name} = ")));
    let echo = "\nkind = \"echo\"\nslots = 8\necho = { delay_ms = 40 }\n";
    let text: String = text.replace(model, "\n").replace(engine, echo).split_inclusive('\n').filter(is_echos).collect();
    fs::create_dir(folder).unwrap();
    fs::write(folder.join("jetbatch.toml"), text).unwrap();
}
