//! The door in OpenAI's forms, under `/v1`: the same jobs and files, by the same ways in. What is OpenAI's alone, a file's
//! name and how long it is kept, stands in the bucket `files`.
pub mod ask;
pub mod batches;
pub mod catalog;
mod chunk;
pub mod files;
mod form;
mod lifecycle;
pub mod models;
pub mod uploads;

pub use catalog::Catalog;
pub use lifecycle::Lifecycles;
