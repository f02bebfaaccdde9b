//! A file as records, chunk by chunk.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::Path;

use anyhow::Result;
use libframe::clock::SECOND;
use libframe::decoder::{Cause, Damage, Item};
use libframe::payload::{ClockReading, End, Payload as _, Reason, Session};
use libframe::wire::{Header, Kind, Record};
use libframe_xdf::{self as xdf, ClockOffset, Content, Reader};

use super::lane::{Lane, Taker, nanoseconds};
use super::survey::Survey;
use crate::read::frames::LAG;

/// Buffers that are kept for later payloads.
const MAX_SPARE: usize = 16;
/// A buffer that is kept is not longer.
const MAX_KEPT: usize = 2 << 20;

/// Plays a file.
pub(crate) struct Play {
    reader: Reader<File>,
    /// What the file is called where it is to blame.
    file: String,
    session: Session,
    /// By what the file calls the streams.
    places: BTreeMap<u32, usize>,
    lanes: Vec<Lane>,
    /// Those that were announced.
    announced: Vec<bool>,
    /// When to announce again: a reader of the pipe may have joined since.
    next_announcement: i64,
    /// Capture time so far.
    now: i64,
    /// What is before this is not wanted.
    from: Option<i64>,
    /// Something could not be read.
    damaged: bool,
    closes: bool,
    over: bool,
    ready: Ready,
    /// The payload that was given out last.
    given: Vec<u8>,
}

/// Records to be given out before the file is read on.
#[derive(Default)]
struct Ready {
    session: u32,
    items: VecDeque<Next>,
    spare: Vec<Vec<u8>>,
}

enum Next {
    Record(Header, Vec<u8>),
    Damage(Damage),
}

impl Play {
    pub(super) fn new(path: &Path, survey: &Survey) -> Result<Play> {
        let reader = Reader::open(path)?;
        let file = path.file_name().unwrap_or(path.as_os_str());
        let start = survey.session.start_monotonic;
        let places = survey.streams.iter().enumerate().map(|(at, found)| (found.id, at));
        let mut play = Play {
            reader,
            file: file.to_string_lossy().into_owned(),
            session: survey.session.clone(),
            places: places.collect(),
            lanes: survey.streams.iter().map(Lane::new).collect(),
            announced: vec![false; survey.streams.len()],
            next_announcement: start.saturating_add(SECOND),
            now: start,
            from: None,
            damaged: false,
            closes: survey.has_footers(),
            over: false,
            ready: Ready { session: survey.tag, ..Ready::default() },
            given: Vec::new(),
        };
        play.announce_session();
        for (at, found) in survey.streams.iter().enumerate() {
            // What is known of its clock holds from its first sample on, and is needed for it.
            if let Some(offset) = found.offset {
                play.announce(at);
                play.tell_clock(at, offset);
            }
        }
        Ok(play)
    }

    /// Begins a little before the time that `from` tells.
    pub(crate) fn start_at(&mut self, from: &dyn Fn(&Session) -> Option<i64>) {
        self.from = from(&self.session).map(|time| time.saturating_sub(LAG));
    }

    /// Leaves out the rest: a file is one session.
    pub(crate) fn skip_session(&mut self) -> bool {
        self.ready.items.clear();
        self.over = true;
        true
    }

    /// The next record.
    #[inline]
    pub(crate) fn read(&mut self) -> Result<Option<Item<'_>>> {
        loop {
            match self.ready.items.pop_front() {
                Some(Next::Damage(damage)) => return Ok(Some(Item::Damage(damage))),
                Some(Next::Record(header, payload)) => {
                    let old = std::mem::replace(&mut self.given, payload);
                    self.ready.keep(old);
                    return Ok(Some(Item::Record(Record::new(header, &self.given))));
                }
                None if self.over => return Ok(None),
                None => self.step()?,
            }
        }
    }

    /// Reads a chunk.
    fn step(&mut self) -> Result<()> {
        let Some(item) = self.reader.next()? else {
            self.end();
            return Ok(());
        };
        let chunk = match item {
            xdf::Item::Chunk(chunk) => chunk,
            xdf::Item::Damage(damage) => {
                let xdf::Damage { offset, bytes, is_last, .. } = damage;
                self.damage(offset, bytes, is_last);
                return Ok(());
            }
        };
        let (offset, head) = (chunk.offset, chunk.head);
        let place = self.places.get(&head.stream).copied();
        match (chunk.content, place) {
            (Content::StreamHeader(_), Some(at)) => self.announce(at),
            (Content::ClockOffset(offset), Some(at)) => self.tell_clock(at, offset),
            (Content::Samples(samples), Some(at)) => {
                let Some(lane) = self.lanes.get_mut(at) else { return Ok(()) };
                if self.from.is_none_or(|from| !lane.pass(&samples, from)) {
                    lane.take(&samples, &self.file, &mut self.ready);
                    self.now = self.now.max(lane.now().unwrap_or(i64::MIN));
                }
                self.announce_again();
            }
            (Content::Undescribed(_) | Content::Samples(_), _) => {
                self.damage(offset, head.len as u64 + head.content, false);
            }
            _ => {}
        }
        Ok(())
    }

    fn announce_session(&mut self) {
        let (kind, time) = (Kind::SESSION, self.now);
        let header =
            Header { kind, flags: 0, stream: 0, session: 0, seq: 0, time, sent: 0 };
        self.ready.take(header, self.session.to_bytes());
    }

    fn announce(&mut self, at: usize) {
        let (Some(lane), Some(announced)) =
            (self.lanes.get(at), self.announced.get_mut(at))
        else {
            return;
        };
        if std::mem::replace(announced, true) {
            return;
        }
        let time = self.now.saturating_add(lane.ahead);
        self.ready.take(lane.header(Kind::STREAM, time), lane.payload.clone());
    }

    fn announce_again(&mut self) {
        if self.now < self.next_announcement {
            return;
        }
        self.next_announcement = self.now.saturating_add(SECOND);
        self.announce_session();
        let announced = self.announced.clone();
        self.announced.fill(false);
        for at in (0..announced.len()).filter(|at| announced[*at]) {
            self.announce(at);
        }
    }

    fn tell_clock(&mut self, at: usize, offset: ClockOffset) {
        let Some(lane) = self.lanes.get_mut(at) else { return };
        let (time, ahead) = (nanoseconds(offset.time), -nanoseconds(offset.value));
        lane.ahead = ahead;
        let reading = ClockReading {
            monotonic: time.saturating_sub(ahead),
            remote: lane.host.clone(),
            offset: Some(ahead),
            ..ClockReading::default()
        };
        self.ready.take(lane.header(Kind::CLOCK, time), reading.to_bytes());
    }

    fn damage(&mut self, offset: u64, bytes: u64, is_last: bool) {
        self.damaged = true;
        self.lanes.iter_mut().for_each(Lane::doubt);
        let cause = if is_last { Cause::Truncated } else { Cause::Header };
        let damage = Damage { offset, bytes, cause, header: None };
        self.ready.items.push_back(Next::Damage(damage));
    }

    /// Tells what never came, and the totals, if the file was closed.
    fn end(&mut self) {
        self.over = true;
        let reason = if self.damaged { Reason::Corrupt } else { Reason::Upstream };
        for at in 0..self.lanes.len() {
            self.announce(at);
            self.lanes[at].end(reason, &self.file, &mut self.ready);
        }
        if !self.closes {
            return;
        }
        let streams = self.lanes.iter().map(Lane::totals).collect();
        let end = End { streams, reason: "end".into() };
        let (kind, time) = (Kind::END, self.now);
        let header =
            Header { kind, flags: 0, stream: 0, session: 0, seq: 0, time, sent: 0 };
        self.ready.take(header, end.to_bytes());
    }
}

impl Taker for Ready {
    fn room(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    fn take(&mut self, header: Header, payload: Vec<u8>) {
        let header = Header { session: self.session, ..header };
        self.items.push_back(Next::Record(header, payload));
    }
}

impl Ready {
    fn keep(&mut self, mut payload: Vec<u8>) {
        if self.spare.len() < MAX_SPARE && payload.capacity() <= MAX_KEPT {
            payload.clear();
            self.spare.push(payload);
        }
    }
}
