use super::*;

const GOOD: &str = r#"{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"tiny","messages":[{"role":"user","content":"Hi"}],"temperature":0}}"#;

fn error(line: &str) -> LineError {
    let error = check(line.as_bytes(), 17, None).unwrap_err();
    assert_eq!(error.line, Some(17));
    error
}

/// A good line in which the body's last field is another.
fn with(field: &str) -> String {
    GOOD.replace(r#""temperature":0"#, field)
}

#[test]
fn a_good_line_gives_its_id_model_and_body() {
    let request = check(GOOD.as_bytes(), 1, None).unwrap();
    assert_eq!((&*request.custom_id, request.model.as_deref()), ("a", Some("tiny")));
    assert_eq!(request.body.unwrap().sampling.temperature, 0.0);
}

#[test]
fn url_and_method_may_be_left_out() {
    let line = br#"{"custom_id":"a","method":null,"body":{"prompt":["x","y"]}}"#;
    assert!(check(line, 1, Some("/v1/completions")).is_ok());
    let line = br#"{"custom_id":"a","body":{"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]}}"#;
    assert!(check(line, 1, None).is_ok());
}

#[test]
fn each_mistake_has_its_code_and_field() {
    let swap = |from: &str, to: &str| GOOD.replace(from, to);
    let message = r#"{"role":"user","content":"Hi"}"#;
    for (line, code, field) in [
        ("{".to_owned(), Code::InvalidJsonLine, ""),
        ("[1]".to_owned(), Code::InvalidJsonLine, ""),
        (format!("{GOOD} x"), Code::InvalidJsonLine, ""),
        (swap(r#""custom_id":"a","#, ""), Code::MissingRequiredParameter, "custom_id"),
        (swap(r#""custom_id":"a""#, r#""custom_id":null"#), Code::MissingRequiredParameter, "custom_id"),
        (swap(r#""custom_id":"a""#, r#""custom_id":7"#), Code::InvalidType, "custom_id"),
        (swap(r#""custom_id":"a""#, r#""custom_id":"""#), Code::InvalidValue, "custom_id"),
        (swap(r#""custom_id":"a""#, r#""custom_id":"a","custom_id":"b""#), Code::DuplicateParameter, "custom_id"),
        (swap("POST", "GET"), Code::InvalidMethod, "method"),
        (swap("/v1/chat/completions", "/v1/embeddings"), Code::UrlMismatch, "url"),
        (r#"{"custom_id":"a"}"#.to_owned(), Code::MissingRequiredParameter, "body"),
        (r#"{"custom_id":"a","body":"{}"}"#.to_owned(), Code::InvalidType, "body"),
        (with(r#""temperature":"hot""#), Code::InvalidType, "body.temperature"),
        (with(r#""stop":5"#), Code::InvalidType, "body.stop"),
        (with(r#""top_k":"5""#), Code::InvalidType, "body.top_k"),
        (with(r#""seed":1,"seed":1"#), Code::DuplicateParameter, "body.seed"),
        (with(r#""response_format":"json_object""#), Code::InvalidType, "body.response_format"),
        (swap(&format!("[{message}]"), "[]"), Code::MissingRequiredParameter, "body.messages"),
        (swap(&format!("[{message}]"), "7"), Code::InvalidType, "body.messages"),
        (swap(message, r#"["user","Hi"]"#), Code::InvalidType, "body.messages[0]"),
        (swap(message, r#"{"content":"Hi"}"#), Code::MissingRequiredParameter, "body.messages[0].role"),
        (swap(message, r#"{"role":"user","content":5}"#), Code::InvalidType, "body.messages[0].content"),
        (
            swap(message, r#"{"role":"user","content":"a","content":"b"}"#),
            Code::DuplicateParameter,
            "body.messages[0].content",
        ),
        (swap(&format!(r#""messages":[{message}],"#), ""), Code::MissingRequiredParameter, "body.messages"),
    ] {
        let error = error(&line);
        assert_eq!((error.code, error.param.as_deref().unwrap_or_default()), (code, field), "{line}: {error:?}");
        assert!(!error.message.is_empty());
    }
}

#[test]
fn broken_json_is_told_with_its_column() {
    for (line, words) in [
        (r#"{"custom_id":7,"bo"#, "not valid JSON at column 18: the line is cut off (EOF while parsing a string)"),
        (r#"{"custom_id":"a",}"#, "not valid JSON at column 18: trailing comma"),
        (r#"{"é":NaN}"#, "not valid JSON at column 6: NaN is not JSON"),
        (r#"{"a":-Infinity}"#, "-Infinity is not JSON"),
        (r#"{"a":Infinity}"#, "at column 6: Infinity is not JSON"),
        (r#"{"a":None}"#, "None is not JSON"),
        (
            r#"{"a":1}{"a":2}"#,
            "at column 8: more than one object on the line; write one a line (with curl use --data-binary",
        ),
        (r#"{"a":1},"#, "at column 8: a comma after the object"),
        ("hello", "not valid JSON at column 1: expected value"),
        ("[1,2]", "a line must be one JSON object, and this one is a list"),
        ("null", "this one is null"),
        ("\"x\"", "this one is a string"),
        ("7", "this one is a number"),
    ] {
        let error = error(line);
        assert_eq!(error.code, Code::InvalidJsonLine);
        assert!(error.message.contains(words), "{line}: {}", error.message);
    }
}

/// Wherever it stands, also where nobody reads it.
#[test]
fn half_of_a_surrogate_pair_is_told_in_plain_words() {
    for field in [r#""user":"\ud83d""#, r#""user":"\ude00""#, r#""user":"\\\ud83d\u0041""#, r#""\ud83d":1"#] {
        let error = error(&with(field));
        assert_eq!((error.code, &error.param), (Code::InvalidJsonLine, &None));
        assert!(error.message.starts_with("half of a surrogate pair at column 1"), "{}", error.message);
    }
    for field in [r#""user":"\ud83d\ude00""#, r#""user":"\\ud83d""#, r#""user":"\u00e9\n\"""#] {
        assert!(check(with(field).as_bytes(), 1, None).is_ok(), "{field}");
    }
}

#[test]
fn a_refused_request_is_no_error_of_its_file() {
    for (field, param) in [
        (r#""max_tokens":-5"#, "max_tokens"),
        (r#""temperature":1e400"#, "temperature"),
        (r#""max_tokens":1e400"#, "max_tokens"),
        (r#""stream":true"#, "stream"),
        (r#""nonsense":1"#, "nonsense"),
    ] {
        let line = with(field);
        let request = check(line.as_bytes(), 1, None).unwrap();
        assert_eq!(request.model.as_deref(), Some("tiny"), "its model still picks its pool");
        assert_eq!(request.body.unwrap_err().param.as_deref(), Some(param));
    }
}

#[test]
fn a_field_is_named_once_and_what_is_there_is_shown() {
    let error = error(&with(r#""top_p":"hot""#));
    assert_eq!(error.message, r#"Invalid type for `top_p`: expected a number, got the string "hot""#);
}

#[test]
fn a_mistake_is_short_however_long_its_field_is() {
    let long = format!(r#"{{"custom_id":"a","body":{{"prompt":"x","logit_bias":{{"{}":"no"}}}}}}"#, "k".repeat(9_999));
    let error = check(long.as_bytes(), 1, Some("/v1/completions")).unwrap_err();
    assert!(error.param.as_deref().unwrap().starts_with("body.logit_bias.kkk"), "{error:?}");
    let chars = [error.param.unwrap(), error.message].map(|text| text.chars().count());
    assert_eq!(chars, [REASON_CHARS_MAX; 2]);
}

#[test]
fn invalid_utf8_names_the_byte() {
    let error = check(b"{\"custom_id\":\"\xff\"}", 3, None).unwrap_err();
    assert_eq!(error.code, Code::InvalidUtf8);
    assert!(error.message.contains("byte 15"), "{}", error.message);
}

#[test]
fn a_line_of_another_endpoint_than_the_jobs_is_refused() {
    let error = check(GOOD.as_bytes(), 1, Some("/v1/completions")).unwrap_err();
    assert_eq!(error.code, Code::UrlMismatch);
}
