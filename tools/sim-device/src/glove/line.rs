//! The wire between the device and its client: what it does to bytes, and where they are
//! when nobody takes them.

use anyhow::Result;

use crate::chance::share;
use crate::glove::port::Port;

/// The uses of random numbers, so that one fault does not move another.
const LOSE: u64 = 1;
const NOISE: u64 = 2;
const CUT: u64 = 3;

/// A serial line, with what is wrong with it.
#[derive(Debug)]
pub(crate) struct Line {
    /// Shares of bytes that are changed, and that are lost.
    pub(crate) noise: f64,
    pub(crate) lose: f64,
    /// Whether a client finds itself in the middle of a packet.
    pub(crate) mid_packet: bool,
    pub(crate) seed: u64,
    /// Whether a client had the port open at the last look.
    connected: bool,
    /// Bytes that the device gave, which number the places of faults.
    given: u64,
    arrived: u64,
}

impl Line {
    pub(crate) fn new(noise: f64, lose: f64, mid_packet: bool, seed: u64) -> Line {
        let (connected, given, arrived) = (false, 0, 0);
        Line { noise, lose, mid_packet, seed, connected, given, arrived }
    }

    /// Bytes that reached the client's buffer, and that did not.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.arrived, self.given - self.arrived)
    }

    /// Sends a packet. Whether every byte of it arrived as it was.
    pub(crate) fn send(&mut self, packet: &[u8], port: &mut Port) -> Result<bool> {
        let fresh = self.look(port)?;
        let cut = if fresh && self.mid_packet { self.cut(packet.len()) } else { 0 };
        let first = self.given;
        self.given += packet.len() as u64;
        if !self.connected {
            return Ok(false);
        }
        let places = (first..).zip(packet).skip(cut);
        let survivors =
            places.filter(|(place, _)| !self.happens(self.lose, LOSE, *place));
        let bytes: Vec<u8> =
            survivors.map(|(place, byte)| self.wear(place, *byte)).collect();
        let written = port.write(&bytes)?;
        self.arrived += written as u64;
        Ok(bytes[..written] == *packet)
    }

    /// Looks whether there is a client. True if it is a new one.
    fn look(&mut self, port: &mut Port) -> Result<bool> {
        let before = std::mem::replace(&mut self.connected, port.has_client()?);
        if before && !self.connected {
            port.forget_client()?;
        }
        Ok(self.connected && !before)
    }

    /// How much of a packet was over when the client came: never none or all of it.
    fn cut(&self, length: usize) -> usize {
        1 + (share(self.seed, CUT, self.given) * (length - 1) as f64) as usize
    }

    /// A byte as it arrives: with one bit flipped, if noise hits it.
    fn wear(&self, place: u64, byte: u8) -> u8 {
        match self.happens(self.noise, NOISE, place) {
            true => byte ^ 1 << (place % 8),
            false => byte,
        }
    }

    fn happens(&self, wanted: f64, what: u64, place: u64) -> bool {
        wanted > 0.0 && share(self.seed, what, place) < wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_cut_where_something_is_left() {
        for given in 0..1000 {
            let line = Line { given, ..Line::new(0.0, 0.0, true, 1) };
            assert!((1..134).contains(&line.cut(134)));
        }
    }

    #[test]
    fn noise_flips_one_bit_of_its_share_of_bytes() {
        let line = Line::new(0.01, 0.0, false, 1);
        let worn = (0..100_000).map(|place| line.wear(place, 0).count_ones());
        let flipped: u32 = worn.inspect(|bits| assert!(*bits <= 1)).sum();
        assert!((800..1200).contains(&flipped), "{flipped}");
    }
}
