//! An HDF5 recording as the records it was made from, in the order they had in the pipe.
//!
//! Each stream keeps its order: rows of `data`, and before the row that a record of a table
//! names, that record. Between streams the capture time on the session's clock decides, then
//! the stream's number.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Result, ensure};
use hdf5::{File, Group};
use libframe::clock::SECOND;
use libframe::decoder::Item;
use libframe::ledger::SessionLedger;
use libframe::payload::{Gap, Payload as _, Session};
use libframe::wire::{Header, Kind, MAX_PAYLOAD, Record};

use super::h5::{H5, H5Session};
use super::lane::{Lane, Taken, What, tables};
use super::table::{Entry, TABLES, Table, entries};

/// Where to begin in a session, if not at its start.
pub(crate) type From = Box<dyn Fn(&Session) -> Option<i64>>;

/// The groups of each stream, by number.
type Streams = Vec<(u16, Vec<Group>)>;

/// Plays one session after another.
pub(crate) struct Play {
    file: File,
    sessions: VecDeque<(H5Session, Streams)>,
    /// How many sessions have been opened.
    opened: usize,
    tables: Vec<Option<Table>>,
    samples: bool,
    from: Option<From>,
    open: Option<Open>,
    payload: Vec<u8>,
}

/// The session that is being played.
struct Open {
    session: H5Session,
    lanes: Vec<Lane>,
    /// Lanes whose description is due; the session's comes first, as `None`.
    announcements: VecDeque<Option<usize>>,
    /// When to announce again: a reader of the pipe may have joined since.
    next_announcement: i64,
    /// Capture time so far.
    now: i64,
    ledger: SessionLedger,
}

impl Play {
    pub(crate) fn new(h5: &H5, samples: bool) -> Result<Play> {
        let mut sessions = VecDeque::new();
        for (place, session) in h5.sessions.iter().enumerate() {
            let mut streams = Vec::new();
            for stream in h5.streams_of(place) {
                streams.push((stream.number, h5.groups(stream)?));
            }
            sessions.push_back((session.clone(), streams));
        }
        Ok(Play {
            file: h5.file.clone(),
            sessions,
            opened: 0,
            tables: tables(&h5.file)?,
            samples,
            from: None,
            open: None,
            payload: Vec::new(),
        })
    }

    /// Begins each session that is not open yet a little before the time that `from` tells.
    pub(crate) fn start_at(&mut self, from: From) {
        self.from = Some(from);
    }

    /// Leaves out what is left of the session that is open.
    pub(crate) fn skip_session(&mut self) -> bool {
        self.open = None;
        true
    }

    /// The next record.
    #[inline]
    pub(crate) fn read(&mut self) -> Result<Option<Item<'_>>> {
        loop {
            if self.open.is_none() && !self.open_next()? {
                return Ok(None);
            }
            let Some(open) = &mut self.open else { return Ok(None) };
            match open.take(&mut self.tables, &mut self.payload)? {
                Some(Taken::Record(header)) => {
                    ensure!(self.payload.len() <= MAX_PAYLOAD, "an absurdly long sample");
                    return Ok(Some(Item::Record(Record::new(header, &self.payload))));
                }
                Some(Taken::Damage(damage)) => return Ok(Some(Item::Damage(damage))),
                None => {}
            }
            let end = open.end(&mut self.payload);
            self.open = None;
            if let Some(header) = end {
                return Ok(Some(Item::Record(Record::new(header, &self.payload))));
            }
        }
    }

    fn open_next(&mut self) -> Result<bool> {
        let Some((session, streams)) = self.sessions.pop_front() else {
            return Ok(false);
        };
        let mut by_stream = BTreeMap::<u16, Vec<Entry>>::new();
        for table in 0..TABLES.len() {
            for (stream, entry) in entries(&self.file, table, self.opened)? {
                by_stream.entry(stream).or_default().push(entry);
            }
        }
        self.opened += 1;
        let mut lanes = Vec::new();
        for (number, groups) in &streams {
            let entries = by_stream.remove(number).unwrap_or_default();
            lanes.push(Lane::open(*number, groups, entries, self.samples)?);
        }
        // The session itself, and streams of which there are no samples nor a description.
        for (number, entries) in by_stream {
            lanes.push(Lane::open(number, &[], entries, self.samples)?);
        }
        lanes.sort_by_key(|lane| lane.number);
        let mut open = Open::new(session, lanes);
        if let Some(from) = &self.from
            && let Some(time) = from(&open.session.session)
        {
            for lane in &mut open.lanes {
                lane.seek(time)?;
            }
        }
        self.open = Some(open);
        Ok(true)
    }
}

impl Open {
    fn new(session: H5Session, lanes: Vec<Lane>) -> Open {
        let described = (0..lanes.len()).filter(|at| lanes[*at].description().is_some());
        let announced = (!session.payload.is_empty()).then_some(None);
        let announcements = announced.into_iter().chain(described.map(Some)).collect();
        let start = session.session.start_monotonic;
        let mut open = Open {
            session,
            lanes,
            announcements,
            next_announcement: start.saturating_add(SECOND),
            now: start,
            ledger: SessionLedger::default(),
        };
        if open.was_joined_late() {
            // Only the first record of a session has its start as time; without it, a
            // reader does not take what came before for lost.
            open.now = open.now.saturating_add(1);
        }
        open
    }

    /// Whether the recorder missed the start of a stream without counting it as lost.
    fn was_joined_late(&self) -> bool {
        let Some((end, _)) = &self.session.end else { return false };
        end.streams.iter().any(|totals| {
            let lane = self.lanes.iter().find(|lane| lane.number == totals.stream);
            lane.is_some_and(|lane| lane.first() > totals.first)
        })
    }

    #[inline]
    fn take(
        &mut self,
        tables: &mut [Option<Table>],
        payload: &mut Vec<u8>,
    ) -> Result<Option<Taken>> {
        if let Some(lane) = self.announcements.pop_front() {
            return Ok(Some(Taken::Record(self.announce(lane, payload))));
        }
        let heads = self.lanes.iter().enumerate();
        let heads = heads.filter_map(|(at, lane)| {
            let head = lane.head()?;
            Some((lane.on_session_clock(head.time), lane.number, head.what, at))
        });
        let first = heads.min_by_key(|(time, number, ..)| (*time, *number));
        let Some((time, _, what, at)) = first else { return Ok(None) };
        if matches!(what, What::Sample) {
            self.now = time;
            if time >= self.next_announcement {
                self.next_announcement = time.saturating_add(SECOND);
                let lanes = 0..self.lanes.len();
                let described =
                    lanes.filter(|at| self.lanes[*at].description().is_some());
                self.announcements.extend(described.map(Some));
                if !self.session.payload.is_empty() {
                    return Ok(Some(Taken::Record(self.announce(None, payload))));
                }
            }
        }
        let header = match self.lanes[at].take(tables, payload)? {
            Some(Taken::Record(header)) => header,
            other => return Ok(other),
        };
        if self.session.end.is_none() {
            self.book(&header, payload);
        }
        Ok(Some(Taken::Record(Header { session: self.session.tag, ..header })))
    }

    /// Counts what is given out of a session that has no totals.
    fn book(&mut self, header: &Header, payload: &[u8]) {
        let Some(stream) = self.ledger.stream(header.stream) else { return };
        match header.kind {
            Kind::DATA => drop(stream.take(header.seq, 1, header.time)),
            Kind::GAP => {
                if let Ok(gap) = Gap::from_bytes(payload) {
                    stream.gap(&gap);
                }
            }
            _ => {}
        }
    }

    fn announce(&self, lane: Option<usize>, payload: &mut Vec<u8>) -> Header {
        payload.clear();
        let (kind, stream, seq, time) = match lane {
            None => {
                payload.extend_from_slice(&self.session.payload);
                (Kind::SESSION, 0, 0, self.now)
            }
            Some(at) => {
                let lane = &self.lanes[at];
                payload.extend_from_slice(lane.description().unwrap_or_default());
                (Kind::STREAM, lane.number, lane.next(), lane.on_own_clock(self.now))
            }
        };
        let session = self.session.tag;
        Header { kind, flags: 0, stream, session, seq, time, sent: 0 }
    }

    /// END as it came. One that was left out because the recorder was to stop, or began a
    /// new file, is made up for; not one that never was.
    fn end(&self, payload: &mut Vec<u8>) -> Option<Header> {
        payload.clear();
        match (&self.session.end, self.session.end_reason.as_str()) {
            (Some((_, bytes)), _) => payload.extend_from_slice(bytes),
            (None, "" | "broke off" | "failed") => return None,
            (None, reason) => payload.extend(self.ledger.end(reason).to_bytes()),
        }
        let (session, time) = (self.session.tag, self.now);
        Some(Header {
            kind: Kind::END,
            flags: 0,
            stream: 0,
            session,
            seq: 0,
            time,
            sent: 0,
        })
    }
}
