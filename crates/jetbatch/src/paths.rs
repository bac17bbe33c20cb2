//! Every path of the store. No other file spells one.
use domain::JobId;
use strum::{EnumString, IntoStaticStr};
use uuid::Uuid;

/// Of the two files of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Kind {
    Output,
    Errors,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

pub const UPLOADS: &str = "uploads";
pub const JOBS: &str = "jobs";

/// A file that came over HTTP.
pub fn upload(id: Uuid) -> String {
    format!("{UPLOADS}/{}.jsonl", id.hyphenated())
}

/// A job's input where jetbatch had to copy it.
pub fn input(job: JobId) -> String {
    format!("jobs/{job}/input.jsonl")
}

/// The folder of all that is a job's own.
pub fn job(job: JobId) -> String {
    format!("{JOBS}/{job}")
}

/// The folder of a job's parts.
pub fn parts(job: JobId) -> String {
    format!("jobs/{job}/parts")
}

/// The lines of one segment. Ordered by name, parts are in input order.
pub fn part(job: JobId, segment: u32, kind: Kind) -> String {
    format!("jobs/{job}/parts/{segment:010}.{}.jsonl", kind.as_str())
}

/// The segment and kind that a path of [`part`] names.
pub fn parse_part(path: &str) -> Option<(u32, Kind)> {
    let (segment, rest) = path.rsplit('/').next()?.split_once('.')?;
    let kind = rest.strip_suffix(".jsonl")?.parse().ok()?;
    Some((segment.parse().ok()?, kind))
}

/// What a job leaves.
pub fn file(job: JobId, kind: Kind) -> String {
    format!("jobs/{job}/{}.jsonl", kind.as_str())
}

/// What an object is, and of which job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Upload(Uuid),
    Part(JobId),
    /// Its input, its output, its errors.
    Own(JobId),
}

/// None: it is not ours.
pub fn place(path: &str) -> Option<Place> {
    let tokens: Vec<&str> = path.split('/').collect();
    match tokens[..] {
        [UPLOADS, name] => Some(Place::Upload(Uuid::try_parse(name.strip_suffix(".jsonl")?).ok()?)),
        [JOBS, job, "parts", _] => Some(Place::Part(job.parse().ok()?)),
        [JOBS, job, _] => Some(Place::Own(job.parse().ok()?)),
        _ => None,
    }
}

/// The folder of the log's snapshots.
pub const SNAPSHOTS: &str = "snapshots";

/// A snapshot of a log up to an event. `log` is a word for the log; ordered by name, snapshots of one are by age.
pub fn snapshot(log: &str, seq: u64) -> String {
    format!("{SNAPSHOTS}/{log}-{seq:020}.snap")
}

/// The log and the event that a path of [`snapshot`] names.
pub fn parse_snapshot(path: &str) -> Option<(&str, u64)> {
    let (log, seq) = path.rsplit('/').next()?.strip_suffix(".snap")?.rsplit_once('-')?;
    Some((log, seq.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_sort_by_age_and_parse_back() {
        assert!(snapshot("a", 9) < snapshot("a", 10));
        assert_eq!(parse_snapshot(&snapshot("0f", u64::MAX)), Some(("0f", u64::MAX)));
        assert_eq!(parse_snapshot("snapshots/0f-x.snap"), None);
    }

    #[test]
    fn parts_sort_by_segment_and_parse_back() {
        let job = JobId::keyed("default", "k");
        assert!(part(job, 9, Kind::Output) < part(job, 10, Kind::Output));
        assert!(part(job, 0, Kind::Output).starts_with(&parts(job)));
        assert_eq!(parse_part(&part(job, u32::MAX, Kind::Errors)), Some((u32::MAX, Kind::Errors)));
        assert_eq!(parse_part(&file(job, Kind::Output)), None);
    }

    #[test]
    fn every_path_is_known_again() {
        let (job, id) = (JobId::keyed("default", "k"), Uuid::from_u128(7));
        assert_eq!(place(&upload(id)), Some(Place::Upload(id)));
        assert_eq!(place(&part(job, 3, Kind::Errors)), Some(Place::Part(job)));
        for own in [input(job), file(job, Kind::Output), file(job, Kind::Errors)] {
            assert_eq!(place(&own), Some(Place::Own(job)));
        }
        for other in ["", "jobs", "jobs/x/input.jsonl", "uploads/x.jsonl", "uploads/a/b", "other/file"] {
            assert_eq!(place(other), None, "{other}");
        }
    }
}
