//! The page, in a real browser.
use crate::{
    support::{LONG, Need, Plan, skip},
    tenants::{AUTH, keys},
};
use std::path::PathBuf;
use testkit::process::Start;

#[tokio::test]
async fn a_person_finds_a_way_in_a_browser() {
    let Some(folder) = std::env::var_os("JETBATCH_TEST_PAGE").map(PathBuf::from) else {
        let why = "JETBATCH_TEST_PAGE names no folder with a browser; sh tests/tools/build.sh page makes one";
        return skip(Need::Page, "a_person_finds_a_way_in_a_browser", why);
    };
    // Slow enough that a job of thousands does not end under the hands of a browser on a busy machine.
    let stand = Plan::echo("delay_ms = 400", 8).start().await;
    let check = Start::new("node").arg(folder.join("check.mjs")).arg(folder.join("chromium"));
    let mut check = check.arg(&stand.http.base).spawn();
    assert!(check.exit(LONG).await.success(), "{}", check.story());
}

#[tokio::test]
async fn a_person_signs_in_with_a_key() {
    let Some(folder) = std::env::var_os("JETBATCH_TEST_PAGE").map(PathBuf::from) else {
        let why = "JETBATCH_TEST_PAGE names no folder with a browser; sh tests/tools/build.sh page makes one";
        return skip(Need::Page, "a_person_signs_in_with_a_key", why);
    };
    let stand = Plan::echo("", 8).secret(AUTH.0, AUTH.1).start().await;
    let whole = keys(&stand, &["create", "whole"], 0).await.stdout().trim().to_owned();
    let reader = keys(&stand, &["create", "reader", "--role", "read"], 0).await.stdout().trim().to_owned();
    let admin = keys(&stand, &["create", "admin", "--role", "admin"], 0).await.stdout().trim().to_owned();
    let check = Start::new("node").arg(folder.join("keys.mjs")).arg(folder.join("chromium")).arg(&stand.http.base);
    let mut check = check.env("JETBATCH_TEST_KEYS", format!("{whole},{reader},{admin}")).spawn();
    assert!(check.exit(LONG).await.success(), "{}", check.story());
}
