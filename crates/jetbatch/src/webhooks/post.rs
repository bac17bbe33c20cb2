//! One hook to one URL, over HTTP. A name's addresses are looked at before any is connected to, and no other is: what is not
//! on the Internet is not called. Redirects are not followed, and proxies of the environment not asked.
use crate::{clock, sign::Signer};
use domain::webhook::{Rule, Target, Verdict};
use reqwest::{
    Client, Response, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::CONTENT_TYPE,
    redirect::Policy,
};
use std::{error::Error as StdError, net::SocketAddr, time::Duration};
use wire::Hook;

const WITHIN: Duration = Duration::from_secs(10);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Read of an answer, so that its connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Cheap to clone.
#[derive(Clone)]
pub struct Poster {
    client: Client,
    rule: Rule,
}

impl Poster {
    pub fn open(rule: Rule) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .user_agent(concat!("jetbatch/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(WITHIN)
            .dns_resolver(Guarded(rule));
        Ok(Self { client: client.build()?, rule })
    }

    pub async fn post(&self, hook: &Hook, target: &Target, signer: &Signer) -> Verdict {
        if let Err(fault) = self.rule.check(target) {
            return Verdict::Failed(fault.to_string());
        }
        let (id, at_s) = (hook.id.to_string(), clock::now().get() / 1_000);
        let request = self
            .client
            .post(target.as_str())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", at_s)
            .header("webhook-signature", signer.sign(&id, at_s, &hook.body))
            .body(hook.body.clone());
        match request.send().await {
            Ok(response) => judge(response).await,
            Err(error) => Verdict::Failed(why(&error.without_url())),
        }
    }
}

async fn judge(mut response: Response) -> Verdict {
    let status = response.status();
    let mut left = ANSWER_BYTES_MAX;
    while let Ok(Some(piece)) = response.chunk().await {
        match left.checked_sub(piece.len()) {
            Some(less) => left = less,
            None => break,
        }
    }
    match status {
        _ if status.is_success() => Verdict::Taken,
        StatusCode::GONE => Verdict::Gone,
        _ => Verdict::Failed(format!("it was answered with {}", status.as_u16())),
    }
}

/// The innermost cause: the others say that a request failed.
fn why(error: &dyn StdError) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Names as the system knows them, without the addresses that may not be called.
struct Guarded(Rule);

#[derive(Debug, thiserror::Error)]
#[error("its name has no address on the Internet (webhooks.allow_private)")]
struct Private;

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let rule = self.0;
        Box::pin(async move {
            let all = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let taken: Vec<SocketAddr> = all.filter(|address| rule.takes(address.ip())).collect();
            if taken.is_empty() {
                return Err(Private.into());
            }
            Ok(Box::new(taken.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, http::header::LOCATION, response::IntoResponse, routing::post};
    use domain::{
        JobId, Tenant, Timestamp,
        webhook::{HookId, Topic},
    };

    const ANY: Rule = Rule { allow_private: true, allow_http: true };

    async fn sent(rule: Rule, url: &str) -> Verdict {
        let (job, topic) = (JobId::keyed("default", "a"), Topic::Completed);
        let id = HookId::of(job, topic, Timestamp::new(1));
        let hook = Hook { id, topic, job, tenant: Tenant::default(), url: url.to_owned(), body: "{}".to_owned() };
        let signer = Signer::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        Poster::open(rule).unwrap().post(&hook, &Target::read(url).unwrap(), &signer).await
    }

    async fn door() -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let away = || async { (StatusCode::FOUND, [(LOCATION, "/ok")]).into_response() };
        let routes = Router::new()
            .route("/ok", post(|| async { "x".repeat(1 << 20) }))
            .route("/gone", post(|| async { StatusCode::GONE }))
            .route("/away", post(away));
        tokio::spawn(async move { crate_serve(listener, routes).await });
        format!("http://localhost:{port}")
    }

    async fn crate_serve(listener: tokio::net::TcpListener, routes: Router) {
        use hyper_util::{rt::TokioIo, service::TowerToHyperService};
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(routes.clone());
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    }

    #[tokio::test]
    async fn an_answer_is_judged_by_its_status_alone() {
        let door = door().await;
        assert_eq!(sent(ANY, &format!("{door}/ok")).await, Verdict::Taken);
        assert_eq!(sent(ANY, &format!("{door}/gone")).await, Verdict::Gone);
        assert_eq!(sent(ANY, &format!("{door}/away")).await, Verdict::Failed("it was answered with 302".into()));
    }

    /// A name whose addresses are all one's own passes the look at the URL, and not the look at the addresses.
    #[tokio::test]
    async fn a_name_of_ones_own_network_is_not_called() {
        let door = door().await;
        let public = Rule { allow_private: false, allow_http: true };
        let Verdict::Failed(why) = sent(public, &format!("{door}/ok")).await else { panic!("it was called") };
        assert!(why.contains("webhooks.allow_private"), "{why}");
        let resolved = Guarded(public).resolve("localhost".parse().unwrap()).await;
        assert!(resolved.is_err_and(|error| error.to_string().contains("no address on the Internet")));
        assert!(Guarded(ANY).resolve("localhost".parse().unwrap()).await.is_ok());
    }
}
