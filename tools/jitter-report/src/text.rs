//! The report for people at a terminal, and for the mail that cron sends.

use std::io::{Result, Write};

use jiff::Timestamp;

use libframe::losses::LedgerReport;
use libframe::stages::StageReport;

use crate::clocks::{ClockReport, WallClockReport};
use crate::figures::{BarsReport, IntervalReport, OverTimeReport};
use crate::plot::Style;
use crate::report::{FileReport, SessionReport, StreamReport};
use crate::units::{count, digits, duration, percent, plural, size};
use crate::verdict::Finding;
use crate::waterfall::{self, Step};

/// Gaps and intervals that are listed; the other forms have more.
const MAX_LISTED: usize = 5;
/// Rows of a histogram.
const ROWS: usize = 16;

pub(crate) fn write(
    report: &FileReport,
    again: bool,
    style: &Style,
    out: &mut impl Write,
) -> Result<()> {
    if again {
        writeln!(out)?;
    }
    let name = report.file.as_deref().unwrap_or("stdin");
    writeln!(out, "{name}: {}", style.verdict(report.verdict))?;
    for session in &report.sessions {
        write_session(session, style, out)?;
    }
    if report.more_sessions > 0 {
        writeln!(out, "and {} more", plural(report.more_sessions, "session"))?;
    }
    let input = &report.input;
    if input.damaged_places > 0 {
        let (places, bytes) =
            (plural(input.damaged_places, "place"), input.damaged_bytes);
        writeln!(out, "\ninput damaged in {places}, {bytes} bytes unreadable")?;
    }
    Ok(())
}

/// The input in a line, for a log: its verdict, and what there is of each stream.
pub(crate) fn write_line(report: &FileReport, out: &mut impl Write) -> Result<()> {
    let name = report.file.as_deref().unwrap_or("stdin");
    write!(out, "{name}: {}", report.verdict.name())?;
    for stream in report.sessions.iter().flat_map(|session| &session.streams) {
        let (n, lost) = (plural(stream.samples, "sample"), count(stream.lost));
        let time = duration(stream.seconds * 1e9);
        write!(out, "; {} {n} in {time}, {}, {lost} lost", stream.name, rates(stream))?;
        let worst = stream.findings.iter().find(|f| f.verdict == stream.verdict);
        if let Some(finding) = worst {
            write!(out, " ({})", finding.text)?;
        }
    }
    let findings = report.sessions.iter().flat_map(|session| &session.findings);
    let complaints = report.input.complaints.iter().map(String::as_str);
    for text in findings.map(|finding| finding.text.as_str()).chain(complaints) {
        write!(out, "; {text}")?;
    }
    writeln!(out)
}

fn write_session(
    session: &SessionReport,
    style: &Style,
    out: &mut impl Write,
) -> Result<()> {
    let host = session.host.as_deref().unwrap_or("an unknown host");
    writeln!(out, "session {} on {host}", session.session)?;
    let began = session.start_realtime_ns.map(|at| format!("began {}, ", stamp(at)));
    writeln!(out, "  {}{}", began.unwrap_or_default(), how_it_ended(session))?;
    for (key, value) in &session.meta {
        writeln!(out, "  {key}: {value}")?;
    }
    for stage in &session.stages {
        let line = format!(
            "  stage {} {}: {}",
            stage.name,
            stage.version,
            stage.command.join(" ")
        );
        writeln!(out, "{}", style.cut(&line, style.width))?;
    }
    write_findings(&session.findings, style, out)?;
    write_ledger(&session.ledger, style, out)?;
    for stream in &session.streams {
        write_stream(stream, style, out)?;
    }
    if session.more_streams > 0 {
        writeln!(out, "\nand {}", plural(session.more_streams, "more stream"))?;
    }
    write_wall_clock(&session.clock, style, out)?;
    for clock in &session.remote_clocks {
        let lines = Style::fill(&clock.words(), style.width - 4);
        writeln!(out, "\n{}", lines.join("\n    "))?;
    }
    write_waterfall(&session.waterfall, style, out)?;
    write_hops(&session.hops, style, out)
}

/// Whether all is accounted for, and who lost how much.
fn write_ledger(
    ledger: &LedgerReport,
    style: &Style,
    out: &mut impl Write,
) -> Result<()> {
    writeln!(out, "  ledger: {}", ledger_sums(ledger))?;
    for entry in &ledger.losses {
        let (n, gaps) = (entry.loss.size(count), plural(entry.loss.places, "gap"));
        let (who, streams) = (entry.loss.who(), entry.streams.join(", "));
        let line = format!("    {n} in {gaps}: {who} ({streams})");
        writeln!(out, "{}", style.cut(&line, style.width))?;
        if let Some(evidence) = entry.evidence() {
            let lines = Style::fill(&evidence, style.width - 6);
            lines.iter().try_for_each(|line| writeln!(out, "      {line}"))?;
        }
    }
    Ok(())
}

/// `1 000 samples numbered, 980 came, 20 missing: 17 explained, 3 UNEXPLAINED`.
pub(crate) fn ledger_sums(ledger: &LedgerReport) -> String {
    let (numbered, came) = (plural(ledger.numbered, "sample"), count(ledger.samples));
    let mut text = format!("{numbered} numbered, {came} came");
    match (ledger.lost, ledger.unexplained) {
        (0, _) => text += ", none missing",
        (lost, 0) => text += &format!(", {} missing, all explained", count(lost)),
        (lost, n) => {
            text += &format!(", {} missing, {} UNEXPLAINED", count(lost), count(n))
        }
    }
    if ledger.unknown > 0 {
        text += &format!(", and {} of unknown size", plural(ledger.unknown, "gap"));
    }
    if ledger.partial > 0 {
        text += &format!(", {} without some channels", count(ledger.partial));
    }
    if ledger.open_ended {
        text += "; what may have come at the end is not known";
    }
    text
}

fn write_findings(
    findings: &[Finding],
    style: &Style,
    out: &mut impl Write,
) -> Result<()> {
    for finding in findings {
        let verdict = style.verdict(finding.verdict);
        let indent = 4 + finding.verdict.name().len();
        let mut lines = Style::fill(&finding.text, style.width - indent).into_iter();
        writeln!(out, "  {verdict}: {}", lines.next().unwrap_or_default())?;
        lines.try_for_each(|line| writeln!(out, "{:indent$}{line}", ""))?;
    }
    Ok(())
}

/// An instant of the wall clock, to the millisecond.
pub(crate) fn stamp(realtime: i64) -> String {
    let stamp = Timestamp::from_nanosecond(i128::from(realtime)).unwrap_or_default();
    format!("{stamp:.3}")
}

pub(crate) fn how_it_ended(session: &SessionReport) -> String {
    match (&session.broke_off, session.end.as_deref()) {
        (Some(stage), _) => format!("BROKEN OFF: no END after {stage}"),
        (None, Some("") | None) => "complete".into(),
        (None, Some(reason)) => format!("complete (ended by {reason})"),
    }
}

/// `217.000 Hz, stated 217 Hz`.
pub(crate) fn rates(stream: &StreamReport) -> String {
    let measured = stream.rate_hz.map(|hz| format!("{hz:.3} Hz"));
    let stated = stream.nominal_rate_hz.map(|hz| format!("stated {} Hz", digits(hz)));
    let both: Vec<_> = measured.into_iter().chain(stated).collect();
    if both.is_empty() { "no rate".into() } else { both.join(", ") }
}

fn write_stream(
    stream: &StreamReport,
    style: &Style,
    out: &mut impl Write,
) -> Result<()> {
    let (name, verdict) = (&stream.name, style.verdict(stream.verdict));
    let (n, time) = (plural(stream.samples, "sample"), duration(stream.seconds * 1e9));
    writeln!(out, "\n{name}: {verdict}, {n} in {time}, {}", rates(stream))?;
    write_findings(&stream.findings, style, out)?;
    if let Some(intervals) = &stream.intervals {
        write_intervals(intervals, out)?;
    }
    if let Some(bars) = &stream.histogram {
        write_bars(bars, style, out)?;
    }
    if let Some(over_time) = &stream.over_time {
        write_over_time(over_time, stream, style, out)?;
    }
    write_longest(stream, out)?;
    write_gaps(stream, style, out)?;
    write_bursts(stream, out)?;
    stream.device_clock.as_ref().map_or(Ok(()), |clock| write_device_clock(clock, out))
}

fn write_intervals(intervals: &IntervalReport, out: &mut impl Write) -> Result<()> {
    let ns = |ns: f64| duration(ns);
    let (mean, deviation) = (ns(intervals.mean_ns), ns(intervals.deviation_ns));
    writeln!(out, "  intervals: mean {mean}, standard deviation {deviation}")?;
    let (last, highest) = (ns(intervals.rfc3550_ns), ns(intervals.rfc3550_max_ns));
    writeln!(out, "  jitter by RFC 3550: {last} at the end, {highest} at most")?;
    let columns = [
        ("min", intervals.min_ns as f64),
        ("p50", intervals.p50_ns),
        ("p95", intervals.p95_ns),
        ("p99", intervals.p99_ns),
        ("p99.9", intervals.p99_9_ns),
        ("max", intervals.max_ns as f64),
    ];
    for (name, _) in columns {
        write!(out, "{name:>12}")?;
    }
    writeln!(out)?;
    for (_, value) in columns {
        write!(out, "{:>12}", ns(value))?;
    }
    writeln!(out)?;
    if !intervals.exact {
        let error = percent(intervals.percentile_error);
        writeln!(out, "  (more than --exact-limit: percentiles to {error})")?;
    }
    Ok(())
}

fn write_bars(bars: &BarsReport, style: &Style, out: &mut impl Write) -> Result<()> {
    let per_row = bars.counts.len().div_ceil(ROWS).max(1);
    let rows: Vec<u64> =
        bars.counts.chunks(per_row).map(|row| row.iter().sum()).collect();
    let width = (bars.to_ns - bars.from_ns) / bars.counts.len() as f64 * per_row as f64;
    let most = rows.iter().max().copied().unwrap_or(0).max(1);
    let counts = count(most).len().max(count(bars.below.max(bars.above)).len());
    let cells = style.width.saturating_sub(2 + 14 + 1 + counts + 2);
    writeln!(out)?;
    if bars.below > 0 {
        writeln!(out, "  {:>12}  {:>counts$}", "less", count(bars.below))?;
    }
    for (at, n) in rows.iter().enumerate() {
        let from = duration(bars.from_ns + at as f64 * width);
        let bar = style.bar(*n as f64 / most as f64, cells);
        let line = format!("  {from:>12}  {:>counts$} {bar}", count(*n));
        writeln!(out, "{}", line.trim_end())?;
    }
    if bars.above > 0 {
        writeln!(out, "  {:>12}  {:>counts$}", "more", count(bars.above))?;
    }
    Ok(())
}

fn write_over_time(
    over_time: &OverTimeReport,
    stream: &StreamReport,
    style: &Style,
    out: &mut impl Write,
) -> Result<()> {
    let cells = style.width - 4;
    // The part that the last sample is in reaches beyond it.
    let all = over_time.max_ns.len();
    let values: Vec<Option<f64>> = (0..cells.min(all))
        .map(|cell| {
            let n = cells.min(all);
            let (from, to) = (cell * all / n, (cell + 1) * all / n);
            let longest = over_time.max_ns[from..to].iter().flatten().max();
            longest.map(|ns| *ns as f64)
        })
        .collect();
    let highest = values.iter().flatten().fold(0.0, |a, b| f64::max(a, *b));
    // What is over the median is what is late.
    let lowest = stream.intervals.as_ref().map_or(0.0, |intervals| intervals.p50_ns);
    let length = duration(stream.seconds * 1e9);
    let (from, to) = (duration(lowest), duration(highest));
    writeln!(out, "\n  longest interval over {length}, from {from} to {to}:")?;
    writeln!(out, "  {}", style.sparkline(&values, lowest, highest).trim_end())
}

fn write_longest(stream: &StreamReport, out: &mut impl Write) -> Result<()> {
    let Some(intervals) = &stream.intervals else { return Ok(()) };
    // Those that are like all others are not worth a line.
    let long = |ns: i64| ns as f64 > intervals.usual_ns * 2.0;
    let longest = stream.longest.iter().filter(|longest| long(longest.ns));
    for longest in longest.take(MAX_LISTED) {
        let (ns, at) = (duration(longest.ns as f64), place(longest.at_seconds));
        let sample = count(longest.before_sample);
        writeln!(out, "  {ns} without a sample, until {sample} at {at}")?;
    }
    Ok(())
}

/// A time from the stream's first sample.
pub(crate) fn place(seconds: f64) -> String {
    format!("{seconds:.3} s")
}

fn write_gaps(stream: &StreamReport, style: &Style, out: &mut impl Write) -> Result<()> {
    for loss in stream.losses.iter().filter(|loss| loss.is_open()) {
        let (n, gaps) = (loss.size(count), plural(loss.places, "gap"));
        writeln!(out, "  {n} lost in {gaps}: {}", loss.who())?;
    }
    for placed in stream.gaps.iter().take(MAX_LISTED) {
        let gap = &placed.gap;
        let n = gap.size(count);
        let (first, at) = (count(gap.first_sample), place(placed.at_seconds));
        let detail = match gap.detail.as_str() {
            "" => String::new(),
            detail => format!(" ({detail})"),
        };
        let line = format!("    {n} from sample {first} at {at}, {}{detail}", gap.who());
        writeln!(out, "{}", style.cut(&line, style.width))?;
    }
    match stream.gaps.len().saturating_sub(MAX_LISTED) as u64 + stream.more_gaps {
        0 => Ok(()),
        more => writeln!(out, "    and {}", plural(more, "more gap")),
    }
}

fn write_bursts(stream: &StreamReport, out: &mut impl Write) -> Result<()> {
    let bursts = &stream.bursts;
    let (Some(first), Some(at)) =
        (bursts.longest_first_sample, bursts.longest_at_seconds)
    else {
        return Ok(());
    };
    writeln!(
        out,
        "  {} of less than {} between samples: {}, {} of all;",
        plural(bursts.count, "burst"),
        duration(bursts.below_ns as f64),
        plural(bursts.samples, "sample"),
        percent(bursts.share),
    )?;
    let (n, first, at) = (count(bursts.longest_samples), count(first), place(at));
    writeln!(out, "    the longest has {n} samples, from {first} at {at}")
}

fn write_device_clock(clock: &ClockReport, out: &mut impl Write) -> Result<()> {
    match (clock.drift_ppm, clock.drift_error_ppm, clock.ticks_hz) {
        (Some(ppm), Some(error), _) => {
            write!(
                out,
                "  device clock: {ppm:+.3} ppm against the host, to {} ppm",
                digits(error)
            )?;
        }
        (_, _, Some(hz)) => write!(out, "  device clock: {hz:.6} ticks/s")?,
        _ => write!(out, "  device clock: too little for a drift")?,
    }
    writeln!(out)?;
    if let (Some(p50), Some(p99)) = (clock.delay_p50_ns, clock.delay_p99_ns) {
        let (p50, p99) = (duration(p50), duration(p99));
        writeln!(out, "    delay over the least: p50 {p50}, p99 {p99}")?;
    }
    let happened =
        [(clock.restarts, "restart"), (clock.jumps, "jump"), (clock.wraps, "wrap")];
    let happened: Vec<_> = happened
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| plural(*n, what))
        .collect();
    if happened.is_empty() {
        Ok(())
    } else {
        writeln!(out, "    {}", happened.join(", "))
    }
}

/// What the wall clock did, in a line.
pub(crate) fn wall_clock(clock: &WallClockReport) -> String {
    let mut text = plural(clock.readings, "reading");
    if let Some(drift) = clock.drift_ppm {
        text += &format!(", {drift:+.3} ppm against the monotonic clock");
    }
    match clock.step_count {
        0 => text += ", never set",
        n => {
            let largest = duration(clock.largest_step_ns as f64);
            text += &format!(", SET {}, by up to {largest}", plural(n, "time"));
        }
    }
    match clock.kernel_error_ns {
        Some(error) => {
            text += &format!(", within {} by the kernel's word", duration(error as f64))
        }
        None => text += ", not synchronised",
    }
    text
}

fn write_wall_clock(
    clock: &WallClockReport,
    style: &Style,
    out: &mut impl Write,
) -> Result<()> {
    match clock.readings {
        0 => Ok(()),
        _ => {
            let lines = Style::fill(&wall_clock(clock), style.width - 12);
            writeln!(out, "\nwall clock: {}", lines.join("\n            "))
        }
    }
}

/// The way from capture as bars, each from where the one before ends: what is usual, and a
/// line to where 99 % are through.
fn write_waterfall(steps: &[Step], style: &Style, out: &mut impl Write) -> Result<()> {
    if steps.is_empty() {
        return Ok(());
    }
    let arrow = if style.unicode { "→" } else { "->" };
    let words: Vec<_> = steps.iter().map(|step| step.words(arrow)).collect();
    let longest = words.iter().map(|words| words.chars().count()).max().unwrap_or(0);
    let width = longest.clamp(12, 26);
    let cells = style.width - width - 3 - 3 * 10;
    let reach = waterfall::reach(steps);
    writeln!(
        out,
        "\n{:width$} {:cells$} {:>10} {:>9} {:>9}",
        "from capture", "", "p50", "p99", "max"
    )?;
    for (step, words) in steps.iter().zip(&words) {
        let place = |ns: u64| ns as f64 / reach as f64;
        let late = step.p99_ns.unwrap_or(step.to_ns);
        let bar = style.span(place(step.from_ns), place(step.to_ns), place(late), cells);
        let ns = |ns: Option<u64>| ns.map_or(String::new(), |ns| duration(ns as f64));
        let line = format!(
            "{:width$} {bar} {:>10} {:>9} {:>9}",
            style.cut(words, width),
            format!("+{}", duration(step.length() as f64)),
            ns(step.p99_ns),
            ns(step.max_ns),
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn write_hops(hops: &[StageReport], style: &Style, out: &mut impl Write) -> Result<()> {
    if hops.is_empty() {
        return Ok(());
    }
    let longest = hops.iter().map(|hop| hop.stage.chars().count()).max().unwrap_or(0);
    let width = longest.clamp(5, style.width - 66);
    writeln!(
        out,
        "\n{:width$} {:>11} {:>8} {:>9} {:>9} {:>9} {:>8} {:>5}",
        "stage", "samples", "dropped", "hop p50", "hop p99", "queue", "memory", "CPU"
    )?;
    for hop in hops {
        let latency = |ns: Option<u64>| ns.map_or("-".into(), |ns| duration(ns as f64));
        writeln!(
            out,
            "{:width$} {:>11} {:>8} {:>9} {:>9} {:>9} {:>8} {:>5}",
            style.cut(&hop.stage, width),
            hop.samples_in.max(hop.samples_out),
            hop.dropped,
            latency(hop.latency_p50_ns),
            latency(hop.latency_p99_ns),
            size(hop.deepest_queue_bytes),
            size(hop.rss_bytes),
            hop.cpu_share.map_or("-".into(), |share| format!("{:.1}%", share * 100.0)),
        )?;
    }
    Ok(())
}
