//! Whatever a peer sends, in whatever cuts: the same messages, no panic, and no memory for
//! what is only claimed.

use libframe_zmtp::{Decoder, Fault, Limits, Step, greeting, put_command, put_message};
use proptest::collection::vec;
use proptest::prelude::*;

const SMALL: Limits = Limits { message: 3000, parts: 5 };
/// What a decoder may take beside one message: its buffer at rest doubles once, and holds
/// commands.
const BESIDE: usize = 40 << 10;

/// What came out of a decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Came {
    Greeting(u8),
    Command(Vec<u8>),
    Message(Vec<Vec<u8>>),
    Fault(Fault),
}

/// Everything in these bytes, pushed in cuts of these lengths, over and over.
fn decode(bytes: &[u8], cuts: &[usize], limits: Limits) -> Vec<Came> {
    let (mut decoder, mut came) = (Decoder::new(limits), Vec::new());
    let mut cuts = cuts.iter().copied().filter(|cut| *cut > 0).cycle();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(cuts.next().unwrap_or(1 << 30).min(rest.len()));
        decoder.push(now);
        rest = later;
        if !step(&mut decoder, &mut came) {
            break;
        }
        assert!(decoder.memory() <= limits.message + BESIDE, "{}", decoder.memory());
    }
    came
}

/// Takes all that is whole. False after a fault.
fn step(decoder: &mut Decoder, came: &mut Vec<Came>) -> bool {
    loop {
        match decoder.step() {
            Ok(Step::More) => return true,
            Ok(Step::Greeting { minor }) => came.push(Came::Greeting(minor)),
            Ok(Step::Message) => {
                let parts = decoder.parts().iter().map(<[u8]>::to_vec);
                came.push(Came::Message(parts.collect()));
            }
            Ok(Step::Command) => match decoder.command() {
                Ok(command) => came.push(Came::Command(format!("{command:?}").into())),
                Err(fault) => came.push(Came::Fault(fault)),
            },
            Err(fault) => {
                came.push(Came::Fault(fault));
                return false;
            }
        }
    }
}

/// A message of the wire, or a command between two of them.
#[derive(Clone, Debug)]
enum Sent {
    Message(Vec<Vec<u8>>),
    Ping(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    let part = prop_oneof![
        4 => vec(any::<u8>(), 0..40),
        // Around the length that takes eight bytes.
        1 => vec(any::<u8>(), 250..600),
    ];
    prop_oneof![
        4 => vec(part, 1..=5).prop_map(Sent::Message),
        1 => vec(any::<u8>(), 0..16).prop_map(Sent::Ping),
    ]
}

fn wire(sent: &[Sent]) -> (Vec<u8>, Vec<Came>) {
    let (mut bytes, mut expected) = (greeting().to_vec(), vec![Came::Greeting(1)]);
    for one in sent {
        match one {
            Sent::Message(parts) => {
                let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
                put_message(&mut bytes, &parts);
                let parts = parts.into_iter().map(<[u8]>::to_vec).collect();
                expected.push(Came::Message(parts));
            }
            Sent::Ping(context) => {
                put_command(&mut bytes, "PING", &[&[0, 0], context]);
                expected.push(Came::Command(format!("Ping({context:?})").into()));
            }
        }
    }
    (bytes, expected)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn messages_are_the_same_in_all_cuts(
        sent in vec(sent(), 0..30),
        cuts in vec(1usize..700, 1..10),
    ) {
        let (bytes, expected) = wire(&sent);
        prop_assert_eq!(&decode(&bytes, &cuts, SMALL), &expected);
        prop_assert_eq!(&decode(&bytes, &[1], SMALL), &expected);
        prop_assert_eq!(&decode(&bytes, &[], SMALL), &expected);
    }

    #[test]
    fn any_bytes_do_no_harm_and_mean_the_same_in_all_cuts(
        noise in vec(any::<u8>(), 0..400),
        greeted in any::<bool>(),
        cuts in vec(1usize..50, 1..10),
    ) {
        let mut bytes = if greeted { greeting().to_vec() } else { Vec::new() };
        bytes.extend(noise);
        let whole = decode(&bytes, &[], SMALL);
        prop_assert_eq!(decode(&bytes, &cuts, SMALL), whole);
    }

    #[test]
    fn a_flipped_bit_does_no_harm(
        sent in vec(sent(), 1..20),
        place in any::<prop::sample::Index>(),
        bit in 0u8..8,
        cuts in vec(1usize..700, 1..10),
    ) {
        let (mut bytes, _) = wire(&sent);
        let at = place.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let whole = decode(&bytes, &[], SMALL);
        prop_assert_eq!(decode(&bytes, &cuts, SMALL), whole);
    }
}

/// What comes of these bytes behind a greeting.
fn fault(bytes: &[u8]) -> Option<Fault> {
    let bytes = [&greeting()[..], bytes].concat();
    match decode(&bytes, &[7], SMALL).pop() {
        Some(Came::Fault(fault)) => Some(fault),
        _ => None,
    }
}

#[test]
fn claims_over_the_limit_are_refused_by_their_header_alone() {
    let claim = |size: u64| [&[2u8][..], &size.to_be_bytes()].concat();
    for size in [3001, 1 << 30, 1 << 63, u64::MAX] {
        let limit = 3000;
        assert_eq!(
            fault(&claim(size)),
            Some(Fault::MessageTooLong { claimed: size, limit })
        );
    }
    assert_eq!(fault(&claim(3000)), None);
    let command = [&[6u8][..], &(1u64 << 40).to_be_bytes()].concat();
    assert!(matches!(fault(&command), Some(Fault::CommandTooLong { .. })));
}

#[test]
fn what_is_claimed_within_the_limit_costs_nothing_until_it_comes() {
    let mut decoder = Decoder::new(Limits::default());
    decoder.push(&greeting());
    decoder.push(&[2, 0, 0, 0, 0, 3, 0, 0, 0]);
    assert_eq!(decoder.step(), Ok(Step::Greeting { minor: 1 }));
    assert_eq!(decoder.step(), Ok(Step::More));
    assert!(decoder.memory() < 1 << 20, "{}", decoder.memory());
}

#[test]
fn parts_without_end_are_refused_with_or_without_content() {
    let empty = [1u8, 0].repeat(100);
    assert_eq!(fault(&empty), Some(Fault::TooManyParts(5)));
    let full = [&[1u8, 255][..], &[7; 255]].concat().repeat(100);
    assert_eq!(fault(&full), Some(Fault::TooManyParts(5)));
    let mut long = Vec::new();
    put_message(&mut long, &[&[0; 1000][..]; 4]);
    let claimed = 4000;
    assert_eq!(fault(&long), Some(Fault::MessageTooLong { claimed, limit: 3000 }));
}

#[test]
fn commands_between_parts_are_bounded_too() {
    let mut bytes = vec![1, 0];
    (0..10_000).for_each(|_| put_command(&mut bytes, "PING", &[&[0, 0]]));
    let mut came = decode(&[&greeting()[..], &bytes].concat(), &[], SMALL);
    assert!(matches!(came.pop(), Some(Came::Fault(Fault::CommandTooLong { .. }))));
}

#[test]
fn strangers_are_known_by_their_first_bytes() {
    let first = |bytes: &[u8]| decode(bytes, &[1], SMALL);
    let stranger = |bytes: &[u8]| vec![Came::Fault(Fault::Signature(bytes.to_vec()))];
    assert_eq!(first(b"GET / HTTP/1.1\r\n"), stranger(b"G"));
    let early = b"\xFFET / HTTP";
    assert_eq!(first(&early[..9]), [], "nine bytes could still be a greeting");
    assert_eq!(first(early), stranger(early));
    let mut old = greeting();
    old[10] = 1;
    assert_eq!(first(&old), [Came::Fault(Fault::Version(1))]);
    let mut curve = greeting();
    curve[12..17].copy_from_slice(b"CURVE");
    let told = first(&curve);
    assert_eq!(told, [Came::Fault(Fault::Mechanism("CURVE".into()))]);
    let Came::Fault(fault) = &told[0] else { unreachable!() };
    assert!(fault.to_string().contains("\"CURVE\"") && fault.is_protocol(), "{fault}");
}

#[test]
fn a_buffer_that_has_grown_is_given_back() {
    let mut decoder = Decoder::new(Limits::default());
    decoder.push(&greeting());
    let (mut long, mut short) = (Vec::new(), Vec::new());
    put_message(&mut long, &[&vec![0; 8 << 20]]);
    put_message(&mut short, &[b"x"]);
    decoder.push(&long);
    assert_eq!(decoder.step(), Ok(Step::Greeting { minor: 1 }));
    assert_eq!(decoder.step(), Ok(Step::Message));
    assert!(decoder.memory() > 8 << 20);
    for _ in 0..200 {
        decoder.push(&short);
        assert_eq!(decoder.step(), Ok(Step::Message));
        assert_eq!(decoder.step(), Ok(Step::More));
    }
    assert!(decoder.memory() < 1 << 20, "{}", decoder.memory());
}
