//! A job's settings as names and values: query parameters, or form fields before the file.
use super::{error::Rejection, limits};
use domain::{
    event::Priority,
    submission::{Checked, Submission},
    table::{Given, Map, Table},
};
use std::collections::BTreeMap;
use url::form_urlencoded;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, String>);

const METADATA: &str = "metadata.";
const MAP: &str = "map";
/// No client gives it as a field.
const FILE_NAME: &str = "file name";
const KNOWN: [&str; 8] = ["id", "model", "endpoint", "completion_window", "priority", "strict", "webhook_url", MAP];

impl Fields {
    pub fn query(query: Option<&str>) -> Result<Self, Rejection> {
        let mut fields = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            fields.add(&name, value.into_owned())?;
        }
        Ok(fields)
    }

    pub fn add(&mut self, name: &str, value: String) -> Result<(), Rejection> {
        let is_known = KNOWN.contains(&name) || name.strip_prefix(METADATA).is_some_and(|key| !key.is_empty());
        if !is_known {
            let message = format!("is not known; use {} or metadata.<key>", KNOWN.join(", "));
            return Err(Rejection::invalid(format!("'{}' {message}", clipped(name))).param(clipped(name)));
        }
        if self.0.len() >= limits::FIELDS_MAX {
            return Err(Rejection::invalid(format!("more than {} fields", limits::FIELDS_MAX)));
        }
        match self.0.insert(name.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(Rejection::invalid(format!("'{}' is given twice", clipped(name))).param(clipped(name))),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the file is a table.
    pub fn is_mapped(&self) -> bool {
        self.0.contains_key(MAP)
    }

    /// What a file is called where it comes in a form.
    pub fn name(&mut self, file: &str) {
        self.0.insert(FILE_NAME.to_owned(), file.to_owned());
    }

    fn input(&self, url: String) -> Result<Given, Rejection> {
        let Some(text) = self.0.get(MAP) else { return Ok(url.into()) };
        let mut json = serde_json::Deserializer::from_str(text);
        let mut map: Map = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            Rejection::invalid(format!("'map' is JSON, as docs/tables.md has it: {}: {}", error.path(), error.inner()))
                .param(MAP)
        })?;
        map.name = map.name.or_else(|| self.0.get(FILE_NAME).cloned());
        Ok(Given::Table(Box::new(Table { url, map })))
    }

    /// The submission they describe, of an input to come.
    pub fn submission(&self, input: String) -> Result<Checked, Rejection> {
        let text = |name: &str| self.0.get(name).cloned();
        let id = self.0.get("id").map(|id| id.parse().map_err(|e| Rejection::invalid(format!("{e}")).param("id")));
        let metadata = self.0.iter().filter_map(|(k, v)| Some((k.strip_prefix(METADATA)?.to_owned(), v.clone())));
        let submission = Submission {
            id: id.transpose()?,
            model: text("model"),
            endpoint: text("endpoint"),
            completion_window: text("completion_window"),
            priority: self.0.get("priority").map(|word| priority(word)).transpose()?,
            strict: self.0.get("strict").map(|word| flag(word)).transpose()?.unwrap_or_default(),
            metadata: metadata.collect(),
            input: Some(self.input(input)?),
            webhook_url: text("webhook_url"),
            ..Submission::default()
        };
        Ok(submission.check()?)
    }

    /// Of a file and all that was asked for it, but for the id: that is what it is compared under.
    pub fn fingerprint(&self, content: &blake3::Hash) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(content.as_bytes());
        for part in self.0.iter().filter(|(name, _)| *name != "id").flat_map(|(name, value)| [name, value]) {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

fn priority(word: &str) -> Result<Priority, Rejection> {
    word.parse().map_err(|_| {
        Rejection::invalid("'priority' must be high, normal or low (or urgent, standard, background)").param("priority")
    })
}

fn flag(word: &str) -> Result<bool, Rejection> {
    match word {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Rejection::invalid("'strict' must be true or false").param("strict")),
    }
}

pub fn clipped(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_describes_a_submission() {
        let fields = Fields::query(Some("model=tiny&completion_window=2h&priority=high&metadata.team=a%20b")).unwrap();
        let submission = fields.submission("upload://x".into()).unwrap();
        assert_eq!(submission.model.as_deref(), Some("tiny"));
        assert_eq!(submission.window_ms(), 7_200_000);
        assert_eq!(submission.priority, Some(Priority::High));
        assert_eq!(submission.metadata["team"], "a b");
        assert!(!submission.strict);
        let strict = |query| Fields::query(Some(query)).unwrap().submission("upload://x".into()).unwrap().strict;
        assert_eq!((strict("strict=true"), strict("strict=false")), (true, false));
        assert!(Fields::query(None).unwrap().submission("upload://x".into()).is_ok());
    }

    #[test]
    fn a_mistake_names_its_field() {
        let param = |query: &str| {
            let submission = Fields::query(Some(query)).and_then(|fields| fields.submission("upload://x".into()));
            submission.unwrap_err().param.unwrap_or_default()
        };
        assert_eq!(param("modle=x"), "modle");
        assert_eq!(param("model=x&model=y"), "model");
        assert_eq!(param("metadata.=x"), "metadata.");
        assert_eq!(param("priority=at+once"), "priority");
        assert_eq!(param("completion_window=soon"), "completion_window");
        assert_eq!(param("strict=yes"), "strict");
        assert_eq!(param("id=7"), "id");
        assert_eq!(param("webhook_url=here"), "webhook_url");
        assert_eq!(param("map=text"), "map");
        assert_eq!(param("map=%7B%22promt_column%22:1%7D"), "map");
    }

    #[test]
    fn the_fingerprint_is_of_content_and_settings_but_not_of_the_id() {
        let print =
            |query: &str, content: &[u8]| Fields::query(Some(query)).unwrap().fingerprint(&blake3::hash(content));
        let id = "id=018f4e2a-7c1b-7000-8000-0123456789ab";
        assert_eq!(print("model=a&metadata.k=v", b"x"), print(&format!("metadata.k=v&{id}&model=a"), b"x"));
        assert_ne!(print("model=a", b"x"), print("model=b", b"x"));
        assert_ne!(print("model=a", b"x"), print("model=a", b"y"));
        assert_ne!(print("model=ab", b"x"), print("model=a&metadata.b=", b"x"));
    }
}
