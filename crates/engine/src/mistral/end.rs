//! A token that ends an answer. mistral.rs knows and does not tell, so it is read where mistral.rs reads it. What is not
//! found (a GGUF file by itself) costs no answer: a sequence that nobody waits for is then generated to its end.

use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo, RepoType};
use serde::Deserialize;

use super::tokenizer;
use crate::Source;

const REVISION: &str = "main";

#[derive(Deserialize)]
struct Config {
    eos_token_id: Option<Ids>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    One(usize),
    Many(Vec<usize>),
}

/// One of them: any ends an answer.
pub fn of(source: &Source) -> Option<usize> {
    let files = ["generation_config.json", "config.json"];
    files.iter().filter_map(|name| file(source, name)).find_map(|path| read(&path))
}

fn file(source: &Source, name: &str) -> Option<PathBuf> {
    let place = place(source)?;
    if Path::new(place).is_dir() {
        return Some(Path::new(place).join(name));
    }
    let revision = source.revision.as_deref().unwrap_or(REVISION);
    let repo = Repo::with_revision(place.to_owned(), RepoType::Model, revision.to_owned());
    Cache::from_env().repo(repo).get(name)
}

/// The folder or hub id that the model's configuration is in. A GGUF file's is beside its tokenizer.
fn place(source: &Source) -> Option<&str> {
    let own = [&source.folder, &source.hub, &source.uqff].into_iter().flatten().next();
    own.map(String::as_str).or_else(|| source.tokenizer.as_deref().map(tokenizer::home))
}

fn read(path: &Path) -> Option<usize> {
    let config: Config = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    match config.eos_token_id? {
        Ids::One(id) => Some(id),
        Ids::Many(ids) => ids.first().copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(texts: &[(&str, &str)]) -> Option<usize> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in texts {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        of(&Source { folder: Some(folder.path().to_string_lossy().into_owned()), ..Source::default() })
    }

    #[test]
    fn the_generation_config_comes_first() {
        let config = ("config.json", r#"{"eos_token_id": 7, "vocab_size": 9}"#);
        assert_eq!(end(&[config]), Some(7));
        assert_eq!(end(&[config, ("generation_config.json", r#"{"eos_token_id": [5, 6]}"#)]), Some(5));
        assert_eq!(end(&[config, ("generation_config.json", r#"{"eos_token_id": null}"#)]), Some(7));
        assert_eq!(end(&[("generation_config.json", r#"{"eos_token_id": []}"#), config]), Some(7));
        assert_eq!(end(&[]), None);
    }
}
