//! A model's chat template: from messages to the text of a prompt, as Hugging Face's transformers renders it.

use std::collections::HashSet;

use minijinja::{Environment, Error, ErrorKind, Value, value::Kwargs};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

pub struct Template {
    environment: Environment<'static>,
    /// The names that it asks for.
    asks: HashSet<String>,
    sources: Vec<String>,
    marks: Marks,
}

/// The tokens that a template may name.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    pub bos: Option<String>,
    pub eos: Option<String>,
    pub unk: Option<String>,
}

const PLAIN: &str = "default";
const TOOLS: &str = "tool_use";

impl Template {
    /// `sources` are templates with their names: `default`, and for some models `tool_use`.
    pub fn new(sources: Vec<(String, String)>, marks: Marks) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_lstrip_blocks(true);
        environment.set_trim_blocks(true);
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", raise);
        environment.add_function("strftime_now", strftime_now);
        environment.add_function("range", range);
        let mut asks = HashSet::new();
        for (name, source) in &sources {
            let source = portable(source);
            environment.add_template_owned(name.clone(), source).map_err(|error| error.to_string())?;
            asks.extend(environment.get_template(name).map_err(|error| error.to_string())?.undeclared_variables(false));
        }
        let sources = sources.into_iter().map(|(_, source)| source).collect();
        Ok(Self { environment, asks, sources, marks })
    }

    /// Whether a variable of this name changes anything.
    pub fn asks(&self, name: &str) -> bool {
        self.asks.contains(name)
    }

    pub fn holds(&self, text: &str) -> bool {
        self.sources.iter().any(|source| source.contains(text))
    }

    /// `variables` has `messages`, `tools` where there are some, and what else the request names.
    pub fn render(&self, mut variables: serde_json::Map<String, serde_json::Value>) -> Result<String, String> {
        let Marks { bos, eos, unk } = &self.marks;
        for (name, mark) in [("bos_token", bos), ("eos_token", eos), ("unk_token", unk)] {
            variables.extend(mark.as_ref().map(|mark| (name.to_owned(), mark.as_str().into())));
        }
        variables.insert("add_generation_prompt".to_owned(), true.into());
        let wanted = if variables.contains_key("tools") { [TOOLS, PLAIN] } else { [PLAIN, TOOLS] };
        let template = wanted.iter().find_map(|name| self.environment.get_template(name).ok());
        let template = template.ok_or("the model has no chat template")?;
        template.render(Value::from_serialize(&variables)).map_err(|error| words(&error))
    }
}

/// The template's own words, where it raises an exception with some.
fn words(error: &Error) -> String {
    match (error.kind(), error.detail()) {
        (ErrorKind::InvalidOperation, Some(detail)) => detail.to_owned(),
        _ => error.to_string(),
    }
}

/// What Jinja takes, and this renderer writes in another way or has no use for.
fn portable(source: &str) -> String {
    let mut source = source.replace("[::-1]", "|reverse");
    for tag in ["{% generation %}", "{%- generation %}", "{% generation -%}", "{%- generation -%}"] {
        source = source.replace(tag, "").replace(&tag.replace("generation", "endgeneration"), "");
    }
    source
}

fn raise(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

fn strftime_now(format: String) -> String {
    jiff::Zoned::now().strftime(&format).to_string()
}

/// Python's, which also counts down.
fn range(first: i64, second: Option<i64>, step: Option<i64>) -> Result<Vec<i64>, Error> {
    const MOST: usize = 100_000;
    let (start, end) = second.map_or((0, first), |end| (first, end));
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(Error::new(ErrorKind::InvalidOperation, "range() with a step of 0"));
    }
    let more = |at: i64| if step > 0 { at < end } else { at > end };
    Ok(std::iter::successors(Some(start), |at| at.checked_add(step)).take_while(|at| more(*at)).take(MOST).collect())
}

/// Python's `json.dumps` without escapes: blanks after commas and colons.
fn tojson(value: &Value, kwargs: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = kwargs.get("indent").ok().flatten();
    // Nothing is escaped in either case, as transformers asks of Python.
    let _: Option<bool> = kwargs.get("ensure_ascii").ok().flatten();
    match indent {
        Some(width) => dump(value, PrettyFormatter::with_indent(" ".repeat(width).as_bytes())),
        None => dump(value, Spaced),
    }
}

fn dump(value: &Value, formatter: impl Formatter) -> Result<String, Error> {
    let mut text = Vec::new();
    let wrong = |why: String| Error::new(ErrorKind::BadSerialization, why);
    value.serialize(&mut Serializer::with_formatter(&mut text, formatter)).map_err(|error| wrong(error.to_string()))?;
    String::from_utf8(text).map_err(|error| wrong(error.to_string()))
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(source: &str) -> Template {
        let marks = Marks { bos: Some("<s>".to_owned()), ..Marks::default() };
        Template::new(vec![(PLAIN.to_owned(), source.to_owned())], marks).expect("a template")
    }

    fn render(source: &str, variables: serde_json::Value) -> Result<String, String> {
        template(source).render(variables.as_object().expect("an object").clone())
    }

    #[test]
    fn pythons_ways_are_known() {
        let messages = json!({"messages": [{"role": "user", "content": " a "}, {"role": "assistant", "content": "b"}]});
        let cases = [
            ("{{ bos_token }}{{ messages[0].content.strip() }}", "<s>a"),
            ("{% for m in messages[::-1] %}{{ m.role[0] }}{% endfor %}", "au"),
            ("{% for i in range(2, -1, -1) %}{{ i }}{% endfor %}", "210"),
            ("{{ messages[1] | tojson }}", r#"{"role": "assistant", "content": "b"}"#),
            ("{{ [1, {'x': '<'}] | tojson }}", r#"[1, {"x": "<"}]"#),
            ("{% if enable_thinking is defined and enable_thinking is false %}no{% else %}yes{% endif %}", "yes"),
            ("{%- generation %}x{% endgeneration %}", "x"),
            ("{{ messages[0]['content'].split('a')[0] }}.", " ."),
            ("{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.content }}{% endfor %}", "b"),
        ];
        for (source, expected) in cases {
            assert_eq!(render(source, messages.clone()).as_deref(), Ok(expected), "{source}");
        }
    }

    #[test]
    fn an_exception_is_told_in_the_templates_words() {
        let source = "{{ raise_exception('System role not supported') }}";
        assert_eq!(render(source, json!({})), Err("System role not supported".to_owned()));
    }

    #[test]
    fn what_a_template_asks_for_is_known() {
        let template = template("{% if tools %}{{ tools }}{% endif %}{% if enable_thinking is defined %}x{% endif %}");
        assert!(template.asks("tools") && template.asks("enable_thinking") && !template.asks("reasoning_effort"));
    }
}
