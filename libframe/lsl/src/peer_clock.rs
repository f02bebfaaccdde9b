//! How far the clock of an outlet is from ours.
//!
//! A few questions one after the other, of which the one that came back soonest counts, as
//! NTP does it. Not liblsl's own measurement: that one gives its last figure for ever when
//! the outlet has stopped answering, and cannot be told from a new one.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use libframe::clock::Clock;

use crate::values::{nanoseconds, seconds};

/// Questions of one measurement, and how many must be answered.
const QUESTIONS: u32 = 8;
const ANSWERS: usize = 3;
/// How long to wait for an answer.
const PATIENCE: Duration = Duration::from_millis(150);
/// A measurement is worth nothing if none came back sooner.
const MAX_ROUND_TRIP: i64 = 1_000_000_000;

/// An outlet's clock.
#[derive(Debug)]
pub struct PeerClock {
    socket: UdpSocket,
    clock: Clock,
    wave: u32,
}

/// What a clock showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offset {
    /// How long question and answer took, ns, without what the other side took.
    pub round_trip: i64,
    /// Its clock minus ours, ns.
    pub offset: i64,
    /// When that was, by ours.
    pub at: i64,
}

impl PeerClock {
    /// Where an outlet tells the time.
    pub fn new(service: SocketAddr, clock: &Clock) -> io::Result<PeerClock> {
        let any = if service.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        // What anybody else sends does not reach a connected socket.
        socket.connect(service)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        // Numbers that nobody can guess who does not see the questions.
        let wave = (clock.now() as u32) & 0x3fff_ffff;
        Ok(PeerClock { socket, clock: clock.clone(), wave })
    }

    /// Measures; `None` if too few answers came.
    pub fn measure(&mut self) -> Option<Offset> {
        let mut answers = Vec::with_capacity(QUESTIONS as usize);
        for asked in 0..QUESTIONS {
            if let Some(answer) = self.ask() {
                answers.push(answer);
            } else if asked == 2 && answers.is_empty() {
                return None;
            }
        }
        let is_enough = answers.len() >= ANSWERS;
        answers.into_iter().min().filter(|_| is_enough)
    }

    fn ask(&mut self) -> Option<Offset> {
        self.wave = (self.wave + 1) & 0x7fff_ffff;
        let sent = self.clock.now();
        let question = format!("LSL:timedata\r\n{} {}\r\n", self.wave, seconds(sent));
        self.socket.send(question.as_bytes()).ok()?;
        let mut bytes = [0; 512];
        // Answers to older questions may come first.
        for _ in 0..4 {
            let count = self.socket.recv(&mut bytes).ok()?;
            let come = self.clock.now();
            if let Some(offset) = read(&bytes[..count], self.wave, sent, come) {
                return Some(offset);
            }
        }
        None
    }
}

/// Reads an answer: ` WAVE SENT RECEIVED ANSWERED`.
fn read(bytes: &[u8], wave: u32, sent: i64, come: i64) -> Option<Offset> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut words = text.split_ascii_whitespace();
    if words.next()?.parse() != Ok(wave) {
        return None;
    }
    let mut times = words.skip(1).map(|word| word.parse::<f64>().ok());
    let mut time = || times.next()?.filter(|time| time.abs() < 9e9).map(nanoseconds);
    let (received, answered) = (time()?, time()?);
    let round_trip = (come - sent) - (answered - received);
    if !(0..MAX_ROUND_TRIP).contains(&round_trip) || answered < received {
        return None;
    }
    let offset = ((received - sent) + (answered - come)) / 2;
    Some(Offset { round_trip, offset, at: sent + (come - sent) / 2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn an_answer_tells_offset_and_round_trip() {
        // 5 s ahead; 2 ms there, 1 ms at the other side, 2 ms back.
        let answer = read(b" 7 10 15.002 15.003", 7, 10 * S, 10 * S + 5_000_000).unwrap();
        assert_eq!((answer.offset, answer.round_trip), (5 * S, 4_000_000));
        assert_eq!(answer.at, 10 * S + 2_500_000);
    }

    #[test]
    fn answers_that_are_none_are_not_taken() {
        let of = |text: &str| read(text.as_bytes(), 7, 10 * S, 11 * S - 1);
        assert!(of(" 7 10 15 15.1").is_some());
        for text in [
            "",
            "7",
            "x",
            " 8 10 15 15.1",
            " 7 10 nan 15",
            " 7 10 15",
            " 7 10 inf inf",
            " 7 10 15 14",
            " 7 10 15 25",
            " 7 10 1e300 1e300",
            "\u{fffd}",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
