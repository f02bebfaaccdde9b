//! What is told of the intervals of a stream: their figures, the longest, bursts, and how they
//! were over time. The names here are keys of the JSON form.

use serde::Serialize;

use crate::coarse;
use crate::envelope::Envelope;
use crate::intervals::{Bars, Intervals, MEDIAN};
use crate::stream::{Longest, StreamView};

/// Bars of an interval histogram.
const BARS: usize = 80;

/// Figures of the intervals between samples in the order they came.
#[derive(Debug, Serialize)]
pub(crate) struct IntervalReport {
    pub(crate) count: u64,
    /// Whether the percentiles are those of all intervals. If not, each may be off by
    /// `percentile_error`, a share of it; the other figures are exact always.
    pub(crate) exact: bool,
    pub(crate) percentile_error: f64,
    pub(crate) mean_ns: f64,
    /// Of the population, as numpy's default.
    pub(crate) deviation_ns: f64,
    pub(crate) min_ns: i64,
    pub(crate) p0_1_ns: f64,
    pub(crate) p1_ns: f64,
    pub(crate) p5_ns: f64,
    pub(crate) p50_ns: f64,
    pub(crate) p95_ns: f64,
    pub(crate) p99_ns: f64,
    pub(crate) p99_9_ns: f64,
    pub(crate) max_ns: i64,
    /// RFC 3550 interarrival jitter after the last sample, and its highest.
    pub(crate) rfc3550_ns: f64,
    pub(crate) rfc3550_max_ns: f64,
    /// What it compares arrivals with: `device-clock`, or the `usual-pace`.
    pub(crate) rfc3550_against: &'static str,
    /// The pace: the time without pauses, by how far the samples' numbers went in it.
    pub(crate) usual_ns: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct LongestReport {
    pub(crate) ns: i64,
    /// The sample that ended it.
    pub(crate) before_sample: u64,
    pub(crate) time_ns: i64,
    pub(crate) at_seconds: f64,
}

/// Runs of intervals below a tenth of the usual one.
#[derive(Debug, Default, Serialize)]
pub(crate) struct BurstReport {
    pub(crate) below_ns: i64,
    pub(crate) count: u64,
    pub(crate) samples: u64,
    /// Of all samples.
    pub(crate) share: f64,
    pub(crate) longest_samples: u64,
    pub(crate) longest_first_sample: Option<u64>,
    pub(crate) longest_at_seconds: Option<f64>,
    /// Samples of a burst that the stream begins with.
    pub(crate) at_start: u64,
}

/// Equal parts of a range, and what lies outside.
#[derive(Debug, Serialize)]
pub(crate) struct BarsReport {
    pub(crate) from_ns: f64,
    pub(crate) to_ns: f64,
    pub(crate) below: u64,
    pub(crate) above: u64,
    pub(crate) counts: Vec<u64>,
}

/// Parts of `width_ns` from the stream's first sample on; null where no interval ended.
#[derive(Debug, Serialize)]
pub(crate) struct OverTimeReport {
    pub(crate) width_ns: u64,
    pub(crate) count: Vec<u64>,
    pub(crate) min_ns: Vec<Option<i64>>,
    /// In a part of more than 4096 intervals, of that many at even distances. Null throughout
    /// where intervals were counted and not kept.
    pub(crate) median_ns: Vec<Option<i64>>,
    pub(crate) mean_ns: Vec<Option<f64>>,
    pub(crate) max_ns: Vec<Option<i64>>,
}

impl LongestReport {
    pub(crate) fn new(longest: &Longest, at: impl Fn(i64) -> f64) -> LongestReport {
        let Longest { ns, seq, time } = *longest;
        LongestReport { ns, before_sample: seq, time_ns: time, at_seconds: at(time) }
    }
}

impl IntervalReport {
    /// The figures, and the histogram that comes with them.
    pub(crate) fn new(view: &StreamView) -> Option<(IntervalReport, Bars)> {
        let all = &view.intervals;
        let (min_ns, max_ns) = all.moments.range?;
        // A bucket's middle may lie beyond the longest of it.
        let within = |ns: f64| ns.clamp(min_ns as f64, max_ns as f64);
        let percentiles = all.percentiles()?.map(within);
        let [p0_1_ns, p1_ns, p5_ns, p50_ns, p95_ns, p99_ns, p99_9_ns] = percentiles;
        let usual_ns = all.usual(percentiles[MEDIAN]);
        let bars = bars([p0_1_ns, p99_9_ns], [min_ns as f64, max_ns as f64]);
        let (paced, bars) = all.jitter_and_bars(usual_ns, bars);
        let device = view.clock.as_ref().map(|clock| &clock.rfc3550);
        let (jitter, rfc3550_against) = match device.filter(|jitter| jitter.n > 0) {
            Some(jitter) => (jitter.clone(), "device-clock"),
            None => (paced, "usual-pace"),
        };
        let exact = all.exact().is_some();
        let figures = IntervalReport {
            count: all.moments.n,
            exact,
            percentile_error: if exact { 0.0 } else { coarse::ERROR },
            mean_ns: all.moments.mean()?,
            deviation_ns: all.moments.deviation()?,
            min_ns,
            p0_1_ns,
            p1_ns,
            p5_ns,
            p50_ns,
            p95_ns,
            p99_ns,
            p99_9_ns,
            max_ns,
            rfc3550_ns: jitter.last,
            rfc3550_max_ns: jitter.highest,
            rfc3550_against,
            usual_ns,
        };
        Some((figures, bars))
    }
}

/// From the 0.1st to the 99.9th percentile and a little more, but not beyond what there is.
fn bars([low, high]: [f64; 2], [min, max]: [f64; 2]) -> Bars {
    let margin = (high - low) * 0.05;
    let (from, to) = ((low - margin).floor().max(min), (high + margin).ceil().min(max));
    if to - from >= BARS as f64 {
        return Bars::new(from, to, BARS);
    }
    let from = (from + to) / 2.0 - BARS as f64 / 2.0;
    Bars::new(from, from + BARS as f64, BARS)
}

impl BurstReport {
    pub(crate) fn new(view: &StreamView, usual: f64) -> BurstReport {
        let bursts = view.intervals.bursts(usual);
        let longest = Some(bursts.longest).filter(|burst| burst.samples > 0);
        let first = view.ledger.first().unwrap_or_default();
        BurstReport {
            below_ns: bursts.below,
            count: bursts.count,
            samples: bursts.samples,
            share: bursts.samples as f64 / view.arrived.max(1) as f64,
            longest_samples: bursts.longest.samples,
            longest_first_sample: longest
                .map(|burst| first.saturating_add_signed(burst.number)),
            longest_at_seconds: longest.map(|burst| burst.time as f64 / 1e9),
            at_start: bursts.at_start,
        }
    }
}

impl BarsReport {
    pub(crate) fn new(bars: Bars) -> BarsReport {
        let (from_ns, to_ns) = (bars.from, bars.to);
        let (below, counts, above) = bars.into_counts();
        BarsReport { from_ns, to_ns, below, above, counts }
    }
}

impl OverTimeReport {
    pub(crate) fn new(mut envelope: Envelope, all: &Intervals) -> OverTimeReport {
        // Parts that are mostly empty show nothing that fewer do not.
        envelope.join_to(all.moments.n);
        let bins = &envelope.bins;
        let median_ns = match all.exact() {
            Some(exact) => envelope.medians(exact),
            None => vec![None; bins.len()],
        };
        let used = bins.iter().map(|bin| Some(*bin).filter(|bin| bin.count > 0));
        OverTimeReport {
            width_ns: envelope.width,
            count: bins.iter().map(|bin| bin.count).collect(),
            min_ns: used.clone().map(|bin| Some(bin?.min)).collect(),
            median_ns,
            mean_ns: used.clone().map(|bin| Some(bin?.sum / bin?.count as f64)).collect(),
            max_ns: used.map(|bin| Some(bin?.max)).collect(),
        }
    }
}
