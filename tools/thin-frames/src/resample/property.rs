//! Every method against its definition: each output reckoned by itself from the samples that
//! it needs, whatever is missing, and however samples were cut into records.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use libframe::batch::{Builder, Sample, Samples};
use libframe::payload::{Gap, Payload as _, Reason};
use libframe::schema::{DeviceClock, Dtype, Media, Stream};
use libframe::wire::{Header, Kind, Record};
use proptest::prelude::*;

use super::kaiser::Taps;
use super::ratio::Ratio;
use super::{Budget, Method, Partial, Resampler, Shape, Target, Wish};

const WIDTH: usize = 3;

/// What came: samples from `begin` to `end`, but not those in `missing`.
#[derive(Clone, Debug)]
struct Input {
    begin: u64,
    end: u64,
    missing: Vec<Range<u64>>,
    /// Where records end.
    cuts: BTreeSet<u64>,
}

/// What came out: by number, the time, the device's time and the numbers.
type Outputs = BTreeMap<u64, (i64, u64, Vec<f32>)>;

impl Input {
    fn has(&self, seq: i128) -> bool {
        let Ok(seq) = u64::try_from(seq) else { return false };
        (self.begin..self.end).contains(&seq) && !self.lacks(seq)
    }

    fn lacks(&self, seq: u64) -> bool {
        self.missing.iter().any(|range| range.contains(&seq))
    }

    /// Sends all of it; returns what came out, and which outputs were told as missing.
    fn run(&self, wish: Wish, ratio: Ratio) -> (Outputs, BTreeSet<u64>) {
        let mut resampler =
            Resampler::new(wish, ratio, &stream(), &header(0), &Budget::default())
                .unwrap();
        let (mut out, mut builder) = (Vec::new(), Builder::new(true));
        let mut next = self.begin;
        while next < self.end {
            if let Some(range) = self.missing.iter().find(|range| range.contains(&next)) {
                let end = range.end.min(self.end);
                let gap = Gap {
                    first: next,
                    count: Some(end - next),
                    reason: Reason::Queue,
                    ..Gap::default()
                };
                resampler.gap(&header(end), &gap, &mut out).unwrap();
                next = end;
                continue;
            }
            let bytes = values(next).map(f32::to_le_bytes).concat();
            let (seq, time) = (next, time(next));
            let sample = Sample { seq, time, device_time: Some(5 * seq), bytes: &bytes };
            assert!(builder.push(&header(seq), &sample, 1 << 20));
            next += 1;
            if self.cuts.contains(&next) || self.lacks(next) || next == self.end {
                let batch = builder.finish().unwrap();
                let samples = Samples::parse(&batch, true).unwrap();
                resampler.samples(&batch.header, &samples, &mut out).unwrap();
            }
        }
        resampler.end(&mut out).unwrap();
        read(&out)
    }
}

fn read(out: &[(Header, Vec<u8>)]) -> (Outputs, BTreeSet<u64>) {
    let (mut outputs, mut told, mut last) = (Outputs::new(), BTreeSet::new(), None);
    for (header, payload) in out {
        if header.kind == Kind::GAP {
            let gap = Gap::from_bytes(payload).unwrap();
            let missing = gap.first..gap.next();
            assert!(last.is_none_or(|last| missing.is_empty() || last < missing.start));
            missing.for_each(|k| assert!(told.insert(k), "{k} told twice"));
            last = last.max(told.last().copied());
            continue;
        }
        let record = Record::new(*header, payload);
        for sample in Samples::parse(&record, true).unwrap().iter() {
            assert!(last.is_none_or(|last| last < sample.seq), "{} is late", sample.seq);
            last = Some(sample.seq);
            let numbers = sample.bytes.as_chunks().0;
            let numbers = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes));
            let made = (sample.time, sample.device_time.unwrap(), numbers.collect());
            outputs.insert(sample.seq, made);
        }
    }
    (outputs, told)
}

fn header(seq: u64) -> Header {
    let (kind, stream, session) = (Kind::BATCH, 1, 7);
    Header { kind, flags: 0, stream, session, seq, time: 0, sent: 0 }
}

fn stream() -> Stream {
    Stream {
        name: "x".into(),
        media: Media::Samples,
        dtype: Some(Dtype::F32),
        shape: vec![WIDTH as u32],
        rate: Some(1000.0),
        device_clock: Some(DeviceClock { rate: 5000.0, bits: 64 }),
        ..Stream::default()
    }
}

fn values(seq: u64) -> [f32; WIDTH] {
    let mixed = (seq + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    [0, 16, 32].map(|shift| (mixed >> shift & 0xFFFF) as f32 / 256.0 - 128.0)
}

/// A clock that is a little uneven.
fn time(seq: u64) -> i64 {
    1_000_000 * seq as i64 + (seq * 7919 % 1000) as i64
}

/// What one turn is made of, by the definition, and the samples that it needs.
struct Turn {
    needs: Range<i128>,
    /// Each output's own samples, with their weights in its time.
    times: Vec<Vec<(i128, i128)>>,
}

fn turn(wish: &Wish, ratio: Ratio, k: u64) -> Turn {
    let (l, m) = ratio.parts();
    let n = i128::from(k);
    let window =
        |n: i128| (n * m + l - 1).div_euclid(l)..((n + 1) * m + l - 1).div_euclid(l);
    let even = |window: Range<i128>| window.map(|seq| (seq, 1)).collect::<Vec<_>>();
    match wish.method {
        Method::Filter => {
            let reach = i128::from(wish.shape.reach(ratio));
            let needs = -(reach - n * m).div_euclid(l)..(n * m + reach).div_euclid(l) + 1;
            let near = (needs.clone()).map(|seq| (seq, l - (n * m - seq * l).abs()));
            Turn { needs, times: vec![near.filter(|(_, weight)| *weight > 0).collect()] }
        }
        Method::Minmax => {
            let (one, two) = (window(2 * n), window(2 * n + 1));
            Turn { needs: one.start..two.end, times: vec![even(one), even(two)] }
        }
        _ => Turn { needs: window(n), times: vec![even(window(n))] },
    }
}

/// The numbers of a turn from those of its samples that came; `None` if there are too few.
fn made(wish: &Wish, ratio: Ratio, k: u64, input: &Input) -> Option<Vec<Vec<f64>>> {
    let needs = turn(wish, ratio, k).needs;
    let came: Vec<i128> = needs.clone().filter(|seq| input.has(*seq)).collect();
    if came.is_empty()
        || wish.partial == Partial::Drop && came.len() != needs.clone().count()
    {
        return None;
    }
    let column = |c: usize| came.iter().map(move |seq| f64::from(values(*seq as u64)[c]));
    let count = came.len() as f64;
    let of_all = |f: &dyn Fn(usize) -> f64| (0..WIDTH).map(f).collect::<Vec<f64>>();
    Some(match wish.method {
        Method::Average => vec![of_all(&|c| column(c).sum::<f64>() / count)],
        Method::Rms => {
            vec![of_all(&|c| (column(c).map(|x| x * x).sum::<f64>() / count).sqrt())]
        }
        Method::Minmax => {
            let low = |c| column(c).fold(f64::INFINITY, f64::min);
            let high = |c| column(c).fold(f64::NEG_INFINITY, f64::max);
            let rising = |c| {
                column(c).position(|x| x == low(c))
                    <= column(c).position(|x| x == high(c))
            };
            let first = of_all(&|c| if rising(c) { low(c) } else { high(c) });
            vec![first, of_all(&|c| if rising(c) { high(c) } else { low(c) })]
        }
        _ => {
            let (l, m) = ratio.parts();
            let taps = Taps::<f64>::new(wish.shape, ratio);
            let taps = taps.of_phase((i128::from(k) * m).rem_euclid(l) as usize);
            let weight = |seq: i128| taps[(seq - needs.start) as usize];
            let sum: f64 = came.iter().map(|seq| weight(*seq)).sum();
            let centres = &turn(wish, ratio, k).times[0];
            let centred = centres.iter().any(|(seq, _)| input.has(*seq));
            if came.len() < taps.len() && (sum < 0.45 || !centred) {
                return None;
            }
            let weighted =
                |c: usize| came.iter().zip(column(c)).map(|(s, x)| weight(*s) * x);
            vec![of_all(&|c| weighted(c).sum::<f64>() / sum)]
        }
    })
}

/// The mean time of the samples that came of those that an output stands for.
fn mean_time(times: &[(i128, i128)], input: &Input) -> Option<(i64, u64)> {
    let came: Vec<_> = times.iter().filter(|(seq, _)| input.has(*seq)).collect();
    let weights: i128 = came.iter().map(|(_, weight)| weight).sum();
    let base = came.first()?.0 as u64;
    let mean = |time: &dyn Fn(u64) -> i128| {
        let sum: i128 =
            came.iter().map(|(seq, w)| (time(*seq as u64) - time(base)) * w).sum();
        time(base) + sum.div_euclid(weights)
    };
    let device = mean(&|seq| i128::from(5 * seq));
    Some((mean(&|seq| i128::from(time(seq))) as i64, device as u64))
}

fn expect(wish: Wish, ratio: Ratio, input: &Input) -> Result<(), TestCaseError> {
    let (outputs, told) = input.run(wish, ratio);
    let each = if wish.method == Method::Minmax { 2 } else { 1 };
    let mut expected = 0;
    for k in 0..=input.end / ratio.m() * ratio.l() + 200 {
        let Turn { needs, times } = turn(&wish, ratio, k);
        let made = made(&wish, ratio, k, input);
        let made = made.filter(|_| is_of_stream(&wish, &needs, &times, input));
        let Some(made) = made else {
            (0..each).try_for_each(|n| {
                prop_assert!(!outputs.contains_key(&(k * each + n)), "{} is there", k);
                Ok(())
            })?;
            continue;
        };
        let all: Vec<_> = times.iter().map(|times| mean_time(times, input)).collect();
        for n in 0..each {
            expected += 1;
            let number = k * each + n;
            prop_assert!(outputs.contains_key(&number), "{} is missing", number);
            let (time, device, numbers) = &outputs[&number];
            // Of a pair, one may have no samples of its own.
            let own = all[n as usize].or(all.iter().copied().flatten().next());
            prop_assert_eq!(Some((*time, *device)), own, "time of {}", number);
            for (is, wanted) in numbers.iter().zip(&made[n as usize]) {
                prop_assert!((f64::from(*is) - wanted).abs() < 2e-4, "{} {}", is, wanted);
            }
        }
    }
    prop_assert_eq!(outputs.len(), expected);
    // What is missing between the first and the last is told, and nothing else is.
    let numbers: BTreeSet<u64> = outputs.keys().chain(&told).copied().collect();
    prop_assert_eq!(numbers.len(), outputs.len() + told.len());
    if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
        prop_assert_eq!(last - first + 1, numbers.len() as u64);
    }
    for k in told {
        let needs = turn(&wish, ratio, k / each).needs;
        let touched =
            needs.clone().any(|seq| u64::try_from(seq).is_ok_and(|s| input.lacks(s)));
        prop_assert!(touched, "{} was told, and {:?} came", k, needs);
    }
    Ok(())
}

/// Whether an output is one of the stream at all: at its ends there are samples that are part
/// of none.
fn is_of_stream(
    wish: &Wish,
    needs: &Range<i128>,
    times: &[Vec<(i128, i128)>],
    input: &Input,
) -> bool {
    if wish.partial == Partial::Drop {
        return needs.start >= i128::from(input.begin);
    }
    let (begin, end) = (i128::from(input.begin), i128::from(input.end));
    match wish.method {
        // Its centre must be in the stream.
        Method::Filter => {
            times[0].iter().all(|(seq, _)| *seq >= begin)
                && times[0].first().is_some_and(|(seq, _)| *seq < end)
        }
        _ => true,
    }
}

fn inputs() -> impl Strategy<Value = Input> {
    let missing = prop::collection::vec((0u64..900, 1u64..120), 0..4);
    let cuts = prop::collection::btree_set(0u64..1000, 0..60);
    (0u64..200, 1u64..900, missing, cuts).prop_map(|(begin, length, missing, cuts)| {
        let end = begin + length;
        let mut last = begin;
        let mut ranges: Vec<_> = missing.into_iter().map(|(at, n)| at..at + n).collect();
        ranges.sort_by_key(|range| range.start);
        // Apart from each other, and the first and the last sample come.
        ranges.retain(|range| {
            let fits = range.start > last && range.end < end;
            last = if fits { range.end } else { last };
            fits
        });
        Input { begin, end, missing: ranges, cuts }
    })
}

fn wishes() -> impl Strategy<Value = (Wish, Ratio)> {
    let methods = [Method::Filter, Method::Average, Method::Minmax, Method::Rms];
    let method = prop::sample::select(methods.to_vec());
    let partial = prop::sample::select(vec![Partial::Drop, Partial::Use]);
    let ratio = (1u64..5, 0u64..60).prop_map(|(l, more)| Ratio::new(l, l + more + 1));
    (method, partial, ratio).prop_map(|(method, partial, ratio)| {
        let shape = Shape { stop: 40.0, pass: 0.5 };
        (Wish { target: Target::Rate(1.0), method, partial, shape }, ratio)
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_output_is_what_its_definition_says((wish, ratio) in wishes(), input in inputs()) {
        expect(wish, ratio, &input)?;
    }

    #[test]
    fn neither_cuts_nor_a_late_start_change_a_bit(
        (wish, ratio) in wishes(), input in inputs(), late in 1u64..300,
    ) {
        let wish = Wish { partial: Partial::Drop, ..wish };
        let (whole, told) = input.run(wish, ratio);
        let single = Input { cuts: (0..2000).collect(), ..input.clone() };
        prop_assert_eq!(&(whole.clone(), told), &single.run(wish, ratio));
        let begin = (input.begin + late).min(input.end - 1);
        let (rest, _) = Input { begin, ..input }.run(wish, ratio);
        for (k, made) in rest {
            prop_assert_eq!(Some(&made), whole.get(&k), "output {}", k);
        }
    }
}
