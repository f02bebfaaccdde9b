//! The identity of a session that is played: its own, that of another pass, or a new one
//! that happens now.

use std::collections::BTreeMap;

use anyhow::Result;
use libframe::clock::Clock;
use libframe::crc::crc32c;
use libframe::payload::{ClockReading, Gap, Payload as _, Session};
use libframe::timeline::stream_offset;
use libframe::tool::{boot_id, host_name};
use libframe::wire::{Header, Kind, Record};
use sha2::{Digest as _, Sha256};

use crate::pace::Pace;
use crate::selection::Taker;

/// Changes what ties records to the session that they were recorded in.
pub(crate) struct Renewal {
    restamp: bool,
    clock: Clock,
    /// New tags by old ones, and the new announcements; of one pass of one file.
    sessions: BTreeMap<u32, Renewed>,
    payload: Vec<u8>,
}

struct Renewed {
    tag: u32,
    uuid: String,
    start: i64,
    start_realtime: i64,
}

impl Renewal {
    pub(crate) fn new(restamp: bool, clock: &Clock) -> Renewal {
        let (sessions, payload) = (BTreeMap::new(), Vec::new());
        Renewal { restamp, clock: clock.clone(), sessions, payload }
    }

    /// Forgets the sessions: those of the next pass are others, even if they look alike.
    pub(crate) fn begin_pass(&mut self) {
        self.sessions.clear();
    }

    /// Whether this record begins a session.
    pub(crate) fn is_new(&self, header: &Header) -> bool {
        header.kind == Kind::SESSION && !self.sessions.contains_key(&header.session)
    }

    /// Passes on a record as one of the new session. `clock` is what its stream's clock is
    /// ahead of the session's.
    pub(crate) fn pass(
        &mut self,
        record: Record<'_>,
        (pass, clock): (u64, i64),
        pace: &mut Pace,
        to: &mut impl Taker,
    ) -> Result<()> {
        if !self.restamp && pass == 0 {
            if record.header.kind == Kind::SESSION {
                self.enter(&record, pass, pace);
            }
            return to.take(record);
        }
        let begins = self.is_new(&record.header);
        let tag = self.enter(&record, pass, pace);
        let header = Header { session: tag, ..record.header };
        let record = record.with_header(header);
        match (header.kind, self.restamp) {
            (Kind::SESSION, _) => self.announce(record, begins, pace, to),
            (_, false) => to.take(record),
            (_, true) => self.restamp(record, pace, clock, to),
        }
    }

    /// Forgets a session, by its recorded tag, that has ended.
    pub(crate) fn end(&mut self, tag: u32) {
        self.sessions.remove(&tag);
    }

    /// The tag that a record's session has now.
    fn enter(&mut self, record: &Record<'_>, pass: u64, pace: &Pace) -> u32 {
        let old = record.header.session;
        if let Some(renewed) = self.sessions.get(&old) {
            return renewed.tag;
        }
        let session = Session::from_bytes(record.payload);
        let known = session.as_ref().map_or("", |session| session.uuid.as_str());
        let (uuid, tag) = match (self.restamp, pass) {
            (false, 0) => (known.to_owned(), old),
            // The same on every run, as all of the data is.
            (false, _) => identity(derived(known, old, pass)),
            (true, _) => identity(uuid::Uuid::new_v4()),
        };
        let reading = self.clock.reading();
        let start = pace.now().max(pace.map(i64::MIN));
        let since = start.saturating_sub(reading.monotonic);
        let start_realtime = reading.realtime.unwrap_or(0).saturating_add(since);
        self.sessions.insert(old, Renewed { tag, uuid, start, start_realtime });
        tag
    }

    fn announce(
        &mut self,
        record: Record<'_>,
        begins: bool,
        pace: &Pace,
        to: &mut impl Taker,
    ) -> Result<()> {
        let header = record.header;
        let renewed = self.sessions.values().find(|one| one.tag == header.session);
        let (Some(renewed), Ok(mut session)) =
            (renewed, Session::from_bytes(record.payload))
        else {
            return to.take(record);
        };
        let original = std::mem::replace(&mut session.uuid, renewed.uuid.clone());
        session.meta.insert("replay_of".into(), original);
        let mut time = header.time;
        if self.restamp {
            session.host = host_name();
            session.boot_id = boot_id();
            session.start_monotonic = renewed.start;
            session.start_realtime = renewed.start_realtime;
            time = if begins { renewed.start } else { pace.now() };
        }
        let header = Header { time, ..header };
        to.take(Record::new(header, &session.to_bytes()))?;
        if !self.restamp || !begins {
            return Ok(());
        }
        let reading = self.clock.reading();
        let (kind, time) = (Kind::CLOCK, reading.monotonic);
        to.take(Record::new(Header { kind, time, ..header }, &reading.to_bytes()))
    }

    /// Puts all times of a record on the clock of now.
    fn restamp(
        &mut self,
        record: Record<'_>,
        pace: &mut Pace,
        clock: i64,
        to: &mut impl Taker,
    ) -> Result<()> {
        let header = record.header;
        let map = |time: i64| pace.map(time.saturating_sub(clock));
        let moved = Header { time: map(header.time), ..header };
        match header.kind {
            Kind::DATA => to.take(record.with_header(moved)),
            Kind::BATCH => self.restamp_batch(record, pace, clock, to),
            // What stages did then is not what they do now.
            Kind::STATS => Ok(()),
            Kind::GAP => match Gap::from_bytes(record.payload) {
                Ok(mut gap) => {
                    gap.from = gap.from.map(map);
                    gap.to = gap.to.map(map);
                    to.take(Record::new(moved, &gap.to_bytes()))
                }
                Err(_) => to.take(record.with_header(moved)),
            },
            // All streams are on one clock now.
            Kind::CLOCK if stream_offset(&record).is_some() => Ok(()),
            Kind::CLOCK => match ClockReading::from_bytes(record.payload) {
                Ok(mut reading) if !reading.remote.is_empty() => {
                    let now = pace.map(reading.monotonic);
                    let shift = reading.monotonic.saturating_sub(now);
                    reading.offset =
                        reading.offset.map(|offset| offset.saturating_add(shift));
                    reading.monotonic = now;
                    to.take(Record::new(moved, &reading.to_bytes()))
                }
                // The wall clock of then; this pass told that of now.
                _ => Ok(()),
            },
            _ => to.take(record.with_header(moved)),
        }
    }

    fn restamp_batch(
        &mut self,
        record: Record<'_>,
        pace: &Pace,
        clock: i64,
        to: &mut impl Taker,
    ) -> Result<()> {
        let header = record.header;
        let map = |time: i64| pace.map(time.saturating_sub(clock));
        let time = map(header.time);
        self.payload.clear();
        self.payload.extend_from_slice(record.payload);
        let n = record.samples() as usize;
        let table = self.payload.get_mut(8..8 + 8 * n).unwrap_or_default();
        for offset in table.as_chunks_mut().0 {
            let captured = header.time.wrapping_add(i64::from_le_bytes(*offset));
            *offset = map(captured).wrapping_sub(time).to_le_bytes();
        }
        to.take(Record::new(Header { time, ..header }, &self.payload))
    }
}

fn identity(uuid: uuid::Uuid) -> (String, u32) {
    let uuid = uuid.to_string();
    let tag = crc32c(uuid.as_bytes());
    (uuid, tag)
}

/// An id of another pass of a session, made from the session's own.
fn derived(uuid: &str, tag: u32, pass: u64) -> uuid::Uuid {
    let digest = Sha256::digest(format!("replay {uuid} {tag} {pass}"));
    let bytes = digest.first_chunk().copied().unwrap_or_default();
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
