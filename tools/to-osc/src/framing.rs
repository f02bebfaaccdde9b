//! How messages follow each other in a stream of bytes.

use clap::ValueEnum;

/// How a receiver finds messages in a TCP stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Framing {
    /// Each behind its length as a big-endian int32, as OSC 1.0 says
    #[default]
    Length,
    /// Each between two END bytes, as OSC 1.1 says (SLIP, RFC 1055)
    Slip,
}

const END: u8 = 0xC0;
const ESC: u8 = 0xDB;
const ESC_END: u8 = 0xDC;
const ESC_ESC: u8 = 0xDD;

impl Framing {
    /// Appends a message as it is to be sent.
    pub(crate) fn wrap(self, message: &[u8], out: &mut Vec<u8>) {
        match self {
            Framing::Length => {
                out.extend_from_slice(&(message.len() as u32).to_be_bytes());
                out.extend_from_slice(message);
            }
            Framing::Slip => {
                out.push(END);
                for byte in message {
                    match *byte {
                        END => out.extend_from_slice(&[ESC, ESC_END]),
                        ESC => out.extend_from_slice(&[ESC, ESC_ESC]),
                        byte => out.push(byte),
                    }
                }
                out.push(END);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_four_bytes_in_front() {
        let mut out = Vec::new();
        Framing::Length.wrap(&[1, 2, 3, 4], &mut out);
        assert_eq!(out, [0, 0, 0, 4, 1, 2, 3, 4]);
    }

    #[test]
    fn slip_escapes_its_own_bytes_and_begins_and_ends_with_end() {
        let mut out = Vec::new();
        Framing::Slip.wrap(&[1, 0xC0, 0xDB, 2], &mut out);
        assert_eq!(out, [0xC0, 1, 0xDB, 0xDC, 0xDB, 0xDD, 2, 0xC0]);
    }
}
