//! The streams, good and damaged. Nothing in them depends on when or where they are made.

use libframe::batch::{Builder, Sample};
use libframe::payload::{
    ClockReading, End, Event, Flow, Gap, Payload, Reason, Session, Stage, Stats, Totals,
    Value,
};
use libframe::schema::{Channel, Device, DeviceClock, Dtype, Media, Stream};
use libframe::wire::{
    FLAG_DEVICE_TIME, FLAG_MUST_KNOW, HEADER_LEN, Header, Kind, MAGIC, MAX_PAYLOAD,
    Record,
};
use serde_json::json;

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
const A: u32 = 0x0a0b_0c0d;
const B: u32 = 0x5e55_1042;

/// Capture time of the sample 0, ns, and the time from one to the next.
const START: i64 = 86_400_000_000_000;
const PERIOD: i64 = 5_000_000;

/// Writes records of one session.
#[derive(Clone, Default)]
struct Writer {
    session: u32,
    bytes: Vec<u8>,
    /// Where each record begins.
    marks: Vec<usize>,
}

impl Writer {
    /// A writer that has sent nothing.
    fn bare(session: u32) -> Writer {
        Writer { session, ..Writer::default() }
    }

    /// A writer that has told who records.
    fn new(session: u32) -> Writer {
        let who = Session {
            uuid: format!("{session:08x}-0000-4000-8000-000000000000"),
            host: "rig".into(),
            start_realtime: 1_700_000_000_000_000_000,
            start_monotonic: START,
            ..Session::default()
        };
        Writer::bare(session).typed(0, 0, &who)
    }

    fn header(&self, kind: Kind, stream: u16, seq: u64) -> Header {
        let time = START.wrapping_add((seq as i64).wrapping_mul(PERIOD));
        let sent = time.wrapping_add(250_000);
        Header { kind, flags: 0, stream, session: self.session, seq, time, sent }
    }

    fn send(mut self, header: Header, payload: &[u8]) -> Writer {
        self.marks.push(self.bytes.len());
        Record::new(header, payload).encode(&mut self.bytes);
        self
    }

    fn record(self, kind: Kind, stream: u16, seq: u64, payload: &[u8]) -> Writer {
        let header = self.header(kind, stream, seq);
        self.send(header, payload)
    }

    fn typed<P: Payload>(self, stream: u16, seq: u64, payload: &P) -> Writer {
        self.record(P::KIND, stream, seq, &payload.to_bytes())
    }

    /// One sample of two i16.
    fn data(self, stream: u16, seq: u64) -> Writer {
        self.record(Kind::DATA, stream, seq, &pair(seq))
    }

    fn batch(
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
    fn end(self, streams: &[(u16, u64)]) -> Writer {
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

    fn then(self, more: impl FnOnce(Writer) -> Writer) -> Writer {
        more(self)
    }

    /// The stream with a bit of one record turned over; counted from the record's begin.
    fn flipped(&self, record: usize, byte: usize, bit: u8) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[self.marks[record] + byte] ^= 1 << bit;
        bytes
    }
}

/// How much later than the period says, the device's time, the bytes.
type Timed<'a> = (i64, Option<u64>, &'a [u8]);

fn pair(seq: u64) -> [u8; 4] {
    let [a, b] = [seq as i16, -(seq as i16)].map(i16::to_le_bytes);
    [a[0], a[1], b[0], b[1]]
}

fn pairs() -> Stream {
    Stream {
        name: "pairs".into(),
        media: Media::Samples,
        dtype: Some(Dtype::I16),
        shape: vec![2],
        rate: Some(200.0),
        ..Stream::default()
    }
}

fn lines() -> Stream {
    Stream { name: "lines".into(), media: Media::Text, ..Stream::default() }
}

fn gap(first: u64, count: Option<u64>, reason: Reason) -> Gap {
    Gap {
        first,
        count,
        reason,
        stage: "capture".into(),
        from: None,
        to: None,
        detail: String::new(),
    }
}

/// SESSION, STREAM, DATA 0 to 3, END: records 0 to 6.
fn short(session: u32) -> Writer {
    let begin = Writer::new(session).typed(1, 0, &pairs());
    (0..4).fold(begin, |writer, seq| writer.data(1, seq)).end(&[(1, 4)])
}

/// Streams that a reader finds no fault with.
pub(crate) fn ok() -> Vec<Case> {
    let ok = |name, about, records, writer: Writer| Case {
        name,
        about,
        bytes: writer.bytes,
        found: (records, &[]),
    };
    vec![
        ok("empty", "No bytes at all: a stream without records.", 0, Writer::bare(A)),
        ok("minimal", "A session without streams.", 2, Writer::new(A).end(&[])),
        ok("every-kind", "One record of each kind of version 1.", 9, every_kind()),
        ok(
            "device-times",
            "DATA and BATCH with the device's own times.",
            5,
            device_times(),
        ),
        ok(
            "batch-fixed",
            "Samples of a fixed size in batches: no table of sizes. One batch has no sample.",
            6,
            batches_fixed(),
        ),
        ok(
            "batch-varying",
            "Samples of any size in a batch, an empty one too: a table of sizes.",
            5,
            batches_varying(),
        ),
        ok(
            "unknown-kind",
            "Kinds 200 and 0 are not known to version 1 and are passed on untouched.",
            6,
            unknown_kinds(0),
        ),
        ok(
            "must-know",
            "As unknown-kind with flag bit 7: readable, but who does not know it must stop.",
            6,
            unknown_kinds(FLAG_MUST_KNOW),
        ),
        ok(
            "unknown-keys",
            "Maps with keys that version 1 does not know, and without some that it does.",
            5,
            unknown_keys(),
        ),
        ok(
            "two-sessions",
            "One recording after another, as of `cat a b`; each counts for itself.",
            14,
            short(A).then(|first| appended(first, &short(B))),
        ),
        ok(
            "interleaved-streams",
            "Two streams of a session take turns; each has its own sequence numbers.",
            9,
            interleaved_streams(),
        ),
        ok("gap-known", "Three samples are missing, and a GAP tells.", 6, gap_known()),
        ok(
            "gap-unknown",
            "Samples are missing, nobody knows how many: they took no numbers.",
            6,
            Writer::new(A)
                .typed(1, 0, &pairs())
                .data(1, 0)
                .typed(1, 1, &gap(1, None, Reason::Parser))
                .data(1, 1)
                .end(&[(1, 2)]),
        ),
        ok(
            "reordered",
            "Sample 1 comes after sample 3 and fills the hole that it left.",
            7,
            reversed(&[0, 2, 3, 1]),
        ),
        ok(
            "duplicates",
            "Samples 1 and 2 come twice and count once.",
            9,
            reversed(&[0, 1, 2, 1, 2, 3]),
        ),
        ok(
            "large-numbers",
            "The ends of each range: sequence numbers, times, the stream's number.",
            3,
            large_numbers(),
        ),
    ]
}

fn appended(mut first: Writer, second: &Writer) -> Writer {
    first.bytes.extend_from_slice(&second.bytes);
    first
}

fn every_kind() -> Writer {
    let stage = Stage {
        name: "capture".into(),
        command: vec!["capture".into(), "-n4".into()],
        version: "0.1.0".into(),
        host: "rig".into(),
        pid: 42,
    };
    let session = Session {
        uuid: "0a0b0c0d-0000-4000-8000-000000000000".into(),
        host: "rig".into(),
        boot_id: "b007".into(),
        start_realtime: 1_700_000_000_000_000_000,
        start_monotonic: START,
        meta: [("subject".into(), "7".into())].into(),
        stages: vec![stage],
    };
    let clock = ClockReading {
        monotonic: START,
        realtime: Some(1_700_000_000_000_000_000),
        error: Some(1_500),
        ..ClockReading::default()
    };
    let event = Event { label: "led".into(), value: Value::Int(-1), source: "me".into() };
    let pair = pair(1);
    let end = Totals { stream: 1, first: 0, next: 4, samples: 3, lost: 1 };
    Writer::bare(A)
        .typed(0, 0, &session)
        .typed(1, 0, &described())
        .data(1, 0)
        .batch(1, 1, true, &[(0, None, &pair), (1_000, None, &pair)])
        .typed(1, 3, &gap(3, Some(1), Reason::Queue))
        .typed(0, 0, &clock)
        .typed(1, 4, &event)
        .typed(0, 0, &stats())
        .typed(0, 0, &End { streams: vec![end], reason: "count".into() })
}

fn described() -> Stream {
    let channel = |label: &str, x| Channel {
        label: label.into(),
        unit: "kPa".into(),
        region: "palm".into(),
        position: Some([x, 0.5, 0.0]),
    };
    let device =
        Device { make: "maker".into(), model: "glove".into(), ..Device::default() };
    Stream {
        channels: vec![channel("a", 0.0), channel("b", 2.5)],
        device,
        stamp: "arrival".into(),
        ..pairs()
    }
}

fn stats() -> Stats {
    Stats {
        stage: "capture".into(),
        from: START,
        to: START + 1_000_000_000,
        input: Flow { records: 4, samples: 4, bytes: 208 },
        output: Flow { records: 3, samples: 3, bytes: 250 },
        dropped: 1,
        hop: vec![(12, 3)],
        ..Stats::default()
    }
}

fn device_times() -> Writer {
    let clock = DeviceClock { rate: 1e6, bits: 32 };
    let stream = Stream { device_clock: Some(clock), ..pairs() };
    let begin = Writer::new(A).typed(1, 0, &stream);
    let header = Header { flags: FLAG_DEVICE_TIME, ..begin.header(Kind::DATA, 1, 0) };
    let [one, two] = [pair(1), pair(2)];
    // The device's counter wraps between the two samples of the batch.
    let samples: [Timed<'_>; 2] =
        [(-20_000, Some(u32::MAX.into()), &one), (35_000, Some(4_999), &two)];
    begin
        .send(header, &[&4_294_962_296u64.to_le_bytes()[..], &pair(0)].concat())
        .batch(1, 1, true, &samples)
        .end(&[(1, 3)])
}

fn batches_fixed() -> Writer {
    let [a, b, c] = [pair(0), pair(1), pair(2)];
    Writer::new(A)
        .typed(1, 0, &pairs())
        .batch(1, 0, true, &[(0, None, &a), (7, None, &b), (-7, None, &c)])
        .batch(1, 3, true, &[])
        .batch(1, 3, true, &[(0, None, &a)])
        .end(&[(1, 4)])
}

fn batches_varying() -> Writer {
    let samples: [Timed<'_>; 3] =
        [(0, None, b"one"), (0, None, b""), (0, None, b"three")];
    Writer::new(A)
        .typed(1, 0, &lines())
        .batch(1, 0, false, &samples)
        .record(Kind::DATA, 1, 3, b"four")
        .end(&[(1, 4)])
}

fn unknown_kinds(flags: u8) -> Writer {
    let begin = Writer::new(A).typed(1, 0, &pairs()).data(1, 0);
    let header = Header { flags, ..begin.header(Kind(200), 1, 1) };
    begin.send(header, b"what is this").record(Kind(0), 0, 0, &[]).end(&[(1, 1)])
}

/// Bytes of a map that no struct of this version stands for.
fn map(value: &serde_json::Value) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap_or_default()
}

fn unknown_keys() -> Writer {
    let session = json!({"uuid": "0a0b0c0d", "mood": {"now": "good", "was": [1, null]}});
    let stream = json!({"name": "pairs", "media": "hologram", "depth": 3.5});
    let gap = json!({"first": 0, "count": 2, "reason": "gremlins", "colour": "grey"});
    let end = json!({"streams": [{
        "stream": 1, "first": 0, "next": 2, "samples": 0, "lost": 2, "regretted": 2,
    }]});
    Writer::bare(A)
        .record(Kind::SESSION, 0, 0, &map(&session))
        .record(Kind::STREAM, 1, 0, &map(&stream))
        .record(Kind::GAP, 1, 0, &map(&gap))
        .record(Kind::EVENT, 1, 2, &map(&json!({"label": "only"})))
        .record(Kind::END, 0, 0, &map(&end))
}

fn interleaved_streams() -> Writer {
    Writer::new(A)
        .typed(1, 0, &pairs())
        .typed(2, 0, &lines())
        .data(1, 0)
        .record(Kind::DATA, 2, 0, b"a")
        .data(1, 1)
        .data(1, 2)
        .record(Kind::DATA, 2, 1, b"bc")
        .end(&[(1, 3), (2, 2)])
}

fn gap_known() -> Writer {
    let totals = Totals { stream: 1, first: 0, next: 5, samples: 2, lost: 3 };
    let (from, to) = (Some(START), Some(START + 4 * PERIOD));
    let gap = Gap { from, to, ..gap(1, Some(3), Reason::Device) };
    Writer::new(A).typed(1, 0, &pairs()).data(1, 0).typed(1, 1, &gap).data(1, 4).typed(
        0,
        0,
        &End { streams: vec![totals], reason: "end".into() },
    )
}

/// Samples 0 to 3 in this order, some of them perhaps again.
fn reversed(order: &[u64]) -> Writer {
    let begin = Writer::new(A).typed(1, 0, &pairs());
    order.iter().fold(begin, |writer, seq| writer.data(1, *seq)).end(&[(1, 4)])
}

fn large_numbers() -> Writer {
    let header = |stream, seq, time, sent| Header {
        kind: Kind::DATA,
        flags: 0,
        stream,
        session: u32::MAX,
        seq,
        time,
        sent,
    };
    let stream = u16::MAX;
    Writer::bare(u32::MAX)
        .send(header(stream, (1 << 53) + 1, i64::MIN, i64::MAX), b"a")
        .send(header(stream, (1 << 53) + 2, i64::MAX, i64::MIN), b"b")
        .send(header(1, u64::MAX - 1, -1, 0), b"c")
}

/// Streams that something happened to.
pub(crate) fn bad() -> Vec<Case> {
    let bad = |name, about, found, bytes| Case { name, about, bytes, found };
    let all = short(A);
    let [first, third, last] = [0, 3, all.marks.len() - 1];
    vec![
        bad(
            "flip-first-magic",
            "A bit of the very first magic: damaged, not joined late.",
            (6, &["header"]),
            all.flipped(first, 2, 0),
        ),
        bad(
            "flip-magic",
            "A bit of a magic.",
            (6, &["header"]),
            all.flipped(third, 0, 7),
        ),
        bad(
            "flip-header",
            "A bit of a sequence number; the header's CRC tells.",
            (6, &["header"]),
            all.flipped(third, 16, 3),
        ),
        bad(
            "flip-length",
            "A bit of a length, that must not be believed.",
            (6, &["header"]),
            all.flipped(third, 11, 1),
        ),
        bad(
            "flip-payload",
            "A bit of a payload: the header still tells which sample is lost.",
            (6, &["payload"]),
            all.flipped(third, HEADER_LEN + 1, 5),
        ),
        bad(
            "flip-last",
            "A bit of the last payload, after which no header follows.",
            (6, &["payload"]),
            all.flipped(last, HEADER_LEN + 3, 5),
        ),
        bad("cut", "Twenty bytes of a header are gone.", (6, &["header"]), cut(&all)),
        bad(
            "swallowed",
            "As many bytes of a payload are gone as the next record has: the length reaches \
             just over that record, which must come all the same.",
            (3, &["payload"]),
            swallowed(),
        ),
        bad(
            "inserted",
            "Foreign bytes between two records.",
            (7, &["header"]),
            inserted(&all),
        ),
        bad(
            "truncated",
            "The stream ends within the payload of END.",
            (6, &["truncated"]),
            all.bytes[..all.bytes.len() - 9].to_vec(),
        ),
        bad(
            "no-end",
            "The stream ends after a whole record, but without END.",
            (6, &[]),
            all.bytes[..all.marks[last]].to_vec(),
        ),
        bad(
            "late",
            "The tail of a stream, from within sample 0: late, not damaged, and what was \
             before is not lost.",
            (4, &["late"]),
            all.bytes[all.marks[2] + 30..].to_vec(),
        ),
        bad(
            "embedded",
            "A recording as the payload of another, damaged: nothing in it is delivered.",
            (3, &["payload"]),
            embedded(),
        ),
        bad(
            "broken-then-whole",
            "A recording that broke off within a payload, then a whole one: the length \
             reaches into the second, and nothing of that may be lost.",
            (13, &["payload"]),
            [&all.bytes[..all.bytes.len() - 9], &short(B).bytes].concat(),
        ),
        bad(
            "version",
            "A record of version 2 amid those of version 1.",
            (7, &["version"]),
            with_foreign(&all, b'2', 4),
        ),
        bad(
            "too-long",
            "A header that holds, with a length over the format's limit.",
            (7, &["too-long"]),
            with_foreign(&all, MAGIC[3], MAX_PAYLOAD as u32 + 1),
        ),
        bad(
            "batch-nonsense",
            "Good CRCs, but the batch claims more samples than it has bytes; \
             they are lost, and no others.",
            (6, &[]),
            batch_nonsense(),
        ),
        bad(
            "mixed-sessions",
            "Two recordings were written into one pipe, record by record.",
            (14, &[]),
            mixed_sessions(),
        ),
    ]
}

fn cut(all: &Writer) -> Vec<u8> {
    let at = all.marks[3] + 10;
    [&all.bytes[..at], &all.bytes[at + 20..]].concat()
}

fn inserted(all: &Writer) -> Vec<u8> {
    let (before, after) = all.bytes.split_at(all.marks[4]);
    [before, b"tty: \xD5FP1 break\n", after].concat()
}

fn swallowed() -> Vec<u8> {
    let all =
        Writer::new(A).record(Kind::DATA, 1, 0, &[0x55; 100]).data(1, 1).end(&[(1, 2)]);
    let lost = all.marks[3] - all.marks[2];
    let at = all.marks[1] + HEADER_LEN + 10;
    [&all.bytes[..at], &all.bytes[at + lost..]].concat()
}

fn embedded() -> Vec<u8> {
    let inner = Writer::bare(B).data(1, 0).data(1, 1).data(1, 2);
    let all = Writer::new(A).record(Kind::DATA, 1, 0, &inner.bytes).data(1, 1);
    all.end(&[(1, 2)]).flipped(1, HEADER_LEN + 50, 0)
}

/// A header that holds, of this version's digit and a length, and four bytes after it.
fn with_foreign(all: &Writer, digit: u8, length: u32) -> Vec<u8> {
    let mut foreign = all.header(Kind::DATA, 1, 2).encode(length, 0);
    foreign[3] = digit;
    let (body, crc) = foreign.split_at_mut(HEADER_LEN - 4);
    crc.copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
    let (before, after) = all.bytes.split_at(all.marks[4]);
    [before, &foreign, &pair(2), after].concat()
}

fn batch_nonsense() -> Vec<u8> {
    let claim = [&1_000_000u32.to_le_bytes()[..], &[0; 12], &pair(1)].concat();
    let begin = Writer::new(A).typed(1, 0, &pairs()).data(1, 0);
    begin.record(Kind::BATCH, 1, 1, &claim).data(1, 2).end(&[(1, 3)]).bytes
}

fn mixed_sessions() -> Vec<u8> {
    let both = [short(A), short(B)];
    let mut bytes = Vec::new();
    for record in 0..both[0].marks.len() {
        for Writer { bytes: all, marks, .. } in &both {
            let end = marks.get(record + 1).copied().unwrap_or(all.len());
            bytes.extend_from_slice(&all[marks[record]..end]);
        }
    }
    bytes
}
