//! Which block of which stream is next, and when.
//!
//! Times are the rig's own, in ns since it was started: whoever plays it may do so at
//! another speed. A block is there when its last sample is.

use libframe::clock::SECOND;

use super::selection::BlockSize;
use crate::chance::share;
use crate::pause::Pause;

/// The use of random numbers; streams are added.
const BLOCK: u64 = 500;

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    /// An acquisition begins, at this time: samples are counted from 0 again.
    Begin(i64),
    Block(Block),
}

/// Some samples in a row, of all channels of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Block {
    pub(crate) stream: usize,
    /// Number of its first sample, since acquisition began.
    pub(crate) first: i64,
    pub(crate) samples: u32,
    /// When it began, and when it is complete.
    pub(crate) begun: i64,
    pub(crate) due: i64,
}

/// What the rig acquires.
#[derive(Debug)]
pub(crate) struct Schedule {
    courses: Vec<Course>,
    /// When acquisition is stopped, to begin anew.
    restart: Option<Pause>,
    seed: u64,
    /// When acquisition began; `None` before the first.
    begun: Option<i64>,
}

/// A stream on its way.
#[derive(Debug)]
struct Course {
    rate: f64,
    size: BlockSize,
    first: i64,
    /// Blocks so far, and how many samples are left, if not any number.
    blocks: u64,
    left: Option<u64>,
    /// Samples of the next block; 0 if there is none.
    samples: u32,
}

impl Schedule {
    /// A rig of streams with these rates and block sizes, which ends when each has had so
    /// many samples.
    pub(crate) fn new(
        streams: impl Iterator<Item = (f64, BlockSize)>,
        count: Option<u64>,
        restart: Option<Pause>,
        seed: u64,
    ) -> Schedule {
        let course = |(stream, (rate, size))| {
            let (first, blocks, left, samples) = (0, 0, count, 0);
            let mut course = Course { rate, size, first, blocks, left, samples };
            course.choose_next(stream, seed);
            course
        };
        let courses = (0..).zip(streams).map(course).collect();
        Schedule { courses, restart, seed, begun: None }
    }

    /// What is next; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Step> {
        let Some(begun) = self.begun else {
            self.begun = Some(0);
            return Some(Step::Begin(0));
        };
        let waiting = self.courses.iter().enumerate().filter(|(_, c)| c.samples > 0);
        let (stream, _) = waiting.min_by_key(|(_, course)| course.due(begun))?;
        let course = &mut self.courses[stream];
        let due = course.due(begun);
        if let Some((stop, again)) = self.restart.map(|pause| pause.of(begun))
            && due > stop
        {
            self.courses.iter_mut().for_each(|course| course.first = 0);
            self.begun = Some(again);
            return Some(Step::Begin(again));
        }
        let (first, samples) = (course.first, course.samples);
        let block =
            Block { stream, first, samples, begun: course.time(begun, first), due };
        course.advance(stream as u64, self.seed);
        Some(Step::Block(block))
    }
}

impl Course {
    /// When sample `index` of an acquisition is there that began at a time.
    fn time(&self, begun: i64, index: i64) -> i64 {
        begun + (index as f64 * SECOND as f64 / self.rate) as i64
    }

    fn due(&self, begun: i64) -> i64 {
        self.time(begun, self.first + i64::from(self.samples))
    }

    fn advance(&mut self, stream: u64, seed: u64) {
        self.first += i64::from(self.samples);
        self.blocks += 1;
        self.left = self.left.map(|left| left - u64::from(self.samples));
        self.choose_next(stream, seed);
    }

    fn choose_next(&mut self, stream: u64, seed: u64) {
        let BlockSize { least, most } = self.size;
        let random = share(seed, BLOCK + stream, self.blocks);
        let samples = least + (random * f64::from(most - least + 1)) as u32;
        let left = self.left.unwrap_or(u64::MAX);
        self.samples = u64::from(samples).min(left) as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = SECOND / 1000;

    fn blocks(schedule: &mut Schedule, n: usize) -> Vec<(usize, i64, u32, i64)> {
        let steps = std::iter::from_fn(|| schedule.next());
        let blocks = steps.filter_map(|step| match step {
            Step::Block(block) => {
                Some((block.stream, block.first, block.samples, block.due))
            }
            Step::Begin(_) => None,
        });
        blocks.take(n).collect()
    }

    #[test]
    fn blocks_of_all_streams_come_when_their_last_sample_is_there() {
        let size = BlockSize { least: 480, most: 480 };
        let small = BlockSize { least: 20, most: 20 };
        let streams = [(30_000.0, size), (1000.0, small)].into_iter();
        let mut schedule = Schedule::new(streams, Some(1000), None, 1);
        let expected = [
            (0, 0, 480, 16 * MS),
            (1, 0, 20, 20 * MS),
            (0, 480, 480, 32 * MS),
            (0, 960, 40, 1000 * MS / 30),
            (1, 20, 20, 40 * MS),
        ];
        assert_eq!(blocks(&mut schedule, 5), expected);
        assert_eq!(blocks(&mut schedule, 99).len(), 48, "until each had its 1000");
    }

    #[test]
    fn block_sizes_stay_in_their_range_and_leave_no_sample_out() {
        let size = BlockSize { least: 1, most: 3 };
        let streams = || [(1000.0, size)].into_iter();
        let all = blocks(&mut Schedule::new(streams(), Some(300), None, 1), 999);
        let mut next = 0;
        for (_, first, samples, _) in &all {
            assert!(*first == next && (1..=3).contains(samples));
            next += i64::from(*samples);
        }
        assert_eq!(next, 300);
        assert!((1..=3).all(|size| all.iter().any(|block| block.2 == size)));
        assert_ne!(all, blocks(&mut Schedule::new(streams(), Some(300), None, 2), 999));
    }

    #[test]
    fn a_restart_counts_from_0_and_sends_no_half_block() {
        let size = BlockSize { least: 30, most: 30 };
        let restart = Pause::parse("20ms/100ms").ok();
        let mut schedule = Schedule::new([(1000.0, size)].into_iter(), None, restart, 1);
        let mut steps = std::iter::from_fn(|| schedule.next());
        let steps: Vec<_> = steps.by_ref().take(7).collect();
        let begins = |at| Step::Begin(at);
        assert_eq!((steps[0], steps[3]), (begins(0), begins(100 * MS)));
        assert_eq!(steps[6], begins(200 * MS));
        let Step::Block(block) = steps[4] else { panic!("{:?}", steps[4]) };
        assert_eq!((block.first, block.begun, block.due), (0, 100 * MS, 130 * MS));
    }
}
