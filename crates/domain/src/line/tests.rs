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
    assert_eq!(request.body.unwrap().unwrap().sampling.temperature, 0.0);
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
        ("\u{a0}{}", "not valid JSON at column 1: the character U+00A0 stands there (expected value)"),
        ("\u{feff}{}", "not valid JSON at column 1: the character U+FEFF stands there (expected value)"),
        ("\u{1a}", "not valid JSON at column 1: the character U+001A stands there (expected value)"),
        ("{\u{201c}a\u{201d}:1}", "not valid JSON at column 2: the character U+201C stands there"),
        ("{\"a\"\u{ff1a}1}", "not valid JSON at column 5: the character U+FF1A stands there"),
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

#[test]
fn what_a_server_elsewhere_reads_is_looked_at_in_outline_alone() {
    fn read(line: &str) -> Result<Request<'_>, LineError> {
        let reader = |model: Option<&str>| if model == Some("far") { Reader::Server } else { Reader::Own };
        check_for(line.as_bytes(), 1, None, reader)
    }
    let line = |body: &str| format!(r#"{{"custom_id":"a","body":{body}}}"#);
    let image = r#"{"model":"far","guided_mood":1,"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#;
    let far = line(image);
    let input = r#"[{"type":"image_url"}]"#;
    let ask = Ask { prompt_bytes: 22, cap: None, template: crate::load::hash(&input.as_bytes()[..16]) };
    assert_eq!(
        read(&far).unwrap(),
        Request { custom_id: "a".into(), model: Some("far".into()), body: Ok(None), input, ask }
    );
    assert!(read(&far.replace("far", "near")).unwrap().body.is_err());
    assert_eq!(read(&line(r#"{"model":"far"}"#)).unwrap_err().param.as_deref(), Some("body.messages"));
    assert_eq!(read(&line(r#"{"model":"far","messages":[],"a":1,"a":2}"#)).unwrap_err().code, Code::DuplicateParameter);
    let vector = r#"{"custom_id":"a","url":"/v1/embeddings","body":{"model":"far","input":["x","y"]}}"#;
    assert_eq!(read(vector).unwrap().body, Ok(None));
    let near = read(&vector.replace("far", "near")).unwrap_err();
    assert!(near.code == Code::UrlMismatch && near.message.contains("does not serve /v1/embeddings"), "{near:?}");
}

#[test]
fn the_input_is_found_where_it_stands() {
    let input = |body: &str| {
        let line = format!(r#"{{"body":{body},"custom_id":"a"}}"#);
        check(line.as_bytes(), 1, None).unwrap().input.to_owned()
    };
    let (one, two) = (r#"{"role":"system","content":"be kind"}"#, r#"{"content":"Hi","role":"user"}"#);
    assert_eq!(input(&format!(r#"{{"n":1,"messages":[{two}]}}"#)), r#""Hi""#);
    assert_eq!(input(&format!(r#"{{"messages":[{one},{two}],"n":1}}"#)), r#""be kind"},{"content":"Hi""#);
    let text = br#"{"custom_id":"a","url":"/v1/completions","body":{"prompt":["x","y"]}}"#;
    assert_eq!(check(text, 1, None).unwrap().input, r#"["x","y"]"#);
}

/// What a forecast needs of it, whoever reads the body.
#[test]
fn a_request_tells_how_much_it_asks_for() {
    let line = |body: &str| format!(r#"{{"custom_id":"a","body":{{{body}}}}}"#);
    let ask = |body: &str, reader: Reader| check_for(line(body).as_bytes(), 1, None, |_| reader).unwrap().ask;
    let system = |words: &str, rest: &str| {
        format!(r#""messages":[{{"role":"system","content":"{words}"}},{{"role":"user","content":"x"}}]{rest}"#)
    };
    let (kind, curt) = (system("be kind", r#","max_tokens":7,"n":2"#), system("be curt", ""));
    for reader in [Reader::Own, Reader::Server] {
        let (kind, curt) = (ask(&kind, reader), ask(&curt, reader));
        assert_eq!((kind.cap, curt.cap), (Some(14), None));
        assert_ne!(kind.template, curt.template);
        assert_eq!(kind.prompt_bytes, r#""be kind"},{"role":"user","content":"x""#.len() as u32);
    }
    let user = |words: &str| format!(r#""messages":[{{"role":"user","content":"{words}"}}]"#);
    let template = |words: &str| ask(&user(words), Reader::Own).template;
    assert_eq!(template("Translate into Greek: one"), template("Translate into Greek: two"));
    assert_ne!(template("Sum up: one"), template("Translate into Greek: one"));
}

#[test]
fn a_pool_that_makes_embeddings_takes_nothing_else() {
    let pool: Pool = "vectors".parse().unwrap();
    let read = |url: &str, body: &str| {
        let line = format!(r#"{{"custom_id":"a","url":"{url}","body":{{"model":"m",{body}}}}}"#);
        let read = check_for(line.as_bytes(), 1, None, |_| Reader::Embeds(&pool));
        read.map(|request| (request.body, request.model, request.input.to_owned()))
    };
    let good = read("/v1/embeddings", r#""input":["x","y"],"user":"u""#).unwrap();
    assert_eq!(good, (Ok(None), Some("m".to_owned()), r#"["x","y"]"#.to_owned()));
    let (body, model, _) = read("/v1/embeddings", r#""input":"x","top_p":1"#).unwrap();
    assert_eq!((body.unwrap_err().param.as_deref(), model.as_deref()), (Some("top_p"), Some("m")));
    let error = read("/v1/embeddings", r#""input":7"#).unwrap_err();
    assert_eq!((error.code, error.param.as_deref()), (Code::InvalidType, Some("body.input")));
    for (url, body) in [("/v1/completions", r#""prompt":"x""#), ("/v1/chat/completions", r#""messages":[]"#)] {
        let error = read(url, body).unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (Code::UrlMismatch, Some("url")));
        assert_eq!(
            error.message,
            format!(
                "the request's pool 'vectors' makes embeddings and does not serve {url}; its lines have the url /v1/embeddings"
            )
        );
    }
}

#[test]
fn a_line_may_say_that_it_is_no_request() {
    let line = br#"{"custom_id":"a","refused":"column `t` is null","body":{"model":"m"}}"#;
    for reader in [Reader::Own, Reader::Server] {
        let request = check_for(line, 1, Some("/v1/embeddings"), |_| reader).unwrap();
        assert_eq!(request.model.as_deref(), Some("m"));
        let refusal = request.body.unwrap_err();
        assert_eq!((refusal.message.as_str(), refusal.is_shape()), ("column `t` is null", false));
    }
    let line = br#"{"custom_id":"a","refused":7,"body":{}}"#;
    assert_eq!(check(line, 1, None).unwrap_err().param.as_deref(), Some("refused"));
}
