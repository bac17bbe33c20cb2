//! The same jobs and files in OpenAI's forms, so that its clients need to change nothing but their address. Times are whole
//! seconds since 1970; what is absent is an explicit `null`.
mod batch;
mod file;
mod id;
mod model;
mod upload;

pub use batch::{
    Batch, BatchCounts, BatchErrors, BatchPage, BatchStatus, BatchUsage, CreateBatch, Lifecycle, PageQuery,
};
pub use file::{DeletedFile, ExpiresAfter, File, FilePage, FileQuery, Purpose};
pub use id::{BatchId, FileId, JobFile};
pub use model::{Model, ModelList};
pub use upload::{CompleteUpload, CreateUpload, PartId, Upload, UploadId, UploadPart, UploadStatus};

use domain::Timestamp;

/// Whole seconds since 1970.
pub const fn unix(at: Timestamp) -> u64 {
    at.get() / 1_000
}
