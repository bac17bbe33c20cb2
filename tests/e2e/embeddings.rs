//! Embeddings by mistral.rs, with a small model of random weights.
use crate::{
    cli::jetbatch,
    embedder::{self, CONTEXT, Ends, HIDDEN},
    support::{Need, Plan, completed, is_echo, lines, skip},
};
use serde_json::{Value, json};

const TEXT: &str = "What is the capital of France?";

fn line(id: &str, url: &str, body: Value) -> String {
    json!({"custom_id": id, "url": url, "body": body}).to_string() + "\n"
}

fn ask(id: &str, body: Value) -> String {
    line(id, "/v1/embeddings", body)
}

#[tokio::test]
async fn embeddings_are_made_by_a_pool_of_their_own() {
    if is_echo() {
        return skip(Need::Model, "embeddings_are_made_by_a_pool_of_their_own", "there is no mistral.rs");
    }
    let folder = tempfile::tempdir().unwrap();
    embedder::write(folder.path(), Ends::Marked);
    let pools = format!(
        "[pools.vectors.engine]\nkind = 'mistralrs'\ntask = 'embeddings'\ndevice = 'cpu'\ncheck = 'on'\nslots = 2\n\
         model = {{ folder = {:?} }}\n[pools.echo.engine]\nkind = 'echo'\n",
        folder.path()
    );
    let stand = Plan::pools(pools).env("JETBATCH__DEFAULT_POOL", "vectors").start().await;
    let asks = [
        ask("one", json!({"model": "vectors", "input": TEXT})),
        ask("many", json!({"input": ["a", TEXT, "b"], "user": "u", "dimensions": 8})),
        ask("base64", json!({"input": TEXT, "encoding_format": "base64"})),
        ask("long", json!({"input": "7".repeat(CONTEXT)})),
        ask("wide", json!({"input": TEXT, "dimensions": HIDDEN + 1})),
        ask("odd", json!({"input": TEXT, "temperature": 0})),
    ];
    let id = stand.http.submit("", asks.concat()).await;
    let status = stand.end(id).await;
    assert_eq!((&status["state"], completed(&status)), (&"completed".into(), 3), "{status}");
    let warning = &status["warnings"][0];
    assert_eq!((&warning["code"], &warning["line"]), (&"unknown_parameter".into(), &6.into()), "{status}");
    let output = lines(&stand.http.text(&format!("/jobs/{id}/results")).await);
    let body = |at: usize| &output[at]["response"]["body"];
    assert_eq!((&body(0)["object"], &body(0)["model"]), (&"list".into(), &"vectors".into()));
    assert_eq!(body(0)["data"][0]["embedding"].as_array().map(Vec::len), Some(HIDDEN));
    assert_eq!(body(0)["usage"]["prompt_tokens"], body(2)["usage"]["total_tokens"]);
    let each: Vec<_> =
        body(1)["data"].as_array().unwrap().iter().map(|data| data["embedding"].as_array().unwrap().len()).collect();
    assert_eq!(each, [8; 3]);
    assert_eq!(body(2)["data"][0]["embedding"].as_str().map(str::len), Some((4 * HIDDEN).div_ceil(3) * 4));
    let errors = lines(&stand.http.text(&format!("/jobs/{id}/errors")).await);
    let told = |at: usize| {
        let error = &errors[at]["response"]["body"]["error"];
        (&errors[at]["response"]["status_code"], error["param"].as_str().unwrap(), error["code"].as_str().unwrap())
    };
    assert_eq!(told(0), (&400.into(), "input", "context_length_exceeded"));
    assert_eq!(told(1), (&400.into(), "dimensions", "invalid_value"));
    assert_eq!(told(2), (&400.into(), "temperature", "unknown_parameter"));

    let bad = [
        line("chat", "/v1/chat/completions", json!({"messages": [{"role": "user", "content": "Hi"}]})),
        line("text", "/v1/completions", json!({"prompt": "Hi"})),
        ask("echo", json!({"model": "echo", "input": "Hi"})),
        ask("number", json!({"input": 7})),
    ];
    let id = stand.http.submit("", bad.concat()).await;
    let status = stand.end(id).await;
    let told =
        |at: usize| (status["errors"][at]["code"].as_str().unwrap(), status["errors"][at]["message"].as_str().unwrap());
    assert_eq!(status["errors"].as_array().map(Vec::len), Some(4), "{status}");
    for at in [0, 1] {
        assert!(
            matches!(told(at), ("url_mismatch", why) if why.contains("pool 'vectors' makes embeddings")),
            "{status}"
        );
    }
    assert!(matches!(told(2), ("url_mismatch", why) if why.contains("does not serve /v1/embeddings")), "{status}");
    assert_eq!(told(3).0, "invalid_type");

    let config = stand.config();
    let doctor = jetbatch(&["doctor", "--engine", "--config", config.to_str().unwrap()], 0).await;
    assert!(doctor.stdout().contains("by mistralrs on cpu, 2 slots: "), "{}", doctor.story());
    assert!(doctor.stdout().contains("sequences are kept apart"), "{}", doctor.story());
}
