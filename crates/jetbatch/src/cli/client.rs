//! The HTTP doors of a running jetbatch, from the other side.
use super::{
    error::{Error, chain},
    job::Job,
};
use bytes::Bytes;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two bytes of an answer, not over all of it: files are streamed.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
}

/// The 202 of a submission.
#[derive(Debug, Deserialize)]
pub struct Accepted {
    pub id: String,
}

/// An answer as the server wrote it, which is how `--json` shows it.
pub type Raw = Box<RawValue>;

#[derive(Deserialize)]
struct Refusal {
    error: Reason,
}

#[derive(Deserialize)]
struct Reason {
    message: String,
}

impl Client {
    pub fn new(url: &str) -> Result<Self, Error> {
        let bad = |why: String| {
            Error::Usage(format!("--url '{url}' is no address ({why}); use one like http://127.0.0.1:8800"))
        };
        let base = Url::parse(url).map_err(|e| bad(e.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(bad("it must begin with http:// or https://".to_owned()));
        }
        let http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT);
        Ok(Self { http: http.build().map_err(Error::failed)?, base })
    }

    /// A request to a path of the server.
    pub fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        self.http.request(method, url)
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

    /// What an answer says.
    pub fn read<T: DeserializeOwned>(&self, answer: &RawValue) -> Result<T, Error> {
        serde_json::from_str(answer.get()).map_err(|e| self.strange(e.to_string()))
    }

    pub async fn status(&self, id: &str) -> Result<Raw, Error> {
        self.json(self.request(Method::GET, &["jobs", id])).await
    }

    pub async fn job(&self, id: &str) -> Result<Job, Error> {
        self.read(&self.status(id).await?)
    }

    /// `results` or `errors` of a job: what is archived so far.
    pub async fn file(&self, id: &str, which: &str) -> Result<Response, Error> {
        self.send(self.request(Method::GET, &["jobs", id, which])).await
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
        let message = match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => refusal.error.message,
            Err(_) => format!("the server answered {status}"),
        };
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
        Error::Unreachable { url: self.base.to_string(), why: chain(root) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped_and_added_to_the_base() {
        let client = Client::new("http://host:1/prefix/").unwrap();
        let request = client.request(Method::GET, &["jobs", "a/b"]).build().unwrap();
        assert_eq!(request.url().as_str(), "http://host:1/prefix/jobs/a%2Fb");
    }

    #[test]
    fn what_is_no_address_is_a_mistake_of_usage() {
        for bad in ["", "localhost:8800", "ftp://x", "nats://x:1"] {
            let error = Client::new(bad).err().unwrap();
            assert_eq!(error.number(), 2, "{bad}: {error}");
        }
    }
}
