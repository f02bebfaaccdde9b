//! The limits that a verdict is found by, and their defaults.

use clap::Args;
use libframe::tool::{parse_duration, parse_rate, parse_share};

// Not a doc comment: clap would put it in place of the tool's own description.
#[allow(missing_docs)]
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// WARNING if one interval in 1000 is longer than the median by this [default: 50ms, or one median interval if that is longer]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) jitter_warn: Option<i64>,

    /// FAIL if it is by this [default: four times --jitter-warn]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) jitter_fail: Option<i64>,

    /// WARNING if no sample came for this long [default: 1s, or ten median intervals if that is longer]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) gap_warn: Option<i64>,

    /// FAIL if none came for this long [default: ten times --gap-warn]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) gap_fail: Option<i64>,

    /// WARNING if more than this share of the samples is lost
    #[arg(long, value_name = "SHARE", value_parser = parse_share, default_value = "0%")]
    pub(crate) loss_warn: f64,

    /// FAIL if more than this share is lost
    #[arg(long, value_name = "SHARE", value_parser = parse_share, default_value = "1%")]
    pub(crate) loss_fail: f64,

    /// FAIL if the measured rate is not this, or with a plus below it; may be repeated: --rate glove=217:2%, --rate 150+
    #[arg(long = "rate", value_name = "[STREAM=]HZ[:TOLERANCE|+]", value_parser = Rate::parse)]
    pub(crate) rates: Vec<Rate>,

    /// WARNING if more than this share of the samples is stamped in bursts
    #[arg(long, value_name = "SHARE", value_parser = parse_share, default_value = "5%")]
    pub(crate) burst_warn: f64,

    /// WARNING if a device's clock drifts by more than this against the host's
    #[arg(long, value_name = "PPM", value_parser = parse_ppm, default_value = "1000")]
    pub(crate) drift_warn: f64,

    /// FAIL if it drifts by more than this [default: never]
    #[arg(long, value_name = "PPM", value_parser = parse_ppm)]
    pub(crate) drift_fail: Option<f64>,

    /// WARNING if the wall clock was set by this or more
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "10ms")]
    pub(crate) step_warn: i64,
}

/// How far the measured rate may be from the wanted one if nothing is said.
const TOLERANCE: f64 = 0.01;
/// How far from the one that the device states.
pub(crate) const STATED_TOLERANCE: f64 = 0.05;

/// The rate that a stream must have.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rate {
    /// All streams, if none is named.
    pub(crate) stream: Option<String>,
    pub(crate) hz: f64,
    /// As a share of it; none if more is as good.
    pub(crate) tolerance: Option<f64>,
}

impl Rate {
    fn parse(text: &str) -> Result<Rate, String> {
        let wrong =
            || format!("{text:?} is no rate; say 217, 217:2%, 150+ or glove=217:2%");
        let (stream, rest) = match text.rsplit_once('=') {
            Some((stream, rest)) if !stream.is_empty() => (Some(stream.to_owned()), rest),
            Some(_) => return Err(wrong()),
            None => (None, text),
        };
        let (hz, tolerance) = match rest.split_once(':') {
            Some((hz, tolerance)) => {
                (hz, Some(parse_share(tolerance).map_err(|_| wrong())?))
            }
            None => match rest.strip_suffix('+') {
                Some(hz) => (hz, None),
                None => (rest, Some(TOLERANCE)),
            },
        };
        let hz = parse_rate(hz).map_err(|_| wrong())?;
        Ok(Rate { stream, hz, tolerance })
    }
}

fn parse_ppm(text: &str) -> Result<f64, String> {
    match text.strip_suffix("ppm").unwrap_or(text).parse::<f64>() {
        Ok(ppm) if ppm.is_finite() && ppm >= 0.0 => Ok(ppm),
        _ => Err(format!("{text:?} is no drift; say 100 or 100ppm")),
    }
}

impl Limits {
    /// The rate asked of a stream; one that names it goes before one for all.
    pub(crate) fn rate_of(&self, name: &str) -> Option<&Rate> {
        let named = self.rates.iter().rfind(|rate| rate.stream.as_deref() == Some(name));
        named.or_else(|| self.rates.iter().rfind(|rate| rate.stream.is_none()))
    }

    /// From which excess over the median on, ns, it is a WARNING and a FAIL.
    pub(crate) fn jitter(&self, median: f64) -> (f64, f64) {
        let warn = self.jitter_warn.map_or(50e6f64.max(median), |ns| ns as f64);
        let fail = self.jitter_fail.map_or(4.0 * warn, |ns| ns as f64);
        // A harder limit below the default of the softer one pulls that down.
        if self.jitter_warn.is_none() { (warn.min(fail), fail) } else { (warn, fail) }
    }

    /// From which interval on, ns, it is a WARNING and a FAIL.
    pub(crate) fn gap(&self, median: f64) -> (f64, f64) {
        let warn = self.gap_warn.map_or(1e9f64.max(10.0 * median), |ns| ns as f64);
        let fail = self.gap_fail.map_or(10.0 * warn, |ns| ns as f64);
        if self.gap_warn.is_none() { (warn.min(fail), fail) } else { (warn, fail) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_or_explained() {
        let rate = |stream: Option<&str>, hz, tolerance| {
            Ok(Rate { stream: stream.map(str::to_owned), hz, tolerance })
        };
        assert_eq!(Rate::parse("217"), rate(None, 217.0, Some(0.01)));
        assert_eq!(Rate::parse("217:2%"), rate(None, 217.0, Some(0.02)));
        assert_eq!(Rate::parse("a=b=30:0.5"), rate(Some("a=b"), 30.0, Some(0.5)));
        assert_eq!(Rate::parse("x=150+"), rate(Some("x"), 150.0, None));
        for wrong in ["", "0", "+", "150+:2%", "-5", "NaN", "=5", "5:", "5:two", "fast"] {
            assert!(
                Rate::parse(wrong).is_err_and(|err| err.contains("217:2%")),
                "{wrong}"
            );
        }
    }
}
