//! Inputs: where they come from, and what validation finds of them while they stream by. Intake makes facts of it, and the
//! door tells what it would come to.
mod check;
mod constraints;
mod source;
mod table;
mod validate;

pub use source::{Content, Source, SourceError, locate};
pub use validate::{Error, Plans, Terms, Verdict, validate};
