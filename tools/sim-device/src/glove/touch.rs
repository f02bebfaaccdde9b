//! A hand that takes hold of things and lets go, as a glove's sensors show it.
//!
//! Richer than what 'sim-src' sends for a glove, and in the real places: what a client
//! draws or maps here should look like a hand.

use std::f64::consts::TAU;

use crate::chance::share;
use crate::glove::packet::{FRAME, Side};

/// How often the orientation is new; frames between two repeat it, as the real one does.
const TURNS_PER_SECOND: f64 = 98.0;
/// How long a hand takes to grip, hold, let go and rest, in seconds.
const GRIP: f64 = 4.0;

/// The uses of random numbers; fingers are added to them.
const STRENGTH: u64 = 100;
const FLICKER: u64 = 200;
const TREMOR: u64 = 300;

/// Where the sensors of a hand are in a frame, from the maker's tables, which count from 1.
///
/// The first finger in each is the one at the left edge, from the back of the hand: a left
/// hand's little finger, a right hand's thumb. The others follow at three bytes each.
struct Places {
    /// The left byte of each of the four rows of three at a fingertip.
    tip: [usize; 4],
    /// The byte that stands for a finger's back.
    bend: usize,
    /// The left byte of each row of the palm, and how many there are.
    palm: [(usize, usize); 5],
    thumb: usize,
}

const LEFT: Places = Places {
    tip: [31, 15, 255, 239],
    bend: 222,
    palm: [(207, 12), (191, 15), (175, 15), (159, 15), (143, 15)],
    thumb: 4,
};

const RIGHT: Places = Places {
    tip: [240, 256, 16, 32],
    bend: 47,
    palm: [(61, 12), (80, 15), (96, 15), (112, 15), (128, 15)],
    thumb: 0,
};

/// A simulated hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touch {
    pub(crate) side: Side,
    pub(crate) seed: u64,
}

impl Touch {
    /// What the sensors show so many seconds after the start, in frame `index`.
    pub(crate) fn frame(&self, seconds: f64, index: u64) -> [u8; FRAME] {
        let mut frame = [0; FRAME];
        // A glove that was recorded called itself a body and had a left hand's places, so
        // that is what all others get.
        let places = if self.side == Side::Right { &RIGHT } else { &LEFT };
        for finger in 0..5 {
            let grip = self.grip(places, finger, seconds);
            self.press(places, finger, grip, index, &mut frame);
            bend(places, finger, grip, &mut frame);
        }
        self.hold(places, seconds, &mut frame);
        frame[256..].copy_from_slice(&orientation(seconds));
        frame
    }

    /// How hard a finger presses now, from 0 to below 1.
    fn grip(&self, places: &Places, finger: usize, seconds: f64) -> f64 {
        // Fingers do not move together: the thumb is first, the far ones follow.
        let behind = 0.06 * finger.abs_diff(places.thumb) as f64;
        let now = (seconds - behind).max(0.0);
        let (turn, phase) = ((now / GRIP) as u64, now % GRIP);
        let strength = share(self.seed, STRENGTH + finger as u64, turn);
        let tremor = 1.0 + 0.03 * (now * 9.0 * TAU).sin();
        envelope(phase) * (0.35 + 0.6 * strength) * tremor
    }

    /// Twelve points at a fingertip, hardest in the middle.
    fn press(
        &self,
        places: &Places,
        finger: usize,
        grip: f64,
        index: u64,
        frame: &mut [u8],
    ) {
        for (row, left) in places.tip.iter().enumerate() {
            for column in 0..3 {
                let (up, aside) = (row as f64 - 1.5, column as f64 - 1.0);
                let force =
                    200.0 * grip * (1.0 - up * up / 5.0) * (1.0 - aside * aside / 3.0);
                let point = (finger * 12 + row * 3 + column) as u64;
                let flicker = share(self.seed, FLICKER + point, index) - 0.5;
                if force >= 1.0 {
                    frame[left - 1 - 3 * finger - column] = (force + 2.0 * flicker) as u8;
                }
            }
        }
    }

    /// What is held lies in the palm, and rolls a little.
    fn hold(&self, places: &Places, seconds: f64, frame: &mut [u8]) {
        let turn = (seconds / GRIP) as u64;
        let weight = 60.0 * envelope(seconds % GRIP) * share(self.seed, TREMOR, turn);
        let (row_now, column_now) = (1.5, 7.0 + 3.0 * (seconds * 0.4 * TAU).sin());
        for (row, (left, length)) in places.palm.iter().enumerate() {
            // The first row lacks the points below the thumb.
            let from = if places.thumb == 0 { 15 - length } else { 0 };
            for column in 0..*length {
                let (y, x) = (row as f64 - row_now, (from + column) as f64 - column_now);
                let force = weight * (-(y * y + x * x / 4.0) / 4.0).exp();
                frame[left - 1 - column] = force as u8;
            }
        }
    }
}

/// A grip in time: it closes, holds, opens, and rests.
fn envelope(phase: f64) -> f64 {
    let rise = (phase / 0.5).clamp(0.0, 1.0);
    let fall = ((2.6 - phase) / 0.6).clamp(0.0, 1.0);
    let level = rise.min(fall);
    level * level * (3.0 - 2.0 * level)
}

/// A finger's back is never at 0, and its neighbours show it too.
fn bend(places: &Places, finger: usize, grip: f64, frame: &mut [u8]) {
    let at = places.bend - 1 - 3 * finger;
    let value = 8 + 2 * (finger as u8 % 4) + (50.0 * grip) as u8;
    frame[at - 1..=at + 1].copy_from_slice(&[value - 2, value, value - 3]);
}

/// A unit quaternion, four little-endian floats: the hand slowly turns.
fn orientation(seconds: f64) -> [u8; 16] {
    let seconds = (seconds * TURNS_PER_SECOND).floor() / TURNS_PER_SECOND;
    let half = 0.4 * (seconds * 0.13 * TAU).sin();
    let axis = seconds * 0.05 * TAU;
    let parts = [half.cos(), half.sin() * axis.cos(), half.sin() * axis.sin(), 0.0];
    let mut bytes = [0; 16];
    for (to, part) in bytes.chunks_exact_mut(4).zip(parts) {
        to.copy_from_slice(&(part as f32).to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(side: Side, seed: u64) -> Vec<[u8; FRAME]> {
        let touch = Touch { side, seed };
        (0..2000).map(|n| touch.frame(n as f64 / 217.0, n)).collect()
    }

    #[test]
    fn the_seed_decides_and_nothing_else() {
        assert_eq!(frames(Side::Left, 1), frames(Side::Left, 1));
        assert_ne!(frames(Side::Left, 1), frames(Side::Left, 2));
        assert_ne!(frames(Side::Left, 1), frames(Side::Right, 1));
    }

    #[test]
    fn at_rest_only_the_backs_of_the_fingers_show_something() {
        let rest = Touch { side: Side::Left, seed: 1 }.frame(0.0, 0);
        let places = rest[..256].iter().enumerate().filter(|(_, value)| **value > 0);
        let indices: Vec<_> = places.map(|(at, _)| at + 1).collect();
        assert_eq!(indices, (209..=223).collect::<Vec<_>>());
    }

    #[test]
    fn a_grip_uses_the_range_and_comes_back() {
        let frames = frames(Side::Right, 1);
        let tips: Vec<u8> = frames.iter().map(|frame| frame[256 - 2]).collect();
        assert!(
            tips.iter().max() > Some(&70) && tips.contains(&0),
            "{:?}",
            tips.iter().max()
        );
    }

    #[test]
    fn the_orientation_has_length_one_and_repeats_in_two_or_three_frames() {
        let frames = frames(Side::Left, 1);
        let parts = |frame: &[u8; FRAME]| -> Vec<f32> {
            let (parts, _) = frame[256..].as_chunks::<4>();
            parts.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        for frame in &frames {
            let norm: f32 = parts(frame).iter().map(|part| part * part).sum();
            assert!((norm - 1.0).abs() < 1e-6, "{norm}");
        }
        let turns =
            frames.windows(2).filter(|two| two[0][256..] != two[1][256..]).count();
        assert!((850..950).contains(&turns), "{turns}");
    }
}
