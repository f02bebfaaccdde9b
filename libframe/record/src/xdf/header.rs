//! What a file says of itself: who recorded, and when.

use jiff::Timestamp;
use jiff::fmt::strtime;
use libframe::crc::crc32c_append;
use libframe::payload::Session;
use libframe_xdf::header::element;

use super::lane::nanoseconds;
use super::survey::Found;

/// A clock that is so near to the recorder's is the recorder's, s.
const SAME_CLOCK: f64 = 1e-3;

/// The session of a file with this header.
///
/// Only the wall clock's second stands there, and not when that was by the clock of the
/// samples: it is taken to be the time of the first one.
pub(super) fn session(front: &[u8], streams: &[Found]) -> (u32, Session) {
    let sums = [0, 1, 2, 3].map(|seed| {
        let front = crc32c_append(seed, front);
        streams.iter().fold(front, |sum, found| {
            let sum = crc32c_append(sum, found.info.uid.as_bytes());
            crc32c_append(sum, found.info.name.as_bytes())
        })
    });
    let [a, b, c, d] = sums;
    let uuid = format!(
        "{a:08x}-{:04x}-{:04x}-{:04x}-{:04x}{d:08x}",
        b >> 16,
        b & 0xffff,
        c >> 16,
        c & 0xffff
    );
    let datetime = element(front, "datetime").unwrap_or_default();
    let mut session = Session {
        uuid,
        host: host(streams),
        start_realtime: realtime(datetime).unwrap_or(0),
        start_monotonic: start(streams),
        ..Session::default()
    };
    if !datetime.is_empty() {
        session.meta.insert("xdf.datetime".into(), datetime.into());
    }
    (a, session)
}

/// The samples that a footer counts.
pub(super) fn sample_count(xml: &[u8]) -> Option<u64> {
    element(xml, "sample_count")?.parse().ok()
}

/// When the first sample of all was there, by the recorder's clock.
fn start(streams: &[Found]) -> i64 {
    let times = streams.iter().filter_map(|found| {
        Some(nanoseconds(found.first?).saturating_sub(found.ahead()))
    });
    times.min().unwrap_or(0)
}

/// The recorder's host: that of the streams whose clock is the recorder's, or of all.
fn host(streams: &[Found]) -> String {
    let near = |found: &&Found| found.offset.is_some_and(|o| o.value.abs() < SAME_CLOCK);
    let named = |found: &Found| found.info.hostname.clone();
    if let Some(found) = streams.iter().find(near) {
        return named(found);
    }
    let first = streams.first().map(named).unwrap_or_default();
    let all = streams.iter().all(|found| found.info.hostname == first);
    if all { first } else { String::new() }
}

/// `2026-11-20T21:15:00+0100`, and what else RFC 3339 allows; ns since 1970.
fn realtime(text: &str) -> Option<i64> {
    let labrecorder =
        || strtime::parse("%Y-%m-%dT%H:%M:%S%z", text).ok()?.to_timestamp().ok();
    let stamp = text.parse::<Timestamp>().ok().or_else(labrecorder)?;
    i64::try_from(stamp.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_read_as_recorders_write_it() {
        let expected = Some(1_763_669_700_000_000_000);
        for text in [
            "2025-11-20T21:15:00+0100",
            "2025-11-20T20:15:00Z",
            "2025-11-20T21:15:00+01:00",
        ] {
            assert_eq!(realtime(text), expected, "{text}");
        }
        assert_eq!(realtime("yesterday"), None);
    }
}
