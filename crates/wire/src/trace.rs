//! A W3C trace context on a message. Within jetbatch, and in a job's first event, it is one text: its `traceparent`, and
//! after a blank its `tracestate`, where it has one.
use crate::{
    Message,
    envelope::{TRACEPARENT, TRACESTATE},
};

/// W3C asks for so many to be handed on; a longer state is left out.
const STATE_BYTES_MAX: usize = 512;

/// The message with the context in its headers.
pub fn put(message: Message, trace: Option<&str>) -> Message {
    let Some((parent, state)) = trace.map(split) else { return message };
    let message = message.header(TRACEPARENT, parent);
    if state.is_empty() { message } else { message.header(TRACESTATE, state) }
}

/// The context in a message's headers.
pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    Some(join(header(TRACEPARENT)?, header(TRACESTATE).unwrap_or_default()))
}

pub fn join(parent: &str, state: &str) -> String {
    let (parent, state) = (parent.trim(), state.trim());
    if state.is_empty() || state.len() > STATE_BYTES_MAX { parent.to_owned() } else { format!("{parent} {state}") }
}

/// `traceparent` and `tracestate`, which may be empty.
pub fn split(trace: &str) -> (&str, &str) {
    trace.split_once(' ').unwrap_or((trace, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_one_text_and_two_headers() {
        for (parent, state, text) in
            [("00-a-b-01", "", "00-a-b-01"), ("00-a-b-01", "x=1, y= 2", "00-a-b-01 x=1, y= 2"), (" p ", " ", "p")]
        {
            let headers = |name: &str| Some(if name == TRACEPARENT { parent } else { state });
            let trace = read(headers);
            assert_eq!(trace.as_deref(), Some(text));
            assert_eq!(split(text), (parent.trim(), state.trim()));
        }
        assert_eq!(read(|_| None), None);
        assert_eq!(join("p", &"x".repeat(STATE_BYTES_MAX + 1)), "p");
    }

    #[test]
    fn a_context_without_a_state_is_one_header() {
        let headers = |trace| put(Message::spelled("s", ""), trace).headers;
        assert_eq!(headers(None), []);
        assert_eq!(headers(Some("p")), [(TRACEPARENT, "p".to_owned())]);
        assert_eq!(headers(Some("p x=1")), [(TRACEPARENT, "p".to_owned()), (TRACESTATE, "x=1".to_owned())]);
    }
}
