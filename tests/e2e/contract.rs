//! The door against its own document: whatever Schemathesis makes of `/openapi.json`, no answer may be one that the document
//! does not have, and none may be the server's fault.
use crate::{
    support::{LONG, Need, Plan, root, skip},
    tenants::{AUTH, keys},
};
use testkit::process::Start;

#[tokio::test]
async fn the_door_answers_as_its_document_says() {
    let Some(python) = std::env::var_os("JETBATCH_TEST_SCHEMATHESIS") else {
        let why = "JETBATCH_TEST_SCHEMATHESIS names no Python with Schemathesis; sh tests/tools/build.sh schemathesis makes one";
        return skip(Need::Schemathesis, "the_door_answers_as_its_document_says", why);
    };
    let stand = Plan::echo("", 8).secret(AUTH.0, AUTH.1).start().await;
    let key = keys(&stand, &["create", "ann", "--role", "admin"], 0).await.stdout().trim().to_owned();
    let dir = tempfile::TempDir::with_prefix("jetbatch-contract-").unwrap();
    let run = Start::new(python)
        .dir(dir.path())
        .args(["-m", "schemathesis.cli", "--no-color", "--config-file"])
        .arg(root().join("tests/tools/schemathesis/schemathesis.toml"))
        .args(["run", "--max-examples", "3"])
        .arg(format!("{}/openapi.json", stand.http.base))
        .env("JETBATCH_URL", &stand.http.base)
        .env("JETBATCH_KEY", &key);
    let mut run = run.spawn();
    assert!(run.exit(2 * LONG).await.success(), "{}", run.story());
}
