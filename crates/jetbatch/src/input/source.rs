//! Where an input comes from, and whether it may.
use super::table::{Object, Table};
use crate::{
    config,
    mapped::Mapped,
    paths::{self, UploadRef},
    shared::Shared,
};
use api::openai::FileId;
use bytes::Bytes;
use domain::{
    JobId, Tenant,
    event::{Code, Input, LineError},
    limits::TABLE_FILES_MAX,
    raw::RawRequest,
    submission::Submission,
    table::{Given, Map},
};
use futures::{StreamExt, stream::BoxStream};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use store::{Below, External, ExternalError, Store, StoreError};
use url::Url;

/// An input as a stream of blocks, and the path where it lies or is to be copied.
pub struct Source {
    pub blocks: BoxStream<'static, Result<Bytes, StoreError>>,
    pub path: String,
    /// It lies elsewhere and is copied while it is read.
    pub copy: bool,
    /// The path is in the job's own folder, which nobody else reads.
    pub is_own: bool,
    /// The lines were made of it.
    pub table: Option<Table>,
}

/// What a submission says of its input, beside where it lies.
#[derive(Default)]
pub struct Content {
    /// The input itself.
    pub requests: Option<Vec<RawRequest>>,
    /// What is to be made of it; else it holds request lines.
    pub mapped: Option<Box<Mapped>>,
}

impl Content {
    pub fn of(submission: Submission) -> Result<Self, LineError> {
        let Submission { requests, model, endpoint, input, .. } = submission;
        // Many files are mapped even where it says nothing of how: then they are text, or request lines.
        let none = Map::default();
        let is_many = input.as_ref().is_some_and(|given| many(given.url()).is_some());
        let map = input.as_ref().and_then(Given::map).or_else(|| is_many.then_some(&none));
        let mapped = map.map(|map| Mapped::of(map, model.as_deref(), endpoint.as_deref()).map(Box::new)).transpose()?;
        Ok(Self { requests, mapped })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{}", .0.message)]
    Refused(LineError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

const UPLOAD: &str = "upload://";
const FILE: &str = "file-";
/// As standard input is called: its rows are numbers.
const UNNAMED: &str = "-";

/// What a tenant's `input` means, if it is allowed.
pub fn locate(url: &str, tenant: Tenant, intake: &config::Intake) -> Result<Input, LineError> {
    if url.starts_with(UPLOAD) || url.starts_with(FILE) {
        let Ok(FileId::Upload(id)) = url.parse() else {
            return Err(refused(Code::InputNotFound, "input: an upload is upload://<uuid> or file-<its id>"));
        };
        return Ok(Input::Stored(paths::upload(UploadRef { tenant, id })));
    }
    let parsed = Url::parse(url).map_err(|e| refused(Code::InvalidSubmission, format!("input is not a URL: {e}")))?;
    match (parsed.scheme(), many(url)) {
        ("file", None) => file(&parsed, &intake.file_roots),
        ("file", Some((folder, pattern))) => {
            let folder =
                Url::parse(folder).map_err(|e| refused(Code::InvalidSubmission, format!("input is not a URL: {e}")))?;
            let Input::Url(real) = file(&folder, &intake.file_roots)? else { return Ok(Input::Inline) };
            Ok(Input::Url(format!("{}/{}", real.trim_end_matches('/'), pattern.unwrap_or_default())))
        }
        _ if intake.url_prefixes.iter().any(|prefix| url.starts_with(prefix.as_str())) && !climbs(url) => {
            Ok(Input::Url(url.to_owned()))
        }
        (scheme, _) => Err(refused(
            Code::InputNotAllowed,
            format!("input: no prefix in intake.url_prefixes allows this {scheme}:// URL"),
        )),
    }
}

/// The folder of a URL that means many objects, and the pattern of their paths below it. None: it means one.
fn many(url: &str) -> Option<(&str, Option<&str>)> {
    let start = url.find("://")? + 3;
    let path = start + url[start..].find('/')?;
    if let Some(sign) = url[path..].find(['*', '[']) {
        let folder = url[..path + sign].rfind('/')? + 1;
        return Some((&url[..folder], Some(&url[folder..])));
    }
    url.ends_with('/').then_some((url, None))
}

/// The real path is compared, so that neither `..` nor a link leads out of the allowed folders.
fn file(url: &Url, roots: &[PathBuf]) -> Result<Input, LineError> {
    let path = url.to_file_path().map_err(|()| refused(Code::InvalidSubmission, "input: file:///<absolute path>"))?;
    let not_found = |_| refused(Code::InputNotFound, "input: there is no such file, or it cannot be read");
    let inside = |path: &Path| roots.iter().filter_map(|root| root.canonicalize().ok()).any(|r| path.starts_with(r));
    let denied = || refused(Code::InputNotAllowed, "input: the file is under none of the folders in intake.file_roots");
    if roots.is_empty() {
        return Err(denied());
    }
    let real = path.canonicalize().map_err(not_found)?;
    let real = Some(real).filter(|real| inside(real)).ok_or_else(denied)?;
    let url = Url::from_file_path(&real).map_err(|()| denied())?;
    Ok(Input::Url(url.into()))
}

/// Looks at the URL as it was sent: a parser has taken the dots out of what it gives.
fn climbs(url: &str) -> bool {
    url.split(['/', '\\', '?', '#']).any(|part| part.to_ascii_lowercase().replace("%2e", ".") == "..")
}

pub(super) fn refused(code: Code, message: impl Into<String>) -> LineError {
    LineError { code, line: None, param: Some("input".to_owned()), message: message.into() }
}

impl Source {
    pub async fn open(shared: &Shared, id: JobId, input: &Input, content: Content) -> Result<Self, SourceError> {
        if let Some(mapped) = content.mapped {
            return Self::table(shared, id, input, *mapped).await;
        }
        match input {
            Input::Inline => Ok(Self::inline(id, content.requests.unwrap_or_default())),
            Input::Stored(path) => Self::stored(shared, path.clone()).await,
            Input::Url(url) => {
                let object = external(shared, url).await?;
                let blocks = object.stream().boxed();
                Ok(Self { blocks, path: paths::input(id), copy: true, is_own: true, table: None })
            }
        }
    }

    async fn stored(shared: &Shared, path: String) -> Result<Self, SourceError> {
        let bytes = size(shared, stored(shared, &path).await?)?;
        let blocks = shared.store.stream(path.clone(), 0..bytes).boxed();
        Ok(Self { blocks, path, copy: false, is_own: false, table: None })
    }

    /// Its lines, which are made unless they were before.
    async fn table(shared: &Shared, id: JobId, input: &Input, mapped: Mapped) -> Result<Self, SourceError> {
        let path = paths::input(id);
        let is_made = shared.store.size(&path).await?.is_some();
        let table = match files(shared, input, &mapped).await {
            Ok(files) => Some(Table { files, mapped }),
            // It only could have told where bad rows stand.
            Err(_) if is_made => None,
            Err(error) => return Err(error),
        };
        if let Some(table) = table.as_ref().filter(|_| !is_made) {
            table.render(shared, &path).await?;
        }
        Ok(Self { table, is_own: true, ..Self::stored(shared, path).await? })
    }

    fn inline(id: JobId, requests: Vec<RawRequest>) -> Self {
        let mut lines = String::new();
        for request in requests {
            lines.push_str(request.as_str());
            lines.push('\n');
        }
        let blocks = futures::stream::iter([Ok(Bytes::from(lines))]).boxed();
        Self { blocks, path: paths::input(id), copy: true, is_own: true, table: None }
    }
}

async fn stored(shared: &Shared, path: &str) -> Result<u64, SourceError> {
    let missing = || missing("there is no such upload; it was never stored whole, or was deleted");
    shared.store.size(path).await?.ok_or_else(missing)
}

async fn external(shared: &Shared, url: &str) -> Result<External, SourceError> {
    let object = match store::external(url, &shared.config.store).await {
        Ok(Some(object)) => object,
        Ok(None) => return Err(missing("there is no such object")),
        Err(ExternalError::Away(error)) => return Err(error.into()),
        Err(error) => return Err(missing(&error.to_string())),
    };
    size(shared, object.bytes)?;
    Ok(object)
}

fn missing(why: &str) -> SourceError {
    SourceError::Refused(refused(Code::InputNotFound, format!("input: {why}")))
}

fn size(shared: &Shared, bytes: u64) -> Result<u64, SourceError> {
    let max = shared.config.intake.input_bytes_max;
    if bytes <= max {
        return Ok(bytes);
    }
    let why = format!("the input has {bytes} bytes; at most {max} are taken (intake.input_bytes_max)");
    Err(SourceError::Refused(refused(Code::FileTooLarge, why)))
}

/// The objects of a table, called as they are elsewhere; an upload's rows are but numbered where it has no name.
async fn files(shared: &Shared, input: &Input, mapped: &Mapped) -> Result<Vec<Object>, SourceError> {
    match input {
        Input::Inline => Ok(Vec::new()),
        Input::Stored(path) => {
            let bytes = size(shared, stored(shared, path).await?)?;
            let name = mapped.name.clone().unwrap_or_else(|| UNNAMED.to_owned());
            Ok(vec![Object { name, store: shared.store.clone(), path: path.clone(), bytes }])
        }
        Input::Url(url) => match many(url) {
            Some((folder, pattern)) => below(shared, folder, pattern).await,
            None => {
                let object = external(shared, url).await?;
                let (bytes, (store, path)) = (object.bytes, object.place());
                Ok(vec![Object { name: path.clone(), store, path, bytes }])
            }
        },
    }
}

async fn below(shared: &Shared, url: &str, pattern: Option<&str>) -> Result<Vec<Object>, SourceError> {
    let Below { store, folder, objects } = match store::below(url, &shared.config.store, TABLE_FILES_MAX).await {
        Ok(found) => found,
        Err(ExternalError::Away(error)) => return Err(error.into()),
        Err(error) => return Err(missing(&error.to_string())),
    };
    let mut found = BTreeMap::new();
    for (path, bytes) in objects {
        let name = path.strip_prefix(&folder).unwrap_or(&path).trim_start_matches('/').to_owned();
        found.insert(name, (path, bytes));
    }
    let chosen = tables::files::chosen(found.keys().cloned().collect(), pattern);
    let mut all = Vec::new();
    for (path, bytes) in
        chosen.map_err(|error| missing(&error.to_string()))?.iter().filter_map(|name| found.remove(name))
    {
        if is_inside(&store, &path, &shared.config.intake.file_roots) {
            all.push(Object { name: path.clone(), store: store.clone(), bytes: size(shared, bytes)?, path });
        }
    }
    if all.is_empty() { Err(missing("it holds no file")) } else { Ok(all) }
}

/// A link in an allowed folder may lead out of it.
fn is_inside(store: &Store, path: &str, roots: &[PathBuf]) -> bool {
    let Some(local) = store.local_path(path) else { return true };
    let Ok(real) = local.canonicalize() else { return false };
    roots.iter().filter_map(|root| root.canonicalize().ok()).any(|root| real.starts_with(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(url: &str, roots: &[PathBuf]) -> Result<Input, Code> {
        let intake =
            config::Intake { file_roots: roots.to_vec(), url_prefixes: vec!["s3://in/".into()], ..Default::default() };
        locate(url, Tenant::default(), &intake).map_err(|error| error.code)
    }

    #[test]
    fn a_folder_or_a_pattern_means_many() {
        assert_eq!(many("s3://b/in/"), Some(("s3://b/in/", None)));
        assert_eq!(many("s3://b/"), Some(("s3://b/", None)));
        assert_eq!(many("s3://b/in/dt=*/a.csv"), Some(("s3://b/in/", Some("dt=*/a.csv"))));
        assert_eq!(many("file:///in/a-[01].csv"), Some(("file:///in/", Some("a-[01].csv"))));
        for one in ["s3://b/in/a.csv", "s3://b", "upload://x", "file-x", ""] {
            assert_eq!(many(one), None, "{one}");
        }
    }

    #[test]
    fn only_allowed_places_are_read() {
        let above = tempfile::tempdir().unwrap();
        let inside = tempfile::tempdir_in(above.path()).unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("x"), "").unwrap();
        std::os::unix::fs::symlink(outside.path().join("x"), inside.path().join("link")).unwrap();
        std::fs::write(inside.path().join("ok"), "").unwrap();
        let roots = [inside.path().to_owned()];
        let url = |path: &Path| format!("file://{}", path.display());
        assert!(matches!(code(&url(&inside.path().join("ok")), &roots), Ok(Input::Url(_))));
        assert_eq!(code(&url(&inside.path().join("link")), &roots), Err(Code::InputNotAllowed));
        assert_eq!(code(&url(&inside.path().join("ok/../../x")), &roots), Err(Code::InputNotFound));
        assert_eq!(code(&url(&outside.path().join("x")), &roots), Err(Code::InputNotAllowed));
        assert_eq!(code(&url(&inside.path().join("ok")), &[]), Err(Code::InputNotAllowed));
        let of = |end: &str| format!("{}/{end}", url(inside.path()));
        let Ok(Input::Url(found)) = code(&of("*.csv"), &roots) else { panic!("no pattern") };
        assert!(found.ends_with("/*.csv"), "{found}");
        assert!(matches!(code(&of(""), &roots), Ok(Input::Url(found)) if found.ends_with('/')));
        assert_eq!(code(&url(&outside.path().join("*")), &roots), Err(Code::InputNotAllowed));
        assert_eq!(code("s3://in/*/../out/x", &roots), Err(Code::InputNotAllowed));
        assert_eq!(code("s3://in/../out/x", &roots), Err(Code::InputNotAllowed));
        assert_eq!(code("s3://in/%2E./out/x", &roots), Err(Code::InputNotAllowed));
        assert_eq!(code("s3://other/x", &roots), Err(Code::InputNotAllowed));
        assert!(code("s3://in/x", &roots).is_ok());
        assert_eq!(code("upload://../x", &roots), Err(Code::InputNotFound));
        assert!(matches!(code("upload://018f4e2a-7c1b-7000-8000-0123456789ab", &roots), Ok(Input::Stored(_))));
    }
}
