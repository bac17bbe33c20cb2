//! `jetbatch run -o FILE`: every row of the input with its answer, in a table. The same command again takes over what is
//! answered, in the table and by the jobs that were to make it, and runs the rest.
use super::{Run, unprinted};
use crate::{
    cli::{
        client::Client,
        error::Error,
        job, out,
        remote::save,
        table::{
            Ledger, results,
            resume::{self, Running, Source},
        },
        watch::{errors, verdict},
    },
    clock,
};
use api::{Accepted, Job, Route};
use domain::{JobId, status::State};
use std::path::Path;

pub async fn run(client: &Client, args: &Run, path: &Path) -> Result<(), Error> {
    // What cannot be written is said before anything runs.
    tables::write::format(path)?;
    let wanted = args.beside.wanted(args.batch.input.schema())?;
    let (input, quiet) = (args.batch.input.joined()?, args.server.json);
    let (dir, ledger) = (results::folder(path), Ledger::of(path));
    let sources = sources(args, path, &ledger)?;
    let earlier = match sources.is_empty() {
        true => None,
        false => Some(resume::gather(client, &sources, Running::Await { quiet }, &dir).await?),
    };
    let is_resumed = earlier.is_some();
    let sent = args.batch.sort(client, quiet, earlier, &sources, &dir).await?;
    if is_resumed {
        resume::tell(sent.sorted);
    }
    let job = match &sent.accepted {
        Some(accepted) => Some(done(client, client.read::<Accepted>(accepted)?.id, &ledger, quiet).await?),
        None => None,
    };
    if let Some(job) = job.as_ref().filter(|job| job.state == State::Failed) {
        errors(job).iter().for_each(out::note);
        ledger.forget(job.id)?;
        return verdict(job);
    }
    results::whole(client, job.as_ref(), Some(input), Some(sent.plan), wanted, path).await?;
    ledger.remove()?;
    match job {
        Some(job) => end(client, args, &job, sent.sorted.taken > 0).await,
        None => Ok(()),
    }
}

/// Where answers may be: the table itself, jobs that were to make it, and whatever is named.
fn sources(args: &Run, path: &Path, ledger: &Ledger) -> Result<Vec<Source>, Error> {
    if args.fresh {
        return ledger.remove().map(|()| Vec::new());
    }
    let own = path.is_file().then(|| resume::table(path)).flatten();
    let jobs = ledger.jobs()?.into_iter().map(Source::Job);
    Ok(own.into_iter().chain(jobs).chain(args.resume.sources()).collect())
}

async fn done(client: &Client, id: JobId, ledger: &Ledger, quiet: bool) -> Result<Job, Error> {
    ledger.add(id)?;
    out::note(format_args!("job {id}"));
    unprinted(client, id, quiet).await
}

/// What there is to say of the job. That nothing of the rest could be answered is no failure of the whole.
async fn end(client: &Client, args: &Run, job: &Job, is_part: bool) -> Result<(), Error> {
    if let Some(path) = &args.errors {
        save(client, client.file(job.id, Route::Errors).await?, path, true).await?;
    }
    if !args.server.json {
        out::ask(job::page(job, clock::now().get()));
    }
    if job.requests.failed > 0 && args.errors.is_none() {
        out::note(format_args!("the error lines: `jetbatch errors {}`", job.id));
    }
    match verdict(job) {
        Err(Error::AllFailed { .. }) if is_part => Ok(()),
        verdict => verdict,
    }
}
