//! What is left of blocks that were dropped: the gaps they leave, and the records that must
//! not go with them.

use std::collections::BTreeMap;
use std::mem::size_of;

use libframe::payload::{Gap, Payload as _, Stats};
use libframe::wire::{Kind, Record};

use crate::block::{Block, Part, Span};

/// What is left of blocks that were dropped, in order; also what a branch is to be told
/// beside the blocks.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    items: Vec<Item>,
    /// What the items hold beside themselves.
    held: usize,
}

/// A thing that a branch is to be told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    /// Samples that were dropped.
    Gap(Span),
    /// A record that was kept, in wire form.
    Kept(Vec<u8>),
    /// How the branch itself is. One that was not told in time is not told at all: the next
    /// one covers it.
    Report(Report),
    /// A session is over.
    End(Report, String),
}

/// What the branch's own STATS is made of, beside what only the branch itself knows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Report {
    pub(crate) session: u32,
    pub(crate) time: i64,
    /// Elsewhere, or each gap would take as much room.
    pub(crate) stats: Box<Stats>,
}

impl Rest {
    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    /// What it takes in memory.
    pub(crate) fn weight(&self) -> usize {
        self.items.len() * size_of::<Item>() + self.held
    }

    /// Takes a block's place. Returns how many samples were dropped with it.
    pub(crate) fn absorb(&mut self, block: &Block) -> u64 {
        for part in block.parts() {
            match part {
                Part::Span(span) => self.push(Item::Gap(*span)),
                Part::Mark(mark, record) if mark.matters() => self.keep(&record),
                Part::Mark(..) => {}
            }
        }
        block.samples()
    }

    /// Adds what comes after it.
    pub(crate) fn append(&mut self, other: Rest) {
        if self.items.is_empty() {
            *self = other;
            return;
        }
        other.items.into_iter().for_each(|item| self.push(item));
    }

    /// Lets go of everything but how many samples are missing, and the ends of the last
    /// sessions: what is kept must not grow for as long as a branch stands still. Returns
    /// how many records that were kept are gone.
    ///
    /// All samples between the first gap of a stream and its last are missing, since none
    /// was kept: what other stages lost is among them, and is then told as lost here.
    pub(crate) fn collapse(&mut self) -> u64 {
        let mut gone = 0;
        let mut hulls: BTreeMap<(u32, u16), Span> = BTreeMap::new();
        let mut ends = Vec::new();
        for item in std::mem::take(&mut self.items) {
            match item {
                Item::Gap(span) => widen(&mut hulls, span),
                Item::Kept(bytes) => match gap_in(&bytes) {
                    Some(span) => widen(&mut hulls, span),
                    None => gone += 1,
                },
                Item::Report(_) => {}
                Item::End(report, reason) => ends.push((report, reason)),
            }
        }
        self.held = 0;
        // A session's gaps stand before its end; of many that are over, the last is told.
        let last = ends.pop();
        let ended: Vec<u32> = ends.iter().map(|(report, _)| report.session).collect();
        gone += ends.len() as u64;
        hulls.retain(|key, _| !ended.contains(&key.0));
        let is_over = |span: &Span| {
            last.as_ref().is_some_and(|(last, _)| last.session == span.session)
        };
        let (over, open): (Vec<_>, Vec<_>) = hulls.into_values().partition(is_over);
        over.into_iter().for_each(|span| self.push(Item::Gap(span)));
        last.into_iter()
            .for_each(|(report, reason)| self.push(Item::End(report, reason)));
        open.into_iter().for_each(|span| self.push(Item::Gap(span)));
        gone
    }

    fn keep(&mut self, record: &Record<'_>) {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        self.push(Item::Kept(bytes));
    }

    pub(crate) fn push(&mut self, item: Item) {
        self.items.pop_if(|last| matches!(last, Item::Report(_)));
        match &item {
            Item::Gap(span) => {
                let of_stream =
                    self.items.iter_mut().rev().map_while(|item| match item {
                        Item::Gap(other) => Some(other),
                        _ => None,
                    });
                let same = of_stream.into_iter().find(|other| other.key() == span.key());
                if same.is_some_and(|other| other.extend(span)) {
                    return;
                }
            }
            Item::Kept(bytes) => self.held += bytes.capacity(),
            Item::Report(_) => {}
            Item::End(report, _) => {
                self.held += size_of::<Stats>() + report.stats.stage.capacity() + 64;
            }
        }
        self.items.push(item);
    }
}

fn widen(hulls: &mut BTreeMap<(u32, u16), Span>, span: Span) {
    let hull = hulls.entry(span.key()).or_insert(span);
    let next = hull.next().max(span.next());
    hull.first = hull.first.min(span.first);
    hull.count = next - hull.first;
    hull.to = hull.to.max(span.to);
}

/// The samples that a GAP in wire form tells of, if it knows how many.
fn gap_in(bytes: &[u8]) -> Option<Span> {
    let (0, header, length) = libframe::decoder::find_header(bytes)? else { return None };
    if header.kind != Kind::GAP || header.stream == 0 {
        return None;
    }
    let gap = Gap::from_bytes(bytes.get(bytes.len() - length as usize..)?).ok()?;
    Some(Span {
        session: header.session,
        stream: header.stream,
        first: gap.first,
        count: gap.count?,
        from: gap.from.unwrap_or(header.time),
        to: gap.to.unwrap_or(header.time),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::tests::{block, record};
    use libframe::payload::Reason;

    fn gaps(rest: &Rest) -> Vec<(u16, u64, u64)> {
        let spans = rest.items().iter().filter_map(|item| match item {
            Item::Gap(span) => Some((span.stream, span.first, span.count)),
            _ => None,
        });
        spans.collect()
    }

    #[test]
    fn samples_of_blocks_in_a_row_make_one_gap() {
        let mut rest = Rest::default();
        for n in 0..100 {
            let data = [1, 2].map(|stream| record(Kind::DATA, stream, n, b"abcd"));
            assert_eq!(rest.absorb(&block(&data)), 2);
        }
        assert_eq!(gaps(&rest), [(1, 0, 100), (2, 0, 100)]);
        assert!(rest.weight() < 500);
    }

    #[test]
    fn a_record_that_matters_keeps_its_place_among_the_gaps() {
        let mut rest = Rest::default();
        rest.absorb(&block(&[
            record(Kind::DATA, 1, 0, b""),
            record(Kind::EVENT, 1, 1, b"now"),
            record(Kind::STATS, 0, 0, b"no"),
            record(Kind::DATA, 1, 1, b""),
        ]));
        let kinds: Vec<_> = rest.items().iter().map(std::mem::discriminant).collect();
        let (gap, kept) = (kinds[0], kinds[1]);
        assert!(kinds == [gap, kept, gap] && gap != kept, "{rest:?}");
    }

    #[test]
    fn what_is_kept_collapses_to_how_many_are_missing() {
        let gap = |first, count| {
            let (reason, stage) = (Reason::Device, "test".into());
            Gap { first, count: Some(count), reason, stage, ..Gap::default() }.to_bytes()
        };
        let mut rest = Rest::default();
        for n in 0..100 {
            rest.absorb(&block(&[
                record(Kind::DATA, 1, n * 10, b""),
                record(Kind::EVENT, 1, n * 10 + 1, b"now"),
                record(Kind::GAP, 1, n * 10 + 10, &gap(n * 10 + 1, 9)),
            ]));
        }
        assert_eq!(rest.collapse(), 100);
        assert_eq!(gaps(&rest), [(1, 0, 1000)]);
        assert!(rest.weight() < 200);
    }

    #[test]
    fn of_many_sessions_that_are_over_the_last_is_told() {
        let mut rest = Rest::default();
        for session in 0..50 {
            let span = Span { session, stream: 1, first: 0, count: 5, from: 0, to: 0 };
            rest.push(Item::Gap(span));
            let reason = "end".to_owned();
            let report = Report { session, time: 0, stats: Box::default() };
            rest.push(Item::End(report, reason));
        }
        let span = Span { session: 50, stream: 1, first: 0, count: 7, from: 0, to: 0 };
        rest.push(Item::Gap(span));
        rest.collapse();
        assert_eq!(rest.items().len(), 3);
        assert_eq!(gaps(&rest), [(1, 0, 5), (1, 0, 7)]);
    }
}
