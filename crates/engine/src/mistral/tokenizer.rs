//! Where the tokenizer of a GGUF model is. mistral.rs 0.8.1 takes the path of a tokenizer.json for such models and never
//! reads it; it reads one by the name of the folder or hub id that holds it.

use std::path::Path;

use crate::LoadError;

const FILE: &str = "tokenizer.json";

/// The folder or hub id of a tokenizer, which may be the path of its file.
pub fn home(tokenizer: &str) -> &str {
    match tokenizer.strip_suffix(FILE).map(|folder| folder.trim_end_matches('/')) {
        None => tokenizer,
        Some("") if tokenizer.starts_with('/') => "/",
        Some("") => ".",
        Some(folder) => folder,
    }
}

/// [`home`], of a tokenizer that can be found there.
pub fn found(tokenizer: &str) -> Result<&str, LoadError> {
    let path = Path::new(tokenizer);
    if !tokenizer.ends_with(".json") {
        return Ok(tokenizer);
    }
    if path.file_name().is_none_or(|name| name != FILE) {
        let why = format!("the file of `tokenizer` must have the name {FILE} for GGUF files");
        return Err(LoadError::Spec { field: "model", why });
    }
    match path.is_file() {
        true => Ok(home(tokenizer)),
        false => Err(LoadError::NoFile { folder: home(tokenizer).into(), file: FILE.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tokenizer_is_known_by_its_folder() {
        let homes = ["qwen/tokenizer.json", "tokenizer.json", "/tokenizer.json", "Qwen/Qwen2.5-0.5B"].map(home);
        assert_eq!(homes, ["qwen", ".", "/", "Qwen/Qwen2.5-0.5B"]);
    }

    #[test]
    fn a_tokenizer_that_would_not_be_read_is_refused() {
        let told = |tokenizer| found(tokenizer).map_err(|error| error.to_string());
        assert!(told("models/other.json").unwrap_err().contains("tokenizer.json"));
        assert!(told("nowhere/tokenizer.json").unwrap_err().contains("nowhere"));
        assert_eq!(told("Qwen/Qwen2.5-0.5B"), Ok("Qwen/Qwen2.5-0.5B"));
    }
}
