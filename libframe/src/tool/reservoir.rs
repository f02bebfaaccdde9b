//! Room for input while a tool cannot take it, because its disk stalls or its peer is slow.
//!
//! A pipe holds a second of a fast device at most, and a source that finds it full fills its
//! own queue next. So a thread of its own reads stdin into here, up to a limit in bytes, and
//! the stage before notices nothing of a stall that fits. While the tool only has much to do
//! it takes something all the time, and little is read ahead: what waits here is lost with
//! the process.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use super::status::Counters;
use crate::clock::{Clock, SECOND};

/// What is read at once: as much as our pipes hold.
const CHUNK: usize = 256 << 10;
/// A tool that takes nothing for so long is stalled.
const STALL: i64 = SECOND / 50;
/// Room that is kept between stalls; more is given back.
const AT_REST: usize = 1 << 20;
/// Reads told apart by their time; the last of more count as one.
const MAX_READS: usize = 16 << 10;

/// Bytes read ahead.
#[derive(Debug)]
pub(super) struct Reservoir {
    shared: Arc<Shared>,
    /// Of these, `taken[at..]` are not given out yet.
    taken: Vec<u8>,
    at: usize,
    reads: VecDeque<Filled>,
    /// When the bytes that were given out last were read.
    time: i64,
}

/// What one read brought.
#[derive(Clone, Copy, Debug)]
struct Filled {
    /// Where its bytes end.
    end: usize,
    time: i64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
    counters: Arc<Counters>,
    clock: Clock,
    /// When the tool took something last.
    taken: AtomicI64,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    reads: VecDeque<Filled>,
    /// How reading ended, until that is given out.
    end: Option<io::Result<()>>,
    ended: bool,
}

impl Reservoir {
    /// Begins to read from `file`, up to `capacity` bytes ahead.
    pub(super) fn start(
        file: File,
        capacity: usize,
        counters: &Arc<Counters>,
        clock: &Clock,
    ) -> io::Result<Reservoir> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            capacity,
            counters: Arc::clone(counters),
            clock: clock.clone(),
            taken: AtomicI64::new(clock.now()),
        });
        let reader = Arc::clone(&shared);
        Builder::new().name("reader".into()).spawn(move || reader.fill(file))?;
        let reads = VecDeque::new();
        Ok(Reservoir { shared, taken: Vec::new(), at: 0, reads, time: clock.now() })
    }

    /// When the bytes that [`Reservoir::read`] gave last came into this process.
    pub(super) fn time(&self) -> i64 {
        self.time
    }

    /// Waits until there are bytes or the end, or until `deadline`. Whether there are.
    pub(super) fn wait(&mut self, deadline: i64, clock: &Clock) -> bool {
        if self.at < self.taken.len() {
            return true;
        }
        let mut state = self.shared.lock();
        while state.bytes.is_empty() && !state.ended {
            let left = deadline.saturating_sub(clock.now());
            if left <= 0 {
                return false;
            }
            let timeout = Duration::from_nanos(left as u64);
            let woken = self.shared.changed.wait_timeout(state, timeout);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Takes all that was read, waiting for some. False at the end.
    fn refill(&mut self) -> io::Result<bool> {
        let mut state = self.shared.lock();
        while state.bytes.is_empty() {
            if state.ended {
                return state.end.take().unwrap_or(Ok(())).map(|()| false);
            }
            let woken = self.shared.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        if self.taken.capacity() > AT_REST {
            self.taken = Vec::new();
        }
        self.taken.clear();
        self.at = 0;
        std::mem::swap(&mut self.taken, &mut state.bytes);
        self.reads.clear();
        std::mem::swap(&mut self.reads, &mut state.reads);
        self.shared.counters.queued.set(0);
        self.shared.changed.notify_all();
        Ok(true)
    }
}

impl Read for Reservoir {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.shared.taken.store(self.shared.clock.now(), Ordering::Relaxed);
        if self.at == self.taken.len() && !self.refill()? {
            return Ok(0);
        }
        // Of one read only, so that what came later is not told to have come with it.
        while self.reads.front().is_some_and(|read| read.end <= self.at) {
            self.reads.pop_front();
        }
        let end = self.reads.front().map_or(self.taken.len(), |read| {
            self.time = read.time;
            read.end
        });
        let n = buf.len().min(end - self.at);
        buf[..n].copy_from_slice(&self.taken[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

impl Shared {
    /// Reads until the end.
    fn fill(&self, mut file: File) {
        let mut chunk = vec![0; CHUNK];
        let end = loop {
            match file.read(&mut chunk) {
                Ok(0) => break Ok(()),
                Ok(n) => self.put(&chunk[..n]),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => break Err(err),
            }
        };
        let mut state = self.lock();
        state.end = Some(end);
        state.ended = true;
        self.changed.notify_all();
    }

    /// Adds bytes, once there is room for them.
    fn put(&self, bytes: &[u8]) {
        let time = self.clock.now();
        let mut state = self.lock();
        while !state.bytes.is_empty() {
            let len = state.bytes.len() + bytes.len();
            let taken = self.taken.load(Ordering::Relaxed);
            let busy = taken.saturating_add(STALL) - self.clock.now();
            if len <= CHUNK.min(self.capacity) || len <= self.capacity && busy <= 0 {
                break;
            }
            let left = if busy > 0 { busy } else { SECOND };
            let wait = Duration::from_nanos(left as u64);
            let woken = self.changed.wait_timeout(state, wait);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.bytes.extend_from_slice(bytes);
        let full = state.reads.len() == MAX_READS;
        let read = Filled { end: state.bytes.len(), time };
        match state.reads.back_mut() {
            Some(last) if full => *last = read,
            _ => state.reads.push_back(read),
        }
        self.counters.queued.set(state.bytes.len() as u64);
        self.counters.deepest.raise(state.bytes.len() as u64);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::OwnedFd;

    use super::*;

    fn reservoir(capacity: usize) -> (io::PipeWriter, Reservoir, Arc<Counters>) {
        let (reader, writer) = io::pipe().unwrap();
        let counters = Arc::<Counters>::default();
        let file = File::from(OwnedFd::from(reader));
        let reservoir =
            Reservoir::start(file, capacity, &counters, &Clock::system()).unwrap();
        (writer, reservoir, counters)
    }

    #[test]
    fn bytes_come_out_as_they_went_in_until_the_end() {
        let (mut writer, mut reservoir, _) = reservoir(1 << 20);
        let sent: Vec<u8> =
            (0..3_000_000u32).map(|n| (n.wrapping_mul(n) >> 5) as u8).collect();
        let expected = sent.clone();
        let sender = Builder::new().spawn(move || writer.write_all(&sent)).unwrap();
        let mut came = Vec::new();
        reservoir.read_to_end(&mut came).unwrap();
        assert!(came == expected);
        sender.join().unwrap().unwrap();
        assert_eq!(reservoir.read(&mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn little_is_read_ahead_for_a_tool_that_is_only_busy() {
        let (mut writer, mut reservoir, counters) = reservoir(64 << 20);
        let sender =
            Builder::new().spawn(move || while writer.write_all(&[7; 4096]).is_ok() {});
        let clock = Clock::system();
        let until = clock.now() + SECOND / 2;
        while clock.now() < until {
            assert!(reservoir.read(&mut [0; 1000]).unwrap() > 0);
        }
        // A busy machine may look like a stall for a while, but not all the time.
        let deepest = counters.deepest.take() as usize;
        assert!((1..8 << 20).contains(&deepest), "{deepest}");
        drop((reservoir, sender));
    }

    #[test]
    fn a_writer_does_not_wait_until_the_capacity_is_used_up() {
        const CAPACITY: usize = 8 << 20;
        let (writer, reservoir, counters) = reservoir(CAPACITY);
        let fd = OwnedFd::from(writer);
        rustix::fs::fcntl_setfl(&fd, rustix::fs::OFlags::NONBLOCK).unwrap();
        let (mut file, clock, mut sent) = (File::from(fd), Clock::system(), 0);
        let mut last = clock.now();
        // Nobody takes; it is full when for a while nothing more fits.
        while clock.now() - last < SECOND / 4 {
            match file.write(&[7; 4096]) {
                Ok(n) => (sent, last) = (sent + n, clock.now()),
                Err(err) => assert_eq!(err.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert!((CAPACITY..CAPACITY + (4 << 20)).contains(&sent), "{sent}");
        let queued = counters.queued.get() as usize;
        assert!((CAPACITY - CHUNK..=CAPACITY).contains(&queued), "{queued}");
        drop(reservoir);
    }

    #[test]
    fn bytes_have_the_time_at_which_they_were_read() {
        let clock = Clock::system();
        let (mut writer, mut reservoir, _) = reservoir(1 << 20);
        let mut between = Vec::new();
        for _ in 0..3 {
            between.push(clock.now());
            writer.write_all(b"abc").unwrap();
            // Long enough for a thread to read it, and to show in the times.
            std::thread::sleep(Duration::from_millis(100));
        }
        between.push(clock.now());
        for edges in between.windows(2) {
            assert_eq!(reservoir.read(&mut [0; 100]).unwrap(), 3);
            assert!((edges[0]..edges[1]).contains(&reservoir.time()), "{edges:?}");
        }
    }

    #[test]
    fn a_wait_ends_with_bytes_with_the_end_and_with_the_time() {
        let clock = Clock::system();
        let (mut writer, mut reservoir, _) = reservoir(1 << 20);
        assert!(!reservoir.wait(clock.now() + 1000, &clock));
        writer.write_all(b"ab").unwrap();
        assert!(reservoir.wait(clock.now() + 60 * SECOND, &clock));
        assert_eq!(reservoir.read(&mut [0; 1]).unwrap(), 1);
        assert!(reservoir.wait(clock.now(), &clock));
        assert_eq!(reservoir.read(&mut [0; 1]).unwrap(), 1);
        drop(writer);
        assert!(reservoir.wait(clock.now() + 60 * SECOND, &clock));
        assert_eq!(reservoir.read(&mut [0; 1]).unwrap(), 0);
    }
}
