//! A streamed answer, put together to the one that the server would have given whole. Pure.
use crate::Endpoint;
use serde_json::{Map, Value, json};

/// Of a delta: what says which or what it is, and does not grow.
const NAMES: [&str; 5] = ["id", "index", "object", "role", "type"];

#[derive(Debug, Default)]
pub struct Stream {
    /// What is not the choices.
    about: Map<String, Value>,
    choices: Vec<Map<String, Value>>,
    /// Bytes of an event that has not ended.
    half: Vec<u8>,
    is_done: bool,
    /// An error in the stream, as the body of a response.
    error: Option<Value>,
}

impl Stream {
    /// Takes what came; says how many events it held.
    pub fn feed(&mut self, bytes: &[u8]) -> usize {
        // What was there before holds no line end.
        let (mut from, mut events) = (self.half.len(), 0);
        self.half.extend_from_slice(bytes);
        while let Some(end) = self.half[from..].iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.half.drain(..=from + end).collect();
            events += usize::from(self.line(line.trim_ascii()));
            from = 0;
        }
        events
    }

    /// Nothing comes after it, whether or not the connection goes on.
    pub const fn is_done(&self) -> bool {
        self.is_done || self.error.is_some()
    }

    fn line(&mut self, line: &[u8]) -> bool {
        let after = |name: &[u8]| line.strip_prefix(name).map(<[u8]>::trim_ascii_start);
        let Some(data) = after(b"data:").or_else(|| after(b"error:")) else { return false };
        if data == b"[DONE]" {
            self.is_done = true;
            return true;
        }
        match serde_json::from_slice(data) {
            Ok(Value::Object(event)) => self.event(event),
            Ok(_) | Err(_) => {
                self.error = self.error.take().or_else(|| Some(json!({"message": "an event that is no JSON object"})))
            }
        }
        true
    }

    fn event(&mut self, event: Map<String, Value>) {
        for (name, value) in event {
            match (name.as_str(), value) {
                ("choices", Value::Array(choices)) => choices.into_iter().for_each(|choice| self.choice(choice)),
                ("error", error) if !error.is_null() => self.error = Some(error),
                (_, Value::Null) => {
                    self.about.entry(name).or_insert(Value::Null);
                }
                (_, value) => {
                    self.about.insert(name, value);
                }
            }
        }
    }

    fn choice(&mut self, choice: Value) {
        let Value::Object(choice) = choice else { return };
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0).min(1_024) as usize;
        while self.choices.len() <= index {
            self.choices.push(Map::from_iter([("index".to_owned(), self.choices.len().into())]));
        }
        let into = &mut self.choices[index];
        for (name, value) in choice {
            match name.as_str() {
                "index" => {}
                "delta" => add(into.entry("message").or_insert_with(|| json!({})), value),
                "finish_reason" | "stop_reason" if value.is_null() => {
                    into.entry(name).or_insert(Value::Null);
                }
                "finish_reason" | "stop_reason" => {
                    into.insert(name, value);
                }
                _ => add(into.entry(name).or_insert(Value::Null), value),
            }
        }
    }

    /// The body of the whole answer; or of an error, with true. None: it ended before its end.
    pub fn finish(mut self, endpoint: Endpoint) -> Option<(String, bool)> {
        if let Some(error) = self.error {
            return Some((json!({ "error": error }).to_string(), true));
        }
        let is_whole = |choice: &Map<String, Value>| choice.get("finish_reason").is_some_and(Value::is_string);
        if !self.is_done || self.choices.is_empty() || !self.choices.iter().all(is_whole) {
            return None;
        }
        let object = match endpoint {
            Endpoint::Chat => "chat.completion",
            Endpoint::Completions | Endpoint::Embeddings => "text_completion",
        };
        self.about.insert("object".to_owned(), object.into());
        let choices = self.choices.into_iter().map(|choice| whole(choice, endpoint)).collect();
        self.about.insert("choices".to_owned(), Value::Array(choices));
        Some((Value::Object(self.about).to_string(), false))
    }
}

/// What a whole answer has and a stream may never have told.
fn whole(mut choice: Map<String, Value>, endpoint: Endpoint) -> Value {
    if endpoint == Endpoint::Chat {
        let message = choice.entry("message").or_insert_with(|| json!({}));
        if let Value::Object(message) = message {
            message.entry("role").or_insert_with(|| "assistant".into());
            message.entry("content").or_insert(Value::Null);
            calls(message);
        }
    } else {
        choice.entry("text").or_insert_with(|| "".into());
    }
    choice.entry("logprobs").or_insert(Value::Null);
    Value::Object(choice)
}

/// A call's number is the stream's alone.
fn calls(message: &mut Map<String, Value>) {
    let Some(Value::Array(calls)) = message.get_mut("tool_calls") else { return };
    for call in calls.iter_mut().filter_map(Value::as_object_mut) {
        call.remove("index");
    }
}

/// Texts grow, lists get longer, and the elements of a list that carry a number are told apart by it.
fn add(into: &mut Value, more: Value) {
    match (into, more) {
        (_, Value::Null) => {}
        (Value::Object(into), Value::Object(more)) => {
            for (name, value) in more {
                match into.get_mut(&name) {
                    Some(known) if !NAMES.contains(&name.as_str()) => add(known, value),
                    Some(_) if value.is_null() => {}
                    Some(_) | None => {
                        into.insert(name, value);
                    }
                }
            }
        }
        (Value::Array(into), Value::Array(more)) => more.into_iter().for_each(|element| element_into(into, element)),
        (Value::String(into), Value::String(more)) => into.push_str(&more),
        (into, more) => *into = more,
    }
}

fn element_into(into: &mut Vec<Value>, element: Value) {
    let index = element.get("index").and_then(Value::as_u64);
    let known = index.and_then(|index| into.iter_mut().rfind(|known| known["index"] == index));
    match known.filter(|known| !is_another(known, &element)) {
        Some(known) => add(known, element),
        None => into.push(element),
    }
}

/// Servers that number no calls stream each as the first one: a name and an id of its own tell it apart.
fn is_another(known: &Value, element: &Value) -> bool {
    let is_begun = element["function"]["name"].as_str().is_some_and(|name| !name.is_empty());
    let ids = (known["id"].as_str(), element["id"].as_str());
    is_begun && matches!(ids, (Some(known), Some(id)) if !id.is_empty() && known != id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_together(endpoint: Endpoint, events: &[&str]) -> Option<Value> {
        let mut stream = Stream::default();
        let bytes: Vec<u8> = events.iter().flat_map(|event| format!("data: {event}\r\n\r\n").into_bytes()).collect();
        // As a network may cut it.
        let seen: usize = bytes.chunks(7).map(|part| stream.feed(part)).sum();
        assert_eq!(seen, events.len());
        stream.finish(endpoint).map(|(body, _)| serde_json::from_str(&body).unwrap())
    }

    #[test]
    fn a_chat_is_put_together() {
        let body = put_together(
            Endpoint::Chat,
            &[
                r#"{"id":"a","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}]}"#,
                r#"{"id":"a","choices":[{"index":0,"delta":{"content":"Pa"},"logprobs":{"content":[{"token":"Pa"}]}}]}"#,
                r#"{"id":"a","choices":[{"index":0,"delta":{"content":"ris"},"logprobs":{"content":[{"token":"ris"}]}}]}"#,
                r#"{"id":"a","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
                r#"{"id":"a","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
                "[DONE]",
            ],
        );
        let choice = json!({"index": 0, "message": {"role": "assistant", "content": "Paris"}, "finish_reason": "stop",
            "logprobs": {"content": [{"token": "Pa"}, {"token": "ris"}]}});
        let whole = json!({"id": "a", "object": "chat.completion", "choices": [choice],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2}});
        assert_eq!(body, Some(whole));
    }

    #[test]
    fn calls_of_functions_are_put_together() {
        let body = put_together(
            Endpoint::Chat,
            &[
                r#"{"choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]}}]}"#,
                r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}}]}"#,
                r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":null,"function":{"arguments":":1}"}},{"index":1,"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]}}]}"#,
                r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
                "[DONE]",
            ],
        );
        let calls = json!([{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]);
        assert_eq!(
            body.unwrap()["choices"][0]["message"],
            json!({"role": "assistant", "content": null, "tool_calls": calls})
        );
    }

    /// As gateways of servers that number no calls stream them: each is the first.
    #[test]
    fn calls_of_one_number_and_other_ids_are_other_calls() {
        let call = |id: &str, name: &str, arguments: &str| {
            let call =
                json!({"index": 0, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
            json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}).to_string()
        };
        let more = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"2}"}}]}}]}"#;
        let end = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#;
        let whole = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
        let calls = |events: &[&str]| {
            put_together(Endpoint::Chat, events).unwrap()["choices"][0]["message"]["tool_calls"].clone()
        };
        let (one, two) = (call("c1", "f", r#"{"a":1}"#), call("c2", "g", r#"{"b":"#));
        let wanted = json!([whole("c1", "f", r#"{"a":1}"#), whole("c2", "g", r#"{"b":2}"#)]);
        assert_eq!(calls(&[&one, &two, more, end, "[DONE]"]), wanted);
        // And as others do: the same call, its id and name told again with each piece.
        let (half, rest) = (call("c1", "f", "{"), call("c1", "", "}"));
        assert_eq!(calls(&[&half, &rest, end, "[DONE]"]), json!([whole("c1", "f", "{}")]));
    }

    #[test]
    fn choices_and_texts_are_told_apart() {
        let body = put_together(
            Endpoint::Completions,
            &[
                r#"{"object":"text_completion","choices":[{"index":1,"text":"b"}]}"#,
                r#"{"choices":[{"index":0,"text":"a","finish_reason":"length"},{"index":1,"text":"c","finish_reason":"stop"}]}"#,
                "[DONE]",
            ],
        );
        let texts = json!([{"index": 0, "text": "a", "finish_reason": "length", "logprobs": null},
            {"index": 1, "text": "bc", "finish_reason": "stop", "logprobs": null}]);
        assert_eq!(body.unwrap()["choices"], texts);
    }

    #[test]
    fn half_a_stream_is_no_answer_and_an_error_is_told() {
        const END: &str = r#"{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}"#;
        const HALF: &str = r#"{"choices":[{"index":0,"delta":{"content":"x"}}]}"#;
        assert!(put_together(Endpoint::Chat, &[END, "[DONE]"]).is_some());
        for events in [&[END][..], &[HALF, "[DONE]"], &["[DONE]"], &[]] {
            assert_eq!(put_together(Endpoint::Chat, events), None, "{events:?}");
        }
        let error = r#"{"error":{"message":"no room","code":500}}"#;
        assert_eq!(put_together(Endpoint::Chat, &[HALF, error]), Some(serde_json::from_str(error).unwrap()));
        assert!(put_together(Endpoint::Chat, &["{", "[DONE]"]).unwrap()["error"].is_object());
    }
}
