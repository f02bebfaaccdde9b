//! At most so many samples a second, evenly spaced by their capture times.

use libframe::clock::SECOND;

/// How much of what is new is taken into the time between samples.
const SMOOTHING: i64 = 8;

/// Chooses samples by their times.
///
/// There is a beat, and the sample that is nearest to it is kept: the first from half of the
/// time between samples before it on. So a stream that has just this rate loses none that
/// come a moment early. Where samples come late, the beat follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    period: i64,
    /// The next beat, and when the last kept sample was.
    next: Option<(i64, i64)>,
    /// The last sample's time, and about how long there is between two; at most a period.
    seen: Option<i64>,
    step: i64,
}

impl Pace {
    /// So many a second.
    pub(crate) fn new(rate: f64) -> Pace {
        Pace { period: period(rate), next: None, seen: None, step: 0 }
    }

    /// Changes how many from the last kept one on.
    pub(crate) fn set_rate(&mut self, rate: f64) {
        self.period = period(rate);
        if let Some((beat, last)) = &mut self.next {
            *beat = last.saturating_add(self.period);
        }
    }

    /// Whether the sample of this time is kept.
    pub(crate) fn keeps(&mut self, time: i64) -> bool {
        self.learn(time);
        let beat = match self.next {
            None => time,
            Some((beat, _)) => {
                let early = beat.saturating_sub(time);
                // Times that went back by more than a beat do not stop the stream.
                let is_back = early > self.period.saturating_mul(2);
                if early > self.step / 2 && !is_back {
                    return false;
                }
                let is_late = early.saturating_neg() > self.period / 2;
                if is_late || is_back { time } else { beat }
            }
        };
        self.next = Some((beat.saturating_add(self.period), time));
        true
    }

    /// Takes note of how long it is from one sample to the next.
    fn learn(&mut self, time: i64) {
        let Some(last) = self.seen.replace(time) else { return };
        let step = time.saturating_sub(last).clamp(0, self.period);
        let change = (step - self.step) / SMOOTHING;
        self.step = if self.step == 0 { step } else { self.step + change };
    }
}

fn period(rate: f64) -> i64 {
    (SECOND as f64 / rate) as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(rate: f64, times: impl IntoIterator<Item = i64>) -> Vec<i64> {
        let mut pace = Pace::new(rate);
        times.into_iter().filter(|time| pace.keeps(*time)).collect()
    }

    fn every(rate: f64, seconds: i64) -> impl Iterator<Item = i64> {
        (0..(rate * seconds as f64) as i64).map(move |n| (n as f64 * 1e9 / rate) as i64)
    }

    #[test]
    fn the_rate_is_what_was_asked_for_and_no_burst() {
        for (from, to) in [(1000.0, 30.0), (217.0, 30.0), (50.0, 30.0), (60.0, 59.0)] {
            let times = kept(to, every(from, 100));
            let n = times.len() as f64;
            assert!((n - 100.0 * to).abs() <= 2.0, "{from} to {to}: {n}");
            let least = times.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
            let beat = (1e9 / to - 1e9 / from).max(1e9 / from) as i64;
            assert!(least >= beat - 2, "{from} to {to}: {least} ns apart");
        }
    }

    #[test]
    fn a_stream_of_this_rate_keeps_all_in_spite_of_jitter() {
        let noise = |n: usize| (n as i64 * 1_618_033 % 8_000_000) - 4_000_000;
        for exact in [30.0, 29.97] {
            let times = every(exact, 100).enumerate().map(|(n, time)| time + noise(n));
            let all: Vec<_> = times.collect();
            assert_eq!(kept(30.0, all.iter().copied()).len(), all.len(), "{exact}");
        }
    }

    #[test]
    fn after_a_silence_there_is_no_catching_up() {
        let late = (0..100).map(|n| 10 * SECOND + n * SECOND / 100);
        let times = kept(10.0, every(100.0, 1).chain(late));
        let after = times.iter().filter(|time| **time >= 10 * SECOND).count();
        assert!((10..=11).contains(&after), "{after}");
    }

    #[test]
    fn times_that_go_back_do_not_stop_a_stream() {
        let again = every(100.0, 2);
        let n = kept(10.0, every(100.0, 2).map(|time| time + 100 * SECOND).chain(again));
        assert!((40..=42).contains(&n.len()), "{}", n.len());
    }

    proptest! {
        #[test]
        fn no_second_has_more_than_was_asked_for(
            steps in prop::collection::vec(0i64..200_000_000, 1..500),
            rate in 1u32..100,
        ) {
            let times = steps.iter().scan(0, |time, step| { *time += step; Some(*time) });
            let kept = kept(f64::from(rate), times);
            for (at, time) in kept.iter().enumerate() {
                let until = kept[at..].partition_point(|t| t - time < SECOND);
                // The beats of half a period at either end are the begin's and the end's.
                prop_assert!(until <= rate as usize + 2, "{} in a second", until);
            }
        }
    }
}
