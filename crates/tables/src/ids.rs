//! What a row's request is called: its own id, or its file and number.
use crate::Rows;
use serde_json::Value;

/// The longest id that a request may have.
const ID_BYTES_MAX: usize = 512;
/// Of a file's name in an id: the rest is for the number.
const NAME_BYTES_MAX: usize = 400;

#[derive(Debug, Clone, Default)]
pub struct Ids {
    column: Option<String>,
}

impl Ids {
    pub fn new(column: Option<String>) -> Self {
        Self { column }
    }

    pub fn column(&self) -> Option<&str> {
        self.column.as_deref()
    }

    /// `place` is the file's, `number` the row's in it, 1-based. An error has the id that stands for a missing one.
    pub(crate) fn of(
        &self,
        rows: &Rows,
        at: usize,
        place: &Place<'_>,
        number: u64,
    ) -> Result<String, (String, String)> {
        let Some(column) = &self.column else { return Ok(place.id(number)) };
        let wrong = |why: &str| (place.id(number), format!("column `{column}` {why}"));
        match rows.field(at, column).map_err(|why| (place.id(number), why))? {
            Some(Value::String(id)) if id.is_empty() => Err(wrong("is empty, and names no request")),
            Some(Value::String(id)) if id.len() > ID_BYTES_MAX => Err(wrong("is longer than 512 bytes")),
            Some(Value::String(id)) => Ok(id),
            Some(Value::Number(id)) => Ok(id.to_string()),
            None | Some(Value::Null) => Err(wrong("is null, and names no request")),
            Some(_) => Err(wrong("is neither a text nor a number")),
        }
    }
}

/// A file among those of an input.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub name: &'a str,
    pub file: usize,
}

impl Place<'_> {
    pub fn id(&self, number: u64) -> String {
        match self.name {
            "-" => number.to_string(),
            name if name.len() <= NAME_BYTES_MAX => format!("{name}:{number}"),
            _ => format!("file-{}:{number}", self.file + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_without_an_id_has_its_place() {
        let place = Place { name: "a.csv", file: 0 };
        let ids = Ids::new(Some("id".to_owned()));
        let of = |row: Value| ids.of(&Rows::Objects(vec![Ok(row.as_object().unwrap().clone())]), 0, &place, 7);
        assert_eq!(of(json!({"id": "x"})), Ok("x".to_owned()));
        assert_eq!(of(json!({"id": 12})), Ok("12".to_owned()));
        for bad in
            [json!({}), json!({"id": null}), json!({"id": ""}), json!({"id": []}), json!({"id": "x".repeat(513)})]
        {
            assert_eq!(of(bad).unwrap_err().0, "a.csv:7");
        }
        let lost = Rows::Lost { rows: 1, reason: "broken".to_owned() };
        assert_eq!(ids.of(&lost, 0, &place, 1), Err(("a.csv:1".to_owned(), "broken".to_owned())));
        assert_eq!(Ids::default().of(&lost, 0, &place, 1), Ok("a.csv:1".to_owned()));
    }
}
