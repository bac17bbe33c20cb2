//! Tables as people have them: rows out of Parquet, Arrow, CSV, JSONL and plain text, request lines out of rows, and answers
//! beside the rows again. Knows nothing of NATS or of servers. Everything streams: what is in memory is a batch of rows.

mod answer;
mod error;
pub mod files;
mod format;
mod ids;
pub mod join;
mod lines;
pub mod map;
mod open;
mod parts;
mod pick;
mod read;
mod requests;
pub mod resume;
mod source;
mod value;
mod walk;
pub mod write;

pub use answer::Answer;
pub use error::Error;
pub use files::{Files, Named};
pub use format::{Format, Packing, delimiter};
pub use ids::Ids;
pub use map::{Mapping, Spec};
pub use pick::Pick;
pub use read::{Column, Options, Reader, Row, Rows, Said, columns_of, open};
pub use requests::{Asked, Request, Requests, Spot};
pub use source::{Remote, Source};
