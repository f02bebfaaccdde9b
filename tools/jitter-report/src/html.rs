//! The report as one HTML page that needs nothing else: no script, no font, no address.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use libframe::losses::{LedgerReport, SessionLoss};
use libframe::stages::StageReport;
use libframe::tool::{Need, Usage};

use crate::clocks::ClockReport;
use crate::report::{FileReport, PlacedGap, SessionReport, StreamReport};
use crate::svg;
use crate::text::{how_it_ended, ledger_sums, place, rates, stamp, wall_clock};
use crate::units::{count, digits, duration, percent, plural, size};
use crate::verdict::{Finding, Verdict};

/// How a page begins, by which one of ours is known again.
const MARK: &str = "<!DOCTYPE html>\n<!-- framepipe jitter-report -->\n";
/// Rows of a table of gaps; the JSON form has more.
const MAX_ROWS: usize = 100;

/// Refuses to write over a file that is not a report of ours.
pub(crate) fn check(path: &Path) -> Result<()> {
    let mut start = Vec::new();
    match File::open(path) {
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(err) => return Err(err).with_context(|| path.display().to_string()),
        // A pipe or a device is not written over.
        Ok(file) if !file.metadata()?.is_file() => return Ok(()),
        Ok(file) => file.take(MARK.len() as u64).read_to_end(&mut start)?,
    };
    if start.is_empty() || start == MARK.as_bytes() {
        return Ok(());
    }
    let path = path.display();
    let hint =
        format!("{path}: no report of jitter-report; remove it or name another file");
    Err(Usage(hint).into())
}

/// What must be there for the page to be written.
pub(crate) fn need(path: &Path) -> Need {
    let need = Need::new_file(path, true);
    match check(path) {
        Err(err) => Need { problem: Some(format!("{err:#}")), ..need },
        Ok(()) => need,
    }
}

/// Puts the page in its place at once, so that nobody sees half of it, and last night's is
/// there until this one is.
pub(crate) fn write(path: &Path, reports: &[FileReport]) -> Result<()> {
    check(path)?;
    let page = page(reports);
    let name = || path.display().to_string();
    let special = fs::metadata(path).is_ok_and(|data| !data.is_file());
    if special {
        let mut file = File::options().write(true).open(path).with_context(name)?;
        return file.write_all(page.as_bytes()).with_context(name);
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{file}.{}", std::process::id()));
    let written = fs::write(&draft, page).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        drop(fs::remove_file(&draft));
    }
    written.with_context(name)
}

/// Text as it stands in HTML and in SVG.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // No document may hold these, in whatever form.
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

fn page(reports: &[FileReport]) -> String {
    let worst = reports.iter().map(|report| report.verdict).max().unwrap_or_default();
    let mut page = String::from(MARK);
    page += "<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
    page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
    page += &format!("<title>{}: {}</title>\n", worst.name(), escape(&title(reports)));
    page += &format!("<style>\n{}</style>\n</head>\n<body>\n", include_str!("page.css"));
    reports.iter().for_each(|report| add_file(report, &mut page));
    page += "</body>\n</html>\n";
    page
}

fn title(reports: &[FileReport]) -> String {
    let mut names =
        reports.iter().map(|report| report.file.as_deref().unwrap_or("stdin"));
    match (names.next(), names.count()) {
        (Some(name), 0) => name.into(),
        (Some(name), more) => format!("{name} and {more} more"),
        (None, _) => "no recording".into(),
    }
}

fn badge(verdict: Verdict) -> String {
    let name = verdict.name();
    format!("<span class=\"verdict {name}\">{name}</span>")
}

fn add_file(report: &FileReport, page: &mut String) {
    let name = escape(report.file.as_deref().unwrap_or("stdin"));
    *page += &format!("<h1>{name} {}</h1>\n", badge(report.verdict));
    let input = &report.input;
    if input.damaged_places > 0 {
        let (places, bytes) =
            (plural(input.damaged_places, "place"), count(input.damaged_bytes));
        *page +=
            &format!("<p>Input damaged in {places}, {bytes} bytes unreadable.</p>\n");
    }
    report.sessions.iter().for_each(|session| add_session(session, page));
    if report.more_sessions > 0 {
        *page +=
            &format!("<p>And {}.</p>\n", plural(report.more_sessions, "more session"));
    }
}

fn add_session(session: &SessionReport, page: &mut String) {
    let host = escape(session.host.as_deref().unwrap_or("an unknown host"));
    *page += &format!("<h2>Session {} on {host}</h2>\n", session.session);
    let began = session.start_realtime_ns.map(|at| format!("Began {}, ", stamp(at)));
    let (began, ended) = (began.unwrap_or_default(), escape(&how_it_ended(session)));
    let length = duration(session.seconds * 1e9);
    *page += &format!("<p class=\"faint\">{began}{length}, {ended}.</p>\n");
    add_findings(&session.findings, page);
    add_ledger(&session.ledger, page);
    for stream in &session.streams {
        add_stream(stream, session, page);
    }
    if session.more_streams > 0 {
        *page +=
            &format!("<p>And {}.</p>\n", plural(session.more_streams, "more stream"));
    }
    add_stages(session, page);
}

fn add_ledger(ledger: &LedgerReport, page: &mut String) {
    *page += "<section>\n<h3>Ledger</h3>\n";
    *page += &format!("<p>{}.</p>\n", ledger_sums(ledger));
    let row = |entry: &SessionLoss| {
        vec![
            entry.loss.size(count),
            count(entry.loss.places),
            entry.loss.who(),
            entry.streams.join(", "),
            entry.evidence().unwrap_or_default(),
        ]
    };
    if !ledger.losses.is_empty() {
        let rows: Vec<_> = ledger.losses.iter().map(row).collect();
        add_table(&["missing", "gaps", "who", "streams", "where"], &rows, page);
    }
    *page += "</section>\n";
}

fn add_findings(findings: &[Finding], page: &mut String) {
    if findings.is_empty() {
        return;
    }
    *page += "<ul>\n";
    for finding in findings {
        let (badge, text) = (badge(finding.verdict), escape(&finding.text));
        *page += &format!("<li>{badge} {text}</li>\n");
    }
    *page += "</ul>\n";
}

fn add_stream(stream: &StreamReport, session: &SessionReport, page: &mut String) {
    let (name, verdict) = (escape(&stream.name), badge(stream.verdict));
    *page += &format!("<section>\n<h3>{name} {verdict}</h3>\n");
    let (n, time) = (plural(stream.samples, "sample"), duration(stream.seconds * 1e9));
    *page += &format!("<p>{n} in {time}, {}</p>\n", escape(&rates(stream)));
    add_findings(&stream.findings, page);
    add_pairs(&figures(stream), page);
    *page += "<div class=\"charts\">\n";
    if let Some(bars) = &stream.histogram {
        let outside = bars.below + bars.above;
        let more = match outside {
            0 => String::new(),
            n => format!("; {} outside", count(n)),
        };
        let caption = format!("Intervals; counts tenfold from line to line{more}");
        add_figure(&caption, &svg::histogram(bars), page);
    }
    if let Some(over_time) = &stream.over_time {
        let middle = if over_time.median_ns.iter().any(Option::is_some) {
            "median"
        } else {
            "mean"
        };
        let caption = format!("Intervals over time: shortest to longest, {middle}");
        add_figure(&caption, &svg::over_time(over_time, stream), page);
    }
    if stream.seconds > 0.0 {
        add_figure("Gaps over time", &svg::gaps(stream, session), page);
    }
    *page += "</div>\n";
    add_gaps(stream, page);
    add_longest(stream, page);
    *page += "</section>\n";
}

fn add_figure(caption: &str, drawing: &str, page: &mut String) {
    let caption = escape(caption);
    *page += &format!("<figure><figcaption>{caption}</figcaption>{drawing}</figure>\n");
}

fn add_pairs(pairs: &[(&str, String)], page: &mut String) {
    *page += "<dl class=\"pairs\">\n";
    for (name, value) in pairs {
        let value = escape(value);
        *page += &format!("<div><dt>{name}</dt><dd>{value}</dd></div>\n");
    }
    *page += "</dl>\n";
}

/// The figures of a stream, as they stand in its table.
fn figures(stream: &StreamReport) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    if let Some(intervals) = &stream.intervals {
        all.extend([
            ("mean interval", duration(intervals.mean_ns)),
            ("standard deviation", duration(intervals.deviation_ns)),
            ("min", duration(intervals.min_ns as f64)),
            ("p50", duration(intervals.p50_ns)),
            ("p95", duration(intervals.p95_ns)),
            ("p99", duration(intervals.p99_ns)),
            ("p99.9", duration(intervals.p99_9_ns)),
            ("max", duration(intervals.max_ns as f64)),
            ("jitter by RFC 3550", duration(intervals.rfc3550_ns)),
            ("its highest", duration(intervals.rfc3550_max_ns)),
        ]);
        if !intervals.exact {
            all.push(("percentiles are exact to", percent(intervals.percentile_error)));
        }
    }
    all.push(("lost", count(stream.lost)));
    all.push(("gaps", count(stream.gaps.len() as u64 + stream.more_gaps)));
    all.push(("came twice", count(stream.duplicates)));
    all.push(("came late", count(stream.reordered)));
    let bursts = &stream.bursts;
    all.push(("bursts", count(bursts.count)));
    if bursts.count > 0 {
        let below = duration(bursts.below_ns as f64);
        all.push((
            "samples in bursts",
            format!("{} ({})", count(bursts.samples), percent(bursts.share)),
        ));
        all.push((
            "longest burst",
            format!("{}, below {below} apart", count(bursts.longest_samples)),
        ));
    }
    if let Some(clock) = &stream.device_clock {
        add_clock(clock, &mut all);
    }
    all
}

fn add_clock(clock: &ClockReport, all: &mut Vec<(&'static str, String)>) {
    if let (Some(ppm), Some(error)) = (clock.drift_ppm, clock.drift_error_ppm) {
        all.push(("device clock", format!("{ppm:+.3} ppm, to {} ppm", digits(error))));
    } else if let Some(hz) = clock.ticks_hz {
        all.push(("device clock", format!("{hz:.3} ticks/s")));
    }
    if let (Some(p50), Some(p99)) = (clock.delay_p50_ns, clock.delay_p99_ns) {
        all.push(("delay over the least, p50", duration(p50)));
        all.push(("delay over the least, p99", duration(p99)));
    }
    let happened = [
        ("device clock restarts", clock.restarts),
        ("device clock jumps", clock.jumps),
        ("device clock wraps", clock.wraps),
    ];
    let happened = happened.into_iter().filter(|(_, n)| *n > 0);
    all.extend(happened.map(|(name, n)| (name, count(n))));
}

/// A table whose cells name their column, for screens too narrow for columns.
fn add_table(columns: &[&str], rows: &[Vec<String>], page: &mut String) {
    *page += "<table>\n<thead><tr>";
    for column in columns {
        *page += &format!("<th scope=\"col\">{column}</th>");
    }
    *page += "</tr></thead>\n<tbody>\n";
    for row in rows {
        *page += "<tr>";
        for (column, cell) in columns.iter().zip(row) {
            *page += &format!("<td data-label=\"{column}\">{}</td>", escape(cell));
        }
        *page += "</tr>\n";
    }
    *page += "</tbody>\n</table>\n";
}

fn add_gaps(stream: &StreamReport, page: &mut String) {
    if stream.gaps.is_empty() {
        return;
    }
    let row = |placed: &PlacedGap| {
        let gap = &placed.gap;
        vec![
            count(gap.first_sample),
            gap.size(count),
            place(placed.at_seconds),
            gap.reason.into(),
            gap.stage.clone(),
            gap.detail.clone(),
        ]
    };
    let rows: Vec<_> = stream.gaps.iter().take(MAX_ROWS).map(row).collect();
    let all = stream.gaps.len() as u64 + stream.more_gaps;
    let shown = match all - rows.len() as u64 {
        0 => String::new(),
        more => format!(", {} of them not shown", count(more)),
    };
    *page += &format!("<details><summary>{}{shown}</summary>\n", plural(all, "gap"));
    let columns = ["first sample", "lost", "at", "reason", "by", "detail"];
    add_table(&columns, &rows, page);
    *page += "</details>\n";
}

fn add_longest(stream: &StreamReport, page: &mut String) {
    if stream.longest.is_empty() {
        return;
    }
    let row = |longest: &crate::figures::LongestReport| {
        let ns = duration(longest.ns as f64);
        vec![ns, count(longest.before_sample), place(longest.at_seconds)]
    };
    let rows: Vec<_> = stream.longest.iter().map(row).collect();
    *page += "<details><summary>Longest intervals</summary>\n";
    add_table(&["interval", "until sample", "at"], &rows, page);
    *page += "</details>\n";
}

fn add_stages(session: &SessionReport, page: &mut String) {
    *page += "<section>\n<h3>Stages and clocks</h3>\n";
    if session.clock.readings > 0 {
        *page += &format!("<p>Wall clock: {}.</p>\n", wall_clock(&session.clock));
    }
    for clock in &session.remote_clocks {
        *page += &format!("<p>{}.</p>\n", escape(&clock.words()));
    }
    if !session.hops.is_empty() {
        *page += "<div class=\"charts\">\n";
        let caption = "From capture through the stages: usual time, and that of 99 %";
        add_figure(caption, &svg::waterfall(&session.waterfall), page);
        let caption = "Latency from the stage before, tenfold from mark to mark";
        add_figure(caption, &svg::latencies(&session.hops), page);
        *page += "</div>\n";
        let rows: Vec<_> = session.hops.iter().map(stage_row).collect();
        let columns =
            ["stage", "in", "out", "dropped", "p50", "p99", "queue", "memory", "CPU"];
        add_table(&columns, &rows, page);
    }
    for stage in &session.stages {
        let (name, version) = (escape(&stage.name), escape(&stage.version));
        let (host, line) = (escape(&stage.host), escape(&stage.command.join(" ")));
        *page += &format!("<p>{name} {version} on {host}: <code>{line}</code></p>\n");
    }
    let meta: Vec<_> = session
        .meta
        .iter()
        .map(|(key, value)| vec![key.clone(), value.clone()])
        .collect();
    if !meta.is_empty() {
        add_table(&["meta", "value"], &meta, page);
    }
    *page += "</section>\n";
}

fn stage_row(hop: &StageReport) -> Vec<String> {
    let latency = |ns: Option<u64>| ns.map_or("-".into(), |ns| duration(ns as f64));
    vec![
        hop.stage.clone(),
        count(hop.samples_in),
        count(hop.samples_out),
        count(hop.dropped),
        latency(hop.latency_p50_ns),
        latency(hop.latency_p99_ns),
        size(hop.deepest_queue_bytes),
        size(hop.rss_bytes),
        hop.cpu_share.map_or("-".into(), percent),
    ]
}
