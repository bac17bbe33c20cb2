//! What each route takes and gives, for the document.
use crate::{
    About, Accepted, Access, AllLimits, AuditPage, AuditQuery, Change, CreateKey, DeadDropped, DeadPage, DeadQuery,
    DeadWhole, ErrorCode, FORM, JSON, Job, JobPage, JobQuery, JobRows, Key, Keys, MadeKey, NDJSON, Ready, Retried,
    RotateKey, Route, Settings, SignIn, SignedOut, Start, StoredFile, Submission, TenantLimits, Timeline, UsageDays,
    UsageQuery, Whoami, Workers,
    openai::{
        Batch, BatchPage, CompleteUpload, CreateBatch, CreateUpload, DeletedFile, File, FilePage, FileQuery, Model,
        ModelList, PageQuery, Purpose, Upload, UploadPart,
    },
};
use domain::{JobId, Tenant, key::KeyId, key::Role, quota::Limits};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        Content, ObjectBuilder, Ref, RefOr, Schema, SchemaFormat, Type,
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
    let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
    ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into()
}

fn object() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Object).into()
}

fn part_form() -> RefOr<Schema> {
    ObjectBuilder::new().property("data", file()).required("data").into()
}

fn purpose() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(Purpose::GIVEN.map(Purpose::as_str)))
}

fn openai_form() -> RefOr<Schema> {
    let form = ObjectBuilder::new().property("file", file()).required("file").property("purpose", purpose());
    form.required("purpose").additional_properties(Some(text())).into()
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
            Self::Timeline => "Where a job's time went, the attempts that mattered, and why it is or was late",
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
            Self::Live => "A page of the list of jobs, and the workers, as they change",
            Self::Workers => "Who works, as they told of themselves lately",
            Self::Drain => "Let a worker finish what it has, and take nothing more",
            Self::Quarantine => "Have a worker hand back what it has, and take nothing more",
            Self::Trust => "Let a worker take work again, and believe it",
            Self::Alive => "Who can answer is alive",
            Self::Ready => "Whether all that the door stands on is there, and where NATS is",
            Self::Metrics => "For Prometheus",
            Self::OpenApi => "This document",
            Self::Files => "OpenAI's list of files: uploads, and what jobs made",
            Self::CreateFile => "Upload a file as OpenAI's clients do: a form with `file` and `purpose`, in any order",
            Self::File => "A file",
            Self::DeleteFile => "A file is not there any more; jobs that were made of it go on",
            Self::FileContent => "A file's bytes; of a job that runs, what is done so far",
            Self::Batches => "Jobs as OpenAI's batches, newest first",
            Self::CreateBatch => "A job of a file that was uploaded, or of `requests`",
            Self::Batch => "A job as OpenAI's batch",
            Self::CancelBatch => "End a job; what is answered is kept",
            Self::Models => "The models that pools serve",
            Self::Model => "A model, if a pool serves it",
            Self::Chat => "One request, answered when it is done",
            Self::Completions => "One request, answered when it is done",
            Self::Embeddings => "One request, answered when it is done",
            Self::CreateUpload => "Begin a file that comes in parts",
            Self::AddPart => "A part, as the field `data` of a form",
            Self::CompleteUpload => "Join the parts to a file",
            Self::CancelUpload => "Give the upload up",
            Self::Keys => "All keys of all tenants, the newest first",
            Self::CreateKey => "Make a key; its secret is shown this once",
            Self::Key => "A key",
            Self::RevokeKey => "Take a key back, at once and for good",
            Self::RotateKey => "Give a key another secret, which is shown this once",
            Self::Limits => "What tenants may have at the doors",
            Self::TenantLimits => "What a tenant may have, and has",
            Self::SetLimits => {
                "Set what a tenant may have, at every door at once; what is left out is as heads are configured"
            }
            Self::Usage => "What was used, day by day: jobs, requests, tokens, bytes, each counted once",
            Self::Audit => "Who did what, when, from where and to which job, the oldest first",
            Self::Whoami => "What the caller may do",
            Self::SignIn => "Have a browser keep a key, in a cookie that no script sees",
            Self::SignOut => "Have a browser keep no key any more",
        }
    }

    pub(crate) fn query(self) -> Vec<Parameter> {
        match self {
            Self::Jobs | Self::Live => JobQuery::into_params(|| Some(ParameterIn::Query)),
            Self::DeadList => DeadQuery::into_params(|| Some(ParameterIn::Query)),
            Self::Submit => Settings::into_params(|| Some(ParameterIn::Query)),
            Self::Files => FileQuery::into_params(|| Some(ParameterIn::Query)),
            Self::Usage => UsageQuery::into_params(|| Some(ParameterIn::Query)),
            Self::Audit => AuditQuery::into_params(|| Some(ParameterIn::Query)),
            Self::Batches => PageQuery::into_params(|| Some(ParameterIn::Query)),
            _ => Vec::new(),
        }
    }

    pub(crate) const fn takes_key(self) -> bool {
        matches!(self, Self::Submit | Self::Start | Self::CreateBatch)
    }

    /// The bodies it takes; one of them.
    pub(crate) fn takes(self) -> Vec<Media> {
        match self {
            Self::Submit => vec![(JSON, of::<Submission>()), (NDJSON, file()), ("*/*", file()), (FORM, form())],
            Self::Start => vec![(JSON, of::<Start>())],
            Self::Deadline | Self::Priority => vec![(JSON, of::<Change>())],
            Self::Keep => vec![("*/*", file()), (FORM, form())],
            Self::CreateFile => vec![(FORM, openai_form())],
            Self::CreateBatch => vec![(JSON, of::<CreateBatch>())],
            Self::CreateUpload => vec![(JSON, of::<CreateUpload>())],
            Self::AddPart => vec![(FORM, part_form())],
            Self::CompleteUpload => vec![(JSON, of::<CompleteUpload>())],
            Self::Chat | Self::Completions | Self::Embeddings => vec![(JSON, object())],
            Self::CreateKey => vec![(JSON, of::<CreateKey>())],
            Self::RotateKey => vec![(JSON, of::<RotateKey>())],
            Self::SetLimits => vec![(JSON, of::<Limits>())],
            Self::SignIn => vec![(JSON, of::<SignIn>())],
            _ => Vec::new(),
        }
    }

    pub(crate) fn gives(self) -> Vec<Given> {
        let given = |status, what, media| Given { status, what, media: Some(media) };
        let json = |status, what, schema| vec![given(status, what, (JSON, schema))];
        let accepted = || given(202, "It is taken, and will be done", (JSON, of::<Accepted>()));
        let lines = |what| {
            let part = given(206, "The part that `Range` asks for, of a job that has ended", (NDJSON, file()));
            let known = Given { status: 304, what: "The client has it, as `If-None-Match` says", media: None };
            vec![given(200, what, (NDJSON, file())), part, known]
        };
        match self {
            Self::About => json(200, "Where everything is", of::<About>()),
            Self::Jobs => json(200, "A page", of::<JobPage>()),
            Self::Submit | Self::Start => {
                vec![
                    given(
                        200,
                        "It was taken before, under this key or id; of `dry_run`, a `Quote`",
                        (JSON, of::<Accepted>()),
                    ),
                    accepted(),
                ]
            }
            Self::Job => json(200, "The job", of::<Job>()),
            Self::Results => lines("Output lines of the OpenAI form; `Jetbatch-State` tells whether more will come"),
            Self::Errors => lines("Error lines of the OpenAI form; `Jetbatch-State` tells whether more will come"),
            Self::Events => {
                vec![given(200, "Events `status`, each with the job as it stands", (SERVER_SENT, of::<Job>()))]
            }
            Self::Timeline => json(200, "The job's time by now", of::<Timeline>()),
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
            Self::Live => {
                let what = "Events `jobs`, each with what changed on the page, and `workers`, each with all of them";
                vec![given(200, what, (SERVER_SENT, of::<JobRows>()))]
            }
            Self::Workers => json(200, "All of them", of::<Workers>()),
            Self::Drain | Self::Quarantine | Self::Trust => {
                json(200, "The workers of the name, as they are then", of::<Workers>())
            }
            Self::Alive => vec![given(200, "`ok`", (TEXT, text()))],
            Self::Ready => {
                let not = given(503, "Something is missing", (JSON, of::<Ready>()));
                vec![given(200, "All is there", (JSON, of::<Ready>())), not]
            }
            Self::Metrics => vec![given(200, "All metrics", (METRICS, text()))],
            Self::OpenApi => json(200, "OpenAPI 3.1", object()),
            Self::Files => json(200, "A page", of::<FilePage>()),
            Self::CreateFile => json(200, "It is kept", of::<File>()),
            Self::File => json(200, "The file", of::<File>()),
            Self::DeleteFile => json(200, "It is gone", of::<DeletedFile>()),
            Self::FileContent => lines("The bytes; `X-Incomplete: true` where more will come"),
            Self::Batches => json(200, "A page", of::<BatchPage>()),
            Self::CreateBatch | Self::Batch | Self::CancelBatch => json(200, "The batch", of::<Batch>()),
            Self::Models => json(200, "All of them", of::<ModelList>()),
            Self::Model => json(200, "The model", of::<Model>()),
            Self::Chat | Self::Completions => vec![
                given(200, "The engine's answer; with `stream`, as one chunk and `[DONE]`", (JSON, object())),
                given(200, "The engine's answer; with `stream`, as one chunk and `[DONE]`", (SERVER_SENT, text())),
            ],
            Self::Embeddings => json(200, "The engine's answer", object()),
            Self::CreateUpload | Self::CompleteUpload | Self::CancelUpload => json(200, "The upload", of::<Upload>()),
            Self::AddPart => json(200, "It is kept", of::<UploadPart>()),
            Self::Keys => json(200, "All of them", of::<Keys>()),
            Self::CreateKey => json(201, "The key, and its secret", of::<MadeKey>()),
            Self::RotateKey => json(200, "The key, and its new secret", of::<MadeKey>()),
            Self::Key | Self::RevokeKey => json(200, "The key", of::<Key>()),
            Self::Usage => json(200, "What was used", of::<UsageDays>()),
            Self::Audit => json(200, "A page", of::<AuditPage>()),
            Self::Limits => json(200, "All that are set", of::<AllLimits>()),
            Self::TenantLimits | Self::SetLimits => json(200, "The tenant's limits", of::<TenantLimits>()),
            Self::Whoami | Self::SignIn => json(200, "What the caller may do", of::<Whoami>()),
            Self::SignOut => json(200, "The cookie is gone", of::<SignedOut>()),
        }
    }

    /// Every reason for which it may say no.
    pub fn refuses(self) -> Vec<ErrorCode> {
        let access: &[ErrorCode] = match self.access() {
            Access::Open => &[],
            // The keys may not be known yet.
            Access::Key => &[ErrorCode::InvalidApiKey, ErrorCode::RateLimitExceeded, ErrorCode::Unavailable],
            Access::Role(Role::Admin) => &[ErrorCode::InvalidApiKey, ErrorCode::MissingRole, ErrorCode::Unavailable],
            Access::Role(_) => &[
                ErrorCode::InvalidApiKey,
                ErrorCode::MissingRole,
                ErrorCode::RateLimitExceeded,
                ErrorCode::Unavailable,
            ],
        };
        let own = self.own_refusals();
        let mut all: Vec<_> = own.iter().chain(access.iter().filter(|code| !own.contains(code))).copied().collect();
        all.sort_unstable();
        all
    }

    /// Those that are no matter of keys.
    fn own_refusals(self) -> &'static [ErrorCode] {
        use ErrorCode as E;
        const JOB: &[ErrorCode] = &[E::InvalidRequest, E::Misdirected, E::JobNotFound, E::Unavailable];
        const LINES: &[ErrorCode] = &[
            E::InvalidRequest,
            E::Misdirected,
            E::JobNotFound,
            E::PreconditionFailed,
            E::Range,
            E::Busy,
            E::Unavailable,
        ];
        const ORDER: &[ErrorCode] = &[
            E::InvalidRequest,
            E::ForeignOrigin,
            E::Misdirected,
            E::JobNotFound,
            E::Conflict,
            E::TooLarge,
            E::Unavailable,
        ];
        const CHANGE: &[ErrorCode] = &[
            E::InvalidRequest,
            E::InvalidJson,
            E::IncompleteBody,
            E::ForeignOrigin,
            E::Misdirected,
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
            E::Misdirected,
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
            E::Misdirected,
            E::Timeout,
            E::TooLarge,
            E::UnsupportedMediaType,
            E::Busy,
            E::Unavailable,
            E::StorageFull,
        ];
        const CREATE: &[ErrorCode] = &[
            E::InvalidRequest,
            E::InvalidJson,
            E::IncompleteBody,
            E::ForeignOrigin,
            E::Misdirected,
            E::FileNotFound,
            E::Timeout,
            E::Conflict,
            E::TooLarge,
            E::UnsupportedMediaType,
            E::Busy,
            E::Unavailable,
            E::StorageFull,
        ];
        const ASK: &[ErrorCode] = &[
            E::InvalidRequest,
            E::InvalidJson,
            E::IncompleteBody,
            E::ForeignOrigin,
            E::Misdirected,
            E::ModelNotFound,
            E::Timeout,
            E::TooLarge,
            E::UnsupportedMediaType,
            E::Busy,
            E::Unavailable,
            E::AnswerPending,
            E::StorageFull,
        ];
        const UPLOAD: &[ErrorCode] = &[
            E::InvalidRequest,
            E::InvalidJson,
            E::IncompleteBody,
            E::ForeignOrigin,
            E::Misdirected,
            E::Timeout,
            E::TooLarge,
            E::UnsupportedMediaType,
            E::Busy,
            E::Unavailable,
        ];
        const PART: &[ErrorCode] = &[
            E::InvalidRequest,
            E::InvalidJson,
            E::IncompleteBody,
            E::ForeignOrigin,
            E::Misdirected,
            E::UploadNotFound,
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
            E::Misdirected,
            E::DeadNotFound,
            E::Conflict,
            E::TooLarge,
            E::Busy,
            E::Unavailable,
            E::StorageFull,
        ];
        const ROTATE: &[ErrorCode] = &[
            E::InvalidRequest,
            E::InvalidJson,
            E::IncompleteBody,
            E::ForeignOrigin,
            E::Misdirected,
            E::KeyNotFound,
            E::Timeout,
            E::Conflict,
            E::TooLarge,
            E::UnsupportedMediaType,
            E::Busy,
            E::Unavailable,
        ];
        const SET: &[ErrorCode] = &[
            E::InvalidRequest,
            E::InvalidJson,
            E::IncompleteBody,
            E::ForeignOrigin,
            E::Misdirected,
            E::Timeout,
            E::Conflict,
            E::TooLarge,
            E::UnsupportedMediaType,
            E::Busy,
            E::Unavailable,
        ];
        const SIGN_IN: &[ErrorCode] = &[
            E::InvalidRequest,
            E::InvalidJson,
            E::IncompleteBody,
            E::ForeignOrigin,
            E::Misdirected,
            E::InvalidApiKey,
            E::Timeout,
            E::TooLarge,
            E::UnsupportedMediaType,
            E::Busy,
            E::Unavailable,
        ];
        match self {
            Self::Jobs => &[E::InvalidRequest, E::Misdirected, E::Unavailable],
            Self::Live => &[E::InvalidRequest, E::Misdirected, E::Busy, E::Unavailable],
            Self::Submit | Self::Start => SUBMIT,
            Self::Job | Self::Timeline => JOB,
            Self::Events => &[E::InvalidRequest, E::Misdirected, E::JobNotFound, E::Busy, E::Unavailable],
            Self::Results | Self::Errors => LINES,
            Self::Delete | Self::Cancel | Self::Pause | Self::Resume | Self::Retry => ORDER,
            Self::Deadline | Self::Priority => CHANGE,
            Self::Keep => KEEP,
            Self::DeadList => &[E::InvalidRequest, E::Misdirected, E::Busy, E::Unavailable],
            Self::Dead => &[E::InvalidRequest, E::Misdirected, E::DeadNotFound, E::Busy, E::Unavailable],
            Self::DropDead => &[E::InvalidRequest, E::ForeignOrigin, E::Misdirected, E::DeadNotFound, E::Unavailable],
            Self::Replay => REPLAY,
            Self::Drain | Self::Quarantine | Self::Trust => {
                &[E::InvalidRequest, E::ForeignOrigin, E::Misdirected, E::WorkerNotFound, E::Unavailable]
            }
            Self::About | Self::Workers | Self::Alive | Self::Ready | Self::Metrics | Self::OpenApi | Self::Models => {
                &[E::Misdirected]
            }
            Self::Model => &[E::Misdirected, E::ModelNotFound],
            Self::Files => &[E::InvalidRequest, E::Misdirected, E::Unavailable],
            Self::CreateFile => KEEP,
            Self::File => &[E::Misdirected, E::FileNotFound, E::Unavailable],
            Self::DeleteFile => &[E::ForeignOrigin, E::Misdirected, E::FileNotFound, E::Unavailable],
            Self::FileContent => {
                &[E::Misdirected, E::FileNotFound, E::PreconditionFailed, E::Range, E::Busy, E::Unavailable]
            }
            Self::Batches => &[E::InvalidRequest, E::Misdirected, E::Unavailable],
            Self::CreateUpload => UPLOAD,
            Self::AddPart | Self::CompleteUpload => PART,
            Self::CancelUpload => {
                &[E::InvalidRequest, E::ForeignOrigin, E::Misdirected, E::UploadNotFound, E::Unavailable]
            }
            Self::CreateBatch => CREATE,
            Self::Batch => &[E::Misdirected, E::BatchNotFound, E::Unavailable],
            Self::CancelBatch => &[E::ForeignOrigin, E::Misdirected, E::BatchNotFound, E::Conflict, E::Unavailable],
            Self::Chat | Self::Completions | Self::Embeddings => ASK,
            Self::Keys | Self::Limits | Self::Whoami => &[E::Misdirected, E::Unavailable],
            Self::Key => &[E::InvalidRequest, E::Misdirected, E::KeyNotFound, E::Unavailable],
            Self::RevokeKey => {
                &[E::InvalidRequest, E::ForeignOrigin, E::Misdirected, E::KeyNotFound, E::Conflict, E::Unavailable]
            }
            Self::Usage | Self::TenantLimits | Self::Audit => &[E::InvalidRequest, E::Misdirected, E::Unavailable],
            Self::SetLimits => SET,
            Self::CreateKey => UPLOAD,
            Self::RotateKey => ROTATE,
            Self::SignIn => SIGN_IN,
            Self::SignOut => &[E::InvalidRequest, E::ForeignOrigin, E::Misdirected],
        }
    }

    /// The id in its path: a job's, an entry's number, or a worker's or a tenant's name.
    pub(crate) fn id(self) -> RefOr<Schema> {
        match self {
            Self::Dead | Self::DropDead | Self::Replay => ObjectBuilder::new()
                .schema_type(Type::Integer)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
                .minimum(Some(1))
                .into(),
            Self::Drain | Self::Quarantine | Self::Trust | Self::Model => text(),
            Self::File | Self::DeleteFile | Self::FileContent | Self::Batch | Self::CancelBatch => text(),
            Self::AddPart | Self::CompleteUpload | Self::CancelUpload => text(),
            Self::Key | Self::RevokeKey | Self::RotateKey => KeyId::schema(),
            Self::TenantLimits | Self::SetLimits => Tenant::schema(),
            _ => of::<JobId>(),
        }
    }
}

pub fn content((media, schema): Media) -> (&'static str, Content) {
    (media, Content::new(Some(schema)))
}
