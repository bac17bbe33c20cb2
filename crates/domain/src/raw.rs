//! A request of a submission as the client wrote it: its own bytes, from the door to the worker.
use serde::{
    Deserialize, Serialize,
    de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor},
    ser::Serializer,
};
use serde_json::{Value, value::RawValue};
use std::fmt;

/// JSON text on one line: order of keys, spelling of numbers and keys that stand twice are the client's, and only blanks
/// between tokens are taken out. In MessagePack it is written as binary; read is also what a client packs as maps.
#[derive(Clone)]
pub struct RawRequest(Box<RawValue>);

impl RawRequest {
    /// Fails where the text is not valid JSON.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let raw: &RawValue = serde_json::from_str(text)?;
        RawValue::from_string(compact(raw.get())).map(Self)
    }

    pub fn of<T: Serialize>(value: &T) -> Result<Self, serde_json::Error> {
        Self::parse(&serde_json::to_string(value)?)
    }

    /// JSON without a line end.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl fmt::Debug for RawRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for RawRequest {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Serialize for RawRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return self.0.serialize(serializer);
        }
        serializer.serialize_bytes(self.as_str().as_bytes())
    }
}

impl<'de> Deserialize<'de> for RawRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = if deserializer.is_human_readable() {
            let raw = Box::<RawValue>::deserialize(deserializer)?;
            // Raw text is cut out without a look at what its strings, numbers and depth are.
            serde_json::from_str::<Value>(raw.get()).map_err(D::Error::custom)?;
            Self::parse(raw.get())
        } else {
            let mut text = String::new();
            Packed(&mut text).deserialize(deserializer)?;
            Self::parse(&text)
        };
        raw.map_err(D::Error::custom)
    }
}

/// What no string holds has no meaning in JSON.
fn compact(text: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    let keep = |c: &char| {
        let keep = inside || !c.is_ascii_whitespace();
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = inside,
            '"' => inside = !inside,
            _ => {}
        }
        keep
    };
    text.chars().filter(keep).collect()
}

/// Writes a MessagePack value as JSON text, without building it. Binary is such text already, where it is the whole.
struct Packed<'t>(&'t mut String);

impl Packed<'_> {
    fn put<E>(self, value: impl fmt::Display) -> Result<(), E> {
        self.0.push_str(&value.to_string());
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Packed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Packed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value that JSON has")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.put(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.put(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.put(value)
    }

    /// What is no number in JSON is `null`.
    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.put(Value::from(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.put(Value::from(text))
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.put(Value::Null)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<(), E> {
        if !self.0.is_empty() {
            return Err(E::invalid_type(Unexpected::Bytes(bytes), &self));
        }
        self.put(std::str::from_utf8(bytes).map_err(E::custom)?)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.0.push('[');
        while seq.next_element_seed(Packed(self.0))?.is_some() {
            self.0.push(',');
        }
        close(self.0, ']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.0.push('{');
        while let Some(key) = map.next_key::<String>()? {
            self.0.push_str(&Value::from(key).to_string());
            self.0.push(':');
            map.next_value_seed(Packed(self.0))?;
            self.0.push(',');
        }
        close(self.0, '}');
        Ok(())
    }
}

fn close(text: &mut String, with: char) {
    if text.ends_with(',') {
        text.pop();
    }
    text.push(with);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submission::Submission;

    const SCHEMA: &str = r#"{"custom_id":"a","body":{"z":{"properties":{"zip":1.10,"age":2e3,"zip":18446744073709551615}},"a":"x \\ \" {} \n"}}"#;

    fn requests(submission: &Submission) -> Vec<&str> {
        submission.requests.iter().flatten().map(RawRequest::as_str).collect()
    }

    #[test]
    fn a_request_keeps_its_order_its_numbers_and_what_stands_twice() {
        let submission: Submission = serde_json::from_str(&format!(r#"{{"requests":[{SCHEMA}, 7]}}"#)).unwrap();
        assert_eq!(requests(&submission), [SCHEMA, "7"]);
        let packed = rmp_serde::to_vec_named(&submission).unwrap();
        assert_eq!(requests(&rmp_serde::from_slice(&packed).unwrap()), [SCHEMA, "7"]);
        assert_eq!(serde_json::to_string(&submission).unwrap(), format!(r#"{{"requests":[{SCHEMA},7]}}"#));
    }

    #[test]
    fn it_becomes_one_line() {
        let text = "{\n \"custom_id\" :\t\"a\\\" b\",\r\n\"x\": [ 1 , \"\\\\\" ]\n}";
        assert_eq!(RawRequest::parse(text).unwrap().as_str(), r#"{"custom_id":"a\" b","x":[1,"\\"]}"#);
        assert!(RawRequest::parse("1\n2").is_err());
    }

    /// As clients pack them: {"requests":[{"z":[1,-1,1.5,NaN,null,true,[],{}],"a":u64::MAX,"z":"é\n"}]}.
    #[test]
    fn a_packed_request_keeps_them_too() {
        let packed = b"\x81\xa8requests\x91\x83\xa1z\x98\x01\xff\xcb\x3f\xf8\0\0\0\0\0\0\xcb\x7f\xf8\0\0\0\0\0\0\xc0\xc3\x90\x80\
            \xa1a\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa1z\xa3\xc3\xa9\n";
        let submission: Submission = rmp_serde::from_slice(packed).unwrap();
        let wanted = r#"{"z":[1,-1,1.5,null,null,true,[],{}],"a":18446744073709551615,"z":"é\n"}"#;
        assert_eq!(requests(&submission), [wanted]);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for bad in [r#""\ud800""#, "1e999", &deep, "{", "1 2"] {
            assert!(serde_json::from_str::<RawRequest>(bad).is_err(), "{bad}");
        }
        let packed = |request: &[u8]| rmp_serde::from_slice::<Submission>(&[b"\x81\xa8requests\x91", request].concat());
        assert!(packed(b"\xc4\x02{}").is_ok());
        for bad in [&b"\xc4\x01{"[..], b"\xc4\x01\xff", b"\x91\xc4\x0212", b"\x81\x01\x01", b"\xd4\x05\x00"] {
            assert!(packed(bad).is_err(), "{bad:?}");
        }
    }
}
