use super::*;
use crate::request::{Embed, Scope, Taken, fields};
use serde_json::json;

fn read(endpoint: Endpoint, body: Value, extra: &Value) -> Result<Body, Refusal> {
    Body::read(endpoint, with(body, extra).as_bytes())
}

fn with(mut body: Value, extra: &Value) -> String {
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body.to_string()
}

fn chat(extra: Value) -> Result<Body, Refusal> {
    read(Endpoint::Chat, json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]}), &extra)
}

fn text(extra: Value) -> Result<Body, Refusal> {
    read(Endpoint::Completions, json!({"model": "m", "prompt": "hi"}), &extra)
}

/// A body as it was written: `json!` keeps no field twice.
fn raw(fields: &str) -> Result<Body, Refusal> {
    let body = format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],{fields}}}"#);
    Body::read(Endpoint::Chat, body.as_bytes())
}

#[test]
fn defaults_are_those_of_openai() {
    let body = chat(json!({})).unwrap();
    assert_eq!((body.n, body.sampling.temperature, body.sampling.max_tokens), (1, 1.0, None));
    assert!(!body.sampling.greedy());
    let body = text(json!({})).unwrap();
    assert_eq!(body.sampling.max_tokens, Some(16));
    assert_eq!(body.input, Input::Prompts(vec![Prompt::Text("hi".to_owned())]));
}

#[test]
fn takes_what_is_honoured() {
    let body = chat(json!({"temperature": 0, "top_p": 0.5, "top_k": 5, "min_p": 0.1, "max_tokens": 3,
        "max_completion_tokens": 3, "stop": ["a", "b"], "seed": 7, "frequency_penalty": 1, "presence_penalty": -1,
        "repetition_penalty": 1.2, "logit_bias": {"12": -100, "3": 1}, "logprobs": true, "top_logprobs": 4, "n": 2,
        "min_tokens": 1, "ignore_eos": true, "stop_token_ids": [2], "enable_thinking": false}))
    .unwrap();
    assert_eq!((body.logprobs, body.n), (Some(4), 2));
    assert_eq!(body.sampling.bias, [(3, 1.0), (12, -100.0)]);
    assert_eq!((body.sampling.stop.len(), body.sampling.stop_token_ids), (2, vec![2]));
}

#[test]
fn takes_what_cannot_change_the_answer() {
    let harmless = json!({"user": "u", "store": true, "metadata": {"a": "b"}, "service_tier": "flex",
        "safety_identifier": "s", "prompt_cache_key": "k", "stream": false, "stream_options": {"include_usage": true},
        "tools": [], "functions": [], "function_call": "none", "modalities": ["text"], "verbosity": "medium"});
    assert_eq!(chat(harmless), chat(json!({})));
    let harmless = json!({"echo": false, "suffix": "", "best_of": 1});
    assert_eq!(text(harmless), text(json!({})));
}

/// Wherever OpenAI takes one: in every known field.
#[test]
fn null_is_as_good_as_absent() {
    for endpoint in [Endpoint::Chat, Endpoint::Completions] {
        let own = |(name, of, _): (String, Option<Endpoint>, _)| {
            let is_own = of.is_none_or(|of| of == endpoint) && name != "messages" && name != "prompt";
            (!name.contains('[') && is_own).then_some(name)
        };
        let nulls: Map<String, Value> = fields().into_iter().filter_map(own).map(|name| (name, Value::Null)).collect();
        assert!(nulls.len() > 40);
        let plain = json!({"messages": [{"role": "user", "content": "hi"}]});
        let plain = if endpoint == Endpoint::Chat { plain } else { json!({"prompt": "hi"}) };
        assert_eq!(read(endpoint, plain.clone(), &nulls.into()), read(endpoint, plain, &json!({})), "{endpoint}");
    }
}

#[test]
fn portable_spellings_are_taken() {
    let sampling = |extra: Value| chat(extra).unwrap().sampling;
    assert_eq!(sampling(json!({"top_k": -1})).top_k, None);
    assert_eq!(sampling(json!({"top_k": 0})).top_k, None);
    assert_eq!(sampling(json!({"max_tokens": 16.0})).max_tokens, Some(16));
    assert_eq!(sampling(json!({"seed": 42, "temperature": 0.7})).seed, Some(42));
    assert_eq!(sampling(json!({"seed": -1})).seed, Some(u64::MAX));
    assert_eq!(sampling(json!({"seed": u64::MAX})).seed, Some(u64::MAX));
    assert_eq!(sampling(json!({"max_tokens": 8, "max_completion_tokens": 8})).max_tokens, Some(8));
    let tokens = text(json!({"prompt": [1, 2]})).unwrap().input;
    assert_eq!(tokens, Input::Prompts(vec![Prompt::Tokens(vec![1, 2])]));
}

#[test]
fn refuses_the_request_and_names_the_field() {
    let cases = [
        (json!({"stream": true}), "stream", "unsupported_parameter"),
        (json!({"audio": {}}), "audio", "unsupported_parameter"),
        (json!({"nonsense": 1}), "nonsense", "unknown_parameter"),
        (json!({"nonsense": null}), "nonsense", "unknown_parameter"),
        (json!({"skip_special_tokens": false}), "skip_special_tokens", "unsupported_parameter"),
        (json!({"logprobs": 1}), "logprobs", "invalid_value"),
        (json!({"prompt": "x"}), "prompt", "unknown_parameter"),
        (json!({"temperature": 3}), "temperature", "invalid_value"),
        (json!({"top_k": -2}), "top_k", "invalid_value"),
        (json!({"max_tokens": 0}), "max_tokens", "invalid_value"),
        (json!({"max_tokens": -1}), "max_tokens", "invalid_value"),
        (json!({"max_tokens": 16.5}), "max_tokens", "invalid_value"),
        (json!({"max_tokens": 1, "max_completion_tokens": 2}), "max_completion_tokens", "invalid_value"),
        (json!({"n": 0}), "n", "invalid_value"),
        (json!({"stop": [""]}), "stop", "invalid_value"),
        (json!({"top_logprobs": 2}), "top_logprobs", "invalid_value"),
        (json!({"logit_bias": {"x": 1}}), "logit_bias.x", "invalid_value"),
        (json!({"logit_bias": {"1": 101}}), "logit_bias.1", "invalid_value"),
        (json!({"stop_token_ids": [-1]}), "stop_token_ids", "invalid_value"),
        (json!({"tool_choice": "required"}), "tool_choice", "invalid_value"),
        (json!({"response_format": {"type": "xml"}}), "response_format.type", "invalid_value"),
        (
            json!({"response_format": {"type": "json_schema", "schema": {}}}),
            "response_format.schema",
            "unknown_parameter",
        ),
        (
            json!({"response_format": {"type": "json_schema"}}),
            "response_format.json_schema",
            "missing_required_parameter",
        ),
        (json!({"grammar": {"type": "regex", "value": ""}}), "grammar.value", "invalid_value"),
        (json!({"grammar": {"type": "gbnf", "value": "x"}}), "grammar.type", "invalid_value"),
        (json!({"grammar": {"type": "json_schema", "value": true}}), "grammar.value", "invalid_value"),
        (
            json!({"grammar": {"type": "regex", "value": "a"}, "response_format": {"type": "json_object"}}),
            "response_format",
            "invalid_value",
        ),
        (json!({"structured_outputs": {"regex": "a", "json": {}}}), "structured_outputs", "invalid_value"),
        (json!({"structured_outputs": {"xml": "a"}}), "structured_outputs.xml", "unsupported_parameter"),
    ];
    for (extra, param, code) in cases {
        refused(chat(extra.clone()), Scope::Request, param, code, &extra);
    }
}

#[track_caller]
fn refused(read: Result<Body, Refusal>, scope: Scope, param: &str, code: &str, extra: &dyn std::fmt::Display) {
    let refusal = read.expect_err(&extra.to_string());
    let found = (refusal.scope, refusal.param.as_deref(), refusal.code);
    assert_eq!(found, (scope, Some(param), Some(code)), "{extra}: {}", refusal.message);
    assert_eq!(refusal.message.matches(&format!("`{param}`")).count(), 1, "named once: {}", refusal.message);
}

#[test]
fn a_wrong_shape_is_the_files_fault() {
    for (extra, param) in [
        (json!({"temperature": "0.7"}), "temperature"),
        (json!({"max_tokens": "16"}), "max_tokens"),
        (json!({"top_k": [1]}), "top_k"),
        (json!({"stop": 5}), "stop"),
        (json!({"stop": [5]}), "stop"),
        (json!({"logprobs": "yes"}), "logprobs"),
        (json!({"model": 7}), "model"),
        (json!({"messages": "hi"}), "messages"),
        (json!({"messages": ["hi"]}), "messages[0]"),
        (json!({"response_format": "json_object"}), "response_format"),
        (json!({"guided_choice": "a"}), "guided_choice"),
        (json!({"tools": {}}), "tools"),
    ] {
        refused(chat(extra.clone()), Scope::Input, param, "invalid_type", &extra);
    }
    refused(chat(json!({"messages": []})), Scope::Input, "messages", "missing_required_parameter", &"no messages");
    let both = chat(json!({"a_stranger": 1, "temperature": "hot"}));
    refused(both, Scope::Input, "temperature", "invalid_type", &"the shape comes first");
}

#[test]
fn a_field_that_stands_twice_is_named() {
    for (fields, param) in [
        (r#""seed":1,"seed":1"#, "seed"),
        (r#""metadata":{},"metadata":{}"#, "metadata"),
        (r#""response_format":{"type":"text","type":"text"}"#, "response_format.type"),
        (r#""tools":[{"type":"function","type":"function"}]"#, "tools[0].type"),
        (r#""logit_bias":{"1":1,"1":2}"#, "logit_bias.1"),
        (r#""chat_template_kwargs":{"a":1,"a":2}"#, "chat_template_kwargs.a"),
    ] {
        refused(raw(fields), Scope::Input, param, "duplicate_parameter", &fields);
    }
    let many: Vec<String> = (0..900).map(|n| format!(r#""{n}":1"#)).collect();
    assert!(raw(&format!(r#""logit_bias":{{{}}}"#, many.join(","))).is_ok());
    refused(
        raw(&format!(r#""logit_bias":{{{},"77":1}}"#, many.join(","))),
        Scope::Input,
        "logit_bias.77",
        "duplicate_parameter",
        &"among many",
    );
}

/// The last one would win, without a word.
#[test]
fn a_name_that_stands_twice_is_named_however_deep() {
    let function =
        |schema: &str| format!(r#""tools":[{{"type":"function","function":{{"name":"f","parameters":{schema}}}}}]"#);
    let format = |schema: &str| {
        format!(r#""response_format":{{"type":"json_schema","json_schema":{{"name":"x","schema":{schema}}}}}"#)
    };
    for (fields, param) in [
        (r#""chat_template_kwargs":{"a":{"b":1,"b":2}}"#.to_owned(), "chat_template_kwargs.a.b"),
        (function(r#"{"type":"object","type":"array"}"#), "tools[0].function.parameters.type"),
        (format(r#"{"properties":{"a":{},"a":{}}}"#), "response_format.json_schema.schema.properties.a"),
        (r#""guided_json":{"type":"object","type":"array"}"#.to_owned(), "guided_json.type"),
        (r#""structured_outputs":{"json":{"a":1,"a":1}}"#.to_owned(), "structured_outputs.json.a"),
        (r#""grammar":{"type":"json_schema","value":{"a":1,"a":1}}"#.to_owned(), "grammar.value.a"),
    ] {
        refused(raw(&fields), Scope::Input, param, "duplicate_parameter", &fields);
    }
}

/// JSON of the right type all the same: that request's own fault, and said so.
#[test]
fn what_is_too_deep_or_too_large_to_be_read_is_no_wrong_type() {
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    for (value, words) in [(deep.as_str(), "nested too deeply"), ("1e400", "out of range")] {
        for (fields, param) in [
            (format!(r#""chat_template_kwargs":{{"a":{value}}}"#), "chat_template_kwargs"),
            (format!(r#""tools":[{{"type":"function","function":{{"name":"f","x":{value}}}}}]"#), "tools[0]"),
        ] {
            let refusal = raw(&fields).unwrap_err();
            assert!(refusal.message.contains(words), "{}", refusal.message);
            refused(Err(refusal), Scope::Request, param, "invalid_value", &words);
        }
    }
}

/// Two spellings of one token would count twice.
#[test]
fn a_token_has_one_spelling() {
    for key in ["05", "+5", " 5", "5.0", "-0"] {
        let fields = format!(r#""logit_bias":{{"5":100,"{key}":100}}"#);
        refused(raw(&fields), Scope::Request, &format!("logit_bias.{key}"), "invalid_value", &fields);
    }
}

#[test]
fn numbers_that_no_double_holds_are_out_of_range() {
    for field in ["temperature", "max_tokens", "seed", "top_k"] {
        let refusal = raw(&format!(r#""{field}":1e400"#)).unwrap_err();
        assert_eq!(refusal.message, format!("Invalid value for `{field}`: 1e400 is out of range"));
        assert_eq!(refusal.scope, Scope::Request);
    }
}

#[test]
fn refuses_in_completions() {
    for (extra, param, code) in [
        (json!({"echo": true}), "echo", "unsupported_parameter"),
        (json!({"suffix": "x"}), "suffix", "unsupported_parameter"),
        (json!({"best_of": 2}), "best_of", "unsupported_parameter"),
        (json!({"prompt": ""}), "prompt", "invalid_value"),
        (json!({"prompt": [""]}), "prompt", "invalid_value"),
        (json!({"prompt": []}), "prompt", "invalid_value"),
        (json!({"prompt": [1.5]}), "prompt", "invalid_value"),
        (json!({"prompt": [[1], [-1]]}), "prompt[1]", "invalid_value"),
        (json!({"prompt": vec!["a"; 65], "n": 2}), "n", "invalid_value"),
        (json!({"messages": []}), "messages", "unknown_parameter"),
    ] {
        refused(text(extra.clone()), Scope::Request, param, code, &extra);
    }
    for (extra, code) in
        [(json!({"prompt": 5}), "invalid_type"), (json!({"prompt": null}), "missing_required_parameter")]
    {
        refused(text(extra.clone()), Scope::Input, "prompt", code, &extra);
    }
    assert!(Body::read(Endpoint::Completions, b"{}").is_err());
    for body in [&b"not json"[..], b"[]", b"\"x\"", b"\xff"] {
        assert_eq!(Body::read(Endpoint::Chat, body).unwrap_err().code, Some("invalid_json"));
    }
}

#[test]
fn formats() {
    let grammar = |extra: Value| chat(extra).unwrap().constraint.map(|constraint| constraint.grammar);
    let format = |value: Value| grammar(json!({ "response_format": value }));
    assert_eq!(format(json!({"type": "text"})), None);
    assert_eq!(format(json!({"type": "json_object"})), Some(Grammar::Object));
    let named =
        json!({"type": "json_schema", "json_schema": {"name": "x", "strict": null, "schema": {"type": "object"}}});
    assert_eq!(format(named), Some(Grammar::Schema(r#"{"type":"object"}"#.to_owned())));
    assert_eq!(grammar(json!({"grammar": {"type": "regex", "value": "a+"}})), Some(Grammar::Regex("a+".to_owned())));
    assert_eq!(grammar(json!({"guided_choice": ["a", "b"]})), Some(Grammar::Choice(vec!["a".into(), "b".into()])));
    assert_eq!(grammar(json!({"structured_outputs": {"json": "{}"}})), Some(Grammar::Schema("{}".to_owned())));
    let kept = raw(r#""guided_json":{"b":1,"a":2}"#).unwrap().constraint.unwrap();
    assert_eq!(kept.grammar, Grammar::Schema(r#"{"b":1,"a":2}"#.to_owned()), "its order is the answer's");
}

#[test]
fn tools_are_read() {
    let tool = json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}});
    let Input::Chat(chat_) =
        chat(json!({"tools": [tool], "tool_choice": {"type": "function", "function": {"name": "f"}}})).unwrap().input
    else {
        panic!("not a chat")
    };
    assert_eq!((chat_.tools[0].name.as_str(), chat_.choice), ("f", Choice::Named("f".to_owned())));
    for (extra, param) in [
        (json!({"tools": [{"type": "function", "function": {}}]}), "tools[0].function.name"),
        (json!({"tools": [{"type": "function"}]}), "tools[0].function"),
        (json!({"tools": [{"type": "web"}]}), "tools[0].type"),
    ] {
        let refusal = chat(extra).unwrap_err();
        assert_eq!((refusal.scope, refusal.param.as_deref()), (Scope::Request, Some(param)));
    }
}

/// A value that no field takes: what is honoured refuses it, what is harmless does not look at it.
#[test]
fn every_field_is_taken_as_it_is_listed() {
    for (name, of, taken) in fields().into_iter().filter(|(name, ..)| !name.contains('[')) {
        for endpoint in of.map_or(vec![Endpoint::Chat, Endpoint::Completions], |endpoint| vec![endpoint]) {
            let body = match endpoint {
                Endpoint::Chat => json!({"messages": [{"role": "user", "content": "hi"}]}),
                Endpoint::Completions => json!({"prompt": "hi"}),
                Endpoint::Embeddings => json!({"input": "hi"}),
            };
            let extra = json!({ name.as_str(): [[{}]] });
            let refusal = match endpoint {
                Endpoint::Chat | Endpoint::Completions => read(endpoint, body, &extra).err(),
                Endpoint::Embeddings => Embed::read(with(body, &extra).as_bytes()).err(),
            };
            let code = refusal.and_then(|refusal| refusal.code);
            match taken {
                Taken::Honoured => assert!(code.is_some_and(|code| code != "unknown_parameter"), "{name}"),
                Taken::Harmless => assert_eq!(code, None, "{name}"),
                Taken::Refused { .. } => assert_eq!(code, Some("unsupported_parameter"), "{name}"),
            }
        }
    }
}
