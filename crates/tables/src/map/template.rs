//! A template over the columns of a row. A column that nobody has is found before anything runs; a null is nothing to print.
use super::body::LINE_BYTES_MAX;
use crate::{Error, Row};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, escape_formatter, value::Value};
use std::{
    collections::BTreeSet,
    io::{self, Write},
};

const NAME: &str = "template";
/// The whole row, for columns whose names are no words: `{{ row["a b"] }}`.
const ROW: &str = "row";

/// Steps of one row: a template may come from anybody who may submit, and loops end.
const STEPS_MAX: u64 = 200_000;

/// What a template prints, as far as a request has room for it.
#[derive(Default)]
struct Printed(Vec<u8>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LINE_BYTES_MAX {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub struct Template {
    environment: Environment<'static>,
    columns: BTreeSet<String>,
    takes_row: bool,
}

impl Template {
    pub fn new(source: &str) -> Result<Self, Error> {
        let wrong = |error: minijinja::Error| Error::Asked(format!("the template is wrong: {}", said(&error)));
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(STEPS_MAX));
        environment.set_formatter(|out, state, value| match value.is_none() {
            true => Err(minijinja::Error::new(ErrorKind::InvalidOperation, "a null cannot be printed")),
            false => escape_formatter(out, state, value),
        });
        environment.add_template_owned(NAME, source.to_owned()).map_err(wrong)?;
        let mut columns: BTreeSet<String> =
            environment.get_template(NAME).map_err(wrong)?.undeclared_variables(false).into_iter().collect();
        columns.retain(|name| environment.globals().all(|(global, _)| global != name));
        let takes_row = columns.remove(ROW);
        Ok(Self { environment, columns, takes_row })
    }

    pub fn columns(&self) -> impl Iterator<Item = &String> {
        self.columns.iter()
    }

    pub const fn takes_row(&self) -> bool {
        self.takes_row
    }

    pub fn render(&self, row: &Row) -> Result<String, String> {
        let whole = self.takes_row.then(|| (ROW.to_owned(), Value::from_serialize(row)));
        let null = serde_json::Value::Null;
        let columns = self.columns.iter().map(|name| {
            let value = row.get(name).unwrap_or(&null);
            (name.clone(), Value::from_serialize(value))
        });
        let context: Value = columns.chain(whole).collect();
        let template = self.environment.get_template(NAME).map_err(|error| said(&error))?;
        let mut printed = Printed::default();
        match template.render_captured_to(context, &mut printed) {
            Ok(_) => String::from_utf8(printed.0).map_err(|error| error.to_string()),
            Err(error) if error.kind() == ErrorKind::WriteFailure => {
                Err(format!("the template prints more than {LINE_BYTES_MAX} bytes"))
            }
            Err(error) => Err(self.why(row, &error)),
        }
    }

    fn why(&self, row: &Row, error: &minijinja::Error) -> String {
        let nulls = self.columns.iter().filter(|name| row.get(*name).is_none_or(serde_json::Value::is_null));
        let nulls = crate::map::listed(nulls.map(String::as_str));
        let nulls = if nulls.is_empty() { nulls } else { format!("; null are {nulls}") };
        format!("the template cannot be rendered: {}{nulls}", said(error))
    }
}

fn said(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    match error.detail() {
        Some(detail) => format!("{line}{detail}"),
        None => format!("{line}{}", error.kind()),
    }
}
