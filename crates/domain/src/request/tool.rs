//! Functions that a model may call.
use super::{Refusal, field};
use serde::Deserialize;
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

#[derive(Deserialize)]
struct Raw<'a> {
    r#type: String,
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Deserialize)]
struct Function<'a> {
    name: String,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

const NAME: &str = "tools";
const CHOICE: &str = "tool_choice";

pub fn read(raw: &RawValue) -> Result<Vec<Tool>, Refusal> {
    let raws: Vec<&RawValue> = field::read(NAME, raw)?;
    raws.into_iter().enumerate().map(|(at, raw)| tool(at, raw)).collect()
}

fn tool(at: usize, raw: &RawValue) -> Result<Tool, Refusal> {
    let name = format!("{NAME}[{at}]");
    let tool: Raw<'_> = field::read(&name, raw)?;
    if tool.r#type != "function" {
        return Err(Refusal::unsupported(format!("{name}.type"), "only functions can be called"));
    }
    if tool.function.name.is_empty() {
        return Err(Refusal::invalid(format!("{name}.function.name"), "it is empty"));
    }
    let parameters = tool.function.parameters.filter(|raw| field::given(raw));
    if parameters.is_some_and(|raw| !raw.get().starts_with('{')) {
        return Err(Refusal::wrong_type(format!("{name}.function.parameters"), "a JSON schema is an object"));
    }
    let parameters = parameters.map(|raw| raw.get().to_owned());
    Ok(Tool { name: tool.function.name, parameters, shown: field::read(&name, raw)? })
}

pub fn choice(raw: &RawValue) -> Result<Choice, Refusal> {
    #[derive(Deserialize)]
    struct Named {
        function: Name,
    }
    #[derive(Deserialize)]
    struct Name {
        name: String,
    }
    if raw.get().starts_with('{') {
        return field::read::<Named>(CHOICE, raw).map(|named| Choice::Named(named.function.name));
    }
    match field::read::<String>(CHOICE, raw)?.as_str() {
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
