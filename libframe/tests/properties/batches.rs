//! Batching and splitting are inverses.

use libframe::batch::{Builder, Sample, Samples, data_record};
use libframe::wire::{MAX_PAYLOAD, Record};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::streams::*;

/// Samples as the runner chooses them: time, device time, bytes.
fn samples(fixed: bool, timed: bool) -> impl Strategy<Value = Vec<Choice>> {
    let size = if fixed { (0usize..20).boxed() } else { Just(20).boxed() };
    size.prop_flat_map(move |size| {
        let bytes =
            if fixed { vec(any::<u8>(), size) } else { vec(any::<u8>(), 0..size) };
        let device = any::<u64>().prop_map(move |time| timed.then_some(time));
        vec((any::<i64>(), device, bytes), 1..60)
    })
}

type Choice = (i64, Option<u64>, Vec<u8>);

fn numbered(choices: &[Choice], first: u64) -> impl Iterator<Item = Sample<'_>> {
    choices.iter().enumerate().map(move |(i, (time, device_time, bytes))| Sample {
        seq: first.wrapping_add(i as u64),
        time: *time,
        device_time: *device_time,
        bytes,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn batching_and_splitting_are_inverses(
        (fixed, choices) in any::<(bool, bool)>()
            .prop_flat_map(|(fixed, timed)| (Just(fixed), samples(fixed, timed))),
        header in header(TAGS[0]),
        limit in prop_oneof![Just(MAX_PAYLOAD), 0usize..500],
    ) {
        let mut builder = Builder::new(fixed);
        let mut batches = Vec::new();
        for sample in numbered(&choices, header.seq) {
            if !builder.push(&header, &sample, limit) {
                batches.extend(builder.finish().map(|r| (r.header, r.payload.to_vec())));
                prop_assert!(builder.push(&header, &sample, limit));
            }
        }
        batches.extend(builder.finish().map(|r| (r.header, r.payload.to_vec())));
        prop_assert!(builder.is_empty());

        let mut came = numbered(&choices, header.seq);
        for (head, payload) in &batches {
            let batch = Record::new(*head, payload);
            let samples = Samples::parse(&batch, fixed).unwrap();
            prop_assert_eq!(batch.samples(), samples.len() as u64);
            prop_assert!(payload.len() <= limit || samples.len() == 1);
            prop_assert_eq!((head.stream, head.session), (header.stream, header.session));
            for sample in samples.iter() {
                prop_assert_eq!(Some(sample), came.next());
                let mut buffer = Vec::new();
                let data = data_record(head, &sample, &mut buffer);
                let back: Vec<_> = Samples::parse(&data, fixed).unwrap().iter().collect();
                prop_assert_eq!(back, [sample]);
                builder.push(&data.header, &sample, MAX_PAYLOAD);
            }
            let again = builder.finish().unwrap();
            prop_assert_eq!((again.header, again.payload), (*head, &payload[..]));
        }
        prop_assert_eq!(came.next(), None);
    }
}
