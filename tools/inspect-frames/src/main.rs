//! Tell what a recording or pipe holds, and what is missing.

mod damage;
mod report;
mod session;
mod text;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use libframe::catalog::Catalog;
use libframe::decoder::Damage;
use libframe::losses::LedgerReport;
use libframe::tool::{self, Account, Ended, Origin, Sink, TextOut};
use libframe::wire::Record;

use crate::damage::Damages;
use crate::report::Report;
use crate::session::SessionView;

/// Lines on stderr about what is unexplained.
const MAX_OBJECTIONS: usize = 20;

const EXAMPLES: &str = "Examples:
  sim-src glove --duration 1s | inspect-frames
  sim-src glove -n 500 --rate max | inspect-frames -f json";

/// Tell what a recording or pipe holds, and what is missing.
///
/// Sessions are reported as they end, with a ledger of who lost what. The exit status is 3 if
/// anything is lost or damaged, or a session has no end. What no stage owns up to is
/// 'unexplained', and a FAIL whatever share may be lost.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Read these recordings, of any format, instead of stdin
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

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

struct Inspect {
    format: Format,
    out: TextOut,
    open: BTreeMap<u32, SessionView>,
    damages: Damages,
    reported: usize,
    objections: Vec<String>,
}

fn main() -> ExitCode {
    tool::sink::<Inspect>()
}

impl Sink for Inspect {
    type Args = Args;

    const WRITES_TEXT: bool = true;

    fn open(args: Args) -> Result<Inspect> {
        Ok(Inspect {
            format: args.format,
            out: TextOut::stdout()?,
            open: BTreeMap::new(),
            damages: Damages::default(),
            reported: 0,
            objections: Vec::new(),
        })
    }

    fn files(args: &Args) -> Vec<PathBuf> {
        args.files.clone()
    }

    fn origin(args: &Args) -> Result<Origin> {
        libframe_record::origin(args.files.clone())
    }

    #[inline]
    fn record(&mut self, record: Record<'_>, catalog: &Catalog) -> Result<()> {
        self.open.entry(record.header.session).or_default().take(&record, catalog);
        Ok(())
    }

    fn damage(&mut self, damage: &Damage) -> Result<()> {
        self.damages.add(damage);
        Ok(())
    }

    fn end(&mut self, ended: &Ended<'_>) -> Result<()> {
        let view = self.open.remove(&ended.session).unwrap_or_default();
        let report = Report::new(view, ended);
        match self.format {
            Format::Text => {
                text::write_session(&report, self.reported > 0, &mut self.out)?
            }
            Format::Json => {
                let before: &[u8] =
                    if self.reported == 0 { b"{\"sessions\":[" } else { b"," };
                self.out.write_all(before)?;
                serde_json::to_writer(&mut self.out, &report)?;
            }
        }
        self.reported += 1;
        self.object(&report.ledger);
        Ok(self.out.flush()?)
    }

    fn objections(&self) -> Vec<String> {
        self.objections.clone()
    }

    fn close(&mut self, account: &Account) -> Result<()> {
        match self.format {
            Format::Text => text::write_damage(&self.damages, account, &mut self.out)?,
            Format::Json => {
                if self.reported == 0 {
                    self.out.write_all(b"{\"sessions\":[")?;
                }
                self.out.write_all(b"],\"input\":")?;
                let input = report::input(&self.damages, account);
                serde_json::to_writer(&mut self.out, &input)?;
                self.out.write_all(b"}\n")?;
            }
        }
        Ok(self.out.flush()?)
    }
}

impl Inspect {
    /// What nobody owns up to is a loss, however much may be lost.
    fn object(&mut self, ledger: &LedgerReport) {
        let known = self.objections.len() < MAX_OBJECTIONS;
        if known && let Some(what) = ledger.objection() {
            self.objections.push(format!("FAIL: {what}"));
        }
    }
}
