use std::path::Path;

use async_nats::ConnectOptions;
use jetbatch::bus::{Settings, Tls};
use testkit::nats::Server;

use super::pki::{Authority, Pair};
use super::{refused, serve, settings, store, works};

const HOST: &str = "127.0.0.1";

/// A server with a certificate for its address, which may ask its clients for one.
async fn start(authority: &Authority, verify: bool) -> Server {
    let Pair { cert, key } = authority.sign(HOST);
    let ca = &authority.ca;
    let lines = format!("tls {{ cert_file: {cert:?}, key_file: {key:?}, ca_file: {ca:?}, verify: {verify} }}");
    let Pair { cert, key } = authority.sign("testkit");
    serve(lines, ConnectOptions::new().add_root_certificates(ca.clone()).add_client_certificate(cert, key)).await
}

fn with(server: &Server, tls: Tls) -> Settings {
    Settings { tls, ..settings(server) }
}

fn trusting(ca: &Path) -> Tls {
    Tls { ca: Some(ca.to_owned()), ..Tls::default() }
}

fn showing(pair: Pair, ca: &Path) -> Tls {
    Tls { cert: Some(pair.cert), key: Some(pair.key), ..trusting(ca) }
}

#[tokio::test]
async fn a_server_of_an_own_authority() {
    let authority = Authority::new();
    let mut server = start(&authority, false).await;
    let settings = with(&server, trusting(&authority.ca));
    let bus = works(&settings).await;
    works(&settings.with_url(&server.url().replace("nats://", "tls://"))).await;
    server.restart().await;
    store(&bus, "2").await;
}

#[tokio::test]
async fn an_authority_that_is_not_trusted() {
    let authority = Authority::new();
    let server = start(&authority, false).await;
    refused(&with(&server, trusting(&Authority::new().ca)), &["nats.tls.ca", &server.url()]).await;
    refused(&settings(&server), &["nats.tls.ca"]).await;
}

#[tokio::test]
async fn a_certificate_for_another_host() {
    let authority = Authority::new();
    let server = start(&authority, false).await;
    let elsewhere = server.url().replace(HOST, "localhost");
    refused(&with(&server, trusting(&authority.ca)).with_url(&elsewhere), &["nats.url", "localhost"]).await;
}

#[tokio::test]
async fn a_client_with_a_certificate() {
    let authority = Authority::new();
    let server = start(&authority, true).await;
    works(&with(&server, showing(authority.sign("jetbatch"), &authority.ca))).await;
    refused(&with(&server, trusting(&authority.ca)), &["nats.tls.cert", "nats.tls.key"]).await;
    let stranger = Authority::new();
    refused(&with(&server, showing(stranger.sign("jetbatch"), &authority.ca)), &["nats.tls.cert", "trusts"]).await;
}

#[tokio::test]
async fn files_that_hold_no_certificate() {
    let authority = Authority::new();
    let server = start(&authority, true).await;
    let (mine, other) = (authority.sign("mine"), authority.sign("other"));
    let empty = authority.write("empty.pem", "");
    let nowhere = authority.ca.with_file_name("nowhere.pem");
    let showing = |cert: &Path, key: &Path| showing(Pair { cert: cert.to_owned(), key: key.to_owned() }, &authority.ca);
    for (tls, field, path) in [
        (trusting(&nowhere), "nats.tls.ca", "nowhere.pem"),
        (trusting(&empty), "nats.tls.ca", "empty.pem"),
        (showing(&nowhere, &mine.key), "nats.tls.cert", "nowhere.pem"),
        (showing(&empty, &mine.key), "nats.tls.cert", "empty.pem"),
        (showing(&mine.cert, &nowhere), "nats.tls.key", "nowhere.pem"),
        (showing(&mine.cert, &empty), "nats.tls.key", "empty.pem"),
        (showing(&mine.cert, &other.key), "nats.tls.key", "nats.tls.cert"),
    ] {
        refused(&with(&server, tls), &[field, path]).await;
    }
}

#[tokio::test]
async fn half_of_a_client_certificate() {
    let server = Server::start().await;
    let pair = Authority::new().sign("jetbatch");
    let (cert, key) = (Some(pair.cert), Some(pair.key));
    refused(&with(&server, Tls { cert, ..Tls::default() }), &["nats.tls.cert", "nats.tls.key"]).await;
    refused(&with(&server, Tls { key, ..Tls::default() }), &["nats.tls.cert", "nats.tls.key"]).await;
}

/// Whoever names an authority wants no server that cannot be told from another.
#[tokio::test]
async fn a_server_without_tls() {
    let server = Server::start().await;
    let required = Tls { required: true, ..Tls::default() };
    refused(&with(&server, required), &["no TLS", "nats.tls.required", &server.url()]).await;
    let authority = Authority::new();
    refused(&with(&server, trusting(&authority.ca)), &["no TLS", "nats.tls.ca"]).await;
    refused(&settings(&server).with_url(&server.url().replace("nats://", "tls://")), &["no TLS", "tls://"]).await;
}
