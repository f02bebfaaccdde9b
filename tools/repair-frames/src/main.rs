//! Turn a damaged recording into a clean one, and report the damage.

mod recorder;
mod xdf;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use libframe::catalog::Catalog;
use libframe::decoder::{Cause, Damage};
use libframe::payload::{Gap, Payload as _};
use libframe::tool::{self, Account, Ended, Filter, Need, Output, Plan, Voice};
use libframe::wire::{Kind, Record};
use serde_json::{Value, json};

const EXAMPLES: &str = "Examples:
  sim-src glove -n 500 --rate max --fault flip=1% | repair-frames > clean.frames
  sim-src glove -n 500 --rate max | to-h5 session.h5; repair-frames session.h5
  sim-src glove -n 500 --rate max | to-xdf session.xdf; repair-frames session.xdf";

/// Turn a damaged recording into a clean one, and report the damage.
///
/// Every record that can be read is passed on as it is. Where records are missing a GAP
/// says so, and sessions that broke off get their END. The report goes to stderr, a line
/// for each place.
///
/// A recording of to-h5 that broke off is repaired where it is: what its journal has, which
/// is all but the last moment, is brought to the file. One in XDF, by whomever, gets the
/// footers it lacks, and what was cut off at its end goes to FILE.tail. Nothing then goes to
/// stdout.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Read this recording instead of stdin; one in HDF5 or XDF is repaired in place
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// Write the report to this file, as NDJSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

struct Repair {
    report: Report,
    voice: Voice,
}

enum Report {
    Lines,
    File(PathBuf, BufWriter<File>),
}

/// A recording that is repaired in place.
enum Form {
    Hdf5,
    Xdf,
}

impl Form {
    fn of(path: &Path) -> Option<Form> {
        match (recorder::made(path), xdf::made(path)) {
            (true, _) => Some(Form::Hdf5),
            (false, true) => Some(Form::Xdf),
            (false, false) => None,
        }
    }
}

fn main() -> ExitCode {
    // Which of the two it is shows before the arguments are parsed, since the options that
    // both take are parsed for a role.
    let mut words = std::env::args_os().skip(1);
    let file = words.find_map(|word| Form::of(word.as_ref()));
    match file {
        Some(Form::Hdf5) => tool::command(recorder::hand_over),
        Some(Form::Xdf) => tool::command(xdf::mend),
        None => tool::filter::<Repair>(),
    }
}

impl Filter for Repair {
    type Args = Args;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        args.report.iter().for_each(|path| plan.needs(Need::new_file(path, false)));
        Ok(())
    }

    fn open(args: Args) -> Result<Repair> {
        let report = match args.report {
            None => Report::Lines,
            Some(path) => {
                let file = File::create_new(&path)
                    .with_context(|| format!("--report {}", path.display()))?;
                Report::File(path, BufWriter::new(file))
            }
        };
        Ok(Repair { report, voice: Voice::default() })
    }

    fn voice(&mut self, voice: Voice) {
        self.voice = voice;
    }

    fn files(args: &Args) -> Vec<PathBuf> {
        args.file.iter().cloned().collect()
    }

    fn record(
        &mut self,
        record: Record<'_>,
        catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        if record.header.kind == Kind::GAP {
            let name = catalog.name(record.header.session, record.header.stream);
            if let Ok(gap) = Gap::from_bytes(record.payload) {
                self.report.missing(&self.voice, &name, &gap)?;
            }
        }
        out.send(record)
    }

    fn damage(&mut self, damage: &Damage) -> Result<()> {
        self.report.damaged(&self.voice, damage)
    }

    fn end(&mut self, ended: &Ended<'_>, _out: &mut impl Output) -> Result<()> {
        match ended.broke_off {
            Some(stage) => self.report.broke_off(&self.voice, ended.session, stage),
            None => Ok(()),
        }
    }

    fn close(&mut self, account: &Account) -> Result<()> {
        self.report.close(account)
    }
}

impl Report {
    fn damaged(&mut self, voice: &Voice, damage: &Damage) -> Result<()> {
        let Damage { offset, bytes, cause, .. } = *damage;
        let what = match cause {
            Cause::Late => "before the first record",
            Cause::Header => "no readable header",
            Cause::Payload => "payload fails its checksum",
            Cause::TooLong { .. } => "length over --max-record",
            Cause::Truncated => "cut off",
            Cause::Version { .. } => "another version of the format",
        };
        self.tell(
            voice,
            &format!("{bytes} bytes at byte {offset}: {what}"),
            json!({ "damage": { "offset": offset, "bytes": bytes, "cause": cause.name() } }),
        )
    }

    fn missing(&mut self, voice: &Voice, stream: &str, gap: &Gap) -> Result<()> {
        let count =
            gap.count.map_or("an unknown number".into(), |count| count.to_string());
        let (first, reason, stage) = (gap.first, gap.reason.name(), &gap.stage);
        self.tell(
            voice,
            &format!(
                "{stream}: {count} missing from sample {first}: {reason}, by {stage}"
            ),
            json!({ "gap": { "stream": stream, "payload": gap } }),
        )
    }

    fn broke_off(&mut self, voice: &Voice, session: u32, stage: &str) -> Result<()> {
        let session = format!("{session:08x}");
        self.tell(
            voice,
            &format!("session {session}: END added, {stage} stopped without"),
            json!({ "broke_off": { "session": session, "stage": stage } }),
        )
    }

    fn close(&mut self, account: &Account) -> Result<()> {
        let Report::File(path, file) = self else { return Ok(()) };
        let (places, bytes) = account.damaged();
        let sum = json!({ "total": {
            "lost": account.lost(), "damaged_places": places, "damaged_bytes": bytes,
        }});
        writeln!(file, "{sum}")
            .and_then(|()| file.flush())
            .with_context(|| format!("--report {}", path.display()))
    }

    fn tell(&mut self, voice: &Voice, line: &str, entry: Value) -> Result<()> {
        match self {
            Report::Lines => {
                voice.tell(line);
                Ok(())
            }
            Report::File(path, file) => writeln!(file, "{entry}")
                .with_context(|| format!("--report {}", path.display())),
        }
    }
}
