//! A whole answer as the single chunk of a stream. Pure.
use domain::request::Endpoint;
use serde_json::{Map, Value, json};

/// The data of each server-sent event, in their order.
pub fn events(endpoint: Endpoint, answer: Value, with_usage: bool) -> Vec<String> {
    let Value::Object(mut answer) = answer else { return vec![answer.to_string(), DONE.to_owned()] };
    let usage = answer.remove("usage");
    if endpoint == Endpoint::Chat {
        answer.insert("object".to_owned(), "chat.completion.chunk".into());
        if let Some(Value::Array(choices)) = answer.get_mut("choices") {
            choices.iter_mut().filter_map(Value::as_object_mut).for_each(delta);
        }
    }
    let mut events = vec![Value::Object(answer.clone()).to_string()];
    if let Some(usage) = usage.filter(|_| with_usage) {
        answer.insert("choices".to_owned(), json!([]));
        answer.insert("usage".to_owned(), usage);
        events.push(Value::Object(answer).to_string());
    }
    events.push(DONE.to_owned());
    events
}

const DONE: &str = "[DONE]";

fn delta(choice: &mut Map<String, Value>) {
    let Some(mut message) = choice.remove("message") else { return };
    let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
    for (index, call) in calls.into_iter().flatten().enumerate() {
        call["index"] = index.into();
    }
    choice.insert("delta".to_owned(), message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_answer_becomes_one_chunk() {
        let answer = json!({"id": "x", "object": "chat.completion", "usage": {"total_tokens": 3}, "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Paris", "tool_calls": [{"id": "c"}]},
             "finish_reason": "stop"}]});
        let events = events(Endpoint::Chat, answer, true);
        let read = |at: usize| serde_json::from_str::<Value>(&events[at]).unwrap();
        let choice = json!([{"index": 0, "finish_reason": "stop",
            "delta": {"role": "assistant", "content": "Paris", "tool_calls": [{"id": "c", "index": 0}]}}]);
        assert_eq!((&read(0)["choices"], &read(0)["object"]), (&choice, &"chat.completion.chunk".into()));
        assert_eq!((&read(1)["choices"], &read(1)["usage"]["total_tokens"]), (&json!([]), &3.into()));
        assert_eq!((events.len(), events[2].as_str()), (3, DONE));
    }

    #[test]
    fn a_text_answer_stays_as_it_is() {
        let answer = json!({"object": "text_completion", "choices": [{"index": 0, "text": "a"}], "usage": {}});
        let events = events(Endpoint::Completions, answer, false);
        let want = json!({"object": "text_completion", "choices": [{"index": 0, "text": "a"}]});
        assert_eq!((serde_json::from_str::<Value>(&events[0]).unwrap(), events.len()), (want, 2));
    }
}
