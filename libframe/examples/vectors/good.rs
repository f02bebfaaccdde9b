//! Streams as they should be, every part of the format in one of them.

use libframe::payload::{
    ClockReading, End, Event, Flow, Gap, Payload as _, Reason, Session, Stage, Stats,
    Totals, Value,
};
use libframe::schema::{Channel, Device, DeviceClock, Stream};
use libframe::wire::{FLAG_DEVICE_TIME, FLAG_MUST_KNOW, Header, Kind};
use serde_json::json;

use crate::cases::*;

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
            "gap-partial",
            "Two samples come without their second channel, and a GAP tells.",
            7,
            gap_partial(),
        ),
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
            "other-clock",
            "A stream of another host: its times are raw, and a CLOCK on it tells how far its \
             clock is from that of the session.",
            6,
            other_clock(),
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

pub(crate) fn appended(mut first: Writer, second: &Writer) -> Writer {
    first.bytes.extend_from_slice(&second.bytes);
    first
}

pub(crate) fn every_kind() -> Writer {
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

pub(crate) fn described() -> Stream {
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

pub(crate) fn stats() -> Stats {
    Stats {
        stage: "capture".into(),
        from: START,
        to: START + 1_000_000_000,
        input: Flow { records: 4, samples: 4, bytes: 208 },
        output: Flow { records: 3, samples: 3, bytes: 250 },
        dropped: 1,
        hop: vec![(12, 3)],
        age: vec![(14, 3)],
        number: Some(0),
        last: true,
        ..Stats::default()
    }
}

pub(crate) fn device_times() -> Writer {
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

pub(crate) fn other_clock() -> Writer {
    let ahead = 3_600_000_000_000;
    let clock = ClockReading {
        monotonic: START,
        remote: "rig-2".into(),
        offset: Some(ahead),
        round_trip: Some(250_000),
        ..ClockReading::default()
    };
    let begin = Writer::new(A).typed(1, 0, &pairs());
    let on_its_clock = |kind: Kind, seq: u64| {
        let header = begin.header(kind, 1, seq);
        Header { time: header.time + ahead, ..header }
    };
    let [first, second] = [0, 1].map(|seq| on_its_clock(Kind::DATA, seq));
    let told = on_its_clock(Kind::CLOCK, 0);
    begin
        .send(told, &clock.to_bytes())
        .send(first, &pair(0))
        .send(second, &pair(1))
        .end(&[(1, 2)])
}

pub(crate) fn batches_fixed() -> Writer {
    let [a, b, c] = [pair(0), pair(1), pair(2)];
    Writer::new(A)
        .typed(1, 0, &pairs())
        .batch(1, 0, true, &[(0, None, &a), (7, None, &b), (-7, None, &c)])
        .batch(1, 3, true, &[])
        .batch(1, 3, true, &[(0, None, &a)])
        .end(&[(1, 4)])
}

pub(crate) fn batches_varying() -> Writer {
    let samples: [Timed<'_>; 3] =
        [(0, None, b"one"), (0, None, b""), (0, None, b"three")];
    Writer::new(A)
        .typed(1, 0, &lines())
        .batch(1, 0, false, &samples)
        .record(Kind::DATA, 1, 3, b"four")
        .end(&[(1, 4)])
}

pub(crate) fn unknown_kinds(flags: u8) -> Writer {
    let begin = Writer::new(A).typed(1, 0, &pairs()).data(1, 0);
    let header = Header { flags, ..begin.header(Kind(200), 1, 1) };
    begin.send(header, b"what is this").record(Kind(0), 0, 0, &[]).end(&[(1, 1)])
}

/// Bytes of a map that no struct of this version stands for.
pub(crate) fn map(value: &serde_json::Value) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap_or_default()
}

pub(crate) fn unknown_keys() -> Writer {
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

pub(crate) fn interleaved_streams() -> Writer {
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

pub(crate) fn gap_known() -> Writer {
    let totals = Totals { stream: 1, first: 0, next: 5, samples: 2, lost: 3 };
    let (from, to) = (Some(START), Some(START + 4 * PERIOD));
    let gap = Gap { from, to, ..gap(1, Some(3), Reason::Device) };
    Writer::new(A).typed(1, 0, &pairs()).data(1, 0).typed(1, 1, &gap).data(1, 4).typed(
        0,
        0,
        &End { streams: vec![totals], reason: "end".into() },
    )
}

pub(crate) fn gap_partial() -> Writer {
    let (partial, channels) = (Some(2), vec![1]);
    let gap = Gap { partial, channels, ..gap(1, None, Reason::Transport) };
    let begin = Writer::new(A).typed(1, 0, &pairs()).data(1, 0).typed(1, 1, &gap);
    begin.data(1, 1).data(1, 2).end(&[(1, 3)])
}

/// Samples 0 to 3 in this order, some of them perhaps again.
pub(crate) fn reversed(order: &[u64]) -> Writer {
    let begin = Writer::new(A).typed(1, 0, &pairs());
    order.iter().fold(begin, |writer, seq| writer.data(1, *seq)).end(&[(1, 4)])
}

pub(crate) fn large_numbers() -> Writer {
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
