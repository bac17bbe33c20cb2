use super::*;
use crate::gateway::row::tests::stored;

fn job(n: u64) -> JobId {
    JobId::keyed("t", &n.to_string())
}

fn put(index: &mut Index, n: u64, at: u64, state: &str, model: &str) {
    let value = format!(r#"{{"v":1,"status":{{"state":"{state}","model":"{model}","submitted_at":{at},"x":[]}}}}"#);
    index.put(job(n), value.as_bytes(), 1);
}

fn ids(index: &Index, query: Query) -> (Vec<JobId>, bool) {
    let page = index.page(Tenant::default(), &query, None).unwrap();
    (page.jobs.into_iter().map(|(job, _)| job).collect(), page.has_more)
}

#[test]
fn the_newest_come_first_page_by_page() {
    let mut index = Index::default();
    for n in 0..5 {
        put(&mut index, n, 1_000 + n / 2, "in_progress", "a");
    }
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let (jobs, has_more) = ids(&index, Query { after, limit: 2, ..Query::default() });
        after = jobs.last().copied();
        all.extend(jobs);
        if !has_more {
            break;
        }
    }
    assert_eq!(all.len(), 5);
    assert_eq!(all[0], job(4));
    assert!(all[3..].contains(&job(0)) && all[3..].contains(&job(1)));
}

#[test]
fn a_job_is_found_by_state_and_model() {
    let mut index = Index::default();
    put(&mut index, 1, 1, "in_progress", "a");
    put(&mut index, 2, 2, "completed", "a");
    put(&mut index, 3, 3, "completed", "b");
    put(&mut index, 1, 1, "completed", "a");
    let query = Query { state: Some(State::Completed), model: Some("a".into()), limit: 9, ..Query::default() };
    assert_eq!(ids(&index, query), (vec![job(2), job(1)], false));
    index.remove(job(2));
    let query = Query { limit: 1, ..Query::default() };
    assert_eq!(ids(&index, query), (vec![job(3)], true));
    let after = Query { after: Some(job(2)), limit: 1, ..Query::default() };
    assert_eq!(index.page(Tenant::default(), &after, None), None);
    // Who deletes what a list showed goes on where he was.
    let page = index.page(Tenant::default(), &after, Some(Timestamp::new(2))).unwrap();
    assert_eq!(page.jobs.into_iter().map(|(job, _)| job).collect::<Vec<_>>(), [job(1)]);
}

/// A status of the `n`-th job, submitted in its order, at a version.
fn at(n: u64, (seq, rev): Version) -> (StoredStatus, u64) {
    let mut stored = stored(State::InProgress);
    (stored.status.id, stored.status.submitted_at, stored.seq) = (job(n), Timestamp::new(1_000 + n), seq);
    stored.status.attempts = 10 * seq + rev;
    (stored, rev)
}

fn put_stored(index: &mut Index, (stored, rev): (StoredStatus, u64)) {
    index.put(stored.status.id, &serde_json::to_vec(&stored).unwrap(), rev);
}

/// What a list shows of all jobs, newest first; nothing of those that are not kept.
fn shown(index: &Index) -> Vec<Option<u64>> {
    let page = index.page(Tenant::default(), &Query { limit: 100, ..Query::default() }, None).unwrap();
    let attempts = |(job, kept): (JobId, Kept)| row::unpack(job, &kept?).map(|stored| stored.status.attempts);
    page.jobs.into_iter().map(attempts).collect()
}

#[test]
fn a_list_goes_back_behind_nothing_that_was_shown() {
    let mut index = Index::default();
    let note = |index: &mut Index, version| index.note(&at(1, version).0, version.1);
    note(&mut index, (9, 9));
    assert_eq!(shown(&index), [], "only the changes tell of a new job");
    put_stored(&mut index, at(1, (2, 4)));
    note(&mut index, (2, 6));
    put_stored(&mut index, at(1, (2, 5)));
    assert_eq!(shown(&index), [Some(26)], "changes come late");
    note(&mut index, (1, 9));
    put_stored(&mut index, at(1, (2, 6)));
    assert_eq!(shown(&index), [Some(26)]);
    put_stored(&mut index, at(1, (2, 1)));
    assert_eq!(shown(&index), [Some(21)], "a bucket that was made anew counts from its beginning");
}

#[test]
fn memory_is_bounded_and_the_newest_are_kept() {
    let bytes = row::pack(&at(1, (1, 1)).0).unwrap().len();
    let mut index = Index { bytes_max: 3 * bytes + bytes / 2, ..Index::default() };
    (1..=5).for_each(|n| put_stored(&mut index, at(n, (1, 1))));
    assert_eq!(shown(&index), [Some(11), Some(11), Some(11), None, None]);
    put_stored(&mut index, at(2, (1, 2)));
    put_stored(&mut index, at(4, (1, 2)));
    assert_eq!(shown(&index), [Some(11), Some(12), Some(11), None, None]);
    index.remove(job(5));
    put_stored(&mut index, at(6, (1, 3)));
    assert_eq!(shown(&index), [Some(13), Some(12), Some(11), None, None]);
    (1..=6).for_each(|n| index.remove(job(n)));
    assert_eq!(index.bytes, 0);
}

/// Neither in a page, nor as its beginning, nor counted.
#[test]
fn anothers_jobs_are_not_there() {
    let (mut index, blue) = (Index::default(), "blue".parse().unwrap());
    put(&mut index, 1, 1, "completed", "a");
    let value = r#"{"v":1,"status":{"tenant":"blue","state":"completed","model":"a","submitted_at":2}}"#;
    index.put(job(2), value.as_bytes(), 1);
    let page = |tenant, after| {
        let page = index.page(tenant, &Query { after, limit: 9, ..Query::default() }, None)?;
        Some(page.jobs.into_iter().map(|(job, _)| job).collect::<Vec<_>>())
    };
    assert_eq!((page(Tenant::default(), None), page(blue, None)), (Some(vec![job(1)]), Some(vec![job(2)])));
    assert_eq!((page(Tenant::default(), Some(job(2))), page(blue, Some(job(1)))), (None, None));
    assert_eq!((index.count(blue), index.rows(blue).count(), index.count("red".parse().unwrap())), (1, 1, 0));
}

/// Whatever came in between, and in whatever order.
#[test]
fn a_tenants_load_is_that_of_its_jobs() {
    let mut index = Index::default();
    let mut put = |n: u64, tenant: &str, state: &str, remaining: u64| {
        let status = format!(
            r#"{{"tenant":"{tenant}","state":"{state}","model":null,"submitted_at":1,"requests":{{"remaining":{remaining}}}}}"#
        );
        index.put(job(n), format!(r#"{{"v":1,"status":{status}}}"#).as_bytes(), 1);
        let blue = "blue".parse().unwrap();
        (index.of(Tenant::default()), index.of(blue), index.is_counted(&job(n)))
    };
    let sum = |jobs, running, queued| Sum { jobs, running, queued };
    assert_eq!(put(1, "default", "validating", 0), (sum(1, 1, 0), sum(0, 0, 0), false));
    assert_eq!(put(1, "default", "in_progress", 9), (sum(1, 1, 9), sum(0, 0, 0), true));
    assert_eq!(put(2, "blue", "paused", 5), (sum(1, 1, 9), sum(1, 1, 5), true));
    assert_eq!(put(1, "default", "in_progress", 4), (sum(1, 1, 4), sum(1, 1, 5), true));
    assert_eq!(put(1, "default", "expired", 0), (sum(1, 0, 0), sum(1, 1, 5), true));
    index.remove(job(1));
    assert_eq!((index.of(Tenant::default()), index.count("blue".parse().unwrap())), (sum(0, 0, 0), 1));
}
