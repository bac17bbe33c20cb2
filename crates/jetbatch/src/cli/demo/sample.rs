//! The prompts of the demo and the answers they must get.
use crate::cli::error::Error;
use serde::Deserialize;
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// The demo's pool, and the model's name in the sample.
pub const POOL: &str = "tiny";

pub struct Sample {
    pub model: PathBuf,
    pub file: PathBuf,
    /// In the order of the file.
    pub prompts: Vec<Prompt>,
}

pub struct Prompt {
    pub custom_id: String,
    pub question: String,
    pub answer: String,
}

#[derive(Deserialize)]
struct Line {
    custom_id: String,
    body: Body,
}

#[derive(Deserialize)]
struct Body {
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

impl Sample {
    /// Looks in `dir`, else in `models` here and above the program. `is_echo`: the right answer is the question.
    pub fn find(dir: Option<&Path>, is_echo: bool) -> Result<Self, Error> {
        let dir = match dir {
            Some(dir) => dir.to_owned(),
            None => search().ok_or_else(absent)?,
        };
        // The folder may be the model's own (models/tiny) or the one above it.
        let dir = if dir.join("sample.jsonl").exists() { dir } else { dir.join("..") };
        let file = dir.join("sample.jsonl");
        let prompts = prompts(&read(&file)?, &file)?;
        let prompts = if is_echo { prompts } else { answered(prompts, &dir.join("expected.json"))? };
        Ok(Self { model: dir.join("tiny"), file, prompts })
    }

    pub fn len(&self) -> usize {
        self.prompts.len()
    }
}

fn search() -> Option<PathBuf> {
    let here = std::env::current_dir().ok();
    let program = std::env::current_exe().ok();
    let folders = here.iter().chain(program.iter()).flat_map(|path| path.ancestors());
    let found = folders.map(|folder| folder.join("models")).find(|models| models.join("sample.jsonl").exists())?;
    // Shorter to read where it lies right here.
    let is_here = here.is_some_and(|here| here.join("models") == found);
    Some(if is_here { PathBuf::from("models") } else { found })
}

fn absent() -> Error {
    Error::Usage(
        "models/sample.jsonl is neither here nor above the program; run this in the repository, or give --model-dir"
            .to_owned(),
    )
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(Error::file("read", path))
}

/// Each prompt with its own question for an answer.
fn prompts(text: &str, path: &Path) -> Result<Vec<Prompt>, Error> {
    let parse = |(number, line): (usize, &str)| {
        let line: Line = serde_json::from_str(line)
            .map_err(|error| Error::Failed(format!("{} line {}: {error}", path.display(), number + 1)))?;
        let question = line.body.messages.into_iter().last().map(|message| message.content).unwrap_or_default();
        Ok(Prompt { custom_id: line.custom_id, answer: question.clone(), question })
    };
    text.lines().enumerate().map(parse).collect()
}

fn answered(mut prompts: Vec<Prompt>, path: &Path) -> Result<Vec<Prompt>, Error> {
    let bad = |why: String| Error::Failed(format!("{}: {why}", path.display()));
    let mut answers: HashMap<String, String> =
        serde_json::from_str(&read(path)?).map_err(|error| bad(error.to_string()))?;
    for prompt in &mut prompts {
        let id = &prompt.custom_id;
        prompt.answer = answers.remove(id).ok_or_else(|| bad(format!("it has no answer for '{id}'")))?;
    }
    Ok(prompts)
}
