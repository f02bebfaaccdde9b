//! What a publisher shares with its writer: the subscribers' queues, and who waits for what.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libframe::clock::Clock;
use rustix::io::Errno;

use crate::publisher::{Admission, HighWater, Published};
use crate::seat::{Message, Offer, Seat};
use crate::writer::Waker;

/// What publishers and their writer share.
#[derive(Debug)]
pub(crate) struct Shared {
    hub: Mutex<Hub>,
    /// Something changed that somebody may wait for.
    changed: Condvar,
    pub(crate) waker: Waker,
    /// Somebody may wait to be welcomed.
    pub(crate) newcomers: AtomicBool,
    pub(crate) faults: AtomicU64,
    pub(crate) refused: AtomicU64,
}

/// The queues of all subscribers.
#[derive(Debug)]
pub(crate) struct Hub {
    /// In the order of the writer's connections.
    pub(crate) seats: Vec<Option<Seat>>,
    pub(crate) high: HighWater,
    pub(crate) admission: Admission,
    /// The writer waits, and must be woken.
    pub(crate) asleep: bool,
    pub(crate) end: Option<Ending>,
    /// The drops of those that are gone.
    dropped: u64,
    pub(crate) abandoned: u64,
    pub(crate) published: u64,
}

/// How the writer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Now,
    /// When everybody has read everything, or at this time.
    Read(i64),
}

/// Whether it has subscribed and was not welcomed yet.
pub(crate) fn is_newcomer(seat: &Seat) -> bool {
    !seat.admitted && seat.is_subscribed()
}

impl Hub {
    #[inline]
    pub(crate) fn offer(
        &mut self,
        message: Message<'_>,
        to: impl Fn(&Seat) -> bool,
    ) -> Published {
        let mut published = Published::default();
        for seat in self.seats.iter_mut().flatten().filter(|seat| to(seat)) {
            match seat.offer(message, self.high) {
                Offer::Unwanted => {}
                Offer::Queued => published.queued += 1,
                Offer::Dropped => published.dropped += 1,
            }
        }
        published
    }

    pub(crate) fn subscribers(&self) -> usize {
        self.seats.iter().flatten().filter(|seat| seat.is_subscribed()).count()
    }

    /// Messages that wait, over all subscribers.
    pub(crate) fn waiting(&self) -> u64 {
        self.seats.iter().flatten().map(Seat::waiting).sum()
    }

    /// Messages that were dropped, over all subscribers there were.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped + self.seats.iter().flatten().map(|seat| seat.dropped).sum::<u64>()
    }

    /// Somebody is gone.
    pub(crate) fn leave(&mut self, slot: usize) {
        if let Some(seat) = self.seats.get_mut(slot).and_then(Option::take) {
            self.dropped += seat.dropped;
            self.abandoned += seat.waiting();
        }
    }
}

impl Shared {
    pub(crate) fn new(high: HighWater, admission: Admission) -> Result<Shared, Errno> {
        Ok(Shared {
            hub: Mutex::new(Hub {
                seats: Vec::new(),
                high,
                admission,
                asleep: false,
                end: None,
                dropped: 0,
                abandoned: 0,
                published: 0,
            }),
            changed: Condvar::new(),
            waker: Waker::new()?,
            newcomers: AtomicBool::new(false),
            faults: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    pub(crate) fn hub(&self) -> MutexGuard<'_, Hub> {
        // A panic elsewhere leaves numbers that are at worst one message off.
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the hub go, and wakes its writer if it sleeps and there is work.
    #[inline]
    pub(crate) fn wake(&self, mut hub: MutexGuard<'_, Hub>, work: bool) {
        let wake = work && std::mem::take(&mut hub.asleep);
        drop(hub);
        if wake {
            self.waker.wake();
        }
    }

    /// Says that something changed that somebody may wait for.
    pub(crate) fn announce(&self, newcomer: bool) {
        if newcomer {
            self.newcomers.store(true, Ordering::Relaxed);
        }
        self.changed.notify_all();
    }

    /// Waits until something is so, or it is `until`; whether it is.
    pub(crate) fn wait(&self, until: i64, done: impl Fn(&Hub) -> bool) -> bool {
        let clock = Clock::system();
        let mut hub = self.hub();
        loop {
            let left = until.saturating_sub(clock.now());
            if done(&hub) || left <= 0 {
                return done(&hub);
            }
            let left = Duration::from_nanos(left as u64);
            let waited = self.changed.wait_timeout(hub, left);
            hub = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
