//! What waits of one stream: messages as they will be sent, back to back.

use std::collections::VecDeque;

/// A message that waits.
#[derive(Clone, Copy, Debug)]
struct Entry {
    len: u32,
    /// Which of the lane's slabs it is of; the last of a slab has its samples.
    slab: u32,
    samples: u32,
    /// When it is to be sent, ns of CLOCK_MONOTONIC.
    due: i64,
}

/// What was taken from a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Samples whose last message was among these.
    pub(crate) samples: u64,
}

/// The messages of one stream that wait.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    bytes: Vec<u8>,
    start: usize,
    entries: VecDeque<Entry>,
    /// Of these, the first so many are due at once.
    overdue: usize,
    /// Those of the block that is being put in.
    fresh: usize,
    /// The slab that is being put in, and whether it is left out.
    slab: u32,
    left_out: bool,
}

impl Lane {
    pub(crate) fn waiting(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// A block begins.
    pub(crate) fn begin_block(&mut self) {
        self.fresh = 0;
    }

    /// Appends a message, and returns how long it is.
    pub(crate) fn put(&mut self, now: i64, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        if self.left_out {
            return 0;
        }
        let begin = self.bytes.len();
        write(&mut self.bytes);
        let len = self.bytes.len() - begin;
        let (len32, slab) = (len as u32, self.slab);
        self.entries.push_back(Entry { len: len32, slab, samples: 0, due: now });
        self.fresh += 1;
        len
    }

    /// Takes back the messages of the slab that is being put in, and leaves out the rest of
    /// it. Those that were sent already stay so; and where the first of all is of this slab
    /// and half written, all of it stays.
    pub(crate) fn leave_out(&mut self, is_amid: bool) {
        if is_amid && self.entries.front().is_some_and(|entry| entry.slab == self.slab) {
            return;
        }
        self.left_out = true;
        let of_slab = self.entries.iter().rev().take_while(|e| e.slab == self.slab);
        let (count, bytes) =
            of_slab.fold((0, 0), |(n, bytes), e| (n + 1, bytes + e.len as usize));
        self.entries.truncate(self.entries.len() - count);
        self.bytes.truncate(self.bytes.len() - bytes);
        self.fresh = self.fresh.saturating_sub(count);
    }

    /// Says that a slab of so many samples is all put in. Returns those of which nothing
    /// waits any more, and whether they were left out.
    pub(crate) fn close_slab(&mut self, samples: u32) -> (u32, bool) {
        let left_out = std::mem::take(&mut self.left_out);
        let slab = self.slab;
        self.slab = slab.wrapping_add(1);
        match self.entries.back_mut().filter(|entry| entry.slab == slab && !left_out) {
            Some(last) => {
                last.samples = samples;
                (0, false)
            }
            None => (samples, left_out),
        }
    }

    /// Spreads the block over this time behind the one before, in steps that timers can
    /// keep: two that come together must not go at once. But nothing falls behind: where more
    /// than `most` would wait, all before the block is due now.
    pub(crate) fn spread(&mut self, now: i64, time: i64, most: i64, step: i64) {
        let fresh = std::mem::take(&mut self.fresh).min(self.entries.len());
        let begin = self.entries.len() - fresh;
        let before = begin.checked_sub(1).and_then(|last| self.entries.get(last));
        let mut from = before.map_or(now, |last| now.max(last.due + step));
        if from - now > most {
            self.overdue = begin;
            from = now;
        }
        for (n, entry) in (0..).zip(self.entries.iter_mut().skip(begin)) {
            let late = (i128::from(time.max(0)) * n / fresh as i128) as i64;
            entry.due = from + late / step * step;
        }
    }

    /// Puts off what waits if it is late by more than this, as after a time in which the
    /// machine did other things: sent at once, it would be more than receivers can hold.
    pub(crate) fn put_off(&mut self, now: i64, late: i64) {
        let first = self.entries.front().filter(|_| self.overdue == 0);
        let Some(by) = first.map(|first| now - first.due).filter(|by| *by > late) else {
            return;
        };
        self.entries.iter_mut().for_each(|entry| entry.due += by);
    }

    /// When the first is due.
    pub(crate) fn due(&self) -> Option<i64> {
        let first = self.entries.front()?;
        Some(if self.overdue > 0 { i64::MIN } else { first.due })
    }

    /// The messages that are due: their bytes, and the length of each, at most so many.
    pub(crate) fn ready(&self, now: i64, most: usize, lengths: &mut Vec<u32>) -> &[u8] {
        lengths.clear();
        let ready = self.entries.iter().enumerate().take(most);
        let ready = ready.take_while(|(n, e)| *n < self.overdue || e.due <= now);
        lengths.extend(ready.map(|(_, entry)| entry.len));
        let bytes: usize = lengths.iter().map(|len| *len as usize).sum();
        &self.bytes[self.start..self.start + bytes]
    }

    /// Takes the first messages away.
    pub(crate) fn take(&mut self, messages: usize) -> Taken {
        let mut taken = Taken::default();
        for entry in self.entries.drain(..messages.min(self.entries.len())) {
            taken.messages += 1;
            taken.bytes += u64::from(entry.len);
            taken.samples += u64::from(entry.samples);
        }
        self.start += taken.bytes as usize;
        self.overdue = self.overdue.saturating_sub(messages);
        // Room is used again once all is sent, or what is free is worth moving the rest.
        if self.entries.is_empty() {
            self.bytes.clear();
            self.start = 0;
        } else if self.start > MOST_FREE && self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        taken
    }

    /// Takes the oldest slab away that is all put in, but not the first message where that
    /// is kept. `None` if there is none.
    pub(crate) fn drop_oldest(&mut self, keep_first: bool) -> Option<Taken> {
        let kept = usize::from(keep_first);
        let slab = self.entries.get(kept)?.slab;
        if slab == self.slab {
            return None;
        }
        let of_slab = self.entries.iter().skip(kept).take_while(|e| e.slab == slab);
        let count = of_slab.count();
        if !keep_first {
            return Some(self.take(count));
        }
        // The first is half written; it is moved behind what goes.
        let first = *self.entries.front()?;
        let gone = self.entries.iter().skip(1).take(count);
        let gone: usize = gone.map(|entry| entry.len as usize).sum();
        let from = self.start..self.start + first.len as usize;
        self.bytes.copy_within(from, self.start + gone);
        self.entries.swap(0, count);
        // It is now last of those in front; what is taken is all before it.
        Some(self.take(count))
    }
}

/// Bytes that may be free in front before the rest is moved there.
const MOST_FREE: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn put(lane: &mut Lane, byte: u8, messages: usize) {
        for _ in 0..messages {
            lane.put(0, |out| out.extend([byte; 4]));
        }
        assert_eq!(lane.close_slab(10), (0, false));
    }

    fn ready(lane: &Lane, now: i64) -> Vec<u8> {
        let mut lengths = Vec::new();
        lane.ready(now, 100, &mut lengths).iter().step_by(4).copied().collect()
    }

    #[test]
    fn samples_count_with_the_last_message_of_their_slab() {
        let mut lane = Lane::default();
        put(&mut lane, 1, 3);
        assert_eq!(lane.take(2), Taken { messages: 2, bytes: 8, samples: 0 });
        assert_eq!(lane.take(1), Taken { messages: 1, bytes: 4, samples: 10 });
        assert_eq!((lane.due(), lane.waiting()), (None, 0));
    }

    #[test]
    fn what_is_late_goes_on_at_its_pace() {
        let mut lane = Lane::default();
        put(&mut lane, 1, 4);
        lane.fresh = 4;
        lane.spread(1000, 400, 800, 100);
        lane.put_off(1100, 150);
        assert_eq!(ready(&lane, 1100), [1, 1], "that is not late");
        lane.put_off(5000, 150);
        assert_eq!(ready(&lane, 5000), [1]);
        assert_eq!(ready(&lane, 5300), [1; 4]);
    }

    #[test]
    fn a_block_is_spread_and_waits_for_the_one_before_if_that_is_not_long() {
        let mut lane = Lane::default();
        lane.begin_block();
        put(&mut lane, 1, 4);
        lane.spread(1000, 400, 800, 100);
        assert_eq!(ready(&lane, 1000), [1]);
        assert_eq!(ready(&lane, 1200), [1, 1, 1]);
        assert_eq!(lane.take(1).messages, 1);
        assert_eq!(lane.due(), Some(1100));
        lane.begin_block();
        put(&mut lane, 2, 2);
        lane.spread(1050, 400, 800, 100);
        assert_eq!(ready(&lane, 1399), [1, 1, 1]);
        assert_eq!(ready(&lane, 1400), [1, 1, 1, 2]);
        assert_eq!(ready(&lane, 1600), [1, 1, 1, 2, 2]);
        lane.begin_block();
        put(&mut lane, 3, 2);
        lane.spread(1060, 400, 300, 100);
        assert_eq!(lane.due(), Some(i64::MIN), "too much would wait");
        assert_eq!(ready(&lane, 1060), [1, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn what_is_dropped_is_whole_slabs_and_never_what_is_half_written() {
        let mut lane = Lane::default();
        for slab in 1..4 {
            put(&mut lane, slab, 2);
        }
        assert_eq!(lane.take(1).messages, 1);
        assert_eq!(lane.drop_oldest(true).unwrap().messages, 2);
        assert_eq!(ready(&lane, 0), [1, 3, 3]);
        assert_eq!(
            lane.drop_oldest(false).unwrap(),
            Taken { messages: 1, bytes: 4, samples: 10 }
        );
        assert_eq!(ready(&lane, 0), [3, 3]);
        lane.put(0, |out| out.extend([9; 4]));
        lane.leave_out(true);
        lane.put(0, |out| out.extend([9; 4]));
        assert_eq!(lane.close_slab(7), (7, true));
        assert_eq!(ready(&lane, 0), [3, 3]);
        assert_eq!(lane.drop_oldest(false).unwrap().samples, 10);
        lane.put(0, |out| out.extend([9; 4]));
        assert_eq!(lane.drop_oldest(false), None);
        lane.leave_out(true);
        assert_eq!(lane.close_slab(3), (0, false));
    }
}
