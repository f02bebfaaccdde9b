//! What each stage of a pipeline said of itself in STATS, summed up.
//!
//! Here, so that all who tell of stages tell the same.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::histogram::{Histogram, lower_edge};
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
    /// Time from the stage before writing to this one reading; at a source, from capture to
    /// writing.
    pub hop: Histogram,
    /// Time from capture to this stage reading.
    pub age: Histogram,
    /// It does not read what the stage before wrote.
    origin: bool,
    /// How many STATS came, while none was found missing.
    numbers: Option<u64>,
    /// The last one said that it is that.
    last: bool,
}

impl StageSum {
    /// Whether these are all counts of the session, so that differences mean something.
    pub fn is_complete(&self) -> bool {
        self.last && self.numbers.is_some()
    }

    fn number(&mut self, number: Option<u64>, last: bool, is_first: bool) {
        let expected = if is_first { Some(0) } else { self.numbers };
        let follows = number.is_some() && number == expected && !self.last;
        self.numbers = number.filter(|_| follows).map(|number| number.saturating_add(1));
        self.last = last;
    }
}

/// A stage as it is told of: the names are the keys of the JSON form.
#[derive(Clone, Debug, Serialize)]
pub struct StageReport {
    /// Its place in the pipeline.
    pub index: u32,
    /// Its name.
    pub stage: String,
    /// Whether the counts are all of the session.
    pub complete: bool,
    /// Whether it reads not what the stage before wrote: it captures, or plays a recording.
    pub origin: bool,
    /// Samples that came in.
    pub samples_in: u64,
    /// Samples that went out.
    pub samples_out: u64,
    /// Samples that it found missing or dropped.
    pub dropped: u64,
    /// Samples that the stage before sent and this one did not read, if both are complete:
    /// they were damaged on the way, or lost there.
    pub lost_before: Option<i64>,
    /// The deepest its queue was.
    pub deepest_queue_bytes: u64,
    /// From the stage before writing to this one reading, to 12.5 %; at a source, from
    /// capture to writing.
    pub latency_p50_ns: Option<u64>,
    /// The same that 99 % stay below.
    pub latency_p99_ns: Option<u64>,
    /// The longest.
    pub latency_max_ns: Option<u64>,
    /// Lower edge of each eighth of an octave in which any was, and how many.
    pub latency: Vec<(u64, u64)>,
    /// From capture to this stage reading; at a source, to its writing.
    pub age_p50_ns: Option<u64>,
    /// The same that 99 % stay below.
    pub age_p99_ns: Option<u64>,
    /// The longest.
    pub age_max_ns: Option<u64>,
    /// The most memory it had.
    pub rss_bytes: u64,
    /// CPU time.
    pub cpu_ns: u64,
    /// Of one core, from its first STATS to its last.
    pub cpu_share: Option<f64>,
}

impl StageReport {
    fn new(index: u32, stage: &str, sum: &StageSum) -> StageReport {
        let seconds = sum.span.map_or(0, |(from, to)| to.saturating_sub(from));
        let edge = |(bucket, n): (u16, u64)| (lower_edge(usize::from(bucket)), n);
        // A stage that captures reads nothing: its way from capture is its hop.
        let captures = sum.origin || index == 0;
        let age = if captures && sum.age.total() == 0 { &sum.hop } else { &sum.age };
        StageReport {
            index,
            stage: stage.into(),
            complete: sum.is_complete(),
            origin: sum.origin,
            samples_in: sum.samples_in,
            samples_out: sum.samples_out,
            dropped: sum.dropped,
            lost_before: None,
            deepest_queue_bytes: sum.queue,
            latency_p50_ns: sum.hop.quantile(0.5),
            latency_p99_ns: sum.hop.quantile(0.99),
            latency_max_ns: sum.hop.quantile(1.0),
            latency: sum.hop.pairs().into_iter().map(edge).collect(),
            age_p50_ns: age.quantile(0.5),
            age_p99_ns: age.quantile(0.99),
            age_max_ns: age.quantile(1.0),
            rss_bytes: sum.rss,
            cpu_ns: sum.cpu,
            cpu_share: (seconds > 0).then(|| sum.cpu as f64 / seconds as f64),
        }
    }
}

impl Stages {
    /// Whether each stage read what the one before wrote. Where there are several origins,
    /// pipelines were merged, or a part of a recording was played.
    fn is_line(&self) -> bool {
        self.0.values().filter(|sum| sum.origin).count() <= 1
    }

    /// All stages as they are told of, in order.
    pub fn reports(&self) -> Vec<StageReport> {
        let mut reports: Vec<StageReport> = Vec::new();
        for (index, stage, sum) in self.iter() {
            let mut report = StageReport::new(index, stage, sum);
            let before = reports.last().filter(|before| before.index + 1 == index);
            // Two stages at one place are branches of one pipeline, or two sessions in one.
            let alone = |place| self.0.keys().filter(|(at, _)| *at == place).count() == 1;
            report.lost_before = before
                .filter(|before| before.complete && report.complete && self.is_line())
                .filter(|before| alone(before.index) && alone(index))
                .map(|before| before.samples_out.wrapping_sub(report.samples_in) as i64);
            reports.push(report);
        }
        reports
    }

    /// Adds what a stage said. Of more than a few dozen stages the first ones count.
    pub fn take(&mut self, stats: Stats) {
        let key = (stats.index, stats.stage);
        if self.0.len() == MAX_STAGES && !self.0.contains_key(&key) {
            return;
        }
        let is_first = !self.0.contains_key(&key);
        let sum = self.0.entry(key).or_default();
        sum.number(stats.number, stats.last, is_first);
        sum.origin |= stats.origin;
        sum.samples_in = sum.samples_in.saturating_add(stats.input.samples);
        sum.samples_out = sum.samples_out.saturating_add(stats.output.samples);
        sum.dropped = sum.dropped.saturating_add(stats.dropped);
        sum.queue = sum.queue.max(stats.queue);
        sum.rss = sum.rss.max(stats.rss);
        sum.cpu = sum.cpu.max(stats.cpu);
        let (from, to) = sum.span.unwrap_or((stats.from, stats.to));
        sum.span = Some((from.min(stats.from), to.max(stats.to)));
        sum.hop.add_pairs(&stats.hop);
        sum.age.add_pairs(&stats.age);
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

    #[test]
    fn counts_are_all_only_if_none_of_their_parts_is_missing() {
        let complete = |numbers: &[(Option<u64>, bool)]| {
            let mut stages = Stages::default();
            for (number, last) in numbers {
                let stats = Stats {
                    stage: "a".into(),
                    number: *number,
                    last: *last,
                    ..Stats::default()
                };
                stages.take(stats);
            }
            stages.reports()[0].complete
        };
        assert!(complete(&[(Some(0), true)]));
        assert!(complete(&[(Some(0), false), (Some(1), false), (Some(2), true)]));
        assert!(!complete(&[(Some(0), false), (Some(1), false)]));
        assert!(!complete(&[(Some(0), false), (Some(2), true)]));
        assert!(!complete(&[(Some(1), false), (Some(2), true)]));
        assert!(!complete(&[(Some(0), true), (Some(1), true)]));
        assert!(!complete(&[(None, true)]));
    }

    #[test]
    fn what_was_lost_between_two_stages_is_told_only_of_complete_neighbours() {
        let take = |stages: &mut Stages, index, name: &str, flow: [u64; 2], last| {
            let [input, output] = flow
                .map(|samples| crate::payload::Flow { samples, ..Default::default() });
            let (stage, number) = (name.into(), Some(0));
            stages.take(Stats {
                stage,
                index,
                input,
                output,
                number,
                last,
                ..Stats::default()
            });
        };
        let mut stages = Stages::default();
        take(&mut stages, 0, "a", [100, 100], true);
        take(&mut stages, 1, "b", [97, 97], true);
        take(&mut stages, 2, "c", [90, 90], false);
        let lost = |stages: &Stages| -> Vec<_> {
            stages.reports().iter().map(|report| report.lost_before).collect()
        };
        assert_eq!(lost(&stages), [None, Some(3), None]);
        let mut merged = Stages::default();
        for (index, name) in ["a", "b", "c"].into_iter().enumerate() {
            let origin =
                Stats { stage: name.into(), index: index as u32, ..Stats::default() };
            merged.take(Stats {
                origin: index < 2,
                number: Some(0),
                last: true,
                ..origin
            });
        }
        assert_eq!(lost(&merged), [None, None, None]);
        take(&mut stages, 1, "other", [100, 100], true);
        assert_eq!(lost(&stages), [None, None, None, None]);
    }
}
