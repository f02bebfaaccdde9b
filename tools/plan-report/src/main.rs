//! Tell what a pipeline would do and what it lacks, before it is started.

mod ask;
mod rates;
mod shell;
mod text;
mod totals;
mod tree;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use libframe::tool::{self, TextOut};
use serde_json::json;

use crate::rates::Rate;
use crate::totals::Totals;
use crate::tree::Stage;

const EXAMPLES: &str = "Examples:
  plan-report 'sim-src glove | batch-frames -n 50 | to-h5 session.h5'
  plan-report --format json 'sim-src glove camera | tee all.frames | to-text > all.ndjson'
  plan-report --rate glove=217:272B 'cat < /dev/null | to-h5 session.h5'";

/// Tell what a pipeline would do and what it lacks, before it is started.
///
/// Of each stage: the streams that leave it, with rate and bytes, the most memory it takes,
/// what it drops or who waits under overload; then how long the disk lasts, and what is
/// missing: a program, a library, a device, a port, a folder, or a file that is in the way.
/// Each tool is asked with --plan, which opens no device; other programs are not started.
/// The exit status is 1 if anything is missing.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// The pipeline, as bash reads it: quotes, redirections, '>(...)', '<(...)'
    #[arg(value_name = "PIPELINE")]
    pipeline: String,

    /// Samples a second of a stream of which no tool knows it, and how large one is; may be
    /// repeated
    #[arg(long = "rate", value_name = "[STREAM=]HZ[:BYTES]", value_parser = Rate::parse)]
    rates: Vec<Rate>,

    /// How to report
    #[arg(long, short = 'f', value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
}

fn main() -> ExitCode {
    tool::command(|args, _voice, _account| run(&args))
}

fn run(args: &Args) -> Result<()> {
    let pipelines: Vec<Vec<Stage>> = shell::parse(&args.pipeline)?
        .iter()
        .map(|pipeline| tree::stages(pipeline, None, &args.rates))
        .collect();
    let totals = Totals::new(&pipelines);
    let mut out = TextOut::stdout()?;
    match args.format {
        Format::Text => text::write(&pipelines, &totals, &mut out)?,
        Format::Json => {
            let report = json!({ "pipelines": pipelines, "totals": totals });
            serde_json::to_writer(&mut out, &report)?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    match totals.missing.len() {
        0 => Ok(()),
        1 => bail!("missing: {}", totals.missing[0]),
        n => bail!("{n} things are missing, the first: {}", totals.missing[0]),
    }
}
