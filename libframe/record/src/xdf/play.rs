//! A file as records, chunk by chunk.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::Path;

use anyhow::Result;
use libframe::clock::SECOND;
use libframe::decoder::{Cause, Damage, Item};
use libframe::payload::{ClockReading, End, Payload as _, Reason, Session};
use libframe::wire::{Header, Kind, MAX_PAYLOAD, Record};
use libframe_xdf::{self as xdf, Chunk, ClockOffset, Content, Reader, Samples};

use super::lane::{Lane, Taker};
use super::ours::Ours;
use super::survey::Survey;
use crate::read::frames::LAG;

/// Buffers that are kept for later payloads.
const MAX_SPARE: usize = 16;
/// A buffer that is kept is not longer.
const MAX_KEPT: usize = 2 << 20;

/// Plays a file.
pub(crate) struct Play {
    reader: Reader<File>,
    maker: Maker,
    /// The payload that was given out last.
    given: Vec<u8>,
}

/// Makes records of chunks.
struct Maker {
    /// What the file is called where it is to blame.
    file: String,
    tag: u32,
    session: Session,
    /// By what the file calls the streams.
    places: BTreeMap<u32, usize>,
    lanes: Vec<Lane>,
    /// What only our files have.
    ours: Option<Ours>,
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
}

/// Records to be given out before the file is read on.
#[derive(Default)]
struct Ready {
    items: VecDeque<Next>,
    spare: Vec<Vec<u8>>,
}

enum Next {
    Record(Header, Vec<u8>),
    Damage(Damage),
}

impl Play {
    pub(super) fn new(path: &Path, survey: &Survey) -> Result<Play> {
        let maker = Maker::new(path, survey)?;
        Ok(Play { reader: Reader::open(path)?, maker, given: Vec::new() })
    }

    /// Begins a little before the time that `from` tells.
    pub(crate) fn start_at(&mut self, from: impl Fn(&Session) -> Option<i64>) {
        let from = from(&self.maker.session);
        self.maker.from = from.map(|time| time.saturating_sub(LAG));
    }

    /// Leaves out the rest. False if it must be read through: our files may have several
    /// sessions.
    pub(crate) fn skip_session(&mut self) -> bool {
        if self.maker.ours.is_some() {
            return false;
        }
        self.maker.ready.items.clear();
        self.maker.over = true;
        true
    }

    /// The next record.
    #[inline]
    pub(crate) fn read(&mut self) -> Result<Option<Item<'_>>> {
        loop {
            match self.maker.ready.items.pop_front() {
                Some(Next::Damage(damage)) => return Ok(Some(Item::Damage(damage))),
                Some(Next::Record(header, payload)) => {
                    let old = std::mem::replace(&mut self.given, payload);
                    self.maker.ready.keep(old);
                    return Ok(Some(Item::Record(Record::new(header, &self.given))));
                }
                None if self.maker.over => return Ok(None),
                None => match self.reader.next()? {
                    Some(xdf::Item::Chunk(chunk)) => self.maker.chunk(chunk)?,
                    Some(xdf::Item::Damage(damage)) => {
                        let xdf::Damage { offset, bytes, is_last, .. } = damage;
                        self.maker.damage(offset, bytes, is_last);
                    }
                    None => self.maker.end(),
                },
            }
        }
    }
}

impl Maker {
    fn new(path: &Path, survey: &Survey) -> Result<Maker> {
        let file = path.file_name().unwrap_or(path.as_os_str());
        let start = survey.session.start_monotonic;
        let places = survey.streams.iter().enumerate().map(|(at, found)| (found.id, at));
        let lane = |found| Lane::new(found, survey.is_ours);
        let mut maker = Maker {
            file: file.to_string_lossy().into_owned(),
            tag: survey.tag,
            session: survey.session.clone(),
            places: places.collect(),
            lanes: survey.streams.iter().map(lane).collect(),
            ours: survey.is_ours.then(|| Ours::open(path, survey)).transpose()?,
            next_announcement: start.saturating_add(SECOND),
            now: start,
            from: None,
            damaged: false,
            closes: survey.has_footers(),
            over: false,
            ready: Ready::default(),
        };
        if !survey.is_ours {
            maker.begin(survey);
        }
        Ok(maker)
    }

    /// Announces the session of a file that has no record of one.
    fn begin(&mut self, survey: &Survey) {
        self.announce_sessions();
        for (at, found) in survey.streams.iter().enumerate() {
            // What is known of its clock holds from its first sample on, and is needed for it.
            if let Some(offset) = found.offset {
                self.announce(at);
                self.tell_clock(at, offset);
            }
        }
    }

    fn chunk(&mut self, chunk: Chunk<'_>) -> Result<()> {
        let (offset, head) = (chunk.offset, chunk.head);
        let place = self.places.get(&head.stream).copied();
        match (chunk.content, place) {
            (Content::StreamHeader(_), Some(at)) => self.announce(at),
            (Content::ClockOffset(offset), Some(at)) => self.tell_clock(at, offset),
            (Content::Samples(samples), Some(at)) => {
                self.samples(at, &samples, head.stream, offset)?;
            }
            (Content::Undescribed(_) | Content::Samples(_), _) => {
                self.damage(offset, head.len as u64 + head.content, false);
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes the samples of a chunk; in one of our files, behind what belongs before it.
    fn samples(
        &mut self,
        at: usize,
        samples: &Samples<'_>,
        id: u32,
        offset: u64,
    ) -> Result<()> {
        if let Some(ours) = &mut self.ours {
            let (lanes, ready) = (&mut self.lanes, &mut self.ready);
            let tag = lanes.get(at).map_or(0, |lane| lane.tag);
            ours.read_to(tag, offset, lanes, ready)?;
            if let Some(tag) = ours.session_of(id) {
                // They are read already; what they say of what came is due now.
                ours.give_to(tag, offset, lanes, ready);
                return Ok(());
            }
        }
        self.take(at, samples);
        Ok(())
    }

    fn take(&mut self, at: usize, samples: &Samples<'_>) {
        let Some(lane) = self.lanes.get_mut(at) else { return };
        let ready = &mut self.ready;
        if self.from.is_none_or(|from| !lane.pass(samples, from, ready)) {
            lane.take(samples, &self.file, ready);
            if lane.has_samples() {
                self.now = self.now.max(lane.now().unwrap_or(i64::MIN));
            }
        }
        if self.now >= self.next_announcement {
            self.announce_again();
        }
    }

    fn announce_sessions(&mut self) {
        let time = self.now;
        let header = |session| {
            let (kind, stream, seq) = (Kind::SESSION, 0, 0);
            Header { kind, flags: 0, stream, session, seq, time, sent: 0 }
        };
        match &self.ours {
            None => self.ready.take(header(self.tag), self.session.to_bytes()),
            Some(ours) => ours
                .announced()
                .for_each(|(tag, payload)| self.ready.take(header(tag), payload.clone())),
        }
    }

    /// Announces a stream, unless one of our files does it.
    fn announce(&mut self, at: usize) {
        let lane = self.lanes.get_mut(at).filter(|_| self.ours.is_none());
        let Some(lane) = lane.filter(|lane| !lane.is_announced) else { return };
        lane.is_announced = true;
        let time = self.now.saturating_add(lane.ahead);
        self.ready.take(lane.header(Kind::STREAM, time), lane.payload.clone());
    }

    fn announce_again(&mut self) {
        self.next_announcement = self.now.saturating_add(SECOND);
        self.announce_sessions();
        for lane in self.lanes.iter().filter(|lane| lane.is_announced) {
            let time = self.now.saturating_add(lane.ahead);
            self.ready.take(lane.header(Kind::STREAM, time), lane.payload.clone());
        }
    }

    fn tell_clock(&mut self, at: usize, offset: ClockOffset) {
        let Some(lane) = self.lanes.get_mut(at) else { return };
        let (time, ahead) = lane.compared(offset);
        if self.ours.is_some() {
            return;
        }
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
        let ready = &mut self.ready;
        if let Some(ours) = &mut self.ours {
            // The texts that should come behind the last samples are not there.
            return ours.give_all(&mut self.lanes, ready);
        }
        let reason = if self.damaged { Reason::Corrupt } else { Reason::Upstream };
        for lane in &mut self.lanes {
            lane.end(reason, &self.file, ready);
        }
        if self.closes {
            let streams = self.lanes.iter().map(Lane::totals).collect();
            let end = End { streams, reason: "end".into() };
            let (kind, session, time) = (Kind::END, self.tag, self.now);
            let (stream, seq) = (0, 0);
            let header = Header { kind, flags: 0, stream, session, seq, time, sent: 0 };
            ready.take(header, end.to_bytes());
        }
    }
}

impl Taker for Ready {
    fn room(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    fn take(&mut self, header: Header, payload: Vec<u8>) {
        self.items.push_back(match payload.len() {
            // Texts in quotes may be longer than they were.
            MAX_PAYLOAD.. => Next::Damage(Damage {
                offset: 0,
                bytes: payload.len() as u64,
                cause: Cause::Payload,
                header: Some(header),
            }),
            _ => Next::Record(header, payload),
        });
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
