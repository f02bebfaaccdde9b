//! The account balances in any order of delivery, and two stages count alike.

use std::collections::BTreeSet;
use std::ops::Range;

use libframe::ledger::{MAX_STREAMS, SessionLedger, StreamLedger};
use libframe::payload::{Gap, Reason, Totals};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

pub(crate) fn gap(range: Range<u64>, reason: Reason) -> Gap {
    Gap {
        first: range.start,
        count: Some(range.end - range.start),
        reason,
        stage: "test".into(),
        ..Gap::default()
    }
}

/// What a stage passes on.
#[derive(Clone, Debug)]
enum Passed {
    Samples(Range<u64>),
    Gap(Gap),
}

/// A stage's ledger, and what the stage passes on: the samples, and a GAP before each
/// hole's end.
fn stage(delivered: &[Range<u64>]) -> (StreamLedger, Vec<Passed>) {
    let mut ledger = StreamLedger::default();
    let mut passed = Vec::new();
    for range in delivered {
        if let Some(hole) = ledger.take(range.start, range.end - range.start, 0) {
            let gap = gap(hole, Reason::Upstream);
            ledger.explain(&gap);
            passed.push(Passed::Gap(gap));
        }
        passed.push(Passed::Samples(range.clone()));
    }
    (ledger, passed)
}

/// The next stage's ledger; that must not find anything the first one did not tell.
fn next_stage(passed: &[Passed]) -> StreamLedger {
    let mut ledger = StreamLedger::default();
    for item in passed {
        let hole = match item {
            Passed::Samples(range) => {
                ledger.take(range.start, range.end - range.start, 0)
            }
            Passed::Gap(gap) => ledger.gap(gap),
        };
        assert_eq!(hole, None, "a hole that was explained is found again at {item:?}");
    }
    ledger
}

fn counts(ledger: &StreamLedger) -> [u64; 6] {
    let first = ledger.first().unwrap_or(0);
    let (came, lost) = (ledger.samples(), ledger.lost());
    [first, ledger.next(), came, lost, ledger.duplicates(), ledger.reordered()]
}

fn assert_balanced(ledger: &StreamLedger) {
    let [first, next, came, lost, ..] = counts(ledger);
    assert_eq!(came + lost, next - first, "{ledger:?}");
    let lost_by: u64 = ledger.losses().iter().map(|loss| loss.samples).sum();
    assert_eq!(lost_by, lost, "{ledger:?}");
}

/// Ranges that follow each other, then dropped, repeated and put in any order.
fn deliveries(count: Range<usize>) -> impl Strategy<Value = Vec<Range<u64>>> {
    let fate = prop_oneof![6 => Just(1usize), 1 => Just(0), 1 => Just(2)];
    (0u64..100, vec((1u64..20, fate), count)).prop_flat_map(|(first, parts)| {
        let mut next = first;
        let mut ranges = Vec::new();
        for (len, times) in parts {
            ranges.extend(std::iter::repeat_n(next..next + len, times));
            next += len;
        }
        let far = any::<bool>();
        let swaps = vec(any::<(Index, Index)>(), 0..20);
        (Just(ranges), swaps, far).prop_map(|(mut ranges, swaps, far)| {
            for (a, b) in swaps {
                let len = ranges.len();
                if len > 0 {
                    let a = a.index(len);
                    let b = if far { b.index(len) } else { (a + 1) % len };
                    ranges.swap(a, b);
                }
            }
            ranges
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn two_stages_count_alike(delivered in deliveries(0..400)) {
        let (first, passed) = stage(&delivered);
        let second = next_stage(&passed);
        assert_balanced(&first);
        prop_assert_eq!(counts(&first), counts(&second));
        prop_assert_eq!(first.losses(), second.losses());

        let next = first.next() + 5;
        let totals = Totals { stream: 1, first: 0, next, samples: 0, lost: 0 };
        let ends = [first, second].map(|mut ledger| {
            for hole in ledger.settle(&totals, true).into_iter().flatten() {
                ledger.explain(&gap(hole, Reason::Corrupt));
            }
            assert_balanced(&ledger);
            counts(&ledger)
        });
        prop_assert_eq!(ends[0], ends[1]);
        prop_assert_eq!(&ends[0][..2], &[0, next]);
    }

    #[test]
    fn few_holes_are_counted_to_the_sample(delivered in deliveries(1..60)) {
        let (ledger, _) = stage(&delivered);
        let first = delivered.first().map_or(0, |range| range.start);
        let (mut came, mut next, mut late) = (BTreeSet::new(), first, 0);
        for seq in delivered.iter().cloned().flatten() {
            if seq >= first && came.insert(seq) && seq < next {
                late += 1;
            }
            next = next.max(seq + 1);
        }
        let samples = came.len() as u64;
        let all: u64 = delivered.iter().map(|range| range.end - range.start).sum();
        let lost = next - first - samples;
        let expected = [first, next, samples, lost, all - samples, late];
        if !delivered.is_empty() {
            prop_assert_eq!(counts(&ledger), expected);
        }
    }

    #[test]
    fn the_account_balances_whatever_gaps_claim(
        steps in vec((0u8..4, 0u64..200, 0u64..40), 0..200),
    ) {
        let mut ledger = StreamLedger::default();
        for (what, seq, n) in steps {
            let hole = match what {
                0 | 1 => ledger.take(seq, n, 0),
                2 => ledger.expect(seq),
                _ => ledger.gap(&gap(seq..seq + n, Reason::Device)),
            };
            if let Some(hole) = hole {
                ledger.explain(&gap(hole, Reason::Upstream));
            }
            if ledger.first().is_some() {
                assert_balanced(&ledger);
            }
        }
    }

    #[test]
    fn no_numbers_upset_the_account(steps in vec((0u8..5, huge(), huge()), 0..100)) {
        let mut ledger = StreamLedger::default();
        for (what, seq, n) in steps {
            let claim = Gap { count: Some(n), ..gap(seq..seq, Reason::Device) };
            let holes = match what {
                0 => [ledger.take(seq, n, 0), None],
                1 => [ledger.expect(seq), None],
                2 => [ledger.gap(&claim), None],
                3 => [Some(seq..claim.next()), None],
                _ => {
                    let next = n;
                    let totals =
                        Totals { first: seq, next, ..Default::default() };
                    ledger.settle(&totals, seq % 2 == 0)
                }
            };
            for hole in holes.into_iter().flatten() {
                prop_assert!(!hole.is_empty() || what == 3);
                ledger.explain(&gap(hole, Reason::Upstream));
            }
        }
    }
}

fn huge() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0u64..50, Just(u64::MAX), Just(u64::MAX / 2)]
}

#[test]
fn late_samples_in_a_large_hole_do_not_make_the_account_grow() {
    let mut ledger = StreamLedger::default();
    ledger.take(0, 1, 0);
    let hole = ledger.take(1 << 20, 1, 0).unwrap();
    ledger.explain(&gap(hole, Reason::Upstream));
    for seq in (2..1 << 17).step_by(2) {
        ledger.take(seq, 1, 0);
    }
    assert_balanced(&ledger);
    // Debug output stands for the memory, which is private.
    assert!(format!("{ledger:?}").len() < 10_000);
}

#[test]
fn holes_that_stay_and_stages_without_number_do_not_make_the_account_grow() {
    let mut ledger = StreamLedger::default();
    for seq in (0..20_000).step_by(2) {
        if let Some(hole) = ledger.take(seq, 1, 0) {
            let stage = format!("stage {seq}");
            ledger.explain(&Gap { stage, ..gap(hole, Reason::Upstream) });
        }
    }
    assert_balanced(&ledger);
    assert!(format!("{ledger:?}").len() < 20_000);
}

#[test]
fn a_session_has_so_many_streams_and_no_more() {
    let mut session = SessionLedger::default();
    let opened = (0..=u16::MAX).filter(|number| session.stream(*number).is_some());
    assert_eq!(opened.count(), MAX_STREAMS);
    assert!(session.stream(0).is_some() && session.stream(u16::MAX).is_none());
}

#[test]
fn a_gap_up_to_the_first_sample_is_booked_before_it() {
    let mut ledger = StreamLedger::default();
    ledger.take(5, 2, 0);
    assert_eq!(ledger.gap(&gap(0..5, Reason::Device)), None);
    assert_eq!(counts(&ledger), [0, 7, 2, 5, 0, 0]);
    assert_balanced(&ledger);
}

#[test]
fn who_joined_after_the_last_sample_misses_nothing() {
    let totals = Totals { stream: 1, first: 0, next: 10, samples: 10, lost: 0 };
    let mut ledger = StreamLedger::default();
    assert_eq!(ledger.settle(&totals, false), [None, None]);
    assert_eq!((ledger.next(), ledger.lost()), (10, 0));
}
