//! `jetbatch submit`: streams a file to the HTTP door.
use super::{
    client::{Client, Raw, Upload},
    error::Error,
    meter::Meter,
    out,
    remote::{Server, follow, priority_word},
    table::{
        Input, Way, apart, begin,
        resume::{self, Resume, Running, Source},
        rows,
    },
    watch::{errors, validated, verdict, warnings},
};
use api::{Accepted, IDEMPOTENCY_KEY, NDJSON, Route, Settings};
use bytes::Bytes;
use clap::Args;
use domain::{JobId, event::Priority, limits::METADATA_PAIRS_MAX, lines::Head, status::State};
use futures::{Stream, TryStreamExt, future::ready};
use reqwest::{
    Body, RequestBuilder,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use std::{io, num::NonZeroU64, path::Path, sync::Arc};
use tables::{
    Asked,
    resume::{Defaults, Earlier, Plan, Sorted, Split},
};
use tokio::{io::AsyncRead, sync::Notify};
use tokio_util::io::ReaderStream;

/// Read from the file at once.
const PIECE_BYTES: usize = 256 << 10;

#[derive(Debug, Args)]
pub struct Submit {
    #[command(flatten)]
    batch: Batch,
    /// Follow the job to its end; exit code 3 unless it completes, 6 if each of its requests fails
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    resume: Resume,
    #[command(flatten)]
    server: Server,
}

/// A file of requests, and what is wanted of it.
#[derive(Debug, Args)]
pub struct Batch {
    #[command(flatten)]
    pub input: Input,
    /// The promised time: 90s, 30m, 24h, 7d
    #[arg(long)]
    window: Option<String>,
    /// A higher class is served before any deadline of a lower one
    #[arg(long, value_parser = priority_word())]
    priority: Option<Priority>,
    /// Kept with the job; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Idempotency key: the same key and file again is the same job
    #[arg(long)]
    key: Option<String>,
    /// Where the job's end and its alerts are sent, signed, in place of its tenant's URL; none: nowhere
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("use KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub async fn submit(args: Submit) -> Result<(), Error> {
    let client = args.server.client()?;
    let Some(accepted) = sent(&client, &args).await? else {
        out::note("every row has an answer: there is nothing to submit");
        return Ok(());
    };
    let Accepted { id, .. } = client.read(&accepted)?;
    match (args.watch, args.server.json) {
        (false, true) => out::line(accepted)?,
        (false, false) => out::line(id)?,
        (true, true) => {}
        (true, false) => out::note(format_args!("job {id}")),
    }
    if args.watch { follow(&client, id, args.server.json).await } else { tell(&client, id).await }
}

/// None: all of it is answered.
async fn sent(client: &Client, args: &Submit) -> Result<Option<Raw>, Error> {
    let quiet = args.server.json;
    if !args.resume.is_asked() {
        return args.batch.send(client, quiet).await.map(Some);
    }
    args.batch.input.is_here("--resume")?;
    let (sources, dir) = (args.resume.sources().collect::<Vec<_>>(), std::env::temp_dir());
    let earlier = resume::gather(client, &sources, Running::Refuse, &dir).await?;
    let sent = args.batch.sort(client, quiet, Some(earlier), &sources, &dir).await?;
    resume::tell(sent.sorted);
    Ok(sent.accepted)
}

/// What validation finds within seconds is said at once. A job that failed it is an exit code of its own.
async fn tell(client: &Client, id: JobId) -> Result<(), Error> {
    let Some(job) = validated(client, id).await else {
        out::note(format_args!("the input is still being validated; `jetbatch status {id}` tells what is found"));
        return Ok(());
    };
    if job.state == State::Failed {
        errors(&job).iter().for_each(out::note);
        return verdict(&job);
    }
    warnings(&job).iter().for_each(out::note);
    Ok(())
}

async fn from_file(
    request: RequestBuilder,
    path: &Path,
    limit: Option<NonZeroU64>,
    is_quiet: bool,
) -> Result<(Upload, Meter), Error> {
    let file = tokio::fs::File::open(path).await.map_err(Error::file("read", path))?;
    let about = file.metadata().await.map_err(Error::file("read", path))?;
    if about.is_dir() {
        return Err(Error::Usage(format!("{} is a folder; give a JSONL file", path.display())));
    }
    // A pipe has no length to announce, and of a part nobody knows it yet.
    let length = (about.is_file() && limit.is_none()).then_some(about.len());
    let meter = Meter::bytes(is_quiet, "upload", length);
    let request = match length {
        Some(length) => request.header(CONTENT_LENGTH, length),
        None => request,
    };
    Ok((streamed(request, file, limit, &meter), meter))
}

fn streamed(
    request: RequestBuilder,
    from: impl AsyncRead + Send + 'static,
    limit: Option<NonZeroU64>,
    meter: &Meter,
) -> Upload {
    let mut head = limit.map(|limit| Head::new(limit.get()));
    let pieces = ReaderStream::with_capacity(from, PIECE_BYTES).map_ok(move |piece| match &mut head {
        Some(head) => piece.slice(..head.cut(&piece)),
        None => piece,
    });
    carried(request, pieces.try_take_while(|piece| ready(Ok(!piece.is_empty()))), meter)
}

/// An upload of pieces as they come.
fn carried(
    request: RequestBuilder,
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    meter: &Meter,
) -> Upload {
    let (pulse, taken) = (meter.pulse(), Arc::new(Notify::new()));
    let told = taken.clone();
    let pieces = pieces.inspect_ok(move |piece| {
        pulse.inc(piece.len() as u64);
        told.notify_one();
    });
    let request = request.header(CONTENT_TYPE, NDJSON).body(Body::wrap_stream(pieces));
    Upload { request, taken }
}

/// Uploads a file and gives the job's id: what `demo` and `bench` submit with.
pub async fn upload(client: &Client, path: &Path, model: Option<&str>) -> Result<JobId, Error> {
    let settings = Settings { model: model.map(str::to_owned), ..Settings::default() };
    let (upload, _) = from_file(client.submission().query(&settings), path, None, true).await?;
    client.upload::<Accepted>(upload).await.map(|accepted| accepted.id)
}

/// Rows as the requests that they become.
async fn table(client: &Client, request: RequestBuilder, asked: Asked, is_quiet: bool) -> Result<Raw, Error> {
    let (pieces, reading) = rows(asked).await?.split(None);
    let meter = Meter::bytes(is_quiet, "upload", None);
    let sent = client.upload(carried(request, pieces, &meter)).await;
    meter.clear();
    reading.explain(sent).await.map(|(_, answer)| answer)
}

/// An input of which the rest was submitted.
pub struct Sent {
    /// None: there was no rest.
    pub accepted: Option<Raw>,
    pub plan: Plan,
    pub sorted: Sorted,
}

impl Batch {
    /// The job that it becomes, as the server tells it.
    pub async fn send(&self, client: &Client, is_quiet: bool) -> Result<Raw, Error> {
        self.post(client, is_quiet, None).await
    }

    /// Submits what has no earlier answer, of these sources. Files without a name lie in `dir`.
    pub async fn sort(
        &self,
        client: &Client,
        is_quiet: bool,
        earlier: Option<Earlier>,
        sources: &[Source],
        dir: &Path,
    ) -> Result<Sent, Error> {
        let is_resumed = earlier.is_some();
        let mut rows = begin(self.split(earlier, dir).await?);
        let first = rows.first().await;
        let is_done = first.is_none() && is_resumed;
        let (pieces, reading) = rows.split(first);
        let meter = Meter::bytes(is_quiet, "upload", None);
        let request = self.keyed(client.submission().query(&self.resuming(sources)));
        let accepted = match is_done {
            true => Ok(None),
            false => client.upload(carried(request, pieces, &meter)).await.map(Some),
        };
        meter.clear();
        let (split, accepted) = reading.explain(accepted).await?;
        let (plan, sorted) = split.finish()?;
        Ok(Sent { accepted, plan, sorted })
    }

    async fn split(&self, earlier: Option<Earlier>, dir: &Path) -> Result<Split, Error> {
        let (asked, strict, dir) = (self.input.asked()?, self.input.strict, dir.to_owned());
        let defaults = Defaults { model: self.input.model.clone(), endpoint: self.input.endpoint.clone() };
        apart(move || Split::new(asked.requests()?, earlier, defaults, strict, &dir)).await
    }

    /// The job names those whose answers spare it work, where there is room.
    fn resuming(&self, sources: &[Source]) -> Settings {
        let of = resume::metadata(sources).filter(|_| self.metadata.len() < METADATA_PAIRS_MAX);
        self.settings().with_metadata(&of.map(|jobs| (resume::OF.to_owned(), jobs)))
    }

    /// What it would come to.
    pub async fn quote(&self, client: &Client, is_quiet: bool) -> Result<Raw, Error> {
        self.post(client, is_quiet, Some(true)).await
    }

    async fn post(&self, client: &Client, is_quiet: bool, dry_run: Option<bool>) -> Result<Raw, Error> {
        let settings = Settings { dry_run, ..self.settings() };
        let request = self.keyed(client.submission().query(&settings));
        match self.input.way()? {
            Way::Url(given) => {
                let request = client.request(Route::Submit).query(&dry_run.map(|dry_run| [("dry_run", dry_run)]));
                client.json(self.keyed(request).json(&settings.submission(given))).await
            }
            Way::Plain(path) => self.plain(client, request, path, is_quiet).await,
            Way::Table(asked) => table(client, request, *asked, is_quiet).await,
        }
    }

    async fn plain(&self, client: &Client, request: RequestBuilder, path: &Path, is_quiet: bool) -> Result<Raw, Error> {
        let limit = self.input.limit();
        if path == Path::new("-") {
            return client.upload(streamed(request, out::source()?, limit, &Meter::Quiet)).await;
        }
        let (upload, meter) = from_file(request, path, limit, is_quiet).await?;
        let answer = client.upload(upload).await;
        meter.clear();
        answer
    }

    fn keyed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.key {
            Some(key) => request.header(IDEMPOTENCY_KEY, key),
            None => request,
        }
    }

    fn settings(&self) -> Settings {
        let settings = Settings {
            id: None,
            model: self.input.model.clone(),
            endpoint: self.input.endpoint.clone(),
            completion_window: self.window.clone(),
            priority: self.priority,
            strict: self.input.strict.then_some(true),
            webhook_url: self.webhook.clone(),
            ..Settings::default()
        };
        settings.with_metadata(&self.metadata)
    }
}
