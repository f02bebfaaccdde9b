//! What is learnt of one stream while its samples go by.
//!
//! Samples come as columns, whether they were records in a pipe or rows in a file, and
//! are looked at in short blocks while these are in the cache. Losses are counted by
//! libframe's ledger, as every stage counts them.

use std::ops::Range;

use libframe::ledger::StreamLedger;
use libframe::payload::{Gap, Reason, Totals};
use libframe::schema::Stream;

use crate::device_clock::ClockView;
use crate::envelope::{Bin, Envelope};
use crate::intervals::{ESCAPE, Interval, Intervals};

/// Samples that are looked at together.
const BLOCK: usize = 1024;
/// Gaps that are listed one by one; the others are counted.
const MAX_GAPS: usize = 1000;
/// The longest intervals, each with its place.
const MAX_LONGEST: usize = 10;

/// Samples of a stream, as columns of one length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns<'a> {
    pub(crate) time: &'a [i64],
    pub(crate) seq: &'a [u64],
    /// The device's own times, if each of these samples has one.
    pub(crate) device_time: Option<&'a [u64]>,
}

impl<'a> Columns<'a> {
    /// Some of the rows.
    pub(crate) fn part(&self, from: usize, to: usize) -> Columns<'a> {
        Columns {
            time: &self.time[from..to],
            seq: &self.seq[from..to],
            device_time: self.device_time.map(|times| &times[from..to]),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct StreamView {
    /// The description in force at the end.
    pub(crate) stream: Stream,
    pub(crate) ledger: StreamLedger,
    pub(crate) intervals: Intervals,
    pub(crate) envelope: Option<Envelope>,
    pub(crate) longest: Vec<Longest>,
    pub(crate) gaps: Vec<Place>,
    pub(crate) more_gaps: u64,
    pub(crate) clock: Option<ClockView>,
    /// Samples in the order of arrival, those that came twice included.
    pub(crate) arrived: u64,
    pub(crate) first_time: i64,
    /// Its clock minus the session's, if it is another.
    pub(crate) clock_offset: Option<i64>,
    pub(crate) backwards: u64,
    last: Option<(i64, u64)>,
}

/// One of the longest intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Longest {
    pub(crate) ns: i64,
    /// Number of the sample that ended it, and when it came.
    pub(crate) seq: u64,
    pub(crate) time: i64,
}

/// Samples that are missing, and where.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) gap: Gap,
    /// When the last sample before it came, for a gap that does not say when it was.
    pub(crate) time: i64,
}

impl StreamView {
    /// Learns how the stream is described from here on.
    pub(crate) fn describe(&mut self, stream: &Stream) {
        if self.stream != *stream {
            self.stream = stream.clone();
        }
    }

    /// What people call it.
    pub(crate) fn name(&self, number: u16) -> String {
        match self.stream.name.as_str() {
            "" => format!("stream {number}"),
            name => name.into(),
        }
    }

    /// Takes samples, in the order they came.
    pub(crate) fn take(&mut self, columns: Columns<'_>) {
        let Columns { time, seq, device_time } = columns;
        let mut from = 0;
        if self.last.is_none()
            && let (Some(time), Some(seq)) = (time.first(), seq.first())
        {
            self.begin(*time, *seq);
            self.enter(*seq, 1, *time);
            from = 1;
        }
        let blocks = time[from..].chunks(BLOCK).zip(seq[from..].chunks(BLOCK));
        blocks.for_each(|(time, seq)| self.take_block(time, seq));
        if let Some(device_time) = device_time {
            self.take_device_times(time, seq, device_time);
        }
        self.arrived += time.len() as u64;
    }

    fn begin(&mut self, time: i64, seq: u64) {
        self.first_time = time;
        self.last = Some((time, seq));
        self.envelope = Some(Envelope::new(time));
    }

    fn take_block(&mut self, time: &[i64], seq: &[u64]) {
        let (Some(before), Some(end)) = (self.last, time.last().zip(seq.last())) else {
            return;
        };
        self.last = Some((*end.0, *end.1));
        let mut intervals = [0u32; BLOCK];
        let intervals = &mut intervals[..time.len()];
        if are_plain(before, time, seq, intervals) {
            self.enter(seq[0], seq.len() as u64, *end.0);
            self.intervals.push_plain(intervals);
            self.place_plain(time, seq, intervals);
        } else {
            self.take_one_by_one(before, time, seq);
        }
    }

    /// Samples that follow each other, and intervals that are short and not negative.
    fn place_plain(&mut self, time: &[i64], seq: &[u64], intervals: &[u32]) {
        let longest = intervals.iter().max().map_or(0, |ns| i64::from(*ns));
        let (Some(end), Some(envelope)) = (time.last(), &mut self.envelope) else {
            return;
        };
        let bin = || {
            let sum: u64 = intervals.iter().map(|ns| u64::from(*ns)).sum();
            let min = intervals.iter().min().map_or(0, |ns| i64::from(*ns));
            let count = intervals.len() as u64;
            Bin { count, min, max: longest, sum: sum as f64 }
        };
        if !envelope.add_all(*end, bin) {
            let all = time.iter().zip(intervals);
            all.for_each(|(time, ns)| envelope.add(*time, i64::from(*ns)));
        }
        if self.is_among_longest(longest) {
            for ((ns, seq), time) in intervals.iter().zip(seq).zip(time) {
                self.note_longest(i64::from(*ns), *seq, *time);
            }
        }
    }

    fn take_one_by_one(&mut self, mut before: (i64, u64), time: &[i64], seq: &[u64]) {
        for (time, seq) in time.iter().zip(seq) {
            let ns = time.wrapping_sub(before.0);
            let steps = seq.wrapping_sub(before.1) as i64;
            self.enter(*seq, 1, *time);
            self.intervals.push(Interval { ns, steps });
            self.backwards += u64::from(ns < 0 && steps > 0);
            if let Some(envelope) = &mut self.envelope {
                envelope.add(*time, ns);
            }
            self.note_longest(ns, *seq, *time);
            before = (*time, *seq);
        }
    }

    /// Enters samples that follow each other in the ledger.
    fn enter(&mut self, first: u64, n: u64, time: i64) {
        let from = self.ledger.last_time();
        if let Some(hole) = self.ledger.take(first, n, time) {
            self.explain(hole, from, Some(time));
        }
    }

    /// Books samples that are missing without a word. In a pipe the runtime has said so
    /// already; a file may lack the record.
    fn explain(&mut self, hole: Range<u64>, from: Option<i64>, to: Option<i64>) {
        let gap = Gap {
            first: hole.start,
            count: Some(hole.end - hole.start),
            reason: Reason::Upstream,
            stage: "an unknown stage".into(),
            from,
            to,
            detail: "no record says why".into(),
            ..Gap::default()
        };
        self.ledger.explain(&gap);
        self.note_gap(gap, to.or(from).unwrap_or_default());
    }

    /// Learns from the writer's totals what is missing at the end.
    pub(crate) fn settle(&mut self, totals: &Totals) {
        let from = self.ledger.last_time();
        for hole in self.ledger.settle(totals, false).into_iter().flatten() {
            self.explain(hole, from, None);
        }
    }

    /// Takes a GAP, in its place among the samples.
    pub(crate) fn take_gap(&mut self, gap: Gap, time: i64) {
        let booked =
            |ledger: &StreamLedger| (ledger.lost(), ledger.unknown(), ledger.partial());
        let last = self.ledger.last_time();
        let time = last.unwrap_or(time);
        let before = booked(&self.ledger);
        if let Some(hole) = self.ledger.gap(&gap) {
            self.explain(hole, last, gap.from);
        }
        // GAPs may be repeated; what is booked already has its place.
        if booked(&self.ledger) != before {
            self.note_gap(gap, time);
        }
    }

    fn note_gap(&mut self, gap: Gap, time: i64) {
        if self.gaps.len() < MAX_GAPS {
            self.gaps.push(Place { gap, time });
        } else {
            self.more_gaps += 1;
        }
    }

    #[inline]
    fn is_among_longest(&self, ns: i64) -> bool {
        self.longest.len() < MAX_LONGEST
            || self.longest.last().is_some_and(|last| last.ns < ns)
    }

    fn note_longest(&mut self, ns: i64, seq: u64, time: i64) {
        if self.is_among_longest(ns) {
            let at = self.longest.partition_point(|other| other.ns >= ns);
            self.longest.insert(at, Longest { ns, seq, time });
            self.longest.truncate(MAX_LONGEST);
        }
    }

    fn take_device_times(&mut self, time: &[i64], seq: &[u64], device_time: &[u64]) {
        let clock = self.stream.device_clock;
        let view = self.clock.get_or_insert_with(|| ClockView::new(clock));
        for ((time, seq), ticks) in time.iter().zip(seq).zip(device_time) {
            view.take(*time, *ticks, *seq);
        }
    }

    /// Nothing more will come.
    pub(crate) fn close(&mut self) {
        if let Some(clock) = &mut self.clock {
            clock.close();
        }
    }
}

/// Puts the intervals of a block where they belong, and tells whether all samples follow
/// each other and all intervals are short and not negative.
fn are_plain(
    before: (i64, u64),
    time: &[i64],
    seq: &[u64],
    intervals: &mut [u32],
) -> bool {
    let (Some(time_0), Some(seq_0)) = (time.first(), seq.first()) else { return true };
    let interval = |from: i64, to: i64| to.wrapping_sub(from) as u64;
    let first = interval(before.0, *time_0);
    let mut strange = (first >= u64::from(ESCAPE)) | (*seq_0 != before.1.wrapping_add(1));
    intervals[0] = first as u32;
    // Without branches, so that the compiler takes several at a time.
    for ((pair, slot), seq) in
        time.windows(2).zip(&mut intervals[1..]).zip(seq.windows(2))
    {
        let ns = interval(pair[0], pair[1]);
        *slot = ns as u32;
        strange |= (ns >= u64::from(ESCAPE)) | (seq[1] != seq[0].wrapping_add(1));
    }
    !strange
}
