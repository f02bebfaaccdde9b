//! Packets of a simulated hand, each with its time.

use libframe::clock::SECOND;

use crate::glove::packet::Packet;
use crate::glove::touch::Touch;

/// What a glove on a hand sends, without end.
#[derive(Debug)]
pub(crate) struct Hand {
    touch: Touch,
    /// Frames a second.
    rate: f64,
    /// Which frame it is.
    index: u64,
    /// Its second packet, once the first is out.
    waiting: Option<Packet>,
}

impl Hand {
    pub(crate) fn new(touch: Touch, rate: f64) -> Hand {
        Hand { touch, rate, index: 0, waiting: None }
    }

    /// The next packet. The two of a frame are half its time apart, and the last is through
    /// when that time is over; all times are counted from the start, so that none drifts.
    pub(crate) fn next(&mut self) -> Packet {
        if let Some(last) = self.waiting.take() {
            self.index += 1;
            return last;
        }
        let side = self.touch.side;
        let frame = self.touch.frame(self.index as f64 / self.rate, self.index);
        self.waiting = Some(Packet::last(self.after(1.0), side, &frame));
        Packet::first(self.after(0.5), side, &frame)
    }

    /// A time in this frame, in ns.
    fn after(&self, share: f64) -> i64 {
        ((self.index as f64 + share) * SECOND as f64 / self.rate) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glove::packet::{Place, Side};

    #[test]
    fn packets_alternate_and_do_not_drift() {
        let mut hand = Hand::new(Touch { side: Side::Left, seed: 1 }, 217.0);
        let packets: Vec<_> = (0..2 * 217).map(|_| hand.next()).collect();
        let first = packets.iter().step_by(2).all(|p| p.place == Place::First);
        let last = packets.iter().skip(1).step_by(2).all(|p| p.place == Place::Last);
        assert!(first && last);
        assert_eq!(packets[0].at, 2_304_147);
        assert_eq!(packets[433].at, SECOND);
    }
}
