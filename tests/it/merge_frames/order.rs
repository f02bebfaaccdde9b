//! The order of what comes out, for any inputs.

use framepipe_tests::{Scratch, pipe};
use libframe::wire::Kind;
use proptest::prelude::*;

use super::PATIENT;
use super::made::Made;

/// Times of an input, in order.
fn ascending() -> impl Strategy<Value = Vec<i64>> {
    let step = prop_oneof![Just(0), 1..5i64, 1000..2000i64];
    let steps = prop::collection::vec(step, 0..60);
    (0..3000i64, steps).prop_map(|(start, steps)| {
        let mut time = start;
        let next = |step: i64| {
            time += step;
            time
        };
        steps.into_iter().map(next).collect()
    })
}

fn made(tag: u32, times: &[i64]) -> Made {
    let start = Made::new(tag).at("boot", 1_000_000, 0).streams(&["s"]);
    let data = (0..).zip(times).fold(start, |made, (seq, time)| made.data(1, seq, *time));
    data.end()
}

/// The input and time of each sample that came out, in order, with its number.
fn merged(inputs: &[Vec<i64>]) -> Vec<(u16, u64, i64)> {
    let folder = Scratch::new();
    let files: Vec<_> = (1..)
        .zip(inputs)
        .map(|(tag, times)| made(tag, times).file(&folder, &tag.to_string()))
        .collect();
    let run = pipe(&format!("merge-frames {}", files.join(" "))).run();
    let data = run.expect(&[0]).expect_silence().of_kind(&[Kind::DATA]);
    data.iter().map(|(header, _)| (header.stream, header.seq, header.time)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn it_is_that_of_sorting_all_inputs_and_stable(
        inputs in prop::collection::vec(ascending(), 1..8),
    ) {
        let mut expected: Vec<_> = (1..)
            .zip(&inputs)
            .flat_map(|(input, times)| {
                (0..).zip(times).map(move |(seq, time)| (input, seq, *time))
            })
            .collect();
        expected.sort_by_key(|(input, _, time)| (*time, *input));
        prop_assert_eq!(merged(&inputs), expected);
    }

    #[test]
    fn within_an_input_nothing_changes_place_whatever_its_times_are(
        inputs in prop::collection::vec(
            prop::collection::vec(prop_oneof![0..50i64, any::<i64>()], 0..40),
            1..5,
        ),
    ) {
        let merged = merged(&inputs);
        for (number, times) in (1..).zip(&inputs) {
            let of_input = merged.iter().filter(|(input, ..)| *input == number);
            let came: Vec<_> = of_input.map(|(_, seq, time)| (*seq, *time)).collect();
            let sent: Vec<_> = (0..).zip(times.iter().copied()).collect();
            prop_assert_eq!(came, sent);
        }
    }
}

#[test]
fn a_batch_goes_where_its_first_sample_belongs() {
    let folder = Scratch::new();
    let one = folder.file("one.frames");
    let two = folder.file("two.frames");
    let batches = pipe("batch-frames -n 3").input(made(1, &[10, 20, 30, 40]).bytes).run();
    std::fs::write(&one, batches.stdout).unwrap();
    std::fs::write(&two, made(2, &[5, 15, 35, 45]).bytes).unwrap();
    let run = pipe(&format!("merge-frames {one} {two}")).run();
    let all = run.expect(&[0]).of_kind(&[Kind::DATA, Kind::BATCH]);
    let times: Vec<_> = all.iter().map(|(header, _)| header.time).collect();
    assert_eq!(times, [5, 10, 15, 35, 40, 45]);
    // Those who need it finer split them before.
    let line = format!("batch-frames --split | merge-frames {PATIENT} - {two}");
    let run = pipe(&line).input_file(&one).run();
    let all = run.expect(&[0, 0]).of_kind(&[Kind::DATA]);
    let times: Vec<_> = all.iter().map(|(header, _)| header.time).collect();
    assert_eq!(times, [5, 10, 15, 20, 30, 35, 40, 45]);
}

#[test]
fn events_are_put_in_order_too() {
    let folder = Scratch::new();
    let events = Made::new(1).at("boot", 0, 0).event("go", 12).event("stop", 33).end();
    let (events, data) =
        (events.file(&folder, "e"), made(2, &[10, 20, 30, 40]).file(&folder, "d"));
    let run = pipe(&format!("merge-frames {events} {data}")).run();
    let all = run.expect(&[0]).of_kind(&[Kind::DATA, Kind::EVENT]);
    let times: Vec<_> = all.iter().map(|(header, _)| header.time).collect();
    assert_eq!(times, [10, 12, 20, 30, 33, 40]);
}
