//! What may wait between a filter and stdout, and how the two threads on its sides wait for
//! each other.

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use super::chunk::Chunk;
use super::lanes::Put;
use crate::wire::Record;

/// What waits between a filter, whose thread puts records in, and stdout, whose thread takes
/// them out.
pub trait Backlog: fmt::Debug + Send + Sync {
    /// Puts a record in line. If there is no room, the runtime asks again when some was
    /// taken. The header's `sent` is the runtime's own and must come out as it went in.
    fn put(&self, record: &Record<'_>) -> Result<Put>;

    /// Replaces what is in `chunk` by what is to be written next; by nothing if nothing
    /// waits.
    fn take(&self, chunk: &mut Chunk) -> Result<()>;

    /// Bytes that wait.
    fn bytes(&self) -> u64;

    /// Samples dropped so far. They are told as GAPs among what is taken.
    fn lost(&self) -> u64 {
        0
    }

    /// How what is taken is to be written.
    fn manner(&self) -> Manner {
        Manner::Gathered
    }
}

/// How what is taken from a [`Backlog`] is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Gathered while more waits.
    Gathered,
    /// At once: when more is taken, all before is written.
    Promptly,
    /// At once, and taken only when the reader of stdout has read all before.
    WhenRead,
}

/// Wakes a thread that waits for something to change.
///
/// Who waits says how many rings it had heard when it looked, so that none is missed.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Rung {
    rings: u64,
    waiting: bool,
}

impl Bell {
    /// How often it has rung.
    pub(super) fn rings(&self) -> u64 {
        self.lock().rings
    }

    /// Wakes who waits.
    pub(super) fn ring(&self) {
        let mut state = self.lock();
        state.rings += 1;
        if state.waiting {
            self.changed.notify_all();
        }
    }

    /// Waits until it has rung more often than that.
    pub(super) fn wait(&self, heard: u64) {
        let mut state = self.lock();
        while state.rings == heard {
            state.waiting = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting = false;
    }

    fn lock(&self) -> MutexGuard<'_, Rung> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
