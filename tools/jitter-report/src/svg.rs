//! The drawings of the HTML report, as SVG that stands in the page.
//!
//! Drawings are as narrow as a telephone and grow with the page, so that their letters are
//! never smaller than they are there. Colours come from the page's style sheet.

use std::fmt::Write as _;

use libframe::stages::StageReport;

use crate::axis::{Axis, clock};
use crate::figures::{BarsReport, OverTimeReport};
use crate::html::escape;
use crate::report::{SessionReport, StreamReport};
use crate::text::stamp;
use crate::units::{count, duration};
use crate::waterfall::{self, Step};

const WIDTH: f64 = 400.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 390.0;
const TOP: f64 = 8.0;
/// Parts of the time that show their figures under the pointer.
const COLUMNS: usize = 64;

/// A drawing that is being made.
struct Drawing {
    text: String,
    height: f64,
}

impl Drawing {
    fn new(height: f64, label: &str) -> Drawing {
        let mut text = String::new();
        let label = escape(label);
        let (role, size) = ("role=\"img\"", format!("0 0 {WIDTH} {height}"));
        push(
            &mut text,
            format_args!("<svg {role} viewBox=\"{size}\" aria-label=\"{label}\">"),
        );
        push(&mut text, format_args!("<title>{label}</title>"));
        Drawing { text, height }
    }

    fn bottom(&self) -> f64 {
        self.height - 22.0
    }

    fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        push(
            &mut self.text,
            format_args!(
                "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
            ),
        );
    }

    fn rect(&mut self, class: &str, at: (f64, f64), size: (f64, f64), title: &str) {
        let ((x, y), (w, h)) = (at, size);
        push(
            &mut self.text,
            format_args!(
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" \
                 height=\"{h:.1}\"><title>{}</title></rect>",
                escape(title)
            ),
        );
    }

    fn words(&mut self, class: &str, at: (f64, f64), words: &str) {
        let (x, y) = at;
        let words = escape(words);
        push(
            &mut self.text,
            format_args!(
                "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>"
            ),
        );
    }

    fn path(&mut self, class: &str, points: &str) {
        push(&mut self.text, format_args!("<path class=\"{class}\" d=\"{points}\"/>"));
    }

    fn finish(mut self) -> String {
        self.text.push_str("</svg>");
        self.text
    }

    /// A line across for each value of the upright axis, with its value.
    fn rows(&mut self, axis: &Axis, values: &[(f64, String)]) {
        for (value, label) in values {
            let y = axis.place(*value);
            self.line("grid", (LEFT, y), (RIGHT, y));
            self.words("end", (LEFT - 5.0, y + 4.0), label);
        }
    }

    /// The values below the drawing.
    fn columns(&mut self, axis: &Axis, values: &[(f64, String)]) {
        let bottom = self.bottom();
        self.line("axis", (LEFT, bottom), (RIGHT, bottom));
        for (value, label) in values {
            let x = axis.place(*value);
            self.line("axis", (x, bottom), (x, bottom + 3.0));
            // A label in the middle of its tick must not reach out of the drawing.
            let half = label.chars().count() as f64 * 3.0;
            let x = x.clamp(half + 2.0, WIDTH - half - 2.0);
            self.words("middle", (x, bottom + 15.0), label);
        }
    }
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    let written = text.write_fmt(what);
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

/// How many intervals were how long. Counts grow tenfold from line to line, so that the one
/// late sample of a night is seen as well.
pub(crate) fn histogram(bars: &BarsReport) -> String {
    let mut drawing = Drawing::new(200.0, "Histogram of the intervals between samples");
    let bottom = drawing.bottom();
    let most = bars.counts.iter().max().copied().unwrap_or(0).max(1) as f64;
    let decades = most.log10().floor() + 1.0;
    let upright = Axis { from: 0.0, to: decades + 0.3, start: bottom, end: TOP };
    // One stands above the axis, and nothing on it.
    let height = |n: f64| if n < 1.0 { 0.0 } else { n.log10() + 0.3 };
    let every = (decades / 5.0).ceil().max(1.0) as usize;
    let powers = (0..=decades as i32).step_by(every);
    let rows: Vec<_> = powers.map(|n| (f64::from(n) + 0.3, power_of_ten(n))).collect();
    let rows: Vec<_> = rows.into_iter().filter(|(at, _)| *at <= upright.to).collect();
    drawing.rows(&upright, &rows);
    let axis = Axis { from: bars.from_ns, to: bars.to_ns, start: LEFT, end: RIGHT };
    let step = (bars.to_ns - bars.from_ns) / bars.counts.len().max(1) as f64;
    for (at, n) in bars.counts.iter().enumerate().filter(|(_, n)| **n > 0) {
        let from = bars.from_ns + at as f64 * step;
        let (x, end) = (axis.place(from), axis.place(from + step));
        let y = upright.place(height(*n as f64));
        let title =
            format!("{} to {}: {}", duration(from), duration(from + step), count(*n));
        drawing.rect("bar", (x, y), ((end - x - 0.4).max(0.6), bottom - y), &title);
    }
    let ticks = axis.ticks(6).into_iter().map(|ns| (ns, duration(ns)));
    drawing.columns(&axis, &ticks.collect::<Vec<_>>());
    drawing.finish()
}

/// Shortest, usual and longest interval over time.
pub(crate) fn over_time(report: &OverTimeReport, stream: &StreamReport) -> String {
    let mut drawing = Drawing::new(200.0, "Intervals over time");
    let width = report.width_ns as f64 / 1e9;
    let time = Axis { from: 0.0, to: stream.seconds, start: LEFT, end: RIGHT };
    let highest = report.max_ns.iter().flatten().max().copied().unwrap_or(0) as f64;
    let lowest = report.min_ns.iter().flatten().min().copied().unwrap_or(0) as f64;
    // A steady stream is looked at closely; one with long waits from zero.
    let span = highest - lowest;
    let from = if span < lowest / 2.0 { lowest - span * 0.1 } else { lowest.min(0.0) };
    let bottom = drawing.bottom();
    let to = (highest + span * 0.05).max(from + 1.0);
    let upright = Axis { from, to, start: bottom, end: TOP };
    let rows = upright.ticks(4).into_iter().map(|ns| (ns, duration(ns)));
    drawing.rows(&upright, &rows.collect::<Vec<_>>());
    let middle = |at: usize| time.place((at as f64 + 0.5) * width);
    let usual =
        |at: usize| report.median_ns[at].map(|ns| ns as f64).or(report.mean_ns[at]);
    for run in runs(&report.max_ns) {
        let mut area = String::new();
        let upper = run.clone().map(|at| (at, &report.max_ns));
        let lower = run.clone().rev().map(|at| (at, &report.min_ns));
        for (at, values) in upper.chain(lower) {
            let verb = if area.is_empty() { 'M' } else { 'L' };
            let y = upright.place(values[at].unwrap_or_default() as f64);
            // A lone part has a width too.
            let x = if run.len() == 1 { middle(at) - 0.5 } else { middle(at) };
            push(&mut area, format_args!("{verb}{x:.1} {y:.1}"));
        }
        if run.len() == 1 {
            let (x, low) = (middle(run.start) + 0.5, report.min_ns[run.start]);
            let high = upright.place(report.max_ns[run.start].unwrap_or_default() as f64);
            let low = upright.place(low.unwrap_or_default() as f64);
            push(&mut area, format_args!("L{x:.1} {low:.1}L{x:.1} {high:.1}"));
        }
        drawing.path("area", &(area + "Z"));
        let mut curve = String::new();
        for at in run {
            let verb = if curve.is_empty() { 'M' } else { 'L' };
            let y = upright.place(usual(at).unwrap_or_default());
            push(&mut curve, format_args!("{verb}{:.1} {y:.1}", middle(at)));
        }
        drawing.path("curve", &curve);
    }
    let ticks = time.time_ticks(5).into_iter().map(|at| (at, clock(at)));
    drawing.columns(&time, &ticks.collect::<Vec<_>>());
    hover_columns(&mut drawing, report, &time, width);
    drawing.finish()
}

/// Parts in a row that have any interval.
fn runs(values: &[Option<i64>]) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, _) in values.iter().enumerate().filter(|(_, value)| value.is_some()) {
        match runs.last_mut() {
            Some(run) if run.end == at => run.end = at + 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

/// Strips that show the figures of their part under the pointer.
fn hover_columns(
    drawing: &mut Drawing,
    report: &OverTimeReport,
    time: &Axis,
    width: f64,
) {
    let per_strip = report.count.len().div_ceil(COLUMNS).max(1);
    for first in (0..report.count.len()).step_by(per_strip) {
        let part = first..(first + per_strip).min(report.count.len());
        let n: u64 = report.count[part.clone()].iter().sum();
        let (from, to) = (part.start as f64 * width, part.end as f64 * width);
        let mut title = format!("{} to {}: ", clock(from.round()), clock(to.round()));
        let least = report.min_ns[part.clone()].iter().flatten().min();
        let most = report.max_ns[part.clone()].iter().flatten().max();
        match (least, most) {
            (Some(least), Some(most)) => {
                let (least, most) = (duration(*least as f64), duration(*most as f64));
                title += &format!("{} intervals, {least} to {most}", count(n));
            }
            _ => title += "no sample",
        }
        let (x, end) = (time.place(from), time.place(to));
        let height = drawing.bottom() - TOP;
        drawing.rect("hover", (x, TOP), (end - x, height), &title);
    }
}

/// Where samples are missing, and where none came for long.
pub(crate) fn gaps(stream: &StreamReport, session: &SessionReport) -> String {
    let mut drawing = Drawing::new(78.0, "Gaps over time");
    let axis = Axis { from: 0.0, to: stream.seconds, start: LEFT, end: RIGHT };
    let start = stream.first_time_ns.unwrap_or_default();
    let when = |seconds: f64| {
        let time = start.saturating_add((seconds * 1e9) as i64);
        let at = crate::text::place(seconds);
        let wall = session.realtime(stream, time);
        wall.map_or(at.clone(), |time| format!("{at}, {}", stamp(time)))
    };
    let (upper, lower) = (TOP + 2.0, TOP + 26.0);
    drawing.words("end", (LEFT - 5.0, upper + 13.0), "lost");
    drawing.words("end", (LEFT - 5.0, lower + 13.0), "waits");
    for y in [upper + 9.0, lower + 9.0] {
        drawing.line("grid", (LEFT, y), (RIGHT, y));
    }
    for placed in &stream.gaps {
        let (gap, at_seconds) = (&placed.gap, placed.at_seconds);
        let from = axis.place(at_seconds);
        let seconds =
            gap.from_ns.zip(gap.to_ns).map_or(0, |(from, to)| to.saturating_sub(from));
        let to = axis.place(at_seconds + seconds as f64 / 1e9);
        let n = gap.size(count);
        let title = format!(
            "{n} lost from sample {} at {}: {}",
            count(gap.first_sample),
            when(at_seconds),
            gap.who()
        );
        drawing.rect("loss", (from, upper), ((to - from).max(1.5), 18.0), &title);
    }
    let usual = stream.intervals.as_ref().map_or(0.0, |intervals| intervals.usual_ns);
    for wait in stream.longest.iter().filter(|wait| wait.ns as f64 > usual * 2.0) {
        let length = wait.ns as f64 / 1e9;
        let from = axis.place(wait.at_seconds - length);
        let to = axis.place(wait.at_seconds);
        let (ns, sample) = (duration(wait.ns as f64), count(wait.before_sample));
        let title =
            format!("no sample for {ns}, until {sample} at {}", when(wait.at_seconds));
        drawing.rect("wait", (from, lower), ((to - from).max(1.5), 18.0), &title);
    }
    if stream.gaps.is_empty() {
        drawing.words("start", (LEFT + 5.0, upper + 6.0), "none");
    }
    let ticks = axis.time_ticks(5).into_iter().map(|at| (at, clock(at)));
    drawing.columns(&axis, &ticks.collect::<Vec<_>>());
    drawing.finish()
}

/// The way from capture through the stages: a bar for each step, which begins where the one
/// before ends, and a line to where 99 % are through.
pub(crate) fn waterfall(steps: &[Step]) -> String {
    const ROW: f64 = 34.0;
    const EDGE: f64 = 10.0;
    let height = TOP + ROW * steps.len() as f64 + 26.0;
    let mut drawing = Drawing::new(height, "Waterfall of delays from capture");
    let to = waterfall::reach(steps) as f64;
    let axis = Axis { from: 0.0, to, start: EDGE, end: RIGHT };
    for (row, step) in steps.iter().enumerate() {
        let top = TOP + ROW * row as f64;
        let words = step.words("→");
        let usual = duration(step.length() as f64);
        let late = step.p99_ns.map(|ns| duration(ns as f64));
        let after = late.clone().map(|late| format!(", 99 % within {late}"));
        drawing.words("start", (EDGE, top + 11.0), &format!("{words}: {usual}"));
        drawing.words("end", (RIGHT, top + 11.0), &late.unwrap_or_default());
        let (from, end) =
            (axis.place(step.from_ns as f64), axis.place(step.to_ns as f64));
        let middle = top + 21.0;
        if let Some(late) = step.p99_ns.map(|ns| axis.place(ns as f64)) {
            drawing.line("axis", (end, middle), (late, middle));
            drawing.line("axis", (late, middle - 4.0), (late, middle + 4.0));
        }
        let class = if step.step == "held" { "held" } else { "bar" };
        let begin = duration(step.from_ns as f64);
        let title =
            format!("{words}: {usual} from {begin} on{}", after.unwrap_or_default());
        drawing.rect(class, (from, top + 15.0), ((end - from).max(1.5), 12.0), &title);
    }
    let ticks = axis.ticks(4).into_iter().map(|ns| (ns, duration(ns)));
    drawing.columns(&axis, &ticks.collect::<Vec<_>>());
    drawing.finish()
}

/// How long records took to each stage, from one microsecond to the longest, tenfold from
/// line to line.
pub(crate) fn latencies(hops: &[StageReport]) -> String {
    const ROW: f64 = 34.0;
    let height = TOP + ROW * hops.len() as f64 + 26.0;
    let mut drawing = Drawing::new(height, "Latency of each stage");
    let edges = hops.iter().flat_map(|hop| hop.latency.iter().map(|(edge, _)| *edge));
    let longest = edges.max().unwrap_or(0).max(1_000_000) as f64;
    let axis = Axis { from: 3.0, to: longest.log10().ceil(), start: LEFT, end: RIGHT };
    for (row, hop) in hops.iter().enumerate() {
        let base = TOP + ROW * (row as f64 + 1.0);
        let most = hop.latency.iter().map(|(_, n)| *n).max().unwrap_or(0).max(1) as f64;
        drawing.line("grid", (LEFT, base), (RIGHT, base));
        let cut: String = hop.stage.chars().take(7).collect();
        let name = if cut.len() < hop.stage.len() { format!("{cut}…") } else { cut };
        drawing.words("end", (LEFT - 5.0, base - 4.0), &name);
        for (edge, n) in &hop.latency {
            let ns = (*edge).max(1) as f64;
            let (x, end) = (axis.place(ns.log10()), axis.place((ns * 1.125).log10()));
            let tall = (ROW - 8.0) * (*n as f64 / most);
            let title = format!("{}: {} from {}", hop.stage, count(*n), duration(ns));
            drawing.rect(
                "bar",
                (x, base - tall.max(1.0)),
                ((end - x).max(1.0), tall.max(1.0)),
                &title,
            );
        }
    }
    let powers = (3..=axis.to as i32).map(|n| (f64::from(n), short_power(n)));
    drawing.columns(&axis, &powers.collect::<Vec<_>>());
    drawing.finish()
}

/// `100`, `10 k`, `1 M`.
fn power_of_ten(power: i32) -> String {
    let (thousands, unit) = match power {
        0..3 => (0, ""),
        3..6 => (3, " k"),
        6..9 => (6, " M"),
        _ => (9, " G"),
    };
    format!("{}{unit}", 10u64.saturating_pow((power - thousands).max(0) as u32))
}

fn short_power(power: i32) -> String {
    duration(10f64.powi(power)).replace(' ', "\u{a0}")
}
