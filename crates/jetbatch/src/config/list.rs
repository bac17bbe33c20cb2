//! Lists: as such in a file, and in the environment as words with commas between them, or in JSON.
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, IntoDeserializer, value::StrDeserializer},
};

#[derive(Deserialize)]
#[serde(untagged)]
enum Given<T> {
    List(Vec<T>),
    Words(String),
}

pub fn list<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    // What a word is wrong in is told by the word's own type.
    match Given::<serde_json::Value>::deserialize(deserializer)? {
        Given::List(list) => list.into_iter().map(|one| T::deserialize(one).map_err(D::Error::custom)).collect(),
        Given::Words(text) if text.trim_start().starts_with('[') => {
            serde_json::from_str(&text).map_err(|why| D::Error::custom(format!("this is no list in JSON: {why}")))
        }
        Given::Words(words) => {
            let words = words.split(',').map(str::trim).filter(|word| !word.is_empty());
            let one = |word: &str| -> Result<T, serde::de::value::Error> {
                let word: StrDeserializer<'_, serde::de::value::Error> = word.into_deserializer();
                T::deserialize(word)
            };
            words.map(|word| one(word).map_err(D::Error::custom)).collect()
        }
    }
}
