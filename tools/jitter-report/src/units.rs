//! Numbers as people read them.

/// A duration in ns, in the unit that suits it, with four digits.
pub(crate) fn duration(ns: f64) -> String {
    let size = ns.abs();
    let (scaled, unit) = match size {
        _ if size < 1e3 => (ns, "ns"),
        _ if size < 1e6 => (ns / 1e3, "us"),
        _ if size < 1e9 => (ns / 1e6, "ms"),
        _ if size < 120e9 => (ns / 1e9, "s"),
        _ => return long(ns),
    };
    format!("{} {unit}", digits(scaled))
}

/// `3h 20m`, `2m 05s`.
fn long(ns: f64) -> String {
    let sign = if ns < 0.0 { "-" } else { "" };
    let seconds = (ns.abs() / 1e9).round() as u64;
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match h {
        0 => format!("{sign}{m}m {s:02}s"),
        1..48 => format!("{sign}{h}h {m:02}m"),
        _ => format!("{sign}{}d {:02}h", h / 24, h % 24),
    }
}

/// Four significant digits, without zeros that say nothing.
pub(crate) fn digits(value: f64) -> String {
    let size = value.abs();
    let places = match size {
        _ if size >= 1000.0 => 0,
        _ if size >= 100.0 => 1,
        _ if size >= 10.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.places$}");
    match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text,
    }
}

/// A count, its thousands apart.
pub(crate) fn count(n: u64) -> String {
    let plain = n.to_string();
    let mut text = String::new();
    for (at, digit) in plain.chars().enumerate() {
        if at > 0 && (plain.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// `1 gap`, `2 gaps`.
pub(crate) fn plural(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// A share in percent. A share above nothing is never shown as nothing.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent != 0.0 && percent.abs() < 0.001 {
        return format!("{percent:.1e}%");
    }
    format!("{}%", digits(percent))
}

/// Bytes, in the unit that suits them.
pub(crate) fn size(bytes: u64) -> String {
    let bytes_f = bytes as f64;
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{} kB", digits(bytes_f / 1e3)),
        1_000_000..1_000_000_000 => format!("{} MB", digits(bytes_f / 1e6)),
        _ => format!("{} GB", digits(bytes_f / 1e9)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_honest() {
        assert_eq!(duration(4_608_295.4), "4.608 ms");
        assert_eq!(duration(0.0), "0 ns");
        assert_eq!(duration(-250e6), "-250 ms");
        assert_eq!(duration(12_000e9), "3h 20m");
        assert_eq!(duration(86_400e9 * 3.0), "3d 00h");
        assert_eq!(count(18_748_800), "18 748 800");
        assert_eq!(count(999), "999");
        assert_eq!(percent(0.01), "1%");
        assert_eq!(percent(1.0 / 18_748_800.0), "5.3e-6%");
        assert_eq!(plural(1, "gap"), "1 gap");
        assert_eq!(size(271_000_000), "271 MB");
    }
}
