//! The recordings as a supply of bytes for the runtime, each record when it is due.

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use libframe::clock::{Clock, SECOND};
use libframe::decoder::Item;
use libframe::histogram::Histogram;
use libframe::timeline::Timeline;
use libframe::tool::{Remark, Supply, TimeRange};
use libframe::wire::{Header, Kind, Record};
use libframe_record::{Recording, Records};

use crate::pace::{Pace, Speed};
use crate::renewal::Renewal;
use crate::selection::{Selection, Taker};

/// From here on lateness is told without being asked for.
const LATE: i64 = SECOND;

/// Plays recordings, one after another and as often as is wanted.
pub(crate) struct Tape {
    paths: Vec<PathBuf>,
    /// The next of them.
    next: usize,
    pass: u64,
    passes: u64,
    range: TimeRange,
    records: Option<Records>,
    selection: Selection,
    out: Out,
    /// Bytes of damage that are still to be shown as such.
    damage: u64,
    lateness: Lateness,
    clock: Clock,
}

/// What is ready to be read, and when.
struct Out {
    bytes: Vec<u8>,
    at: usize,
    due: i64,
    /// Its time counts as one that was to be kept.
    timed: bool,
    paced: bool,
    pace: Pace,
    renewal: Renewal,
    pass: u64,
    /// Capture time so far, as recorded, on the session's clock.
    time: i64,
    timeline: Timeline,
    clock: Clock,
}

/// How late records were.
#[derive(Default)]
struct Lateness {
    histogram: Histogram,
    max: i64,
}

/// How recordings are to be played.
pub(crate) struct Plan {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) passes: u64,
    pub(crate) speed: Speed,
    pub(crate) max_gap: Option<i64>,
    pub(crate) range: TimeRange,
    pub(crate) restamp: bool,
}

impl Tape {
    pub(crate) fn new(plan: Plan, selection: Selection, clock: &Clock) -> Tape {
        let out = Out {
            bytes: Vec::new(),
            at: 0,
            due: i64::MIN,
            timed: false,
            paced: plan.speed != Speed::Max,
            pace: Pace::new(plan.speed, plan.max_gap, clock.now()),
            renewal: Renewal::new(plan.restamp, clock),
            pass: 0,
            time: 0,
            timeline: Timeline::default(),
            clock: clock.clone(),
        };
        Tape {
            paths: plan.paths,
            next: 0,
            pass: 0,
            passes: plan.passes,
            range: plan.range,
            records: None,
            selection,
            out,
            damage: 0,
            lateness: Lateness::default(),
            clock: clock.clone(),
        }
    }

    /// Makes the next record ready; returns false after the last.
    fn prepare(&mut self) -> Result<bool> {
        while self.out.is_empty() && self.damage == 0 {
            let Some(records) = &mut self.records else {
                if !self.open_next()? {
                    return Ok(false);
                }
                continue;
            };
            match records.read()? {
                Some(Item::Record(record)) if self.selection.is_open() => {
                    self.out.take(record)?;
                }
                Some(Item::Record(record)) => {
                    self.selection.pass(record, &mut self.out)?;
                    if self.selection.is_over() && records.skip_session()? {
                        self.selection.close(self.out.time, &mut self.out)?;
                    }
                }
                Some(Item::Damage(damage)) => self.damage = damage.bytes,
                None => self.records = None,
            }
        }
        Ok(true)
    }

    fn open_next(&mut self) -> Result<bool> {
        if self.next == self.paths.len() {
            (self.next, self.pass) = (0, self.pass.saturating_add(1));
        }
        if self.pass >= self.passes {
            return Ok(false);
        }
        let mut records = Recording::open(&self.paths[self.next])?.records()?;
        if !self.range.is_open() {
            let range = self.range.clone();
            records.start_at(move |session| range.bounds(session).0)?;
        }
        self.next += 1;
        self.out.begin_pass(self.pass);
        self.records = Some(records);
        Ok(true)
    }

    /// Hands out bytes that are no record, in place of those that were none.
    fn read_damage(&mut self, buf: &mut [u8]) -> usize {
        let n = buf.len().min(usize::try_from(self.damage).unwrap_or(usize::MAX));
        buf[..n].fill(0);
        self.damage -= n as u64;
        n
    }
}

impl Read for Tape {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut n = 0;
        while n < buf.len() {
            let more =
                self.prepare().map_err(|err| io::Error::other(format!("{err:#}")))?;
            if !more {
                break;
            }
            if self.damage > 0 {
                n += self.read_damage(&mut buf[n..]);
                continue;
            }
            if self.out.at == 0 && self.out.paced {
                let now = self.clock.now();
                if now < self.out.due {
                    if n > 0 {
                        break;
                    }
                    std::thread::sleep(Duration::from_nanos((self.out.due - now) as u64));
                }
                if self.out.timed {
                    self.lateness.add(self.clock.now() - self.out.due);
                }
            }
            n += self.out.read(&mut buf[n..]);
        }
        Ok(n)
    }
}

impl Supply for Tape {
    fn due(&mut self) -> io::Result<i64> {
        if !self.out.paced {
            return Ok(i64::MIN);
        }
        self.prepare().map_err(|err| io::Error::other(format!("{err:#}")))?;
        Ok(if self.out.is_empty() { i64::MIN } else { self.out.due })
    }

    fn remarks(&mut self) -> Vec<Remark> {
        if !self.out.paced {
            Vec::new()
        } else {
            self.lateness.remark().into_iter().collect()
        }
    }
}

impl Out {
    fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn begin_pass(&mut self, pass: u64) {
        self.pass = pass;
        self.renewal.begin_pass();
    }

    fn read(&mut self, buf: &mut [u8]) -> usize {
        let n = buf.len().min(self.bytes.len() - self.at);
        buf[..n].copy_from_slice(&self.bytes[self.at..self.at + n]);
        self.at += n;
        n
    }
}

impl Taker for Out {
    /// Puts a record in line: its time decides when it is due. Those that are no samples
    /// go with the ones before them.
    fn take(&mut self, record: Record<'_>) -> Result<()> {
        if self.is_empty() {
            self.bytes.clear();
            (self.at, self.timed) = (0, false);
        }
        let header = record.header;
        self.timeline.learn(&record);
        let clock = self.timeline.offset(header.session, header.stream);
        if self.renewal.is_new(&header) {
            // Not before what is in line of the last session; and never in the past.
            let now = self.clock.now();
            let begin = if self.due > now - LATE { self.due } else { now };
            self.pace.begin(begin);
            self.due = begin;
        }
        if header.stream != 0 && (header.kind.has_samples() || header.kind == Kind::EVENT)
        {
            let first = header.time.saturating_sub(clock);
            let last = last_time(&record).saturating_sub(clock);
            let due = self.pace.step(first);
            let due = if last == first { due } else { self.pace.step(last) };
            self.due = self.due.max(due);
            self.timed |= header.kind.has_samples();
            self.time = last;
        }
        let Out { renewal, pace, bytes, due, paced, pass, .. } = self;
        let sent = if *paced { *due } else { 0 };
        renewal.pass(
            record,
            (*pass, clock),
            pace,
            &mut Encoder { bytes, sent, kind: header.kind },
        )?;
        if header.kind == Kind::END {
            self.renewal.end(header.session);
            self.timeline.forget(header.session);
        }
        Ok(())
    }
}

/// Writes records as bytes.
struct Encoder<'a> {
    bytes: &'a mut Vec<u8>,
    /// When it was to be sent: the runtime then knows how late it is.
    sent: i64,
    kind: Kind,
}

impl Taker for Encoder<'_> {
    fn take(&mut self, record: Record<'_>) -> Result<()> {
        let sent = if self.kind.has_samples() { self.sent } else { 0 };
        record.with_header(Header { sent, ..record.header }).encode(self.bytes);
        Ok(())
    }
}

/// Capture time of a record's last sample: only then was all of it there.
fn last_time(record: &Record<'_>) -> i64 {
    let header = record.header;
    if header.kind != Kind::BATCH {
        return header.time;
    }
    let n = record.samples() as usize;
    let table = record.payload.get(8..8 + 8 * n).unwrap_or_default();
    let offsets = table.as_chunks().0.iter().map(|offset| i64::from_le_bytes(*offset));
    header.time.saturating_add(offsets.max().unwrap_or(0))
}

impl Lateness {
    fn add(&mut self, late: i64) {
        self.max = self.max.max(late);
        self.histogram.add(late.max(0) as u64);
    }

    fn remark(&self) -> Option<Remark> {
        let quantile = |share| self.histogram.quantile(share).map(duration);
        let (p50, p99) = (quantile(0.5)?, quantile(0.99)?);
        let (n, max) = (self.histogram.total(), duration(self.max.max(0) as u64));
        let always = self.max >= LATE;
        let why =
            if always { "; the reader of stdout is too slow for this speed" } else { "" };
        let text =
            format!("lateness of {n} records: p50 {p50}, p99 {p99}, max {max}{why}");
        Some(Remark { text, always })
    }
}

fn duration(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{} µs", ns / 1000),
        10_000_000..10_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{} s", ns / 1_000_000_000),
    }
}
