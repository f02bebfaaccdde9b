//! Any bytes of a ZeroMQ peer, in any cuts, under any limit.
//!
//! The first bytes of the input choose the limits and the cuts; with the highest bit of the
//! first one set, what follows comes behind a good greeting, which no fuzzer guesses.

#![no_main]

use libframe_zmtp::{Decoder, Limits, Step, greeting};
use libfuzzer_sys::fuzz_target;

const MESSAGES: [usize; 5] = [0, 8, 300, 5000, 1 << 20];
/// Beside one message: the buffer at rest, and commands.
const BESIDE: usize = 300 << 10;

fuzz_target!(|input: &[u8]| {
    let Some(([choice, cut, parts], stream)) = input.split_first_chunk::<3>() else {
        return;
    };
    let message = MESSAGES[usize::from(choice & 0x7f) % MESSAGES.len()];
    let limits = Limits { message, parts: usize::from(parts % 8) };
    let front = if choice & 0x80 == 0 { Vec::new() } else { greeting().to_vec() };
    let stream = [&front[..], stream].concat();
    let whole = decode(&stream, stream.len(), limits);
    assert_eq!(decode(&stream, usize::from(*cut), limits), whole, "cuts make a difference");
});

/// Everything that comes out, as text.
fn decode(stream: &[u8], cut: usize, limits: Limits) -> Vec<String> {
    let (mut decoder, mut came) = (Decoder::new(limits), Vec::new());
    for bytes in stream.chunks(cut.max(1)) {
        decoder.push(bytes);
        assert!(decoder.memory() <= limits.message.max(stream.len()) + BESIDE);
        if !step(&mut decoder, limits, &mut came) {
            break;
        }
    }
    came
}

/// Takes all that is whole. False after a fault.
fn step(decoder: &mut Decoder, limits: Limits, came: &mut Vec<String>) -> bool {
    loop {
        match decoder.step() {
            Ok(Step::More) => return true,
            Ok(Step::Greeting { minor }) => came.push(format!("3.{minor}")),
            Ok(Step::Command) => came.push(format!("{:?}", decoder.command())),
            Ok(Step::Message) => {
                let parts = decoder.parts();
                let bytes: usize = parts.iter().map(<[u8]>::len).sum();
                assert!(bytes <= limits.message && parts.len() <= limits.parts);
                came.push(format!("{:?}", parts.iter().collect::<Vec<_>>()));
            }
            Err(fault) => {
                came.push(fault.to_string());
                return false;
            }
        }
    }
}
