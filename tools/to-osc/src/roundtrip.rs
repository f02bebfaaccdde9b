//! What is sent means what came, for streams of any shape in any layout, by a decoder that
//! is not ours; and it is sent in the very bytes that the manual has.

use libframe::batch::{Builder, Sample, Samples};
use libframe::schema::{Dtype, Media, Stream};
use libframe::wire::{Header, Kind};
use proptest::prelude::*;
use rosc::{OscMessage, OscPacket, OscType, decoder};

use crate::layout::{Layout, Style};
use crate::notes::time_tag;
use crate::numbers::Nan;
use crate::track::{Manner, Outlet, Track, Way};
use crate::values::Values;

/// All messages, and how many samples each slab had.
#[derive(Debug, Default)]
struct Sent {
    messages: Vec<Vec<u8>>,
    samples: u64,
}

impl Outlet for Sent {
    fn message(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.messages.push(bytes);
    }

    fn slab(&mut self, samples: u64) {
        self.samples += samples;
    }
}

/// Numbers that came out of messages: their sample, channel and value.
type Numbers = Vec<((usize, usize), f32)>;

fn manner(layout: Layout, values: Values, limit: usize) -> Manner {
    Manner {
        style: Style { layout, sequence: layout.scales(), values },
        address: "/data".parse().unwrap(),
        channel_address: "/ch{index:03}".parse().unwrap(),
        group: None,
        batch: None,
        batch_time: 0,
        nan: Nan::Pass,
        limit,
    }
}

fn stream(channels: usize) -> Stream {
    Stream {
        name: "rig".into(),
        media: Media::Samples,
        dtype: Some(Dtype::F32),
        shape: vec![channels as u32],
        rate: Some(1000.0),
        ..Stream::default()
    }
}

/// Sends samples in records of `each`, a millisecond apart.
fn send(manner: &Manner, channels: usize, numbers: &[f32], each: usize) -> Sent {
    let mut track = Track::new(&stream(channels), manner).unwrap().unwrap();
    let mut sent = Sent::default();
    let tag = |time| time_tag(Some(time));
    let mut way = Way { manner, tag, out: &mut sent };
    let (kind, time) = (Kind::BATCH, 0);
    let header = Header { kind, flags: 0, stream: 1, session: 1, seq: 0, time, sent: 0 };
    let mut seq = 0;
    for record in numbers.chunks(channels * each) {
        let mut builder = Builder::new(true);
        for sample in record.chunks(channels) {
            let bytes: Vec<u8> = sample.iter().flat_map(|n| n.to_le_bytes()).collect();
            let time = seq as i64 * 1_000_000;
            let sample = Sample { seq, time, device_time: None, bytes: &bytes };
            assert!(builder.push(&header, &sample, 1 << 24));
            seq += 1;
        }
        let record = builder.finish().unwrap();
        track.take(&Samples::parse(&record, true).unwrap(), 0, &mut way);
    }
    track.flush(&mut way);
    sent
}

fn int(arg: &OscType) -> usize {
    usize::try_from(arg.clone().int().unwrap()).unwrap()
}

fn floats(args: &[OscType]) -> Vec<f32> {
    args.iter().map(|arg| arg.clone().float().unwrap()).collect()
}

/// Reads one message as the manual says. `next` is the sample that comes next where the
/// layout does not tell.
fn read(bytes: &[u8], layout: Layout, channels: usize, next: &mut [usize]) -> Numbers {
    let (rest, packet) = decoder::decode_udp(bytes).unwrap();
    assert!(rest.is_empty());
    let (message, time) = match packet {
        OscPacket::Message(message) => (message, None),
        OscPacket::Bundle(mut bundle) => match bundle.content.pop() {
            Some(OscPacket::Message(message)) => (message, Some(bundle.timetag)),
            other => panic!("{other:?}"),
        },
    };
    let OscMessage { addr, args } = message;
    let words: Vec<_> = addr.split('/').skip(1).collect();
    let part = |at: usize| words.get(at).map_or(0, |word| word.parse().unwrap());
    let mut guessed = |first: usize, samples: usize| {
        let sample = next[first];
        next[first] += samples;
        sample
    };
    let (sample, samples, first, count, by_channel, values) = match layout {
        Layout::Sample => {
            let first = part(2);
            (guessed(first, 1), 1, first, args.len(), false, floats(&args))
        }
        Layout::Individual => {
            let first = words[0].trim_start_matches("ch").parse().unwrap();
            (guessed(first, 1), 1, first, 1, false, floats(&args))
        }
        Layout::Batch => {
            let (samples, first) = (part(2), part(3));
            let sample = guessed(first, samples);
            (sample, samples, first, int(&args[0]), true, floats(&args[1..]))
        }
        Layout::Chunk => {
            let (samples, width) = words[2].split_once('x').unwrap();
            let (samples, first) = (samples.parse().unwrap(), part(3));
            let sample = guessed(first, samples);
            (sample, samples, first, width.parse().unwrap(), false, floats(&args))
        }
        Layout::Bundle => {
            let [sample, samples, first, count] = [0, 1, 2, 3].map(|n| int(&args[n]));
            check_time(time.unwrap(), sample, args[4].clone().float().unwrap(), samples);
            (sample, samples, first, count, false, floats(&args[5..]))
        }
        Layout::Blob => {
            let [sample, samples, first, count] = [0, 3, 4, 5].map(|n| int(&args[n]));
            let span = args[2].clone().float().unwrap();
            check_time(args[1].clone().time().unwrap(), sample, span, samples);
            let blob = args.last().unwrap().clone().blob().unwrap();
            let values = match args.len() {
                7 => {
                    let all = blob.as_chunks().0.iter();
                    all.map(|number| f32::from_le_bytes(*number)).collect()
                }
                _ => {
                    let scale = args[6].clone().float().unwrap();
                    let all = blob.as_chunks().0.iter().map(|n| i16::from_le_bytes(*n));
                    all.map(
                        |n| if n == i16::MIN { f32::NAN } else { f32::from(n) * scale },
                    )
                    .collect()
                }
            };
            (sample, samples, first, count, false, values)
        }
    };
    assert_eq!(values.len(), samples * count);
    assert!(first + count <= channels);
    let place = |n: usize| match by_channel {
        true => (sample + n % samples, first + n / samples),
        false => (sample + n / count, first + n % count),
    };
    values.into_iter().enumerate().map(|(n, value)| (place(n), value)).collect()
}

/// Samples are a millisecond apart, and the first is at 1970.
fn check_time(time: rosc::OscTime, sample: usize, span: f32, samples: usize) {
    let nanos = (u64::from(time.fractional) * 1_000_000_000) >> 32;
    let seconds = u64::from(time.seconds) - 2_208_988_800;
    let wanted = sample as u64 * 1_000_000;
    assert!((seconds * 1_000_000_000 + nanos).abs_diff(wanted) <= 1, "{time:?} {sample}");
    assert!((span - (samples - 1) as f32 * 1e-3).abs() < 1e-6);
}

fn everything(sent: &Sent, layout: Layout, channels: usize) -> Numbers {
    let mut next = vec![0; channels];
    let all = sent.messages.iter();
    let mut numbers: Numbers =
        all.flat_map(|bytes| read(bytes, layout, channels, &mut next)).collect();
    numbers.sort_by_key(|(place, _)| *place);
    numbers
}

const LAYOUTS: [Layout; 6] = [
    Layout::Sample,
    Layout::Batch,
    Layout::Individual,
    Layout::Chunk,
    Layout::Bundle,
    Layout::Blob,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_number_comes_out_in_its_place_and_no_datagram_is_too_long(
        layout in proptest::sample::select(&LAYOUTS),
        channels in 1..700usize,
        samples in 1..90usize,
        each in 1..90usize,
        limit in proptest::sample::select(vec![96, 200, 1472, 8192, 65507]),
        group in proptest::option::of(1..100usize),
        batch in proptest::option::of(1..60usize),
        batch_time in proptest::sample::select(vec![0, 1_000_000_000]),
        short in any::<bool>(),
    ) {
        let short = short && layout == Layout::Blob;
        let values = if short { Values::Short { scale: Some(0.5) } } else { Values::Float };
        let manner =
            Manner { group, batch, batch_time, ..manner(layout, values, limit) };
        // Whole numbers, which a step of 0.5 holds exactly.
        let numbers: Vec<f32> = (0..channels * samples).map(|n| (n % 16000) as f32).collect();
        let sent = send(&manner, channels, &numbers, each);
        prop_assert_eq!(sent.samples, samples as u64);
        for message in &sent.messages {
            prop_assert!(message.len() <= limit, "{} of {limit}", message.len());
        }
        let came = everything(&sent, layout, channels);
        let places = (0..samples).flat_map(|s| (0..channels).map(move |c| (s, c)));
        let wanted: Numbers = places.zip(numbers).collect();
        prop_assert_eq!(came, wanted);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of two channels, the hexadecimal digits of each message.
fn vectors(layout: Layout, numbers: &[f32]) -> Vec<String> {
    let sent = send(&manner(layout, Values::Float, 8192), 2, numbers, 100);
    sent.messages.iter().map(|bytes| hex(bytes)).collect()
}

#[test]
fn the_bytes_are_those_of_the_receivers_that_there_are() {
    assert_eq!(
        vectors(Layout::Sample, &[0.5, -1.0]),
        ["2f646174612f73616d706c65000000002c6666003f000000bf800000"]
    );
    // Two channels: 1 2 and 3 4.
    assert_eq!(
        vectors(Layout::Batch, &[1.0, 3.0, 2.0, 4.0]),
        [
            "2f646174612f62617463682f320000002c69666666660000000000023f8000004000000040400000\
          40800000"
        ]
    );
    assert_eq!(
        vectors(Layout::Individual, &[0.5, -1.0]),
        ["2f636830303000002c6600003f000000", "2f636830303100002c660000bf800000"]
    );
    assert_eq!(
        vectors(Layout::Chunk, &[0.5, -1.0]),
        ["2f646174612f6368756e6b2f317832002c6666003f000000bf800000"]
    );
}

#[test]
fn the_bytes_of_layouts_of_our_own_are_those_of_the_manual() {
    let manual = include_str!("manual.txt");
    let digits = |text: &str| {
        let words = text.split_whitespace();
        words.filter(|word| word.len() >= 8).collect::<String>()
    };
    let example = manual.split("00:00:00Z:").nth(1).unwrap();
    let example = digits(example.split("blob").next().unwrap());
    let manner = manner(Layout::Bundle, Values::Float, 8192);
    let mut track = Track::new(&stream(2), &manner).unwrap().unwrap();
    let mut sent = Sent::default();
    let tag = |time| time_tag(Some(time));
    let time = 1_751_932_800_500_000_000;
    let header = Header {
        kind: Kind::DATA,
        flags: 0,
        stream: 1,
        session: 1,
        seq: 7,
        time,
        sent: 0,
    };
    let bytes = [0.5f32, -1.0].map(f32::to_le_bytes).concat();
    let record = libframe::wire::Record::new(header, &bytes);
    let mut way = Way { manner: &manner, tag, out: &mut sent };
    track.take(&Samples::parse(&record, true).unwrap(), 0, &mut way);
    assert_eq!(hex(&sent.messages[0]), example);
}

#[test]
fn messages_are_as_long_as_they_may_be_and_no_longer() {
    for layout in [Layout::Batch, Layout::Chunk, Layout::Bundle, Layout::Blob] {
        for (channels, limit) in
            [1, 3, 50].into_iter().flat_map(|n| (400..900).map(move |m| (n, m)))
        {
            let manner = manner(layout, Values::Float, limit);
            // As many as no message can hold, so that all but the last are full.
            let sent = send(&manner, channels, &vec![1.0; 6000], 6000);
            let longest = sent.messages.iter().map(Vec::len).max().unwrap();
            assert!(longest <= limit, "{layout:?} {channels}: {longest} of {limit}");
            // Equal parts are a little shorter than a full message would be.
            let more = channels * 5 + 24 + limit / 8;
            assert!(
                longest + more > limit,
                "{layout:?} {channels}: {longest} of {limit}"
            );
        }
    }
}

#[test]
fn numbers_of_samples_are_where_they_are_wanted() {
    let args = |layout: Layout, sequence: bool| {
        let mut manner = manner(layout, Values::Float, 8192);
        manner.style.sequence = sequence;
        let sent = send(&manner, 2, &[1., 2., 3., 4.], 1);
        match decoder::decode_udp(sent.messages.last().unwrap()).unwrap().1 {
            OscPacket::Message(message) => message.args,
            OscPacket::Bundle(bundle) => match &bundle.content[0] {
                OscPacket::Message(message) => message.args.clone(),
                other => panic!("{other:?}"),
            },
        }
    };
    let one = OscType::Int(1);
    let numbers = [3., 4.].map(OscType::Float).to_vec();
    assert_eq!(args(Layout::Sample, true), [vec![one.clone()], numbers.clone()].concat());
    assert_eq!(args(Layout::Sample, false), numbers);
    assert_eq!(args(Layout::Batch, true)[..2], [one.clone(), OscType::Int(2)]);
    assert_eq!(args(Layout::Individual, true), [one, OscType::Float(4.)]);
    assert_eq!(args(Layout::Bundle, false).len(), 6);
    assert_eq!(args(Layout::Blob, false).len(), 6);
}

#[test]
fn messages_that_nan_is_left_out_of() {
    let nan = f32::NAN;
    let numbers = [1., 2., nan, 4., 5., 6., nan, nan];
    let with = |layout: Layout, nan: Nan| {
        let manner = Manner { nan, ..manner(layout, Values::Float, 8192) };
        everything(&send(&manner, 2, &numbers, 3), layout, 2)
    };
    let values = |came: Numbers| came.into_iter().map(|(_, n)| n).collect::<Vec<_>>();
    assert_eq!(values(with(Layout::Bundle, Nan::Zero)), [1., 2., 0., 4., 5., 6., 0., 0.]);
    assert_eq!(values(with(Layout::Bundle, Nan::Hold)), [1., 2., 1., 4., 5., 6., 5., 6.]);
    let skipped = with(Layout::Bundle, Nan::Skip);
    assert_eq!(skipped, [((0, 0), 1.), ((0, 1), 2.), ((2, 0), 5.), ((2, 1), 6.)]);
    let counts = |layout| with(layout, Nan::Skip).len();
    assert_eq!((counts(Layout::Individual), counts(Layout::Sample)), (5, 4));
    assert!(values(with(Layout::Batch, Nan::Pass))[2].is_nan());
}
