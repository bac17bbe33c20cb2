//! A line of an output or error file: the OpenAI form, rendered by workers and archivers, found again by its number.
use bytes::Bytes;
use domain::JobId;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io::Write;

/// The `custom_id` of an input line, as it was written there; `null` where the line cannot be read.
pub fn custom_id(line: &Bytes) -> Bytes {
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        custom_id: &'a RawValue,
    }
    match serde_json::from_slice::<Line<'_>>(line) {
        Ok(read) => line.slice_ref(read.custom_id.get().as_bytes()),
        Err(_) => Bytes::from_static(b"null"),
    }
}

/// Appends the output line of an answer: the OpenAI form, with its line end. `number` is the request's in the job.
pub fn answer(out: &mut Vec<u8>, job: JobId, number: u64, custom_id: &[u8], status: u16, body: &str) {
    begin(out, job, number, custom_id);
    let job = job.uuid().simple();
    put(out, format_args!(r#"{{"status_code":{status},"request_id":"req_{job}_{number}","body":"#));
    out.extend_from_slice(body.as_bytes());
    out.extend_from_slice(b"},\"error\":null}\n");
}

/// Appends an error line that is no HTTP answer. `code` and `message` are our own words.
pub fn error(out: &mut Vec<u8>, job: JobId, number: u64, custom_id: &[u8], code: &str, message: &str) {
    begin(out, job, number, custom_id);
    let message = serde_json::Value::from(message);
    put(out, format_args!("null,\"error\":{{\"code\":\"{code}\",\"message\":{message}}}}}\n"));
}

/// The number of the request that a line belongs to. None: it is no line of this job.
pub fn number(line: &[u8], job: JobId) -> Option<u64> {
    let prefix = format!("{{\"id\":\"batch_req_{}_", job.uuid().simple());
    let rest = line.strip_prefix(prefix.as_bytes())?;
    let digits = rest.split(|b| *b == b'"').next().filter(|digits| digits.len() < rest.len())?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn begin(out: &mut Vec<u8>, job: JobId, number: u64, custom_id: &[u8]) {
    put(out, format_args!("{{\"id\":\"batch_req_{}_{number}\",\"custom_id\":", job.uuid().simple()));
    out.extend_from_slice(custom_id);
    out.extend_from_slice(b",\"response\":");
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a vector takes all");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_is_of_the_openai_form_and_is_found_by_its_number() {
        let line = Bytes::from_static(br#"{"custom_id":"a\"\u00e9","body":{"messages":[]}}"#);
        let (mut out, job, id) = (Vec::new(), JobId::keyed("t", "k"), custom_id(&line));
        answer(&mut out, job, 7, &id, 200, r#"{"object":"chat.completion"}"#);
        error(&mut out, job, 8, &id, "batch_expired", "too \"late\"");
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
    fn what_is_no_line_has_no_id() {
        assert_eq!(custom_id(&Bytes::from_static(b"{}")), "null");
        assert_eq!(custom_id(&Bytes::new()), "null");
    }
}
