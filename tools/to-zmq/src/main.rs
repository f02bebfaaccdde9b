//! Publish records over ZeroMQ, for other machines and programs.

mod announcements;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use libframe::catalog::Catalog;
use libframe::clock::{Clock, SECOND};
use libframe::payload::{Payload as _, Stats};
use libframe::tool::{self, Account, Ended, Need, Plan, Sink, Stop, Voice, Wake};
use libframe::wire::{HEADER_LEN, Header, Kind, Record};
use libframe_zmtp::{Admission, Endpoint, HighWater, Publisher};

use crate::announcements::Announcements;

/// How soon a subscriber is told what there is while nothing comes.
const LOOK: i64 = SECOND / 10;

const EXAMPLES: &str = "Examples:
  sim-src glove -n 500 --rate max | to-zmq ipc://glove.sock
  sim-src ephys --duration 1s | batch-frames -n 300 | to-zmq 'tcp://127.0.0.1:*' -v";

/// Publish records over ZeroMQ, for other machines and programs.
///
/// Each message of the PUB socket is one record, in one part, as framepipe(5) has it; the
/// empty subscription brings all of them, and zmq-src reads them back. A subscriber that
/// comes late is told first which sessions and streams there are. One that is too slow does
/// not hold up the others: what comes while its queue is full is dropped for it and counted,
/// and the exit status is 3.
///
/// Only this machine is served unless the endpoint says otherwise: 'tcp://*:5557' is all
/// its interfaces. There is no password; whoever can connect reads all.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Where to bind: tcp://HOST:PORT or ipc://PATH; port * is any, told by -v
    #[arg(value_name = "ENDPOINT", default_value = "tcp://127.0.0.1:5557")]
    endpoint: Endpoint,

    /// Take no records before N subscribers are there
    #[arg(long, value_name = "N", default_value_t = 0)]
    wait_subscribers: usize,

    /// How much may wait for one subscriber; what comes then is dropped for it
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = tool::parse_size)]
    high: u64,

    /// How many records may wait for one subscriber [default: as many as --high holds]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    hwm: u64,

    /// How long to wait at the end for subscribers that have not read all
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = tool::parse_duration)]
    linger: i64,
}

struct ToZmq {
    /// `None` once it is closed.
    publisher: Option<Publisher>,
    wait_subscribers: usize,
    linger: i64,
    clock: Clock,
    voice: Option<Voice>,
    stop: Option<Stop>,
    known: Announcements,
    /// The session of the last record.
    session: u32,
    next_look: i64,
    objections: Vec<String>,
}

fn main() -> ExitCode {
    tool::sink::<ToZmq>()
}

impl Sink for ToZmq {
    type Args = Args;

    const JOINS_SESSION: bool = true;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        if let Endpoint::Tcp { host, port } = &args.endpoint
            && let Ok(host) = if host == "*" { "0.0.0.0" } else { host }.parse()
        {
            plan.needs(Need::free_port(std::net::SocketAddr::new(host, *port)));
        }
        plan.memory = plan.memory.saturating_add(args.high.saturating_mul(2));
        plan.overload = "drops the newest records for a subscriber that is slow".into();
        Ok(())
    }

    fn open(args: Args) -> Result<ToZmq> {
        let bytes = usize::try_from(args.high).unwrap_or(usize::MAX);
        let high = HighWater { messages: args.hwm, bytes };
        let bound =
            Publisher::with_admission(&args.endpoint, high, Admission::ByWelcome)?;
        Ok(ToZmq {
            publisher: Some(bound),
            wait_subscribers: args.wait_subscribers,
            linger: args.linger,
            clock: Clock::system(),
            voice: None,
            stop: None,
            known: Announcements::default(),
            session: 0,
            next_look: 0,
            objections: Vec::new(),
        })
    }

    fn voice(&mut self, voice: Voice) {
        if let Some(publisher) = &self.publisher {
            voice.detail(&format!("publishing at {}", publisher.endpoint()));
        }
        self.voice = Some(voice);
    }

    fn heed(&mut self, stop: Stop) {
        self.stop = Some(stop);
    }

    fn begin(&mut self, _: Option<&std::path::Path>, _: &mut Account) -> Result<bool> {
        let (Some(publisher), Some(stop)) = (&self.publisher, &self.stop) else {
            return Ok(false);
        };
        while publisher.subscribers() < self.wait_subscribers {
            // Who is asked to stop takes what still comes, for whoever is there.
            if stop.wait(None, Some(self.clock.now() + LOOK / 5))? == Wake::Stop {
                break;
            }
        }
        Ok(false)
    }

    fn record(&mut self, record: Record<'_>, catalog: &Catalog) -> Result<()> {
        let now = self.clock.now();
        self.welcome(now)?;
        self.session = record.header.session;
        self.known.learn(&record, catalog, now);
        self.publish(&record, now)
    }

    fn stats(&mut self, stats: &Stats) -> Result<()> {
        let (kind, time, now) = (Kind::STATS, stats.to, self.clock.now());
        self.publish(&Record::new(self.header(kind, time), &stats.to_bytes()), now)
    }

    fn deadline(&self) -> Option<i64> {
        Some(self.next_look)
    }

    fn tick(&mut self, now: i64) -> Result<()> {
        self.next_look = now + LOOK;
        self.welcome(now)?;
        if self.known.are_stale(now) {
            for record in self.known.records() {
                self.publish(&record, now)?;
            }
            self.known.refresh(now);
        }
        Ok(())
    }

    fn end(&mut self, ended: &Ended<'_>) -> Result<()> {
        self.session = ended.session;
        if ended.broke_off.is_none() {
            let now = self.clock.now();
            self.welcome(now)?;
            let payload = ended.ledger.end(ended.reason).to_bytes();
            let header = self.header(Kind::END, ended.time);
            self.publish(&Record::new(header, &payload), now)?;
        }
        self.known.forget(ended.session);
        Ok(())
    }

    fn close(&mut self, _account: &Account) -> Result<()> {
        let Some(publisher) = self.publisher.take() else { return Ok(()) };
        let tally = publisher.tally();
        let unread = publisher.close(self.clock.now().saturating_add(self.linger));
        if tally.dropped > 0 {
            self.objections.push(format!(
                "{} records were dropped for subscribers that were too slow; --high lets \
                 more wait",
                tally.dropped
            ));
        }
        if unread.messages > 0 {
            self.objections.push(format!(
                "{} records were not taken by {} of the subscribers within --linger",
                unread.messages, unread.subscribers
            ));
        }
        if let Some(voice) = self.voice.as_ref().filter(|_| tally.abandoned > 0) {
            let abandoned = tally.abandoned;
            voice.detail(&format!("subscribers left {abandoned} records behind"));
        }
        Ok(())
    }

    fn objections(&self) -> Vec<String> {
        self.objections.clone()
    }
}

impl ToZmq {
    fn publisher(&self) -> Result<&Publisher> {
        self.publisher.as_ref().context("the socket is closed")
    }

    /// Tells those that have come since what there is, before they get the next record.
    fn welcome(&self, now: i64) -> Result<()> {
        let publisher = self.publisher()?;
        if publisher.has_newcomers() {
            publisher.welcome(|newcomers| {
                for record in self.known.records() {
                    let header = header_bytes(&record, now);
                    newcomers.publish_pieces(&[&header, record.payload]);
                }
            });
        }
        Ok(())
    }

    fn publish(&self, record: &Record<'_>, now: i64) -> Result<()> {
        let header = header_bytes(record, now);
        self.publisher()?.publish_pieces(&[&header, record.payload]);
        Ok(())
    }

    /// The header of a record that this stage adds.
    fn header(&self, kind: Kind, time: i64) -> Header {
        let session = self.session;
        Header { kind, flags: 0, stream: 0, session, seq: 0, time, sent: 0 }
    }
}

/// The header of a record as it goes out. What is behind it goes out from where it lies.
fn header_bytes(record: &Record<'_>, now: i64) -> [u8; HEADER_LEN] {
    record.with_header(Header { sent: now, ..record.header }).header_bytes()
}
