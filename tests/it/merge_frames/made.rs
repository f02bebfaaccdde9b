//! Streams of records made by hand: with any boot, clock and order.

use std::collections::BTreeMap;

use framepipe_tests::Scratch;
use libframe::ledger::SessionLedger;
use libframe::payload::{ClockReading, Event, Payload, Session, Stage};
use libframe::schema::{Dtype, Media, Stream};
use libframe::wire::{Header, Kind, Record};

/// A session that is being made.
pub(super) struct Made {
    pub(super) bytes: Vec<u8>,
    tag: u32,
    ledger: SessionLedger,
}

impl Made {
    pub(super) fn new(tag: u32) -> Made {
        Made { bytes: Vec::new(), tag, ledger: SessionLedger::default() }
    }

    fn put(
        mut self,
        kind: Kind,
        stream: u16,
        seq: u64,
        time: i64,
        payload: &[u8],
    ) -> Made {
        let (flags, session, sent) = (0, self.tag, 0);
        let header = Header { kind, flags, stream, session, seq, time, sent };
        Record::new(header, payload).encode(&mut self.bytes);
        self
    }

    /// SESSION: which boot it is of, and when it began on both clocks.
    pub(super) fn at(self, boot: &str, realtime: i64, monotonic: i64) -> Made {
        let name = format!("made-{}", self.tag);
        let session = Session {
            uuid: name.clone(),
            host: format!("host of {boot}"),
            boot_id: boot.into(),
            start_realtime: realtime,
            start_monotonic: monotonic,
            meta: BTreeMap::from([("subject".into(), self.tag.to_string())]),
            stages: vec![Stage { name, ..Stage::default() }],
        };
        self.put(Kind::SESSION, 0, 0, monotonic, &session.to_bytes())
    }

    /// STREAM for each name, numbered from 1: samples of one byte.
    pub(super) fn streams(self, names: &[&str]) -> Made {
        (1..).zip(names).fold(self, |made, (number, name)| {
            let stream = Stream {
                name: (*name).into(),
                media: Media::Samples,
                dtype: Some(Dtype::U8),
                ..Stream::default()
            };
            made.put(Kind::STREAM, number, 0, 0, &stream.to_bytes())
        })
    }

    pub(super) fn data(mut self, stream: u16, seq: u64, time: i64) -> Made {
        self.ledger.stream(stream).unwrap().take(seq, 1, time);
        self.put(Kind::DATA, stream, seq, time, &[seq as u8])
    }

    /// CLOCK of the session: what the wall clock showed.
    pub(super) fn clock(self, monotonic: i64, realtime: i64) -> Made {
        let realtime = Some(realtime);
        let reading = ClockReading { monotonic, realtime, ..ClockReading::default() };
        self.put(Kind::CLOCK, 0, 0, monotonic, &reading.to_bytes())
    }

    pub(super) fn event(self, label: &str, time: i64) -> Made {
        let event = Event { label: label.into(), ..Event::default() };
        self.put(Kind::EVENT, 0, 0, time, &event.to_bytes())
    }

    /// A record of a kind that nobody knows.
    pub(super) fn strange(self, stream: u16, seq: u64, time: i64) -> Made {
        self.put(Kind(99), stream, seq, time, b"strange")
    }

    pub(super) fn end(self) -> Made {
        let end = self.ledger.end("end").to_bytes();
        self.put(Kind::END, 0, 0, 0, &end)
    }

    /// The path of a file that holds it.
    pub(super) fn file(&self, folder: &Scratch, name: &str) -> String {
        let path = folder.file(&format!("{name}.frames"));
        std::fs::write(&path, &self.bytes).unwrap();
        path
    }
}
