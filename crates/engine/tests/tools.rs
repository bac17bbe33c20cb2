//! Calls of functions, and thoughts: the bundled model with a chat template that knows them.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use engine::{Call, Endpoint, Engine, Key, Mistralrs, Source};
use serde_json::{Value, json};

async fn knowing() -> Arc<dyn Engine> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = |name: &str| Some(here.join(name).to_string_lossy().into_owned());
    let model =
        Source { folder: path("../../models/tiny"), chat_template: path("tests/tools.jinja"), ..Source::default() };
    engine::load(&Mistralrs::new(model).into()).await.expect("the bundled model loads")
}

async fn ask(engine: &Arc<dyn Engine>, extra: Value) -> (u16, Value) {
    let mut body = json!({"messages": [{"role": "user", "content": "What is the capital of France?"}],
        "temperature": 0, "max_tokens": 120});
    body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
    let call = Call { endpoint: Endpoint::Chat, body: Bytes::from(body.to_string()), key: Key::seeded(0) };
    let answer = engine.run(call).await.expect("an answer");
    (answer.status, serde_json::from_str(&answer.body).expect("JSON"))
}

fn tools() -> Value {
    let city = json!({"type": "string", "enum": ["Rome", "Paris"]});
    let parameters = json!({"type": "object", "properties": {"city": {"$ref": "#/$defs/city"}}, "required": ["city"],
        "additionalProperties": false, "$defs": {"city": city}});
    json!([{"type": "function", "function": {"name": "weather", "description": "Now", "parameters": parameters}},
        {"type": "function", "function": {"name": "noon"}}])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_can_be_forced() {
    let engine = knowing().await;
    let named = json!({"type": "function", "function": {"name": "weather"}});
    for choice in [json!("required"), named.clone()] {
        let (status, body) = ask(&engine, json!({"tools": tools(), "tool_choice": choice})).await;
        let answer = &body["choices"][0];
        assert_eq!((status, &answer["finish_reason"]), (200, &json!("tool_calls")), "{body}");
        let call = &answer["message"]["tool_calls"][0];
        let arguments = call["function"]["arguments"].as_str().expect("JSON text");
        let arguments: Value = serde_json::from_str(arguments).expect("an object");
        assert!(arguments.is_object() && answer["message"]["content"].is_null(), "{body}");
        assert!(call["id"].as_str().is_some_and(|id| id.starts_with("call_")), "{body}");
        if choice == named {
            assert_eq!(call["function"]["name"], "weather");
            assert!(["Rome", "Paris"].contains(&arguments["city"].as_str().expect("a city")), "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_words_stays_one() {
    let engine = knowing().await;
    for choice in ["auto", "none"] {
        let (status, body) = ask(&engine, json!({"tools": tools(), "tool_choice": choice, "max_tokens": 8})).await;
        let message = &body["choices"][0]["message"];
        assert!(status == 200 && message["content"].is_string() && message["tool_calls"].is_null(), "{body}");
    }
}

/// What the model writes is forced by a grammar, so that it writes a call by itself, as far as jetbatch can tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_the_models_own_is_read() {
    let engine = knowing().await;
    let text = "Let me see.\n<tool_call>\n{\"name\": \"noon\", \"arguments\": {\"a\": 1}}\n</tool_call>";
    let (_, body) = ask(&engine, json!({"tools": tools(), "guided_choice": [text]})).await;
    let answer = &body["choices"][0];
    assert_eq!(
        (&answer["message"]["content"], &answer["finish_reason"]),
        (&json!("Let me see."), &json!("tool_calls"))
    );
    assert_eq!(answer["message"]["tool_calls"][0]["function"], json!({"name": "noon", "arguments": "{\"a\": 1}"}));
    let broken = text.replace("1}}", "1}");
    let (_, body) = ask(&engine, json!({"tools": tools(), "guided_choice": [broken]})).await;
    assert_eq!(
        (&body["choices"][0]["message"]["content"], &body["choices"][0]["finish_reason"]),
        (&json!(broken), &json!("stop"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thought_is_kept_apart() {
    let engine = knowing().await;
    let (_, body) = ask(&engine, json!({"guided_choice": ["<think>\nHm.\n</think>\n\nParis"]})).await;
    let message = &body["choices"][0]["message"];
    assert_eq!((&message["content"], &message["reasoning_content"]), (&json!("Paris"), &json!("Hm.")));
    let prompt = async |extra: Value| ask(&engine, extra).await.1["usage"]["prompt_tokens"].as_u64().expect("a count");
    let plain = prompt(json!({"max_tokens": 1})).await;
    let off = prompt(json!({"max_tokens": 1, "chat_template_kwargs": {"enable_thinking": false}})).await;
    assert!(off > plain);
    assert_eq!(prompt(json!({"max_tokens": 1, "reasoning_effort": "none"})).await, off);
    assert_eq!(prompt(json!({"max_tokens": 1, "reasoning_effort": "high"})).await, plain);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_template_does_not_ask_for_is_refused() {
    let engine = knowing().await;
    let (status, body) = ask(&engine, json!({"chat_template_kwargs": {"colour": "red"}})).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("chat_template_kwargs.colour")));
    let wrong = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "nonsense"}}}]);
    let (status, body) = ask(&engine, json!({"tools": wrong, "tool_choice": "required"})).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("tools")), "{body}");
}
