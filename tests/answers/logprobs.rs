//! Log probabilities as they are read: real bytes, no end, the likeliest first.
use super::{folder, held};
use crate::support::{Need, Plan, is_echo, lines, skip};
use serde_json::Value;

#[tokio::test]
async fn a_tokens_bytes_are_its_own() {
    if is_echo() {
        return skip(Need::Model, "log probabilities", "the echo engine stands in for the bundled model");
    }
    let stand = Plan::tiny().start().await;
    let file = std::fs::read_to_string(folder().join("cases/53_logprobs.jsonl")).unwrap();
    let good: String = file.lines().take(2).map(|line| format!("{line}\n")).collect();
    let ids: Vec<String> = lines(&good).iter().map(|line| line["custom_id"].as_str().unwrap().to_owned()).collect();
    let outcome = held::run(&stand, good.into_bytes()).await;
    for (id, tops) in ids.iter().zip([20, 0]) {
        let body = &outcome.lines[id]["response"]["body"];
        let tokens = body["choices"][0]["logprobs"]["content"].as_array().unwrap();
        let bytes: Vec<u8> = tokens.iter().flat_map(bytes).collect();
        assert_eq!(String::from_utf8(bytes).unwrap(), held::texts(body)[0], "the bytes are the text's");
        assert!(tokens.len() > 1, "a character of two tokens");
        for token in tokens {
            let all = token["top_logprobs"].as_array().unwrap();
            let logprobs: Vec<f64> = all.iter().map(|top| top["logprob"].as_f64().unwrap()).collect();
            assert_eq!(all.len(), tops);
            assert!(logprobs.is_sorted_by(|a, b| a >= b) && logprobs.iter().all(|p| (-100.0..=0.0).contains(p)));
            assert!(logprobs.iter().map(|p| p.exp()).sum::<f64>() <= 1.0 + 1e-9);
        }
    }
}

fn bytes(token: &Value) -> Vec<u8> {
    token["bytes"].as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8).collect()
}
