//! Waits for many sockets with one descriptor.
//!
//! The one file that needs Linux: another system's kqueue is a descriptor just as well.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use libframe::clock::SECOND;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl Interest {
    pub(crate) const READ: Interest = Interest { read: true, write: false };
    pub(crate) const BOTH: Interest = Interest { read: true, write: true };

    fn flags(self) -> epoll::EventFlags {
        let read =
            if self.read { epoll::EventFlags::IN } else { epoll::EventFlags::empty() };
        let write =
            if self.write { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
        read | write
    }
}

/// A set of sockets; readable itself when one of them is ready.
#[derive(Debug)]
pub(crate) struct Poller(OwnedFd);

/// A socket that is ready: its name, and for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) name: u64,
    pub(crate) write: bool,
}

impl Poller {
    pub(crate) fn new() -> Result<Poller, Errno> {
        Ok(Poller(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    pub(crate) fn add(
        &self,
        socket: impl AsFd,
        name: u64,
        interest: Interest,
    ) -> Result<(), Errno> {
        epoll::add(&self.0, socket, epoll::EventData::new_u64(name), interest.flags())
    }

    pub(crate) fn change(
        &self,
        socket: impl AsFd,
        name: u64,
        interest: Interest,
    ) -> Result<(), Errno> {
        epoll::modify(&self.0, socket, epoll::EventData::new_u64(name), interest.flags())
    }

    /// Waits at most until `deadline`, and says who is ready.
    pub(crate) fn wait(
        &self,
        now: i64,
        deadline: i64,
        ready: &mut Vec<Ready>,
    ) -> Result<(), Errno> {
        let left = deadline.saturating_sub(now).max(0);
        let timeout = Timespec { tv_sec: left / SECOND, tv_nsec: left % SECOND };
        let timeout = (deadline != i64::MAX).then_some(&timeout);
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; 32];
        ready.clear();
        match epoll::wait(&self.0, &mut events[..], timeout) {
            Ok(n) => {
                ready.extend(events[..n].iter().map(|&epoll::Event { flags, data }| {
                    let write = flags.intersects(epoll::EventFlags::OUT);
                    Ready { name: data.u64(), write }
                }));
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
