//! The text that Prometheus reads, in both of its dialects: its own of old (0.0.4), and
//! OpenMetrics 1.0. No I/O.
//!
//! They differ in the names of counters and infos in the lines about a family, in units,
//! and in how they end. Samples are the same in both, so that a series stays one whichever
//! is asked for.

use std::fmt::Write as _;

use libframe::histogram::{Histogram, lower_edge};

/// Octaves of ns between the first edge of a histogram, about a microsecond, and the last,
/// about a minute.
const OCTAVES: std::ops::RangeInclusive<usize> = 10..=36;
/// Buckets of an octave in a [`Histogram`].
const EIGHTHS: usize = 8;

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Text,
    OpenMetrics,
}

impl Dialect {
    /// What is said of a page's content.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Dialect::Text => "text/plain; version=0.0.4; charset=utf-8",
            Dialect::OpenMetrics => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
        }
    }
}

/// What the samples of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Counter,
    Gauge,
    Histogram,
    Info,
}

/// Samples of one name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    /// Without the ending that its type gives it.
    pub(crate) name: &'static str,
    pub(crate) kind: Type,
    pub(crate) help: &'static str,
}

impl Family {
    pub(crate) const fn counter(name: &'static str, help: &'static str) -> Family {
        Family { name, kind: Type::Counter, help }
    }

    pub(crate) const fn gauge(name: &'static str, help: &'static str) -> Family {
        Family { name, kind: Type::Gauge, help }
    }

    pub(crate) const fn histogram(name: &'static str, help: &'static str) -> Family {
        Family { name, kind: Type::Histogram, help }
    }

    pub(crate) const fn info(name: &'static str, help: &'static str) -> Family {
        Family { name, kind: Type::Info, help }
    }

    fn ending(&self) -> &'static str {
        match self.kind {
            Type::Counter => "_total",
            Type::Info => "_info",
            Type::Gauge | Type::Histogram => "",
        }
    }

    /// The unit that its name ends in.
    fn unit(&self) -> Option<&'static str> {
        let ends = |unit: &&&str| self.name.ends_with(&format!("_{unit}"));
        ["seconds", "bytes", "hertz"].iter().find(ends).copied()
    }
}

/// A sample's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    Int(u64),
    Float(f64),
}

impl Value {
    pub(crate) fn bool(value: bool) -> Value {
        Value::Int(u64::from(value))
    }

    /// Nanoseconds in seconds.
    pub(crate) fn seconds(ns: i64) -> Value {
        Value::Float(ns as f64 / 1e9)
    }
}

/// A page that is being written.
#[derive(Debug)]
pub(crate) struct Page {
    dialect: Dialect,
    /// Buckets of an octave in its histograms: 1, 2, 4 or 8.
    buckets: usize,
    family: Family,
    text: String,
}

impl Page {
    pub(crate) fn new(dialect: Dialect, buckets: usize, text: String) -> Page {
        Page { dialect, buckets, family: Family::gauge("", ""), text }
    }

    /// Begins a family. Its samples follow, and no others.
    pub(crate) fn begin(&mut self, family: &Family) {
        self.family = *family;
        let Family { name, kind, help } = *family;
        let (ending, word) = match (self.dialect, kind) {
            (Dialect::OpenMetrics, Type::Info) => ("", "info"),
            (Dialect::OpenMetrics, Type::Counter) => ("", "counter"),
            (_, Type::Counter) => ("_total", "counter"),
            (_, Type::Info) => ("_info", "gauge"),
            (_, Type::Gauge) => ("", "gauge"),
            (_, Type::Histogram) => ("", "histogram"),
        };
        self.line(format_args!("# HELP {name}{ending} {help}"));
        self.line(format_args!("# TYPE {name}{ending} {word}"));
        if let (Dialect::OpenMetrics, Some(unit)) = (self.dialect, family.unit()) {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
    }

    /// A sample of the family, with the text between its braces.
    pub(crate) fn sample(&mut self, labels: &str, value: Value) {
        let ending = self.family.ending();
        self.sample_of(ending, labels, value);
    }

    fn sample_of(&mut self, ending: &str, labels: &str, value: Value) {
        let name = self.family.name;
        let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
        match value {
            Value::Int(n) => {
                self.line(format_args!("{name}{ending}{open}{labels}{close} {n}"));
            }
            Value::Float(x) => {
                let x = number(x);
                self.line(format_args!("{name}{ending}{open}{labels}{close} {x}"));
            }
        }
    }

    /// A histogram of durations. Its edges are edges of the buckets that were counted, so
    /// the counts are exact; a duration of just an edge counts as longer. The sum is that of
    /// the buckets' middles.
    pub(crate) fn durations(&mut self, labels: &str, durations: &Histogram) {
        let pairs = durations.pairs();
        let mut rest = pairs.iter().peekable();
        let (mut below, mut sum) = (0u64, 0.0);
        let mut count = |pair: &(u16, u64)| {
            let bucket = usize::from(pair.0);
            let middle =
                (lower_edge(bucket) as f64 + lower_edge(bucket + 1) as f64) / 2.0;
            sum += middle * pair.1 as f64;
            pair.1
        };
        let step = EIGHTHS / self.buckets;
        for edge in edges(step) {
            while let Some(pair) = rest.next_if(|(bucket, _)| usize::from(*bucket) < edge)
            {
                below = below.saturating_add(count(pair));
            }
            let le = canonical(lower_edge(edge));
            self.sample_of(
                "_bucket",
                &format!("{labels},le=\"{le}\""),
                Value::Int(below),
            );
        }
        for pair in rest {
            below = below.saturating_add(count(pair));
        }
        self.sample_of("_bucket", &format!("{labels},le=\"+Inf\""), Value::Int(below));
        self.sample_of("_sum", labels, Value::Float(sum / 1e9));
        self.sample_of("_count", labels, Value::Int(below));
    }

    /// The page.
    pub(crate) fn finish(mut self) -> String {
        if self.dialect == Dialect::OpenMetrics {
            self.line(format_args!("# EOF"));
        }
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        self.text.write_fmt(line).unwrap_or_default();
        self.text.push('\n');
    }
}

/// The buckets whose lower edges are the edges of a histogram on a page.
fn edges(step: usize) -> impl Iterator<Item = usize> {
    // Bucket 8 begins at 8 ns, and each octave has eight.
    let bucket = |octave: usize| (octave - 2) * EIGHTHS;
    (bucket(*OCTAVES.start())..=bucket(*OCTAVES.end())).step_by(step)
}

/// A number as both dialects read it.
fn number(x: f64) -> String {
    match x {
        x if x.is_nan() => "NaN".into(),
        f64::INFINITY => "+Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        x => format!("{x}"),
    }
}

/// ns in seconds, as OpenMetrics wants edges to be written, which is how Go writes numbers:
/// `1.024e-06`, `0.001048576`, `1.0`.
fn canonical(ns: u64) -> String {
    let seconds = ns as f64 / 1e9;
    if seconds >= 1e-4 {
        return format!("{seconds:?}");
    }
    let text = format!("{seconds:e}");
    match text.split_once("e-") {
        Some((mantissa, exponent)) => format!("{mantissa}e-{exponent:0>2}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_written_as_go_writes_them() {
        assert_eq!(canonical(1 << 10), "1.024e-06");
        assert_eq!(canonical(1 << 16), "6.5536e-05");
        assert_eq!(canonical(1 << 17), "0.000131072");
        assert_eq!(canonical(1_000_000_000), "1.0");
        assert_eq!(canonical(1 << 36), "68.719476736");
    }

    fn histogram(ns: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        ns.iter().for_each(|ns| histogram.add(*ns));
        histogram
    }

    fn lines(buckets: usize, ns: &[u64]) -> Vec<String> {
        let mut page = Page::new(Dialect::Text, buckets, String::new());
        page.begin(&Family::histogram("x_seconds", "Help."));
        page.durations("a=\"b\"", &histogram(ns));
        page.finish().lines().skip(2).map(str::to_owned).collect()
    }

    #[test]
    fn counts_below_each_edge_are_exact() {
        let ns = [3, 900, 1023, 1024, 1535, 1536, 5000, 1 << 40];
        let lines = lines(2, &ns);
        assert_eq!(lines[0], "x_seconds_bucket{a=\"b\",le=\"1.024e-06\"} 3");
        assert_eq!(lines[1], "x_seconds_bucket{a=\"b\",le=\"1.536e-06\"} 5");
        assert_eq!(lines[2], "x_seconds_bucket{a=\"b\",le=\"2.048e-06\"} 6");
        let at = lines.iter().position(|line| line.contains("+Inf")).unwrap();
        assert!(lines[at - 1].ends_with("le=\"68.719476736\"} 7"), "{}", lines[at - 1]);
        assert!(lines[at].ends_with(" 8"));
        assert_eq!(lines[at + 2], "x_seconds_count{a=\"b\"} 8");
    }

    #[test]
    fn the_sum_is_right_to_a_sixteenth() {
        let ns: Vec<u64> = (1..4000).map(|n| n * 997).collect();
        let lines = lines(8, &ns);
        let sum = lines.iter().find(|line| line.starts_with("x_seconds_sum")).unwrap();
        let sum: f64 = sum.split(' ').next_back().unwrap().parse().unwrap();
        let real = ns.iter().sum::<u64>() as f64 / 1e9;
        assert!((sum / real - 1.0).abs() < 1.0 / 16.0, "{sum} {real}");
        assert_eq!(lines.len(), 26 * 8 + 1 + 3);
    }

    #[test]
    fn dialects_differ_in_what_they_say_of_a_family() {
        let page = |dialect| {
            let mut page = Page::new(dialect, 2, String::new());
            page.begin(&Family::counter("a_bytes", "Help."));
            page.sample("", Value::Int(7));
            page.begin(&Family::info("b", "Help."));
            page.sample("c=\"d\"", Value::Int(1));
            page.finish()
        };
        assert_eq!(
            page(Dialect::Text),
            "# HELP a_bytes_total Help.\n# TYPE a_bytes_total counter\na_bytes_total 7\n\
             # HELP b_info Help.\n# TYPE b_info gauge\nb_info{c=\"d\"} 1\n"
        );
        assert_eq!(
            page(Dialect::OpenMetrics),
            "# HELP a_bytes Help.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\n\
             a_bytes_total 7\n# HELP b Help.\n# TYPE b info\nb_info{c=\"d\"} 1\n# EOF\n"
        );
    }
}
