//! What a server's response means. Pure.
use super::text::one_line;
use crate::{Answer, Usage, answer::Kind};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};
use std::time::Duration;

/// Of a server's own words.
const WORDS_MAX: usize = 200;
/// In one answer, or its prompt.
const TOKENS_MAX: u64 = u32::MAX as u64;
/// A server that wants to be left alone for longer is asked sooner.
const REST_MAX: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Answer(Answer),
    /// It has no room now; this long, where it says so.
    Full(Option<Duration>),
    /// It is not ready yet.
    Loading(String),
    /// It failed with this request, or with all.
    Failed(String),
    /// It refuses whoever asks: a key, a path, a quota.
    Closed(String),
}

/// A whole response.
#[derive(Debug, Clone, Copy, Default)]
pub struct Response<'a> {
    pub status: u16,
    /// In seconds.
    pub retry_after: Option<&'a str>,
    pub retry_after_ms: Option<&'a str>,
    pub location: Option<&'a str>,
    pub body: &'a [u8],
}

/// An error as servers write it.
#[derive(Debug, Default)]
struct Told {
    message: String,
    code: String,
    r#type: String,
    /// It is an object of the usual form.
    is_usual: bool,
}

pub fn of(response: Response<'_>) -> Verdict {
    let Response { status, location, body, .. } = response;
    if (200..300).contains(&status) {
        return good(response);
    }
    let told = Told::of(body);
    let words = || told.words(status);
    match status {
        300..=399 => Verdict::Closed(format!(
            "it sends requests on to {}; put that into base_urls",
            clipped(location.unwrap_or("another place"))
        )),
        401..=403 | 407 => Verdict::Closed(words()),
        404 | 405 if !told.is_usual => Verdict::Closed(format!("there is no such path ({status}); look at base_urls")),
        429 if told.is_spent() => Verdict::Closed(words()),
        503 if told.is_loading() => Verdict::Loading(words()),
        429 | 503 | 529 => Verdict::Full(response.rest()),
        // 499: a gateway's word for a caller who left, and none has.
        408 | 409 | 425 | 499.. => Verdict::Failed(words()),
        _ => Verdict::Answer(refusal(status, body, &told)),
    }
}

impl Response<'_> {
    /// How long it wants to be left alone.
    fn rest(&self) -> Option<Duration> {
        let ms = self.retry_after_ms.and_then(seconds).map(|ms| ms / 1_000);
        ms.or_else(|| self.retry_after.and_then(seconds))
    }
}

/// What is in the answer besides the text: the sampled tokens, where the server counts them.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Peek {
    /// Of any form: an answer is one, whatever was counted.
    usage: Value,
    error: Option<Value>,
    choices: Option<Vec<Choice>>,
    data: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Choice {
    error: Option<Value>,
    /// Of any type: what it is not ours to judge is an end.
    finish_reason: Option<Value>,
}

/// How servers end an answer that they broke off: what is there of it is no answer. vLLM and SGLang abort what runs when they
/// are paused, scaled down or stopped.
const BROKEN_OFF: [&str; 3] = ["abort", "error", "insufficient_system_resource"];

/// Gateways give errors of the servers behind them with a status of 200.
fn good(response: Response<'_>) -> Verdict {
    let Response { status, body, .. } = response;
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let Ok(text) = std::str::from_utf8(body) else { return Verdict::Failed("an answer that is no text".into()) };
    let Ok(peek) = serde_json::from_str::<Peek>(text) else {
        return Verdict::Failed(format!("half an answer, or none that is JSON, of {} bytes", body.len()));
    };
    if let (Some(error), None, None) = (&peek.error, &peek.choices, &peek.data) {
        let status = error["code"].as_u64().and_then(|code| u16::try_from(code).ok()).filter(|code| *code >= 400);
        return of(Response { status: status.unwrap_or(502), ..response });
    }
    let choices = peek.choices.unwrap_or_default();
    if choices.is_empty() && peek.data.is_none() {
        return Verdict::Failed(format!("an answer without choices ({status})"));
    }
    if let Some(error) = choices.iter().find_map(|choice| choice.error.as_ref()) {
        return Verdict::Failed(format!("a choice failed: {}", clipped(error["message"].as_str().unwrap_or_default())));
    }
    let mut reasons = choices.iter().filter_map(|choice| choice.finish_reason.as_ref()?.as_str());
    if let Some(reason) = reasons.find(|reason| BROKEN_OFF.contains(reason)) {
        return Verdict::Failed(format!("it broke an answer off (finish_reason '{reason}')"));
    }
    Verdict::Answer(Answer::good(one_line(text), usage(&peek.usage)))
}

fn usage(told: &Value) -> Usage {
    Usage {
        prompt: count(&told["prompt_tokens"]),
        completion: count(&told["completion_tokens"]),
        cached: count(&told["prompt_tokens_details"]["cached_tokens"]),
    }
}

/// What cannot be a number of tokens is none: sums are made of it.
fn count(told: &Value) -> u64 {
    let whole = || told.as_f64().filter(|count| *count >= 0.0 && count.fract() == 0.0).map(|count| count as u64);
    told.as_u64().or_else(whole).filter(|count| *count <= TOKENS_MAX).unwrap_or(0)
}

fn refusal(status: u16, body: &[u8], told: &Told) -> Answer {
    let kind = if told.is_too_long() { Kind::TooLong } else { Kind::Refused };
    let body = match std::str::from_utf8(body) {
        Ok(text) if told.is_usual => one_line(text),
        _ => json!({"error": {"message": told.words(status), "type": "invalid_request_error", "param": null, "code": null}})
            .to_string(),
    };
    Answer { kind, status, body, usage: Usage::default() }
}

impl Told {
    /// `{"error": {message, type, code}}`, as OpenAI's; `{"error": "..."}`; `{"message": ...}`, as vLLM's once;
    /// `{"detail": ...}`, as of FastAPI's own; or anything.
    fn of(body: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let inner = match &value["error"] {
            Value::Null if value["object"] == "error" => &value,
            Value::Null => {
                let detail = value["detail"].as_str().or_else(|| value["message"].as_str()).unwrap_or_default();
                return Self { message: detail.to_owned(), ..Self::default() };
            }
            Value::String(message) => return Self { message: message.clone(), is_usual: true, ..Self::default() },
            error => error,
        };
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        Self {
            message: text(&inner["message"]),
            code: text(&inner["code"]),
            r#type: text(&inner["type"]),
            is_usual: value["error"].is_object(),
        }
    }

    fn is_loading(&self) -> bool {
        self.message.to_ascii_lowercase().contains("loading")
    }

    /// No waiting helps.
    fn is_spent(&self) -> bool {
        [&self.code, &self.r#type].iter().any(|word| word.contains("insufficient_quota") || word.contains("billing"))
    }

    fn is_too_long(&self) -> bool {
        let marks = ["context_length_exceeded", "exceed_context_size"];
        let is_named = [&self.code, &self.r#type].iter().any(|word| marks.iter().any(|mark| word.contains(mark)));
        is_named || self.message.contains("maximum context length")
    }

    fn words(&self, status: u16) -> String {
        match self.message.as_str() {
            "" => format!("it answered with {status}"),
            message => format!("it answered with {status}: {}", clipped(message)),
        }
    }
}

fn clipped(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

/// Seconds; as a date it is as good as none.
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(REST_MAX.as_secs_f64())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: &str) -> Verdict {
        of(Response { status, body: body.as_bytes(), ..Response::default() })
    }

    fn answer(verdict: Verdict) -> Answer {
        let Verdict::Answer(answer) = verdict else { panic!("{verdict:?}") };
        answer
    }

    const GOOD: &str = r#"{"choices":[{"index":0}],"usage":{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":5}},"new_field":1.50}"#;

    #[test]
    fn a_good_answer_is_taken_as_it_is() {
        let good = answer(said(200, GOOD));
        assert_eq!((good.body.as_str(), good.usage), (GOOD, Usage { prompt: 7, completion: 3, cached: 5 }));
        let vectors = answer(said(200, r#"{"data":[{"embedding":[0.10]}],"usage":null}"#));
        assert_eq!(vectors.body, r#"{"data":[{"embedding":[0.10]}],"usage":null}"#);
    }

    /// A good answer is not lost for it, and no sum runs over.
    #[test]
    fn what_cannot_have_been_counted_is_no_count() {
        for (told, prompt, completion) in [
            (r#"{"prompt_tokens":12.0,"completion_tokens":3e0}"#, 12, 3),
            (r#"{"prompt_tokens":-1,"completion_tokens":1.5}"#, 0, 0),
            (r#"{"prompt_tokens":"12","completion_tokens":[1]}"#, 0, 0),
            (r#"{"prompt_tokens":18446744073709551615,"completion_tokens":1e300}"#, 0, 0),
            (r#"{"prompt_tokens":4294967295,"completion_tokens":4294967296}"#, 4_294_967_295, 0),
            (r#"{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":7}"#, 1, 2),
            (r#""none""#, 0, 0),
            ("[]", 0, 0),
        ] {
            let usage = answer(said(200, &format!(r#"{{"choices":[{{}}],"usage":{told}}}"#))).usage;
            assert_eq!((usage.prompt, usage.completion, usage.cached), (prompt, completion, 0), "{told}");
        }
        assert_eq!(answer(said(200, &format!("\u{feff}{GOOD}"))).body, GOOD);
    }

    #[test]
    fn an_end_of_any_other_kind_is_an_end() {
        for reason in
            ["null", r#""""#, r#""stop""#, r#""length""#, r#""tool_calls""#, r#""content_filter""#, r#""eos""#, "7"]
        {
            answer(said(200, &format!(r#"{{"choices":[{{"finish_reason":{reason}}}]}}"#)));
        }
    }

    #[test]
    fn an_answer_on_many_lines_becomes_one() {
        let pretty = "{\n  \"choices\": [{\"text\": \"a b\\\" c\\\\\"},\r\n {\"text\": \"\\n { }\"}]\n}\n";
        assert_eq!(answer(said(200, pretty)).body, r#"{"choices":[{"text":"a b\" c\\"},{"text":"\n { }"}]}"#);
    }

    #[test]
    fn what_is_the_requests_fault_is_its_answer() {
        let long =
            r#"{"error":{"code":400,"message":"the request exceeds","type":"exceed_context_size_error","n_ctx":512}}"#;
        let long = answer(said(400, long));
        assert_eq!((long.kind, long.status), (Kind::TooLong, 400));
        for (status, body) in [
            (400, r#"{"error":{"message":"no","type":"Bad Request","param":null,"code":400}}"#),
            (404, r#"{"error":{"message":"no model x","type":"NotFoundError","param":null,"code":404}}"#),
            (413, r#"{"error":{"message":"too much","type":"x","param":null,"code":null}}"#),
            (422, r#"{"error":{"message":"odd","type":"x","param":null,"code":null}}"#),
        ] {
            let refused = answer(said(status, body));
            assert_eq!((refused.kind, refused.status, refused.body.as_str()), (Kind::Refused, status, body));
        }
        let plain = answer(said(400, "<html>\n<h1>Bad Request</h1>"));
        assert!(plain.body.starts_with(r#"{"error":{"#) && !plain.body.contains('\n'), "{}", plain.body);
        assert!(answer(said(422, r#"{"detail":"messages is missing"}"#)).body.contains("messages is missing"));
    }

    #[test]
    fn a_door_that_is_closed_to_all_is_no_answer() {
        for (status, body) in [
            (401, r#"{"error":{"message":"Incorrect API key provided"}}"#),
            (402, r#"{"error":{"message":"Insufficient credits","code":402}}"#),
            (403, "Forbidden"),
            (404, r#"{"detail":"Not Found"}"#),
            (404, "404 page not found"),
            (405, ""),
            (
                429,
                r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            ),
            (301, ""),
        ] {
            assert!(matches!(said(status, body), Verdict::Closed(_)), "{status} {body}");
        }
    }

    #[test]
    fn what_passes_is_waited_for() {
        assert_eq!(said(429, "{}"), Verdict::Full(None));
        let after = |text| of(Response { status: 429, retry_after: Some(text), ..Response::default() });
        let ms = Response { status: 429, retry_after: Some("9"), retry_after_ms: Some("250"), ..Response::default() };
        assert_eq!(of(ms), Verdict::Full(Some(Duration::from_millis(250))));
        assert_eq!(after("2"), Verdict::Full(Some(Duration::from_secs(2))));
        assert_eq!(after("1.5"), Verdict::Full(Some(Duration::from_millis(1_500))));
        assert_eq!(after("1e9"), Verdict::Full(Some(REST_MAX)));
        for odd in ["-1", "NaN", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(after(odd), Verdict::Full(None), "{odd}");
        }
        let loading = r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#;
        assert!(matches!(said(503, loading), Verdict::Loading(_)));
        assert_eq!(said(503, "busy"), Verdict::Full(None));
    }

    #[test]
    fn what_fails_is_told_in_the_servers_words() {
        for (status, body, words) in [
            (500, r#"{"error":{"message":"CUDA error\nat x","code":500}}"#, "it answered with 500: CUDA error"),
            (502, "<html>", "it answered with 502"),
            (408, "", "it answered with 408"),
            (200, r#"{"choices":[{"ind"#, "half an answer, or none that is JSON, of 17 bytes"),
            (200, "{}", "an answer without choices (200)"),
            (200, r#"{"choices":[]}"#, "an answer without choices (200)"),
            (
                200,
                r#"{"choices":[{"error":{"message":"upstream"},"finish_reason":"error"}]}"#,
                "a choice failed: upstream",
            ),
            (499, "", "it answered with 499"),
            (
                200,
                r#"{"choices":[{"message":{"content":"half a sen"},"finish_reason":"abort"}]}"#,
                "it broke an answer off (finish_reason 'abort')",
            ),
            (
                200,
                r#"{"choices":[{"finish_reason":"stop"},{"finish_reason":"error"}]}"#,
                "it broke an answer off (finish_reason 'error')",
            ),
            (
                200,
                r#"{"choices":[{"finish_reason":"insufficient_system_resource"}]}"#,
                "it broke an answer off (finish_reason 'insufficient_system_resource')",
            ),
            (524, "", "it answered with 524"),
            (
                200,
                r#"{"error":{"message":"Provider returned error","code":502}}"#,
                "it answered with 502: Provider returned error",
            ),
        ] {
            assert_eq!(said(status, body), Verdict::Failed(words.into()), "{status} {body}");
        }
        assert_eq!(said(200, r#"{"error":{"message":"slow down","code":429}}"#), Verdict::Full(None));
    }
}
