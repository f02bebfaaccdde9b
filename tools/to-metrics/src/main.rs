//! Show Prometheus what every stage of the pipe does and loses.

mod address;
mod board;
mod client;
mod exposition;
mod families;
mod figures;
mod label;
mod lane;
mod render;
mod reply;
mod request;
mod server;
mod sessions;
mod table;
mod textfile;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use libframe::catalog::Catalog;
use libframe::clock::{Clock, SECOND};
use libframe::decoder::{Cause, Damage};
use libframe::payload::Stats;
use libframe::tool::{
    self, Account, Ended, Need, Plan, Sink, Usage, Voice, parse_duration,
};
use libframe::wire::Record;

use crate::board::Board;
use crate::figures::Figures;
use crate::label::Labels;
use crate::server::{Server, Setting};
use crate::sessions::Sessions;
use crate::table::OTHER;
use crate::textfile::Textfile;

/// How old figures may be that are shown.
const PUBLISH: i64 = SECOND / 10;

const EXAMPLES: &str = "Examples:
  sim-src glove -n 100 --rate max | to-metrics --textfile glove.prom
  sim-src glove --duration 1s | fan-out --must 'to-h5 x.h5' --may 'to-metrics 0 --port-file port'";

/// Show Prometheus what every stage of the pipe does and loses.
///
/// Answers 'GET /metrics' at ADDR, or writes a file for node_exporter, or both: what each
/// stage took in, sent and dropped, its queue and delays; for each stream samples, rate,
/// losses by stage and reason, and how long ago the last sample was captured; sessions and
/// clocks. framepipe-metrics(5) lists all of them; 'examples/grafana' has a dashboard and
/// alerts. '/healthz' answers 200 while samples come.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Where to listen: a port on this machine alone, or an address; port 0 is any that is
    /// free [default: 127.0.0.1:9464, unless there is --textfile]
    #[arg(value_name = "ADDR", value_parser = address::parse)]
    address: Option<SocketAddr>,

    /// Write this file for node_exporter's textfile collector, replaced as a whole
    #[arg(long, value_name = "PATH.prom", value_parser = textfile::parse_path)]
    textfile: Option<PathBuf>,

    /// How often to write it
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    refresh: i64,

    /// Write the address that is listened on to this file, once it is
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,

    /// Show figures only to clients that send what is in this file as a bearer token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// How long no samples may come until '/healthz' answers 503
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    stale: i64,

    /// How long to wait at the end for a scrape that sees it
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_duration)]
    linger: i64,

    /// Streams that are told apart by name; those over it are summed up as '_other'
    #[arg(long, value_name = "N", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_streams: u32,

    /// Buckets of histograms for each doubling of the time: 1, 2, 4 or 8
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = parse_buckets)]
    buckets: usize,
}

impl Args {
    /// Where to listen, if at all.
    fn listens(&self) -> Option<SocketAddr> {
        let usual = || (std::net::Ipv4Addr::LOCALHOST, address::PORT).into();
        match (self.address, &self.textfile) {
            (Some(address), _) => Some(address),
            (None, Some(_)) => None,
            (None, None) => Some(usual()),
        }
    }
}

struct ToMetrics {
    figures: Figures,
    sessions: Sessions,
    board: Arc<Board>,
    clock: Clock,
    voice: Voice,
    /// Where it listens, and whether that must be told.
    listening: Option<(SocketAddr, bool)>,
    server: Option<Server>,
    textfile: Option<Textfile>,
    port_file: Option<PathBuf>,
    linger: Duration,
    /// Samples came since this was looked at.
    has_samples: bool,
    /// Something came that is not published, and since when.
    has_news: bool,
    unpublished: Option<i64>,
    published: i64,
}

fn main() -> ExitCode {
    tool::sink::<ToMetrics>()
}

impl Sink for ToMetrics {
    type Args = Args;

    /// So that its own version and command are told like those of the others.
    const JOINS_SESSION: bool = true;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        if let Some(address) = args.listens().filter(|address| address.port() != 0) {
            plan.needs(Need::free_port(address));
        }
        for file in args.textfile.iter().chain(&args.port_file) {
            plan.needs(Need::new_file(file, true));
        }
        args.token_file.iter().for_each(|file| plan.needs(Need::file(file)));
        Ok(())
    }

    fn open(args: Args) -> Result<ToMetrics> {
        let clock = Clock::system();
        let now = clock.now();
        let figures = Figures::new(args.max_streams as usize, now);
        let board = Arc::new(Board::new(figures.clone()));
        let buckets = args.buckets;
        let textfile = args.textfile.as_deref().map(|path| {
            let interval = Duration::from_nanos(args.refresh.max(SECOND / 10) as u64);
            Textfile::start(path, interval, buckets, &board, &clock)
        });
        let textfile = textfile.transpose()?;
        let (server, listening) = match args.listens() {
            None if args.port_file.is_some() || args.token_file.is_some() => {
                let why = "--port-file and --token-file are for who listens; name ADDR";
                return Err(Usage(why.into()).into());
            }
            None => (None, None),
            Some(address) => {
                let listener = address::listen(address)?;
                let real = listener.local_addr()?;
                let token = args.token_file.as_deref().map(token).transpose()?;
                let setting = Setting { token, stale: args.stale, buckets };
                let server = Server::start(listener, setting, &board, &clock)?;
                let silent = address.port() == 0 && args.port_file.is_none();
                (Some(server), Some((real, silent)))
            }
        };
        if let (Some(file), Some((address, _))) = (&args.port_file, listening) {
            address::write_port(file, address)?;
        }
        Ok(ToMetrics {
            figures,
            sessions: Sessions::default(),
            board,
            clock,
            voice: Voice::default(),
            listening,
            server,
            textfile,
            port_file: args.port_file,
            linger: Duration::from_nanos(args.linger as u64),
            has_samples: false,
            has_news: false,
            unpublished: None,
            published: now,
        })
    }

    fn voice(&mut self, voice: Voice) {
        if let Some((address, must)) = self.listening {
            let text = format!("listening on http://{address}/metrics");
            // Nobody could know a port that the system chose.
            if must { voice.answer(&text) } else { voice.detail(&text) }
        }
        self.voice = voice;
    }

    #[inline]
    fn record(&mut self, record: Record<'_>, catalog: &Catalog) -> Result<()> {
        self.has_samples |= record.header.kind.has_samples();
        self.has_news = true;
        self.sessions.take(&record, catalog, &mut self.figures);
        Ok(())
    }

    fn stats(&mut self, stats: &Stats) -> Result<()> {
        self.figures.take_stats(stats);
        self.has_news = true;
        Ok(())
    }

    fn damage(&mut self, damage: &Damage) -> Result<()> {
        self.has_news = true;
        if damage.cause != Cause::Late {
            let labels = |cause| Labels::new(&[("cause", cause)]);
            let cause = labels(damage.cause.name());
            let row = self.figures.damage.row(&cause, || labels(OTHER));
            row.places += 1;
            row.bytes = row.bytes.saturating_add(damage.bytes);
        }
        Ok(())
    }

    /// Nothing more is at hand. Figures are put up at intervals, so that a copy of them for
    /// each record costs nothing.
    fn flush(&mut self) -> Result<()> {
        if !self.has_news {
            return Ok(());
        }
        let now = self.clock.now();
        let since = *self.unpublished.get_or_insert(now);
        if now - since.max(self.published) >= PUBLISH {
            self.publish(now);
        }
        Ok(())
    }

    fn deadline(&self) -> Option<i64> {
        Some(self.unpublished?.max(self.published) + PUBLISH)
    }

    fn tick(&mut self, now: i64) -> Result<()> {
        self.publish(now);
        Ok(())
    }

    fn end(&mut self, ended: &Ended<'_>) -> Result<()> {
        let now = self.clock.now();
        self.sessions.end(ended, now, &mut self.figures);
        self.publish(now);
        Ok(())
    }

    fn close(&mut self, _account: &Account) -> Result<()> {
        self.figures.is_over = true;
        self.publish(self.clock.now());
        if self.server.is_some() && !self.linger.is_zero() {
            self.voice.detail("the input has ended; waiting for a last scrape");
            self.board.wait_until_seen(self.linger);
        }
        drop(self.server.take());
        if let Some(file) = &self.port_file {
            // Somebody may have taken it away; it is of no use any more in any case.
            drop(fs::remove_file(file));
        }
        self.textfile.take().map_or(Ok(()), Textfile::finish)
    }
}

impl ToMetrics {
    fn publish(&mut self, now: i64) {
        if std::mem::take(&mut self.has_samples) {
            self.figures.arrived = now;
        }
        self.sessions.date(now, &mut self.figures);
        (self.has_news, self.unpublished) = (false, None);
        self.published = now;
        if let Some(problem) = self.board.post(self.figures.clone()) {
            self.voice.tell(&problem);
        }
    }
}

/// What clients must send.
fn token(file: &Path) -> Result<Vec<u8>> {
    let what = || format!("--token-file {}", file.display());
    let token = fs::read(file).with_context(what)?;
    match token.trim_ascii() {
        b"" => bail!("{}: is empty, so everybody would know it", what()),
        token => Ok(token.to_vec()),
    }
}

fn parse_buckets(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ (1 | 2 | 4 | 8)) => Ok(n),
        _ => Err(format!("{text:?}: a doubling has 1, 2, 4 or 8 buckets")),
    }
}
