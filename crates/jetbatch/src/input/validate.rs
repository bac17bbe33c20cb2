//! Validates an input in one pass: lines, ids, pools, requests that will be refused, and the cut into segments and chunks.
use super::{check::Check, source::Source, table::Table};
use crate::{bus::PublishError, config::Config, shared::Shared};
use domain::{
    Pool,
    dedup::Candidates,
    event::{Code, LineError, SegmentPlan, Submitted},
    lines::Lines,
    pack::Packing,
    submission::Checked,
    warning::Warning,
};
use futures::StreamExt;
use store::{StoreError, Writer};

pub enum Verdict {
    Good { input: String, requests: u64, segments: u32, bytes: u64, warnings: Vec<Warning> },
    Bad { requests: u64, errors: Vec<LineError>, total: u64 },
}

impl Verdict {
    /// Says of rows where they stand in their table.
    async fn place(&mut self, table: &Table) {
        match self {
            Self::Bad { errors, .. } => table.explain(errors).await,
            Self::Good { warnings, .. } => {
                let line = |warning: &Warning| {
                    let Warning { code, line, param, message, .. } = warning.clone();
                    LineError { code, line: Some(line), param, message }
                };
                let mut told: Vec<LineError> = warnings.iter().map(line).collect();
                table.explain(&mut told).await;
                warnings.iter_mut().zip(told).for_each(|(warning, told)| warning.message = told.message);
            }
        }
    }
}

/// What may pass: the input is to be read once more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the job's facts could not be stored")]
    Publish(#[from] PublishError),
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// Takes the segments as they are found. Those of an input that is wrong in its rest are worth nothing.
pub trait Plans: Send {
    fn take(&mut self, plan: SegmentPlan) -> impl Future<Output = Result<(), Error>> + Send;

    /// Every one that was taken is kept.
    fn flush(&mut self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// What a submission says of its input.
pub struct Terms {
    /// Of requests that name none.
    pub model: Option<String>,
    pub endpoint: Option<String>,
    pub packing: Packing,
    /// Those that it may run in; none: all.
    pub pools: Vec<Pool>,
}

impl From<&Submitted> for Terms {
    fn from(submitted: &Submitted) -> Self {
        let Submitted { model, endpoint, packing, pools, .. } = submitted;
        Self { model: model.clone(), endpoint: endpoint.clone(), packing: packing.clone(), pools: pools.clone() }
    }
}

impl Terms {
    /// Of one that is not taken.
    pub fn of(submission: &Checked, pools: &[Pool], config: &Config) -> Self {
        let (model, endpoint) = (submission.model.clone(), submission.endpoint.clone());
        Self { model, endpoint, packing: config.packing(), pools: pools.to_vec() }
    }
}

pub async fn validate(
    shared: &Shared,
    terms: &Terms,
    mut source: Source,
    facts: &mut impl Plans,
) -> Result<Verdict, Error> {
    let mut copy = if source.copy { Some(shared.store.writer(&source.path).await?) } else { None };
    let mut check = Check::new(shared, terms);
    let mut bytes = 0;
    while let Some(block) = source.blocks.next().await {
        let block = block?;
        bytes += block.len() as u64;
        if let Some(copy) = &mut copy {
            copy.write(block.clone()).await?;
        }
        let plans;
        (check, plans) = apart(move || check.feed(block)).await;
        for plan in plans {
            facts.take(plan).await?;
        }
        if check.is_hopeless() {
            break;
        }
    }
    let last;
    (check, last) = apart(move || check.finish()).await;
    let seen = std::mem::take(&mut check.seen);
    let candidates = apart(move || seen.candidates()).await;
    if !candidates.is_empty() && !check.is_other {
        finish(copy.take()).await?;
        check = duplicates(shared, &source.path, bytes, check, candidates).await?;
    }
    let mut verdict = judge(&source.path, check, bytes);
    if let Some(table) = &source.table {
        verdict.place(table).await;
    }
    let last = if matches!(verdict, Verdict::Good { .. }) { last } else { Vec::new() };
    let told = async {
        for plan in last {
            facts.take(plan).await?;
        }
        facts.flush().await
    };
    tokio::try_join!(finish(copy), told)?;
    Ok(verdict)
}

async fn finish(copy: Option<Writer>) -> Result<(), Error> {
    if let Some(copy) = copy {
        copy.finish().await?;
    }
    Ok(())
}

fn judge(path: &str, mut check: Check, bytes: u64) -> Verdict {
    let requests = check.packer.requests();
    if check.total == 0 && requests == 0 {
        check.error(Code::EmptyFile, None, "the input holds no request".into());
    }
    if check.total == 0 {
        let (input, segments, warnings) = (path.to_owned(), check.packer.segments(), check.warnings.list());
        return Verdict::Good { input, requests, segments, bytes, warnings };
    }
    check.errors.sort_by_key(|error| error.line);
    Verdict::Bad { requests, errors: check.errors, total: check.total }
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
        state = apart(move || {
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

/// Parsing is CPU work, and a few bytes may hold a grammar that costs much: off the threads that serve others.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("validation does not panic")
}
