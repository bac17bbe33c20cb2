//! OpenAI's door, by OpenAI's own client.
use crate::support::{LONG, Need, Plan, root, skip};
use testkit::process::Start;

#[tokio::test]
async fn the_official_client_needs_nothing_but_an_address() {
    let Some(python) = std::env::var_os("JETBATCH_TEST_OPENAI") else {
        let why = "JETBATCH_TEST_OPENAI names no Python with OpenAI's client; sh tests/tools/build.sh openai makes one";
        return skip(Need::Openai, "the_official_client_needs_nothing_but_an_address", why);
    };
    let stand = Plan::tiny().start().await;
    let client = Start::new(python).arg(root().join("tests/tools/openai/client.py")).args([&stand.http.base, "tiny"]);
    let schema = std::env::var_os("JETBATCH_TEST_OPENAI_SCHEMA");
    let mut client = schema.into_iter().fold(client, Start::arg).spawn();
    assert!(client.exit(LONG).await.success(), "{}", client.story());
}
