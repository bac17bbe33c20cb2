//! Functions that a model may call.
use super::{Refusal, cut::Object, field, twice};
use serde_json::{Value, value::RawValue};

/// A function, and the whole object as a chat template prints it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    pub name: String,
    /// The JSON schema of its arguments, as it was written.
    pub parameters: Option<String>,
    pub shown: Value,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Choice {
    None,
    /// Calls, or an answer in words.
    #[default]
    Auto,
    /// At least one call.
    Required,
    /// A call of this function.
    Named(String),
}

const NAME: &str = "tools";
const CHOICE: &str = "tool_choice";

pub fn read(raw: &RawValue) -> Result<Vec<Tool>, Refusal> {
    let raws: Vec<&RawValue> = field::typed(&NAME, raw, "a list of tools")?;
    raws.into_iter().enumerate().map(|(at, raw)| tool(&format!("{NAME}[{at}]"), raw)).collect()
}

fn tool(name: &str, raw: &RawValue) -> Result<Tool, Refusal> {
    twice::refuse(&name, raw)?;
    let function = function(name, raw)?;
    let below = |field: &str| format!("{name}.function.{field}");
    let Object(fields) = field::object(&format!("{name}.function"), function)?;
    let find = |key: &str| fields.iter().find(|(other, raw)| other == key && field::given(raw)).map(|(_, raw)| *raw);
    let own = find("name").ok_or_else(|| Refusal::missing(&below("name")).alone())?;
    let own = field::text(&below("name"), own)?;
    if own.is_empty() {
        return Err(Refusal::invalid(below("name"), "it is empty"));
    }
    let parameters = find("parameters").map(|raw| raw.get().to_owned());
    if parameters.as_ref().is_some_and(|schema| !schema.starts_with('{')) {
        return Err(Refusal::wrong_type(below("parameters"), "a JSON schema is an object"));
    }
    Ok(Tool { name: own, parameters, shown: field::typed(&name, raw, "an object")? })
}

/// The `function` of `{"type": "function", "function": {...}}`.
fn function<'a>(name: &str, raw: &'a RawValue) -> Result<&'a RawValue, Refusal> {
    let Object(fields) = field::object(&name, raw)?;
    let find = |key: &str| fields.iter().find(|(other, raw)| other == key && field::given(raw)).map(|(_, raw)| *raw);
    let missing = |key: &str| Refusal::missing(&format!("{name}.{key}")).alone();
    let kind = field::text(&format_args!("{name}.type"), find("type").ok_or_else(|| missing("type"))?)?;
    match kind.as_str() {
        "function" => find("function").ok_or_else(|| missing("function")),
        _ => Err(Refusal::unsupported(format!("{name}.type"), "only functions can be called")),
    }
}

pub fn choice(raw: &RawValue) -> Result<Choice, Refusal> {
    if raw.get().starts_with('{') {
        let Object(fields) = field::object(&"tool_choice.function", function(CHOICE, raw)?)?;
        let name = fields.into_iter().find(|(key, _)| key == "name");
        let (_, name) = name.ok_or_else(|| Refusal::missing("tool_choice.function.name").alone())?;
        return field::text(&"tool_choice.function.name", name).map(Choice::Named);
    }
    match field::typed::<String>(&CHOICE, raw, "a string or an object")?.as_str() {
        "none" => Ok(Choice::None),
        "auto" => Ok(Choice::Auto),
        "required" => Ok(Choice::Required),
        other => Err(Refusal::invalid(CHOICE, format!("`{other}` is not none, auto, required or a function"))),
    }
}

/// Whether what is chosen is there.
pub fn check(tools: &[Tool], choice: &Choice) -> Result<(), Refusal> {
    match choice {
        Choice::Required if tools.is_empty() => Err(Refusal::invalid(CHOICE, "there are no tools")),
        Choice::Named(name) if tools.iter().all(|tool| tool.name != *name) => {
            Err(Refusal::invalid(CHOICE, format!("no tool has the name `{name}`")))
        }
        _ => Ok(()),
    }
}
