//! How fast intake reads lines: `cargo run -p jetbatch-domain --release --example lines [plain|full|long]`.
use domain::line::check;
use std::time::Instant;

const ROUNDS: u32 = 7;
const LINES: u32 = 200_000;

fn main() {
    let words = "lorem ipsum dolor sit amet ".repeat(6);
    let plain = format!(
        r#"{{"custom_id":"request-0000000001","method":"POST","url":"/v1/chat/completions","body":{{"model":"echo","messages":[{{"role":"user","content":"{words}"}}],"max_tokens":64}}}}"#
    );
    let full = format!(
        r#"{{"custom_id":"request-0000000001","method":"POST","url":"/v1/chat/completions","body":{{"model":"echo","messages":[{{"role":"system","content":"Be brief.\nBe kind."}},{{"role":"user","content":"{words}"}},{{"role":"assistant","content":"{words}"}},{{"role":"user","content":"{words}"}}],"temperature":0.7,"top_p":0.9,"seed":7,"stop":["\n\n"],"max_tokens":64,"logprobs":true,"top_logprobs":5,"user":"u-1","metadata":{{"a":"b"}},"response_format":{{"type":"json_schema","json_schema":{{"name":"x","strict":true,"schema":{{"type":"object","properties":{{"a":{{"type":"string"}}}},"required":["a"]}}}}}}}}}}"#
    );
    let long = format!(
        r#"{{"custom_id":"request-0000000001","method":"POST","url":"/v1/completions","body":{{"prompt":"{}","max_tokens":64}}}}"#,
        words.repeat(40)
    );
    let only = std::env::args().nth(1);
    let kinds = [("plain", plain), ("full", full), ("long", long)];
    for (name, line) in kinds.into_iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name)) {
        let best = (0..ROUNDS).map(|_| nanos(&line)).min().unwrap_or_default();
        println!("{name:<6} {:>5} bytes {best:>6} ns a line", line.len());
    }
}

fn nanos(line: &str) -> u128 {
    let begun = Instant::now();
    let good = (0..LINES).filter(|_| check(std::hint::black_box(line.as_bytes()), 1, None).is_ok()).count();
    assert_eq!(good, LINES as usize, "{line}");
    begun.elapsed().as_nanos() / u128::from(LINES)
}
