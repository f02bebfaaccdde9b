//! When events and spikes happen: so many a second, not quite evenly.

use crate::chance::share;

/// Samples at which something happens, ascending.
#[derive(Debug)]
pub(crate) struct Timetable {
    /// Samples from one to the next; infinite if there is none.
    apart: f64,
    seed: u64,
    /// The use of random numbers.
    what: u64,
    next: u64,
}

impl Timetable {
    pub(crate) fn new(hz: f64, rate: f64, seed: u64, what: u64) -> Timetable {
        Timetable { apart: rate / hz, seed, what, next: 0 }
    }

    /// Begins again, with an acquisition.
    pub(crate) fn restart(&mut self) {
        self.next = 0;
    }

    /// The next before a sample: its index, and its own sample.
    pub(crate) fn next_before(&mut self, end: i64) -> Option<(u64, i64)> {
        let index = self.next;
        let random = share(self.seed, self.what, index);
        let sample = ((index as f64 + random) * self.apart).min(i64::MAX as f64) as i64;
        (sample < end).then(|| {
            self.next += 1;
            (index, sample)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_happen_in_order_and_at_their_rate() {
        let mut table = Timetable::new(100.0, 30_000.0, 1, 2);
        let all: Vec<_> = std::iter::from_fn(|| table.next_before(300_000)).collect();
        assert_eq!(all.len(), 1000);
        assert!(all.windows(2).all(|two| two[0].1 <= two[1].1 && two[0].0 < two[1].0));
        table.restart();
        assert_eq!(table.next_before(300), Some(all[0]));
        assert_eq!(Timetable::new(0.0, 30_000.0, 1, 2).next_before(i64::MAX), None);
    }
}
