//! The glove's packets, byte for byte.
//!
//! ```text
//! AA 55 03 99 | index | type | payload            index 1: 128 bytes, 134 in all
//!   delimiter    1, 2   1..6                      index 2: 144 bytes, 150 in all
//! ```
//!
//! The two payloads joined are a frame. There is no length, no checksum and no number, so
//! all that shows a loss is that 1 and 2 do not alternate.

use clap::ValueEnum;

/// What every packet begins with. It may also occur in a payload.
pub(crate) const DELIMITER: [u8; 4] = [0xAA, 0x55, 0x03, 0x99];
/// Bytes of a frame: 256 of pressure, 16 of a quaternion.
pub(crate) const FRAME: usize = 272;
/// Bytes of a frame's two packets.
pub(crate) const ON_WIRE: usize = FRAME + 2 * (DELIMITER.len() + 2);
/// How much of the frame the first packet carries.
const FIRST: usize = 128;

/// What part of a body the sensors are on: the packets' type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    #[value(alias = "1")]
    Left = 1,
    #[value(alias = "2")]
    Right,
    #[value(alias = "3")]
    LeftFoot,
    #[value(alias = "4")]
    RightFoot,
    #[value(alias = "5")]
    Front,
    #[value(alias = "6")]
    Body,
}

/// A piece of what a glove sends, in one write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Packet {
    /// When its last byte is through, ns after the device was switched on.
    pub(crate) at: i64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) place: Place,
}

/// Where in a frame a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    First,
    /// With it the frame is complete.
    Last,
    /// A second packet without a first one, or no packet at all.
    Stray,
}

impl Packet {
    /// The first packet of a frame.
    pub(crate) fn first(at: i64, side: Side, frame: &[u8; FRAME]) -> Packet {
        Packet { at, bytes: encode(1, side, &frame[..FIRST]), place: Place::First }
    }

    /// The second packet of a frame.
    pub(crate) fn last(at: i64, side: Side, frame: &[u8; FRAME]) -> Packet {
        Packet { at, bytes: encode(2, side, &frame[FIRST..]), place: Place::Last }
    }
}

fn encode(index: u8, side: Side, payload: &[u8]) -> Vec<u8> {
    [&DELIMITER, &[index, side as u8][..], payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_two_packets_of_134_and_150_bytes() {
        let frame: [u8; FRAME] = std::array::from_fn(|at| at as u8);
        let first = Packet::first(0, Side::Right, &frame).bytes;
        let last = Packet::last(0, Side::Body, &frame).bytes;
        assert_eq!((first.len(), last.len()), (134, 150));
        assert_eq!(first[..8], [0xAA, 0x55, 0x03, 0x99, 1, 2, 0, 1]);
        assert_eq!(last[..8], [0xAA, 0x55, 0x03, 0x99, 2, 6, 128, 129]);
        assert_eq!([&first[6..], &last[6..]].concat(), frame);
    }
}
