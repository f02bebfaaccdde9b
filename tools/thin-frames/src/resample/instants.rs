//! When an output sample was: the mean time of the input samples it stands for.
//!
//! For a window that is its middle. For the filter, whose delay is known, it is the one input
//! sample in its centre, or the place between two. So what happened at some time is found
//! there in the output too.

use std::collections::VecDeque;

use super::grid::Grid;

/// The times of the outputs that are not done.
#[derive(Debug)]
pub(crate) struct Instants {
    grid: Grid,
    /// Whether the nearer sample counts for more.
    between: bool,
    /// Bits of a number that are not the device's clock's.
    spare: u32,
    /// Those that are not done and have begun, and where the first that has not begins.
    next: u64,
    open: VecDeque<Instant>,
    begin: i128,
}

/// The time of one output, as far as it is known.
#[derive(Clone, Copy, Debug)]
struct Instant {
    end: i128,
    /// Times are counted from the first.
    time: i64,
    device: Option<u64>,
    weight: i128,
    times: i128,
    devices: i128,
}

impl Instants {
    /// Times of outputs by the windows they stand for.
    pub(crate) fn of_windows(grid: Grid, clock_bits: u32) -> Instants {
        Instants::new(grid, false, clock_bits)
    }

    /// Times of outputs by where their centres are.
    pub(crate) fn of_centres(grid: Grid, clock_bits: u32) -> Instants {
        Instants::new(grid, true, clock_bits)
    }

    fn new(grid: Grid, between: bool, clock_bits: u32) -> Instants {
        let spare = if (1..=64).contains(&clock_bits) { 64 - clock_bits } else { 0 };
        let (next, open, begin) = (0, VecDeque::new(), 0);
        Instants { grid, between, spare, next, open, begin }
    }

    /// Forgets all; the output that is taken next is this one.
    pub(crate) fn begin(&mut self, next: u64) {
        self.open.clear();
        self.next = next;
        self.begin = self.grid.begin(next);
    }

    /// Takes a sample's times.
    #[inline]
    pub(crate) fn push(&mut self, seq: u64, time: i64, device: Option<u64>) {
        let here = i128::from(seq);
        while self.begin <= here {
            let k = self.next + self.open.len() as u64;
            let end = self.grid.end(k);
            let (weight, times, devices) = (0, 0, 0);
            self.open.push_back(Instant { end, time, device, weight, times, devices });
            self.begin = self.grid.begin(k + 1);
        }
        for (n, instant) in self.open.iter_mut().enumerate().rev() {
            if instant.end <= here {
                break;
            }
            let k = self.next + n as u64;
            let weight = if self.between { self.grid.nearness(k, seq) } else { 1 };
            instant.add(time, device, weight, self.spare);
        }
    }

    /// The next output's times; `None` if none of its samples came.
    pub(crate) fn take(&mut self) -> Option<(i64, Option<u64>)> {
        self.next += 1;
        let Some(instant) = self.open.pop_front() else {
            self.begin = self.grid.begin(self.next);
            return None;
        };
        instant.mean(self.spare)
    }
}

impl Instant {
    fn add(&mut self, time: i64, device: Option<u64>, weight: i128, spare: u32) {
        if self.weight == 0 {
            (self.time, self.device) = (time, device);
        }
        self.weight += weight;
        self.times += i128::from(time.wrapping_sub(self.time)) * weight;
        if let (Some(first), Some(device)) = (self.device, device) {
            // The shorter way round, since the clock may have begun at 0 again.
            let step = (device.wrapping_sub(first) << spare) as i64 >> spare;
            self.devices += i128::from(step) * weight;
        }
    }

    fn mean(&self, spare: u32) -> Option<(i64, Option<u64>)> {
        let mean = |sum: i128| sum.div_euclid(self.weight.max(1));
        let time = self.time.wrapping_add(mean(self.times) as i64);
        let device = self.device.map(|device| {
            let moved = device.wrapping_add(mean(self.devices) as u64);
            moved << spare >> spare
        });
        (self.weight > 0).then_some((time, device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resample::ratio::Ratio;

    #[test]
    fn a_windows_time_is_its_middle_and_device_times_may_wrap() {
        let grid = Grid::windows(Ratio::every(3));
        let mut instants = Instants::of_windows(grid, 8);
        instants.begin(1);
        for seq in 2..9 {
            instants.push(seq, 1000 * seq as i64, Some((250 + seq) % 256));
        }
        assert_eq!(instants.take(), Some((4000, Some(254))));
        assert_eq!(instants.take(), Some((7000, Some(1))));
        assert_eq!(instants.take(), None);
    }

    #[test]
    fn a_centre_between_two_samples_is_found_between_their_times() {
        let grid = Grid::centres(Ratio::new(2, 5));
        let mut instants = Instants::of_centres(grid, 64);
        instants.begin(0);
        (0..9).for_each(|seq| instants.push(seq, 1000 * seq as i64, None));
        let times: Vec<_> = (0..3).map(|_| instants.take().unwrap().0).collect();
        assert_eq!(times, [0, 2500, 5000]);
    }
}
