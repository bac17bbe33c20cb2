//! `POST /v1/files`: a form, its fields in any order.
use super::super::{
    app::App,
    error::Rejection,
    upload::{self, Upload},
};
use api::openai::{ExpiresAfter, Purpose};
use axum::{extract::Request, http::header::CONTENT_DISPOSITION};
use url::form_urlencoded;

const FILENAME_CHARS_MAX: usize = 255;

/// What came with it.
pub struct Form {
    pub upload: Upload,
    pub filename: String,
    pub purpose: Purpose,
    pub expires: Option<ExpiresAfter>,
}

#[derive(Debug, Default, PartialEq)]
struct Fields {
    purpose: Option<Purpose>,
    anchor: Option<String>,
    seconds: Option<String>,
}

impl Form {
    pub async fn read(app: &App, request: Request) -> Result<Self, Rejection> {
        let (mut fields, mut file) = (Fields::default(), None);
        let mut form = upload::Form::open(request).await?;
        let unused = form.unused.clone();
        while let Some(field) = form.next().await? {
            match field.name().unwrap_or_default() {
                "file" if file.is_none() => {
                    let head =
                        field.headers().get(CONTENT_DISPOSITION).and_then(|head| str::from_utf8(head.as_bytes()).ok());
                    let filename = filename(head.and_then(extended).as_deref().or(field.file_name()));
                    file = Some((filename, upload::receive_field(app, field, &unused).await?));
                }
                "file" => return Err(Rejection::invalid("'file' is given twice").param("file")),
                name => {
                    let name = name.to_owned();
                    fields.add(&name, upload::text(&name, field).await?)?;
                }
            }
        }
        let (filename, upload) =
            file.ok_or_else(|| Rejection::invalid("the form has no field 'file'").param("file"))?;
        let purpose = fields.purpose.ok_or_else(|| Rejection::invalid("'purpose' is missing").param("purpose"))?;
        Ok(Self { upload, filename, purpose, expires: fields.expires()? })
    }
}

/// A part of a file: the field `data` of a form.
pub async fn part(app: &App, request: Request) -> Result<Upload, Rejection> {
    let mut form = upload::Form::open(request).await?;
    let unused = form.unused.clone();
    while let Some(field) = form.next().await? {
        if field.name() == Some("data") {
            return upload::receive_field(app, field, &unused).await;
        }
    }
    Err(Rejection::invalid("the form has no field 'data'").param("data"))
}

impl Fields {
    /// What it does not know it passes over, as OpenAI's does.
    fn add(&mut self, name: &str, value: String) -> Result<(), Rejection> {
        match name {
            "purpose" => self.purpose = Some(purpose(&value)?),
            "expires_after[anchor]" => self.anchor = Some(value),
            "expires_after[seconds]" => self.seconds = Some(value),
            _ => {}
        }
        Ok(())
    }

    fn expires(self) -> Result<Option<ExpiresAfter>, Rejection> {
        let wrong = |why: &str| Rejection::invalid(why).param("expires_after");
        match (self.anchor.as_deref(), self.seconds) {
            (None, None) => Ok(None),
            (Some("created_at"), Some(seconds)) => {
                let expires = seconds.parse().ok().and_then(ExpiresAfter::of);
                expires.map(Some).ok_or_else(|| wrong("'expires_after[seconds]' must be 3600 to 2592000"))
            }
            _ => Err(wrong("'expires_after' is an anchor, created_at, and seconds")),
        }
    }
}

pub fn purpose(word: &str) -> Result<Purpose, Rejection> {
    let given = word.parse().ok().filter(|purpose| Purpose::GIVEN.contains(purpose));
    let names = || Purpose::GIVEN.map(Purpose::as_str).join(" or ");
    given.ok_or_else(|| Rejection::invalid(format!("'purpose' must be {}", names())).param("purpose"))
}

/// A name, and no path.
pub fn filename(told: Option<&str>) -> String {
    let name = told.unwrap_or_default().rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = name.chars().filter(|c| !c.is_control()).take(FILENAME_CHARS_MAX).collect();
    if name.is_empty() || name == "." || name == ".." { "upload".to_owned() } else { name }
}

/// The `filename*` of a field's head: `UTF-8''` and the name, with percent signs.
fn extended(head: &str) -> Option<String> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = head.split(|letter| {
        quoted ^= letter == '"' && !escaped;
        escaped = quoted && letter == '\\' && !escaped;
        letter == ';' && !quoted
    });
    let mut named = parts.filter_map(|part| part.trim().split_once('='));
    let (_, value) = named.find(|(name, _)| name.eq_ignore_ascii_case("filename*"))?;
    let (charset, rest) = value.split_once('\'')?;
    let (_, name) = rest.split_once('\'').filter(|_| charset.eq_ignore_ascii_case("utf-8"))?;
    // As a form writes it, but for what has a meaning there.
    let name = name.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(name.as_bytes()).next().map(|(name, _)| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_name_and_no_path() {
        for (told, name) in [
            ("batch.jsonl", "batch.jsonl"),
            ("../../etc/passwd", "passwd"),
            ("C:\\temp\\a.jsonl", "a.jsonl"),
            ("a\u{0}\nb", "ab"),
            ("..", "upload"),
            ("", "upload"),
        ] {
            assert_eq!(filename(Some(told)), name);
        }
        assert_eq!(filename(Some(&"x".repeat(999))).len(), FILENAME_CHARS_MAX);
    }

    /// As clients write names that are not ASCII; `filename` beside it is for those who do not know it.
    #[test]
    fn a_name_in_utf_8_is_read() {
        for (head, name) in [
            ("form-data; name=\"file\"; filename*=UTF-8''%E3%83%95.jsonl", Some("フ.jsonl")),
            ("form-data; name=\"file\"; filename=\"=?utf-8?B?x?=\"; FileName*=utf-8'en'a%20b+c&d", Some("a b+c&d")),
            ("form-data; filename=\"a; filename*=UTF-8''b\"; name=\"file\"", None),
            ("form-data; filename=\"a\\\"; filename*=UTF-8''b\"", None),
            ("form-data; filename*=ISO-8859-1''%E9", None),
            ("form-data; filename*=UTF-8", None),
            ("form-data; filename=\"a\"", None),
        ] {
            assert_eq!(extended(head).as_deref(), name, "{head}");
        }
        assert_eq!(filename(extended("x; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd").as_deref()), "passwd");
    }

    #[test]
    fn fields_are_checked() {
        let fields = |pairs: &[(&str, &str)]| {
            let mut fields = Fields::default();
            let added: Result<Vec<()>, _> =
                pairs.iter().map(|(name, value)| fields.add(name, (*value).into())).collect();
            added.and_then(|_| fields.expires()).map_err(|refusal| refusal.param.unwrap_or_default())
        };
        let days = [("expires_after[anchor]", "created_at"), ("expires_after[seconds]", "86400")];
        assert_eq!(fields(&days), Ok(ExpiresAfter::of(86_400)));
        assert_eq!(fields(&[("purpose", "batch"), ("other", "x")]), Ok(None));
        for (pairs, param) in [
            (&[("purpose", "assistants")][..], "purpose"),
            (&[("purpose", "batch_output")], "purpose"),
            (&days[..1], "expires_after"),
            (&[days[0], ("expires_after[seconds]", "60")], "expires_after"),
            (&[days[1], ("expires_after[anchor]", "last_used")], "expires_after"),
        ] {
            assert_eq!(fields(pairs), Err(param.to_owned()), "{pairs:?}");
        }
    }
}
