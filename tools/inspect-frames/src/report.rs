//! What is told of a session: the names here are the keys of the JSON form.

use std::collections::BTreeMap;

use libframe::losses::{GapReport, LedgerReport, LossReport};
use libframe::payload::Stage;
use libframe::schema::{Device, Stream};
use libframe::stages::StageReport;
use libframe::tool::{Account, Ended};
use serde::Serialize;
use serde_json::{Value, json};

use crate::damage::Damages;
use crate::session::{SessionView, StreamView};

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) session: String,
    pub(crate) uuid: Option<String>,
    pub(crate) host: Option<String>,
    /// ns since 1970.
    pub(crate) start: Option<i64>,
    pub(crate) seconds: f64,
    pub(crate) meta: BTreeMap<String, String>,
    pub(crate) stages: Vec<Stage>,
    /// Why it ended; null if it broke off.
    pub(crate) end: Option<String>,
    /// The stage that stopped without END.
    pub(crate) broke_off: Option<String>,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) events: u64,
    pub(crate) streams: Vec<StreamReport>,
    pub(crate) ledger: LedgerReport,
    pub(crate) gaps: Vec<StreamGap>,
    /// Gaps over those listed.
    pub(crate) more_gaps: u64,
    pub(crate) clock: ClockReport,
    pub(crate) hops: Vec<StageReport>,
}

#[derive(Debug, Serialize)]
pub(crate) struct StreamReport {
    pub(crate) number: u16,
    pub(crate) name: String,
    pub(crate) media: &'static str,
    pub(crate) dtype: Option<&'static str>,
    pub(crate) shape: Vec<u32>,
    pub(crate) format: String,
    pub(crate) device: Device,
    pub(crate) nominal_rate: Option<f64>,
    /// With lost samples counted, since they took their time too.
    pub(crate) measured_rate: Option<f64>,
    pub(crate) samples: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) first_seq: Option<u64>,
    pub(crate) next_seq: u64,
    pub(crate) seconds: f64,
    pub(crate) lost: u64,
    pub(crate) losses: Vec<LossReport>,
    pub(crate) unknown_gaps: u64,
    /// Samples that came without some of their channels.
    pub(crate) partial: u64,
    pub(crate) duplicates: u64,
    pub(crate) reordered: u64,
    pub(crate) descriptions: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct StreamGap {
    pub(crate) stream: u16,
    #[serde(flatten)]
    pub(crate) gap: GapReport,
}

#[derive(Debug, Serialize)]
pub(crate) struct ClockReport {
    pub(crate) readings: u64,
    pub(crate) drift_ppm: Option<f64>,
    /// The largest jump of the wall clock between two readings, ns.
    pub(crate) largest_step: i64,
    pub(crate) kernel_error: Option<i64>,
}

impl Report {
    pub(crate) fn new(view: SessionView, ended: &Ended<'_>) -> Report {
        let session = view.session.unwrap_or_default();
        let known = !session.uuid.is_empty();
        let streams = streams(&view.streams, ended);
        let seconds = streams.iter().map(|stream| stream.seconds).fold(0.0, f64::max);
        let broke_off = ended.broke_off.map(str::to_owned).or(view.broke_off);
        let hops = view.stages.reports();
        let ledgers = ended.ledger.streams().filter(|(number, _)| *number != 0);
        let name = |number| ended.catalog.name(ended.session, number);
        let named = ledgers.map(|(number, ledger)| (name(number), ledger));
        let ledger =
            LedgerReport::new(named, &session.stages, &hops, broke_off.is_some());
        Report {
            session: format!("{:08x}", ended.session),
            uuid: known.then_some(session.uuid),
            // Recordings in other formats may not say.
            host: Some(session.host).filter(|host| known && !host.is_empty()),
            start: Some(session.start_realtime).filter(|start| known && *start != 0),
            seconds,
            meta: session.meta,
            stages: session.stages,
            end: broke_off.is_none().then(|| ended.reason.to_owned()),
            broke_off,
            records: view.records,
            bytes: view.bytes,
            events: view.events,
            streams,
            ledger,
            gaps: view
                .gaps
                .iter()
                .map(|(stream, gap)| StreamGap {
                    stream: *stream,
                    gap: GapReport::new(gap),
                })
                .collect(),
            more_gaps: view.more_gaps,
            clock: ClockReport {
                readings: view.clock.readings,
                drift_ppm: view.clock.drift_ppm(),
                largest_step: view.clock.step,
                kernel_error: view.clock.error,
            },
            hops,
        }
    }
}

/// All streams of which anything came: samples, a description, or a gap.
fn streams(views: &BTreeMap<u16, StreamView>, ended: &Ended<'_>) -> Vec<StreamReport> {
    let ledgers = ended.ledger.streams().filter(|(number, _)| *number != 0);
    let empty = StreamView::default();
    let reports = ledgers.map(|(number, ledger)| {
        let view = views.get(&number).unwrap_or(&empty);
        let Stream { media, dtype, shape, format, device, rate, .. } =
            view.stream.clone();
        let span = view.times.map_or(0, |(first, last)| last.saturating_sub(first));
        StreamReport {
            number,
            name: ended.catalog.name(ended.session, number),
            media: media.name(),
            dtype: dtype.map(|dtype| dtype.name()),
            shape,
            format,
            device,
            nominal_rate: rate,
            measured_rate: view.measured_rate(ledger.samples() + ledger.lost()),
            samples: ledger.samples(),
            records: view.records,
            bytes: view.bytes,
            first_seq: ledger.first(),
            next_seq: ledger.next(),
            seconds: span as f64 / 1e9,
            lost: ledger.lost(),
            losses: LossReport::of_stream(ledger),
            unknown_gaps: ledger.unknown(),
            partial: ledger.partial(),
            duplicates: ledger.duplicates(),
            reordered: ledger.reordered(),
            descriptions: view.descriptions,
        }
    });
    reports.collect()
}

/// What is told of the input as a whole.
pub(crate) fn input(damages: &Damages, account: &Account) -> Value {
    let (places, bytes) = account.damaged();
    json!({
        "damaged_places": places,
        "damaged_bytes": bytes,
        "late_bytes": account.late_bytes(),
        "malformed_records": account.malformed(),
        "by_cause": damages.by_cause,
        "places": damages.places,
        "lost": account.lost(),
        "complaints": account.broken(),
    })
}
