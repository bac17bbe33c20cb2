//! Query parameters, each given once: the last of two would win, and nobody would know.
use super::{error::Rejection, fields::clipped};
use std::borrow::Cow;
use url::form_urlencoded;

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Names and values in their order. A list's name ends in `[]`, as OpenAI's clients write it, and may come again.
pub fn pairs(text: Option<&str>) -> Result<Vec<Pair<'_>>, Rejection> {
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    for (name, value) in form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
        if pairs.len() >= super::limits::FIELDS_MAX {
            return Err(Rejection::invalid(format!("more than {} parameters", super::limits::FIELDS_MAX)));
        }
        if !name.ends_with("[]") && pairs.iter().any(|(known, _)| *known == name) {
            return Err(Rejection::invalid(format!("'{}' is given twice", clipped(&name))).param(clipped(&name)));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_twice_is_refused() {
        assert_eq!(pairs(None), Ok(vec![]));
        assert_eq!(pairs(Some("a=1&b=%26")).unwrap(), [("a".into(), "1".into()), ("b".into(), "&".into())]);
        assert_eq!(pairs(Some("limit=1&limit=2")).unwrap_err().param.as_deref(), Some("limit"));
        assert_eq!(pairs(Some("include[]=a&include[]=b")).unwrap().len(), 2);
        let many = "a[]=1&".repeat(super::super::limits::FIELDS_MAX + 1);
        assert!(pairs(Some(&many)).is_err());
    }
}
