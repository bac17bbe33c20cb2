//! What each route takes and gives, for the document.
use crate::{
    About, Accepted, Change, DeadDropped, DeadPage, DeadQuery, DeadWhole, ErrorCode, FORM, JSON, Job, JobPage,
    JobQuery, NDJSON, Ready, Retried, Route, Settings, Start, StoredFile, Submission,
};
use domain::JobId;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        Content, ObjectBuilder, Ref, RefOr, Schema, Type,
        path::{Parameter, ParameterIn},
        schema::KnownFormat,
    },
};

/// A media type, and what stands in it.
pub type Media = (&'static str, RefOr<Schema>);

/// What a route gives when it does what it was asked for.
pub struct Given {
    pub status: u16,
    pub what: &'static str,
    pub media: Option<Media>,
}

const TEXT: &str = "text/plain";
const METRICS: &str = "application/openmetrics-text";
const SERVER_SENT: &str = "text/event-stream";

fn of<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}

fn text() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}

fn file() -> RefOr<Schema> {
    let format = utoipa::openapi::SchemaFormat::KnownFormat(KnownFormat::Binary);
    ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into()
}

/// A form with its file last.
fn form() -> RefOr<Schema> {
    ObjectBuilder::new().property("file", file()).required("file").additional_properties(Some(text())).into()
}

impl Route {
    pub(crate) const fn summary(self) -> &'static str {
        match self {
            Self::About => "What there is",
            Self::Jobs => "Jobs, newest first",
            Self::Submit => "Submit a job: requests in JSON, a batch file as the body, or a form with a file",
            Self::Start => "Submit prompts with a few settings, without a file",
            Self::Job => "A job as it stands",
            Self::Delete => "Remove what an ended job left: inputs, outputs, results. That it was stays in the log",
            Self::Results => "The answers, in input order; while the job runs, what is archived so far",
            Self::Errors => "The requests without a good answer, in input order",
            Self::Events => "The job as it changes, until it has ended",
            Self::Cancel => "End a job; what is answered is kept",
            Self::Pause => "Leave the running requests within a second; the deadline stands",
            Self::Resume => "Go on with a paused job",
            Self::Deadline => "Move the deadline: `completion_window`, counted from the submission",
            Self::Priority => "Move a job to another class: `priority`",
            Self::Retry => "The requests of an ended job without a good answer, once more, as a job of their own",
            Self::Keep => "Leave a file for a submission that follows by any door",
            Self::DeadList => "Requests that were given up, newest first",
            Self::Dead => "An entry with its requests, and all that they failed of",
            Self::DropDead => "Remove an entry; the error line in its job's files stays",
            Self::Replay => "Submit an entry's requests once more, as a job of their own; twice is once",
            Self::Alive => "Who can answer is alive",
            Self::Ready => "Whether all that the door stands on is there, and where NATS is",
            Self::Metrics => "For Prometheus",
            Self::OpenApi => "This document",
        }
    }

    pub(crate) fn query(self) -> Vec<Parameter> {
        match self {
            Self::Jobs => JobQuery::into_params(|| Some(ParameterIn::Query)),
            Self::DeadList => DeadQuery::into_params(|| Some(ParameterIn::Query)),
            Self::Submit => Settings::into_params(|| Some(ParameterIn::Query)),
            _ => Vec::new(),
        }
    }

    pub(crate) const fn takes_key(self) -> bool {
        matches!(self, Self::Submit | Self::Start)
    }

    /// The bodies it takes; one of them.
    pub(crate) fn takes(self) -> Vec<Media> {
        match self {
            Self::Submit => vec![(JSON, of::<Submission>()), (NDJSON, file()), (FORM, form())],
            Self::Start => vec![(JSON, of::<Start>())],
            Self::Deadline | Self::Priority => vec![(JSON, of::<Change>())],
            Self::Keep => vec![("*/*", file()), (FORM, form())],
            _ => Vec::new(),
        }
    }

    pub(crate) fn gives(self) -> Vec<Given> {
        let given = |status, what, media| Given { status, what, media: Some(media) };
        let json = |status, what, schema| vec![given(status, what, (JSON, schema))];
        let accepted = || given(202, "It is taken, and will be done", (JSON, of::<Accepted>()));
        let lines = |what| {
            let part = given(206, "The part that `Range` asks for, of a job that has ended", (NDJSON, file()));
            vec![given(200, what, (NDJSON, file())), part]
        };
        match self {
            Self::About => json(200, "Where everything is", of::<About>()),
            Self::Jobs => json(200, "A page", of::<JobPage>()),
            Self::Submit | Self::Start => {
                vec![given(200, "It was taken before, under this key or id", (JSON, of::<Accepted>())), accepted()]
            }
            Self::Job => json(200, "The job", of::<Job>()),
            Self::Results => lines("Output lines of the OpenAI form; `Jetbatch-State` tells whether more will come"),
            Self::Errors => lines("Error lines of the OpenAI form; `Jetbatch-State` tells whether more will come"),
            Self::Events => {
                vec![given(200, "Events `status`, each with the job as it stands", (SERVER_SENT, of::<Job>()))]
            }
            Self::Delete | Self::Cancel | Self::Pause | Self::Resume | Self::Deadline | Self::Priority => {
                json(202, "The job, where it could be seen in time as it was ordered to be", of::<Job>())
            }
            Self::Retry => json(202, "The new job", of::<Retried>()),
            Self::Keep => json(201, "It is kept", of::<StoredFile>()),
            Self::DeadList => json(200, "A page", of::<DeadPage>()),
            Self::Dead => json(200, "The entry", of::<DeadWhole>()),
            Self::DropDead => json(200, "It is gone", of::<DeadDropped>()),
            Self::Replay => {
                vec![given(200, "It was replayed before", (JSON, of::<Accepted>())), accepted()]
            }
            Self::Alive => vec![given(200, "`ok`", (TEXT, text()))],
            Self::Ready => {
                let not = given(503, "Something is missing", (JSON, of::<Ready>()));
                vec![given(200, "All is there", (JSON, of::<Ready>())), not]
            }
            Self::Metrics => vec![given(200, "All metrics", (METRICS, text()))],
            Self::OpenApi => json(200, "OpenAPI 3.1", ObjectBuilder::new().schema_type(Type::Object).into()),
        }
    }

    /// Every reason for which it may say no.
    pub fn refuses(self) -> &'static [ErrorCode] {
        use ErrorCode as E;
        const JOB: &[ErrorCode] = &[E::InvalidRequest, E::JobNotFound, E::Unavailable];
        const LINES: &[ErrorCode] = &[E::InvalidRequest, E::JobNotFound, E::Range, E::Busy, E::Unavailable];
        const ORDER: &[ErrorCode] =
            &[E::InvalidRequest, E::ForeignOrigin, E::JobNotFound, E::Conflict, E::TooLarge, E::Unavailable];
        const CHANGE: &[ErrorCode] = &[
            E::InvalidRequest,
            E::InvalidJson,
            E::IncompleteBody,
            E::ForeignOrigin,
            E::JobNotFound,
            E::Timeout,
            E::Conflict,
            E::TooLarge,
            E::UnsupportedMediaType,
            E::Busy,
            E::Unavailable,
        ];
        const SUBMIT: &[ErrorCode] = &[
            E::InvalidRequest,
            E::InvalidJson,
            E::IncompleteBody,
            E::ForeignOrigin,
            E::Timeout,
            E::Conflict,
            E::TooLarge,
            E::UnsupportedMediaType,
            E::Busy,
            E::Unavailable,
            E::StorageFull,
        ];
        const KEEP: &[ErrorCode] = &[
            E::InvalidRequest,
            E::IncompleteBody,
            E::ForeignOrigin,
            E::Timeout,
            E::TooLarge,
            E::UnsupportedMediaType,
            E::Busy,
            E::Unavailable,
            E::StorageFull,
        ];
        const REPLAY: &[ErrorCode] = &[
            E::InvalidRequest,
            E::ForeignOrigin,
            E::DeadNotFound,
            E::Conflict,
            E::TooLarge,
            E::Busy,
            E::Unavailable,
            E::StorageFull,
        ];
        match self {
            Self::Jobs => &[E::InvalidRequest, E::Unavailable],
            Self::Submit | Self::Start => SUBMIT,
            Self::Job | Self::Events => JOB,
            Self::Results | Self::Errors => LINES,
            Self::Delete | Self::Cancel | Self::Pause | Self::Resume | Self::Retry => ORDER,
            Self::Deadline | Self::Priority => CHANGE,
            Self::Keep => KEEP,
            Self::DeadList => &[E::InvalidRequest, E::Busy, E::Unavailable],
            Self::Dead => &[E::InvalidRequest, E::DeadNotFound, E::Busy, E::Unavailable],
            Self::DropDead => &[E::InvalidRequest, E::ForeignOrigin, E::DeadNotFound, E::Unavailable],
            Self::Replay => REPLAY,
            Self::About | Self::Alive | Self::Ready | Self::Metrics | Self::OpenApi => &[],
        }
    }

    /// The id in its path: a job's, or an entry's number.
    pub(crate) fn id(self) -> RefOr<Schema> {
        match self {
            Self::Dead | Self::DropDead | Self::Replay => u64::schema(),
            _ => of::<JobId>(),
        }
    }
}

pub fn content((media, schema): Media) -> (&'static str, Content) {
    (media, Content::new(Some(schema)))
}
