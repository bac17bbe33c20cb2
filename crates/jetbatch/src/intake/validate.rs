//! Validates an input in one pass: lines, ids, pools, requests that will be refused, and the cut into segments and chunks.
use super::{accept::Error, check::Check, source::Source};
use crate::{shared::Shared, store::Writer};
use domain::{
    Event, JobId,
    dedup::Candidates,
    event::{Code, LineError, SegmentPlan, Submitted},
    lines::Lines,
    warning::Warning,
};
use futures::StreamExt;
use wire::envelope;

pub enum Verdict {
    Good { input: String, requests: u64, segments: u32, bytes: u64, warnings: Vec<Warning> },
    Bad { errors: Vec<LineError>, total: u64 },
}

/// Segment facts on their way at a time.
const WINDOW: usize = 64;

pub async fn run(shared: &Shared, id: JobId, submitted: &Submitted, mut source: Source) -> Result<Verdict, Error> {
    let mut copy = if source.copy { Some(shared.store.writer(&source.path).await?) } else { None };
    let mut facts = shared.bus.window(WINDOW);
    let mut check = Check::new(shared, submitted);
    let mut bytes = 0;
    while let Some(block) = source.blocks.next().await {
        let block = block?;
        bytes += block.len() as u64;
        if let Some(copy) = &mut copy {
            copy.write(block.clone()).await?;
        }
        let plans;
        (check, plans) = blocking(move || check.feed(block)).await;
        for plan in plans {
            facts.push(fact(id, plan)).await?;
        }
        if check.is_hopeless() {
            break;
        }
    }
    let last;
    (check, last) = blocking(move || check.finish()).await;
    let verdict = decide(shared, &source.path, copy, check, bytes).await?;
    if matches!(verdict, Verdict::Good { .. }) {
        for plan in last {
            facts.push(fact(id, plan)).await?;
        }
    }
    facts.flush().await?;
    Ok(verdict)
}

async fn decide(
    shared: &Shared,
    path: &str,
    copy: Option<Writer>,
    mut check: Check,
    bytes: u64,
) -> Result<Verdict, Error> {
    if let Some(copy) = copy {
        copy.finish().await?;
    }
    let seen = std::mem::take(&mut check.seen);
    let candidates = blocking(move || seen.candidates()).await;
    if !candidates.is_empty() && !check.is_other {
        check = duplicates(shared, path, bytes, check, candidates).await?;
    }
    let requests = check.packer.requests();
    if check.total == 0 && requests == 0 {
        check.error(Code::EmptyFile, None, "the input holds no request".into());
    }
    shared.metrics.intake(requests, check.total);
    if check.total == 0 {
        let (input, segments, warnings) = (path.to_owned(), check.packer.segments(), check.warnings.list());
        return Ok(Verdict::Good { input, requests, segments, bytes, warnings });
    }
    check.errors.sort_by_key(|error| error.line);
    Ok(Verdict::Bad { errors: check.errors, total: check.total })
}

/// The second pass, over inputs in which hashes of ids repeat: are the ids the same?
async fn duplicates(
    shared: &Shared,
    path: &str,
    bytes: u64,
    check: Check,
    candidates: Candidates,
) -> Result<Check, Error> {
    let blocks = shared.store.stream(path.to_owned(), 0..bytes);
    futures::pin_mut!(blocks);
    let mut state = (check, candidates, Lines::new(shared.config.intake.line_bytes_max));
    while let Some(block) = blocks.next().await {
        let block = block?;
        state = blocking(move || {
            let (mut check, mut candidates, mut lines) = state;
            lines.feed(&block, |line| check.again(line, &mut candidates));
            (check, candidates, lines)
        })
        .await;
    }
    let (mut check, mut candidates, mut lines) = state;
    lines.finish(|line| check.again(line, &mut candidates));
    Ok(check)
}

fn fact(id: JobId, plan: SegmentPlan) -> wire::Message {
    let key = format!("{id}:plan:{}", plan.segment);
    envelope::event(id, &Event::SegmentPlanned(plan), None).id(key)
}

/// Parsing is CPU work: off the threads that serve others.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("validation does not panic")
}
