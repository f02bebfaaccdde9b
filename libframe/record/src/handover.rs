//! From the thread that reads records to the one that brings them to the file: bounded in
//! bytes, so that a slow disk pushes back instead of filling the memory.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that may wait; one message may be longer.
const CAPACITY: usize = 8 << 20;
/// Buffers kept to be used again.
const SPARE: usize = 4;

/// What is handed over.
#[derive(Debug)]
pub(crate) enum Message {
    /// Records in wire form.
    Records(Vec<u8>),
    /// The journal's generation up to here is to be brought to the file.
    Commit(u64),
    /// That, and no more will come: why.
    Finish(u64, String),
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Message>,
    bytes: usize,
    spare: Vec<Vec<u8>>,
    /// Nobody takes any more, and why.
    broken: Option<String>,
    /// Nobody gives any more.
    closed: bool,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    state: Mutex<State>,
    changed: Condvar,
}

impl Handover {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a message, waiting for room. The error is why nobody takes it.
    pub(crate) fn give(&self, message: Message) -> Result<(), String> {
        let len = message.len();
        let mut state = self.state();
        while state.broken.is_none() && state.bytes > 0 && state.bytes + len > CAPACITY {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(why) = &state.broken {
            return Err(why.clone());
        }
        state.bytes += len;
        state.queue.push_back(message);
        self.changed.notify_all();
        Ok(())
    }

    /// Why nobody takes any more.
    pub(crate) fn broken(&self) -> Option<String> {
        self.state().broken.clone()
    }

    /// Bytes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.state().bytes
    }

    /// An empty buffer, a used one if there is one.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        self.state().spare.pop().unwrap_or_default()
    }

    /// Takes the next message, waiting for one; none after [`Handover::close`].
    pub(crate) fn take(&self) -> Option<Message> {
        let mut state = self.state();
        loop {
            if let Some(message) = state.queue.pop_front() {
                state.bytes -= message.len();
                self.changed.notify_all();
                return Some(message);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives back a buffer.
    pub(crate) fn give_back(&self, mut buffer: Vec<u8>) {
        let mut state = self.state();
        if state.spare.len() < SPARE && buffer.capacity() <= CAPACITY / SPARE {
            buffer.clear();
            state.spare.push(buffer);
        }
    }

    /// Says that nobody takes any more.
    pub(crate) fn break_off(&self, why: String) {
        let mut state = self.state();
        state.broken = Some(why);
        state.queue.clear();
        state.bytes = 0;
        self.changed.notify_all();
    }

    /// Says that nobody gives any more.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }
}

impl Message {
    fn len(&self) -> usize {
        match self {
            Message::Records(bytes) => bytes.len(),
            Message::Commit(_) | Message::Finish(..) => 0,
        }
    }
}
