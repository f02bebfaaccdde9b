//! Memory is bounded by options, not by what comes.

use framepipe_tests::pipe;
use libframe::batch::{Builder, Sample};
use libframe::payload::Payload as _;
use libframe::schema::{Channel, Dtype, Media, Stream};
use libframe::wire::{Header, Kind, Record};

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 32 * MIB;

/// What a report may take: it is made when all is over, of what is known of all streams.
const REPORT_LIMIT: u64 = 96 * MIB;

/// What a reader of recordings of every format may take: HDF5's library and those that it
/// needs are loaded with it.
const FORMATS_LIMIT: u64 = LIMIT + 8 * MIB;

/// What a stage that queues may take: its queue, and records on both sides of it.
const QUEUE_LIMIT: u64 = LIMIT + 4 * MIB + 2 * 24 * MIB;

fn limit(tool: &str) -> u64 {
    match tool {
        tool if tool.starts_with("jitter-report") => REPORT_LIMIT,
        tool if tool.starts_with("inspect-frames") => FORMATS_LIMIT,
        tool if tool.contains("--queue ") => QUEUE_LIMIT,
        _ => LIMIT,
    }
}

/// Every reader, with arguments that make it hold as much as it can.
const READERS: &[&str] = &[
    "pick-frames --every 2",
    "pick-frames -c 0",
    "pick-frames",
    "fan-out --may 'sleep 60' --grace 0s",
    "batch-frames -n 1000000",
    "batch-frames --split",
    "calibrate-frames --gain 2 --tare 1h --all",
    "merge-frames -",
    "repair-frames -q",
    "queue-frames --queue 4MiB",
    "queue-frames --queue 4MiB --overflow drop-oldest",
    "thin-frames --rate 1000000",
    "thin-frames --factor 30",
    "thin-frames --factor 3 --method average",
    "thin-frames --queue 4MiB --newest",
    "thin-frames --queue 4MiB --adapt",
    "clip-frames --memory 4MiB --when *>-9e9 --pre 1h --post 1h",
    "mark-frames",
    "inspect-frames",
    "jitter-report",
    "to-osc udp://127.0.0.1:9 --queue 4MiB --blobs --events --gaps",
    "to-text --bytes 100000000",
    "to-metrics 0",
    "to-xdf --queue 4MiB {new}/a.xdf",
    "to-zmq tcp://127.0.0.1:*",
];

fn header(kind: Kind, stream: u16, session: u32) -> Header {
    Header { kind, flags: 0, stream, session, seq: 0, time: 0, sent: 0 }
}

#[track_caller]
fn check(what: &str, input: &[u8]) {
    // A merge makes one session of all, and refuses what no session can hold.
    let merges = !what.starts_with("streams");
    for tool in READERS.iter().filter(|tool| merges || !tool.starts_with("merge")) {
        let mut started = pipe(tool).input_left_open(input).start();
        // A stage that has exited already shows no memory.
        started.read_stdout().until_fed().close_stdin();
        let peak = started.wait().peaks[0];
        assert!(peak > 0 && peak < limit(tool), "{tool}, {what}: {} KiB", peak / 1024);
    }
}

#[test]
fn records_up_to_the_limit() {
    let mut bytes = Vec::new();
    let stream = Stream { name: "big".into(), media: Media::Bytes, ..Stream::default() };
    let announce = stream.to_bytes();
    Record::new(header(Kind::STREAM, 1, 7), &announce).encode(&mut bytes);
    for seq in 0..3 {
        let payload = vec![seq as u8; 24 << 20];
        Record::new(Header { seq, ..header(Kind::DATA, 1, 7) }, &payload)
            .encode(&mut bytes);
    }
    // to-text shows what it is asked to show, and a line is made in one piece.
    for tool in READERS.iter().filter(|tool| !tool.starts_with("to-text")) {
        let run = pipe(tool).input(&bytes[..]).run();
        // A branch may hold two that are longer than its queue: one is written, one waits.
        let branches = if tool.starts_with("fan-out") { 2 } else { 0 };
        let limit = limit(tool) + 2 * branches * (24 << 20);
        assert!(run.peaks[0] < limit, "{tool}: {} KiB", run.peaks[0] / 1024);
    }
}

#[test]
fn batches_of_samples_as_long_as_they_may_be() {
    let stream = Stream { name: "big".into(), media: Media::Bytes, ..Stream::default() };
    let announce = stream.to_bytes();
    let commands = ["batch-frames --split", "pick-frames --every 2", "pick-frames -n 1"];
    for (sizes, timed) in [(&[20 << 20][..], true), (&[18 << 20, 4 << 20], false)] {
        let mut bytes = Vec::new();
        Record::new(header(Kind::STREAM, 1, 7), &announce).encode(&mut bytes);
        let samples: Vec<Vec<u8>> = sizes.iter().map(|size| vec![5; *size]).collect();
        let mut builder = Builder::new(false);
        for (seq, bytes) in (0..).zip(&samples) {
            let device_time = timed.then_some(seq);
            let sample = Sample { seq, time: 9, device_time, bytes };
            assert!(builder.push(&header(Kind::BATCH, 1, 7), &sample, 24 << 20));
        }
        builder.finish().unwrap().encode(&mut bytes);
        for tool in commands {
            let run = pipe(tool).input(&bytes[..]).run();
            let wanted = if tool.ends_with("split") { sizes.len() as u64 } else { 1 };
            assert_eq!(run.samples(), wanted, "{tool}");
            assert!(run.peaks[0] < LIMIT, "{tool}: {} KiB", run.peaks[0] / 1024);
        }
    }
}

#[test]
fn a_record_over_the_limit_is_refused_before_it_is_stored() {
    let mut bytes = pipe("sim-src -n 10 --rate max").run().stdout;
    let long = vec![1; 40 << 20];
    Record::new(header(Kind::DATA, 1, 7), &long).encode(&mut bytes);
    for tool in READERS {
        let run = pipe(tool).input(&bytes[..]).run();
        run.expect(&[3]);
        assert!(run.peaks[0] < limit(tool), "{tool}: {} KiB", run.peaks[0] / 1024);
    }
    let run = pipe("pick-frames --max-record 64MiB").input(&bytes[..]).run();
    assert_eq!(run.samples(), 11);
}

#[test]
fn thousands_of_streams_and_sessions() {
    let mut bytes = Vec::new();
    for session in 0..20u32 {
        for stream in 1..4000 {
            Record::new(header(Kind::DATA, stream, session), b"x").encode(&mut bytes);
        }
    }
    check("streams", &bytes);
}

#[test]
fn streams_of_sessions_that_are_over() {
    let mut bytes = Vec::new();
    let small = Stream { name: "s".into(), ..Stream::default() }.to_bytes();
    for session in 0..40 {
        for stream in 1..4000 {
            Record::new(header(Kind::STREAM, stream, session), &small).encode(&mut bytes);
        }
    }
    check("streams of sessions", &bytes);
}

#[test]
fn descriptions_as_large_as_they_may_be() {
    let stream = Stream {
        name: "wide".into(),
        media: Media::Samples,
        dtype: Some(Dtype::F32),
        shape: vec![16384],
        channels: vec![Channel::default(); 16384],
        ..Stream::default()
    };
    let payload = stream.to_bytes();
    let mut bytes = Vec::new();
    for number in 1..200 {
        Record::new(header(Kind::STREAM, number, 7), &payload).encode(&mut bytes);
    }
    check("descriptions", &bytes);
}

#[test]
fn noise() {
    let mut state = 1u64;
    let mut noise = vec![0; 20 << 20];
    for chunk in noise.chunks_exact_mut(8) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        chunk.copy_from_slice(&state.to_le_bytes());
    }
    check("noise", &noise);
}

#[test]
fn a_million_records_and_ten_times_as_many_take_the_same() {
    let peaks = |samples: u64| {
        // How full the source's queue becomes depends on what else the machine does, so
        // it is a small one.
        let line = format!(
            "sim-src -n {samples} --rate max --queue 64KiB | pick-frames \
             | batch-frames -n 50 | batch-frames --split | repair-frames \
             | inspect-frames -f json"
        );
        let run = pipe(&line).run();
        run.expect(&[0; 6]);
        let streams = run.json()["sessions"][0]["streams"].clone();
        assert_eq!(streams[0]["samples"], samples);
        run.peaks
    };
    let (few, many) = (peaks(1_000_000), peaks(10_000_000));
    for (few, many) in few.iter().zip(&many) {
        assert!(*many < LIMIT, "{many}");
        assert!(*many < few + MIB, "from {few} to {many} bytes");
    }
}
