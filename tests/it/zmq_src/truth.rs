//! Against the simulator's own account of what it sent and what it lost.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};

use framepipe_tests::{Run, Scratch, Started, binary, pipe};
use libframe::batch::Samples;
use libframe::decoder::{Decoder, Item};
use libframe::payload::{Event, Gap, Payload as _};
use libframe::wire::Kind;
use serde_json::Value;

use super::RHYTHM;
use super::rig::{events, samples};

/// A simulated plugin, and where it writes what it did.
struct Sim {
    device: Started,
    scratch: Scratch,
    endpoint: String,
}

/// What was sent of a stream.
#[derive(Debug, Default)]
struct Truth {
    /// By the number of its first sample: how many samples, how many channels, which lost.
    blocks: BTreeMap<u64, (u64, u64, BTreeSet<u64>)>,
    events: usize,
    spikes: usize,
}

impl Sim {
    fn new(options: &str) -> Sim {
        let scratch = Scratch::new();
        let truth = scratch.file("truth.ndjson");
        let line = format!(
            "sim-device open-ephys --port 0 --wait-for-client --patient --truth {truth} {options}"
        );
        let mut device = pipe(&line).start();
        let told = Cell::new(Vec::new());
        device.until_stdout(|text| {
            told.set(text.to_vec());
            text.ends_with(b"\n")
        });
        let endpoint = String::from_utf8(told.take()).unwrap().trim().to_owned();
        Sim { device, scratch, endpoint }
    }

    fn capture(&self, options: &str) -> Run {
        pipe(&format!("zmq-src {} --idle 1s {options}", self.endpoint)).run()
    }

    fn truth(self) -> Truth {
        self.device.wait().expect(&[0]);
        let mut truth = Truth::default();
        for line in fs::read_to_string(self.scratch.file("truth.ndjson")).unwrap().lines()
        {
            let line: Value = serde_json::from_str(line).unwrap();
            let arrived = line["lost"] == Value::Bool(false);
            match line["what"].as_str().unwrap() {
                "block" => {
                    let number = |key: &str| line[key].as_u64().unwrap();
                    let lost = line["lost"].as_array().unwrap();
                    let lost = lost.iter().map(|channel| channel.as_u64().unwrap());
                    let block = (number("n"), number("channels"), lost.collect());
                    truth.blocks.insert(number("sample_num"), block);
                }
                "event" => truth.events += usize::from(arrived),
                "spike" => truth.spikes += usize::from(arrived),
                _ => {}
            }
        }
        truth
    }
}

/// What channel 'channel' of the first stream shows.
fn shown(sample: u64, channel: u64) -> f32 {
    (1024 * (sample % 16384) + channel % 1024) as f32
}

/// Checks every value, and that what is missing is what was lost.
#[track_caller]
fn expect_truth(run: &Run, name: &str, truth: &Truth, channels: &[u64]) {
    let got = samples(run, name);
    assert!(got.windows(2).all(|two| two[0].time < two[1].time));
    assert!(got.iter().all(|sample| sample.seq == sample.number - got[0].number));
    let by_number: BTreeMap<u64, &[f32]> =
        got.iter().map(|sample| (sample.number, &sample.values[..])).collect();
    let (mut partial, mut whole) = (0, 0);
    for (first, (n, width, lost)) in &truth.blocks {
        assert_eq!(*width, channels.len() as u64);
        for sample in *first..first + n {
            if lost.len() == channels.len() {
                whole += 1;
                assert!(!by_number.contains_key(&sample), "{sample}");
                continue;
            }
            partial += u64::from(!lost.is_empty());
            for (channel, value) in channels.iter().zip(by_number[&sample]) {
                if lost.contains(channel) {
                    assert!(value.is_nan(), "{sample} {channel}: {value}");
                } else {
                    assert_eq!(*value, shown(sample, *channel), "{sample} {channel}");
                }
            }
        }
    }
    let gaps = run.payloads::<Gap>();
    let told: u64 = gaps.iter().filter_map(|gap| gap.count).sum();
    let partly: u64 = gaps.iter().filter_map(|gap| gap.partial).sum();
    assert_eq!((told, partly), (whole, partial));
}

#[test]
fn every_value_of_every_generation_is_what_was_sent() {
    for (generation, name, lose) in [
        ("0.2.0", "open-ephys", "10%"),
        ("interim", "", "1%"),
        ("0.3.0", RHYTHM, "1%"),
        ("0.3.2", RHYTHM, "1%"),
        ("1.0", RHYTHM, "1%"),
        ("1.0-names", RHYTHM, "1%"),
    ] {
        let channels: &[u64] = match generation {
            "0.2.0" => &[0, 1, 2, 3, 4],
            _ => &[4, 6, 8, 9, 10],
        };
        let chosen: Vec<_> = channels.iter().map(u64::to_string).collect();
        let sim = Sim::new(&format!(
            "--generation {generation} --channels {} --block 100-600 --lose {lose} --quirk 1% \
             --events 20 --spikes 20 --speed 20 -n 60000",
            chosen.join(",")
        ));
        let run = sim.capture("");
        run.expect(&[3]);
        let truth = sim.truth();
        let name = match name {
            "" => {
                let streams = run.payloads::<libframe::schema::Stream>();
                streams
                    .iter()
                    .find(|s| s.name.starts_with("stream "))
                    .unwrap()
                    .name
                    .clone()
            }
            name => name.to_owned(),
        };
        // What the last block lacks may be what is still to come.
        expect_truth(&run, &name, &truth, channels);
        let ttl = events(&run, "ttl").len();
        assert_eq!(ttl, truth.events, "{generation}");
    }
}

#[test]
fn a_rig_of_two_streams_that_stops_and_starts_loses_nothing() {
    let sim = Sim::new(
        "--stream ProbeA:channels=0-7,rate=30000 --stream LFP:channels=2,5,rate=2500,block=40 \
         --restart 100ms/1s --change-channels 2500ms:0-9 --speed 2 --duration 2s",
    );
    let run = sim.capture("");
    run.expect(&[0]).expect_silence();
    for name in ["ProbeA", "LFP"] {
        let got = samples(&run, name);
        assert!(got.iter().zip(0..).all(|(sample, seq)| sample.seq == seq), "{name}");
        assert!(got.windows(2).all(|two| two[0].time < two[1].time), "{name}");
    }
    let segments = events(&run, "segment");
    assert!(segments.len() >= 4, "{}", segments.len());
    sim.truth();
}

#[test]
fn an_acquisition_begins_anew_also_where_messages_are_counted_on() {
    let sim = Sim::new(
        "--generation 0.2.0 --channels 3 --restart 200ms/1s --speed 2 --duration 1800ms",
    );
    let run = sim.capture("");
    run.expect(&[0]).expect_silence();
    let got = samples(&run, "open-ephys");
    assert!(got.iter().zip(0..).all(|(sample, seq)| sample.seq == seq));
    let back: Vec<_> = got.windows(2).filter(|two| two[1].number == 0).collect();
    assert_eq!(back.len(), events(&run, "segment").len());
    assert!(back.len() >= 2, "{}", back.len());
    for sample in &got {
        let right = [0, 1, 2].map(|channel| shown(sample.number, channel));
        assert_eq!(sample.values, right);
    }
    sim.truth();
}

#[test]
fn spikes_come_with_their_waveforms() {
    let sim = Sim::new("--channels 8 --spikes 100 --speed 10 -n 60000");
    let run = sim.capture("");
    run.expect(&[0]).expect_silence();
    let truth = sim.truth();
    let streams = run.payloads::<libframe::schema::Stream>();
    let mut names: Vec<_> = streams
        .into_iter()
        .map(|s| s.name)
        .filter(|name| name.contains(".spikes-"))
        .collect();
    names.sort();
    names.dedup();
    let count: usize = names.iter().map(|name| samples(&run, name).len()).sum();
    assert_eq!(count, truth.spikes);
    assert!(run.payloads::<Event>().iter().all(|event| event.label != "unusable"));
}

/// Checks a stream as it comes, since an hour of it has no room in memory.
#[derive(Default)]
struct Checker {
    decoder: Decoder,
    /// Samples that came, blocks and channels that are NaN, and those that gaps tell.
    samples: u64,
    nan: BTreeSet<(u64, u64)>,
    told: BTreeSet<(u64, u64)>,
}

impl Checker {
    const CHANNELS: u64 = 8;
    const BLOCK: u64 = 480;

    fn take(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
        while let Some(item) = self.decoder.pull() {
            let Item::Record(record) = item else { panic!("{item:?}") };
            if record.header.stream != 1 {
                continue;
            }
            if record.header.kind == Kind::GAP {
                let gap = Gap::from_bytes(record.payload).unwrap();
                assert_eq!(gap.partial, Some(Checker::BLOCK), "{gap:?}");
                let channels = gap.channels.iter().map(|channel| u64::from(*channel));
                self.told.extend(channels.map(|channel| (gap.first, channel)));
            }
            if !record.header.kind.has_samples() {
                continue;
            }
            for sample in Samples::parse(&record, true).unwrap().iter() {
                assert_eq!(
                    (sample.seq, sample.device_time),
                    (self.samples, Some(self.samples))
                );
                for (value, channel) in sample.bytes.as_chunks().0.iter().zip(0..) {
                    let value = f32::from_le_bytes(*value);
                    if value.is_nan() {
                        let block = sample.seq / Checker::BLOCK * Checker::BLOCK;
                        self.nan.insert((block, channel));
                    } else {
                        assert_eq!(value, shown(sample.seq, channel), "{}", sample.seq);
                    }
                }
                self.samples += 1;
            }
        }
    }
}

/// An hour of samples, faster than it takes; half a minute of it, unless `FRAMEPIPE_HOUR` is
/// set.
#[test]
fn one_message_in_ten_thousand_for_an_hour() {
    let is_long = std::env::var_os("FRAMEPIPE_HOUR").is_some();
    let samples = if is_long { 3600 * 30_000 } else { 30 * 30_000 };
    let sim = Sim::new(&format!("--channels 8 --lose 0.01% --speed max -n {samples}"));
    let mut capture = Command::new(binary("zmq-src"))
        .args([&sim.endpoint, "--idle", "2s", "-q"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = capture.stdout.take().unwrap();
    let (mut checker, mut buffer) = (Checker::default(), vec![0; 1 << 20]);
    loop {
        match stdout.read(&mut buffer).unwrap() {
            0 => break,
            n => checker.take(&buffer[..n]),
        }
    }
    assert_eq!((capture.wait().unwrap().code(), checker.samples), (Some(3), samples));
    let truth = sim.truth();
    let lost = truth.blocks.iter().flat_map(|(first, (_, width, lost))| {
        assert_eq!(*width, Checker::CHANNELS);
        lost.iter().map(|channel| (*first, *channel))
    });
    let lost: BTreeSet<_> = lost.collect();
    assert!(lost.len() as u64 > samples / 480 * 8 / 20_000, "{}", lost.len());
    assert_eq!(checker.nan, lost);
    assert_eq!(checker.told, lost);
    eprintln!("{samples} samples of 8 channels, {} messages lost", lost.len());
}
