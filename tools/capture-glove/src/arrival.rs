//! When each byte arrived, from when reads returned and how fast a line can be.
//!
//! A read tells when its last bytes were there at the latest. The others came before, each
//! at least a byte's time on the line before the next; but not before the line was last
//! known to be empty. While reads are short that is exact. After a delay of ours a read has
//! a backlog, whose frames must not be stamped as if they were fresh: then the bytes are
//! spread at the rate they were coming before, since between frames a line is idle.

use libframe::clock::SECOND;

/// How old the first byte of a read may be before it is told.
const BACKLOG: i64 = SECOND / 50;
/// How many reads are remembered. The end of a frame may be certain only 165 bytes later,
/// each of which may come in a read of its own.
const READS: usize = 256;
/// Over how long the rate of bytes is measured.
const WINDOW: i64 = SECOND;

/// Reads of a line, and what they tell of the bytes in them.
#[derive(Debug)]
pub(crate) struct Arrivals {
    /// Time of a byte on the line, ns.
    byte: f64,
    /// The last reads; `newest` is where the next will go.
    reads: Box<[Read; READS]>,
    newest: usize,
    /// Bytes that came.
    total: u64,
    /// When the line was known to be empty.
    empty: i64,
    /// What the last frame was stamped with: none is before that.
    stamped: i64,
    /// Where and when the measurement of the rate began, and its last result as the time of
    /// a byte.
    begun: (u64, i64),
    measured: Option<f64>,
    in_backlog: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Read {
    from: u64,
    to: u64,
    at: i64,
    empty: i64,
    /// How far apart its bytes are taken to be, ns.
    byte: f64,
}

/// Bytes that had waited for us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Backlog {
    pub(crate) bytes: u64,
    /// How old the first was, ns.
    pub(crate) age: i64,
    /// How many must have come in the time, if that is so many more that some have found no
    /// room where they waited.
    pub(crate) overflow: Option<u64>,
}

impl Arrivals {
    /// For a line of so many bits a second that was opened, and empty, at this time.
    pub(crate) fn new(baud: u32, opened: i64) -> Arrivals {
        Arrivals {
            byte: byte_time(baud),
            reads: Box::new([Read::default(); READS]),
            newest: 0,
            total: 0,
            empty: opened,
            stamped: opened,
            begun: (0, opened),
            measured: None,
            in_backlog: false,
        }
    }

    /// Takes note that nothing was there to read at this time.
    pub(crate) fn was_empty(&mut self, at: i64) {
        self.empty = self.empty.max(at);
    }

    /// Takes note that the line was quiet: what was measured before says nothing any more of
    /// when bytes come.
    pub(crate) fn was_quiet(&mut self, at: i64) {
        self.was_empty(at);
        self.begun = (self.total, at);
    }

    /// Takes note of a read of so many bytes. Tells a backlog when one begins.
    pub(crate) fn read(&mut self, bytes: usize, at: i64) -> Option<Backlog> {
        let bytes = bytes as u64;
        let empty = self.empty.min(at);
        let fits = |byte: f64| at.saturating_sub((bytes as f64 * byte) as i64).max(empty);
        let is_backlog = at - fits(self.byte) > BACKLOG;
        let byte = self.measured.filter(|_| is_backlog).unwrap_or(self.byte);
        let (from, to) = (self.total, self.total + bytes);
        self.reads[self.newest] = Read { from, to, at, empty, byte };
        self.newest = (self.newest + 1) % READS;
        self.total = to;
        self.measure(at, is_backlog);
        let begins = is_backlog && !self.in_backlog;
        self.in_backlog = is_backlog;
        begins.then(|| Backlog {
            bytes,
            age: at - fits(byte),
            overflow: self.expected(at - empty).filter(|n| overflows(bytes, *n)),
        })
    }

    /// How many bytes come in a time, if that was measured.
    fn expected(&self, time: i64) -> Option<u64> {
        self.measured.map(|byte| (time as f64 / byte) as u64)
    }

    /// Bytes that came.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Stamps a frame: when the byte arrived with which so many had come.
    pub(crate) fn stamp(&mut self, end: u64) -> i64 {
        let before =
            (0..READS).map(|n| self.reads[(self.newest + READS - 1 - n) % READS]);
        let mut before = before.filter(|read| read.from < end);
        let read = before.next().unwrap_or(self.reads[self.newest]);
        let after = read.to.saturating_sub(end) as f64;
        let time = read.at.saturating_sub((after * read.byte) as i64);
        self.stamped = time.max(read.empty).max(self.stamped);
        self.stamped
    }

    /// The rate of a line that comes freely, backlogs left out.
    fn measure(&mut self, at: i64, is_backlog: bool) {
        let (from, since) = self.begun;
        if is_backlog {
            self.begun = (self.total, at);
        } else if at - since >= WINDOW {
            let byte = (at - since) as f64 / (self.total - from) as f64;
            // No line is faster than it can be, nor is it worth much when it hardly comes.
            self.measured = Some(byte.min(100.0 * self.byte));
            self.begun = (self.total, at);
        }
    }
}

/// Whether so many bytes are all that is left of more. Not, if they are fewer than a kernel
/// keeps anyway; nor if a device may just have paused while we did, which a simulated one
/// does on a busy machine. What is overlooked here shows in the bytes, but for one in 284.
fn overflows(bytes: u64, expected: u64) -> bool {
    bytes >= 16 << 10 && expected > 2 * bytes
}

/// How long a byte takes at 8N1: ten bits.
pub(crate) fn byte_time(baud: u32) -> f64 {
    10.0 * SECOND as f64 / f64::from(baud.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    const BAUD: u32 = 921_600;

    /// A line that has brought 284 bytes every 4.6 ms for two seconds, read at once.
    fn steady() -> (Arrivals, i64, u64) {
        let mut line = Arrivals::new(BAUD, 0);
        let mut end = 0;
        for n in 1..=435 {
            let at = n * 4_600_000;
            line.was_empty(at - 4_500_000);
            assert_eq!(line.read(284, at), None);
            end += 284;
            assert_eq!(line.stamp(end), at);
        }
        (line, 435 * 4_600_000, end)
    }

    #[test]
    fn the_last_byte_of_a_read_came_with_it_and_others_a_bytes_time_before() {
        let mut line = Arrivals::new(BAUD, 0);
        assert_eq!(line.read(300, 10 * MS), None);
        assert_eq!(line.stamp(284), 10 * MS - (16.0 * byte_time(BAUD)) as i64);
        assert_eq!(line.stamp(300), 10 * MS);
        // The end of a frame may be known only after more reads.
        line.read(100, 12 * MS);
        line.read(4, 13 * MS);
        assert_eq!(line.stamp(400), 12 * MS);
    }

    #[test]
    fn a_backlog_is_spread_over_the_time_it_came_in_and_told_once() {
        let (mut line, now, mut end) = steady();
        // 150 ms of a stopped process: 32 frames and a half.
        line.was_empty(now + MS);
        let late = now + 150 * MS;
        let backlog = line.read(9230, late).unwrap();
        assert_eq!(backlog.bytes, 9230);
        assert!((backlog.age - 149 * MS).abs() < 2 * MS, "{backlog:?}");
        assert_eq!(backlog.overflow, None);
        for frame in 1..=32 {
            end += 284;
            let error = line.stamp(end) - (now + frame * 4_600_000);
            assert!(error.abs() < 4 * MS, "frame {frame}: {error}");
        }
        assert_eq!(line.read(4000, late + MS), None, "the same episode");
        line.was_empty(late + 2 * MS);
        assert_eq!(line.read(100, late + 3 * MS), None);
        let another = line.read(17_000, late + 1000 * MS).unwrap();
        assert!(another.overflow.is_some_and(|n| n > 60_000), "{another:?}");
        let mut half = steady().0;
        assert_eq!(half.read(17_000, now + 500 * MS).unwrap().overflow, None);
    }

    #[test]
    fn before_the_rate_is_known_the_lines_own_counts() {
        let mut line = Arrivals::new(BAUD, 0);
        let backlog = line.read(9216, 500 * MS).unwrap();
        assert_eq!(
            (backlog.bytes, backlog.age, backlog.overflow),
            (9216, 100 * MS, None)
        );
        assert_eq!(line.stamp(4608), 450 * MS);
    }

    #[test]
    fn no_stamp_is_before_the_last_nor_before_the_line_was_empty_nor_after_the_read() {
        let mut line = Arrivals::new(BAUD, 0);
        line.was_empty(7 * MS);
        // A line that is faster than it says.
        assert_eq!(line.read(4000, 8 * MS), None);
        assert_eq!(line.stamp(284), 7 * MS);
        assert_eq!(line.stamp(4000), 8 * MS);
        line.read(4000, 9 * MS);
        assert_eq!(line.stamp(4284), 8 * MS);
    }

    #[test]
    fn reads_of_single_bytes_are_remembered_long_enough() {
        let mut line = Arrivals::new(BAUD, 0);
        for n in 1..=400 {
            line.was_empty(n * MS - 1);
            line.read(1, n * MS);
        }
        assert_eq!(line.stamp(230), 230 * MS);
    }

    #[test]
    fn what_comes_after_silence_is_not_spread_over_it() {
        let (mut line, now, end) = steady();
        line.was_quiet(now + 2000 * MS);
        assert!(line.read(284, now + 60_000 * MS).is_none());
        assert_eq!(line.stamp(end + 284), now + 60_000 * MS);
        for n in 1..=300 {
            line.was_empty(now + 60_000 * MS + n * 4_600_000 - MS);
            line.read(284, now + 60_000 * MS + n * 4_600_000);
        }
        let byte = line.measured.unwrap();
        assert!((byte * 284.0 - 4.6e6).abs() < 0.1e6, "{byte}");
    }
}
