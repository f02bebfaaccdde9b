//! Space in a file that is free again, and when it may be used again.
//!
//! A reader that opened the growing file looks for a chunk where it was then. Were its
//! space used again at once, the reader would find what it cannot read there; so it lies
//! fallow for a while.

use std::collections::{BTreeMap, VecDeque};

use libframe::clock::SECOND;

/// How long a reader may go on with what it saw when it opened the file.
const FALLOW: i64 = 20 * SECOND;

/// Free space.
#[derive(Debug, Default)]
pub(crate) struct Space {
    /// When it became free, where, and how much.
    fallow: VecDeque<(i64, u64, u64)>,
    /// What may be used, by its place.
    ready: BTreeMap<u64, u64>,
}

impl Space {
    /// Takes back space that is no longer used.
    pub(crate) fn give_back(&mut self, at: u64, len: u64, now: i64) {
        self.fallow.push_back((now, at, len));
    }

    /// Space of this length, the tightest there is.
    pub(crate) fn take(&mut self, len: u64, now: i64) -> Option<u64> {
        while let Some((since, at, len)) = self.fallow.front().copied() {
            if now.saturating_sub(since) < FALLOW {
                break;
            }
            self.fallow.pop_front();
            self.join(at, len);
        }
        let fits = self.ready.iter().filter(|(_, free)| **free >= len);
        let (at, free) = fits.min_by_key(|(_, free)| **free).map(|(at, n)| (*at, *n))?;
        self.ready.remove(&at);
        if free > len {
            self.ready.insert(at + len, free - len);
        }
        Some(at)
    }

    /// Makes one of what lies side by side.
    fn join(&mut self, mut at: u64, mut len: u64) {
        if let Some(after) = self.ready.remove(&(at + len)) {
            len += after;
        }
        if let Some((before, n)) =
            self.ready.range(..at).next_back().map(|(a, n)| (*a, *n))
            && before + n == at
        {
            self.ready.remove(&before);
            (at, len) = (before, n + len);
        }
        self.ready.insert(at, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_lies_fallow_is_joined_and_used_again() {
        let mut space = Space::default();
        space.give_back(100, 50, 0);
        space.give_back(200, 50, 0);
        space.give_back(150, 50, 1);
        assert_eq!(space.take(10, FALLOW - 1), None);
        assert_eq!(space.take(60, FALLOW), None, "the middle is not ready");
        assert_eq!(space.take(150, FALLOW + 1), Some(100));
        assert_eq!(space.take(1, FALLOW + 1), None);
    }

    #[test]
    fn the_tightest_hole_is_taken() {
        let mut space = Space::default();
        space.give_back(0, 100, 0);
        space.give_back(500, 20, 0);
        assert_eq!(space.take(20, FALLOW), Some(500));
        assert_eq!(space.take(20, FALLOW), Some(0));
        assert_eq!(space.take(80, FALLOW), Some(20));
    }
}
