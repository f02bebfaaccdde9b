//! The zero of each sensor: its mean over the first seconds.
//!
//! The records of that time are held until it is known, so that all that goes out has one
//! zero. How long that is depends on the samples' times alone: a recording gives the same
//! result at any speed.

use libframe::batch::Sample;
use libframe::wire::{Header, Record};

/// What may be held; more ends the time early.
pub(crate) const MAX_HELD: usize = 8 << 20;

/// A stream's zeros while they are being learnt.
#[derive(Debug)]
pub(crate) struct Tare {
    length: i64,
    until: Option<i64>,
    sums: Vec<f64>,
    pub(crate) samples: u64,
    held: Vec<(Header, Vec<u8>)>,
    weight: usize,
}

impl Tare {
    /// For so many numbers, over so much time.
    pub(crate) fn new(length: i64, width: usize) -> Tare {
        let (until, sums, held) = (None, vec![0.0; width], Vec::new());
        Tare { length, until, sums, samples: 0, held, weight: 0 }
    }

    /// Whether a sample is of the time over which is averaged.
    pub(crate) fn covers(&mut self, sample: &Sample<'_>) -> bool {
        let end = sample.time.saturating_add(self.length);
        sample.time < *self.until.get_or_insert(end)
    }

    /// Adds a sample's numbers.
    pub(crate) fn add(&mut self, values: impl Iterator<Item = f64>) {
        self.samples += 1;
        for (sum, value) in self.sums.iter_mut().zip(values) {
            *sum += value;
        }
    }

    /// Keeps a record. Whether there is room for more.
    pub(crate) fn hold(&mut self, record: &Record<'_>) -> bool {
        self.weight += record.payload.len() + size_of::<(Header, Vec<u8>)>();
        self.held.push((record.header, record.payload.to_vec()));
        self.weight < MAX_HELD
    }

    /// Whether the stream's description is held already: it need not be again.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.held.is_empty()
    }

    /// What is held, in order.
    pub(crate) fn release(&mut self) -> Vec<(Header, Vec<u8>)> {
        std::mem::take(&mut self.held)
    }

    /// The zeros; none if there was no sample.
    pub(crate) fn means(&self) -> Vec<f64> {
        let n = self.samples.max(1) as f64;
        self.sums.iter().map(|sum| sum / n).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libframe::wire::Kind;

    #[test]
    fn the_time_begins_with_the_first_sample_and_its_end_is_left_out() {
        let mut tare = Tare::new(10, 2);
        let sample = |time| Sample { seq: 0, time, device_time: None, bytes: &[] };
        let covered = [5, 14, 15, 100].map(|time| tare.covers(&sample(time)));
        assert_eq!(covered, [true, true, false, false]);
        tare.add([1.0, 10.0].into_iter());
        tare.add([2.0, 30.0].into_iter());
        assert_eq!(tare.means(), [1.5, 20.0]);
        assert_eq!(Tare::new(10, 2).means(), [0.0, 0.0]);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let kind = Kind::DATA;
        let header =
            Header { kind, flags: 0, stream: 1, session: 1, seq: 0, time: 0, sent: 0 };
        let payload = vec![0; 1 << 20];
        let record = Record::new(header, &payload);
        let mut tare = Tare::new(10, 0);
        let taken = (0..100).take_while(|_| tare.hold(&record)).count();
        assert!((6..9).contains(&taken), "{taken}");
        assert_eq!(tare.release().len(), taken + 1);
    }
}
