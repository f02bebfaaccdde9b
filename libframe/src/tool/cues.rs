//! What happens beside the records: a line on a FIFO, a signal, a key.
//!
//! Each has a thread that gives it the time, for a tool that is stuck in a write, or works
//! through what waited in its pipe, would find it late.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::low_level;

use super::fifo::Fifo;
use crate::clock::Clock;

/// Cues that may wait. Whoever sends more of them waits too.
const MOST: usize = 256;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cue {
    /// When, ns of CLOCK_MONOTONIC.
    pub time: i64,
    /// What kind of thing: `fifo`, `signal`, `key`.
    pub source: &'static str,
    /// The line, the signal's name, the key.
    pub text: String,
}

/// The cues that a tool has not taken yet, and their sources.
#[derive(Debug)]
pub struct Cues {
    inbox: Inbox,
    wake: OwnedFd,
    /// Removed at the end, if it was made here.
    fifos: Vec<Fifo>,
}

/// Where a source puts its cues.
#[derive(Clone, Debug)]
pub struct Inbox(Arc<State>);

#[derive(Debug)]
struct State {
    cues: Mutex<VecDeque<Cue>>,
    taken: Condvar,
    /// Looked at for each record, where a lock would be too much.
    any: AtomicBool,
    wake: OwnedFd,
    clock: Clock,
}

impl Cues {
    /// None, and no source of any.
    pub fn new() -> io::Result<Cues> {
        let (wake, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let inbox = Inbox(Arc::new(State {
            cues: Mutex::default(),
            taken: Condvar::new(),
            any: AtomicBool::new(false),
            wake: writer,
            clock: Clock::system(),
        }));
        Ok(Cues { inbox, wake, fifos: Vec::new() })
    }

    /// Listens to a FIFO, each line of which is a cue. It is made if there is none, and
    /// then removed in the end.
    pub fn listen_to_fifo(&mut self, path: &Path) -> Result<()> {
        let fifo = Fifo::prepare(path)?;
        let (file, inbox, path) = (fifo.open()?, self.inbox(), PathBuf::from(path));
        self.fifos.push(fifo);
        let body = move || super::fifo::listen(file, &path, &inbox);
        Builder::new().name("fifo".into()).spawn(body)?;
        Ok(())
    }

    /// Listens to a signal; `name` is the text of its cues.
    pub fn listen_to_signal(&mut self, signal: i32, name: &str) -> Result<()> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        low_level::pipe::register(signal, writer)?;
        let (inbox, name) = (self.inbox(), name.to_owned());
        let body = move || {
            loop {
                let mut fds = [PollFd::new(&reader, PollFlags::IN)];
                if !matches!(poll(&mut fds, None), Ok(_) | Err(rustix::io::Errno::INTR)) {
                    return;
                }
                // Each signal is a byte.
                let n = rustix::io::read(&reader, &mut [0; 64]).unwrap_or(0);
                (0..n).for_each(|_| inbox.put("signal", name.clone()));
            }
        };
        Builder::new().name("signals".into()).spawn(body)?;
        Ok(())
    }

    /// Where sources of the tool's own put their cues.
    pub fn inbox(&self) -> Inbox {
        self.inbox.clone()
    }

    /// Readable while there are cues: for [`super::Filter::watch`].
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Whether there are any.
    #[inline]
    pub fn any(&self) -> bool {
        self.inbox.0.any.load(Ordering::Acquire)
    }

    /// The next one.
    pub fn take(&self) -> Option<Cue> {
        let state = &self.inbox.0;
        let mut cues = state.lock();
        let cue = cues.pop_front();
        if cues.is_empty() {
            state.any.store(false, Ordering::Release);
            // One byte was written when the first came.
            rustix::io::read(&self.wake, &mut [0; 64]).unwrap_or_default();
        }
        drop(cues);
        state.taken.notify_all();
        cue
    }
}

impl Inbox {
    /// Puts in what happened now. Waits while too much does.
    pub fn put(&self, source: &'static str, text: String) {
        self.put_at(self.0.clock.now(), source, text);
    }

    /// Puts in what happened then.
    pub fn put_at(&self, time: i64, source: &'static str, text: String) {
        let state = &self.0;
        let mut cues = state.lock();
        while cues.len() >= MOST {
            cues = state.taken.wait(cues).unwrap_or_else(PoisonError::into_inner);
        }
        cues.push_back(Cue { time, source, text });
        state.any.store(true, Ordering::Release);
        if cues.len() == 1 {
            // A full pipe is readable already, which is all that this is for.
            rustix::io::write(&state.wake, &[0]).unwrap_or_default();
        }
    }

    /// The clock that cues get their time from.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Cue>> {
        self.cues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_readable(fd: BorrowedFd<'_>) -> bool {
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
        poll(&mut fds, Some(&now)).unwrap() == 1
    }

    #[test]
    fn the_descriptor_is_readable_while_there_are_cues() {
        let cues = Cues::new().unwrap();
        assert!(!cues.any() && !is_readable(cues.wake()));
        for text in ["a", "b"] {
            cues.inbox().put_at(7, "key", text.into());
        }
        assert!(cues.any() && is_readable(cues.wake()));
        let a = Cue { time: 7, source: "key", text: "a".into() };
        assert_eq!(cues.take(), Some(a));
        assert!(cues.any() && is_readable(cues.wake()));
        assert_eq!(cues.take().unwrap().text, "b");
        assert!(!cues.any() && !is_readable(cues.wake()));
        assert_eq!(cues.take(), None);
    }

    #[test]
    fn who_sends_too_much_waits() {
        let cues = Cues::new().unwrap();
        let inbox = cues.inbox();
        let body = move || (0..3 * MOST).for_each(|n| inbox.put("fifo", n.to_string()));
        let sender = Builder::new().name("sender".into()).spawn(body).unwrap();
        let mut next = 0;
        while next < 3 * MOST {
            if let Some(cue) = cues.take() {
                assert_eq!(cue.text, next.to_string());
                next += 1;
            }
            assert!(cues.inbox.0.lock().len() <= MOST);
        }
        sender.join().unwrap();
    }
}
