//! Messages of all generations, and what is none.

use proptest::prelude::*;

use super::*;
use crate::plugin::Plugin;

fn with<T>(
    json: &str,
    payload: &[u8],
    look: impl FnOnce(Result<Message<'_>, Fault>) -> T,
) -> T {
    look(parse(&Plugin::default().json(json, payload)))
}

#[track_caller]
fn expect_fault(json: &str, payload: &[u8], fault: Fault) {
    with(json, payload, |message| assert_eq!(message.unwrap_err(), fault, "{json}"));
}

/// The example of the plugin's documentation of its wire format.
const DATA: &str = "{\"message_num\":1,\"type\":\"data\",\"content\":{\"stream\":\"Rhythm Data\",\
                    \"channel_num\":0,\"channel_name\":\"CH1\",\"num_samples\":2,\"sample_num\":0,\
                    \"sample_rate\":30000.0},\"data_size\":8,\"timestamp\":1751932705000}";
const VALUES: [u8; 8] = [0, 0, 0x80, 0x3F, 0, 0, 0x20, 0xC0];

#[test]
fn data_of_today() {
    with(DATA, &VALUES, |message| {
        let Message { number, published, body } = message.unwrap();
        assert_eq!((number, published), (Some(1), Some(1_751_932_705_000)));
        let Body::Data(data) = body else { panic!() };
        assert_eq!((&*data.stream, data.first, data.samples), ("Rhythm Data", 0, 2));
        assert_eq!(data.rate, Some(30_000.0));
        assert_eq!(data.rows().collect::<Vec<_>>(), [(0, &VALUES[..])]);
        let Columns::One { channel: 0, name: Some(name) } = data.columns else {
            panic!()
        };
        assert_eq!(name, "CH1");
        // Nothing is copied out of the message.
        assert!(
            matches!(name, Cow::Borrowed(_)) && matches!(data.stream, Cow::Borrowed(_))
        );
    });
}

#[test]
fn names_may_be_escaped_and_numbers_written_as_doubles() {
    let json = DATA
        .replace("Rhythm Data", "Ger\\u00e4t")
        .replace("\"sample_num\":0", "\"sample_num\":480.0");
    with(&json, &VALUES, |message| {
        let Body::Data(data) = message.unwrap().body else { panic!() };
        assert_eq!((&*data.stream, data.first), ("Gerät", 480));
    });
}

#[test]
fn all_channels_in_one_message_and_only_valid_samples_count() {
    let json = "{\"message_no\":%,\"type\":\"data\",\"content\":{\"n_channels\":2,\"n_samples\":3,\
                \"n_real_samples\":2,\"timestamp\":96,\"sample_rate\":30000},\"data_size\":24}";
    let payload: Vec<u8> = (0..24).collect();
    with(json, &payload, |message| {
        let message = message.unwrap();
        let Body::Data(data) = &message.body else { panic!() };
        let rows: Vec<_> = data.rows().collect();
        assert_eq!(rows, [(0, &payload[..8]), (1, &payload[12..20])]);
        assert_eq!((message.number, data.first, &*data.stream), (Some(1), 96, UNNAMED));
        let one = data.of_channel(1);
        assert_eq!(one.rows().collect::<Vec<_>>(), rows[1..]);
    });
    expect_fault(
        &json.replace("real_samples\":2", "real_samples\":4"),
        &payload,
        Fault::Range("n_real_samples"),
    );
}

#[test]
fn events_with_and_without_data() {
    let json = "{\"message_num\":%,\"type\":\"event\",\"content\":{\"stream\":\"a\",\"source_node\":\
                102,\"type\":3,\"sample_num\":7},\"data_size\":10,\"timestamp\":1}";
    with(json, &[2, 1, 4, 0, 0, 0, 0, 0, 0, 0], |message| {
        let Body::Event(event) = message.unwrap().body else { panic!() };
        assert_eq!(event.ttl(), Some(Ttl { line: 2, on: true, word: 4 }));
        assert_eq!((event.sample, event.node), (7, Some(Word::Number(102))));
    });
    let two = json.replace("\"data_size\":10", "\"data_size\":0");
    assert!(parse(&[b"EVENT\0", two.replace('%', "1").as_bytes()]).is_ok());
    let old = "{\"message_no\":%,\"type\":\"event\",\"content\":{\"type\":3,\"sample_num\":5,\
               \"event_id\":1,\"event_channel\":4,\"timestamp\":900}}";
    with(old, b"", |message| {
        let Body::Event(event) = message.unwrap().body else { panic!() };
        assert_eq!(event.ttl(), Some(Ttl { line: 4, on: true, word: 1 }));
    });
}

#[test]
fn spikes_have_no_size_and_old_ones_are_cut() {
    let json = "{\"message_num\":%,\"type\":\"spike\",\"spike\":{\"stream\":\"a\",\"source_node\":1,\
                \"electrode\":\"S 1\",\"sample_num\":9,\"num_channels\":2,\"num_samples\":2,\
                \"sorted_id\":3,\"threshold\":[-50.0,1]}}";
    for len in [16, 4] {
        with(json, &[0; 16][..len], |message| {
            let Body::Spike(spike) = message.unwrap().body else { panic!() };
            assert_eq!((spike.len(), spike.payload.len(), spike.sorted), (16, len, 3));
            assert_eq!(spike.thresholds.0, [-50.0, 1.0]);
        });
    }
    expect_fault(json, &[0; 5], Fault::Payload);
    let old = "{\"message_no\":%,\"type\":\"spike\",\"spike\":{\"timestamp\":9,\"n_channels\":1,\
               \"n_samples\":4,\"electrode_id\":7}}";
    with(old, &[0; 4], |message| {
        let Body::Spike(spike) = message.unwrap().body else { panic!() };
        assert_eq!((spike.sample, spike.electrode), (9, Word::Number(7)));
    });
}

#[test]
fn what_contradicts_itself_is_a_fault_that_names_it() {
    let edit = |from: &str, to: &str| DATA.replace(from, to);
    for (json, fault) in [
        (edit("_size\":8", "_size\":9"), Fault::DataSize),
        (edit("_size\":8", "_size\":-8"), Fault::DataSize),
        (edit("num_samples\":2", "num_samples\":3"), Fault::Payload),
        (edit("num_samples\":2", "num_samples\":-2"), Fault::Range("num_samples")),
        (
            edit("num_samples\":2", "num_samples\":4294967298"),
            Fault::Range("num_samples"),
        ),
        (edit("\"num_samples\":2,", ""), Fault::Missing("num_samples")),
        (edit("channel_num\":0", "channel_num\":-1"), Fault::Range("channel_num")),
        (edit("channel_num\":0", "channel_num\":16384"), Fault::Range("channel_num")),
        (edit("\"channel_num\":0,", ""), Fault::Missing("channel_num")),
        (edit("sample_num\":0", "sample_num\":-1"), Fault::Range("sample_num")),
        (edit("sample_num\":0", "sample_num\":1e300"), Fault::Json),
        (edit("30000.0", "-1.0"), Fault::Range("sample_rate")),
        (edit("30000.0", "1e400"), Fault::Json),
        (edit("30000.0", "NaN"), Fault::Json),
        (edit("\"message_num\":1", "\"message_num\":\"1\""), Fault::Json),
        (edit("\"type\":\"data\",", ""), Fault::Json),
        (edit("Rhythm Data", &"x".repeat(257)), Fault::Range("stream")),
        (edit("CH1", &"x".repeat(257)), Fault::Range("channel_name")),
        ("{\"type\":\"data\"}".into(), Fault::Missing("content")),
        ("[".repeat(60_000), Fault::Json),
        (" ".repeat(65_537), Fault::Long),
    ] {
        expect_fault(&json, &VALUES, fault);
    }
    assert_eq!(parse(&[b"x".as_slice()]), Err(Fault::Parts));
    assert_eq!(parse(&[b"x".as_slice(); 4]), Err(Fault::Parts));
    // Nothing is known of what a type means that is to come.
    let other = "{\"type\":\"parameter\",\"content\":{}}";
    with(other, b"", |message| assert_eq!(message.unwrap().body, Body::Other));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_bytes_make_it_panic(
        json in prop::collection::vec(any::<u8>(), 0..200),
        payload in prop::collection::vec(any::<u8>(), 0..40),
        at in 0..DATA.len(),
        with in any::<u8>(),
    ) {
        drop(parse(&[b"DATA\0", &json, &payload]));
        let mut near = DATA.as_bytes().to_vec();
        near[at] = with;
        if let Ok(Message { body: Body::Data(data), .. }) = parse(&[b"", &near, &payload]) {
            data.rows().for_each(|(_, row)| assert_eq!(row.len(), 4 * data.samples));
        }
    }
}
