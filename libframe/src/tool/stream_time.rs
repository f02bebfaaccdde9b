//! What the records' clock shows while this host's shows that.
//!
//! Something happens now, and belongs among samples. They are of this moment if they come
//! from a device; from a recording they have times of their own, slow or fast, and from
//! another host another clock.

use super::stage::boot_id;
use crate::clock::SECOND;
use crate::payload::Session;

/// Samples that are at most so old when they come are of now: no queue holds more.
const OLDEST: i64 = 10 * SECOND;
/// And ahead they cannot be at all, but for a clock that is read in two places.
const AHEAD: i64 = SECOND / 100;

/// The clock of a session's records.
#[derive(Clone, Debug)]
pub struct StreamTime {
    boot_id: String,
    /// The times are of this host's clock.
    ours: bool,
    newest: Option<i64>,
    /// How old the newest sample was when it came.
    lag: i64,
}

impl Default for StreamTime {
    fn default() -> StreamTime {
        StreamTime { boot_id: boot_id(), ours: false, newest: None, lag: 0 }
    }
}

impl StreamTime {
    /// A session begins, or is announced again.
    pub fn session(&mut self, session: &Session) {
        self.ours = !self.boot_id.is_empty() && session.boot_id == self.boot_id;
    }

    /// Forgets the session: other records have other times.
    pub fn clear(&mut self) {
        (self.newest, self.ours, self.lag) = (None, false, 0);
    }

    /// Learns that a sample of this time came at that time of this host's.
    #[inline]
    pub fn learn(&mut self, time: i64, now: i64) {
        if self.newest.is_none_or(|newest| time >= newest) {
            self.newest = Some(time);
            self.lag = now.wrapping_sub(time);
        }
    }

    /// Capture time of the newest sample.
    #[inline]
    pub fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// What the records' clock shows when this host's shows `now`.
    pub fn at(&self, now: i64) -> i64 {
        now.wrapping_sub(self.offset())
    }

    /// What this host's clock shows when the records' shows `time`, if nothing changes.
    pub fn on_host(&self, time: i64) -> i64 {
        time.saturating_add(self.offset())
    }

    fn offset(&self) -> i64 {
        let live = self.ours && (-AHEAD..=OLDEST).contains(&self.lag);
        if live { 0 } else { self.lag }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream_time(boot_id: &str) -> StreamTime {
        let mut time = StreamTime { boot_id: "ours".into(), ..StreamTime::default() };
        time.session(&Session { boot_id: boot_id.into(), ..Session::default() });
        time
    }

    #[test]
    fn what_comes_from_a_device_here_has_this_hosts_time() {
        let mut time = stream_time("ours");
        assert_eq!(time.at(5), 5);
        time.learn(100 * SECOND, 100 * SECOND + 50_000);
        assert_eq!(time.at(101 * SECOND), 101 * SECOND);
    }

    #[test]
    fn what_was_recorded_or_is_of_another_host_has_its_own() {
        for mut time in [stream_time("ours"), stream_time("theirs")] {
            time.learn(10 * SECOND, 100 * SECOND);
            assert_eq!(time.at(101 * SECOND), 11 * SECOND);
            assert_eq!(time.on_host(12 * SECOND), 102 * SECOND);
            // An older one, of another stream, is no news.
            time.learn(9 * SECOND, 101 * SECOND);
            assert_eq!(time.at(101 * SECOND), 11 * SECOND);
            assert_eq!(time.newest(), Some(10 * SECOND));
        }
    }
}
