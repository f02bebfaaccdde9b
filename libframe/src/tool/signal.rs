//! What SIGINT and SIGTERM mean to a tool.
//!
//! Ctrl-C reaches every process of a pipeline at once. Only the source may stop then: the
//! others must first work through what is still in the pipes.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::{flag, low_level};

use crate::clock::{Clock, SECOND};

/// Lets the first SIGINT or SIGTERM pass, since the end of the input is on its way; the
/// second is deadly as usual. The flag tells whether the first has come.
pub(super) fn second_is_deadly() -> io::Result<Arc<AtomicBool>> {
    let seen = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_default(signal, Arc::clone(&seen))?;
        flag::register(signal, Arc::clone(&seen))?;
    }
    Ok(seen)
}

/// A descriptor that becomes readable at each SIGUSR1.
pub(super) fn on_usr1() -> io::Result<OwnedFd> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    low_level::pipe::register(SIGUSR1, writer)?;
    Ok(reader)
}

/// Tells a source when to stop, and wakes it while its device is silent.
#[derive(Clone, Debug)]
pub struct Stop(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Readable once the source must stop; never emptied.
    reader: OwnedFd,
    writer: OwnedFd,
    signal: Arc<AtomicBool>,
    requested: AtomicBool,
    /// When to stop at the latest, CLOCK_MONOTONIC; `i64::MAX` for never.
    until: AtomicI64,
    clock: Clock,
}

/// Why [`Stop::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The descriptor is readable, or its other end is gone.
    Ready,
    /// The time has come.
    Time,
    /// The source must stop.
    Stop,
}

impl Stop {
    /// Stops at the first signal, or at `until`.
    pub(super) fn at_signal(clock: &Clock, until: Option<i64>) -> io::Result<Stop> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Registered before the flag's deadly half, so that no first signal is missed.
        for signal in [SIGINT, SIGTERM] {
            low_level::pipe::register(signal, writer.try_clone()?)?;
        }
        let signal = second_is_deadly()?;
        Ok(Stop(Arc::new(Inner {
            reader,
            writer,
            signal,
            requested: AtomicBool::new(false),
            until: AtomicI64::new(until.unwrap_or(i64::MAX)),
            clock: clock.clone(),
        })))
    }

    /// Asks the source to stop.
    pub fn request(&self) {
        self.0.requested.store(true, Ordering::Relaxed);
        // A full pipe is readable already, which is all that this is for.
        rustix::io::write(&self.0.writer, &[0]).unwrap_or_default();
    }

    /// Whether the source must stop.
    pub fn is_requested(&self) -> bool {
        self.is_signalled()
            || self.0.requested.load(Ordering::Relaxed)
            || self.0.clock.now() >= self.0.until.load(Ordering::Relaxed)
    }

    /// Whether a signal is the reason.
    pub(super) fn is_signalled(&self) -> bool {
        self.0.signal.load(Ordering::Relaxed)
    }

    /// Readable once the source must stop, for who waits for more than [`Stop::wait`] can.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.reader.as_fd()
    }

    /// Whether the time given at the start is up.
    pub(super) fn is_over(&self) -> bool {
        self.0.clock.now() >= self.0.until.load(Ordering::Relaxed)
    }

    /// Waits until `fd` is readable, the time is `until`, or the source must stop.
    pub fn wait(
        &self,
        fd: Option<BorrowedFd<'_>>,
        until: Option<i64>,
    ) -> io::Result<Wake> {
        self.wait_any(fd.as_slice(), until)
    }

    /// The same, for one of several descriptors.
    pub fn wait_any(
        &self,
        any: &[BorrowedFd<'_>],
        until: Option<i64>,
    ) -> io::Result<Wake> {
        loop {
            if self.is_requested() {
                return Ok(Wake::Stop);
            }
            let latest = self.0.until.load(Ordering::Relaxed);
            let deadline = until.unwrap_or(i64::MAX).min(latest);
            let stop = self.0.reader.as_fd();
            let all = std::iter::once(stop).chain(any.iter().copied());
            let mut fds: Vec<_> =
                all.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
            poll_until(&mut fds, deadline, &self.0.clock)?;
            if fds[1..].iter().any(|fd| !fd.revents().is_empty()) {
                return Ok(Wake::Ready);
            }
            if !self.is_requested() && until.is_some_and(|t| self.0.clock.now() >= t) {
                return Ok(Wake::Time);
            }
        }
    }
}

/// Waits until one of the descriptors is readable or closed, or until `deadline`.
pub(super) fn poll_until(
    fds: &mut [PollFd<'_>],
    deadline: i64,
    clock: &Clock,
) -> io::Result<()> {
    let left = deadline.saturating_sub(clock.now()).max(0);
    let timeout = Timespec { tv_sec: left / SECOND, tv_nsec: left % SECOND };
    let timeout = (deadline != i64::MAX).then_some(&timeout);
    match poll(fds, timeout) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(err) => Err(err.into()),
    }
}
