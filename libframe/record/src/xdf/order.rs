//! A file's records by time, and samples one by one: as they were in a pipe.
//!
//! Recorders write half a second or more of one stream, then of the next. Whoever plays a file
//! in its own time needs them side by side, so some of it is read ahead.

use std::collections::{BTreeMap, VecDeque};

use anyhow::Result;
use libframe::decoder::Item;
use libframe::payload::Session;
use libframe::timeline::Timeline;
use libframe::wire::{Header, Kind, Record};

use super::play::Play;

/// What waits for streams that stand behind the others, in bytes: of most recordings minutes,
/// and of two that each write a second of 4 MB.
const MAX_WAITING: usize = 8 << 20;

/// Plays a file by time.
pub(crate) struct Ordered {
    play: Play,
    timeline: Timeline,
    lanes: BTreeMap<(u32, u16), VecDeque<Waiting>>,
    /// Bytes of all that waits.
    waiting: usize,
    /// Sessions that were announced.
    sessions: Vec<u32>,
    /// The end of a session, which comes when all else was given out.
    end: Option<(Header, Vec<u8>)>,
    is_over: bool,
    /// The payload that was given out last.
    given: Vec<u8>,
}

/// A record that waits for those before it.
struct Waiting {
    header: Header,
    payload: Vec<u8>,
    /// Its stream's clock minus the session's, ns.
    ahead: i64,
    /// Samples of a BATCH, and how many of them were given out.
    samples: usize,
    next: usize,
}

impl Ordered {
    pub(crate) fn new(play: Play) -> Ordered {
        Ordered {
            play,
            timeline: Timeline::default(),
            lanes: BTreeMap::new(),
            waiting: 0,
            sessions: Vec::new(),
            end: None,
            is_over: false,
            given: Vec::new(),
        }
    }

    /// Begins a little before the time that `from` tells.
    pub(crate) fn start_at(&mut self, from: impl Fn(&Session) -> Option<i64>) {
        self.play.start_at(from);
    }

    /// Leaves out the rest, as [`Play::skip_session`] does.
    pub(crate) fn skip_session(&mut self) -> bool {
        let skips = self.play.skip_session();
        if skips {
            self.lanes.clear();
            self.waiting = 0;
        }
        skips
    }

    /// The next record.
    pub(crate) fn read(&mut self) -> Result<Option<Item<'_>>> {
        loop {
            if let Some(key) = self.first() {
                return Ok(self.give(key).map(Item::Record));
            }
            if let Some((header, payload)) = self.end.take() {
                self.given = payload;
                return Ok(Some(Item::Record(Record::new(header, &self.given))));
            }
            if self.is_over {
                return Ok(None);
            }
            match self.play.read()? {
                None => self.is_over = true,
                Some(Item::Damage(damage)) => return Ok(Some(Item::Damage(damage))),
                Some(Item::Record(record)) => {
                    let (header, payload) = (record.header, record.payload.to_vec());
                    self.timeline.learn(&record);
                    match header.kind {
                        Kind::SESSION if !self.sessions.contains(&header.session) => {
                            self.sessions.push(header.session);
                            self.given = payload;
                            let record = Record::new(header, &self.given);
                            return Ok(Some(Item::Record(record)));
                        }
                        Kind::END => {
                            self.sessions.retain(|tag| *tag != header.session);
                            self.end = Some((header, payload));
                        }
                        _ => self.take(header, payload),
                    }
                }
            }
        }
    }

    fn take(&mut self, header: Header, payload: Vec<u8>) {
        let key = (header.session, header.stream);
        let ahead = self.timeline.offset(header.session, header.stream);
        let samples = match header.kind {
            Kind::BATCH => {
                payload.first_chunk().map_or(0, |n| u32::from_le_bytes(*n) as usize)
            }
            _ => 1,
        };
        let waiting = Waiting { header, payload, ahead, samples, next: 0 };
        self.waiting += waiting.payload.len();
        self.lanes.entry(key).or_default().push_back(waiting);
    }

    /// The stream whose record comes next, if nothing before it can still come.
    fn first(&self) -> Option<(u32, u16)> {
        let heads = self.lanes.iter().filter_map(|(key, lane)| {
            let head = lane.front()?;
            // What has no time of its own stands where it is in its stream.
            Some((if head.has_time() { head.time() } else { i64::MIN }, *key))
        });
        let (time, key) = heads.min()?;
        let all_is_read = self.is_over || self.end.is_some();
        let enough = all_is_read || self.waiting > MAX_WAITING || time == i64::MIN;
        enough.then_some(key)
    }

    fn give(&mut self, key: (u32, u16)) -> Option<Record<'_>> {
        let lane = self.lanes.get_mut(&key)?;
        let head = lane.front_mut()?;
        let header = head.give(&mut self.given);
        if head.next >= head.samples {
            self.waiting -= lane.pop_front().map_or(0, |head| head.payload.len());
        }
        Some(Record::new(header, &self.given))
    }
}

impl Waiting {
    fn has_time(&self) -> bool {
        let kind = self.header.kind;
        kind.has_samples() || [Kind::EVENT, Kind::SESSION].contains(&kind)
    }

    /// When it was, by the session's clock.
    fn time(&self) -> i64 {
        self.header.time.saturating_add(self.offset()).saturating_sub(self.ahead)
    }

    fn word(&self, place: usize) -> Option<[u8; 8]> {
        self.payload.get(8 + 8 * place..)?.first_chunk().copied()
    }

    /// How far its next sample is behind the first.
    fn offset(&self) -> i64 {
        match self.header.kind {
            Kind::BATCH => self.word(self.next).map_or(0, i64::from_le_bytes),
            _ => 0,
        }
    }

    /// Puts the payload of its next sample in place, or its own; tells the header.
    fn give(&mut self, to: &mut Vec<u8>) -> Header {
        let (at, header) = (self.next, self.header);
        let offset = self.offset();
        self.next += 1;
        to.clear();
        if header.kind != Kind::BATCH {
            to.extend_from_slice(&self.payload);
            return header;
        }
        let timed = header.has_device_time();
        let device_time = self.word(self.samples + at).filter(|_| timed);
        device_time.into_iter().for_each(|time| to.extend_from_slice(&time));
        let front = 8 + self.samples * if timed { 16 } else { 8 };
        let samples = self.payload.get(front..).unwrap_or_default();
        let size = samples.len() / self.samples.max(1);
        to.extend_from_slice(samples.get(at * size..(at + 1) * size).unwrap_or_default());
        let seq = header.seq.wrapping_add(at as u64);
        let time = header.time.wrapping_add(offset);
        Header { kind: Kind::DATA, seq, time, ..header }
    }
}
