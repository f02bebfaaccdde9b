//! Every metric there is: its name, what it means, and where its value comes from.
//!
//! framepipe-metrics(5) has the same as a table, and a test compares them.

use crate::exposition::{Family, Value};
use crate::figures::{
    ClockFigures, DamageFigures, LossFigures, RemoteFigures, SessionFigures,
    StageFigures, StreamFigures,
};

/// When a page is made, on both clocks, ns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instant {
    pub(crate) monotonic: i64,
    pub(crate) realtime: i64,
}

/// A family whose values are in rows of one kind. None where nothing is known.
pub(crate) type Column<R> = (Family, fn(&R, Instant) -> Option<Value>);

const fn counter<R>(
    name: &'static str,
    help: &'static str,
    value: fn(&R, Instant) -> Option<Value>,
) -> Column<R> {
    (Family::counter(name, help), value)
}

const fn gauge<R>(
    name: &'static str,
    help: &'static str,
    value: fn(&R, Instant) -> Option<Value>,
) -> Column<R> {
    (Family::gauge(name, help), value)
}

fn int(n: u64) -> Option<Value> {
    Some(Value::Int(n))
}

/// How long no samples may come until a stream's rate is 0, ns.
const SILENCE: i64 = 10_000_000_000;

/// Of streams, whatever their names.
pub(crate) const STREAM_COUNTS: &[Column<StreamFigures>] = &[
    counter(
        "framepipe_stream_samples",
        "Samples that came, each counted once.",
        |row, _| int(row.samples),
    ),
    counter("framepipe_stream_records", "DATA and BATCH records that came.", |row, _| {
        int(row.records)
    }),
    counter(
        "framepipe_stream_bytes",
        "Bytes of DATA and BATCH records that came, headers included.",
        |row, _| int(row.bytes),
    ),
    counter(
        "framepipe_stream_duplicate_samples",
        "Samples that came again.",
        |row, _| int(row.duplicates),
    ),
    counter(
        "framepipe_stream_reordered_samples",
        "Samples that came after later ones.",
        |row, _| int(row.reordered),
    ),
];

/// Of streams too; there from the first sample on, so that a first loss is a change.
pub(crate) const STREAM_MISSING: &[Column<StreamFigures>] = &[gauge(
    "framepipe_stream_missing_samples",
    "Samples that are missing: all that were lost, less those found again.",
    |row, _| int(row.missing),
)];

/// Of one stream.
pub(crate) const STREAM: &[Column<StreamFigures>] = &[
    counter(
        "framepipe_stream_descriptions",
        "Descriptions that came and were not the one before.",
        |row, _| int(row.descriptions),
    ),
    gauge("framepipe_stream_channels", "Numbers in the last dimension.", |row, _| {
        row.channels.map(Value::Int)
    }),
    gauge(
        "framepipe_stream_nominal_rate_hertz",
        "Samples a second as the device states it.",
        |row, _| row.nominal.map(Value::Float),
    ),
    gauge(
        "framepipe_stream_rate_hertz",
        "Samples a second by capture times over two seconds or more, missing ones counted; \
         0 after ten seconds without any.",
        |row, now| {
            let silent = row.arrived.is_some_and(|at| now.monotonic - at > SILENCE);
            if silent { Some(Value::Float(0.0)) } else { row.rate.map(Value::Float) }
        },
    ),
    gauge(
        "framepipe_stream_mean_rate_hertz",
        "Samples a second from the first to the last of the session, missing ones counted.",
        |row, _| row.mean_rate.map(Value::Float),
    ),
    gauge(
        "framepipe_stream_next_sequence",
        "The number that the next sample has.",
        |row, _| int(row.next),
    ),
    gauge(
        "framepipe_stream_last_sample_timestamp_seconds",
        "When the last sample was captured, since 1970, by the capturing host's wall clock.",
        |row, _| row.captured_realtime.map(Value::seconds),
    ),
    gauge(
        "framepipe_stream_last_sample_age_seconds",
        "How long ago the last sample was captured, when this was asked.",
        age,
    ),
];

fn age(row: &StreamFigures, now: Instant) -> Option<Value> {
    let since = |then: i64, now: i64| Value::seconds(now.saturating_sub(then));
    let here = row.captured.map(|then| since(then, now.monotonic));
    here.or(row.captured_realtime.map(|then| since(then, now.realtime)))
}

pub(crate) const STREAM_INFO: Family =
    Family::info("framepipe_stream", "What a stream is, and where it comes from.");

/// Of losses.
pub(crate) const LOSS: &[Column<LossFigures>] = &[
    counter(
        "framepipe_stream_lost_samples",
        "Samples found missing, by the stage that lost them and why; of the reasons upstream \
         and unknown the stage only noticed.",
        |row, _| int(row.samples),
    ),
    counter(
        "framepipe_stream_partial_samples",
        "Samples that came without some of their channels, by the same.",
        |row, _| int(row.partial),
    ),
    counter(
        "framepipe_stream_found_samples",
        "Samples counted as lost that came late after all, or that another stage owned up to.",
        |row, _| int(row.found),
    ),
    counter("framepipe_stream_gaps", "Places where samples are missing.", |row, _| {
        int(row.gaps)
    }),
    counter(
        "framepipe_stream_unknown_gaps",
        "Those of which it is not known how many are missing.",
        |row, _| int(row.unknown),
    ),
];

/// Of stages.
pub(crate) const STAGE: &[Column<StageFigures>] = &[
    counter(
        "framepipe_stage_input_samples",
        "Samples that a stage took in; at a source, that the device gave.",
        |row, _| int(row.input.samples),
    ),
    counter(
        "framepipe_stage_input_records",
        "Records that a stage took in.",
        |row, _| int(row.input.records),
    ),
    counter("framepipe_stage_input_bytes", "Bytes that a stage took in.", |row, _| {
        int(row.input.bytes)
    }),
    counter("framepipe_stage_output_samples", "Samples that a stage sent.", |row, _| {
        int(row.output.samples)
    }),
    counter("framepipe_stage_output_records", "Records that a stage sent.", |row, _| {
        int(row.output.records)
    }),
    counter("framepipe_stage_output_bytes", "Bytes that a stage sent.", |row, _| {
        int(row.output.bytes)
    }),
    counter(
        "framepipe_stage_dropped_samples",
        "Samples that a stage found missing in its input, or dropped itself.",
        |row, _| int(row.dropped),
    ),
    counter("framepipe_stage_reports", "STATS that came of a stage.", |row, _| {
        int(row.reports)
    }),
    gauge(
        "framepipe_stage_queue_bytes",
        "The deepest a stage's queue was in its last report, which is of a second.",
        |row, _| int(row.queue),
    ),
    gauge(
        "framepipe_stage_queue_limit_bytes",
        "How much may wait in a stage's queue, if it has one.",
        |row, _| row.queue_limit.map(Value::Int),
    ),
    gauge("framepipe_stage_resident_memory_bytes", "A stage's memory.", |row, _| {
        int(row.rss)
    }),
    counter("framepipe_stage_cpu_seconds", "CPU time that a stage took.", |row, _| {
        Some(Value::Float(row.cpu as f64 / 1e9))
    }),
];

pub(crate) const STAGE_HOP: Family = Family::histogram(
    "framepipe_stage_hop_seconds",
    "Time from the stage before writing a record to this one reading it; at a source, from \
     capture to writing.",
);

pub(crate) const STAGE_AGE: Family = Family::histogram(
    "framepipe_stage_age_seconds",
    "Time from the capture of a record's first sample to this stage reading it; at a source, \
     to its writing.",
);

pub(crate) const STAGE_INFO: Family =
    Family::info("framepipe_stage", "A stage's version, host and command line.");

pub(crate) const EVENTS: Family =
    Family::counter("framepipe_events", "EVENT records that came, by their label.");

/// Of hosts' wall clocks.
pub(crate) const CLOCK: &[Column<ClockFigures>] = &[
    counter("framepipe_clock_readings", "Readings of the wall clock.", |row, _| {
        int(row.readings)
    }),
    gauge(
        "framepipe_clock_synchronised",
        "Whether the kernel says that something disciplines the wall clock.",
        |row, _| Some(Value::bool(row.error.is_some())),
    ),
    gauge(
        "framepipe_clock_error_seconds",
        "The kernel's bound on the wall clock's error, if it is synchronised.",
        |row, _| row.error.map(Value::seconds),
    ),
    gauge(
        "framepipe_clock_offset_seconds",
        "Wall clock minus CLOCK_MONOTONIC.",
        |row, _| Some(Value::seconds(row.offset)),
    ),
    gauge(
        "framepipe_clock_shift_seconds",
        "How far that offset moved since the session's first reading: drift, and steps.",
        |row, _| Some(Value::seconds(row.offset.wrapping_sub(row.first_offset))),
    ),
];

/// Of remote clocks.
pub(crate) const REMOTE: &[Column<RemoteFigures>] = &[
    gauge(
        "framepipe_stream_clock_offset_seconds",
        "A stream's own clock minus the session's CLOCK_MONOTONIC.",
        |row, _| row.offset.map(Value::seconds),
    ),
    gauge(
        "framepipe_stream_clock_round_trip_seconds",
        "Round trip of that measurement.",
        |row, _| row.round_trip.map(Value::seconds),
    ),
];

/// Of input that was no record.
pub(crate) const DAMAGE: &[Column<DamageFigures>] = &[
    counter(
        "framepipe_input_damaged_places",
        "Places in the input that could not be read, by cause.",
        |row, _| int(row.places),
    ),
    counter(
        "framepipe_input_damaged_bytes",
        "Bytes of the input that could not be read, by cause.",
        |row, _| int(row.bytes),
    ),
];

pub(crate) const SESSIONS_BEGUN: Family =
    Family::counter("framepipe_sessions_begun", "Sessions of which records came.");
pub(crate) const SESSIONS_ENDED: Family =
    Family::counter("framepipe_sessions_ended", "Sessions that ended as they should.");
pub(crate) const SESSIONS_BROKEN_OFF: Family = Family::counter(
    "framepipe_sessions_broken_off",
    "Sessions that stopped without END: a stage was killed, or failed.",
);
pub(crate) const SESSION_INFO: Family =
    Family::info("framepipe_session", "A session that is open, or was the last.");

/// Of sessions that are open, or were the last.
pub(crate) const SESSION: &[Column<SessionFigures>] = &[
    gauge("framepipe_session_open", "Whether its END is still to come.", |row, _| {
        Some(Value::bool(row.is_open))
    }),
    gauge(
        "framepipe_session_start_timestamp_seconds",
        "When it began, since 1970.",
        |row, _| row.start.map(Value::seconds),
    ),
];

pub(crate) const INPUT_OVER: Family =
    Family::gauge("framepipe_input_over", "Whether the pipe has ended.");
pub(crate) const LIMIT_REACHED: Family = Family::gauge(
    "framepipe_label_limit_reached",
    "Whether there were more names of a kind than are told apart; the rest is _other.",
);
pub(crate) const BUILD_INFO: Family =
    Family::info("framepipe_build", "The version of to-metrics.");

pub(crate) const REQUESTS: Family =
    Family::counter("framepipe_exporter_requests", "HTTP requests, by status.");
pub(crate) const CONNECTIONS: Family =
    Family::gauge("framepipe_exporter_connections", "HTTP clients that are connected.");
pub(crate) const EVICTIONS: Family = Family::counter(
    "framepipe_exporter_evicted_connections",
    "HTTP clients closed because they were silent or too slow.",
);
pub(crate) const RENDER: Family = Family::gauge(
    "framepipe_exporter_render_seconds",
    "How long it took to write the page before this one.",
);
