//! For any streams and triggers, a clip holds exactly the samples of its time.

use std::ops::Range;

use libframe::batch::{Builder, Sample, Samples, data_record};
use libframe::catalog::Catalog;
use libframe::ledger::SessionLedger;
use libframe::payload::{Event, Payload, Session, Value};
use libframe::schema::{Dtype, Media, Stream};
use libframe::tool::Ended;
use libframe::wire::{Header, Kind, Record};
use proptest::prelude::*;

use crate::clipper::{Clipper, Lengths};
use crate::trigger::Triggers;

const PARENT: u32 = 7;
/// What comes later than this is not waited for.
const DEADLINE: i64 = 1_000_000;

/// A stream as it is captured.
#[derive(Clone, Debug)]
struct Plan {
    /// Times of its samples, ascending.
    times: Vec<i64>,
    /// Samples in a record.
    batch: usize,
    /// From a record's last sample to its arrival.
    delay: i64,
    /// Samples differ in size.
    varies: bool,
}

fn plan() -> impl Strategy<Value = Plan> {
    let steps = prop::collection::vec(1i64..2000, 1..200);
    (steps, 0i64..50_000, 1usize..20, 0i64..20_000, any::<bool>()).prop_map(
        |(steps, start, batch, delay, varies)| {
            let times = steps.into_iter().scan(start, |time, step| {
                *time += step;
                Some(*time)
            });
            Plan { times: times.collect(), batch, delay, varies }
        },
    )
}

fn bytes_of(stream: u16, seq: u64, varies: bool) -> Vec<u8> {
    let len = if varies { seq as usize % 5 } else { 3 };
    vec![(u64::from(stream) * 31 + seq) as u8; len]
}

fn header(kind: Kind, stream: u16, seq: u64, time: i64) -> Header {
    Header { kind, flags: 0, stream, session: PARENT, seq, time, sent: 0 }
}

/// A record and when it arrives.
type Arrival = (i64, Header, Vec<u8>);

fn records(stream: u16, plan: &Plan) -> Vec<Arrival> {
    let mut all = Vec::new();
    for (at, times) in plan.times.chunks(plan.batch).enumerate() {
        let first = (at * plan.batch) as u64;
        let arrival = times[times.len() - 1] + plan.delay;
        let contents = |n| bytes_of(stream, first + n, plan.varies);
        let contents: Vec<_> = (0..times.len() as u64).map(contents).collect();
        let samples = (first..).zip(times).zip(&contents).map(|((seq, time), bytes)| {
            Sample { seq, time: *time, device_time: None, bytes }
        });
        let of = header(Kind::BATCH, stream, first, times[0]);
        let mut builder = Builder::new(!plan.varies);
        let mut single = Vec::new();
        for sample in samples {
            assert!(builder.push(&of, &sample, usize::MAX));
            single = data_record(&of, &sample, &mut Vec::new()).payload.to_vec();
        }
        match builder.len() {
            1 => all.push((arrival, Header { kind: Kind::DATA, ..of }, single)),
            _ => {
                let batch = builder.finish().unwrap();
                all.push((arrival, batch.header, batch.payload.to_vec()));
            }
        }
    }
    all
}

fn describe(stream: u16, varies: bool) -> Vec<u8> {
    let media = if varies { Media::Bytes } else { Media::Samples };
    let dtype = (!varies).then_some(Dtype::U8);
    let shape = if varies { vec![] } else { vec![3] };
    Stream { name: format!("s{stream}"), media, dtype, shape, ..Stream::default() }
        .to_bytes()
}

/// Number and time of the samples in a clip, by stream.
type Held = Vec<Vec<(u64, i64)>>;

/// The samples of each clip, as what comes out has them.
fn clips(out: &[(Header, Vec<u8>)], plans: &[Plan]) -> Vec<Held> {
    let mut clips: Vec<(u32, Held)> = Vec::new();
    for (header, payload) in out {
        if clips.last().is_none_or(|(tag, _)| *tag != header.session) {
            assert_eq!(header.kind, Kind::SESSION, "each clip begins with its own");
            clips.push((header.session, vec![Vec::new(); plans.len()]));
        }
        if !header.kind.has_samples() {
            continue;
        }
        let plan = &plans[usize::from(header.stream) - 1];
        let record = Record::new(*header, payload);
        let (_, clip) = clips.last_mut().unwrap();
        for sample in Samples::parse(&record, !plan.varies).unwrap().iter() {
            assert_eq!(sample.bytes, bytes_of(header.stream, sample.seq, plan.varies));
            clip[usize::from(header.stream) - 1].push((sample.seq, sample.time));
        }
    }
    clips.into_iter().map(|(_, clip)| clip).collect()
}

/// The windows that these triggers ask for: one within the post-roll makes a clip longer.
fn windows(triggers: &[i64], pre: i64, post: i64) -> Vec<Range<i64>> {
    let mut all: Vec<Range<i64>> = Vec::new();
    for time in triggers {
        match all.last_mut() {
            Some(last) if *time < last.end => last.end = time + post,
            _ => all.push(time - pre..time + post),
        }
    }
    all
}

fn run(plans: &[Plan], triggers: &[i64], pre: i64, post: i64) -> Vec<(Header, Vec<u8>)> {
    let mut input: Vec<Arrival> = Vec::new();
    for (stream, plan) in (1..).zip(plans) {
        input.extend(records(stream, plan));
    }
    let hit = Event { label: "hit".into(), value: Value::Nil, source: String::new() };
    let event = |time: &i64| (*time, header(Kind::EVENT, 0, 0, *time), hit.to_bytes());
    input.extend(triggers.iter().map(event));
    // An event comes before what was captured at the same time.
    input.sort_by_key(|(arrival, header, _)| (*arrival, header.stream));

    let lengths = Lengths { pre, post, deadline: DEADLINE, hold: 0, max: i64::MAX };
    let triggers = Triggers::new(&["hit".into()], Vec::new(), None, 0).unwrap();
    let mut clipper = Clipper::new(lengths, triggers, 8 << 20);
    let (mut catalog, mut out) = (Catalog::default(), Vec::new());
    let session = Session { uuid: "parent".into(), ..Session::default() }.to_bytes();
    let first = Record::new(header(Kind::SESSION, 0, 0, 0), &session);
    clipper.record(first, &catalog, &mut out).unwrap();
    for (stream, plan) in (1..).zip(plans) {
        let payload = describe(stream, plan.varies);
        let record = Record::new(header(Kind::STREAM, stream, 0, 0), &payload);
        catalog.learn(&record).unwrap();
        clipper.record(record, &catalog, &mut out).unwrap();
    }
    for (_, header, payload) in &input {
        clipper.record(Record::new(*header, payload), &catalog, &mut out).unwrap();
    }
    let ledger = SessionLedger::default();
    let (ledger, catalog) = (&ledger, &catalog);
    let (session, time, reason, broke_off) = (PARENT, 0, "end", None);
    let ended = Ended { session, ledger, time, reason, broke_off, catalog };
    clipper.end(&ended, &mut out).unwrap();
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_clip_holds_exactly_the_samples_of_its_time(
        plans in prop::collection::vec(plan(), 1..4),
        mut triggers in prop::collection::vec(0i64..250_000, 1..8),
        pre in 0i64..60_000,
        post in 1i64..60_000,
    ) {
        triggers.sort_unstable();
        let out = run(&plans, &triggers, pre, post);
        let (found, wanted) = (clips(&out, &plans), windows(&triggers, pre, post));
        prop_assert_eq!(found.len(), wanted.len());
        for (clip, window) in found.iter().zip(&wanted) {
            for (samples, plan) in clip.iter().zip(&plans) {
                let all = (0u64..).zip(plan.times.iter().copied());
                let within: Vec<_> =
                    all.filter(|(_, time)| window.contains(time)).collect();
                prop_assert_eq!(samples, &within, "{:?}", window);
            }
        }
        let ends = out.iter().filter(|(header, _)| header.kind == Kind::END).count();
        prop_assert_eq!(ends, wanted.len());
    }
}
