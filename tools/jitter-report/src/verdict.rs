//! GOOD, WARNING or FAIL, and which limit decided.

use serde::Serialize;

use crate::limits::{Limits, STATED_TOLERANCE};
use crate::report::{SessionReport, StreamReport};
use crate::units::{count, duration, percent, plural};

/// What a stream, a session or a file is worth. The worse is the greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Verdict {
    #[default]
    Good,
    Warning,
    Fail,
}

impl Verdict {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Verdict::Good => "GOOD",
            Verdict::Warning => "WARNING",
            Verdict::Fail => "FAIL",
        }
    }
}

/// Why something is not GOOD.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    /// The option whose limit decided, without dashes, or what was seen.
    pub(crate) measure: &'static str,
    /// In the unit of the option: ns, a share, Hz or ppm.
    pub(crate) value: f64,
    pub(crate) limit: f64,
    pub(crate) text: String,
}

/// The worst of some findings.
pub(crate) fn worst(findings: &[Finding]) -> Verdict {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or_default()
}

/// A measure and its two limits, the name of either being an option.
struct Measure<'a> {
    warn: (&'static str, f64),
    fail: (&'static str, f64),
    value: f64,
    text: &'a dyn Fn(&str, f64) -> String,
}

impl Measure<'_> {
    fn judge(self, findings: &mut Vec<Finding>) {
        let Measure { warn, fail, value, text } = self;
        let (verdict, (measure, limit)) = if value > fail.1 {
            (Verdict::Fail, fail)
        } else if value > warn.1 {
            (Verdict::Warning, warn)
        } else {
            return;
        };
        let text = text(measure, limit);
        findings.push(Finding { verdict, measure, value, limit, text });
    }
}

fn warning(measure: &'static str, value: f64, limit: f64, text: String) -> Finding {
    Finding { verdict: Verdict::Warning, measure, value, limit, text }
}

fn failure(measure: &'static str, value: f64, limit: f64, text: String) -> Finding {
    Finding { verdict: Verdict::Fail, measure, value, limit, text }
}

/// Everything about a stream that is not as it should be.
pub(crate) fn of_stream(stream: &StreamReport, limits: &Limits) -> Vec<Finding> {
    let mut findings = Vec::new();
    if stream.samples == 0 && stream.media != "event" {
        findings.push(failure("samples", 0.0, 1.0, "no sample came".into()));
    }
    losses(stream, limits, &mut findings);
    rate(stream, limits, &mut findings);
    intervals(stream, limits, &mut findings);
    order(stream, &mut findings);
    device_clock(stream, limits, &mut findings);
    findings
}

fn losses(stream: &StreamReport, limits: &Limits, findings: &mut Vec<Finding>) {
    let all = stream.samples + stream.lost;
    if all > 0 {
        let value = stream.lost as f64 / all as f64;
        let lost = count(stream.lost);
        let text = |option: &str, limit: f64| {
            let (share, of) = (percent(value), count(all));
            format!(
                "{lost} of {of} samples lost, {share}, over --{option} {}",
                percent(limit)
            )
        };
        let warn = ("loss-warn", limits.loss_warn);
        let fail = ("loss-fail", limits.loss_fail.max(limits.loss_warn));
        Measure { warn, fail, value, text: &text }.judge(findings);
    }
    if stream.unknown_gaps > 0 {
        let n = plural(stream.unknown_gaps, "gap");
        let text = format!("{n} with an unknown number of samples lost");
        findings.push(warning("unknown-gaps", stream.unknown_gaps as f64, 0.0, text));
    }
    if stream.partial > 0 {
        let n = plural(stream.partial, "sample");
        let text = format!("{n} came without some of their channels");
        findings.push(warning("partial", stream.partial as f64, 0.0, text));
    }
}

fn rate(stream: &StreamReport, limits: &Limits, findings: &mut Vec<Finding>) {
    let asked = limits.rate_of(&stream.name);
    let Some(hz) = stream.rate_hz else {
        if let Some(rate) = asked.filter(|_| stream.media != "event") {
            let (wanted, n) = (rate.hz, plural(stream.samples, "sample"));
            let text = format!("{n} have no rate, and --rate asks for {wanted}");
            findings.push(failure("rate", 0.0, wanted, text));
        }
        return;
    };
    let off = |wanted: f64| (hz / wanted - 1.0).abs();
    if let Some(rate) = asked {
        let wanted = rate.hz;
        let text = match rate.tolerance {
            Some(tolerance) if off(wanted) > tolerance => {
                let tolerance = percent(tolerance);
                format!("{hz:.3} Hz is not --rate {wanted} to within {tolerance}")
            }
            None if hz < wanted => format!("{hz:.3} Hz is below --rate {wanted}+"),
            _ => return,
        };
        findings.push(failure("rate", hz, wanted, text));
    } else if let Some(stated) = stream.nominal_rate_hz
        && off(stated) > STATED_TOLERANCE
    {
        let tolerance = percent(STATED_TOLERANCE);
        let text = format!(
            "{hz:.3} Hz is not the {stated} Hz that the device states to within {tolerance}"
        );
        findings.push(warning("stated-rate", hz, stated, text));
    }
}

fn intervals(stream: &StreamReport, limits: &Limits, findings: &mut Vec<Finding>) {
    let Some(intervals) = &stream.intervals else { return };
    let median = intervals.p50_ns;
    let (warn, fail) = limits.jitter(median);
    let text = |option: &str, limit: f64| {
        let late = duration(intervals.p99_9_ns - median);
        format!(
            "one interval in 1000 is {late} or more over the median, over --{option} {}",
            duration(limit)
        )
    };
    Measure {
        warn: ("jitter-warn", warn),
        fail: ("jitter-fail", fail),
        value: intervals.p99_9_ns - median,
        text: &text,
    }
    .judge(findings);
    let (warn, fail) = limits.gap(median);
    let text = |option: &str, limit: f64| {
        let longest = duration(intervals.max_ns as f64);
        format!("no sample for {longest}, over --{option} {}", duration(limit))
    };
    Measure {
        warn: ("gap-warn", warn),
        fail: ("gap-fail", fail),
        value: intervals.max_ns as f64,
        text: &text,
    }
    .judge(findings);
    let bursts = &stream.bursts;
    if bursts.share > limits.burst_warn {
        let (share, of) = (percent(bursts.share), plural(bursts.count, "burst"));
        let limit = percent(limits.burst_warn);
        let text = format!("{share} of the samples in {of}, over --burst-warn {limit}");
        findings.push(warning("burst-warn", bursts.share, limits.burst_warn, text));
    }
    if bursts.at_start >= MIN_BACKLOG {
        let n = count(bursts.at_start);
        let text = format!("begins with a backlog: {n} samples stamped almost together");
        findings.push(warning(
            "backlog",
            bursts.at_start as f64,
            MIN_BACKLOG as f64,
            text,
        ));
    }
}

/// So many samples in a burst at the very start were waiting before it began.
const MIN_BACKLOG: u64 = 10;

fn order(stream: &StreamReport, findings: &mut Vec<Finding>) {
    for (measure, n, what) in [
        ("duplicates", stream.duplicates, "came twice"),
        ("reordered", stream.reordered, "came after later ones"),
        ("backwards", stream.backwards, "stamped earlier than the one before"),
    ] {
        if n > 0 {
            let text = format!("{} {what}", plural(n, "sample"));
            findings.push(warning(measure, n as f64, 0.0, text));
        }
    }
}

fn device_clock(stream: &StreamReport, limits: &Limits, findings: &mut Vec<Finding>) {
    let Some(clock) = &stream.device_clock else { return };
    if let (Some(ppm), Some(error)) = (clock.drift_ppm, clock.drift_error_ppm) {
        // Only what is certain: a short recording cannot tell a drift from a delay.
        let text = |option: &str, limit: f64| {
            format!("the device's clock drifts by {ppm:+.1} ppm, over --{option} {limit}")
        };
        let fail = limits.drift_fail.unwrap_or(f64::INFINITY);
        Measure {
            warn: ("drift-warn", limits.drift_warn),
            fail: ("drift-fail", fail),
            value: ppm.abs() - error,
            text: &text,
        }
        .judge(findings);
    }
    for (measure, n, what) in [
        ("restarts", clock.restarts, "went back"),
        ("jumps", clock.jumps, "jumped or stood still"),
    ] {
        if n > 0 {
            let text = format!("the device's clock {what}, {}", plural(n, "time"));
            findings.push(warning(measure, n as f64, 0.0, text));
        }
    }
}

/// What is wrong with a session beside its streams.
pub(crate) fn of_session(session: &SessionReport, limits: &Limits) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(stage) = &session.broke_off {
        let text = format!("broken off: no END after {stage}");
        findings.push(failure("broke-off", 1.0, 0.0, text));
    }
    if let Some(what) = session.ledger.objection() {
        let n = session.ledger.unexplained as f64;
        findings.push(failure("unexplained", n, 0.0, what));
    }
    for rate in &limits.rates {
        let wanted =
            |name: &str| rate.stream.as_deref().is_none_or(|asked| asked == name);
        if !session.streams.iter().any(|stream| wanted(&stream.name)) {
            let named = rate.stream.as_ref().map(|name| format!(" {name}"));
            let (named, hz) = (named.unwrap_or_default(), rate.hz);
            let text = format!("no stream{named}, and --rate asks for {hz} Hz");
            findings.push(failure("rate", 0.0, hz, text));
        }
    }
    let (step, limit) = (session.clock.largest_step_ns, limits.step_warn);
    if step.unsigned_abs() >= limit.unsigned_abs() && session.clock.step_count > 0 {
        let (by, limit_text) = (duration(step as f64), duration(limit as f64));
        let n = plural(session.clock.step_count, "time");
        let text = format!(
            "the wall clock was set {n}, by up to {by}, over --step-warn {limit_text}"
        );
        findings.push(warning("step-warn", step as f64, limit as f64, text));
    }
    findings
}
