//! The messages of a chat.
use serde_json::{Value, json};

pub fn chat(system: Option<&str>, text: Value) -> Vec<Value> {
    let user = json!({"role": "user", "content": text});
    system.map(said).into_iter().chain([user]).collect()
}

fn said(system: &str) -> Value {
    json!({"role": "system", "content": system})
}

/// The chat of a column: a list, or JSON text of one. `system` comes first unless the chat has one.
pub fn of(column: &str, value: Option<&Value>, system: Option<&str>) -> Result<Vec<Value>, String> {
    let unlike = || format!("column `{column}` is no list of messages");
    let messages = match value.unwrap_or(&Value::Null) {
        Value::Null => return Err(format!("column `{column}` is null")),
        Value::Array(messages) => messages.clone(),
        Value::String(text) => serde_json::from_str(text).map_err(|_| unlike())?,
        _ => return Err(unlike()),
    };
    let messages: Vec<Value> = messages.into_iter().map(|message| one(column, message)).collect::<Result<_, _>>()?;
    if messages.is_empty() {
        return Err(format!("column `{column}` has no message"));
    }
    let has_own = messages[0]["role"] == "system" || messages[0]["role"] == "developer";
    let system = system.filter(|_| !has_own).map(said);
    Ok(system.into_iter().chain(messages).collect())
}

/// A table gives each message all fields of any: those that are null are left out.
fn one(column: &str, message: Value) -> Result<Value, String> {
    let Value::Object(mut fields) = message else {
        return Err(format!("column `{column}` has a message that is no object"));
    };
    fields.retain(|_, value| !value.is_null());
    match fields.get("role") {
        Some(Value::String(_)) => Ok(Value::Object(fields)),
        _ => Err(format!("column `{column}` has a message without a role")),
    }
}
