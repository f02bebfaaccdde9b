//! Report rate, jitter, losses and delays of recordings, with a verdict.

mod axis;
mod bursts;
mod clocks;
mod coarse;
mod device_clock;
mod envelope;
mod figures;
mod html;
mod intervals;
mod limits;
mod plot;
mod recorded;
mod remote_clock;
mod report;
mod rfc3550;
mod rows;
mod select;
mod session;
mod stream;
mod svg;
mod text;
mod units;
mod verdict;
mod wall_clock;
mod waterfall;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use libframe::catalog::Catalog;
use libframe::tool::{self, Account, Ended, Origin, Plan, Sink, TextOut};
use libframe::wire::{Kind, Record};
use libframe_record::is_hdf5;

use crate::limits::Limits;
use crate::report::{Ending, FileReport, InputReport, SessionReport};
use crate::rows::Rows;
use crate::session::SessionView;
use crate::verdict::Verdict;

/// Sessions of one input that are told of; the others are counted.
const MAX_SESSIONS: usize = 64;
/// Streams of one input that are told of.
const MAX_STREAMS: usize = 512;
/// Lines on stderr about what is a FAIL.
const MAX_OBJECTIONS: usize = 50;

const EXAMPLES: &str = "Examples:
  sim-src glove --duration 2s | jitter-report
  sim-src control -n 500 --rate max | jitter-report -f json
  sim-src glove -n 500 --rate max | jitter-report --html report.html
  sim-src glove camera -n 300 --rate max > a.frames; jitter-report a.frames --rate glove=217:2%";

/// Report rate, jitter, losses and delays of recordings, with a verdict.
///
/// Each stream is GOOD, or a WARNING or FAIL that names the limit which decided. The exit
/// status is 3 if any is a FAIL, or, as with every tool, if samples were lost. The ledger
/// tells who lost what; what no stage owns up to is 'unexplained', and a FAIL whatever share
/// may be lost. Mean and
/// deviation are those of all intervals, percentiles are interpolated as numpy does by
/// default; jitter is also given as RFC 3550 has it. A burst is a run of intervals below a
/// tenth of the usual pace. The drift of a device's clock is the slope of the line below all
/// samples, since a sample can come late but never early. framepipe-report(5) has every
/// figure and the keys of the JSON.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Report on these recordings, of any format and each by itself, instead of on stdin
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// How to report
    #[arg(long, short = 'f', value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Write one HTML page too; a report that is there is replaced, any other file is not
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Keep up to N intervals of a session, 4 bytes each; of longer streams percentiles are exact to 0.4 %
    #[arg(long, value_name = "N", default_value_t = 40_000_000)]
    exact_limit: u64,

    #[command(flatten)]
    limits: Limits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// A JSON array, one object for each input
    Json,
    /// A line for each input
    Line,
    /// Nothing, for a cron job that wants the page only
    None,
}

struct JitterReport {
    args: Args,
    out: TextOut,
    open: BTreeMap<u32, SessionView>,
    rows: Rows,
    /// The session whose rows wait.
    session: u32,
    input: Input,
    objections: Vec<String>,
    reported: usize,
    /// For the page, which is written when all is read.
    for_page: Vec<FileReport>,
}

/// What is known of the input that is being read.
#[derive(Default)]
struct Input {
    file: Option<PathBuf>,
    sessions: Vec<SessionReport>,
    more_sessions: u64,
}

fn main() -> ExitCode {
    tool::sink::<JitterReport>()
}

impl JitterReport {
    fn view(&mut self, tag: u32) -> &mut SessionView {
        let limit = self.args.exact_limit;
        self.open.entry(tag).or_insert_with(|| SessionView::new(tag, limit))
    }

    /// Hands on the rows that wait, so that what comes next finds them looked at.
    fn settle_rows(&mut self) {
        if self.rows.is_empty() {
            return;
        }
        let rows = std::mem::take(&mut self.rows);
        let (stream, columns) = rows.columns();
        self.view(self.session).take(stream, columns);
        self.rows = rows;
        self.rows.clear();
    }

    fn report(&mut self, view: SessionView, ending: Ending) {
        if self.input.sessions.len() == MAX_SESSIONS {
            self.input.more_sessions += 1;
            return;
        }
        let mut report = SessionReport::new(view, ending, &self.args.limits);
        self.object(&report);
        let told: usize = self.input.sessions.iter().map(|s| s.streams.len()).sum();
        report.keep_streams(MAX_STREAMS.saturating_sub(told));
        self.input.sessions.push(report);
    }

    /// What a FAIL is for goes to stderr too, for the mail that cron sends.
    fn object(&mut self, report: &SessionReport) {
        let of_session = report.findings.iter().map(|finding| ("session", finding));
        let of_streams = report.streams.iter().flat_map(|stream| {
            stream.findings.iter().map(|finding| (stream.name.as_str(), finding))
        });
        for (name, finding) in of_session.chain(of_streams) {
            // A stage that broke off is told by the runtime.
            let told =
                finding.measure == "broke-off" || self.objections.len() == MAX_OBJECTIONS;
            if finding.verdict == Verdict::Fail && !told {
                self.objections.push(format!("{name}: FAIL: {}", finding.text));
            }
        }
    }

    fn write(&mut self, report: &FileReport) -> Result<()> {
        match self.args.format {
            Format::Text => {
                let style = plot::Style::of_stdout();
                text::write(report, self.reported > 0, &style, &mut self.out)?;
            }
            Format::Json => {
                let before: &[u8] = if self.reported == 0 { b"[" } else { b"," };
                self.out.write_all(before)?;
                serde_json::to_writer(&mut self.out, report)?;
            }
            Format::Line => text::write_line(report, &mut self.out)?,
            Format::None => {}
        }
        self.reported += 1;
        Ok(self.out.flush()?)
    }
}

impl Sink for JitterReport {
    type Args = Args;

    const WRITES_TEXT: bool = true;
    const FILES_APART: bool = true;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        plan.memory += 64 << 20;
        args.html.iter().for_each(|path| plan.needs(html::need(path)));
        Ok(())
    }

    fn open(args: Args) -> Result<JitterReport> {
        args.html.as_deref().map_or(Ok(()), html::check)?;
        Ok(JitterReport {
            args,
            out: TextOut::stdout()?,
            open: BTreeMap::new(),
            rows: Rows::default(),
            session: 0,
            input: Input::default(),
            objections: Vec::new(),
            reported: 0,
            for_page: Vec::new(),
        })
    }

    fn files(args: &Args) -> Vec<PathBuf> {
        args.files.clone()
    }

    fn origin_of(file: PathBuf) -> Result<Origin> {
        match is_hdf5(&file) {
            // Its columns are looked at, not its records.
            true => Origin::files(vec![file]),
            false => libframe_record::origin(vec![file]),
        }
    }

    fn begin(&mut self, file: Option<&Path>, account: &mut Account) -> Result<bool> {
        self.input = Input { file: file.map(Path::to_owned), ..Input::default() };
        let Some(file) = file.filter(|file| is_hdf5(file)) else {
            return Ok(false);
        };
        for (view, ending) in recorded::read(file, self.args.exact_limit, account)? {
            self.report(view, ending);
        }
        Ok(true)
    }

    #[inline]
    fn record(&mut self, record: Record<'_>, catalog: &Catalog) -> Result<()> {
        let header = &record.header;
        let samples = header.kind.has_samples();
        if !samples || header.session != self.session || !self.rows.can_take(&record) {
            self.settle_rows();
        }
        self.session = header.session;
        if samples {
            return self.rows.take(&record, catalog.is_fixed(&record));
        }
        let view = self.view(header.session);
        match catalog.of(&record).filter(|_| header.kind == Kind::STREAM) {
            Some(stream) => view.describe(header.stream, stream),
            None => view.take_other(header, record.payload),
        }
        Ok(())
    }

    fn end(&mut self, ended: &Ended<'_>) -> Result<()> {
        self.settle_rows();
        let broke_off = ended.broke_off.map(str::to_owned);
        let (tag, limit) = (ended.session, self.args.exact_limit);
        let view = self.open.remove(&tag).unwrap_or_else(|| SessionView::new(tag, limit));
        self.report(view, Ending { reason: ended.reason.into(), broke_off });
        Ok(())
    }

    fn finish(&mut self, account: &Account) -> Result<()> {
        let input = std::mem::take(&mut self.input);
        let sessions = input.sessions.iter().map(|session| session.verdict);
        let worst = sessions.max().unwrap_or_default();
        let (damaged_places, damaged_bytes) = account.damaged();
        let complaints = account.broken().to_vec();
        let broken = damaged_places + account.malformed() > 0 || !complaints.is_empty();
        let report = FileReport {
            file: input.file.map(|file| file.display().to_string()),
            verdict: if broken { Verdict::Fail } else { worst },
            sessions: input.sessions,
            more_sessions: input.more_sessions,
            input: InputReport {
                damaged_places,
                damaged_bytes,
                late_bytes: account.late_bytes(),
                malformed_records: account.malformed(),
                complaints,
            },
        };
        self.write(&report)?;
        if self.args.html.is_some() {
            self.for_page.push(report);
        }
        Ok(())
    }

    fn close(&mut self, _account: &Account) -> Result<()> {
        if self.args.format == Format::Json {
            self.out.write_all(if self.reported == 0 { b"[]\n" } else { b"]\n" })?;
        }
        self.out.flush()?;
        self.args.html.as_deref().map_or(Ok(()), |path| html::write(path, &self.for_page))
    }

    fn objections(&self) -> Vec<String> {
        self.objections.clone()
    }
}
