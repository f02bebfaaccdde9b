//! The streams, good and damaged. Nothing in them depends on when or where they are made.

use libframe::batch::{Builder, Sample};
use libframe::payload::{End, Gap, Payload, Reason, Session, Totals};
use libframe::schema::{Dtype, Media, Stream};
use libframe::wire::{Header, Kind, MAX_PAYLOAD, Record};

/// One vector.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// What is found, counted by hand and not by the decoder: records, then the damage.
    #[allow(dead_code, reason = "the program writes vectors, the test checks them")]
    pub(crate) found: (usize, &'static [&'static str]),
}

/// Tags of the sessions in the vectors.
pub(crate) const A: u32 = 0x0a0b_0c0d;
pub(crate) const B: u32 = 0x5e55_1042;

/// Capture time of the sample 0, ns, and the time from one to the next.
pub(crate) const START: i64 = 86_400_000_000_000;
pub(crate) const PERIOD: i64 = 5_000_000;

/// Writes records of one session.
#[derive(Clone, Default)]
pub(crate) struct Writer {
    pub(crate) session: u32,
    pub(crate) bytes: Vec<u8>,
    /// Where each record begins.
    pub(crate) marks: Vec<usize>,
}

impl Writer {
    /// A writer that has sent nothing.
    pub(crate) fn bare(session: u32) -> Writer {
        Writer { session, ..Writer::default() }
    }

    /// A writer that has told who records.
    pub(crate) fn new(session: u32) -> Writer {
        let who = Session {
            uuid: format!("{session:08x}-0000-4000-8000-000000000000"),
            host: "rig".into(),
            start_realtime: 1_700_000_000_000_000_000,
            start_monotonic: START,
            ..Session::default()
        };
        Writer::bare(session).typed(0, 0, &who)
    }

    pub(crate) fn header(&self, kind: Kind, stream: u16, seq: u64) -> Header {
        let time = START.wrapping_add((seq as i64).wrapping_mul(PERIOD));
        let sent = time.wrapping_add(250_000);
        Header { kind, flags: 0, stream, session: self.session, seq, time, sent }
    }

    pub(crate) fn send(mut self, header: Header, payload: &[u8]) -> Writer {
        self.marks.push(self.bytes.len());
        Record::new(header, payload).encode(&mut self.bytes);
        self
    }

    pub(crate) fn record(
        self,
        kind: Kind,
        stream: u16,
        seq: u64,
        payload: &[u8],
    ) -> Writer {
        let header = self.header(kind, stream, seq);
        self.send(header, payload)
    }

    pub(crate) fn typed<P: Payload>(self, stream: u16, seq: u64, payload: &P) -> Writer {
        self.record(P::KIND, stream, seq, &payload.to_bytes())
    }

    /// One sample of two i16.
    pub(crate) fn data(self, stream: u16, seq: u64) -> Writer {
        self.record(Kind::DATA, stream, seq, &pair(seq))
    }

    pub(crate) fn batch(
        self,
        stream: u16,
        first: u64,
        fixed: bool,
        samples: &[Timed<'_>],
    ) -> Writer {
        let mut builder = Builder::new(fixed);
        let header = self.header(Kind::BATCH, stream, first);
        for (seq, (late, device_time, bytes)) in (first..).zip(samples) {
            let time = START + seq as i64 * PERIOD + late;
            let sample = Sample { seq, time, device_time: *device_time, bytes };
            assert!(builder.push(&header, &sample, MAX_PAYLOAD), "one batch");
        }
        match builder.finish() {
            Some(batch) => self.send(batch.header, batch.payload),
            None => self.record(Kind::BATCH, stream, first, &[0; 8]),
        }
    }

    /// END with the totals of streams that began at 0 and lost nothing.
    pub(crate) fn end(self, streams: &[(u16, u64)]) -> Writer {
        let totals = |(stream, next): &(u16, u64)| Totals {
            stream: *stream,
            first: 0,
            next: *next,
            samples: *next,
            lost: 0,
        };
        let streams = streams.iter().map(totals).collect();
        self.typed(0, 0, &End { streams, reason: "end".into() })
    }

    pub(crate) fn then(self, more: impl FnOnce(Writer) -> Writer) -> Writer {
        more(self)
    }

    /// The stream with a bit of one record turned over; counted from the record's begin.
    pub(crate) fn flipped(&self, record: usize, byte: usize, bit: u8) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[self.marks[record] + byte] ^= 1 << bit;
        bytes
    }
}

/// How much later than the period says, the device's time, the bytes.
pub(crate) type Timed<'a> = (i64, Option<u64>, &'a [u8]);

pub(crate) fn pair(seq: u64) -> [u8; 4] {
    let [a, b] = [seq as i16, -(seq as i16)].map(i16::to_le_bytes);
    [a[0], a[1], b[0], b[1]]
}

pub(crate) fn pairs() -> Stream {
    Stream {
        name: "pairs".into(),
        media: Media::Samples,
        dtype: Some(Dtype::I16),
        shape: vec![2],
        rate: Some(200.0),
        ..Stream::default()
    }
}

pub(crate) fn lines() -> Stream {
    Stream { name: "lines".into(), media: Media::Text, ..Stream::default() }
}

pub(crate) fn gap(first: u64, count: Option<u64>, reason: Reason) -> Gap {
    Gap { first, count, reason, stage: "capture".into(), ..Gap::default() }
}

/// SESSION, STREAM, DATA 0 to 3, END: records 0 to 6.
pub(crate) fn short(session: u32) -> Writer {
    let begin = Writer::new(session).typed(1, 0, &pairs());
    (0..4).fold(begin, |writer, seq| writer.data(1, seq)).end(&[(1, 4)])
}
