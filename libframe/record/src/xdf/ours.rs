//! What our own files have beside what others write: the records of each session, in a
//! stream of texts, and the devices' own times.
//!
//! A recorder writes these behind the samples that they belong to. So a reader of its own is
//! ahead of the one that gives the samples: up to the next texts of the session, before
//! which stands all that came before them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::Result;
use libframe::wire::{Header, Kind};
use libframe_xdf::{Content, Item, Note, Reader, Run, strings};

use super::lane::{Lane, Taker};
use super::survey::{Role, Survey};

/// Reads ahead.
pub(super) struct Ours {
    reader: Reader<File>,
    is_over: bool,
    /// Where the texts were that were read last, by session.
    read: BTreeMap<u32, u64>,
    notes: Notes,
}

/// What was read ahead, on its way to its place.
struct Notes {
    /// The session that each stream of texts is of, by what the file calls it.
    sessions: BTreeMap<u32, u32>,
    /// The lane of each stream that has one, and of its device times.
    lanes: BTreeMap<u32, usize>,
    devices: BTreeMap<u32, usize>,
    /// The lane that the samples of a stream go to now: a new description begins another.
    current: BTreeMap<(u32, u16), usize>,
    /// The ends of sessions, and where in the file they stand.
    ends: Vec<(u64, Header, Vec<u8>)>,
    /// The newest announcements.
    announced: BTreeMap<u32, Vec<u8>>,
}

impl Ours {
    pub(super) fn open(path: &Path, survey: &Survey) -> Result<Ours> {
        let mut reader = Reader::open(path)?;
        let mut notes = Notes {
            sessions: BTreeMap::new(),
            lanes: BTreeMap::new(),
            devices: BTreeMap::new(),
            current: BTreeMap::new(),
            ends: Vec::new(),
            announced: BTreeMap::new(),
        };
        let place = |id: u32| survey.streams.iter().position(|found| found.id == id);
        for (at, found) in survey.streams.iter().enumerate() {
            match found.role {
                Role::Notes => drop(notes.sessions.insert(found.id, found.tag)),
                Role::DeviceTimesOf(of) => {
                    notes.devices.extend(place(of).map(|at| (found.id, at)));
                }
                Role::Stream | Role::Copy => {
                    notes.lanes.insert(found.id, at);
                    reader.leave_out(found.id);
                }
            }
        }
        Ok(Ours { reader, is_over: false, read: BTreeMap::new(), notes })
    }

    /// The session of a stream of texts.
    pub(super) fn session_of(&self, id: u32) -> Option<u32> {
        self.notes.sessions.get(&id).copied()
    }

    /// Announcements of the sessions that have not ended.
    pub(super) fn announced(&self) -> impl Iterator<Item = (u32, &Vec<u8>)> {
        self.notes.announced.iter().map(|(tag, payload)| (*tag, payload))
    }

    /// Reads all that belongs before the chunk at `offset`, which is of this session.
    pub(super) fn read_to(
        &mut self,
        tag: u32,
        offset: u64,
        lanes: &mut [Lane],
        to: &mut impl Taker,
    ) -> Result<()> {
        while !self.is_over && self.read.get(&tag).is_none_or(|read| *read < offset) {
            let chunk = match self.reader.next()? {
                Some(Item::Chunk(chunk)) => chunk,
                // Told by who reads the samples.
                Some(Item::Damage(_)) => continue,
                None => {
                    self.is_over = true;
                    break;
                }
            };
            let Content::Samples(samples) = &chunk.content else { continue };
            let id = chunk.head.stream;
            if let Some(session) = self.notes.sessions.get(&id) {
                self.read.insert(*session, chunk.offset);
                for sample in samples.iter() {
                    let text = strings(sample.values).next().unwrap_or_default();
                    self.notes.take(text, chunk.offset, lanes, to);
                }
            } else if let Some(at) = self.notes.devices.get(&id) {
                let lane = lanes.get_mut(*at);
                lane.into_iter().for_each(|lane| lane.device().push(samples));
            }
        }
        Ok(())
    }

    /// Gives out what stands before the texts at `offset`, which come next: nothing is read
    /// of the samples behind them yet.
    pub(super) fn give_to(
        &mut self,
        tag: u32,
        offset: u64,
        lanes: &mut [Lane],
        to: &mut impl Taker,
    ) {
        let of_session = lanes.iter_mut().filter(|lane| lane.tag == tag);
        of_session.for_each(|lane| lane.give_notes(to));
        let ended =
            |end: &mut (u64, Header, Vec<u8>)| end.0 <= offset && end.1.session == tag;
        for (_, header, payload) in self.notes.ends.extract_if(.., ended) {
            self.notes.announced.remove(&tag);
            let of_session = lanes.iter_mut().filter(|lane| lane.tag == tag);
            of_session.for_each(|lane| lane.is_announced = false);
            to.take(header, payload);
        }
    }
}

impl Ours {
    /// Gives out what is left, where a file ends without the texts behind its last samples.
    pub(super) fn give_all(&mut self, lanes: &mut [Lane], to: &mut impl Taker) {
        let sessions: Vec<u32> = self.notes.sessions.values().copied().collect();
        sessions.into_iter().for_each(|tag| self.give_to(tag, u64::MAX, lanes, to));
    }
}

impl Notes {
    fn take(
        &mut self,
        text: &[u8],
        offset: u64,
        lanes: &mut [Lane],
        to: &mut impl Taker,
    ) {
        match Note::parse(text) {
            Some(Note::Record { header, payload, xdf }) => {
                let header = Header { sent: 0, ..header };
                match header.kind {
                    Kind::END => self.ends.push((offset, header, payload)),
                    _ => self.record(header, payload, xdf, lanes, to),
                }
            }
            Some(Note::Run(run)) => self.run(run, lanes),
            // Damaged, or of a version to come.
            None => {}
        }
    }

    fn record(
        &mut self,
        header: Header,
        payload: Vec<u8>,
        xdf: Option<u32>,
        lanes: &mut [Lane],
        to: &mut impl Taker,
    ) {
        if header.kind == Kind::SESSION {
            self.announced.insert(header.session, payload.clone());
        }
        let key = (header.session, header.stream);
        let described = xdf.and_then(|id| self.lanes.get(&id));
        if let Some(at) = described.filter(|_| header.kind == Kind::STREAM) {
            self.current.insert(key, *at);
            if let Some(lane) = lanes.get_mut(*at) {
                lane.payload.clone_from(&payload);
            }
        }
        let lane = self.current.get(&key).and_then(|at| lanes.get_mut(*at));
        match lane {
            Some(lane) => lane.note(header, payload, to),
            None => to.take(header, payload),
        }
    }

    fn run(&self, run: Run, lanes: &mut [Lane]) {
        let own = self.lanes.get(&run.xdf).and_then(|at| lanes.get_mut(*at));
        if let Some(lane) = own {
            return lane.run(run);
        }
        let lane = self.devices.get(&run.xdf).and_then(|at| lanes.get_mut(*at));
        lane.into_iter().for_each(|lane| lane.device().run(run));
    }
}
