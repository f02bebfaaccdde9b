//! `man/framepipe.5` is the specification, so the bytes it shows must be right.

use framepipe_tests::{Event, decode, root};
use libframe::batch::Samples;
use libframe::decoder::Cause;
use libframe::payload::{End, Gap, MAX_TYPED, Payload as _, Reason, Session};
use libframe::schema::Stream;
use libframe::wire::{Header, Kind, MAX_PAYLOAD, Record};

fn page() -> String {
    std::fs::read_to_string(root().join("man/framepipe.5")).unwrap()
}

/// The bytes of the page's hex dumps, by the name of their example.
fn examples() -> Vec<(String, Vec<u8>)> {
    let page = page();
    let sections = page.split(".SS Example: ").skip(1);
    let examples = sections.map(|section| {
        let (name, body) = section.split_once('\n').unwrap();
        let dump = body.lines().skip_while(|line| *line != ".EX").skip(1);
        let lines: Vec<_> = dump.take_while(|line| *line != ".EE").collect();
        let bytes = lines.iter().enumerate().flat_map(|(row, line)| {
            let (offset, hex) = line.trim_start().split_once(' ').unwrap();
            assert_eq!(usize::from_str_radix(offset, 16).unwrap(), row * 16, "{name}");
            hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap())
        });
        (name.to_owned(), bytes.collect())
    });
    examples.collect()
}

fn example(name: &str) -> Vec<Event> {
    let all = examples();
    let found = all.iter().find(|(other, _)| other == name);
    decode(&found.unwrap_or_else(|| panic!("no example {name:?}")).1)
}

#[track_caller]
fn only_record(name: &str) -> (Header, Vec<u8>) {
    let events = example(name);
    let [Event::Record(header, payload)] = &events[..] else {
        panic!("{name}: {events:?}")
    };
    (*header, payload.clone())
}

#[test]
fn every_example_of_a_record_is_one() {
    for (name, bytes) in examples() {
        let events = decode(&bytes);
        let damaged = events.iter().any(|event| matches!(event, Event::Damage(_)));
        let broken = ["damaged", "joined late", "cut off", "another version"];
        assert_eq!(
            damaged,
            broken.iter().any(|word| name.contains(word)),
            "{name}: {events:?}"
        );
    }
    assert!(examples().len() >= 10);
}

#[test]
fn the_typed_examples_hold_what_the_page_says() {
    let (header, payload) = only_record("SESSION");
    let session = Session::from_bytes(&payload).unwrap();
    assert_eq!((session.host.as_str(), session.boot_id.as_str()), ("bench2", "5b2c"));
    assert_eq!(session.start_monotonic, header.time);
    assert_eq!(session.stages[0].command, ["sim-src", "-n", "2"]);

    let (_, payload) = only_record("STREAM");
    let stream = Stream::from_bytes(&payload).unwrap();
    assert_eq!((stream.shape.as_slice(), stream.rate), (&[2][..], Some(200.0)));

    let (header, payload) = only_record("GAP");
    let gap = Gap::from_bytes(&payload).unwrap();
    assert_eq!(header.seq, gap.next());

    let (_, payload) = only_record("GAP of a session that broke off");
    assert_eq!(Gap::from_bytes(&payload).unwrap().reason, Reason::Upstream);

    let (_, payload) = only_record("END");
    assert!(!End::from_bytes(&payload).unwrap().streams.is_empty());
}

#[test]
fn the_examples_of_samples_can_be_taken_apart() {
    for (name, fixed, n, timed) in [
        ("DATA", true, 1, false),
        ("DATA with device time", true, 1, true),
        ("BATCH of fixed samples", true, 2, false),
        ("BATCH of varying samples", false, 2, true),
    ] {
        let (header, payload) = only_record(name);
        let record = Record::new(header, &payload);
        let samples = Samples::parse(&record, fixed).unwrap();
        assert_eq!(samples.len(), n, "{name}");
        if name != "BATCH of varying samples" {
            let times =
                samples.iter().all(|sample| sample.device_time.is_some() == timed);
            assert!(times, "{name}");
        }
    }
}

#[test]
fn the_damaged_examples_have_the_causes_that_the_page_names() {
    let cause = |name: &str| {
        let damage = example(name).into_iter().find_map(|event| match event {
            Event::Damage(damage) => Some(damage.cause),
            Event::Record(..) => None,
        });
        damage.unwrap_or_else(|| panic!("{name}: no damage"))
    };
    assert_eq!(cause("stream with a damaged payload"), Cause::Payload);
    assert_eq!(cause("stream with a damaged header"), Cause::Header);
    assert_eq!(cause("stream that was joined late"), Cause::Late);
    assert_eq!(cause("record that was cut off"), Cause::Truncated);
    assert!(matches!(cause("record of another version"), Cause::Version { .. }));
}

#[test]
fn every_kind_and_key_is_on_the_page() {
    let page = page();
    for kind in (1..=9).map(Kind) {
        assert!(page.contains(kind.name().unwrap()), "{kind:?}");
    }
    for file in ["payload.rs", "schema.rs"] {
        let path = root().join("libframe/src").join(file);
        let source = std::fs::read_to_string(path).unwrap();
        let source = source.split("mod bounded").next().unwrap();
        let keys = source.lines().filter_map(|line| {
            let (key, _) = line.strip_prefix("    pub ")?.split_once(':')?;
            (!key.contains([' ', '(', '<'])).then_some(key)
        });
        for key in keys {
            let key = match key {
                "input" => "in",
                "output" => "out",
                key => key,
            };
            assert!(page.contains(key), "{file}: key {key} is not on the page");
        }
    }
    assert!(MAX_TYPED == 1 << 20 && MAX_PAYLOAD == 64 << 20 && page.contains("64 MiB"));
}
