//! What waits: in memory, then on disk if asked, with its watermarks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use libframe::clock::Clock;
use libframe::payload::{Event, Payload as _, Value};
use libframe::tool::{Backlog, Chunk, Lanes, Put, Voice};
use libframe::wire::{Header, Kind, Record};

use crate::spill::{Next, SpillFile, Spilled};
use crate::watermarks::{Crossing, Watermarks};

/// What waits between stdin and stdout.
#[derive(Debug)]
pub(crate) struct Store {
    state: Mutex<State>,
    /// Read and written without the lock, so that a slow disk holds up one side only.
    file: Option<SpillFile>,
    /// What counts as full, for what is on disk too.
    limit: u64,
    voice: Voice,
    clock: Clock,
}

#[derive(Debug)]
struct State {
    lanes: Lanes,
    spilled: Spilled,
    marks: Watermarks,
    /// What was crossed while no session was being written, and the fill.
    unsaid: Option<(Crossing, f64)>,
    /// It was told that the disk takes no more.
    told: bool,
}

impl Store {
    /// Room in memory, and in a file of so many bytes.
    pub(crate) fn new(
        lanes: Lanes,
        limit: u64,
        spill: Option<(SpillFile, u64)>,
        marks: Watermarks,
        voice: Voice,
    ) -> Store {
        let (file, max) = match spill {
            Some((file, max)) => (Some(file), max),
            None => (None, 0),
        };
        let spilled = Spilled::new(max);
        let state = State { lanes, spilled, marks, unsaid: None, told: false };
        let (state, clock) = (Mutex::new(state), Clock::system());
        Store { state, file, limit: limit.max(1), voice, clock }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a record behind those that are on disk, or will be.
    fn spill(&self, mut state: MutexGuard<'_, State>, record: &Record<'_>) -> Put {
        let Some(file) = &self.file else { return Put::Full };
        if !state.spilled.accepts(record) {
            if !state.spilled.is_shut() {
                self.tell_full(&mut state, "--spill-max is reached");
            }
            return Put::Full;
        }
        if !state.spilled.add(record) {
            return Put::Done;
        }
        let (piece, at) = state.spilled.begin_write();
        drop(state);
        let result = file.write(&piece, at);
        let mut state = self.lock();
        state.spilled.written(piece, result.is_ok());
        if let Err(why) = result {
            self.tell_full(&mut state, &format!("{why:#}"));
        }
        Put::Done
    }

    fn tell_full(&self, state: &mut State, why: &str) {
        let Some(file) = self.file.as_ref().filter(|_| !state.told) else { return };
        state.told = true;
        let folder = file.folder().display();
        self.voice.tell(&format!(
            "spill:{folder}: {why}; the stages before must wait until the reader has \
             caught up"
        ));
    }

    /// Takes from disk what is next.
    fn take_spilled(&self, chunk: &mut Chunk) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut state = self.lock();
        if let Next::InFile(at, left) = state.spilled.next(chunk) {
            drop(state);
            let context = || format!("spill:{}", file.folder().display());
            file.read(chunk, at, left).with_context(context)?;
            state = self.lock();
            state.spilled.was_read(chunk.len() as u64, file);
        }
        state.lanes.pass(chunk);
        if state.spilled.settle(file)? {
            state.told = false;
            self.voice.detail("the reader has caught up; the disk is tried again");
        }
        Ok(())
    }

    /// Says it, to people and in the stream, if the fill has crossed a mark.
    fn look(&self, state: &mut State, full: bool) {
        let spilled = state.spilled.bytes() as f64 / self.limit as f64;
        let fill = state.lanes.fill() + spilled;
        if let Some(crossing) = state.marks.look(if full { fill.max(1.0) } else { fill })
        {
            let percent = (fill * 100.0).round();
            self.voice.detail(&match crossing {
                Crossing::High => format!("the queue is full to {percent}%"),
                Crossing::Low => format!("the queue is down to {percent}%"),
            });
            state.unsaid = Some((crossing, percent / 100.0));
        }
        let Some(session) = state.lanes.session() else { return };
        if let Some((crossing, share)) = state.unsaid.take() {
            self.send_event(state, session, crossing, share);
        }
    }

    /// Puts it ahead of what waits, since who reads wants to know it now.
    fn send_event(
        &self,
        state: &mut State,
        session: u32,
        crossing: Crossing,
        share: f64,
    ) {
        let event = Event {
            label: crossing.label().into(),
            value: Value::Float(share),
            source: self.voice.name().into(),
        };
        let (kind, time) = (Kind::EVENT, self.clock.now());
        let header = Header { kind, flags: 0, stream: 0, session, seq: 0, time, sent: 0 };
        state.lanes.put_first(&Record::new(header, &event.to_bytes()));
    }
}

impl Backlog for Store {
    fn put(&self, record: &Record<'_>) -> Result<Put> {
        let mut state = self.lock();
        let mut put = Put::Full;
        // What comes later must not overtake what is on disk.
        if state.spilled.bytes() == 0 {
            put = state.lanes.put(record);
        }
        self.look(&mut state, put == Put::Full);
        Ok(if put == Put::Done { put } else { self.spill(state, record) })
    }

    fn take(&self, chunk: &mut Chunk) -> Result<()> {
        let mut state = self.lock();
        state.lanes.take(chunk);
        self.look(&mut state, false);
        if chunk.is_empty() {
            // It may have been found to be low just now.
            state.lanes.take(chunk);
        }
        let on_disk = chunk.is_empty() && state.spilled.bytes() > 0;
        drop(state);
        if on_disk { self.take_spilled(chunk) } else { Ok(()) }
    }

    fn bytes(&self) -> u64 {
        let state = self.lock();
        state.lanes.bytes() + state.spilled.bytes()
    }

    fn lost(&self) -> u64 {
        self.lock().lanes.lost()
    }
}
