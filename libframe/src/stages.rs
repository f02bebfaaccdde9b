//! What each stage of a pipeline said of itself in STATS, summed up.
//!
//! Here, so that all who tell of stages tell the same.

use std::collections::BTreeMap;

use crate::histogram::Histogram;
use crate::payload::Stats;

/// Stages that are told apart; a pipeline has a handful.
const MAX_STAGES: usize = 64;

/// All stages, by their place in the pipeline.
#[derive(Debug, Default)]
pub struct Stages(BTreeMap<(u32, String), StageSum>);

/// The sum of a stage's STATS. Counts from anywhere may be absurd, so they stay at the most.
#[derive(Debug, Default)]
pub struct StageSum {
    /// Samples that came in.
    pub samples_in: u64,
    /// Samples that went out.
    pub samples_out: u64,
    /// Samples that it found missing or dropped.
    pub dropped: u64,
    /// The deepest its queue was, in bytes.
    pub queue: u64,
    /// The most memory it had, in bytes.
    pub rss: u64,
    /// CPU time since it started, ns.
    pub cpu: u64,
    /// First and last instant its counts are for.
    pub span: Option<(i64, i64)>,
    /// Time from the stage before writing to this one reading.
    pub hop: Histogram,
}

impl Stages {
    /// Adds what a stage said. Of more than a few dozen stages the first ones count.
    pub fn take(&mut self, stats: Stats) {
        let key = (stats.index, stats.stage);
        if self.0.len() == MAX_STAGES && !self.0.contains_key(&key) {
            return;
        }
        let sum = self.0.entry(key).or_default();
        sum.samples_in = sum.samples_in.saturating_add(stats.input.samples);
        sum.samples_out = sum.samples_out.saturating_add(stats.output.samples);
        sum.dropped = sum.dropped.saturating_add(stats.dropped);
        sum.queue = sum.queue.max(stats.queue);
        sum.rss = sum.rss.max(stats.rss);
        sum.cpu = sum.cpu.max(stats.cpu);
        let (from, to) = sum.span.unwrap_or((stats.from, stats.to));
        sum.span = Some((from.min(stats.from), to.max(stats.to)));
        sum.hop.add_pairs(&stats.hop);
    }

    /// Each stage's place, name and sum, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str, &StageSum)> {
        self.0.iter().map(|((index, name), sum)| (*index, name.as_str(), sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stage_says_each_second_is_summed_and_never_overflows() {
        let stats = |dropped, queue, from| Stats {
            stage: "a".into(),
            dropped,
            queue,
            from,
            to: from + 10,
            ..Stats::default()
        };
        let mut stages = Stages::default();
        [stats(3, 9, 20), stats(4, 5, 10)].into_iter().for_each(|s| stages.take(s));
        let (_, name, sum) = stages.iter().next().unwrap();
        assert_eq!((name, sum.dropped, sum.queue, sum.span), ("a", 7, 9, Some((10, 30))));
        stages.take(stats(u64::MAX, 0, 0));
        assert_eq!(stages.iter().next().unwrap().2.dropped, u64::MAX);
    }
}
