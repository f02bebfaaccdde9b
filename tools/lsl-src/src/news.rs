//! What the threads beside the pipe's tell it: a few at a time, and it wakes of them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::Result;
use libframe_lsl::info::Info;
use libframe_lsl::inlet::Inlet;
use libframe_lsl::peer_clock::Offset;
use libframe_lsl::resolver::Found;
use rustix::pipe::{PipeFlags, pipe_with};

/// What may wait until the pipe's thread looks.
const WAITING: usize = 64;

/// Something that the pipe's thread must know.
#[derive(Debug)]
pub(crate) enum News {
    /// All wanted streams that are there now, and what is wrong with others.
    Streams(Vec<Found>, Vec<String>),
    /// There is no search.
    NoSearch(String),
    /// A connection stands.
    Connected(Box<Connected>),
    /// None can be had.
    Failed(Outlet, String),
    /// A clock was measured, or did not answer.
    Clock(Outlet, Option<Offset>),
}

/// The uid of an outlet.
pub(crate) type Outlet = Arc<str>;

/// A connection that stands.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) outlet: Outlet,
    /// The full description.
    pub(crate) info: Info,
    /// What was wrong with that, if the short one has to do.
    pub(crate) trouble: Option<String>,
    pub(crate) inlet: Inlet,
}

/// Where news go in.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    sender: SyncSender<News>,
    bell: Arc<OwnedFd>,
}

/// Where news come out.
#[derive(Debug)]
pub(crate) struct Inbox {
    receiver: Receiver<News>,
    bell: OwnedFd,
}

pub(crate) fn open() -> Result<(Desk, Inbox)> {
    let (sender, receiver) = sync_channel(WAITING);
    let (bell, ringer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    Ok((Desk { sender, bell: Arc::new(ringer) }, Inbox { receiver, bell }))
}

impl Desk {
    /// Hands over; false if nobody wants to know any more.
    pub(crate) fn tell(&self, news: News) -> bool {
        let told = self.sender.send(news).is_ok();
        // A full pipe is readable already, which is all that this is for.
        rustix::io::write(&self.bell, &[0]).unwrap_or_default();
        told
    }
}

impl Inbox {
    /// The next, if there is one.
    pub(crate) fn take(&self) -> Option<News> {
        self.receiver.try_recv().ok()
    }

    /// Stops ringing; to be done before looking.
    pub(crate) fn hush(&self) {
        let mut bytes = [0; WAITING];
        // An empty pipe is what is wanted.
        rustix::io::read(&self.bell, &mut bytes).unwrap_or_default();
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
