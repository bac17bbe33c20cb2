//! The last look, when all is healed and every job has ended: at the files themselves, the log, and what was left.
use crate::{
    check::{Complaints, Lines, Tally},
    client::Client,
    plan::{Job, Plan},
    stand::Stand,
};
use domain::event::File;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::time::{Instant, sleep};
use wire::stream;

const PAUSE: Duration = Duration::from_millis(500);
const REBUILD_WITHIN: Duration = Duration::from_secs(300);

/// A job's status and lines at the end.
pub struct Ended {
    pub view: api::Job,
    pub tally: Tally,
}

/// The lines of a job's files as they lie in the store.
pub async fn ended(job: &Job, client: &Client, store: &Path, give_up: Instant) -> Result<Ended, String> {
    let view = loop {
        match client.view(client.id(job)).await {
            Some(view) if view.state.is_terminal() => break view,
            other if Instant::now() > give_up => return Err(format!("job {}: its status is {other:?}", job.number)),
            _ => sleep(PAUSE).await,
        }
    };
    let mut lines = Lines::new(job, &client.oracle, view.state, view.requests.total);
    read(store, view.output.as_ref(), |line| lines.output(line))?;
    read(store, view.error_file.as_ref(), |line| lines.error(line))?;
    Ok(Ended { tally: lines.end(), view })
}

fn read(store: &Path, file: Option<&File>, mut each: impl FnMut(&[u8])) -> Result<(), String> {
    let Some(file) = file else { return Ok(()) };
    let wrong = |error: std::io::Error| format!("{}: {error}", file.path);
    let open = fs::File::open(store.join(&file.path)).map_err(wrong)?;
    let bytes = open.metadata().map_err(wrong)?.len();
    if bytes != file.bytes {
        return Err(format!("{} has {bytes} bytes and its status says {}", file.path, file.bytes));
    }
    let (mut reader, mut line) = (BufReader::new(open), Vec::new());
    while reader.read_until(b'\n', &mut line).map_err(wrong)? > 0 {
        each(line.strip_suffix(b"\n").unwrap_or(&line));
        line.clear();
    }
    Ok(())
}

/// Whether every status stands as the log has it: `jetbatch rebuild` folds it afresh.
pub async fn rebuild(stand: &Stand, plan: &Plan) -> Complaints {
    let mut found = Complaints::default();
    let mut command = tokio::process::Command::new(&stand.jetbatch);
    command.args(["rebuild", "--config"]).arg(stand.dir.join("jetbatch.toml"));
    command.stdin(Stdio::null()).kill_on_drop(true);
    let said = match tokio::time::timeout(REBUILD_WITHIN, command.output()).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it did not end".to_owned(),
    };
    let jobs = plan.jobs.len();
    let same = format!(" {jobs} jobs: {jobs} statuses stood as the log has them, 0 were rewritten");
    if !said.contains(&same) {
        found.add(|| format!("jetbatch rebuild says: {}", said.trim()));
    }
    found
}

/// What jobs that have ended left in streams and store, after so long.
pub async fn left(stand: &Stand, client: &Client, within: Duration) -> Complaints {
    let give_up = Instant::now() + within;
    loop {
        let found = look(stand, client).await;
        if found.count == 0 || Instant::now() > give_up {
            return found;
        }
        sleep(PAUSE).await;
    }
}

async fn look(stand: &Stand, client: &Client) -> Complaints {
    let mut found = Complaints::default();
    for name in [stream::SUBMIT, stream::WORK, stream::RESULTS] {
        match client.nats.subjects(name.as_str()).await {
            None => found.add(|| format!("{name} cannot be read")),
            Some(subjects) => subjects.iter().for_each(|subject| found.add(|| format!("{name} holds {subject}"))),
        }
    }
    let mut files = Vec::new();
    walk(&stand.disk.store(), &mut files);
    for path in files.iter().filter(|path| is_scrap(path)) {
        found.add(|| format!("the store holds {}", path.display()));
    }
    found
}

/// A part of an output that was put together, or what a writer left that was killed.
fn is_scrap(path: &Path) -> bool {
    let is_part = path.components().any(|part| part.as_os_str() == "parts");
    is_part || path.file_name().is_some_and(|name| name.to_string_lossy().contains('#'))
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}
