//! Which files, and how their rows become requests.
use crate::{cli::error::Error, mapped::Mapped};
use clap::Args;
use domain::table::{Given, Map, Table};
use serde_json::Value;
use std::{
    fs,
    num::NonZeroU64,
    path::{Path, PathBuf},
};
use tables::{Asked, Files, Format, Packing, Pick, Said};

/// What is submitted.
#[derive(Debug, Args)]
pub struct Input {
    /// JSONL files of requests, or tables (Parquet, Arrow, CSV, TSV, JSONL, text; also .gz, .zst, .bz2), folders or globs of
    /// them; `-` for standard input, or a URL of one of these that the server may read (s3://..., file:///...)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The model of requests that name none
    #[arg(long)]
    pub model: Option<String>,
    /// The endpoint of requests that name none
    #[arg(long)]
    pub endpoint: Option<String>,
    /// Refuse the whole job where a request would be answered with an error
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    said: SaidArgs,
    #[command(flatten)]
    map: MapArgs,
    #[command(flatten)]
    pick: PickArgs,
}

/// How a row becomes a request.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tables")]
struct MapArgs {
    /// The column of prompts
    #[arg(long, value_name = "COLUMN")]
    prompt_column: Option<String>,
    /// The column of chats: lists of {role, content}, or JSON text of them
    #[arg(long, value_name = "COLUMN")]
    messages_column: Option<String>,
    /// A file with a Jinja template of the prompt over the row's columns: `Summarise: {{ text }}`
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// The column of texts to embed, with --endpoint /v1/embeddings
    #[arg(long, value_name = "COLUMN")]
    input_column: Option<String>,
    /// No engine takes pictures
    #[arg(long, value_name = "COLUMN", hide = true)]
    image_column: Option<String>,
    /// The column of request ids; without one a request is called after its file and row
    #[arg(long, value_name = "COLUMN")]
    id_column: Option<String>,
    /// The system message of each chat
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// A file with a JSON schema that each answer matches
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// The longest answer
    #[arg(long, value_name = "TOKENS")]
    max_tokens: Option<u64>,
    #[arg(long)]
    temperature: Option<f64>,
    #[arg(long)]
    top_p: Option<f64>,
    #[arg(long)]
    seed: Option<u64>,
    /// Any other field of a request's body, as JSON: `--param top_k=20`
    #[arg(long, value_name = "NAME=JSON", value_parser = param)]
    param: Vec<(String, Value)>,
    /// A field of a request's body that a column gives where it is not null: `--param-column temperature=heat`
    #[arg(long, value_name = "NAME=COLUMN", value_parser = pair)]
    param_column: Vec<(String, String)>,
}

/// What the files are.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Tables")]
pub struct SaidArgs {
    /// What the files are, where neither name nor first bytes tell: parquet, arrow, csv, tsv, jsonl, text
    #[arg(long)]
    format: Option<Format>,
    /// What stands between the values of CSV, where it is no comma: `--delimiter ';'`, `--delimiter tab`
    #[arg(long, value_name = "CHARACTER", value_parser = tables::delimiter)]
    delimiter: Option<u8>,
}

impl SaidArgs {
    pub const fn said(self) -> Said {
        Said { format: self.format, delimiter: self.delimiter }
    }
}

/// Which rows.
#[derive(Debug, Clone, Copy, Args)]
pub struct PickArgs {
    /// Only the first so many requests, to try it
    #[arg(long, value_name = "REQUESTS", conflicts_with = "sample")]
    limit: Option<NonZeroU64>,
    /// Only so many requests from anywhere, always the same ones of the same files
    #[arg(long, value_name = "REQUESTS")]
    sample: Option<NonZeroU64>,
}

impl PickArgs {
    pub fn pick(self) -> Pick {
        match (self.limit, self.sample) {
            (Some(rows), _) => Pick::First(rows.get()),
            (None, Some(rows)) => Pick::Sample(rows.get()),
            (None, None) => Pick::All,
        }
    }
}

/// How an input gets to the server.
pub enum Way<'a> {
    /// It reads it itself.
    Url(Given),
    /// A file or standard input with requests, sent as it is.
    Plain(&'a Path),
    Table(Box<Asked>),
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, column) = text.split_once('=').ok_or("use NAME=COLUMN")?;
    Ok((name.to_owned(), column.to_owned()))
}

/// What is no JSON is a text.
fn param(text: &str) -> Result<(String, Value), String> {
    let (name, json) = text.split_once('=').ok_or("use NAME=JSON")?;
    Ok((name.to_owned(), serde_json::from_str(json).unwrap_or_else(|_| json.into())))
}

impl Input {
    pub fn way(&self) -> Result<Way<'_>, Error> {
        let url = self.files.iter().filter_map(|file| file.to_str()).find(|text| text.contains("://"));
        if let Some(url) = url {
            return self.given(url).map(Way::Url);
        }
        match self.files.as_slice() {
            [one] if self.is_plain(one) => Ok(Way::Plain(one)),
            _ => self.asked().map(|asked| Way::Table(Box::new(asked))),
        }
    }

    fn given(&self, url: &str) -> Result<Given, Error> {
        if self.files.len() > 1 {
            return Err(Error::Usage(
                "a URL stands alone; many files are a folder (s3://bucket/folder/) or a glob".to_owned(),
            ));
        }
        if self.is_plain(Path::new(url)) && self.pick.pick() == Pick::All && !url.ends_with('/') {
            return Ok(url.into());
        }
        let map = Map {
            limit: self.pick.limit.map(NonZeroU64::get),
            sample: self.pick.sample.map(NonZeroU64::get),
            ..self.map()?
        };
        Ok(Given::Table(Box::new(Table { url: url.to_owned(), map })))
    }

    fn is_mapped(&self) -> bool {
        let files = self.map.template.is_some() || self.map.schema.is_some() || self.map.image_column.is_some();
        files || !self.bare().is_empty()
    }

    /// Request lines that nothing is to be done with.
    fn is_plain(&self, file: &Path) -> bool {
        let is_table =
            Packing::of_name(file).is_some() || Format::of_name(file).is_some_and(|format| format != Format::Jsonl);
        let is_many = file.is_dir() || (file.to_string_lossy().contains(['*', '?', '[']) && !file.exists());
        !(is_table || is_many || self.is_mapped() || matches!(self.pick.pick(), Pick::Sample(_)))
    }

    /// The file of the answers' schema.
    pub fn schema(&self) -> Option<&Path> {
        self.map.schema.as_deref()
    }

    pub fn limit(&self) -> Option<NonZeroU64> {
        self.pick.limit
    }

    pub fn is_stdin(&self) -> bool {
        self.files.iter().any(|file| file == Path::new("-"))
    }

    pub fn asked(&self) -> Result<Asked, Error> {
        self.asked_of(Files::find(&self.files)?)
    }

    /// The same of other files.
    pub fn asked_of(&self, files: Files) -> Result<Asked, Error> {
        let mapped = Mapped::of(&self.map()?, self.model.as_deref(), self.endpoint.as_deref());
        let mapped = mapped.map_err(|error| Error::Usage(error.message))?;
        Ok(Asked::new(files, &mapped.spec, mapped.said, self.pick.pick())?)
    }

    /// The same input, to hold answers against.
    pub fn joined(&self) -> Result<tables::join::Input, Error> {
        self.is_here("-o")?;
        if self.is_stdin() {
            return Err(Error::Usage(
                "-o reads the input twice, which standard input is not; save it as a file".to_owned(),
            ));
        }
        let (files, pick) = (Files::find(&self.files)?, self.pick.pick());
        Ok(tables::join::Input { files, said: self.said.said(), id_column: self.map.id_column.clone(), pick })
    }

    /// What reads the rows itself takes no URL.
    pub fn is_here(&self, what: &str) -> Result<(), Error> {
        match self.files.iter().any(|file| file.to_string_lossy().contains("://")) {
            true => Err(Error::Usage(format!("{what} is for files that are read here, not for a URL"))),
            false => Ok(()),
        }
    }

    /// With what stands in files.
    fn map(&self) -> Result<Map, Error> {
        if self.map.image_column.is_some() {
            return Err(Error::Usage("--image-column: no engine takes pictures yet; requests are texts".to_owned()));
        }
        let template = self.map.template.as_deref().map(text).transpose()?;
        let schema = self.map.schema.as_deref().map(json).transpose()?;
        Ok(Map { template, schema, ..self.bare() })
    }

    fn bare(&self) -> Map {
        let (map, said) = (&self.map, self.said.said());
        Map {
            prompt_column: map.prompt_column.clone(),
            messages_column: map.messages_column.clone(),
            input_column: map.input_column.clone(),
            id_column: map.id_column.clone(),
            system: map.system.clone(),
            max_tokens: map.max_tokens,
            temperature: map.temperature,
            top_p: map.top_p,
            seed: map.seed,
            param: map.param.iter().cloned().collect(),
            param_column: map.param_column.iter().cloned().collect(),
            format: said.format.map(|format| format.to_string()),
            delimiter: said.delimiter.map(|byte| char::from(byte).to_string()),
            ..Map::default()
        }
    }
}

fn text(path: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
    // An editor's last line end is no part of a prompt.
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

pub fn json(path: &Path) -> Result<Value, Error> {
    let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
    serde_json::from_str(&text).map_err(|error| Error::Usage(format!("{} is no JSON: {error}", path.display())))
}
