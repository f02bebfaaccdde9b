//! Which samples came, which are missing, and who lost them.
//!
//! Every reader and writer of records keeps one of these, so that all stages count alike:
//! what one reports as a GAP is, for the next one, accounted for.

use std::ops::Range;

use crate::payload::{End, Gap, Reason, Totals};

/// Holes that a late sample can still fill; older ones stay lost.
const MAX_HOLES: usize = 64;
/// Different stages and reasons told apart in one stream.
const MAX_LOSSES: usize = 64;

/// The account of one stream.
#[derive(Clone, Debug, Default)]
pub struct StreamLedger {
    first: Option<u64>,
    next: u64,
    samples: u64,
    lost: u64,
    duplicates: u64,
    reordered: u64,
    unknown: u64,
    partial: u64,
    holes: Vec<Hole>,
    losses: Vec<Loss>,
    last_time: Option<i64>,
    mark: u64,
    first_mark: Option<u64>,
}

#[derive(Clone, Debug)]
struct Hole {
    range: Range<u64>,
    loss: usize,
}

/// Samples that one stage lost for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// The stage.
    pub stage: String,
    /// The reason.
    pub reason: Reason,
    /// How many samples.
    pub samples: u64,
    /// In how many places.
    pub places: u64,
    /// In how many of them it is not known how many.
    pub unknown: u64,
    /// How many samples came without some of their channels.
    pub partial: u64,
}

impl StreamLedger {
    /// Takes the samples `seq..seq + n`. Returns the samples that should have come
    /// before and did not; the caller says why by [`StreamLedger::explain`].
    #[inline]
    pub fn take(&mut self, seq: u64, n: u64, time: i64) -> Option<Range<u64>> {
        let end = seq.saturating_add(n);
        self.last_time = Some(time);
        if self.first.is_none() {
            self.first = Some(seq);
            self.next = seq;
        }
        if seq == self.next {
            // Not `n`, which numbers at the very end of a u64 would cut short.
            self.samples = self.samples.saturating_add(end - seq);
            self.next = end;
            return None;
        }
        self.take_out_of_order(seq, end)
    }

    #[cold]
    fn take_out_of_order(&mut self, seq: u64, end: u64) -> Option<Range<u64>> {
        let old = seq..end.min(self.next);
        if !old.is_empty() {
            let filled = self.fill(&old);
            let again = (old.end - old.start).saturating_sub(filled);
            self.reordered = self.reordered.saturating_add(filled);
            self.samples = self.samples.saturating_add(filled);
            self.duplicates = self.duplicates.saturating_add(again);
        }
        let hole = self.next..seq;
        if end > self.next {
            self.samples = self.samples.saturating_add(end - seq.max(self.next));
            self.next = end;
        }
        (!hole.is_empty()).then_some(hole)
    }

    /// Learns from a record without samples which sample is next; returns those missing.
    pub fn expect(&mut self, seq: u64) -> Option<Range<u64>> {
        if self.first.is_none() {
            self.first = Some(seq);
            self.next = seq;
        }
        let hole = self.next..seq;
        self.next = self.next.max(seq);
        (!hole.is_empty()).then_some(hole)
    }

    /// Takes a GAP that came. Returns samples missing before it that it does not cover.
    ///
    /// Only what it adds is booked: GAPs may be repeated, or tell of a hole that was
    /// found already.
    pub fn gap(&mut self, gap: &Gap) -> Option<Range<u64>> {
        if gap.count.is_none() {
            self.book_unnumbered(gap);
            return None;
        }
        let before = self.expect(gap.first);
        if Some(gap.next()) == self.first && gap.first < gap.next() {
            self.first = Some(gap.first);
            self.book(gap, gap.next() - gap.first);
        } else if gap.next() > self.next {
            let range = self.next..gap.next();
            self.next = range.end;
            self.open_hole(gap, range);
        } else if gap.reason.is_explained() {
            self.own_up(gap);
        }
        before
    }

    /// Books a gap that takes no numbers: it is partial, or of unknown size.
    fn book_unnumbered(&mut self, gap: &Gap) {
        let (partial, unknown) = gap.incomplete().map_or((0, 1), |samples| (samples, 0));
        self.partial = self.partial.saturating_add(partial);
        self.unknown += unknown;
        let loss = self.book(gap, 0);
        if let Some(entry) = self.losses.get_mut(loss) {
            entry.unknown += unknown;
            entry.partial = entry.partial.saturating_add(partial);
        }
    }

    /// A stage owns up to samples that were found missing before without a word: they are
    /// its loss from now on.
    fn own_up(&mut self, gap: &Gap) {
        let range = gap.first..gap.next();
        let unexplained = |losses: &[Loss], hole: &Hole| {
            losses.get(hole.loss).is_some_and(|loss| !loss.reason.is_explained())
        };
        let holes = std::mem::take(&mut self.holes);
        for hole in holes {
            let n = overlap(&hole.range, &range);
            if n == 0 || !unexplained(&self.losses, &hole) {
                self.holes.push(hole);
                continue;
            }
            let whole = n == hole.range.end - hole.range.start;
            if let Some(old) = self.losses.get_mut(hole.loss) {
                old.samples = old.samples.saturating_sub(n);
                old.places -= u64::from(whole && old.places > old.unknown + 1);
                if old.samples == 0 {
                    old.places = old.unknown;
                }
            }
            self.lost = self.lost.saturating_sub(n);
            let loss = self.book(gap, n);
            let Hole { range: old, loss: before } = hole;
            let parts = [
                (old.start..old.end.min(range.start), before),
                (old.start.max(range.start)..old.end.min(range.end), loss),
                (old.start.max(range.end)..old.end, before),
            ];
            let parts = parts.into_iter().filter(|(range, _)| !range.is_empty());
            self.holes.extend(parts.map(|(range, loss)| Hole { range, loss }));
        }
        let excess = self.holes.len().saturating_sub(MAX_HOLES);
        self.holes.drain(..excess);
    }

    /// Books a hole that [`StreamLedger::take`] and the like have found.
    pub fn explain(&mut self, gap: &Gap) {
        self.open_hole(gap, gap.first..gap.next());
    }

    fn open_hole(&mut self, gap: &Gap, range: Range<u64>) {
        let loss = self.book(gap, range.end - range.start);
        while self.holes.len() >= MAX_HOLES {
            self.holes.remove(0);
        }
        self.holes.push(Hole { range, loss });
    }

    fn book(&mut self, gap: &Gap, samples: u64) -> usize {
        let loss = self.loss(gap.reason, &gap.stage);
        if let Some(entry) = self.losses.get_mut(loss) {
            entry.samples = entry.samples.saturating_add(samples);
            entry.places += 1;
        }
        self.lost = self.lost.saturating_add(samples);
        loss
    }

    fn loss(&mut self, reason: Reason, stage: &str) -> usize {
        let same = |loss: &Loss| loss.reason == reason && loss.stage == stage;
        if let Some(at) = self.losses.iter().position(same) {
            return at;
        }
        if self.losses.len() < MAX_LOSSES {
            self.losses.push(Loss { stage: stage.into(), reason, ..Loss::default() });
        }
        self.losses.len() - 1
    }

    /// Takes back what late samples brought after all; returns how many.
    fn fill(&mut self, came: &Range<u64>) -> u64 {
        let mut filled = 0;
        let holes = std::mem::take(&mut self.holes);
        for Hole { range, loss } in holes {
            let n = overlap(&range, came);
            filled = n.saturating_add(filled);
            if let Some(entry) = self.losses.get_mut(loss) {
                entry.samples = entry.samples.saturating_sub(n);
            }
            let left = range.start..range.end.min(came.start);
            let right = range.start.max(came.end)..range.end;
            let parts = if n == 0 { [range, 0..0] } else { [left, right] };
            let rest = parts.into_iter().filter(|range| !range.is_empty());
            self.holes.extend(rest.map(|range| Hole { range, loss }));
        }
        // Samples in the middle of a hole leave two.
        let excess = self.holes.len().saturating_sub(MAX_HOLES);
        self.holes.drain(..excess);
        self.lost = self.lost.saturating_sub(filled);
        filled
    }

    /// What must be missing before or after all that came, by the writer's own totals.
    /// Samples before the first count only if the reader was there from the start.
    pub fn settle(
        &mut self,
        totals: &Totals,
        from_start: bool,
    ) -> [Option<Range<u64>>; 2] {
        if self.first.is_none() && !from_start {
            // Joined after the stream's last sample.
            self.expect(totals.next);
            return [None, None];
        }
        let first = *self.first.get_or_insert(totals.first);
        self.next = self.next.max(first);
        let head = totals.first..first.min(totals.next);
        let head = (from_start && !head.is_empty()).then_some(head);
        if let Some(head) = &head {
            self.first = Some(head.start);
        }
        [head, self.expect(totals.next)]
    }

    /// The first sample's number, as far as it is known.
    pub fn first(&self) -> Option<u64> {
        self.first
    }

    /// The number that the next sample should have.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Samples that came, duplicates not counted.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Samples known to be missing.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Samples that came again.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Samples that came after later ones.
    pub fn reordered(&self) -> u64 {
        self.reordered
    }

    /// GAPs that do not know how much is missing.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Samples that came without some of their channels.
    pub fn partial(&self) -> u64 {
        self.partial
    }

    /// Who lost how much.
    pub fn losses(&self) -> &[Loss] {
        &self.losses
    }

    /// Leaves a mark for the reader's own use and returns the last one; 0 at first.
    #[inline]
    pub fn mark(&mut self, mark: u64) -> u64 {
        self.first_mark.get_or_insert(mark);
        std::mem::replace(&mut self.mark, mark)
    }

    /// The first mark that was left.
    pub fn first_mark(&self) -> Option<u64> {
        self.first_mark
    }

    /// Capture time of the last samples that came.
    pub fn last_time(&self) -> Option<i64> {
        self.last_time
    }

    /// The entry of this stream in END.
    pub fn totals(&self, stream: u16) -> Totals {
        Totals {
            stream,
            first: self.first.unwrap_or(self.next),
            next: self.next,
            samples: self.samples,
            lost: self.lost,
        }
    }
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> u64 {
    a.end.min(b.end).saturating_sub(a.start.max(b.start))
}

/// The accounts of a session's streams.
#[derive(Clone, Debug, Default)]
pub struct SessionLedger {
    /// In the order of their numbers.
    streams: Vec<(u16, StreamLedger)>,
    /// Where the last look-up ended: records of one stream come in runs.
    at: usize,
}

/// A session has at most this many streams, since each costs every stage memory.
pub const MAX_STREAMS: usize = 4096;

impl SessionLedger {
    /// The account of a stream, opened on first use; `None` over [`MAX_STREAMS`].
    #[inline]
    pub fn stream(&mut self, number: u16) -> Option<&mut StreamLedger> {
        if self.streams.get(self.at).is_none_or(|(n, _)| *n != number) {
            self.at = match self.streams.binary_search_by_key(&number, |(n, _)| *n) {
                Ok(at) => at,
                Err(_) if self.streams.len() == MAX_STREAMS => return None,
                Err(at) => {
                    self.streams.insert(at, (number, StreamLedger::default()));
                    at
                }
            };
        }
        self.streams.get_mut(self.at).map(|(_, ledger)| ledger)
    }

    /// All accounts, by stream number.
    pub fn streams(&self) -> impl Iterator<Item = (u16, &StreamLedger)> {
        self.streams.iter().map(|(number, ledger)| (*number, ledger))
    }

    /// What END says of this session.
    pub fn end(&self, reason: &str) -> End {
        let with_samples = self.streams().filter(|(number, _)| *number != 0);
        let streams =
            with_samples.map(|(number, ledger)| ledger.totals(number)).collect();
        End { streams, reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(range: Range<u64>, reason: Reason) -> Gap {
        Gap {
            first: range.start,
            count: Some(range.end - range.start),
            reason,
            stage: "test".into(),
            ..Gap::default()
        }
    }

    #[test]
    fn a_hole_is_found_once_and_booked_once() {
        let mut ledger = StreamLedger::default();
        assert_eq!(ledger.take(10, 5, 0), None);
        let hole = ledger.take(20, 1, 0).unwrap();
        assert_eq!(hole, 15..20);
        ledger.explain(&gap(hole, Reason::Corrupt));
        // The same gap again, as a GAP that was repeated.
        assert_eq!(ledger.gap(&gap(15..20, Reason::Corrupt)), None);
        assert_eq!((ledger.samples(), ledger.lost(), ledger.next()), (6, 5, 21));
    }

    #[test]
    fn late_samples_fill_the_hole_they_left() {
        let mut ledger = StreamLedger::default();
        ledger.take(0, 1, 0);
        let hole = ledger.take(4, 1, 0).unwrap();
        ledger.explain(&gap(hole, Reason::Upstream));
        assert_eq!(ledger.take(2, 1, 0), None);
        assert_eq!((ledger.reordered(), ledger.lost(), ledger.samples()), (1, 2, 3));
        assert_eq!(ledger.take(2, 1, 0), None);
        assert_eq!((ledger.reordered(), ledger.duplicates()), (1, 1));
        assert_eq!(ledger.losses()[0].samples, 2);
    }

    #[test]
    fn a_gap_that_came_is_not_a_hole_but_what_is_missing_before_it_is() {
        let mut ledger = StreamLedger::default();
        ledger.take(0, 1, 0);
        assert_eq!(ledger.gap(&gap(3..7, Reason::Device)), Some(1..3));
        assert_eq!(ledger.take(7, 1, 0), None);
        assert_eq!(ledger.lost(), 4);
    }

    #[test]
    fn the_writers_totals_show_a_lost_head_and_tail() {
        let totals = Totals { stream: 1, first: 0, next: 10, samples: 10, lost: 0 };
        let mut ledger = StreamLedger::default();
        ledger.take(2, 5, 0);
        assert_eq!(ledger.clone().settle(&totals, true), [Some(0..2), Some(7..10)]);
        assert_eq!(ledger.settle(&totals, false), [None, Some(7..10)]);
        let mut empty = StreamLedger::default();
        assert_eq!(empty.settle(&totals, true), [None, Some(0..10)]);
    }

    #[test]
    fn who_owns_up_late_has_lost_them() {
        let mut ledger = StreamLedger::default();
        ledger.take(0, 1, 0);
        let hole = ledger.take(10, 1, 0).unwrap();
        ledger.explain(&gap(hole, Reason::Upstream));
        assert_eq!(ledger.gap(&gap(2..5, Reason::Queue)), None);
        let by_reason = |ledger: &StreamLedger, reason| {
            let of = ledger.losses().iter().filter(|loss| loss.reason == reason);
            of.map(|loss| (loss.samples, loss.places)).next()
        };
        assert_eq!(by_reason(&ledger, Reason::Upstream), Some((6, 1)));
        assert_eq!(by_reason(&ledger, Reason::Queue), Some((3, 1)));
        // Told again, or by one who only noticed, it changes nothing.
        ledger.gap(&gap(2..5, Reason::Device));
        ledger.gap(&gap(1..10, Reason::Upstream));
        assert_eq!((ledger.lost(), ledger.samples()), (9, 2));
        assert_eq!(by_reason(&ledger, Reason::Device), None);
        // What comes late after all is taken from who owned up to it.
        assert_eq!(ledger.take(3, 1, 0), None);
        assert_eq!(by_reason(&ledger, Reason::Queue), Some((2, 1)));
        assert_eq!(ledger.gap(&gap(5..10, Reason::Queue)), None);
        assert_eq!(ledger.gap(&gap(1..2, Reason::Queue)), None);
        assert_eq!(by_reason(&ledger, Reason::Upstream), Some((0, 0)));
    }

    #[test]
    fn partial_gaps_are_a_loss_of_samples_that_come() {
        let mut ledger = StreamLedger::default();
        ledger.take(0, 3, 0);
        let (partial, channels) = (Some(4), vec![1]);
        let gap = Gap { count: None, partial, channels, ..gap(3..3, Reason::Transport) };
        assert_eq!((ledger.gap(&gap), ledger.take(3, 4, 0)), (None, None));
        assert_eq!((ledger.partial(), ledger.unknown(), ledger.lost()), (4, 0, 0));
        let loss = &ledger.losses()[0];
        assert_eq!((loss.samples, loss.places, loss.partial, loss.unknown), (0, 1, 4, 0));
    }

    #[test]
    fn gaps_of_unknown_size_take_no_numbers() {
        let mut ledger = StreamLedger::default();
        ledger.take(0, 3, 0);
        let unknown = Gap { count: None, ..gap(3..3, Reason::Parser) };
        assert_eq!(ledger.gap(&unknown), None);
        assert_eq!(ledger.take(3, 1, 0), None);
        assert_eq!((ledger.unknown(), ledger.lost(), ledger.samples()), (1, 0, 4));
    }
}
