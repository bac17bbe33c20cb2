use std::path::{Path, PathBuf};

use super::{LOG, login, probe};
use crate::{Secret, Settings, limits};

pub fn text(dir: &Path, settings: &Settings, password: &Secret) -> String {
    let quote = |path: PathBuf| serde_json::Value::from(path.to_string_lossy()).to_string();
    format!(
        "# Written by jetbatch at every start.\nserver_name: jetbatch\nhost: \"127.0.0.1\"\nhttp: \"127.0.0.1:-1\"\n\
         pid_file: {pid}\nports_file_dir: {dir}\nlog_file: {log}\nlogfile_size_limit: {log_bytes}\nlogfile_max_num: 3\n\
         authorization {{\n  user: \"{user}\"\n  password: \"{password}\"\n}}\n\
         jetstream {{\n  store_dir: {dir}\n  sync_interval: \"{sync}\"\n}}\n",
        pid = quote(dir.join(probe::PID)),
        dir = quote(dir.to_owned()),
        log = quote(dir.join(LOG)),
        user = login::USER,
        password = password.reveal(),
        log_bytes = limits::SERVER_LOG_BYTES_MAX,
        sync = settings.sync_interval.replace(['"', '\n'], ""),
    )
}
