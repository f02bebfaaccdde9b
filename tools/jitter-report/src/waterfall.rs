//! How long samples took from capture to each stage, step by step.
//!
//! A stage knows how long records took to it from the stage before (its hop) and from
//! capture (their age). What lies between the end of one hop and the begin of the next is
//! the time that a stage held them: a batch that was being filled, a queue. Where ages are
//! not known, hops are put one behind the other.

use libframe::stages::StageReport;
use serde::Serialize;

/// Histograms tell durations to an eighth, so less of an age than this is no step of its own.
const PRECISION: u64 = 8;

/// One step of the way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Step {
    /// `capture`: from capture to the first stage's writing; `held`: within a stage; `hop`:
    /// from a stage's writing to the next one's reading.
    pub(crate) step: &'static str,
    /// Whose: of a hop, the stage that reads.
    pub(crate) stage: String,
    /// Begin and end of the step, as usual (p50), from capture.
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
    /// By when 99 % were through, and all; null for what a stage held.
    pub(crate) p99_ns: Option<u64>,
    pub(crate) max_ns: Option<u64>,
}

/// The steps through all stages that told of their delays.
pub(crate) fn steps(stages: &[StageReport]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    // Where the place before ends, and whose it was; several stages may share a place.
    let (mut before, mut here) = ((0, None), (0, None));
    let mut index = 0;
    for stage in stages {
        let Some(hop) = stage.latency_p50_ns else { continue };
        if stage.index != index {
            (before, index) = (here.clone(), stage.index);
        }
        let captures = stage.index == 0 || stage.origin;
        if captures {
            before = (0, None);
        }
        let from = match stage.age_p50_ns.filter(|_| !captures) {
            Some(age) => {
                let arrives = age.saturating_sub(hop);
                let held = arrives.saturating_sub(before.0) > age / PRECISION;
                if held && let Some(stage) = before.1.clone() {
                    let (from_ns, to_ns) = (before.0, arrives);
                    let (p99_ns, max_ns) = (None, None);
                    let held =
                        Step { step: "held", stage, from_ns, to_ns, p99_ns, max_ns };
                    // Branches of one stage have one wait.
                    if steps.last() != Some(&held) {
                        steps.push(held);
                    }
                }
                if held { arrives } else { before.0 }
            }
            None => before.0,
        };
        let to = stage.age_p50_ns.unwrap_or(0).max(from.saturating_add(hop));
        let late = |age: Option<u64>, hop: Option<u64>| {
            age.or_else(|| Some(from.saturating_add(hop?))).map(|ns| ns.max(to))
        };
        steps.push(Step {
            step: if captures { "capture" } else { "hop" },
            stage: stage.stage.clone(),
            from_ns: from,
            to_ns: to,
            p99_ns: late(stage.age_p99_ns, stage.latency_p99_ns),
            max_ns: late(stage.age_max_ns, stage.latency_max_ns),
        });
        here = (to, Some(stage.stage.clone()));
    }
    steps
}

impl Step {
    /// What it is, for people; `arrow` stands for the way.
    pub(crate) fn words(&self, arrow: &str) -> String {
        match self.step {
            "capture" => format!("capture {arrow} {}", self.stage),
            "held" => format!("in {}", self.stage),
            _ => format!("{arrow} {}", self.stage),
        }
    }

    /// How long it usually takes.
    pub(crate) fn length(&self) -> u64 {
        self.to_ns - self.from_ns
    }
}

/// How far a drawing reaches: all that is usual, and of what is late no more than fits.
pub(crate) fn reach(steps: &[Step]) -> u64 {
    let usual = steps.iter().map(|step| step.to_ns).max().unwrap_or(0);
    let late = steps.iter().filter_map(|step| step.p99_ns).max().unwrap_or(0);
    late.clamp(usual, usual.saturating_mul(4)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use libframe::histogram::Histogram;
    use libframe::payload::Stats;
    use libframe::stages::Stages;

    fn pairs(ns: u64) -> Vec<(u16, u64)> {
        let mut histogram = Histogram::default();
        (0..100).for_each(|n| histogram.add(if n < 95 { ns } else { 3 * ns }));
        histogram.pairs()
    }

    fn stages(all: &[(&str, u32, u64, Option<u64>)]) -> Vec<StageReport> {
        let mut stages = Stages::default();
        for (stage, index, hop, age) in all {
            let (hop, age) = (pairs(*hop), age.map(pairs).unwrap_or_default());
            stages.take(Stats {
                stage: (*stage).into(),
                index: *index,
                hop,
                age,
                ..Stats::default()
            });
        }
        stages.reports()
    }

    fn shape(steps: &[Step]) -> Vec<(&str, &str)> {
        steps.iter().map(|step| (step.step, step.stage.as_str())).collect()
    }

    #[test]
    fn without_ages_hops_follow_each_other() {
        let steps = steps(&stages(&[("a", 0, 10_000, None), ("b", 1, 20_000, None)]));
        assert_eq!(shape(&steps), [("capture", "a"), ("hop", "b")]);
        assert_eq!((steps[0].from_ns, steps[1].from_ns), (0, steps[0].to_ns));
        assert!((30_000..34_000).contains(&steps[1].to_ns), "{steps:?}");
        assert!(steps[1].p99_ns > Some(60_000));
    }

    #[test]
    fn what_a_stage_held_lies_between_two_hops() {
        let all = [
            ("a", 0, 10_000, None),
            ("batch", 1, 10_000, Some(20_000)),
            ("c", 2, 10_000, Some(5_000_000)),
        ];
        let steps = steps(&stages(&all));
        let wanted =
            [("capture", "a"), ("hop", "batch"), ("held", "batch"), ("hop", "c")];
        assert_eq!(shape(&steps), wanted);
        assert!(
            steps.windows(2).all(|pair| pair[0].to_ns == pair[1].from_ns),
            "{steps:?}"
        );
        assert!((5_000_000..5_700_000).contains(&steps[3].to_ns));
        assert_eq!(reach(&steps), steps[3].p99_ns.unwrap());
    }

    #[test]
    fn branches_begin_where_their_stage_ends() {
        let all =
            [("a", 0, 10_000, None), ("b", 1, 20_000, None), ("c", 1, 90_000, None)];
        let steps = steps(&stages(&all));
        assert_eq!(steps[1].from_ns, steps[2].from_ns);
        // One that came late is cut, so that the others can be seen.
        assert_eq!(reach(&steps), steps[2].p99_ns.unwrap().min(4 * steps[2].to_ns));
    }
}
