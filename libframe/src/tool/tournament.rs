//! The least of a few keys, kept up to date while they change.
//!
//! A tournament: each pair plays, and the winners play again. When a key changes, only its
//! own matches are played anew, which for a few dozen keys is a handful of steps without a
//! branch to guess. A heap would compare twice as often and guess at each.

/// Keys by place, and which is the least. Of equal ones it is the first.
#[derive(Debug)]
pub(super) struct Tournament {
    keys: Vec<i64>,
    /// The winner of each match; 1 is the final, `first_leaf + i` is key i by itself.
    winners: Vec<u32>,
    first_leaf: usize,
}

impl Tournament {
    /// This many keys, all as high as can be.
    pub(super) fn new(keys: usize) -> Tournament {
        let first_leaf = keys.next_power_of_two().max(2);
        let mut winners = vec![0; 2 * first_leaf];
        for (at, winner) in winners.iter_mut().skip(first_leaf).enumerate() {
            *winner = at as u32;
        }
        let keys = vec![i64::MAX; first_leaf];
        let mut tournament = Tournament { keys, winners, first_leaf };
        (1..first_leaf).rev().for_each(|game| tournament.play(game));
        tournament
    }

    /// Changes a key.
    #[inline]
    pub(super) fn set(&mut self, at: usize, key: i64) {
        self.keys[at] = key;
        let mut game = (self.first_leaf + at) / 2;
        while game > 0 {
            self.play(game);
            game /= 2;
        }
    }

    /// The place of the least key.
    #[inline]
    pub(super) fn first(&self) -> usize {
        self.winners[1] as usize
    }

    /// A key.
    #[inline]
    pub(super) fn key(&self, at: usize) -> i64 {
        self.keys[at]
    }

    #[inline]
    fn play(&mut self, game: usize) {
        let (left, right) = (self.winners[2 * game], self.winners[2 * game + 1]);
        let wins = self.keys[right as usize] < self.keys[left as usize];
        self.winners[game] = if wins { right } else { left };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_of_the_least_wins_whatever_changes(
            keys in 1..40usize,
            changes in prop::collection::vec((any::<prop::sample::Index>(), -3..3i64), 0..200),
        ) {
            let mut tournament = Tournament::new(keys);
            let mut plain = vec![i64::MAX; keys];
            for (place, key) in changes {
                let at = place.index(keys);
                tournament.set(at, key);
                plain[at] = key;
                let least = plain.iter().min();
                let first = plain.iter().position(|key| Some(key) == least);
                prop_assert_eq!(Some(tournament.first()), first);
                prop_assert_eq!(Some(&tournament.key(tournament.first())), least);
            }
        }
    }
}
