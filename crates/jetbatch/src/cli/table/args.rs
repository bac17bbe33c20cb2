//! Which files, and how their rows become requests.
use crate::cli::error::Error;
use clap::Args;
use serde_json::{Map, Value, value::Number};
use std::{
    fs,
    num::NonZeroU64,
    path::{Path, PathBuf},
};
use tables::{Asked, Files, Format, Packing, Pick, Said, Spec};

/// What is submitted.
#[derive(Debug, Args)]
pub struct Input {
    /// JSONL files of requests, or tables (Parquet, Arrow, CSV, TSV, JSONL, text; also .gz, .zst, .bz2), folders or globs of
    /// them; `-` for standard input, or a URL of requests that the server may read (s3://..., file:///...)
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
    map: Mapped,
    #[command(flatten)]
    pick: PickArgs,
}

/// How a row becomes a request.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tables")]
struct Mapped {
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
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
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
    Url(&'a str),
    /// A file or standard input with requests, sent as it is.
    Plain(&'a Path),
    Table(Box<Asked>),
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, column) = text.split_once('=').ok_or("use NAME=COLUMN")?;
    Ok((name.to_owned(), column.to_owned()))
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Ok(*byte),
        _ => Err("use one ASCII character, or tab".to_owned()),
    }
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
            return self.url(url);
        }
        match self.files.as_slice() {
            [one] if self.is_plain(one) => Ok(Way::Plain(one)),
            _ => self.asked().map(|asked| Way::Table(Box::new(asked))),
        }
    }

    fn url<'a>(&self, url: &'a str) -> Result<Way<'a>, Error> {
        let usage = |why: &str| Err(Error::Usage(why.to_owned()));
        if self.pick.pick() != Pick::All {
            return usage("--limit and --sample are for files that are read here, not for a URL");
        }
        if self.files.len() > 1 || self.is_mapped() {
            return usage(
                "a URL is read by the server: one file of request lines; fetch tables and give them as files",
            );
        }
        Ok(Way::Url(url))
    }

    fn is_mapped(&self) -> bool {
        let files = self.map.template.is_some() || self.map.schema.is_some();
        let declared = Spec { model: None, endpoint: None, ..self.bare() } != Spec::default();
        files || declared || self.map.image_column.is_some() || self.said.said() != Said::default()
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

    pub fn asked(&self) -> Result<Asked, Error> {
        if self.map.image_column.is_some() {
            return Err(Error::Usage("--image-column: no engine takes pictures yet; requests are texts".to_owned()));
        }
        Ok(Asked::new(Files::find(&self.files)?, &self.spec()?, self.said.said(), self.pick.pick())?)
    }

    /// The same input, to hold answers against.
    pub fn joined(&self) -> Result<tables::join::Input, Error> {
        self.is_here("-o")?;
        if self.files.iter().any(|file| file == Path::new("-")) {
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
    fn spec(&self) -> Result<Spec, Error> {
        let template = self.map.template.as_deref().map(text).transpose()?;
        let schema = self.map.schema.as_deref().map(json).transpose()?;
        Ok(Spec { template, schema, ..self.bare() })
    }

    fn bare(&self) -> Spec {
        let map = &self.map;
        Spec {
            prompt_column: map.prompt_column.clone(),
            messages_column: map.messages_column.clone(),
            input_column: map.input_column.clone(),
            id_column: map.id_column.clone(),
            system: map.system.clone(),
            model: self.model.clone(),
            endpoint: self.endpoint.clone(),
            params: map.params(),
            param_columns: map.param_column.iter().cloned().collect(),
            template: None,
            schema: None,
        }
    }
}

impl Mapped {
    fn params(&self) -> Map<String, Value> {
        let number = |number: Option<f64>| number.and_then(Number::from_f64).map(Value::Number);
        let own = [
            ("max_tokens", self.max_tokens.map(Value::from)),
            ("temperature", number(self.temperature)),
            ("top_p", number(self.top_p)),
            ("seed", self.seed.map(Value::from)),
        ];
        let own = own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        own.chain(self.param.iter().cloned()).collect()
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
