//! The OpenAPI document, made of the types and the routes.
use crate::{
    About, Accepted, Access, AllLimits, AuditPage, Change, CreateKey, DeadDropped, DeadPage, DeadWhole, Done,
    ErrorBody, ErrorCode, IDEMPOTENCY_KEY, JSON, Job, JobPage, JobRows, Key, Keys, MadeKey, Method, Quote, Ready,
    Retried, RotateKey, Route, SignIn, SignedOut, Start, StoredFile, Submission, TenantLimits, Timeline, UsageDays,
    Used, UsedAmounts, UsedDay, Whoami, Workers, openai,
    operation::{Given, content},
};
use domain::{
    JobId, Pool, Tenant,
    audit::{By, What},
    event::{FaultClass, Priority},
    key::{KeyId, Role, Roles, Standing},
    quota::Limits,
    status::State,
    usage::Day,
};
use std::collections::BTreeMap;
use utoipa::{
    OpenApi, ToSchema,
    openapi::{
        self, HttpMethod, Info, ObjectBuilder, PathItem, Paths, Ref, Required, Response, ResponseBuilder, Type,
        path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::{RequestBody, RequestBodyBuilder},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

#[derive(OpenApi)]
#[openapi(components(schemas(
    About,
    Accepted,
    Change,
    DeadDropped,
    DeadPage,
    DeadWhole,
    Job,
    JobPage,
    JobRows,
    Quote,
    Ready,
    ErrorBody,
    Retried,
    Start,
    StoredFile,
    Submission,
    Timeline,
    Workers,
    CreateKey,
    Key,
    Keys,
    MadeKey,
    RotateKey,
    SignIn,
    SignedOut,
    Whoami,
    AllLimits,
    AuditPage,
    Done,
    By,
    What,
    TenantLimits,
    Used,
    UsageDays,
    UsedAmounts,
    UsedDay,
    JobId,
    KeyId,
    Pool,
    Role,
    Roles,
    Standing,
    Tenant,
    Day,
    FaultClass,
    Limits,
    Priority,
    State,
    openai::Batch,
    openai::BatchPage,
    openai::CreateBatch,
    openai::DeletedFile,
    openai::File,
    openai::FilePage,
    openai::Model,
    openai::ModelList,
    openai::CreateUpload,
    openai::CompleteUpload,
    openai::Upload,
    openai::UploadPart,
)))]
struct Schemas;

/// OpenAPI 3.1, of this version of the door.
pub fn document() -> openapi::OpenApi {
    let mut document = Schemas::openapi();
    document.info = Info::new("jetbatch", env!("CARGO_PKG_VERSION"));
    document.info.description = Some("Batch inference: a file of prompts and a deadline, each answered once.".into());
    document.paths = paths();
    document.components.get_or_insert_default().add_security_scheme(BEARER, bearer());
    document
}

const BEARER: &str = "key";

fn bearer() -> SecurityScheme {
    let what = "A key of `jetbatch keys create`. A door on loopback may take requests without one, too";
    SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(what)).build())
}

/// What a caller needs, in words, and what it is asked for by.
fn access(route: Route) -> Option<(String, SecurityRequirement)> {
    let needed = match route.access() {
        Access::Open => return None,
        Access::Key => "Takes any key.".to_owned(),
        Access::Role(role) => format!("Takes a key with the role `{}`.", role.as_str()),
    };
    Some((needed, SecurityRequirement::new(BEARER, Vec::<String>::new())))
}

fn paths() -> Paths {
    let mut paths = Paths::new();
    for route in Route::ALL.iter().copied() {
        let item = PathItem::new(route.method().into(), route.operation());
        match paths.paths.get_mut(route.path()) {
            Some(known) => known.merge_operations(item),
            None => drop(paths.paths.insert(route.path().to_owned(), item)),
        }
    }
    paths
}

impl From<Method> for HttpMethod {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::Get,
            Method::Post => Self::Post,
            Method::Put => Self::Put,
            Method::Delete => Self::Delete,
        }
    }
}

impl Route {
    fn operation(self) -> Operation {
        let id = self.has_id().then(|| path_id(self));
        let key = self.takes_key().then(idempotency_key);
        let parameters: Vec<Parameter> = id.into_iter().chain(self.query()).chain(key).collect();
        let mut operation = OperationBuilder::new()
            .operation_id(Some(format!("{self:?}")))
            .summary(Some(self.summary()))
            .parameters((!parameters.is_empty()).then_some(parameters))
            .request_body(body(self));
        if let Some((needed, security)) = access(self) {
            operation = operation.description(Some(needed)).security(security);
        }
        for given in self.gives() {
            operation = operation.response(given.status.to_string(), answer(given));
        }
        for (status, codes) in refusals(self) {
            operation = operation.response(status.to_string(), refusal(&codes));
        }
        operation.build()
    }
}

fn path_id(route: Route) -> Parameter {
    let id = ParameterBuilder::new().name("id").parameter_in(ParameterIn::Path).required(Required::True);
    id.schema(Some(route.id())).build()
}

fn idempotency_key() -> Parameter {
    let what = "Names the job for ever: the same key and body again is the same job, another body a conflict";
    let text = ObjectBuilder::new().schema_type(Type::String).max_length(Some(KEY_CHARS_MAX));
    let key = ParameterBuilder::new().name(IDEMPOTENCY_KEY).parameter_in(ParameterIn::Header);
    key.required(Required::False).description(Some(what)).schema(Some(text)).build()
}

const KEY_CHARS_MAX: usize = domain::limits::KEY_BYTES_MAX;

fn body(route: Route) -> Option<RequestBody> {
    let takes = route.takes();
    if takes.is_empty() {
        return None;
    }
    // Nothing is a file of no bytes.
    let is_required = if route == Route::Keep { Required::False } else { Required::True };
    let body = RequestBodyBuilder::new().required(Some(is_required));
    let body = takes.into_iter().map(content).fold(body, |body, (media, content)| body.content(media, content));
    Some(body.build())
}

fn answer(given: Given) -> Response {
    let answer = ResponseBuilder::new().description(given.what);
    match given.media.map(content) {
        Some((media, content)) => answer.content(media, content).build(),
        None => answer.build(),
    }
}

/// Codes by status.
fn refusals(route: Route) -> BTreeMap<u16, Vec<ErrorCode>> {
    let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for code in route.refuses() {
        by_status.entry(code.status()).or_default().push(code);
    }
    by_status
}

fn refusal(codes: &[ErrorCode]) -> Response {
    let words: Vec<String> = codes.iter().map(|code| format!("`{}`", code.as_str())).collect();
    let schema = Ref::from_schema_name(ErrorBody::name());
    let (media, content) = content((JSON, schema.into()));
    ResponseBuilder::new().description(words.join(", ")).content(media, content).build()
}
