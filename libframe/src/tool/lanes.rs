//! Records that wait, of all streams, within limits.
//!
//! Each stream has a lane of its own, so that what must be dropped can be dropped from the
//! stream that holds most: a flood on one pushes out nothing of the others. Tickets keep the
//! order of all. Records without samples wait in a lane of their own and are never dropped.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use super::chunk::{Chunk, size_of};
use super::lane::{Lane, Spare};
use crate::wire::{Kind, Record};

/// What is taken at once, unless a single record is longer.
const TAKE: usize = 64 << 10;
/// From so many lanes on it is looked whether all are in use.
const MANY: usize = 64;
/// The lane of records without samples.
const TALK: usize = 0;

/// How much may wait. Each limit counts by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of records and of what is kept with them.
    pub bytes: u64,
    /// Records with samples.
    pub records: Option<u64>,
    /// Capture time from a stream's first record that waits to its last, ns.
    pub time: Option<i64>,
}

/// What to do with a record for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Do not take it.
    Refuse,
    /// Drop what waits longest in the stream that holds most.
    DropOldest,
    /// Drop what came last in the stream that holds most.
    DropNewest,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It waits, or was dropped by the policy and will be told as a GAP.
    Done,
    /// There is no room, and nothing that may be dropped: it was not taken.
    Full,
}

/// By what most is held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measure {
    Bytes,
    Records,
    Time,
}

/// Records that wait, by stream.
#[derive(Debug)]
pub struct Lanes {
    limits: Limits,
    full: Full,
    /// Who drops, for the GAPs.
    stage: String,
    /// The first is for records without samples.
    lanes: Vec<Lane>,
    /// Lanes by session and stream, in order.
    places: Vec<((u32, u16), usize)>,
    /// Lanes that are not used.
    unused: Vec<usize>,
    /// The lane of the last record: they come in runs.
    last: usize,
    /// The head of each lane that has one. A ticket may be earlier than the head is by now.
    heads: BinaryHeap<Reverse<(u64, usize)>>,
    next_ticket: u64,
    /// The session that is being taken, between its SESSION and END.
    session: Option<u32>,
    /// What goes out before all else.
    urgent: Chunk,
    bytes: u64,
    records: u64,
    lost: u64,
    spare: Spare,
    /// How many lanes there may be before those that are over are given up.
    prune_at: usize,
}

impl Lanes {
    /// Room within these limits; `stage` is who drops.
    pub fn new(limits: Limits, full: Full, stage: &str) -> Lanes {
        Lanes {
            limits,
            full,
            stage: stage.into(),
            lanes: vec![Lane::new((0, 0))],
            places: Vec::new(),
            unused: Vec::new(),
            last: TALK,
            heads: BinaryHeap::new(),
            next_ticket: 0,
            session: None,
            urgent: Chunk::default(),
            bytes: 0,
            records: 0,
            lost: 0,
            spare: Spare::default(),
            prune_at: MANY,
        }
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> u64 {
        self.bytes + self.urgent.len() as u64
    }

    /// Records with samples that wait.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Samples dropped so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The session whose records are being taken, between its SESSION and its END.
    pub fn session(&self) -> Option<u32> {
        self.session
    }

    /// Takes note of records that are taken, but did not wait here.
    pub fn pass(&mut self, chunk: &Chunk) {
        for record in chunk.records() {
            self.session = session_after(&record, self.session);
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// How much of what may wait does, 1 for all, by the limit that is nearest.
    pub fn fill(&self) -> f64 {
        let share = |n: f64, of: f64| n / of.max(1.0);
        let bytes = share(self.bytes as f64, self.limits.bytes as f64);
        let records = self.limits.records.map(|n| share(self.records as f64, n as f64));
        let time = self.limits.time.map(|time| {
            let longest = self.lanes.iter().skip(1).map(Lane::span).max();
            share(longest.unwrap_or(0) as f64, time as f64)
        });
        bytes.max(records.unwrap_or(0.0)).max(time.unwrap_or(0.0))
    }

    /// Puts a record in line, or deals with it as the policy says.
    pub fn put(&mut self, record: &Record<'_>) -> Put {
        let samples = record.header.kind.has_samples();
        let lane = if samples { self.lane(record) } else { TALK };
        let mut refused = false;
        while let Some(measure) = self.exceeds(lane, record) {
            match self.make_room(measure, lane, record) {
                Room::Made => {}
                Room::None => {
                    self.settle(None);
                    return Put::Full;
                }
                Room::NotForThis => {
                    refused = true;
                    break;
                }
            }
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        if refused {
            self.lost += self.change(lane, |lane, _| lane.refuse(ticket, record));
            return Put::Done;
        }
        self.change(lane, |lane, spare| lane.push(ticket, record, spare));
        self.list(lane);
        Put::Done
    }

    /// Puts a record before all that wait.
    pub fn put_first(&mut self, record: &Record<'_>) {
        self.urgent.push(record);
    }

    /// Forgets what waits of a stream, without a word.
    pub fn clear(&mut self, key: (u32, u16)) {
        if let Some(lane) = self.find(key) {
            self.change(lane, |lane, spare| lane.clear(spare));
        }
    }

    /// Records that wait of a stream.
    pub fn waiting(&self, key: (u32, u16)) -> u64 {
        self.find(key).map_or(0, |lane| self.lanes[lane].records)
    }

    /// Moves what waits longest to `chunk`, as much as is good to write at once.
    pub fn take(&mut self, chunk: &mut Chunk) {
        self.take_some(chunk, TAKE);
    }

    /// Moves what waits longest to `chunk`: one record, and more until it has so many bytes.
    pub fn take_some(&mut self, chunk: &mut Chunk, enough: usize) {
        chunk.clear();
        if !self.urgent.is_empty() {
            std::mem::swap(chunk, &mut self.urgent);
            return;
        }
        while chunk.len() < enough {
            let Some(lane) = self.first_lane() else { break };
            if chunk.is_empty() && enough >= TAKE && self.take_block(lane, chunk) {
                break;
            }
            if lane == TALK {
                if self.settle_before_end() {
                    continue;
                }
                let first = self.lanes[TALK].first();
                let session =
                    first.map(|entry| session_after(&entry.record, self.session));
                self.session = session.unwrap_or(self.session);
            }
            let stage = std::mem::take(&mut self.stage);
            self.change(lane, |lane, spare| lane.take(chunk, &stage, spare));
            self.stage = stage;
        }
    }

    /// Says what was dropped last of a session's streams, or of all: what is not said takes
    /// room that cannot be taken from here.
    fn settle(&mut self, session: Option<u32>) -> bool {
        let mut any = false;
        for at in 1..self.lanes.len() {
            let is_of = session.is_none_or(|session| self.lanes[at].key.0 == session);
            if is_of && self.lanes[at].has_untold() {
                self.change(at, |lane, spare| lane.tell(spare));
                self.list(at);
                any = true;
            }
        }
        any
    }

    /// Says what was dropped of a session whose END is next: also after END came, what is
    /// before it may have been dropped for later sessions. Whether there was anything.
    fn settle_before_end(&mut self) -> bool {
        let first = self.lanes[TALK].first().map(|entry| entry.record.header);
        let end = first.filter(|header| header.kind == Kind::END);
        end.is_some_and(|header| self.settle(Some(header.session)))
    }

    fn lane(&mut self, record: &Record<'_>) -> usize {
        let key = (record.header.session, record.header.stream);
        if self.last != TALK && self.lanes[self.last].key == key {
            return self.last;
        }
        if let Some(lane) = self.find(key) {
            self.last = lane;
            return lane;
        }
        self.prune();
        self.last = match self.places.binary_search_by_key(&key, |place| place.0) {
            Ok(at) => self.places[at].1,
            Err(at) => {
                let lane = self.unused.pop().unwrap_or_else(|| {
                    self.lanes.push(Lane::default());
                    self.lanes.len() - 1
                });
                // A stale head of it may still be listed.
                let listed = self.lanes[lane].listed;
                self.lanes[lane] = Lane::new(key);
                self.lanes[lane].listed = listed;
                self.places.insert(at, (key, lane));
                lane
            }
        };
        self.last
    }

    fn find(&self, key: (u32, u16)) -> Option<usize> {
        let at = self.places.binary_search_by_key(&key, |place| place.0).ok()?;
        Some(self.places[at].1)
    }

    /// The limit that the record would exceed. What is alone may be as long as it likes.
    #[inline]
    fn exceeds(&self, lane: usize, record: &Record<'_>) -> Option<Measure> {
        let limits = &self.limits;
        let size = size_of(record) as u64;
        let alone = self.records == 0 && self.bytes <= limits.bytes && lane != TALK;
        if self.bytes + size > limits.bytes && !alone && self.bytes > 0 {
            return Some(Measure::Bytes);
        }
        if lane == TALK {
            return None;
        }
        if limits.records.is_some_and(|n| self.records >= n.max(1)) {
            return Some(Measure::Records);
        }
        let time = limits.time?;
        let first = self.lanes[lane].first_time()?;
        (record.header.time.saturating_sub(first) > time).then_some(Measure::Time)
    }

    /// Drops something, by the policy, for a record of this lane.
    fn make_room(&mut self, measure: Measure, lane: usize, record: &Record<'_>) -> Room {
        let newest = match self.full {
            Full::Refuse => return Room::None,
            Full::DropOldest => false,
            Full::DropNewest => true,
        };
        let Some(victim) = self.largest(measure, lane, record, newest) else {
            return Room::None;
        };
        // What must be said about drops takes some room too. When it is more than a little,
        // more than this record must go.
        let over = self.bytes > self.limits.bytes.saturating_add(self.limits.bytes / 16);
        if newest && victim == lane && !over {
            return Room::NotForThis;
        }
        let dropped = self.change(victim, |lane, spare| match newest {
            true => lane.drop_last(spare),
            false => lane.drop_first(spare),
        });
        self.lost += dropped.unwrap_or(0);
        if dropped.is_some() { Room::Made } else { Room::None }
    }

    /// The lane of a stream that holds most. That of the record, which counts with it, if
    /// several do; it can hold nothing else only where the record itself may be dropped.
    fn largest(
        &self,
        measure: Measure,
        own: usize,
        record: &Record<'_>,
        may_be_empty: bool,
    ) -> Option<usize> {
        if measure == Measure::Time {
            return Some(own);
        }
        let share = |at: usize, lane: &Lane| {
            let (bytes, records) = match at == own {
                true => (lane.bytes + size_of(record), lane.records + 1),
                false => (lane.bytes, lane.records),
            };
            if measure == Measure::Bytes { bytes as u64 } else { records }
        };
        let all = self.lanes.iter().enumerate().skip(1);
        let some = all.filter(|(at, l)| l.records > 0 || (may_be_empty && *at == own));
        some.max_by_key(|(at, lane)| (share(*at, lane), *at == own)).map(|(at, _)| at)
    }

    /// Changes a lane, and what is known of all.
    #[inline]
    fn change<T>(
        &mut self,
        at: usize,
        how: impl FnOnce(&mut Lane, &mut Spare) -> T,
    ) -> T {
        let lane = &mut self.lanes[at];
        let (bytes, records) = (lane.bytes as u64, lane.records);
        let result = how(lane, &mut self.spare);
        self.bytes = self.bytes + lane.bytes as u64 - bytes;
        if at != TALK {
            self.records = self.records + lane.records - records;
        }
        result
    }

    /// Enters a lane among those that have something, if it has.
    #[inline]
    fn list(&mut self, at: usize) {
        let lane = &mut self.lanes[at];
        if !lane.listed
            && let Some(head) = lane.head()
        {
            lane.listed = true;
            self.heads.push(Reverse((head, at)));
        }
    }

    /// The lane whose head is the earliest.
    #[inline]
    fn first_lane(&mut self) -> Option<usize> {
        loop {
            let mut first = self.heads.peek_mut()?;
            let Reverse((ticket, at)) = *first;
            match self.lanes[at].head() {
                Some(head) if head == ticket => return Some(at),
                Some(head) => *first = Reverse((head, at)),
                None => {
                    self.lanes[at].listed = false;
                    PeekMut::pop(first);
                }
            }
        }
    }

    /// Hands over a whole block of the first lane, if nothing of the others lies between.
    #[inline]
    fn take_block(&mut self, lane: usize, chunk: &mut Chunk) -> bool {
        if lane == TALK {
            // What comes before the first sample of a stream must be seen one by one.
            return false;
        }
        let first = self.heads.pop();
        // Another's ticket may be too early, never too late.
        let next = self.heads.peek().map_or(u64::MAX, |Reverse((ticket, _))| *ticket);
        self.heads.extend(first);
        self.change(lane, |lane, spare| lane.take_block(chunk, next, spare))
    }

    /// Gives up the lanes of which nothing is left, when there are many.
    fn prune(&mut self) {
        if self.places.len() < self.prune_at {
            return;
        }
        let lanes = &self.lanes;
        let over = |place: &((u32, u16), usize)| lanes[place.1].is_over();
        self.unused.extend(self.places.iter().filter(|p| over(p)).map(|p| p.1));
        self.places.retain(|place| !over(place));
        self.prune_at = (2 * self.places.len()).max(MANY);
    }
}

/// The session that is open after a record, if this one was before.
fn session_after(record: &Record<'_>, session: Option<u32>) -> Option<u32> {
    match record.header.kind {
        Kind::SESSION => Some(record.header.session),
        Kind::END => None,
        _ => session,
    }
}

/// Whether there is room after a look for it.
enum Room {
    /// More than before.
    Made,
    /// None, and nothing to drop.
    None,
    /// None for the record that it was looked for.
    NotForThis,
}
