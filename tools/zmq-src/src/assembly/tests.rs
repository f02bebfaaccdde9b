//! What is put together, against a plain model: which values were sent, and which of them
//! arrived.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::message::{Body, parse};
use crate::numbering::Numbering;
use crate::plugin::Plugin;

/// All that came out.
#[derive(Debug, Default)]
struct Outcome {
    set: Set,
    sets: Vec<Vec<u32>>,
    /// Where in the stream segments begin, and with which sample number.
    segments: Vec<(u64, u64)>,
    holes: Vec<(u64, u64, Vec<u32>)>,
    reasons: Vec<Reason>,
    /// Segment, sample number, channel, value.
    cells: Vec<(usize, u64, u32, f32)>,
    /// The sample number that a sequence number stands for.
    base: Option<(u64, u64)>,
    late: usize,
    next: u64,
}

impl Blocks for Outcome {
    fn channels(&mut self, set: &Set) -> Result<()> {
        assert!(set.channels.is_sorted() && set.channels.len() == set.names.len());
        self.sets.push(set.channels.clone());
        self.set = set.clone();
        Ok(())
    }

    fn segment(&mut self, first: u64) -> Result<()> {
        self.segments.push((self.next, first));
        self.base = None;
        Ok(())
    }

    fn missing(&mut self, hole: &Hole<'_>) -> Result<()> {
        assert_eq!(hole.seq, self.next);
        if hole.columns.is_empty() {
            self.next += hole.count;
        }
        let channels = hole.columns.iter().map(|c| self.set.channels[*c as usize]);
        self.holes.push((hole.seq, hole.count, channels.collect()));
        self.reasons.push(hole.reason);
        Ok(())
    }

    fn block(&mut self, seq: u64, block: &Block, set: &Set) -> Result<()> {
        assert_eq!((seq, set), (self.next, &self.set));
        let (base, first) = *self.base.get_or_insert((seq, block.first));
        assert_eq!(seq - base, block.first - first, "numbers advance with samples");
        let mut bytes = Vec::new();
        block.write(block.samples, &mut bytes);
        let mut values = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
        for sample in block.first..block.next() {
            for channel in &set.channels {
                let value = values.next().unwrap();
                self.cells.push((self.segments.len(), sample, *channel, value));
            }
        }
        assert_eq!(values.next(), None);
        self.next += block.samples as u64;
        Ok(())
    }

    fn late(&mut self, _channel: u32, _samples: usize) -> Result<()> {
        self.late += 1;
        Ok(())
    }
}

/// An assembly and its publisher.
struct Bench {
    plugin: Plugin,
    numbering: Numbering,
    assembly: Assembly,
    out: Outcome,
    misfits: Vec<Misfit>,
}

fn value(run: usize, channel: u32, sample: u64) -> f32 {
    (run * 2_000_000 + channel as usize * 100_000) as f32 + sample as f32
}

impl Bench {
    fn new() -> Bench {
        Bench {
            plugin: Plugin::default(),
            numbering: Numbering::default(),
            assembly: Assembly::new(Partial::Nan),
            out: Outcome::default(),
            misfits: Vec::new(),
        }
    }

    fn send(&mut self, run: usize, channel: u32, first: u64, samples: usize) {
        let parts = self.plugin.data(channel, first, samples, |n| value(run, channel, n));
        let message = parse(&parts).unwrap();
        let place = self.numbering.note(message.number);
        let Body::Data(data) = message.body else { panic!() };
        let arrival = Arrival::default();
        let taken = self.assembly.take(&data, place, arrival, &mut self.out).unwrap();
        self.misfits.extend(taken);
    }

    fn send_all(&mut self, channels: &[u32], first: u64, samples: usize) {
        channels.iter().for_each(|channel| self.send(0, *channel, first, samples));
    }

    fn finish(&mut self) -> &Outcome {
        self.assembly.finish(i64::MAX, &mut self.out).unwrap();
        &self.out
    }

    /// Samples by channel that came out, and every value is right.
    #[track_caller]
    fn expect_right(&self) {
        for (run, sample, channel, got) in &self.out.cells {
            let right = value(*run, *channel, *sample);
            assert!(got.is_nan() || *got == right, "{run} {sample} {channel}: {got}");
        }
    }
}

#[test]
fn a_lost_message_costs_its_own_samples_and_no_more() {
    let mut bench = Bench::new();
    bench.send_all(&[4, 6], 0, 480);
    bench.send(0, 4, 480, 300);
    bench.plugin.skip();
    bench.send_all(&[4, 6], 780, 100);
    // A whole block.
    bench.plugin.skip();
    bench.plugin.skip();
    bench.send_all(&[4, 6], 1000, 2);
    let out = bench.finish();
    assert_eq!(out.holes, [(480, 300, vec![6]), (880, 120, vec![])]);
    assert_eq!(out.reasons, [Reason::Transport; 2]);
    assert_eq!((out.sets.as_slice(), out.next), (&[vec![4, 6]][..], 1002));
    let nan = out.cells.iter().filter(|cell| cell.3.is_nan()).count();
    assert_eq!(nan, 300);
    bench.expect_right();
}

#[test]
fn a_block_goes_out_when_its_last_channel_came() {
    let mut bench = Bench::new();
    bench.send_all(&[0, 1], 0, 2);
    bench.send_all(&[0, 1], 2, 2);
    bench.assembly.settle(&mut bench.out).unwrap();
    assert_eq!(bench.out.next, 4);
    bench.send(0, 0, 4, 2);
    bench.assembly.settle(&mut bench.out).unwrap();
    assert_eq!(bench.out.next, 4);
    bench.send(0, 1, 4, 2);
    bench.assembly.settle(&mut bench.out).unwrap();
    assert_eq!((bench.out.next, bench.out.cells.len()), (6, 12));
    bench.expect_right();
}

#[test]
fn a_publisher_that_is_joined_in_the_middle_of_a_block_has_lost_nothing() {
    let mut bench = Bench::new();
    bench.plugin.number = 70;
    bench.send_all(&[6, 7], 480, 480);
    bench.send_all(&[4, 6, 7], 960, 480);
    bench.send_all(&[4, 6, 7], 1440, 480);
    let out = bench.finish();
    assert_eq!((out.sets.as_slice(), out.next), (&[vec![4, 6, 7]][..], 960));
    assert!(out.holes.is_empty());
    bench.expect_right();
}

#[test]
fn channels_that_come_and_go_are_a_new_set_at_once() {
    let mut bench = Bench::new();
    bench.send_all(&[0, 1], 0, 3);
    bench.send_all(&[0, 1, 2], 3, 3);
    bench.send_all(&[0, 1, 2], 6, 3);
    bench.send_all(&[2], 9, 3);
    bench.send_all(&[2], 12, 3);
    let out = bench.finish();
    assert_eq!(out.sets, [vec![0, 1], vec![0, 1, 2], vec![2]]);
    assert_eq!((out.holes.len(), out.cells.len()), (0, 2 * 3 + 3 * 6 + 6));
    bench.expect_right();
}

#[test]
fn where_less_is_lost_than_missing_it_takes_ten_blocks_to_believe_in_fewer_channels() {
    let mut bench = Bench::new();
    bench.send_all(&[0, 1, 2, 3], 0, 2);
    for n in 1..20 {
        bench.plugin.skip();
        bench.send_all(&[0], 2 * n, 2);
    }
    let out = bench.finish();
    assert_eq!(out.sets, [vec![0, 1, 2, 3], vec![0]]);
    assert_eq!(out.holes.len(), 10);
    bench.expect_right();
}

#[test]
fn a_queue_that_drops_the_last_channels_of_each_block_is_a_loss_for_as_long_as_it_does() {
    let mut bench = Bench::new();
    bench.send_all(&[0, 1, 2], 0, 2);
    for n in 1..40 {
        bench.send_all(&[0], 2 * n, 2);
        bench.plugin.skip();
        bench.plugin.skip();
    }
    bench.send_all(&[0, 1, 2], 80, 2);
    let out = bench.finish();
    assert_eq!((out.sets.len(), out.holes.len()), (1, 39));
    assert!(out.holes.iter().all(|hole| hole.2 == [1, 2]));
    bench.expect_right();
}

#[test]
fn a_channel_that_is_new_after_its_block_went_out_is_told() {
    let mut bench = Bench::new();
    for n in 0..3 {
        bench.send_all(&[0, 1], 2 * n, 2);
    }
    bench.assembly.settle(&mut bench.out).unwrap();
    bench.send(0, 2, 4, 2);
    bench.send_all(&[0, 1, 2], 6, 2);
    let out = bench.finish();
    assert_eq!((out.late, out.sets.len(), out.next), (1, 2, 8));
    bench.expect_right();
}

#[test]
fn an_acquisition_that_begins_anew_is_a_segment_and_no_gap() {
    let mut bench = Bench::new();
    bench.send_all(&[0, 1], 100, 3);
    bench.send_all(&[0, 1], 103, 3);
    bench.plugin.restart();
    [(0, 0), (1, 0), (0, 3), (1, 3)].into_iter().for_each(|(channel, first)| {
        bench.send(1, channel, first, 3);
    });
    let out = bench.finish();
    assert_eq!((out.segments.as_slice(), out.next), (&[(6, 0)][..], 12));
    assert!(out.holes.is_empty());
    bench.expect_right();
}

#[test]
fn numbers_that_go_back_are_a_segment_if_the_next_message_agrees() {
    let mut bench = Bench::new();
    bench.send_all(&[0, 1], 100, 3);
    bench.send_all(&[0, 1], 103, 3);
    [(0, 50), (1, 50), (0, 53), (1, 53)].into_iter().for_each(|(channel, first)| {
        bench.send(1, channel, first, 3);
    });
    assert_eq!(bench.finish().segments, [(6, 50)]);
    assert!(bench.misfits.is_empty());
    bench.expect_right();

    let mut bench = Bench::new();
    bench.send_all(&[0, 1], 100, 3);
    bench.send(0, 0, 103, 3);
    for wild in [7, 1 << 40, 104] {
        bench.send(0, 1, wild, 3);
    }
    bench.send(0, 1, 103, 3);
    bench.send_all(&[0, 1], 106, 3);
    let out = bench.finish();
    assert_eq!((out.segments.len(), out.holes.len(), out.next), (0, 0, 9));
    assert_eq!(bench.misfits, [Misfit::Stray; 3]);
    bench.expect_right();
}

#[test]
fn a_device_that_leaves_samples_out_is_told_from_a_network_that_does() {
    let mut bench = Bench::new();
    bench.send_all(&[0, 1], 0, 3);
    for n in 1..4 {
        bench.send_all(&[0, 1], 5 * n, 3);
    }
    let out = bench.finish();
    assert_eq!(out.holes.len(), 3);
    assert_eq!(out.reasons, [Reason::Device; 3]);
    bench.expect_right();
}

#[test]
fn what_contradicts_its_block_is_left_out_and_told() {
    let mut bench = Bench::new();
    bench.send_all(&[0, 1, 2], 0, 4);
    bench.send_all(&[0, 0], 4, 4);
    bench.send(0, 1, 4, 3);
    bench.send(0, 2, 4, 4);
    bench.send_all(&[0, 1, 2], 8, 4);
    let out = bench.finish();
    assert_eq!(out.holes, [(4, 4, vec![1])]);
    assert_eq!(out.reasons, [Reason::Parser]);
    assert_eq!(bench.misfits, [Misfit::Twice, Misfit::Uneven]);
    bench.expect_right();
}

#[test]
fn one_long_message_does_not_make_up_gigabytes_for_the_other_channels() {
    let mut bench = Bench::new();
    let all: Vec<u32> = (0..1000).collect();
    bench.send_all(&all, 0, 1);
    bench.send_all(&all, 1, 1);
    bench.send(0, 0, 2, 700_000);
    bench.plugin.skip();
    bench.send_all(&all, 700_002, 1);
    let out = bench.finish();
    assert_eq!(out.holes, [(2, 700_000, vec![])]);
    assert_eq!(out.cells.len(), 3000);
    bench.send(0, 0, 700_003, 1_000_000);
    assert_eq!(bench.misfits, [Misfit::Large]);
}

/// What a publisher sends for a while.
#[derive(Clone, Debug)]
struct Phase {
    channels: BTreeSet<u32>,
    /// For each block: its length, which of its messages are lost, and how many of other
    /// kinds come before it.
    blocks: Vec<(usize, u16, u8)>,
    restarts: bool,
    settles: bool,
}

fn phases(lossy: bool) -> impl Strategy<Value = Vec<Phase>> {
    let lost = if lossy {
        prop_oneof![3 => Just(0u16), 1 => any::<u16>(), 1 => Just(u16::MAX)].boxed()
    } else {
        Just(0u16).boxed()
    };
    // Two at least: a change in the very last block cannot be told from a loss.
    let blocks = prop::collection::vec((1..9usize, lost, 0..3u8), 2..25);
    let channels = prop::collection::btree_set(0..16u32, 1..6);
    let phase = (channels, blocks, any::<bool>(), any::<bool>());
    let phase = phase.prop_map(|(channels, blocks, restarts, settles)| Phase {
        channels,
        blocks,
        restarts,
        settles,
    });
    prop::collection::vec(phase, 1..5)
}

/// What was delivered, by run and sample, as channels.
type Delivered = BTreeMap<(usize, u64), BTreeSet<u32>>;

fn play(bench: &mut Bench, phases: &[Phase]) -> Delivered {
    let mut delivered = Delivered::new();
    let (mut run, mut sample) = (0, 500);
    let mut last = 0;
    for (at, phase) in phases.iter().enumerate() {
        // By their numbers alone, messages after a restart can only be told from those
        // before it while they have lower ones.
        let restarts = phase.restarts && last > 3;
        if restarts {
            bench.plugin.restart();
            (run, sample) = (run + 1, 0);
        }
        for (block, (len, lost, others)) in phase.blocks.iter().enumerate() {
            let lost = if block == 0 && (restarts || at == 0) { &0 } else { lost };
            for _ in 0..*others {
                bench.plugin.skip();
                bench.numbering.note(Some(bench.plugin.number));
            }
            for channel in &phase.channels {
                if lost >> channel & 1 == 1 {
                    bench.plugin.skip();
                    continue;
                }
                bench.send(run, *channel, sample, *len);
                last = bench.plugin.number;
                for n in sample..sample + *len as u64 {
                    delivered.entry((run, n)).or_default().insert(*channel);
                }
            }
            // In time for the next block, but not in the middle of this.
            if phase.settles && at + 1 == phases.len() {
                bench.assembly.settle(&mut bench.out).unwrap();
            }
            sample += *len as u64;
        }
    }
    delivered
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn without_losses_all_that_was_sent_comes_out(phases in phases(false)) {
        let mut bench = Bench::new();
        let delivered = play(&mut bench, &phases);
        bench.finish();
        bench.expect_right();
        let mut got = Delivered::new();
        for (run, sample, channel, value) in &bench.out.cells {
            prop_assert!(!value.is_nan());
            got.entry((*run, *sample)).or_default().insert(*channel);
        }
        prop_assert_eq!(got, delivered);
        prop_assert_eq!(bench.out.holes.len(), 0);
        prop_assert_eq!(bench.misfits.len() + bench.out.late, 0);
    }

    #[test]
    fn every_value_is_right_and_every_gap_exact(phases in phases(true)) {
        let mut bench = Bench::new();
        let delivered = play(&mut bench, &phases);
        bench.finish();
        bench.expect_right();
        prop_assert_eq!(&bench.misfits, &[]);
        let out = &bench.out;

        // What came out is what arrived, but for a first block without its beginning.
        let mut got = Delivered::new();
        let mut nan = BTreeSet::new();
        for (run, sample, channel, value) in &out.cells {
            let here = got.entry((*run, *sample)).or_default();
            match value.is_nan() {
                true => prop_assert!(nan.insert((*run, *sample, *channel))),
                false => prop_assert!(here.insert(*channel)),
            }
        }
        let Some(begin) = got.keys().next().copied() else { return Ok(()) };
        let mut before = delivered.range(..begin).map(|(at, _)| at.1);
        if let Some(first) = before.next() {
            let rest = before.filter(|n| *n > first + 8).count();
            prop_assert_eq!(rest, 0, "only the first block may be left out");
        }
        let arrived: Delivered =
            delivered.range(begin..).map(|(at, set)| (*at, set.clone())).collect();
        let got: Delivered =
            got.into_iter().filter(|(_, channels)| !channels.is_empty()).collect();
        prop_assert_eq!(&got, &arrived);

        // Partial gaps are exactly the cells without a value.
        let mut told = BTreeSet::new();
        for (seq, count, channels) in &out.holes {
            let (run, base) = place(out, *seq);
            for n in *seq..seq + count {
                let sample = (n as i64 + base) as u64;
                let whole = channels.is_empty();
                prop_assert_eq!(whole, !out.cells.iter().any(|c| (c.0, c.1) == (run, sample)));
                prop_assert!(!whole || !arrived.contains_key(&(run, sample)));
                told.extend(channels.iter().map(|channel| (run, sample, *channel)));
            }
        }
        prop_assert_eq!(told, nan);
    }
}

/// The run, and what to add to a sequence number for the sample's.
fn place(out: &Outcome, seq: u64) -> (usize, i64) {
    let segment = out.segments.iter().rposition(|(at, _)| *at <= seq);
    match segment {
        Some(at) => {
            let (from, first) = out.segments[at];
            (at + 1, first as i64 - from as i64)
        }
        None => (0, out.cells[0].1 as i64),
    }
}

/// An hour of samples in which one message in 10 000 is lost; a minute of it, unless
/// `FRAMEPIPE_HOUR` is set.
#[test]
fn one_message_in_ten_thousand_for_an_hour() {
    const CHANNELS: u32 = 8;
    const BLOCK: u64 = 480;
    let seconds = if std::env::var_os("FRAMEPIPE_HOUR").is_some() { 3600 } else { 60 };
    let mut bench = Bench::new();
    let mut lost = Vec::new();
    let mut noise = 1u64;
    let blocks = seconds * 30_000 / BLOCK;
    let known = |channel: u32, n: u64| ((n * 8 + u64::from(channel)) % 9_999_991) as f32;
    for n in 0..blocks {
        for channel in 0..CHANNELS {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // The first block, and what is open at the end, are other tests'.
            if noise >> 33 < (1 << 31) / 10_000 && n > 0 && n + 1 < blocks {
                lost.push((n * BLOCK, channel));
                bench.plugin.skip();
                continue;
            }
            let parts = bench
                .plugin
                .data(channel, n * BLOCK, BLOCK as usize, |n| known(channel, n));
            let message = parse(&parts).unwrap();
            let place = bench.numbering.note(message.number);
            let Body::Data(data) = message.body else { panic!() };
            let out = &mut bench.out;
            bench.assembly.take(&data, place, Arrival::default(), out).unwrap();
        }
        bench.assembly.settle(&mut bench.out).unwrap();
        // What lost its last channel goes out with the next.
        for (_, sample, channel, value) in bench.out.cells.drain(..) {
            let is_lost = lost.contains(&(sample / BLOCK * BLOCK, channel));
            assert_eq!(value.is_nan(), is_lost, "{sample} {channel}");
            assert!(is_lost || value == known(channel, sample), "{sample} {channel}");
        }
    }
    bench.finish();
    let mut told = BTreeSet::new();
    for (seq, count, channels) in &bench.out.holes {
        assert_eq!(*count, BLOCK);
        told.extend(channels.iter().map(|channel| (*seq, *channel)));
    }
    assert_eq!(told, lost.iter().copied().collect());
    assert!(lost.len() as u64 > seconds * 3 / 100, "{} lost", lost.len());
    assert_eq!(bench.out.next, blocks * BLOCK);
}
