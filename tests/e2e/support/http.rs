//! The HTTP door, from a client's side.
use api::{Job, NDJSON, Retried, Route};
use domain::JobId;
use reqwest::{
    Client, RequestBuilder,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use serde_json::Value;
use std::time::Duration;

pub struct Http {
    client: Client,
    pub base: String,
}

/// An answer in JSON; null where it is none.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Http {
    pub fn new(base: &str) -> Self {
        Self::with(base, HeaderMap::new())
    }

    /// One who sends a key with each request.
    pub fn keyed(base: &str, key: &str) -> Self {
        let key = HeaderValue::try_from(format!("Bearer {key}")).unwrap();
        Self::with(base, HeaderMap::from_iter([(AUTHORIZATION, key)]))
    }

    /// The same client at another door.
    pub fn at(&self, base: &str) -> Self {
        Self { client: self.client.clone(), base: base.to_owned() }
    }

    fn with(base: &str, headers: HeaderMap) -> Self {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(60)).default_headers(headers);
        Self { client: client.build().unwrap(), base: base.to_owned() }
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base))
    }

    pub fn put(&self, path: &str) -> RequestBuilder {
        self.client.put(format!("{}{path}", self.base))
    }

    pub async fn delete(&self, id: JobId) -> Answer {
        answer(self.client.delete(format!("{}{}", self.base, Route::Delete.of(id)))).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.client.get(format!("{}{path}", self.base))).await
    }

    pub async fn remove(&self, path: &str) -> Answer {
        answer(self.client.delete(format!("{}{path}", self.base))).await
    }

    /// A job's status, if there is one: a [`Job`], and nothing beside it.
    pub async fn find(&self, id: JobId) -> Option<Value> {
        let answer = self.get(&Route::Job.of(id)).await;
        if answer.status != 200 {
            return None;
        }
        let job: Job = serde_json::from_value(answer.body.clone()).unwrap_or_else(|e| panic!("{e}: {}", answer.body));
        assert_eq!(serde_json::to_value(job).unwrap(), answer.body);
        Some(answer.body)
    }

    pub async fn text(&self, path: &str) -> String {
        let response = self.client.get(format!("{}{path}", self.base)).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.text().await.unwrap()
    }

    /// Submits a batch file. `query` is empty or begins with `?`.
    pub async fn submit(&self, query: &str, jsonl: impl Into<reqwest::Body>) -> JobId {
        let answer = answer(self.ndjson(query, jsonl)).await;
        answer.accepted()
    }

    pub fn ndjson(&self, query: &str, jsonl: impl Into<reqwest::Body>) -> RequestBuilder {
        self.post(&format!("{}{query}", Route::Submit.path())).header("Content-Type", NDJSON).body(jsonl)
    }
}

/// An answer; status 0 where the server cannot be reached.
pub async fn answer(request: RequestBuilder) -> Answer {
    let Ok(response) = request.send().await else { return Answer { status: 0, body: Value::Null } };
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap_or_default();
    Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
}

impl Answer {
    /// The id of a job that was taken.
    #[track_caller]
    pub fn accepted(&self) -> JobId {
        assert_eq!(self.status, 202, "{self:?}");
        serde_json::from_value::<Retried>(self.body.clone()).unwrap().id()
    }
}
