use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::{CONFIG, LOG, ServerError, probe};

/// What the server says before it opens its log.
const OUTPUT: &str = "nats-server.out";

/// In a process group of its own: a Ctrl-C at the terminal is for jetbatch, which stops its server last.
pub fn spawn(bin: &Path, dir: &Path, port: Option<u16>) -> Result<Child, ServerError> {
    probe::forget(dir);
    let failed = |source| ServerError::Spawn { bin: bin.to_owned(), source };
    let output = File::create(dir.join(OUTPUT)).map_err(failed)?;
    Command::new(bin)
        .arg("-c")
        .arg(dir.join(CONFIG))
        .arg("-p")
        .arg(port.map_or_else(|| "-1".to_owned(), |port| port.to_string()))
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(failed)?)
        .stderr(output)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)
}

/// The last words of the server.
pub fn tail(dir: &Path) -> String {
    let texts = [OUTPUT, LOG].map(|name| fs::read_to_string(dir.join(name)).unwrap_or_default());
    let lines: Vec<&str> = texts.iter().flat_map(|text| text.lines()).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}
