//! What has been said of sessions and streams, for subscribers that come later.

use std::collections::BTreeMap;

use libframe::catalog::Catalog;
use libframe::clock::SECOND;
use libframe::wire::{Header, Kind, Record};

/// Sources announce themselves each second; what has not been heard for longer is from one
/// that does not, as a recording that is played.
const STALE: i64 = SECOND + SECOND / 2;

/// The sessions that have not ended.
#[derive(Debug, Default)]
pub(crate) struct Announcements(Vec<Known>);

#[derive(Debug)]
struct Known {
    session: u32,
    /// Its SESSION record, if that came.
    opening: Option<(Header, Vec<u8>)>,
    streams: BTreeMap<u16, Described>,
    /// The time of its last record on the capturing host.
    time: i64,
    /// When it was last announced to everybody.
    announced: i64,
}

#[derive(Debug)]
struct Described {
    header: Header,
    payload: Vec<u8>,
    /// The number of the next sample.
    next: u64,
}

impl Announcements {
    /// Learns from a record that is published.
    pub(crate) fn learn(&mut self, record: &Record<'_>, catalog: &Catalog, now: i64) {
        let Header { kind, stream, session, seq, time, .. } = record.header;
        let known = self.of(session);
        known.time = known.time.max(time);
        if kind == Kind::SESSION {
            keep(&mut known.opening, record);
            known.announced = now;
        }
        if kind == Kind::STREAM && catalog.of(record).is_some() {
            let described = known.streams.entry(stream).or_insert_with(|| Described {
                header: record.header,
                payload: Vec::new(),
                next: seq,
            });
            described.header = record.header;
            if described.payload != record.payload {
                described.payload = record.payload.to_vec();
            }
        }
        if let Some(described) = known.streams.get_mut(&stream) {
            described.next = described.next.max(seq.saturating_add(record.samples()));
        }
    }

    /// Forgets a session that has ended.
    pub(crate) fn forget(&mut self, session: u32) {
        self.0.retain(|known| known.session != session);
    }

    /// Whether sessions should be announced again, since nobody else does.
    pub(crate) fn are_stale(&self, now: i64) -> bool {
        self.0.iter().any(|known| now - known.announced >= STALE)
    }

    /// Notes that all were announced to everybody.
    pub(crate) fn refresh(&mut self, now: i64) {
        self.0.iter_mut().for_each(|known| known.announced = now);
    }

    /// Everything that a reader must know before the next sample of each stream.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.0.iter().flat_map(|known| {
            let opening = known.opening.iter();
            let opening = opening.map(|(header, payload)| (header, payload, 0));
            let streams = known.streams.values();
            let streams = streams.map(|one| (&one.header, &one.payload, one.next));
            opening.chain(streams).map(|(header, payload, seq)| {
                Record::new(Header { seq, time: known.time, ..*header }, payload)
            })
        })
    }

    fn of(&mut self, session: u32) -> &mut Known {
        let found = self.0.iter().rposition(|known| known.session == session);
        let at = found.unwrap_or_else(|| {
            let (opening, streams) = (None, BTreeMap::new());
            let (time, announced) = (i64::MIN, i64::MAX);
            self.0.push(Known { session, opening, streams, time, announced });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

fn keep(kept: &mut Option<(Header, Vec<u8>)>, record: &Record<'_>) {
    match kept {
        Some((header, payload)) if payload == record.payload => *header = record.header,
        _ => *kept = Some((record.header, record.payload.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use libframe::payload::{Payload as _, Session};
    use libframe::schema::{Dtype, Media, Stream};

    use super::*;

    fn header(kind: Kind, stream: u16, seq: u64) -> Header {
        Header { kind, flags: 0, stream, session: 5, seq, time: 9, sent: 0 }
    }

    fn learned(records: &[Record<'_>]) -> Announcements {
        let (mut known, mut catalog) = (Announcements::default(), Catalog::default());
        for record in records {
            catalog.learn(record).unwrap();
            known.learn(record, &catalog, 0);
        }
        known
    }

    fn description() -> Vec<u8> {
        let (media, dtype) = (Media::Samples, Some(Dtype::F32));
        Stream { name: "s".into(), media, dtype, shape: vec![1], ..Stream::default() }
            .to_bytes()
    }

    #[test]
    fn a_latecomer_hears_of_the_session_then_of_streams_at_their_next_sample() {
        let (session, stream) = (Session::default().to_bytes(), description());
        let known = learned(&[
            Record::new(header(Kind::SESSION, 0, 0), &session),
            Record::new(header(Kind::STREAM, 1, 0), &stream),
            Record::new(header(Kind::DATA, 1, 12), &[0; 4]),
            Record::new(header(Kind::GAP, 1, 17), b"four are missing"),
        ]);
        let told: Vec<_> =
            known.records().map(|r| (r.header.kind, r.header.seq)).collect();
        assert_eq!(told, [(Kind::SESSION, 0), (Kind::STREAM, 17)]);
    }

    #[test]
    fn what_nobody_repeats_becomes_stale_and_what_ended_is_forgotten() {
        let session = Session::default().to_bytes();
        let mut known = learned(&[Record::new(header(Kind::SESSION, 0, 0), &session)]);
        assert!(!known.are_stale(SECOND) && known.are_stale(2 * SECOND));
        known.refresh(2 * SECOND);
        assert!(!known.are_stale(3 * SECOND));
        known.forget(5);
        assert_eq!(known.records().count(), 0);
    }
}
