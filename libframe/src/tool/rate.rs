//! Rates as users write them.

use std::ops::RangeInclusive;

/// One sample in twelve days, and more than any pipe carries.
const SENSIBLE: RangeInclusive<f64> = 1e-6..=1e9;

/// Reads a rate like `1kHz`, `250Hz`, `22.05 kHz`, `30k` or `217`.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    let small = text.trim().to_ascii_lowercase();
    let number = small.strip_suffix("hz").unwrap_or(&small);
    let (number, unit) = match number.strip_suffix(['k', 'm']) {
        Some(rest) if number.ends_with('k') => (rest, 1e3),
        Some(rest) if small.ends_with("mhz") && text.contains('M') => (rest, 1e6),
        Some(_) => ("", 1.0),
        None => (number, 1.0),
    };
    match number.trim().parse::<f64>() {
        Ok(rate) if SENSIBLE.contains(&(rate * unit)) => Ok(rate * unit),
        _ => Err(format!("{text:?} is no rate; say 1kHz, 250Hz or 1000")),
    }
}

/// Reads a rate that must lie in a range, for an option of such.
pub fn parse_rate_in(
    range: RangeInclusive<f64>,
) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync + 'static {
    move |text| {
        let rate = parse_rate(text)?;
        if range.contains(&rate) {
            return Ok(rate);
        }
        let (least, most) = (range.start(), range.end());
        Err(format!("{text:?} is no rate here; say anything from {least} to {most}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, rate) in [
            ("1kHz", 1000.0),
            ("1k", 1000.0),
            ("250Hz", 250.0),
            ("1000", 1000.0),
            ("22.05 kHz", 22_050.0),
            ("0.5hz", 0.5),
            ("1MHz", 1e6),
        ] {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
        for wrong in ["", "Hz", "fast", "0", "-1kHz", "inf", "NaN", "1mHz", "5m"] {
            assert!(parse_rate(wrong).is_err_and(|why| why.contains("1kHz")), "{wrong}");
        }
    }

    #[test]
    fn a_range_is_named() {
        let parse = parse_rate_in(1.0..=1e6);
        assert_eq!(parse("30k"), Ok(30_000.0));
        let why = parse("2MHz").unwrap_err();
        assert!(why.ends_with("anything from 1 to 1000000"), "{why}");
    }
}
