//! From an input line and an answer to the line of the output file. Pure.
use bytes::Bytes;
use domain::JobId;
use engine::{Answer, Call, Endpoint, Key};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What a worker needs of an input line. `custom_id` stays as it was written: it goes out unchanged.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    custom_id: &'a RawValue,
    url: Option<String>,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// One request of a chunk, ready to run.
pub struct Request {
    /// A JSON string.
    pub custom_id: Bytes,
    pub call: Call,
}

/// Parses an input line that intake has validated. `endpoint` is the job's, `key` the line's.
pub fn request(line: &Bytes, endpoint: Option<&str>, key: Key) -> Result<Request, String> {
    let text = std::str::from_utf8(line).map_err(|e| e.to_string())?;
    let parsed: Line<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let url = parsed.url.as_deref().or(endpoint).unwrap_or(Endpoint::Chat.url());
    let endpoint: Endpoint = url.parse().map_err(|_| format!("url '{url}' is not served"))?;
    let slice = |raw: &RawValue| line.slice_ref(raw.get().as_bytes());
    Ok(Request { custom_id: slice(parsed.custom_id), call: Call { endpoint, body: slice(parsed.body), key } })
}

/// Appends the output line of an answer: the OpenAI form, with its line end. `number` is the request's in the job.
pub fn answer(out: &mut Vec<u8>, job: JobId, number: u64, custom_id: &[u8], answer: &Answer) {
    let job = job.uuid().simple();
    begin(out, &format!("batch_req_{job}_{number}"), custom_id);
    let response = format!(r#"{{"status_code":{},"request_id":"req_{job}_{number}","body":"#, answer.status);
    out.extend_from_slice(response.as_bytes());
    out.extend_from_slice(answer.body.as_bytes());
    out.extend_from_slice(b"},\"error\":null}\n");
}

/// Appends an error line that is no HTTP answer. `code` and `message` are our own words.
pub fn error(out: &mut Vec<u8>, job: JobId, number: u64, custom_id: &[u8], code: &str, message: &str) {
    begin(out, &format!("batch_req_{}_{number}", job.uuid().simple()), custom_id);
    let message = serde_json::Value::from(message);
    out.extend_from_slice(format!("null,\"error\":{{\"code\":\"{code}\",\"message\":{message}}}}}\n").as_bytes());
}

/// The number of the request that a line belongs to. None: it is no line of this job.
pub fn number(line: &[u8], job: JobId) -> Option<u64> {
    let prefix = format!("{{\"id\":\"batch_req_{}_", job.uuid().simple());
    let rest = line.strip_prefix(prefix.as_bytes())?;
    let digits = rest.split(|b| *b == b'"').next().filter(|digits| digits.len() < rest.len())?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn begin(out: &mut Vec<u8>, id: &str, custom_id: &[u8]) {
    out.extend_from_slice(b"{\"id\":\"");
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b"\",\"custom_id\":");
    out.extend_from_slice(custom_id);
    out.extend_from_slice(b",\"response\":");
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::Usage;
    use serde_json::json;

    #[test]
    fn an_answer_keeps_its_custom_id() {
        let line = Bytes::from_static(br#"{"custom_id":"a\"\u00e9","body":{"messages":[]}}"#);
        let request = request(&line, None, Key::seeded(0)).unwrap();
        assert_eq!(request.call.endpoint, Endpoint::Chat);
        assert_eq!(&request.call.body[..], br#"{"messages":[]}"#);
        let (mut out, job) = (Vec::new(), JobId::keyed("t", "k"));
        let given = Answer::good(r#"{"object":"chat.completion"}"#.into(), Usage::default());
        answer(&mut out, job, 7, &request.custom_id, &given);
        error(&mut out, job, 8, &request.custom_id, "batch_expired", "too \"late\"");
        let lines: Vec<serde_json::Value> =
            out.split_inclusive(|b| *b == b'\n').map(|l| serde_json::from_slice(l).unwrap()).collect();
        let numbers: Vec<_> = out.split_inclusive(|b| *b == b'\n').map(|line| number(line, job)).collect();
        assert_eq!(numbers, [Some(7), Some(8)]);
        assert_eq!((number(&out, JobId::keyed("t", "other")), number(&out[..51], job)), (None, None));
        assert_eq!(lines[0]["custom_id"], "a\"\u{e9}");
        assert_eq!(lines[0]["response"]["status_code"], 200);
        assert_eq!(lines[0]["response"]["body"]["object"], "chat.completion");
        assert_eq!(lines[0]["error"], json!(null));
        assert_eq!(lines[1]["response"], json!(null));
        assert_eq!(lines[1]["error"], json!({"code": "batch_expired", "message": "too \"late\""}));
    }

    #[test]
    fn the_lines_own_url_comes_first() {
        let line = Bytes::from_static(br#"{"custom_id":"a","url":"/v1/completions","body":{"prompt":"x"}}"#);
        assert_eq!(
            request(&line, Some("/v1/chat/completions"), Key::seeded(0)).unwrap().call.endpoint,
            Endpoint::Completions
        );
        assert!(request(&Bytes::from_static(b"{}"), None, Key::seeded(0)).is_err());
    }
}
