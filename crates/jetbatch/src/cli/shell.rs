//! What a shell and `man` know of the command line, made from its definition.
use super::{error::Error, out};
use clap::Args;
use clap_complete::Shell;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Completions {
    shell: Shell,
}

#[derive(Debug, Args)]
pub struct Man {
    /// The folder; it is made where there is none
    folder: PathBuf,
}

pub fn completions(args: &Completions, mut command: clap::Command) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "jetbatch", &mut script);
    out::page(String::from_utf8_lossy(&script))
}

pub fn man(args: &Man, command: clap::Command) -> Result<(), Error> {
    std::fs::create_dir_all(&args.folder).map_err(Error::file("create", &args.folder))?;
    clap_mangen::generate_to(command, &args.folder).map_err(Error::file("write to", &args.folder))
}
