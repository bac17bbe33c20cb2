//! Tables in and out: rows become request lines here, as they are uploaded, and answers come back beside their rows.
mod args;
mod ledger;
pub mod results;
pub mod resume;
mod stream;
mod target;
pub mod validate;

pub use args::{Input, Way};
pub use ledger::Ledger;
pub use stream::{begin, rows};

use super::error::Error;

impl From<tables::Error> for Error {
    fn from(error: tables::Error) -> Self {
        match error {
            tables::Error::Asked(why) => Self::Usage(why),
            tables::Error::File { verb, path, source } => Self::File { verb, path, source },
            broken @ tables::Error::Broken { .. } => Self::Failed(broken.to_string()),
        }
    }
}

/// Reading files and decoding them is no work for the threads that serve others.
pub async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, tables::Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await.map_err(Error::failed)?;
    done.map_err(Error::from)
}
