use serde_json::json;

use super::*;
use crate::openai::Field;

fn chat(extra: Value) -> Result<Ask, Refusal> {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
    Ask::read(Endpoint::Chat, body.to_string().as_bytes())
}

fn text(extra: Value) -> Result<Ask, Refusal> {
    let mut body = json!({"model": "m", "prompt": "hi"});
    body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
    Ask::read(Endpoint::Completions, body.to_string().as_bytes())
}

#[test]
fn defaults_are_those_of_openai() {
    let ask = chat(json!({})).expect("an ask");
    assert_eq!((ask.n, ask.sampling.temperature, ask.sampling.max_tokens), (1, 1.0, None));
    assert!(!ask.sampling.greedy());
    let ask = text(json!({})).expect("an ask");
    assert_eq!(ask.sampling.max_tokens, Some(16));
    assert_eq!(ask.input, Input::Text(vec!["hi".to_owned()]));
}

#[test]
fn takes_what_the_engine_honours() {
    let ask = chat(json!({"temperature": 0, "top_p": 0.5, "top_k": 5, "min_p": 0.1, "max_tokens": 3,
        "max_completion_tokens": 3, "stop": ["a", "b"], "seed": 7, "frequency_penalty": 1, "presence_penalty": -1,
        "repetition_penalty": 1.2, "logit_bias": {"12": -100}, "logprobs": true, "top_logprobs": 4, "n": 2,
        "enable_thinking": false}))
    .expect("an ask");
    assert_eq!(ask.logprobs, Some(4));
    assert_eq!(ask.sampling.bias, [(12, -100.0)]);
    assert_eq!(ask.sampling.stop, ["a", "b"]);
    assert!(ask.sampling.greedy());
}

#[test]
fn takes_what_cannot_change_the_answer() {
    let harmless = json!({"user": "u", "store": true, "metadata": {"a": "b"}, "service_tier": "flex",
        "safety_identifier": "s", "prompt_cache_key": "k", "stream": false, "stream_options": null, "tools": [],
        "tool_choice": "none", "modalities": ["text"], "reasoning_effort": null, "temperature": null, "stop": null});
    assert_eq!(chat(harmless), chat(json!({})));
}

#[test]
fn refuses_and_names_the_field() {
    let tool = json!([{"type": "function", "function": {"name": "f"}}]);
    let cases = [
        (json!({"stream": true}), "stream", "unsupported_parameter"),
        (json!({"tools": tool}), "tools", "unsupported_parameter"),
        (json!({"tool_choice": "required"}), "tool_choice", "unsupported_parameter"),
        (json!({"reasoning_effort": "low"}), "reasoning_effort", "unsupported_parameter"),
        (json!({"seed": 1}), "seed", "unsupported_parameter"),
        (json!({"audio": {}}), "audio", "unsupported_parameter"),
        (json!({"nonsense": 1}), "nonsense", "unknown_parameter"),
        (json!({"nonsense": null}), "nonsense", "unknown_parameter"),
        (json!({"prompt": "x"}), "prompt", "unknown_parameter"),
        (json!({"temperature": "hot"}), "temperature", "invalid_value"),
        (json!({"temperature": 3}), "temperature", "invalid_value"),
        (json!({"max_tokens": 0}), "max_tokens", "invalid_value"),
        (json!({"max_tokens": 1.5}), "max_tokens", "invalid_value"),
        (json!({"max_tokens": 1, "max_completion_tokens": 2}), "max_tokens", "invalid_value"),
        (json!({"n": 0}), "n", "invalid_value"),
        (json!({"stop": [""]}), "stop", "invalid_value"),
        (json!({"top_logprobs": 2}), "top_logprobs", "invalid_value"),
        (json!({"logit_bias": {"x": 1}}), "logit_bias", "invalid_value"),
        (json!({"response_format": {"type": "xml"}}), "response_format", "invalid_value"),
        (json!({"messages": []}), "messages", "invalid_value"),
        (json!({"messages": [{"role": "robot", "content": ""}]}), "messages[0].role", "invalid_value"),
        (json!({"messages": [{"role": "user", "content": 1}]}), "messages[0].content", "invalid_value"),
        (json!({"messages": [{"role": "user"}]}), "messages[0].content", "missing_required_parameter"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}),
            "messages[0].content",
            "unsupported_parameter",
        ),
    ];
    for (extra, param, code) in cases {
        let refusal = chat(extra.clone()).expect_err(&extra.to_string());
        let names = param == "max_tokens" && refusal.param.as_deref() == Some("max_completion_tokens");
        assert!(names || refusal.param.as_deref() == Some(param), "{extra}: {refusal:?}");
        assert_eq!(refusal.code, Some(code), "{extra}");
    }
}

#[test]
fn refuses_in_completions() {
    for (extra, param) in [
        (json!({"echo": true}), "echo"),
        (json!({"suffix": "x"}), "suffix"),
        (json!({"best_of": 2}), "best_of"),
        (json!({"prompt": [1, 2]}), "prompt"),
        (json!({"prompt": [[1, 2]]}), "prompt"),
    ] {
        let refusal = text(extra.clone()).expect_err(&extra.to_string());
        assert_eq!((refusal.param.as_deref(), refusal.code), (Some(param), Some("unsupported_parameter")));
    }
    let many = json!({"prompt": vec!["a"; 65], "n": 2});
    assert_eq!(text(many).expect_err("too many").param.as_deref(), Some("prompt"));
    assert!(text(json!({"messages": []})).is_err());
    assert!(Ask::read(Endpoint::Completions, b"{}").is_err());
    assert!(Ask::read(Endpoint::Chat, b"not json").is_err());
}

#[test]
fn formats() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    let format = |value: Value| chat(json!({ "response_format": value })).expect("an ask").format;
    assert_eq!(format(json!({"type": "text"})), Format::Free);
    assert_eq!(format(json!({"type": "json_object"})), Format::Schema(json!({"type": "object"})));
    let named = json!({"type": "json_schema", "json_schema": {"name": "x", "strict": true, "schema": schema}});
    assert_eq!(format(named), Format::Schema(schema));
    let regex = chat(json!({"grammar": {"type": "regex", "value": "a+"}})).expect("an ask");
    assert_eq!(regex.format, Format::Regex("a+".to_owned()));
}

#[test]
fn a_bound_is_never_too_small() {
    let message = json!({"role": "assistant", "content": "", "tool_calls": []});
    let ask = chat(json!({"messages": vec![message; 2_000]})).expect("an ask");
    assert!(ask.input.bounds()[0] > usize::MAX / 2);
}

#[test]
fn messages_become_what_templates_take() {
    let ask = chat(json!({"messages": [
        {"role": "developer", "content": "be kind"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "bo"},
        {"role": "assistant", "content": null, "refusal": null, "tool_calls": [{"id": "c", "type": "function",
            "function": {"name": "f", "arguments": "{\"x\":1}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "2"},
    ]}))
    .expect("an ask");
    let Input::Chat { messages, .. } = ask.input else { panic!("not a chat") };
    let text = |at: usize, field: usize| messages[at][field].1.clone();
    assert_eq!(text(0, 0), Field::Text("system".to_owned()));
    assert_eq!(text(1, 1), Field::Text("a\nb".to_owned()));
    assert_eq!(messages[1][2].0, "name");
    let Field::List(calls) = text(2, 2) else { panic!("not a list") };
    assert_eq!(calls[0]["function"]["arguments"], json!({"x": 1}));
    assert_eq!(text(3, 2), Field::Text("c".to_owned()));
}
