//! Every path of the store. No other file spells one.
use domain::{JobId, Tenant};
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

/// A file that came over HTTP, and whose it is. Each tenant's lie in a folder of their own, so that whoever names another's
/// finds none; those of `default` lie beside the folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadRef {
    pub tenant: Tenant,
    pub id: Uuid,
}

pub fn upload(UploadRef { tenant, id }: UploadRef) -> String {
    if tenant.is_default() {
        return format!("{UPLOADS}/{}.jsonl", id.hyphenated());
    }
    format!("{UPLOADS}/{tenant}/{}.jsonl", id.hyphenated())
}

/// The folder of a tenant's uploads. That of `default` has the others' in it.
pub fn uploads(tenant: Tenant) -> String {
    if tenant.is_default() { UPLOADS.to_owned() } else { format!("{UPLOADS}/{tenant}") }
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

/// The lines of one segment. Ordered by name, parts are in input order. `losses` of its results were known when it was
/// written: whoever knew less writes elsewhere.
pub fn part(job: JobId, segment: u32, kind: Kind, losses: u32) -> String {
    format!("jobs/{job}/parts/{segment:010}.{}{}.jsonl", kind.as_str(), mark(losses))
}

/// The segment, kind and losses that a path of [`part`] names.
pub fn parse_part(path: &str) -> Option<(u32, Kind, u32)> {
    let (segment, rest) = path.rsplit('/').next()?.split_once('.')?;
    let rest = rest.strip_suffix(".jsonl")?;
    let (kind, losses) = rest.split_once('-').unwrap_or((rest, "0"));
    Some((segment.parse().ok()?, kind.parse().ok()?, losses.parse().ok()?))
}

/// What a job leaves. `losses` as for [`part`], of the whole job.
pub fn file(job: JobId, kind: Kind, losses: u32) -> String {
    format!("jobs/{job}/{}{}.jsonl", kind.as_str(), mark(losses))
}

fn mark(losses: u32) -> String {
    if losses == 0 { String::new() } else { format!("-{losses}") }
}

/// What an object is, and of which job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Upload(UploadRef),
    Part(JobId),
    /// Its input, its output, its errors.
    Own(JobId),
}

/// None: it is not ours.
pub fn place(path: &str) -> Option<Place> {
    let tokens: Vec<&str> = path.split('/').collect();
    match tokens[..] {
        [UPLOADS, name] => place_of(Tenant::default(), name),
        [UPLOADS, tenant, name] => place_of(tenant.parse().ok().filter(|tenant: &Tenant| !tenant.is_default())?, name),
        [JOBS, job, "parts", _] => Some(Place::Part(job.parse().ok()?)),
        [JOBS, job, _] => Some(Place::Own(job.parse().ok()?)),
        _ => None,
    }
}

fn place_of(tenant: Tenant, name: &str) -> Option<Place> {
    let id = Uuid::try_parse(name.strip_suffix(".jsonl")?).ok()?;
    Some(Place::Upload(UploadRef { tenant, id }))
}

/// Which installation the store is of.
pub const INSTALLATION: &str = "installation.json";

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
        assert!(part(job, 9, Kind::Output, 0) < part(job, 10, Kind::Output, 0));
        assert!(part(job, 0, Kind::Output, 0).starts_with(&parts(job)));
        assert_eq!(parse_part(&part(job, u32::MAX, Kind::Errors, 0)), Some((u32::MAX, Kind::Errors, 0)));
        assert_eq!(parse_part(&part(job, 7, Kind::Output, 3)), Some((7, Kind::Output, 3)));
        assert_eq!(parse_part(&file(job, Kind::Output, 0)), None);
    }

    #[test]
    fn every_path_is_known_again() {
        let (job, id) = (JobId::keyed("default", "k"), Uuid::from_u128(7));
        for tenant in [Tenant::default(), "blue".parse().unwrap()] {
            let of = UploadRef { tenant, id };
            assert_eq!(place(&upload(of)), Some(Place::Upload(of)));
        }
        assert_eq!(place(&format!("uploads/default/{id}.jsonl")), None, "one path for each");
        assert_eq!(place(&part(job, 3, Kind::Errors, 0)), Some(Place::Part(job)));
        for own in [input(job), file(job, Kind::Output, 0), file(job, Kind::Errors, 2)] {
            assert_eq!(place(&own), Some(Place::Own(job)));
        }
        for other in ["", "jobs", "jobs/x/input.jsonl", "uploads/x.jsonl", "uploads/a/b", "other/file"] {
            assert_eq!(place(other), None, "{other}");
        }
    }
}
