//! How many samples a second a stream may have, by what waits downstream.
//!
//! The rule is that of thermal rigs where it has proved itself: a quarter less while eight
//! wait, one more while at most two do, one change a second, and 5 to 30 a second.

use libframe::clock::SECOND;

/// How the rate changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// The least and the most a second.
    pub(crate) floor: f64,
    pub(crate) ceiling: f64,
    /// The share that a step down takes away.
    pub(crate) cut: f64,
    /// What a step up adds.
    pub(crate) raise: f64,
    /// Samples that wait: from here on down, and up to here up.
    pub(crate) high: u64,
    pub(crate) low: u64,
    /// Time between two looks.
    pub(crate) cooldown: i64,
}

impl Default for Rule {
    fn default() -> Rule {
        let (floor, ceiling, cut, raise) = (5.0, 30.0, 0.25, 1.0);
        Rule { floor, ceiling, cut, raise, high: 8, low: 2, cooldown: SECOND }
    }
}

/// The rate of one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Controller {
    rule: Rule,
    rate: f64,
    /// When it was looked at last, and the most that waited since.
    looked: Option<i64>,
    most: u64,
}

impl Controller {
    /// Begins with the most there may be, which is no more than the stream has.
    pub(crate) fn new(rule: Rule, nominal: Option<f64>) -> Controller {
        let rate = nominal.unwrap_or(f64::MAX).min(rule.ceiling).max(rule.floor);
        Controller { rule, rate, looked: None, most: 0 }
    }

    /// Samples a second.
    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    /// Takes note that so many samples wait; tells the new rate if it changes.
    pub(crate) fn look(&mut self, waiting: u64, now: i64) -> Option<f64> {
        self.most = self.most.max(waiting);
        let looked = *self.looked.get_or_insert(now);
        if now.saturating_sub(looked) < self.rule.cooldown {
            return None;
        }
        let most = std::mem::take(&mut self.most);
        self.looked = Some(now);
        let Rule { floor, ceiling, cut, raise, high, low, .. } = self.rule;
        let rate = match most {
            n if n >= high => whole(self.rate * (1.0 - cut)).max(floor),
            n if n <= low => (self.rate + raise).min(ceiling),
            _ => return None,
        };
        let changed = rate != self.rate;
        self.rate = rate;
        changed.then_some(rate)
    }
}

/// Rates over one are whole numbers on the way down.
fn whole(rate: f64) -> f64 {
    if rate >= 1.0 { rate.floor() } else { rate }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(
        controller: &mut Controller,
        waiting: u64,
        seconds: i64,
        from: i64,
    ) -> Vec<f64> {
        let looks = (0..=seconds * 10).map(|n| from + n * SECOND / 10);
        looks.filter_map(|now| controller.look(waiting, now)).collect()
    }

    #[test]
    fn the_steps_are_those_of_the_old_system() {
        let rule = Rule { ceiling: 25.0, ..Rule::default() };
        let mut controller = Controller::new(rule, None);
        assert_eq!(run(&mut controller, 8, 8, 0), [18.0, 13.0, 9.0, 6.0, 5.0]);
        assert_eq!(run(&mut controller, 2, 3, 9 * SECOND), [6.0, 7.0, 8.0, 9.0]);
        assert!(run(&mut controller, 5, 3, 20 * SECOND).is_empty());
    }

    #[test]
    fn what_waited_for_a_moment_since_the_last_look_counts() {
        let mut controller = Controller::new(Rule::default(), None);
        assert_eq!(controller.look(0, 0), None);
        assert_eq!(controller.look(9, SECOND / 2), None);
        assert_eq!(controller.look(0, SECOND), Some(22.0));
    }

    #[test]
    fn a_slow_stream_begins_with_its_own_rate() {
        let controller = |nominal| Controller::new(Rule::default(), nominal).rate();
        assert_eq!(controller(Some(10.0)), 10.0);
        assert_eq!(controller(Some(217.0)), 30.0);
        assert_eq!(controller(Some(1.0)), 5.0);
        assert_eq!(controller(None), 30.0);
    }
}
