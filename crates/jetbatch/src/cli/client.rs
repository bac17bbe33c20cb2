//! The HTTP doors of a running jetbatch, from the other side.
use super::error::Error;
use crate::chain::chain;
use api::{ErrorBody, Job, Route};
use bytes::Bytes;
use domain::JobId;
use reqwest::{
    Method, RequestBuilder, Response, StatusCode, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::{fmt::Display, pin::pin, sync::Arc, time::Duration};
use tokio::{sync::Notify, time::sleep};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two bytes of an answer, not over all of it: files are streamed.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two pieces of an upload, and from its last one to the answer. More than the server's own limit, whose words
/// are better.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(90);

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Without a read timeout: reqwest counts it from the beginning of a request, which would bound a whole upload.
    uploads: reqwest::Client,
    base: Url,
}

/// A request that streams its body, and what is told of each piece that is taken.
pub struct Upload {
    pub request: RequestBuilder,
    pub taken: Arc<Notify>,
}

/// An answer as the server wrote it, which is how `--json` shows it.
pub type Raw = Box<RawValue>;

impl Client {
    /// The key is sent with each request.
    pub fn new(url: &str, key: Option<&str>) -> Result<Self, Error> {
        let bad = |why: String| {
            Error::Usage(format!("--url '{url}' is no address ({why}); use one like http://127.0.0.1:8800"))
        };
        let base = Url::parse(url).map_err(|e| bad(e.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(bad("it must begin with http:// or https://".to_owned()));
        }
        let sent = key.map(headers).transpose()?.unwrap_or_default();
        let builder = || reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).default_headers(sent.clone());
        let http = builder().read_timeout(READ_TIMEOUT).build().map_err(Error::failed)?;
        let uploads = builder().build().map_err(Error::failed)?;
        Ok(Self { http, uploads, base })
    }

    /// A request that is about no one job or entry.
    pub fn request(&self, route: Route) -> RequestBuilder {
        self.request_of(route, "")
    }

    /// A request about one job, or one entry.
    pub fn request_of(&self, route: Route, id: impl Display) -> RequestBuilder {
        self.http.request(method(route), self.url(route, &id.to_string()))
    }

    /// A submission whose file is to follow as its body.
    pub fn submission(&self) -> RequestBuilder {
        self.uploads.request(method(Route::Submit), self.url(Route::Submit, ""))
    }

    /// A file that is to follow as a form.
    pub fn file_upload(&self) -> RequestBuilder {
        self.uploads.request(method(Route::CreateFile), self.url(Route::CreateFile, ""))
    }

    fn url(&self, route: Route, id: &str) -> Url {
        let mut url = self.base.clone();
        let path = route.path().split('/').filter(|segment| !segment.is_empty());
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.map(|segment| if segment == "{id}" { id } else { segment }));
        }
        url
    }

    /// The answer, where it is a 2xx.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = request.send().await.map_err(|e| self.lost(&e))?;
        let status = response.status();
        if status.is_success() { Ok(response) } else { Err(self.refusal(status, response).await) }
    }

    pub async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        let body = self.send(request).await?.bytes().await.map_err(|e| self.lost(&e))?;
        serde_json::from_slice(&body).map_err(|e| self.strange(e.to_string()))
    }

    /// The answer to an upload, which may take hours: patience begins anew with each piece.
    pub async fn upload<T: DeserializeOwned>(&self, upload: Upload) -> Result<T, Error> {
        let mut answer = pin!(self.json(upload.request));
        loop {
            tokio::select! {
                answer = &mut answer => return answer,
                () = upload.taken.notified() => {}
                () = sleep(UPLOAD_TIMEOUT) => return Err(self.silent()),
            }
        }
    }

    /// What an answer says.
    pub fn read<T: DeserializeOwned>(&self, answer: &RawValue) -> Result<T, Error> {
        serde_json::from_str(answer.get()).map_err(|e| self.strange(e.to_string()))
    }

    pub async fn status(&self, id: JobId) -> Result<Raw, Error> {
        self.json(self.request_of(Route::Job, id)).await
    }

    pub async fn job(&self, id: JobId) -> Result<Job, Error> {
        self.read(&self.status(id).await?)
    }

    /// [`Route::Results`] or [`Route::Errors`] of a job: what is archived so far. Or [`Route::FileContent`] of a file.
    pub async fn file(&self, id: impl Display, which: Route) -> Result<Response, Error> {
        self.send(self.request_of(which, id)).await
    }

    /// The next piece of a streamed answer.
    pub async fn piece(&self, response: &mut Response) -> Result<Option<Bytes>, Error> {
        response.chunk().await.map_err(|e| self.lost(&e))
    }

    fn strange(&self, why: String) -> Error {
        Error::Strange { url: self.base.to_string(), why }
    }

    async fn refusal(&self, status: StatusCode, response: Response) -> Error {
        let body = response.bytes().await.unwrap_or_default();
        let message = match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(refusal) => refusal.error.message,
            Err(_) => format!("the server answered {status}"),
        };
        if status == StatusCode::UNAUTHORIZED {
            let message = format!("{message} (JETBATCH_API_KEY or --api-key)");
            return Error::Refused { status: status.as_u16(), message };
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return Error::Unavailable(format!("{message} ({status})"));
        }
        if status.is_server_error() {
            return Error::Failed(format!("{message} ({status})"));
        }
        Error::Refused { status: status.as_u16(), message }
    }

    fn lost(&self, error: &reqwest::Error) -> Error {
        let mut root: &dyn std::error::Error = error;
        while let Some(cause) = root.source() {
            root = cause;
        }
        if error.is_builder() {
            return Error::Usage(format!("no request can be made of this: {}", chain(root)));
        }
        Error::Unreachable { url: self.base.to_string(), why: chain(root) }
    }

    fn silent(&self) -> Error {
        let why = format!("nothing was taken or answered for {} s", UPLOAD_TIMEOUT.as_secs());
        Error::Unreachable { url: self.base.to_string(), why }
    }
}

fn headers(key: &str) -> Result<HeaderMap, Error> {
    let value = HeaderValue::try_from(format!("Bearer {key}"));
    let mut value =
        value.map_err(|_| Error::Usage("--api-key is no key: it has characters that none has".to_owned()))?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

fn method(route: Route) -> Method {
    match route.method() {
        api::Method::Get => Method::GET,
        api::Method::Post => Method::POST,
        api::Method::Put => Method::PUT,
        api::Method::Delete => Method::DELETE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped_and_added_to_the_base() {
        let client = Client::new("http://host:1/prefix/", None).unwrap();
        let request = client.request_of(Route::Job, "a/b").build().unwrap();
        assert_eq!(request.url().as_str(), "http://host:1/prefix/jobs/a%2Fb");
    }

    #[test]
    fn what_is_no_address_is_a_mistake_of_usage() {
        for bad in ["", "localhost:8800", "ftp://x", "nats://x:1"] {
            let error = Client::new(bad, None).err().unwrap();
            assert_eq!(error.number(), 2, "{bad}: {error}");
        }
    }
}
