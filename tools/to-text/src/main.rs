//! Show records as NDJSON or CSV.

mod csv;
mod ndjson;
mod number;
mod stamp;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use libframe::catalog::Catalog;
use libframe::tool::{self, Account, Ended, Sink, TextOut};
use libframe::wire::{Kind, Record};

use crate::csv::Csv;
use crate::ndjson::Ndjson;
use crate::stamp::{Stamps, TimeFormat};

const EXAMPLES: &str = "Examples:
  sim-src sine -n 5 --rate max | to-text
  sim-src control -n 100 --rate max | to-text -f csv --times s > control.csv";

/// Show records as NDJSON or CSV.
///
/// One line for each sample and each other record, as soon as it comes. NDJSON holds
/// records of every kind; CSV has a column for each channel of the streams that are
/// announced before the first sample.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Read these recordings instead of stdin
    #[arg(value_name = "FILE")]
    files: Vec<std::path::PathBuf>,

    /// How to write records
    #[arg(long, short = 'f', value_enum, default_value_t = Format::Ndjson)]
    format: Format,

    /// How to write times
    #[arg(long, value_enum, default_value_t = TimeFormat::Rfc3339)]
    times: TimeFormat,

    /// Only records of these kinds, like data,event,gap; data includes batches
    #[arg(long, short = 'k', value_name = "KIND", value_delimiter = ',',
          value_parser = parse_kind)]
    kinds: Vec<Kind>,

    /// How many bytes of a payload that is not numbers to show, in hexadecimal
    #[arg(long, value_name = "N", default_value_t = 16)]
    bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A JSON object a line
    Ndjson,
    /// A table of samples, with events and gaps as notes
    Csv,
}

struct ToText {
    out: TextOut,
    kinds: Vec<Kind>,
    stamps: Stamps,
    writer: Writer,
}

enum Writer {
    Ndjson(Ndjson),
    Csv(Csv),
}

fn main() -> ExitCode {
    tool::sink::<ToText>()
}

impl Sink for ToText {
    type Args = Args;

    const WRITES_TEXT: bool = true;

    fn open(args: Args) -> Result<ToText> {
        let usual = match args.format {
            Format::Ndjson => (1..=9).map(Kind).collect(),
            Format::Csv => vec![Kind::DATA, Kind::EVENT, Kind::GAP],
        };
        Ok(ToText {
            out: TextOut::stdout()?,
            kinds: if args.kinds.is_empty() { usual } else { args.kinds },
            stamps: Stamps::new(args.times),
            writer: match args.format {
                Format::Ndjson => Writer::Ndjson(Ndjson::new(args.bytes)),
                Format::Csv => Writer::Csv(Csv::new(args.bytes)),
            },
        })
    }

    fn files(args: &Args) -> Vec<std::path::PathBuf> {
        args.files.clone()
    }

    fn record(&mut self, record: Record<'_>, catalog: &Catalog) -> Result<()> {
        self.stamps.learn(&record);
        let kind = match record.header.kind {
            Kind::BATCH => Kind::DATA,
            kind => kind,
        };
        if !self.kinds.contains(&kind) && kind.name().is_some() {
            return Ok(());
        }
        match &mut self.writer {
            Writer::Ndjson(ndjson) => {
                ndjson.write(&record, catalog, &self.stamps, &mut self.out)
            }
            Writer::Csv(csv) => csv.write(&record, catalog, &self.stamps, &mut self.out),
        }
    }

    fn flush(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }

    fn end(&mut self, ended: &Ended<'_>) -> Result<()> {
        match &mut self.writer {
            Writer::Ndjson(ndjson) if self.kinds.contains(&Kind::END) => {
                ndjson.write_end(ended, &mut self.out)
            }
            Writer::Csv(csv) => csv.end(ended.session, ended.catalog, &mut self.out),
            Writer::Ndjson(_) => Ok(()),
        }
    }

    fn close(&mut self, _account: &Account) -> Result<()> {
        self.out.flush()?;
        match &self.writer {
            Writer::Csv(csv) => csv.check(),
            Writer::Ndjson(_) => Ok(()),
        }
    }
}

fn parse_kind(text: &str) -> Result<Kind, String> {
    let upper = text.to_uppercase();
    let found = (1..=9).map(Kind).find(|kind| kind.name() == Some(&upper));
    let names = "session, stream, data, gap, clock, event, stats, end";
    match found {
        Some(Kind::BATCH) => Ok(Kind::DATA),
        Some(kind) => Ok(kind),
        None => Err(format!("{text:?}: kinds are {names}")),
    }
}
