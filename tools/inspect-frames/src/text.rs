//! The report for people.

use std::io::{Result, Write};

use jiff::Timestamp;
use libframe::losses::LedgerReport;
use libframe::stages::StageReport;
use libframe::tool::Account;

use crate::damage::Damages;
use crate::report::{Report, StreamReport};

/// Gaps and places that are listed; the JSON form has more.
const MAX_LISTED: usize = 10;

pub(crate) fn write_session(
    report: &Report,
    again: bool,
    out: &mut impl Write,
) -> Result<()> {
    if again {
        writeln!(out)?;
    }
    let host = report.host.as_deref().unwrap_or("an unknown host");
    write!(out, "session {} on {host}", report.session)?;
    if let Some(start) = report.start {
        let stamp = Timestamp::from_nanosecond(i128::from(start)).unwrap_or_default();
        write!(out, ", began {stamp:.3}")?;
    }
    writeln!(out, ", {}, {}", seconds(report.seconds), how_it_ended(report))?;
    for (key, value) in &report.meta {
        writeln!(out, "  {key}: {value}")?;
    }
    for stage in &report.stages {
        writeln!(
            out,
            "  stage {} {}: {}",
            stage.name,
            stage.version,
            stage.command.join(" ")
        )?;
    }
    write_streams(report, out)?;
    write_ledger(&report.ledger, out)?;
    write_gaps(report, out)?;
    write_clock(report, out)?;
    write_hops(&report.hops, out)
}

fn how_it_ended(report: &Report) -> String {
    match (&report.broke_off, report.end.as_deref()) {
        (Some(stage), _) => format!("BROKEN OFF: no END after {stage}"),
        (None, Some("") | None) => "complete".into(),
        (None, Some(reason)) => format!("complete (ended by {reason})"),
    }
}

fn write_streams(report: &Report, out: &mut impl Write) -> Result<()> {
    let width =
        report.streams.iter().map(|stream| stream.name.len()).max().unwrap_or(0).max(6);
    writeln!(
        out,
        "\n  {:>3} {:width$} {:20} {:>12} {:>10} {:>10} {:>9}",
        "nr", "stream", "sample", "samples", "rate/s", "nominal", "lost"
    )?;
    for stream in &report.streams {
        let rate =
            |rate: Option<f64>| rate.map_or("-".into(), |rate| format!("{rate:.2}"));
        writeln!(
            out,
            "  {:>3} {:width$} {:20} {:>12} {:>10} {:>10} {:>9}",
            stream.number,
            stream.name,
            sample_form(stream),
            stream.samples,
            rate(stream.measured_rate),
            rate(stream.nominal_rate),
            stream.lost,
        )?;
        write_details(stream, out)?;
    }
    let (records, events) = (report.records, report.events);
    let bytes = report.bytes;
    writeln!(out, "  {records} records, {bytes} bytes, {events} events")
}

/// Whether all is accounted for, and who lost how much.
fn write_ledger(ledger: &LedgerReport, out: &mut impl Write) -> Result<()> {
    let LedgerReport { verdict, numbered, samples, lost, .. } = ledger;
    writeln!(
        out,
        "\n  ledger: {verdict}: {numbered} samples numbered, {samples} came, {lost} missing"
    )?;
    for entry in &ledger.losses {
        let (loss, streams) = (&entry.loss, entry.streams.join(", "));
        let (n, places, who) = (loss.size(plain), loss.places, loss.who());
        writeln!(out, "    {n} lost in {streams}, gaps: {places}, {who}")?;
        if let Some(evidence) = entry.evidence() {
            writeln!(out, "      {evidence}")?;
        }
    }
    if ledger.unknown > 0 {
        let n = ledger.unknown;
        writeln!(out, "    and an unknown number more, gaps: {n}")?;
    }
    if ledger.open_ended {
        writeln!(out, "    what may have come after the last sample is not known")?;
    }
    Ok(())
}

fn write_details(stream: &StreamReport, out: &mut impl Write) -> Result<()> {
    for loss in stream.losses.iter().filter(|loss| loss.is_open()) {
        let (samples, places, who) = (loss.size(plain), loss.places, loss.who());
        writeln!(out, "      {samples} lost, gaps: {places}, {who}")?;
    }
    for (count, what) in [
        (stream.unknown_gaps, "gaps of unknown size"),
        (stream.partial, "samples came without some of their channels"),
        (stream.duplicates, "samples came twice"),
        (stream.reordered, "samples came after later ones"),
        (stream.descriptions.saturating_sub(1), "changes of its description"),
    ] {
        if count > 0 {
            writeln!(out, "      {count} {what}")?;
        }
    }
    if let Some(first) = stream.first_seq.filter(|first| *first > 0) {
        writeln!(out, "      begins with sample {first}")?;
    }
    Ok(())
}

/// `u8 × 272`, `MJPG 480 × 640`, `bytes`.
fn sample_form(stream: &StreamReport) -> String {
    let shape: Vec<_> = stream.shape.iter().map(u32::to_string).collect();
    let of = match (stream.format.as_str(), stream.dtype) {
        ("", Some(dtype)) => dtype,
        ("", None) => stream.media,
        (format, _) => format,
    };
    if shape.is_empty() { of.into() } else { format!("{of} × {}", shape.join(" × ")) }
}

/// Numbers without marks between thousands.
fn plain(n: u64) -> String {
    n.to_string()
}

fn write_gaps(report: &Report, out: &mut impl Write) -> Result<()> {
    for entry in report.gaps.iter().take(MAX_LISTED) {
        let gap = &entry.gap;
        let stream = report.streams.iter().find(|stream| stream.number == entry.stream);
        let name = stream.map_or("?", |stream| stream.name.as_str());
        let (count, first, who) = (gap.size(plain), gap.first_sample, gap.who());
        write!(out, "  gap in {name}: {count} from sample {first}, {who}")?;
        match gap.detail.as_str() {
            "" => writeln!(out)?,
            detail => writeln!(out, " ({detail})")?,
        }
    }
    let more = report.gaps.len().saturating_sub(MAX_LISTED) as u64 + report.more_gaps;
    if more > 0 {
        writeln!(out, "  … and {more} more gaps")?;
    }
    Ok(())
}

fn write_clock(report: &Report, out: &mut impl Write) -> Result<()> {
    let clock = &report.clock;
    if clock.readings == 0 {
        return Ok(());
    }
    write!(out, "  wall clock: {} readings", clock.readings)?;
    if let Some(drift) = clock.drift_ppm {
        write!(out, ", {drift:+.3} ppm against the monotonic clock")?;
    }
    if clock.largest_step.unsigned_abs() > 1_000_000 {
        write!(out, ", STEPPED by {}", seconds(clock.largest_step as f64 / 1e9))?;
    }
    match clock.kernel_error {
        Some(error) => {
            writeln!(out, ", within {} by the kernel's word", micros(error as u64))
        }
        None => writeln!(out, ", not synchronised"),
    }
}

fn write_hops(hops: &[StageReport], out: &mut impl Write) -> Result<()> {
    if hops.is_empty() {
        return Ok(());
    }
    let width = hops.iter().map(|hop| hop.stage.len()).max().unwrap_or(0).max(5);
    writeln!(
        out,
        "\n  {:width$} {:>12} {:>12} {:>9} {:>10} {:>10} {:>10} {:>9}",
        "stage", "samples in", "out", "dropped", "hop p50", "hop p99", "queue", "memory"
    )?;
    for hop in hops {
        let latency = |ns: Option<u64>| ns.map_or("-".into(), micros);
        writeln!(
            out,
            "  {:width$} {:>12} {:>12} {:>9} {:>10} {:>10} {:>10} {:>6} kB",
            hop.stage,
            hop.samples_in,
            hop.samples_out,
            hop.dropped,
            latency(hop.latency_p50_ns),
            latency(hop.latency_p99_ns),
            hop.deepest_queue_bytes,
            hop.rss_bytes / 1000,
        )?;
    }
    Ok(())
}

pub(crate) fn write_damage(
    damages: &Damages,
    account: &Account,
    out: &mut impl Write,
) -> Result<()> {
    let (places, bytes) = account.damaged();
    if places > 0 {
        writeln!(out, "\ninput damaged, places: {places}, bytes: {bytes}")?;
    }
    for place in damages.places.iter().take(MAX_LISTED) {
        let (offset, bytes, cause) = (place.offset, place.bytes, place.cause);
        writeln!(out, "  {bytes} bytes at byte {offset}: {cause}")?;
    }
    if places > MAX_LISTED as u64 {
        writeln!(out, "  … and {} more", places - MAX_LISTED as u64)?;
    }
    match account.late_bytes() {
        0 => Ok(()),
        late => {
            writeln!(out, "joined in the middle: {late} bytes before the first record")
        }
    }
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.3} s")
}

fn micros(ns: u64) -> String {
    match ns {
        0..1_000_000 => format!("{:.1} us", ns as f64 / 1e3),
        _ => format!("{:.2} ms", ns as f64 / 1e6),
    }
}
