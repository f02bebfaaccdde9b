//! Interarrival jitter as RTP has it: RFC 3550, section 6.4.1.
//!
//! For two samples in a row, D is how much the time between their arrivals differs from
//! the time between their departures; the jitter moves by a sixteenth of |D| − jitter
//! with each. The departures are the device's own times where a stream has them, else
//! those of a sender that keeps the usual pace.

use crate::intervals::Interval;

/// The running jitter, ns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rfc3550 {
    /// As it stood after the last sample.
    pub(crate) last: f64,
    /// The highest it was.
    pub(crate) highest: f64,
    pub(crate) n: u64,
}

impl Rfc3550 {
    /// Takes what the arrival's interval differs from the departure's by.
    #[inline]
    pub(crate) fn take(&mut self, difference: f64) {
        // The same as last + (|D| - last) / 16, with half the latency.
        self.last = self.last * (15.0 / 16.0) + difference.abs() * (1.0 / 16.0);
        self.highest = self.highest.max(self.last);
        self.n += 1;
    }

    /// Takes an interval of a stream with a steady sender. Samples that came late or
    /// twice have no part in it.
    #[inline]
    pub(crate) fn take_paced(&mut self, interval: Interval, pace: f64) {
        if interval.steps > 0 {
            self.take(interval.ns as f64 - interval.steps as f64 * pace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jitter_is_the_standards() {
        let mut jitter = Rfc3550::default();
        let mut by_the_book = 0.0f64;
        for d in [0.0, 16.0, -32.0, 5.0, 0.0] {
            jitter.take(d);
            by_the_book += (f64::abs(d) - by_the_book) / 16.0;
        }
        assert!((jitter.last - by_the_book).abs() < 1e-12);
        assert!(jitter.highest >= jitter.last);
    }

    #[test]
    fn a_missing_sample_is_no_jitter() {
        let mut jitter = Rfc3550::default();
        jitter.take_paced(Interval { ns: 300, steps: 3 }, 100.0);
        jitter.take_paced(Interval { ns: 7, steps: -2 }, 100.0);
        assert_eq!((jitter.last, jitter.n), (0.0, 1));
    }
}
