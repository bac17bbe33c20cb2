//! What must hold whatever bytes come in. The fuzz targets call it with bytes made up, and `cargo test -p jetbatch
//! --test corpus`, which is this same file, with those that are kept in `corpus/`.
pub mod config;
pub mod envelope;
pub mod line;
pub mod subject;
pub mod submission;

#[cfg(test)]
mod replay;

// What rooms keep to themselves is read from its source, so that nothing is public for the sake of a test. It has its
// own tests along.
#[path = "../../../crates/jetbatch/src/payload.rs"]
mod payload;
#[allow(dead_code)]
#[path = "../../../crates/jetbatch/src/worker/render.rs"]
mod render;
