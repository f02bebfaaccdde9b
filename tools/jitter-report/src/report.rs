//! What is told of a recording. The names here are the keys of the JSON form, which other
//! programs rely on: keys are added, never renamed. Times are ns of the capturing host's
//! CLOCK_MONOTONIC, durations ns, shares of 1.

use std::collections::BTreeMap;

use libframe::losses::{GapReport, LedgerReport, LossReport};
use libframe::payload::Stage;
use libframe::schema::Device;
use libframe::stages::StageReport;
use serde::Serialize;

use crate::coarse;
use crate::device_clock::{ClockView, Line};
use crate::envelope::Envelope;
use crate::intervals::{Bars, Intervals, MEDIAN};
use crate::limits::Limits;
use crate::session::SessionView;
use crate::stream::{Longest, Place, StreamView};
use crate::verdict::{self, Finding, Verdict};
use crate::wall_clock::WallClock;
use crate::waterfall::{self, Step};

/// Bars of an interval histogram.
const BARS: usize = 80;

/// One file, or what came in a pipe.
#[derive(Debug, Serialize)]
pub(crate) struct FileReport {
    /// Its path; null for a pipe.
    pub(crate) file: Option<String>,
    pub(crate) verdict: Verdict,
    pub(crate) sessions: Vec<SessionReport>,
    /// Sessions over those that are told of.
    pub(crate) more_sessions: u64,
    pub(crate) input: InputReport,
}

/// What could not be read.
#[derive(Debug, Default, Serialize)]
pub(crate) struct InputReport {
    pub(crate) damaged_places: u64,
    pub(crate) damaged_bytes: u64,
    pub(crate) late_bytes: u64,
    pub(crate) malformed_records: u64,
    pub(crate) complaints: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct SessionReport {
    pub(crate) session: String,
    pub(crate) verdict: Verdict,
    pub(crate) findings: Vec<Finding>,
    pub(crate) uuid: Option<String>,
    pub(crate) host: Option<String>,
    /// ns since 1970.
    pub(crate) start_realtime_ns: Option<i64>,
    pub(crate) start_monotonic_ns: Option<i64>,
    pub(crate) seconds: f64,
    pub(crate) meta: BTreeMap<String, String>,
    pub(crate) stages: Vec<Stage>,
    /// Why it ended; null if it broke off.
    pub(crate) end: Option<String>,
    pub(crate) broke_off: Option<String>,
    pub(crate) events: u64,
    /// Who lost what, over all streams.
    pub(crate) ledger: LedgerReport,
    pub(crate) streams: Vec<StreamReport>,
    /// Streams over those that are told of; their verdicts count.
    pub(crate) more_streams: u64,
    pub(crate) clock: WallClockReport,
    pub(crate) hops: Vec<StageReport>,
    /// The way from capture through the stages.
    pub(crate) waterfall: Vec<Step>,
}

#[derive(Debug, Serialize)]
pub(crate) struct StreamReport {
    pub(crate) number: u16,
    pub(crate) name: String,
    pub(crate) verdict: Verdict,
    pub(crate) findings: Vec<Finding>,
    pub(crate) media: &'static str,
    pub(crate) device: Device,
    pub(crate) nominal_rate_hz: Option<f64>,
    /// Samples that came, for each second between the first and the last.
    pub(crate) rate_hz: Option<f64>,
    pub(crate) first_time_ns: Option<i64>,
    pub(crate) last_time_ns: Option<i64>,
    pub(crate) seconds: f64,
    /// Without those that came twice.
    pub(crate) samples: u64,
    pub(crate) first_sample: Option<u64>,
    pub(crate) lost: u64,
    pub(crate) unknown_gaps: u64,
    pub(crate) duplicates: u64,
    pub(crate) reordered: u64,
    /// Samples that follow in number and not in time.
    pub(crate) backwards: u64,
    pub(crate) losses: Vec<LossReport>,
    pub(crate) gaps: Vec<PlacedGap>,
    /// Gaps over those listed.
    pub(crate) more_gaps: u64,
    /// Null for less than two samples.
    pub(crate) intervals: Option<IntervalReport>,
    pub(crate) longest: Vec<LongestReport>,
    pub(crate) bursts: BurstReport,
    pub(crate) device_clock: Option<ClockReport>,
    pub(crate) histogram: Option<BarsReport>,
    pub(crate) over_time: Option<OverTimeReport>,
}

/// A gap, with its place for people.
#[derive(Debug, Serialize)]
pub(crate) struct PlacedGap {
    #[serde(flatten)]
    pub(crate) gap: GapReport,
    /// From the stream's first sample.
    pub(crate) at_seconds: f64,
}

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

/// The device's clock against the host's: the line below all samples.
#[derive(Debug, Serialize)]
pub(crate) struct ClockReport {
    /// How much faster the device's clock runs; null if its rate is not stated, or too
    /// little came.
    pub(crate) drift_ppm: Option<f64>,
    /// How far that may be off.
    pub(crate) drift_error_ppm: Option<f64>,
    /// Ticks for each second of the host.
    pub(crate) ticks_hz: Option<f64>,
    /// Delays above the line, of up to 16384 samples at even distances.
    pub(crate) delay_p50_ns: Option<f64>,
    pub(crate) delay_p99_ns: Option<f64>,
    pub(crate) delay_max_ns: Option<f64>,
    pub(crate) restarts: u64,
    pub(crate) jumps: u64,
    pub(crate) wraps: u64,
    /// The figures above are of the longest of these; a restart begins another.
    pub(crate) runs: Vec<RunReport>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RunReport {
    pub(crate) samples: u64,
    pub(crate) from_ns: i64,
    pub(crate) to_ns: i64,
    pub(crate) drift_ppm: Option<f64>,
    pub(crate) delay_p50_ns: f64,
    pub(crate) delay_p99_ns: f64,
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

#[derive(Debug, Default, Serialize)]
pub(crate) struct WallClockReport {
    pub(crate) readings: u64,
    /// Against the monotonic clock, without its steps.
    pub(crate) drift_ppm: Option<f64>,
    pub(crate) kernel_error_ns: Option<i64>,
    pub(crate) unsynchronised: bool,
    pub(crate) step_count: u64,
    pub(crate) largest_step_ns: i64,
    pub(crate) steps: Vec<StepReport>,
}

#[derive(Debug, Serialize)]
pub(crate) struct StepReport {
    pub(crate) ns: i64,
    /// Monotonic times of the readings before and after it.
    pub(crate) after_ns: i64,
    pub(crate) before_ns: i64,
}

impl SessionReport {
    pub(crate) fn new(
        mut view: SessionView,
        ended: Ending,
        limits: &Limits,
    ) -> SessionReport {
        view.close();
        let streams = view.streams.iter().filter(|(number, _)| **number != 0);
        let streams: Vec<_> = streams
            .map(|(number, view)| StreamReport::new(*number, view, limits))
            .collect();
        let session = view.session.unwrap_or_default();
        let hops = view.stages.reports();
        let ledgers = view.streams.iter().filter(|(number, _)| **number != 0);
        let ledgers = ledgers.map(|(number, view)| (view.name(*number), &view.ledger));
        let known = !session.uuid.is_empty();
        let broke_off = ended.broke_off.or(view.broke_off);
        let ledger =
            LedgerReport::new(ledgers, &session.stages, &hops, broke_off.is_some());
        let mut report = SessionReport {
            session: format!("{:08x}", view.tag),
            verdict: Verdict::Good,
            findings: Vec::new(),
            uuid: known.then_some(session.uuid),
            host: known.then_some(session.host),
            start_realtime_ns: known.then_some(session.start_realtime),
            start_monotonic_ns: known.then_some(session.start_monotonic),
            seconds: streams.iter().map(|stream| stream.seconds).fold(0.0, f64::max),
            meta: session.meta,
            stages: session.stages,
            end: broke_off.is_none().then_some(ended.reason),
            broke_off,
            events: view.events,
            ledger,
            streams,
            more_streams: 0,
            clock: WallClockReport::new(view.wall_clock),
            waterfall: waterfall::steps(&hops),
            hops,
        };
        report.findings = verdict::of_session(&report, limits);
        let streams = report.streams.iter().map(|stream| stream.verdict);
        let worst = streams.max().unwrap_or_default();
        report.verdict = worst.max(verdict::worst(&report.findings));
        report
    }

    /// Forgets all but so many streams.
    pub(crate) fn keep_streams(&mut self, most: usize) {
        let more = self.streams.len().saturating_sub(most);
        self.streams.truncate(most);
        self.streams.shrink_to_fit();
        self.more_streams += more as u64;
    }

    /// A monotonic time as ns since 1970.
    pub(crate) fn realtime(&self, time: i64) -> Option<i64> {
        let start = self.start_realtime_ns?.checked_sub(self.start_monotonic_ns?)?;
        time.checked_add(start)
    }
}

/// How a session ended.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    pub(crate) reason: String,
    pub(crate) broke_off: Option<String>,
}

impl StreamReport {
    fn new(number: u16, view: &StreamView, limits: &Limits) -> StreamReport {
        let (ledger, stream) = (&view.ledger, &view.stream);
        let came = view.arrived > 0;
        let span = i64::try_from(view.intervals.moments.sum).unwrap_or_default();
        let last_time = view.first_time.wrapping_add(span);
        let mean = view.intervals.moments.mean().filter(|mean| *mean > 0.0);
        let at = |time: i64| time.saturating_sub(view.first_time) as f64 / 1e9;
        let (intervals, bars) = IntervalReport::new(view).unzip();
        let usual = intervals.as_ref().map_or(0.0, |intervals| intervals.usual_ns);
        let mut report = StreamReport {
            number,
            name: view.name(number),
            verdict: Verdict::Good,
            findings: Vec::new(),
            media: stream.media.name(),
            device: stream.device.clone(),
            nominal_rate_hz: stream.rate,
            rate_hz: mean.map(|mean| 1e9 / mean),
            first_time_ns: came.then_some(view.first_time),
            last_time_ns: came.then_some(last_time),
            seconds: if came { at(last_time) } else { 0.0 },
            samples: ledger.samples(),
            first_sample: ledger.first(),
            lost: ledger.lost(),
            unknown_gaps: ledger.unknown(),
            duplicates: ledger.duplicates(),
            reordered: ledger.reordered(),
            backwards: view.backwards,
            losses: LossReport::of_stream(ledger),
            gaps: view.gaps.iter().map(|place| PlacedGap::new(place, at)).collect(),
            more_gaps: view.more_gaps,
            longest: view.longest.iter().map(|l| LongestReport::new(l, at)).collect(),
            bursts: BurstReport::new(view, usual),
            device_clock: view.clock.as_ref().map(ClockReport::new),
            histogram: bars.map(BarsReport::new),
            over_time: view
                .envelope
                .as_ref()
                .filter(|envelope| !envelope.bins.is_empty())
                .map(|envelope| OverTimeReport::new(envelope.clone(), &view.intervals)),
            intervals,
        };
        report.findings = verdict::of_stream(&report, limits);
        report.verdict = verdict::worst(&report.findings);
        report
    }
}

impl PlacedGap {
    fn new(place: &Place, at: impl Fn(i64) -> f64) -> PlacedGap {
        let gap = GapReport::new(&place.gap);
        let at_seconds = at(place.gap.from.unwrap_or(place.time));
        PlacedGap { gap, at_seconds }
    }
}

impl LongestReport {
    fn new(longest: &Longest, at: impl Fn(i64) -> f64) -> LongestReport {
        let Longest { ns, seq, time } = *longest;
        LongestReport { ns, before_sample: seq, time_ns: time, at_seconds: at(time) }
    }
}

impl IntervalReport {
    /// The figures, and the histogram that comes with them.
    fn new(view: &StreamView) -> Option<(IntervalReport, Bars)> {
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
    fn new(view: &StreamView, usual: f64) -> BurstReport {
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

impl ClockReport {
    fn new(view: &ClockView) -> ClockReport {
        let line = view.longest();
        let ppm = |line: &Line| view.stated.then(|| line.ppm());
        ClockReport {
            drift_ppm: line.and_then(ppm),
            drift_error_ppm: line.filter(|_| view.stated).map(|line| line.error_ppm),
            ticks_hz: line.map(|line| 1e9 / (view.tick * line.slope)),
            delay_p50_ns: line.map(|line| line.p50),
            delay_p99_ns: line.map(|line| line.p99),
            delay_max_ns: line.map(|line| line.max),
            restarts: view.restarts,
            jumps: view.jumps,
            wraps: view.wraps,
            runs: view
                .runs
                .iter()
                .map(|line| RunReport {
                    samples: line.samples,
                    from_ns: line.from,
                    to_ns: line.to,
                    drift_ppm: ppm(line),
                    delay_p50_ns: line.p50,
                    delay_p99_ns: line.p99,
                })
                .collect(),
        }
    }
}

impl BarsReport {
    fn new(bars: Bars) -> BarsReport {
        let (from_ns, to_ns) = (bars.from, bars.to);
        let (below, counts, above) = bars.into_counts();
        BarsReport { from_ns, to_ns, below, above, counts }
    }
}

impl OverTimeReport {
    fn new(mut envelope: Envelope, all: &Intervals) -> OverTimeReport {
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

impl WallClockReport {
    fn new(clock: WallClock) -> WallClockReport {
        WallClockReport {
            readings: clock.readings,
            drift_ppm: clock.drift_ppm(),
            kernel_error_ns: clock.error,
            unsynchronised: clock.unsynchronised,
            step_count: clock.steps.len() as u64 + clock.more_steps,
            largest_step_ns: clock.largest,
            steps: clock
                .steps
                .iter()
                .map(|step| StepReport {
                    ns: step.ns,
                    after_ns: step.after,
                    before_ns: step.before,
                })
                .collect(),
        }
    }
}
