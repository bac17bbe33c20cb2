use domain::JobId;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// A job as OpenAI's clients know it: `batch_` and the job's id without hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BatchId(pub JobId);

/// A file: one that was uploaded, or one of a job's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FileId {
    /// `file-` and the upload's id without hyphens.
    Upload(Uuid),
    /// `file-in`, `file-out` or `file-err` and the job's id without hyphens.
    Of(JobFile, JobId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobFile {
    /// Where jetbatch had to copy it.
    Input,
    Output,
    Errors,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown;

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is no id of this kind")
    }
}

const BATCH: &str = "batch_";
const FILE: &str = "file-";

impl JobFile {
    const ALL: [Self; 3] = [Self::Input, Self::Output, Self::Errors];

    const fn word(self) -> &'static str {
        match self {
            Self::Input => "in",
            Self::Output => "out",
            Self::Errors => "err",
        }
    }
}

/// 32 digits, in the one spelling that is printed.
pub(super) fn simple(text: &str) -> Result<Uuid, Unknown> {
    let id = Uuid::try_parse(text).map_err(|_| Unknown)?;
    if id.simple().to_string() == text { Ok(id) } else { Err(Unknown) }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BATCH}{}", self.0.uuid().simple())
    }
}

impl FromStr for BatchId {
    type Err = Unknown;

    /// Also a job's own id.
    fn from_str(text: &str) -> Result<Self, Unknown> {
        match text.strip_prefix(BATCH) {
            Some(id) => Ok(Self(JobId::new(simple(id)?))),
            None => text.parse().map(Self).map_err(|_| Unknown),
        }
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upload(id) => write!(f, "{FILE}{}", id.simple()),
            Self::Of(file, job) => write!(f, "{FILE}{}{}", file.word(), job.uuid().simple()),
        }
    }
}

impl FromStr for FileId {
    type Err = Unknown;

    /// Also an upload's own id, and its address.
    fn from_str(text: &str) -> Result<Self, Unknown> {
        let Some(rest) = text.strip_prefix(FILE) else {
            let id = text.strip_prefix("upload://").unwrap_or(text);
            let id = Uuid::try_parse(id).ok().filter(|_| id.len() == 36);
            return id.map(Self::Upload).ok_or(Unknown);
        };
        for file in JobFile::ALL {
            if let Some(job) = rest.strip_prefix(file.word()) {
                return Ok(Self::Of(file, JobId::new(simple(job)?)));
            }
        }
        simple(rest).map(Self::Upload)
    }
}

macro_rules! as_text {
    ($($type:ident),*) => {$(
        impl TryFrom<String> for $type {
            type Error = $crate::openai::id::Unknown;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(id: $type) -> Self {
                id.to_string()
            }
        }
    )*};
}

pub(super) use as_text;

as_text!(BatchId, FileId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let job = JobId::keyed("t", "k");
        let upload = FileId::Upload(job.uuid());
        assert_eq!(BatchId(job).to_string().parse(), Ok(BatchId(job)));
        assert_eq!(job.to_string().parse(), Ok(BatchId(job)), "the job's own spelling");
        assert_eq!(upload.to_string().parse(), Ok(upload));
        for text in [job.uuid().hyphenated().to_string(), format!("upload://{}", job.uuid())] {
            assert_eq!(text.parse(), Ok(upload), "{text}");
        }
        for file in JobFile::ALL {
            let id = FileId::Of(file, job);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn what_is_no_id_is_none() {
        let hex = JobId::keyed("t", "k").uuid().simple().to_string();
        for text in ["", "batch_", "batch_1", "batch_../..", &hex, &format!("batch_{}", hex.to_uppercase())] {
            assert_eq!(text.parse::<BatchId>(), Err(Unknown), "{text}");
        }
        for text in ["", "file-", "file-out", "file-abc", &hex, &format!("file-up{hex}"), &format!("file-{hex}0")] {
            assert_eq!(text.parse::<FileId>(), Err(Unknown), "{text}");
        }
    }
}
