//! What is told of a recording. The names here are the keys of the JSON form, which other
//! programs rely on: keys are added, never renamed. Times are ns of the capturing host's
//! CLOCK_MONOTONIC, durations ns, shares of 1.

use std::collections::BTreeMap;

use libframe::losses::{GapReport, LedgerReport, LossReport};
use libframe::payload::Stage;
use libframe::schema::Device;
use libframe::stages::StageReport;
use serde::Serialize;

use crate::clocks::{ClockReport, WallClockReport};
use crate::figures::{
    BarsReport, BurstReport, IntervalReport, LongestReport, OverTimeReport,
};
use crate::limits::Limits;
use crate::remote_clock::RemoteClockReport;
use crate::session::SessionView;
use crate::stream::{Place, StreamView};
use crate::verdict::{self, Finding, Verdict};
use crate::waterfall::{self, Step};

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
    /// Clocks of other hosts, by stream.
    pub(crate) remote_clocks: Vec<RemoteClockReport>,
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
    /// The stream's clock minus the session's, if it is another.
    pub(crate) clock_offset_ns: Option<i64>,
    pub(crate) last_time_ns: Option<i64>,
    pub(crate) seconds: f64,
    /// Without those that came twice.
    pub(crate) samples: u64,
    pub(crate) first_sample: Option<u64>,
    pub(crate) lost: u64,
    pub(crate) unknown_gaps: u64,
    /// Samples that came without some of their channels.
    pub(crate) partial: u64,
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
        let remote_clocks = view.remote_clocks.iter().filter_map(|(number, clock)| {
            clock.report(&view.streams.get(number)?.name(*number))
        });
        let remote_clocks = remote_clocks.collect();
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
            remote_clocks,
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

    /// A capture time of a stream as ns since 1970.
    pub(crate) fn realtime(&self, stream: &StreamReport, time: i64) -> Option<i64> {
        let start = self.start_realtime_ns?.checked_sub(self.start_monotonic_ns?)?;
        time.checked_sub(stream.clock_offset_ns.unwrap_or(0))?.checked_add(start)
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
            clock_offset_ns: view.clock_offset,
            last_time_ns: came.then_some(last_time),
            seconds: if came { at(last_time) } else { 0.0 },
            samples: ledger.samples(),
            first_sample: ledger.first(),
            lost: ledger.lost(),
            unknown_gaps: ledger.unknown(),
            partial: ledger.partial(),
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
