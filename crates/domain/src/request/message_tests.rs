use super::*;
use crate::request::Scope;
use serde_json::json;

fn read(list: &str) -> Result<Vec<Message>, Refusal> {
    let raw = RawValue::from_string(list.to_owned()).unwrap();
    serde_json::from_str(raw.get()).map_err(|_| misshapen(&raw)).and_then(all)
}

fn messages(list: &Value) -> Result<Vec<Message>, Refusal> {
    read(&list.to_string())
}

/// The refusal of the second of two messages.
fn refused(message: &str) -> Refusal {
    read(&format!(r#"[{{"role":"user","content":"hi"}},{message}]"#)).expect_err(message)
}

#[test]
fn they_become_what_templates_take() {
    let read = messages(&json!([
        {"role": "developer", "content": "be kind"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "bo"},
        {"role": "assistant", "content": null, "refusal": null, "tool_calls": [{"id": "c", "type": "function",
            "function": {"name": "f", "arguments": "{\"x\":1}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "2"},
    ]))
    .unwrap();
    let want = json!([
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "a\nb", "name": "bo"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "type": "function",
            "function": {"name": "f", "arguments": {"x": 1}}}]},
        {"role": "tool", "tool_call_id": "c", "content": "2"},
    ]);
    assert_eq!(serde_json::to_value(read).unwrap(), want);
}

/// As OpenAI's and LiteLLM's clients dump the message of an answer.
#[test]
fn an_assistants_message_comes_back_as_it_was_answered() {
    for (message, content) in [
        (json!({"role": "assistant"}), ""),
        (json!({"role": "assistant", "content": null}), ""),
        (json!({"role": "assistant", "content": ""}), ""),
        (json!({"role": "assistant", "content": null, "refusal": "I cannot."}), "I cannot."),
        (
            json!({"role": "assistant", "content": "ok", "refusal": null, "annotations": [], "audio": null,
                "function_call": null, "tool_calls": null, "provider_specific_fields": null}),
            "ok",
        ),
    ] {
        let read = messages(&json!([message])).unwrap_or_else(|refusal| panic!("{message}: {refusal:?}"));
        assert_eq!(serde_json::to_value(&read[0]).unwrap(), json!({"role": "assistant", "content": content}));
    }
}

/// As models and clients write the arguments of a function that takes none. Templates go through them as an object.
#[test]
fn no_arguments_are_an_object_of_none() {
    for (arguments, shown) in [
        (r#""""#, json!({})),
        (r#"" \n""#, json!({})),
        (r#""null""#, json!({})),
        ("null", json!({})),
        ("{}", json!({})),
        (r#""{\"a\":1}""#, json!({"a": 1})),
        (r#""{\"a\":""#, json!("{\"a\":")),
    ] {
        let call = format!(r#"{{"id":"c","type":"function","function":{{"name":"f","arguments":{arguments}}}}}"#);
        let read = read(&format!(r#"[{{"role":"assistant","tool_calls":[{call}]}}]"#)).unwrap();
        assert_eq!(read[0]["tool_calls"][0]["function"]["arguments"], shown, "{arguments}");
    }
}

#[test]
fn each_refusal_names_the_message_and_its_field() {
    for (message, scope, param, code) in [
        (r#"{"role":"user","content":"x","id":"m1"}"#, Scope::Request, "messages[1].id", "unknown_parameter"),
        (r#"{"role":"robot","content":""}"#, Scope::Request, "messages[1].role", "invalid_value"),
        (r#"{"role":"user","content":null}"#, Scope::Request, "messages[1].content", "missing_required_parameter"),
        (r#"{"role":"user"}"#, Scope::Request, "messages[1].content", "missing_required_parameter"),
        (r#"{"role":"assistant","audio":{"id":"x"}}"#, Scope::Request, "messages[1].audio", "unsupported_parameter"),
        (
            r#"{"role":"user","content":"x","refusal":"no"}"#,
            Scope::Request,
            "messages[1].refusal",
            "unsupported_parameter",
        ),
        (
            r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}"#,
            Scope::Request,
            "messages[1].content[0]",
            "unsupported_parameter",
        ),
        (
            r#"{"role":"user","content":[{"type":"text","text":"a","colour":1}]}"#,
            Scope::Request,
            "messages[1].content[0].colour",
            "unknown_parameter",
        ),
        ("7", Scope::Input, "messages[1]", "invalid_type"),
        (r#"["user","hi"]"#, Scope::Input, "messages[1]", "invalid_type"),
        (r#"{"content":"x"}"#, Scope::Input, "messages[1].role", "missing_required_parameter"),
        (r#"{"role":5,"content":"x"}"#, Scope::Input, "messages[1].role", "invalid_type"),
        (r#"{"role":"user","content":5}"#, Scope::Input, "messages[1].content", "invalid_type"),
        (r#"{"role":"user","content":["x"]}"#, Scope::Input, "messages[1].content[0]", "invalid_type"),
        (
            r#"{"role":"user","content":[{"type":"text","text":5}]}"#,
            Scope::Input,
            "messages[1].content[0].text",
            "invalid_type",
        ),
        (r#"{"role":"user","content":"x","name":5}"#, Scope::Input, "messages[1].name", "invalid_type"),
        (r#"{"role":"user","id":1,"content":5}"#, Scope::Input, "messages[1].content", "invalid_type"),
        (r#"{"role":"user","content":"a","content":"b"}"#, Scope::Input, "messages[1].content", "duplicate_parameter"),
        (
            r#"{"role":"assistant","tool_calls":[{"function":{"name":"f","name":"g"}}]}"#,
            Scope::Input,
            "messages[1].tool_calls[0].function.name",
            "duplicate_parameter",
        ),
        (
            r#"{"role":"user","content":[{"type":"text","text":"a","text":"b"}]}"#,
            Scope::Input,
            "messages[1].content[0].text",
            "duplicate_parameter",
        ),
    ] {
        let refusal = refused(message);
        let found = (refusal.scope, refusal.param.as_deref(), refusal.code);
        assert_eq!(found, (scope, Some(param), Some(code)), "{message}: {}", refusal.message);
    }
}

#[test]
fn a_wrong_shape_is_told_before_what_is_refused() {
    let list = r#"[{"role":"robot","content":"x"},{"role":"user","content":5},{"role":"user","id":1,"content":"x"}]"#;
    let refusal = read(list).unwrap_err();
    assert_eq!((refusal.scope, refusal.param.as_deref()), (Scope::Input, Some("messages[1].content")));
}
