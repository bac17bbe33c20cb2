//! The commands of docs/walk.md, in their order, as its reader gives them; only with fewer requests and a shorter window.
use crate::{
    readme::blocks,
    support::{LONG, Need, room, root, skip},
};
use domain::JobId;
use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};
use tempfile::TempDir;
use testkit::{
    nats::Server,
    process::{Jetbatch, Start, binary},
    tool, wait_for,
};

/// What a command of the walk must say. A reader who does not see it yet looks again.
struct Step {
    begins: &'static str,
    says: &'static str,
    /// What it must not say.
    not: &'static str,
}

const fn step(begins: &'static str, says: &'static str) -> Step {
    Step { begins, says, not: "\0" }
}

const SERVES: usize = 3;
const BROKEN: &str = "touch broken";
const MENDED: &str = "rm broken";

const STEPS: [Step; 24] = [
    step("jetbatch serve --config config/walk.toml --roles gateway", "jetbatch is up"),
    step("JETBATCH__WORKER__NAME=w1", "worker ready"),
    step("JETBATCH__WORKER__NAME=w2", "worker ready"),
    step("seq 400 | sed", ""),
    step("jetbatch submit few.jsonl --watch", "400 completed"),
    step("jetbatch workers", "w2"),
    step("seq 40000 | sed", ""),
    step("jetbatch quote many.jsonl", "nine times in ten by"),
    step("jetbatch submit many.jsonl", "-"),
    step("jetbatch status <id>", "nine times in ten within"),
    step(BROKEN, ""),
    step("jetbatch workers", "quarantined"),
    step("jetbatch status <id>", "at_risk"),
    step("curl -s localhost:8800/metrics", r#"jetbatch_workers{pool="echo",state="quarantined"} 1"#),
    step("nats -s nats://127.0.0.1:4222 stream get ALERTS --last-for alert.worker.echo.w2", "all fails, as configured"),
    step("nats -s nats://127.0.0.1:4222 stream get ALERTS --last-for alert.sla.<id>", r#""sla":"at_risk""#),
    step("jetbatch why <id>", "all fails, as configured"),
    step(MENDED, ""),
    Step { not: "quarantined", ..step("jetbatch workers", "sound") },
    step("jetbatch status <id>", "on_track"),
    step("jetbatch status <id> --watch", "completed"),
    step("jetbatch why <id>", "all fails, as configured"),
    step("jetbatch results <id> | head -n 2", r#""custom_id":"1""#),
    step("jetbatch dead list", "nothing was given up"),
];

/// What takes a port of its own choice, and what needs a terminal: other tests look at it.
const OMITTED: [&str; 2] = ["nats-server ", "jetbatch top"];

fn commands() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/walk.md")).unwrap();
    blocks::commands(&page)
        .into_iter()
        .filter(|command| !OMITTED.iter().any(|begins| command.starts_with(begins)))
        .collect()
}

#[test]
fn every_step_of_the_walk_is_known() {
    let commands = commands();
    for (command, step) in commands.iter().zip(&STEPS) {
        assert!(command.starts_with(step.begins), "the walk has `{command}` where the table has `{}`", step.begins);
    }
    assert_eq!(commands.len(), STEPS.len(), "a command is in the walk or in the table alone");
}

#[tokio::test]
async fn the_walk_goes_as_it_is_written() {
    let _place = room(2).await;
    let server = Server::start().await;
    let mut walker = Walker::new(server.url());
    let commands = commands();
    let mut steps = commands.iter().zip(&STEPS);
    let mut serves: Vec<Jetbatch> = Vec::new();
    for (command, step) in steps.by_ref().take(SERVES) {
        serves.push(walker.serve(command, step.says).await);
    }
    // In a task, so that where a step fails the processes tell what they saw.
    let steps: Vec<(String, &Step)> = steps.map(|(command, step)| (command.clone(), step)).collect();
    let walked = tokio::spawn(async move { walker.walk(&steps).await }).await;
    for mut serve in serves {
        serve.term();
        let ended = serve.exit(LONG).await;
        assert!(walked.is_ok() && ended.success(), "{}", serve.story());
    }
}

struct Walker {
    dir: TempDir,
    http: String,
    nats: String,
    id: Option<JobId>,
    lacks: Vec<&'static str>,
}

impl Walker {
    fn new(nats: String) -> Self {
        let dir = TempDir::with_prefix("jetbatch-walk-").unwrap();
        fs::create_dir(dir.path().join("bin")).unwrap();
        symlink(binary(), dir.path().join("bin/jetbatch")).unwrap();
        symlink(root().join("config"), dir.path().join("config")).unwrap();
        let lacks = ["nats", "curl"].into_iter().filter(|program| !provide(program, dir.path())).collect();
        Self { dir, http: String::new(), nats, id: None, lacks }
    }

    /// One of the processes that run all the while. The first says where the others find it.
    async fn serve(&mut self, command: &str, says: &str) -> Jetbatch {
        let mut serve = self.start(command);
        let said = serve.line(says, LONG).await;
        if self.http.is_empty() {
            let mut words = said.split_whitespace();
            self.http = words.find(|word| word.starts_with("http://")).unwrap().to_owned();
        }
        serve
    }

    async fn walk(&mut self, steps: &[(String, &Step)]) {
        for (command, step) in steps {
            if !self.needs_what_is_not_here(command) {
                self.follow(command, step).await;
                self.take_pictures(step).await;
            }
        }
    }

    async fn follow(&mut self, command: &str, step: &Step) {
        let again = ["submit", "seq", "touch", "rm"].iter().all(|word| !command.contains(word));
        let said = wait_for(step.says, LONG, || async {
            let said = self.say(command).await;
            let is_right = said.contains(step.says) && !said.contains(step.not);
            assert!(is_right || again, "{command} does not say {:?}\n{said}", step.says);
            is_right.then_some(said)
        })
        .await;
        if step.begins.starts_with("jetbatch submit") {
            self.id = said.split_whitespace().find_map(|word| word.parse().ok());
        }
        if command == MENDED {
            // In so short a window a busy machine may be late all the same.
            self.say("jetbatch deadline <id> 1h").await;
        }
    }

    async fn say(&self, command: &str) -> String {
        let mut running = self.start(command);
        let ended = running.exit(LONG).await;
        assert!(ended.success(), "{command}\n{}", running.story());
        [running.stdout(), running.stderr()].join("\n")
    }

    /// On ports of its own: others may run beside it.
    fn start(&self, command: &str) -> Jetbatch {
        let id = self.id.map_or_else(String::new, |id| id.to_string());
        let command = command.replace("<id>", &id).replace("nats://127.0.0.1:4222", &self.nats);
        let command = command.replace("localhost:8800", self.http.trim_start_matches("http://"));
        let command = command.replace("seq 40000", "seq 8000").replace("--window 8m", "--window 96s");
        let run = if command.starts_with("JETBATCH__") { "exec env" } else { "exec" };
        let (dir, path) = (self.dir.path(), std::env::var_os("PATH").unwrap_or_default());
        let path = std::iter::once(dir.join("bin")).chain(std::env::split_paths(&path));
        Start::new("/bin/sh")
            .arg("-c")
            .arg(format!("{run} {command}"))
            .dir(dir)
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("HOME", dir)
            .env("XDG_CONFIG_HOME", dir)
            .env("NO_PROXY", "127.0.0.1")
            .env("JETBATCH_URL", &self.http)
            .env("JETBATCH__HTTP__LISTEN", "127.0.0.1:0")
            .env("JETBATCH__NATS__URL", &self.nats)
            .spawn()
    }

    fn needs_what_is_not_here(&self, command: &str) -> bool {
        self.lacks.iter().any(|program| command.starts_with(&format!("{program} ")))
    }

    /// The pictures of docs/walk.md, where JETBATCH_TEST_PICTURES names a folder for them.
    async fn take_pictures(&self, step: &Step) {
        let variable = |name: &str| std::env::var_os(name).map(std::path::PathBuf::from);
        let (Some(folder), Some(page)) = (variable("JETBATCH_TEST_PICTURES"), variable("JETBATCH_TEST_PAGE")) else {
            return;
        };
        if step.says != "at_risk" {
            return;
        }
        let job = format!("/jobs/{}", self.id.unwrap());
        for (hash, height, name) in [(job.as_str(), "710", "walk-job.png"), ("/workers", "420", "walk-workers.png")] {
            let picture = Start::new("node").arg(page.join("picture.mjs")).arg(page.join("chromium"));
            let mut picture = picture.args([&self.http, hash, height]).arg(folder.join(name)).spawn();
            assert!(picture.exit(Duration::from_secs(60)).await.success(), "{}", picture.story());
        }
    }
}

/// Puts a program where the reader has it, if this machine has it.
fn provide(program: &str, dir: &Path) -> bool {
    let (need, variable) = match program {
        "nats" => (Need::Nats, "JETBATCH_TEST_NATS_CLI"),
        _ => (Need::Curl, "JETBATCH_TEST_CURL"),
    };
    match tool(program, variable) {
        Some(path) => symlink(path, dir.join("bin").join(program)).unwrap(),
        None => skip(need, &format!("the walk's use of `{program}`"), &format!("{variable} names none")),
    }
    dir.join("bin").join(program).exists()
}
