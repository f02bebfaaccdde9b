//! Capture times of several clocks on one, and on the wall clock.
//!
//! Raw times are never rewritten. The streams of a session that was merged from several
//! hosts, or several boots of one, have the times of their own host's clock, and CLOCK
//! records on such a stream say how far that is from the session's. Here, so that all who
//! compare streams, order or date them do it alike.

use crate::payload::{ClockReading, Payload as _, Session};
use crate::wire::{Kind, Record};

/// Sessions that are known at once; of those of a long night only the last few still have
/// records.
const MAX_SESSIONS: usize = 16;

/// What is known of the clocks of sessions.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// Oldest first.
    sessions: Vec<(u32, Clocks)>,
}

#[derive(Clone, Debug, Default)]
struct Clocks {
    /// Wall clock minus the session's monotonic clock, ns.
    wall: Option<i64>,
    /// The clock of a stream minus the session's, where they differ; `None` until it was
    /// measured.
    streams: Vec<(u16, Option<i64>)>,
}

/// How far the clock of the record's stream is from the session's, if the record is a CLOCK
/// that says so.
pub fn stream_offset(record: &Record<'_>) -> Option<i64> {
    if record.header.kind != Kind::CLOCK || record.header.stream == 0 {
        return None;
    }
    ClockReading::from_bytes(record.payload).ok()?.offset
}

impl Timeline {
    /// Learns from SESSION and CLOCK records; others change nothing.
    ///
    /// The newest CLOCK counts, so that a clock that was set during the night is followed.
    pub fn learn(&mut self, record: &Record<'_>) {
        let (tag, stream) = (record.header.session, record.header.stream);
        match record.header.kind {
            Kind::SESSION => {
                if let Ok(session) = Session::from_bytes(record.payload) {
                    self.learn_session(tag, &session);
                }
            }
            Kind::CLOCK => {
                if let Ok(reading) = ClockReading::from_bytes(record.payload) {
                    self.learn_clock(tag, stream, &reading);
                }
            }
            _ => {}
        }
    }

    /// Learns when a session began on both clocks, unless a CLOCK has told it better.
    pub fn learn_session(&mut self, tag: u32, session: &Session) {
        let offset = session.start_realtime.wrapping_sub(session.start_monotonic);
        self.clocks(tag).wall.get_or_insert(offset);
    }

    /// Learns from a CLOCK of a stream, or of the session (0).
    pub fn learn_clock(&mut self, tag: u32, stream: u16, reading: &ClockReading) {
        let clocks = self.clocks(tag);
        let is_other = reading.offset.is_some() || !reading.remote.is_empty();
        if stream > 0 && is_other {
            match clocks.streams.binary_search_by_key(&stream, |(number, _)| *number) {
                Ok(at) => clocks.streams[at].1 = reading.offset.or(clocks.streams[at].1),
                Err(at) => clocks.streams.insert(at, (stream, reading.offset)),
            }
        }
        if let Some(realtime) = reading.realtime.filter(|_| reading.remote.is_empty()) {
            clocks.wall = Some(realtime.wrapping_sub(reading.monotonic));
        }
    }

    /// Forgets a session that has ended.
    pub fn forget(&mut self, tag: u32) {
        self.sessions.retain(|(other, _)| *other != tag);
    }

    /// The clock of a stream minus the session's, ns.
    #[inline]
    pub fn offset(&self, tag: u32, stream: u16) -> i64 {
        let Some(clocks) = self.known(tag).filter(|known| !known.streams.is_empty())
        else {
            return 0;
        };
        let place = clocks.streams.binary_search_by_key(&stream, |(number, _)| *number);
        place.map_or(0, |at| clocks.streams[at].1.unwrap_or(0))
    }

    /// A capture time of a stream on the session's clock, unless the stream has a clock of
    /// its own and nobody knows yet how far that is off.
    #[inline]
    pub fn known_time(&self, tag: u32, stream: u16, time: i64) -> Option<i64> {
        let Some(clocks) = self.known(tag).filter(|known| !known.streams.is_empty())
        else {
            return Some(time);
        };
        match clocks.streams.binary_search_by_key(&stream, |(number, _)| *number) {
            Ok(at) => Some(time.saturating_sub(clocks.streams[at].1?)),
            Err(_) => Some(time),
        }
    }

    /// A capture time of a stream on the session's clock.
    #[inline]
    pub fn time(&self, tag: u32, stream: u16, time: i64) -> i64 {
        time.saturating_sub(self.offset(tag, stream))
    }

    /// Wall clock minus the session's monotonic clock, ns, as far as is known.
    pub fn wall(&self, tag: u32) -> Option<i64> {
        self.known(tag)?.wall
    }

    /// A capture time of a stream in ns since 1970, if the session's clocks are known.
    pub fn realtime(&self, tag: u32, stream: u16, time: i64) -> Option<i64> {
        Some(self.time(tag, stream, time).wrapping_add(self.wall(tag)?))
    }

    #[inline]
    fn known(&self, tag: u32) -> Option<&Clocks> {
        let mut newest = self.sessions.iter().rev();
        newest.find(|(other, _)| *other == tag).map(|(_, clocks)| clocks)
    }

    fn clocks(&mut self, tag: u32) -> &mut Clocks {
        let at = match self.sessions.iter().position(|(other, _)| *other == tag) {
            Some(at) => at,
            None => {
                if self.sessions.len() == MAX_SESSIONS {
                    self.sessions.remove(0);
                }
                self.sessions.push((tag, Clocks::default()));
                self.sessions.len() - 1
            }
        };
        &mut self.sessions[at].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_another_clock_is_put_on_the_sessions() {
        let mut timeline = Timeline::default();
        let session =
            Session { start_monotonic: 100, start_realtime: 5100, ..Session::default() };
        timeline.learn_session(7, &session);
        let offset = |ns| ClockReading {
            offset: Some(ns),
            realtime: Some(1),
            remote: "rig".into(),
            ..ClockReading::default()
        };
        timeline.learn_clock(7, 2, &offset(40));
        assert_eq!((timeline.time(7, 1, 150), timeline.time(7, 2, 190)), (150, 150));
        assert_eq!(timeline.realtime(7, 2, 190), Some(5150));
        timeline.learn_clock(7, 2, &offset(-3));
        assert_eq!(timeline.time(7, 2, 190), 193);
        assert_eq!(timeline.realtime(8, 2, 190), None);
    }

    #[test]
    fn a_clock_that_was_not_measured_yet_tells_no_time() {
        let mut timeline = Timeline::default();
        let other = ClockReading { remote: "rig".into(), ..ClockReading::default() };
        timeline.learn_clock(7, 2, &other);
        assert_eq!(timeline.known_time(7, 2, 190), None);
        assert_eq!(
            (timeline.known_time(7, 1, 190), timeline.time(7, 2, 190)),
            (Some(190), 190)
        );
        timeline.learn_clock(7, 2, &ClockReading { offset: Some(40), ..other.clone() });
        timeline.learn_clock(7, 2, &other);
        assert_eq!(timeline.known_time(7, 2, 190), Some(150));
    }

    #[test]
    fn the_newest_reading_of_the_wall_clock_counts_and_not_the_start_again() {
        let mut timeline = Timeline::default();
        let session = Session { start_realtime: 1000, ..Session::default() };
        timeline.learn_session(7, &session);
        let reading = ClockReading {
            monotonic: 10,
            realtime: Some(3010),
            ..ClockReading::default()
        };
        timeline.learn_clock(7, 0, &reading);
        timeline.learn_session(7, &session);
        assert_eq!(timeline.wall(7), Some(3000));
    }

    #[test]
    fn thousands_of_sessions_take_no_memory() {
        let mut timeline = Timeline::default();
        (0..5000).for_each(|tag| timeline.learn_session(tag, &Session::default()));
        assert_eq!(timeline.sessions.len(), MAX_SESSIONS);
        assert_eq!(timeline.wall(4999), Some(0));
    }
}
