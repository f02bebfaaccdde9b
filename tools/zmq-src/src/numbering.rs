//! What the numbers of a publisher's messages say.
//!
//! One counter runs over messages of all kinds and streams, and begins anew with each
//! acquisition. Where it skips, something may be lost: the plugin also counts messages that
//! it then does not send, so that only sample numbers prove it. Where it does not skip,
//! nothing is lost, and that is certain.

/// Follows the messages of one publisher.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbering {
    last: Option<i64>,
    now: Place,
}

/// Where a message stands among its publisher's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which acquisition it is of.
    pub(crate) epoch: u32,
    /// Places up to here, this one included, at which something may be lost.
    pub(crate) breaks: u64,
    /// Numbers up to here that no message had: as many messages may be lost.
    pub(crate) skipped: u64,
    /// Messages up to here that were not understood, and may have been any.
    pub(crate) garbage: u64,
    /// Nothing is lost between the message before and this one.
    pub(crate) follows: bool,
}

impl Numbering {
    /// Numbers that no message had.
    pub(crate) fn skipped(&self) -> u64 {
        self.now.skipped
    }

    /// Takes note of a message that is not understood.
    pub(crate) fn skip_garbage(&mut self) {
        self.now.garbage += 1;
    }

    /// Takes note of a message's number.
    pub(crate) fn note(&mut self, number: Option<i64>) -> Place {
        let step = match (self.last, number) {
            (Some(last), Some(number)) => Some(step(last, number)),
            _ => None,
        };
        // The first of an acquisition has number 1, and 0 where someone else counts.
        let is_start = matches!(number, Some(0 | 1));
        let restarts = step.is_some_and(|step| step < 0);
        self.now.epoch += u32::from(restarts);
        self.now.follows = match step {
            Some(1) => true,
            Some(step) if step >= 0 => false,
            _ => is_start,
        };
        let skipped = step.map_or(0, |step| step.saturating_sub(1).max(0)) as u64;
        self.now.skipped = self.now.skipped.saturating_add(skipped);
        // What came last before a restart is never known.
        self.now.breaks += u64::from(!self.now.follows || restarts);
        self.last = number.or(self.last);
        self.now
    }
}

/// From one number to another. The plugin's is a C int: after 18 hours of 512 channels it
/// goes on at the other end.
fn step(last: i64, number: i64) -> i64 {
    match (i32::try_from(last), i32::try_from(number)) {
        (Ok(i32::MAX), Ok(i32::MIN)) => 1,
        (Ok(last), Ok(number)) if last > i32::MAX / 2 && number < i32::MIN / 2 => {
            i64::from(number.wrapping_sub(last))
        }
        _ => number.saturating_sub(last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(numbers: &[i64]) -> Vec<(u32, bool)> {
        let mut numbering = Numbering::default();
        let mut notes = Vec::new();
        for number in numbers {
            let place = numbering.note(Some(*number));
            notes.push((place.epoch, place.follows));
        }
        notes
    }

    #[test]
    fn what_follows_what_is_lost_and_what_begins_anew() {
        assert_eq!(notes(&[1, 2, 3]), [(0, true); 3]);
        assert_eq!(notes(&[7, 8, 10]), [(0, false), (0, true), (0, false)]);
        assert_eq!(notes(&[8, 1, 2]), [(0, false), (1, true), (1, true)]);
        assert_eq!(notes(&[8, 5]), [(0, false), (1, false)]);
        assert_eq!(notes(&[8, 8]), [(0, false), (0, false)]);
        let (most, least) = (i64::from(i32::MAX), i64::from(i32::MIN));
        assert_eq!(notes(&[most, least, least + 1])[1..], [(0, true); 2]);
        assert_eq!(notes(&[most - 5, least + 1])[1], (0, false));
        assert_eq!(notes(&[i64::MIN, i64::MAX])[1], (0, false));
    }

    #[test]
    fn breaks_count_up_wherever_something_may_be_lost() {
        let mut numbering = Numbering::default();
        let numbers = [Some(1), Some(2), Some(4), None, Some(5), Some(1), Some(2)];
        let breaks = numbers.map(|number| numbering.note(number).breaks);
        assert_eq!(breaks, [0, 0, 1, 2, 2, 3, 3]);
    }
}
