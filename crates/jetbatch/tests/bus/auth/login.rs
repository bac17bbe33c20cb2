use std::path::Path;

use async_nats::ConnectOptions;
use jetbatch::bus::{Secret, Settings};
use nkeys::KeyPair;
use tempfile::TempDir;
use testkit::nats::Server;

use super::jwt::{Operator, creds};
use super::{SOON, connect, file, pools, refused, serve, settings, store, works};

const PASSWORD: &str = "p@ss:w/rd";

async fn with_password() -> Server {
    let lines = format!("authorization {{ user: ann, password: {PASSWORD:?} }}");
    serve(lines, ConnectOptions::with_user_and_password("ann".to_owned(), PASSWORD.to_owned())).await
}

async fn with_nkey(user: &KeyPair) -> Server {
    let lines = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", user.public_key());
    serve(lines, ConnectOptions::with_nkey(user.seed().unwrap())).await
}

/// A server in operator mode, and the credentials of someone whom it lets in.
async fn with_operator(operator: &Operator) -> (Server, String) {
    let text = credentials_of(&operator.account);
    (serve(operator.lines(), ConnectOptions::with_credentials(&text).unwrap()).await, text)
}

fn credentials_of(account: &KeyPair) -> String {
    let user = KeyPair::new_user();
    creds(account, &user, &user, 0)
}

fn named(server: &Server, user: &str, password: &str) -> Settings {
    let password = Some(Secret::new(password));
    Settings { user: Some(user.to_owned()), password, ..settings(server) }
}

fn nkey(server: &Server, path: &Path) -> Settings {
    Settings { nkey_file: Some(path.to_owned()), ..settings(server) }
}

fn credentials(server: &Server, path: &Path) -> Settings {
    Settings { credentials_file: Some(path.to_owned()), ..settings(server) }
}

fn at(server: &Server, login: &str) -> Settings {
    settings(server).with_url(&server.url().replace("://", &format!("://{login}@")))
}

#[tokio::test]
async fn user_and_password() {
    let mut server = with_password().await;
    let bus = works(&named(&server, "ann", PASSWORD)).await;
    let named = at(&server, "ann:p%40ss%3Aw%2Frd");
    works(&named).await;
    let (bare, several) = (server.url().replace("nats://", ""), named.url.clone().unwrap());
    works(&named.with_url(&format!("{bare}, {several}"))).await;
    server.restart().await;
    store(&bus, "2").await;
}

#[tokio::test]
async fn a_wrong_password() {
    let server = with_password().await;
    let (wrong, stranger) = (named(&server, "ann", "hunter2"), named(&server, "bob", "hunter2"));
    for (settings, field) in
        [(wrong, "nats.password"), (stranger, "nats.user"), (at(&server, "ann:hunter2"), "nats.url")]
    {
        let said = refused(&settings, &[field, &server.url()]).await;
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn no_login_where_one_is_asked_for() {
    let server = with_password().await;
    refused(&settings(&server), &["nats.credentials_file", "nats.nkey_file", "nats.user", &server.url()]).await;
}

#[tokio::test]
async fn half_a_login_or_two() {
    let server = with_password().await;
    let whole = named(&server, "ann", PASSWORD);
    refused(&Settings { password: None, ..whole.clone() }, &["nats.user", "nats.password"]).await;
    refused(&Settings { user: None, ..whole.clone() }, &["nats.user", "nats.password"]).await;
    refused(&at(&server, "ann"), &["nats.url", "password"]).await;
    refused(&Settings { nkey_file: Some("x.nk".into()), ..whole }, &["nats.user", "nats.nkey_file"]).await;
}

#[tokio::test]
async fn an_nkey() {
    let (dir, user) = (TempDir::new().unwrap(), KeyPair::new_user());
    let mut server = with_nkey(&user).await;
    let seed = user.seed().unwrap();
    let bus = works(&nkey(&server, &file(&dir, "user.nk", &format!("{seed}\n")))).await;
    let framed = format!("-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n");
    works(&nkey(&server, &file(&dir, "framed.nk", &framed))).await;
    server.restart().await;
    store(&bus, "2").await;
}

#[tokio::test]
async fn a_wrong_nkey() {
    let (dir, user) = (TempDir::new().unwrap(), KeyPair::new_user());
    let server = with_nkey(&user).await;
    let seed = user.seed().unwrap();
    for (name, text) in [
        ("stranger.nk", KeyPair::new_user().seed().unwrap()),
        ("public.nk", user.public_key()),
        ("cut.nk", seed[..40].to_owned()),
        ("empty.nk", String::new()),
    ] {
        let said = refused(&nkey(&server, &file(&dir, name, &text)), &["nats.nkey_file", name]).await;
        assert!(text.is_empty() || !said.contains(&text), "{said}");
    }
    refused(&nkey(&server, &dir.path().join("nowhere.nk")), &["nats.nkey_file", "nowhere.nk"]).await;
}

#[tokio::test]
async fn a_credentials_file() {
    let (dir, operator) = (TempDir::new().unwrap(), Operator::new());
    let (mut server, text) = with_operator(&operator).await;
    let bus = works(&credentials(&server, &file(&dir, "user.creds", &text))).await;
    works(&credentials(&server, &file(&dir, "trimmed.creds", text.trim()))).await;
    server.restart().await;
    store(&bus, "2").await;
}

#[tokio::test]
async fn wrong_credentials() {
    let (dir, operator) = (TempDir::new().unwrap(), Operator::new());
    let (server, text) = with_operator(&operator).await;
    let (user, other) = (KeyPair::new_user(), KeyPair::new_user());
    for (name, text) in [
        ("stranger.creds", creds(&KeyPair::new_account(), &user, &user, 0)),
        ("expired.creds", creds(&operator.account, &user, &user, 2)),
        ("mixed.creds", creds(&operator.account, &user, &other, 0)),
        ("cut.creds", text[..text.len() / 2].to_owned()),
        ("empty.creds", String::new()),
    ] {
        refused(&credentials(&server, &file(&dir, name, &text)), &["nats.credentials_file", name]).await;
    }
    let nowhere = dir.path().join("nowhere.creds");
    refused(&credentials(&server, &nowhere), &["nats.credentials_file", "nowhere.creds"]).await;
}

#[tokio::test]
async fn an_account_without_jetstream() {
    let (dir, operator) = (TempDir::new().unwrap(), Operator::new());
    let (server, _) = with_operator(&operator).await;
    let settings = credentials(&server, &file(&dir, "plain.creds", &credentials_of(&operator.plain)));
    let bus = connect(&settings).await;
    let apply = tokio::time::timeout(SOON, bus.apply_streams(&pools())).await;
    let error = apply.expect("no further try would change it").unwrap_err().to_string();
    assert!(error.contains("JetStream not enabled for account"), "{error}");
}
