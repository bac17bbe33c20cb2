#![allow(clippy::unwrap_used)]
use super::*;
use serde_json::json;

fn row(value: Value) -> Row {
    value.as_object().unwrap().clone()
}

fn line(spec: &Spec, of: Value) -> Value {
    serde_json::from_str(&Mapping::new(spec).unwrap().line("r1", &row(of)).unwrap()).unwrap()
}

fn bad(spec: &Spec, of: Value) -> String {
    Mapping::new(spec).unwrap().line("r1", &row(of)).unwrap_err()
}

fn prompts() -> Spec {
    Spec { prompt_column: Some("text".to_owned()), ..Spec::default() }
}

#[test]
fn a_prompt_becomes_a_chat() {
    let spec = Spec {
        system: Some("Be brief".to_owned()),
        model: Some("m".to_owned()),
        params: row(json!({"max_tokens": 8})),
        ..prompts()
    };
    let want = json!({"custom_id": "r1", "url": "/v1/chat/completions", "body": {
        "messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "hi"}],
        "model": "m", "max_tokens": 8}});
    assert_eq!(line(&spec, json!({"text": "hi"})), want);
    assert_eq!(line(&spec, json!({"text": 7}))["body"]["messages"][1]["content"], "7");
    assert_eq!(bad(&spec, json!({"text": null})), "column `text` is null");
    assert_eq!(bad(&spec, json!({})), "column `text` is null");
    assert_eq!(bad(&spec, json!({"text": ["a"]})), "column `text` is a list and no text");
}

#[test]
fn a_refused_row_says_why_and_where_it_belongs() {
    let mapping = Mapping::new(&Spec { model: Some("m".to_owned()), ..prompts() }).unwrap();
    let line: Value = serde_json::from_str(&mapping.refused("r1", "column `text` is null")).unwrap();
    let want = json!({"custom_id": "r1", "url": "/v1/chat/completions", "refused": "column `text` is null",
        "body": {"model": "m"}});
    assert_eq!(line, want);
}

#[test]
fn completions_and_embeddings_have_bodies_of_their_own() {
    let spec = Spec { endpoint: Some(COMPLETIONS.to_owned()), ..prompts() };
    assert_eq!(line(&spec, json!({"text": "hi"}))["body"], json!({"prompt": "hi"}));
    let spec = Spec { input_column: Some("text".to_owned()), endpoint: Some(EMBEDDINGS.to_owned()), ..Spec::default() };
    assert_eq!(line(&spec, json!({"text": "hi"}))["body"], json!({"input": "hi"}));
}

#[test]
fn a_column_of_chats_is_taken_as_it_is() {
    let spec = Spec { messages_column: Some("m".to_owned()), system: Some("S".to_owned()), ..Spec::default() };
    let said = |value: Value| line(&spec, json!({"m": value}))["body"]["messages"].clone();
    let user = json!({"role": "user", "content": "hi"});
    let want = json!([{"role": "system", "content": "S"}, user]);
    assert_eq!(said(json!([{"role": "user", "content": "hi", "name": null}])), want);
    assert_eq!(said(json!(r#"[{"role":"user","content":"hi"}]"#)), want);
    assert_eq!(said(json!([{"role": "system", "content": "own"}, user]))[0]["content"], "own");
    for wrong in [json!(null), json!([]), json!("no"), json!([1]), json!([{"content": "x"}]), json!({"role": "user"})] {
        assert!(bad(&spec, json!({"m": wrong})).starts_with("column `m`"));
    }
}

#[test]
fn a_template_is_strict_and_prints_no_null() {
    let of = |template: &str| Spec { template: Some(template.to_owned()), ..Spec::default() };
    let said = |template: &str, row: Value| line(&of(template), row)["body"]["messages"][0]["content"].clone();
    assert_eq!(said("{{ a }} and {{ row[\"b c\"] }}", json!({"a": "x", "b c": 2})), "x and 2");
    assert_eq!(said("{% if a is none %}none{% else %}{{ a }}{% endif %}", json!({"a": null})), "none");
    assert_eq!(said("{{ range(2) | join('-') }}<{{ a }}>", json!({"a": "<b>"})), "0-1<<b>>");
    let why = bad(&of("{{ a }}{{ b }}"), json!({"a": null, "b": 1}));
    assert_eq!(why, "the template cannot be rendered: line 1: a null cannot be printed; null are `a`");
    assert!(Mapping::new(&of("{{ a")).is_err());
    let mapping = Mapping::new(&of("{{ a }}{{ titel }}")).unwrap();
    let error = mapping.fits(&["a", "title"]).unwrap_err().to_string();
    assert_eq!(error, "there is no column `titel`; the columns are `a`, `title`");
    assert!(mapping.fits(&["titel", "a"]).is_ok());
}

#[test]
fn a_template_ends_and_prints_no_more_than_a_request_holds() {
    let of = |template: &str| Spec { template: Some(template.to_owned()), ..Spec::default() };
    let why = |template: &str| bad(&of(template), json!({"a": "x"}));
    let long = why("{{ a }}{{ 'y' * 1048576 }}");
    assert_eq!(long, "the template prints more than 1048576 bytes");
    let deep = "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}{{ a }}";
    assert!(why(deep).contains("fuel"), "{}", why(deep));
}

#[test]
fn a_column_overrides_a_field_of_its_row() {
    let by = [("temperature", "t"), ("model", "m")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    let spec = Spec {
        param_columns: by.into(),
        params: row(json!({"temperature": 1})),
        model: Some("small".to_owned()),
        ..prompts()
    };
    let body = line(&spec, json!({"text": "x", "t": "0.5", "m": "7"}))["body"].clone();
    assert_eq!((&body["temperature"], &body["model"]), (&json!(0.5), &json!("7")));
    let body = line(&spec, json!({"text": "x", "t": null}))["body"].clone();
    assert_eq!((&body["temperature"], &body["model"]), (&json!(1), &json!("small")));
}

#[test]
fn a_schema_is_the_form_of_the_answers() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    let spec = Spec { schema: Some(schema.clone()), ..prompts() };
    let format = line(&spec, json!({"text": "x"}))["body"]["response_format"].clone();
    assert_eq!((&format["type"], &format["json_schema"]["schema"]), (&json!("json_schema"), &schema));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let text = || Some("text".to_owned());
    let both = Spec { template: text(), ..prompts() };
    let input = Spec { input_column: text(), ..Spec::default() };
    let system = Spec { system: text(), endpoint: Some(COMPLETIONS.to_owned()), ..prompts() };
    let messages = Spec { messages_column: text(), endpoint: Some(EMBEDDINGS.to_owned()), ..Spec::default() };
    let other = Spec { endpoint: Some("/v1/images".to_owned()), ..prompts() };
    let own = Spec { params: row(json!({"messages": []})), ..prompts() };
    for spec in [Spec::default(), both, input, system, messages, other, own] {
        assert!(Mapping::new(&spec).is_err(), "{spec:?}");
    }
}
