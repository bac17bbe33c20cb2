//! The same input again: rows whose requests have good answers already take them over, and only the others are asked. A
//! request is known by the hash of what it asks, so that rows may be added, removed and put in another order meanwhile.
//!
//! In memory are 16 bytes for each earlier answer. The answers themselves, and what is decided of each row, lie in files
//! without a name, which are gone with the process.
mod earlier;
mod hash;
mod plan;
mod split;

pub use earlier::{Earlier, Gather, has_answers};
pub use hash::{Defaults, Hash};
pub use plan::Plan;
pub(crate) use plan::Planned;
pub use split::{Sorted, Split};

use crate::Error;
use std::{fs::File, path::Path};

/// A file without a name, in the folder `dir`.
pub fn unnamed(dir: &Path) -> Result<File, Error> {
    tempfile::tempfile_in(dir).map_err(Error::file("write a file into", dir))
}
