//! Samples that were stamped almost together: the mark of a backlog.
//!
//! A reader that was late finds many samples waiting and stamps them all at once. An
//! interval below a tenth of the usual one belongs to a burst; a burst is a run of them.

use crate::intervals::Interval;

/// What share of the usual interval is still a burst's.
const SHARE: f64 = 0.1;
/// A burst that begins among so many first samples was waiting before the stream began.
const HEAD: u64 = 3;

/// All bursts of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Bursts {
    /// Intervals below this, ns, are part of a burst.
    pub(crate) below: i64,
    pub(crate) count: u64,
    /// Samples in bursts, the first of each included.
    pub(crate) samples: u64,
    pub(crate) longest: Burst,
    /// Samples of a burst at the very beginning.
    pub(crate) at_start: u64,
    run: Burst,
    seen: u64,
    number: i64,
    time: i64,
}

/// One burst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Burst {
    pub(crate) samples: u64,
    /// Number of its first sample, from the stream's first.
    pub(crate) number: i64,
    /// ns from the stream's first sample to its own first.
    pub(crate) time: i64,
}

impl Bursts {
    pub(crate) fn new(usual: f64) -> Bursts {
        Bursts {
            below: (usual * SHARE).ceil() as i64,
            count: 0,
            samples: 0,
            longest: Burst::default(),
            at_start: 0,
            run: Burst::default(),
            seen: 0,
            number: 0,
            time: 0,
        }
    }

    /// Takes the next interval.
    #[inline]
    pub(crate) fn take(&mut self, interval: Interval) {
        // A sample that comes twice or late is told of as that.
        let together = interval.steps > 0 && (0..self.below).contains(&interval.ns);
        if together {
            if self.run.samples == 0 {
                self.run = Burst { samples: 1, number: self.number, time: self.time };
            }
            self.run.samples += 1;
        } else if self.run.samples > 0 {
            self.finish();
        }
        self.seen += 1;
        self.number = self.number.saturating_add(interval.steps);
        self.time = self.time.saturating_add(interval.ns);
    }

    /// Ends the run that the last interval was part of.
    pub(crate) fn finish(&mut self) {
        let run = std::mem::take(&mut self.run);
        if run.samples == 0 {
            return;
        }
        self.count += 1;
        self.samples += run.samples;
        if self.seen.saturating_sub(run.samples - 1) < HEAD {
            self.at_start = run.samples;
        }
        if run.samples > self.longest.samples {
            self.longest = run;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(intervals: &[i64]) -> Bursts {
        let mut bursts = Bursts::new(100.0);
        intervals.iter().for_each(|ns| bursts.take(Interval { ns: *ns, steps: 1 }));
        bursts.finish();
        bursts
    }

    #[test]
    fn a_burst_is_a_run_of_short_intervals() {
        let bursts = of(&[100, 100, 100, 9, 100, 0, 1, 2, 100, 10]);
        assert_eq!((bursts.count, bursts.samples), (2, 6));
        let longest = Burst { samples: 4, number: 5, time: 409 };
        assert_eq!((bursts.longest, bursts.at_start), (longest, 0));
    }

    #[test]
    fn a_backlog_at_the_start_is_told_apart() {
        assert_eq!(of(&[0, 0, 0, 100, 100, 0, 0]).at_start, 4);
        assert_eq!(of(&[100, 0, 0]).at_start, 3);
        assert_eq!(of(&[100, 100, 100, 0, 0]).at_start, 0);
    }
}
