//! `main` for a tool that makes records.
//!
//! [`Source::run`] runs on a thread named `device` and never waits for stdout, which
//! this thread writes. Announcements, STATS and END are made here.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use anyhow::{Result, anyhow};
use clap::Parser;

use super::account::Account;
use super::args::{Common, Role};
use super::exit::{self, is_reader_gone};
use super::feed::Feed;
use super::output::{Output as _, Stdout, TextOut};
use super::plan::Plan;
use super::queue::{Queue, Taken, entries};
use super::signal::Stop;
use super::stage::{Delays, Identity, StatsMaker};
use super::status::{Counters, Status};
use super::voice::Voice;
use crate::clock::{Clock, SECOND};
use crate::crc;
use crate::payload::{Payload as _, Session};
use crate::timeline::Timeline;
use crate::wire::{Header, Kind, Record};

/// How often the wall clock is looked at.
const CLOCK_INTERVAL: i64 = 10 * SECOND;
/// A device that does not hear that it must stop is left behind after this.
const GRACE: i64 = 2 * SECOND;

/// A tool that makes records.
pub trait Source: 'static {
    /// The command line.
    type Args: Parser + Send + 'static;

    /// Adds to the plan of a command line what only the tool knows: what it needs, and which
    /// streams it makes. Opens nothing.
    fn plan(_args: &Self::Args, _plan: &mut Plan) -> Result<()> {
        Ok(())
    }

    /// What it writes to stdout instead of records, if it is asked for such: a list of
    /// devices.
    fn text(_args: &Self::Args) -> Result<Option<String>> {
        Ok(None)
    }

    /// Feeds samples until [`Feed::is_running`] says stop.
    fn run(args: Self::Args, feed: &mut Feed) -> Result<()>;
}

/// Runs a source.
pub fn source<S: Source>() -> ExitCode {
    exit::start(Role::Source, S::plan, |args: S::Args, common, account| {
        if let Some(text) = S::text(&args)? {
            let mut stdout = TextOut::stdout()?;
            return Ok(stdout
                .write_all(text.as_bytes())
                .and_then(|()| stdout.flush())?);
        }
        let clock = Clock::system();
        let until = common.duration.map(|time| clock.now().saturating_add(time));
        let stop = Stop::at_signal(&clock, until)?;
        let counters = Arc::new(Counters::default());
        counters.hold(common.queue);
        let out = Stdout::open(&counters, &clock)?;
        let mut writer = Writer::new(common, out, &stop, counters, clock);
        let feed = writer.feed(common);
        let status =
            Status::start(common, Role::Source, &writer.counters, &writer.clock)?;
        let device = Device::start(args, feed, S::run)?;
        let result = writer.run();
        drop(status);
        finish(result, writer, &device, common, account)
    })
}

/// What the device's thread leaves behind: its result, and why it stopped.
type Outcome = (Result<()>, &'static str);

/// The thread that the tool's function runs on.
struct Device {
    outcome: Arc<Mutex<Option<Outcome>>>,
}

impl Device {
    fn start<A: Send + 'static>(
        args: A,
        mut feed: Feed,
        run: impl FnOnce(A, &mut Feed) -> Result<()> + Send + 'static,
    ) -> Result<Device> {
        let outcome = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&outcome);
        // Closed also when the function panics, or the writer would wait for ever.
        let closer = Closer(Arc::clone(&feed.queue));
        Builder::new().name("device".into()).spawn(move || {
            let result = run(args, &mut feed);
            let outcome = Some((result, feed.reason));
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
            drop(closer);
        })?;
        Ok(Device { outcome })
    }

    fn outcome(&self) -> Option<Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

struct Closer(Arc<Queue>);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The side of the queue that writes stdout.
struct Writer {
    out: Stdout,
    queue: Arc<Queue>,
    stop: Stop,
    counters: Arc<Counters>,
    clock: Clock,
    name: String,
    session: Session,
    tag: u32,
    /// The descriptions in force, to be announced again.
    streams: Vec<(u16, Vec<u8>)>,
    /// How far the clocks of streams are from ours that come from other hosts.
    clocks: Timeline,
    delays: Delays,
    stats: StatsMaker,
    begun: i64,
    next_second: i64,
    next_clock: i64,
}

impl Writer {
    fn new(
        common: &Common,
        out: Stdout,
        stop: &Stop,
        counters: Arc<Counters>,
        clock: Clock,
    ) -> Writer {
        let identity = Identity::new(common);
        let session = identity.new_session(&clock);
        let tag = crc::crc32c(session.uuid.as_bytes());
        let capacity = common.queue as usize;
        let queue =
            Queue::new(capacity, common.overflow.clone(), &identity.name, tag, &counters);
        let now = clock.now();
        Writer {
            out,
            queue: Arc::new(queue),
            stop: stop.clone(),
            counters,
            name: identity.name,
            session,
            tag,
            streams: Vec::new(),
            clocks: Timeline::default(),
            delays: Delays::default(),
            stats: StatsMaker::new(now).at_origin(),
            begun: now,
            next_second: now + SECOND,
            next_clock: now,
            clock,
        }
    }

    /// The device's end of the queue.
    fn feed(&self, common: &Common) -> Feed {
        Feed {
            queue: Arc::clone(&self.queue),
            stop: self.stop.clone(),
            clock: self.clock.clone(),
            counters: Arc::clone(&self.counters),
            session: self.tag,
            voice: Voice::new(common),
            count: common.count,
            idle: common.idle,
            last: self.clock.now(),
            streams: Vec::new(),
            reason: "end",
        }
    }

    /// Writes until the device has stopped and all it gave is out.
    fn run(&mut self) -> Result<()> {
        self.announce_session(self.session.start_monotonic)?;
        let mut chunk = Vec::new();
        let mut left_behind = None;
        loop {
            let now = self.clock.now();
            self.out.set_now(now);
            self.each_second(now)?;
            self.out.flush()?;
            if self.stop.is_requested() {
                let deadline = *left_behind.get_or_insert(now + GRACE);
                if now >= deadline && self.counters.queued.get() == 0 {
                    return Ok(());
                }
            }
            // A device may be silent; this thread looks up in time to announce and stop.
            let until = self.next_second.min(now + SECOND / 4);
            match self.queue.take(&mut chunk, until, &self.clock) {
                Taken::Closed => return Ok(()),
                Taken::Time => {}
                Taken::Some => {
                    left_behind = None;
                    self.out.set_now(self.clock.now());
                    self.write(&chunk)?;
                }
            }
        }
    }

    fn write(&mut self, chunk: &[u8]) -> Result<()> {
        let now = self.clock.now();
        for (record, flip) in entries(chunk) {
            match record.header.kind {
                Kind::STREAM => self.remember(&record),
                Kind::CLOCK => self.clocks.learn(&record),
                kind if kind.has_samples() => self.note_delay(&record.header, now),
                _ => {}
            }
            match flip {
                None => self.out.send(record)?,
                Some(bit) => self.out.send_flipped(record, bit)?,
            }
        }
        Ok(())
    }

    /// Notes how long it took from capture to here, unless the capture was on a clock that
    /// is not known, or before this began.
    #[inline]
    fn note_delay(&mut self, header: &Header, now: i64) {
        let time = self.clocks.known_time(self.tag, header.stream, header.time);
        // Simulated times may lie ahead; those say nothing about delay.
        if let Some(time) = time.filter(|time| *time >= self.begun)
            && let Ok(delay) = u64::try_from(now - time)
        {
            self.delays.hop.add(delay);
        }
    }

    fn remember(&mut self, record: &Record<'_>) {
        let number = record.header.stream;
        self.streams.retain(|(other, _)| *other != number);
        self.streams.push((number, record.payload.to_vec()));
    }

    /// Repeats the announcements, so that late readers can begin and a flipped bit costs
    /// no description; reports; looks at the wall clock.
    fn each_second(&mut self, now: i64) -> Result<()> {
        if now >= self.next_clock {
            self.next_clock = now + CLOCK_INTERVAL;
            let reading = self.clock.reading();
            self.out.send_payload(self.tag, 0, reading.monotonic, &reading)?;
        }
        if now < self.next_second {
            return Ok(());
        }
        self.next_second = (self.next_second + SECOND).max(now);
        self.announce_session(now)?;
        for (stream, payload) in &self.streams {
            let (kind, session) = (Kind::STREAM, self.tag);
            let (flags, seq, time, sent) = (0, 0, now, now);
            let header =
                Header { kind, flags, stream: *stream, session, seq, time, sent };
            self.out.send(Record::new(header, payload))?;
        }
        self.send_stats(now, false)
    }

    fn announce_session(&mut self, time: i64) -> Result<()> {
        self.out.send_payload(self.tag, 0, time, &self.session)
    }

    fn send_stats(&mut self, now: i64, last: bool) -> Result<()> {
        let stage = (self.name.as_str(), 0);
        let stats = self.stats.make(now, stage, &self.counters, &mut self.delays, last);
        self.out.send_payload(self.tag, 0, now, &stats)
    }

    fn end(&mut self, reason: &str) -> Result<()> {
        let now = self.clock.now();
        self.out.set_now(now);
        self.send_stats(now, true)?;
        self.out.end(self.tag, now, reason)?;
        self.out.flush()
    }
}

/// Ends the session, even if the device failed: what it gave until then is good.
fn finish(
    result: Result<()>,
    mut writer: Writer,
    device: &Device,
    common: &Common,
    account: &mut Account,
) -> Result<()> {
    writer.queue.abandon();
    writer.stop.request();
    account.add(writer.out.ledger(writer.tag), |stream| {
        let names = writer.streams.iter().find(|(number, _)| *number == stream);
        let stream = names.and_then(|(_, p)| crate::schema::Stream::from_bytes(p).ok());
        stream.map(|stream| stream.name).unwrap_or_default()
    });
    if let Err(err) = result {
        if is_reader_gone(&err) && common.count.is_none() {
            let flow = writer.counters.output.flow();
            let samples = flow.samples;
            eprintln!(
                "{}: the reader of stdout went away, stopped after {samples} samples",
                writer.name
            );
        }
        return Err(err);
    }
    let stuck = || (Ok(()), "signal");
    let panicked =
        || (Err(anyhow!("the device's thread died; this is a bug")), "failure");
    let outcome = device.outcome();
    let over = writer.stop.is_signalled() || writer.stop.is_over();
    let (failure, reason) = outcome.unwrap_or_else(if over { stuck } else { panicked });
    writer.end(if failure.is_ok() { reason } else { "failure" })?;
    failure
}
