//! What each stage of the pipeline said of itself in STATS.

use std::collections::BTreeMap;

use libframe::histogram::Histogram;
use libframe::payload::Stats;

/// Stages that are told apart; a pipeline has a handful.
const MAX_STAGES: usize = 64;

/// All stages, by their place in the pipeline.
#[derive(Debug, Default)]
pub(crate) struct Stages(pub(crate) BTreeMap<(u32, String), StageView>);

/// The sum of a stage's STATS.
#[derive(Debug, Default)]
pub(crate) struct StageView {
    pub(crate) samples_in: u64,
    pub(crate) samples_out: u64,
    pub(crate) dropped: u64,
    pub(crate) queue: u64,
    pub(crate) rss: u64,
    pub(crate) cpu: u64,
    /// First and last instant its counts are for.
    pub(crate) span: Option<(i64, i64)>,
    pub(crate) hop: Histogram,
}

impl Stages {
    pub(crate) fn take(&mut self, stats: Stats) {
        let key = (stats.index, stats.stage);
        if self.0.len() == MAX_STAGES && !self.0.contains_key(&key) {
            return;
        }
        let view = self.0.entry(key).or_default();
        view.samples_in = view.samples_in.saturating_add(stats.input.samples);
        view.samples_out = view.samples_out.saturating_add(stats.output.samples);
        view.dropped = view.dropped.saturating_add(stats.dropped);
        view.queue = view.queue.max(stats.queue);
        view.rss = view.rss.max(stats.rss);
        view.cpu = view.cpu.max(stats.cpu);
        let (from, to) = view.span.unwrap_or((stats.from, stats.to));
        view.span = Some((from.min(stats.from), to.max(stats.to)));
        view.hop.add_pairs(&stats.hop);
    }
}
