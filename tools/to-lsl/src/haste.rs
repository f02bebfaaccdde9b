//! Whether samples come faster than they were taken, as in a replay at some speed.
//!
//! Live samples may wait in liblsl's queue for long before a consumer is too late for them:
//! holding up their device would be worse. Those of a recording come as fast as they are
//! taken, so only few need wait; consumers whose own buffers are small lose nothing then.

use libframe::clock::SECOND;

/// Samples come in handfuls, also live ones.
const SLACK: i64 = SECOND / 2;

/// How far the times of samples are ahead of the time that passes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Haste {
    /// When the samples were least ahead, by both clocks.
    least: Option<(i64, i64)>,
}

impl Haste {
    /// Whether samples are in haste, of which the newest was taken at `time` and came now.
    pub(crate) fn is_there(&mut self, time: i64, now: i64) -> bool {
        let (then, first) = *self.least.get_or_insert((now, time));
        let ahead = time.saturating_sub(first).saturating_sub(now - then);
        if ahead < 0 {
            self.least = Some((now, time));
        }
        ahead > SLACK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_is_in_haste_and_a_device_that_stalls_is_not() {
        let mut haste = Haste::default();
        let mut at = |time: i64, now: i64| haste.is_there(time * SECOND, now * SECOND);
        assert!(!at(100, 5) && !at(101, 6));
        // Nothing for three seconds, then one sample.
        assert!(!at(102, 9) && !at(103, 10));
        // Twice as fast.
        assert!(at(105, 11));
    }
}
