//! Messages of one channel each, put together to blocks of all channels by their sample
//! numbers.
//!
//! ```text
//!     message ─► in its place? ─► the open block ─► all channels there, or the next begins
//!                  │                                   │
//!                  ├ ahead: a gap, of exactly what is missing
//!                  ├ back, and numbers begin anew: a new segment
//!                  └ neither is certain: in doubt, until the next message decides
//! ```
//!
//! Nothing is ever paired by its order, so a lost message costs its own samples only. Which
//! channels there are is learnt from a block that is certain to be whole, and learnt anew
//! when a block that is certain to be whole has others.

use anyhow::Result;
use libframe::payload::Reason;

use crate::block::{Arrival, Block, MAX_BLOCK, Refusal, record_len};
use crate::blocks::{Blocks, Hole, Misfit};
use crate::message::{Columns, Data};
use crate::numbering::Place;
use crate::roster::{PATIENCE, Roster, Set};

/// More samples than this are not missing: numbers have begun anew elsewhere.
const MAX_GAP: u64 = 1 << 32;

/// What to do with a block of which some channels are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Partial {
    /// Send it, with NaN in their place, and tell which
    Nan,
    /// Leave all of it out, and tell that
    Drop,
}

/// What waits until it is known which channels there are.
#[derive(Debug)]
enum Held {
    Block(Block, bool),
    Gap(u64, Reason),
    Segment(u64),
}

/// Where a message belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// In the open block.
    Same,
    /// At the begin of the next.
    Next,
    /// After samples that are missing.
    Ahead(u64, Reason),
    /// Where numbers begin anew.
    Segment,
    /// In the block that has just gone out.
    Late,
    /// Nobody knows yet.
    Doubt,
}

/// One stream of a rig.
#[derive(Debug)]
pub(crate) struct Assembly {
    partial: Partial,
    roster: Roster,
    open: Option<Block>,
    /// A message whose number says that either it is wrong or all before it are over.
    doubt: Option<Block>,
    held: Vec<Held>,
    /// Blocks whose room is free.
    spare: Vec<Block>,
    /// The number of the sample that comes next, once any came.
    next: Option<u64>,
    /// Where the block that went out last began.
    gone: Option<(u64, usize)>,
    /// The place of the message before.
    place: Place,
    /// The next sample's number in the stream.
    seq: u64,
    begun: bool,
    columns: Vec<u32>,
}

impl Assembly {
    pub(crate) fn new(partial: Partial) -> Assembly {
        Assembly {
            partial,
            roster: Roster::default(),
            open: None,
            doubt: None,
            held: Vec::new(),
            spare: Vec::new(),
            next: None,
            gone: None,
            place: Place::default(),
            seq: 0,
            begun: false,
            columns: Vec::new(),
        }
    }

    /// Takes a message; says what was wrong if it, or the one in doubt before it, is not
    /// used.
    pub(crate) fn take(
        &mut self,
        data: &Data<'_>,
        place: Place,
        arrival: Arrival,
        out: &mut impl Blocks,
    ) -> Result<Option<Misfit>> {
        if data.samples == 0 {
            return Ok(None);
        }
        let stray = self.settle_doubt(data, place, out)?;
        let fit = self.fit(data, place);
        let before = std::mem::replace(&mut self.place, place);
        let misfit = match fit {
            Fit::Same => self.add(data, arrival),
            Fit::Late => self.add_late(data, out)?,
            Fit::Doubt => {
                self.place = before;
                self.doubt_it(data, place, arrival)
            }
            Fit::Next => {
                self.close(place, out)?;
                self.begin(data, (before, place), arrival)
            }
            Fit::Ahead(count, reason) => {
                self.close(place, out)?;
                self.skip(count, reason, out)?;
                self.begin(data, (before, place), arrival)
            }
            Fit::Segment => {
                self.close(place, out)?;
                self.restart(data.first, out)?;
                self.begin(data, (before, place), arrival)
            }
        };
        Ok(stray.or(misfit))
    }

    /// Sends the open block if it has all channels: nothing more is at hand that could
    /// belong to it.
    pub(crate) fn settle(&mut self, out: &mut impl Blocks) -> Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        if !open.spoiled && self.is_complete(open) {
            self.close(self.place, out)?;
        }
        Ok(())
    }

    /// Decides which channels there are by those that came, as no more come for a while.
    pub(crate) fn decide(&mut self, out: &mut impl Blocks) -> Result<()> {
        if self.roster.set().is_some() {
            return Ok(());
        }
        if let Some(open) = self.open.take() {
            self.pass(open, false, out)?;
        }
        self.adopt_held(out)
    }

    /// Decides by what is held, and sends that.
    fn adopt_held(&mut self, out: &mut impl Blocks) -> Result<()> {
        if self.roster.set().is_some() {
            return Ok(());
        }
        let mut set = Set::default();
        for held in &self.held {
            if let Held::Block(block, is_whole) = held {
                set.learn(block);
                if *is_whole {
                    set.retain(|channel| block.rows.contains(&channel));
                }
            }
        }
        if set.channels.is_empty() {
            return Ok(());
        }
        self.adopt(set, out)?;
        for (at, held) in std::mem::take(&mut self.held).into_iter().enumerate() {
            match held {
                Held::Gap(count, reason) => self.skip(count, reason, out)?,
                Held::Segment(first) => self.restart(first, out)?,
                Held::Block(mut block, is_whole) => {
                    // A publisher that is joined in the middle of a block: that is no loss.
                    let is_half = at == 0 && !block.place.follows;
                    if !is_half || self.is_complete(&block) {
                        self.send(&mut block, is_whole, out)?;
                    }
                    self.recycle(block);
                }
            }
        }
        Ok(())
    }

    /// Sends what is still held. A block that is not complete is left out if it has only
    /// just begun: then its end would have come.
    pub(crate) fn finish(&mut self, since: i64, out: &mut impl Blocks) -> Result<()> {
        if let Some(doubt) = self.doubt.take() {
            self.accept(doubt, out)?;
        }
        if let Some(open) = self.open.take() {
            let is_old = open.latest < since;
            if is_old || self.is_complete(&open) || self.is_like_held(&open) {
                // What is missing at the end is lost: no message after it says otherwise.
                let is_whole = open.is_single;
                self.pass(open, is_whole, out)?;
            }
        }
        self.decide(out)
    }

    fn fit(&self, data: &Data<'_>, place: Place) -> Fit {
        let Some(next) = self.open.as_ref().map(Block::next).or(self.next) else {
            return Fit::Next;
        };
        let restarted = place.epoch != self.place.epoch;
        if data.first == next {
            return Fit::Next;
        }
        if restarted {
            return Fit::Segment;
        }
        if data.first > next {
            let count = data.first - next;
            let is_lost = place.breaks != self.place.breaks;
            return match is_lost && count <= MAX_GAP {
                true => Fit::Ahead(count, reason(place.garbage != self.place.garbage)),
                false => Fit::Doubt,
            };
        }
        match (&self.open, self.gone) {
            (Some(open), _) if open.first == data.first => Fit::Same,
            (None, Some((first, samples)))
                if first == data.first && samples == data.samples =>
            {
                Fit::Late
            }
            _ => Fit::Doubt,
        }
    }

    fn begin(
        &mut self,
        data: &Data<'_>,
        (before, place): (Place, Place),
        at: Arrival,
    ) -> Option<Misfit> {
        let mut block = self.spare.pop().unwrap_or_default();
        block.begin(data, place, at);
        block.lost = place.skipped.saturating_sub(before.skipped);
        self.open = Some(block);
        self.add(data, at)
    }

    fn add(&mut self, data: &Data<'_>, arrival: Arrival) -> Option<Misfit> {
        let open = self.open.as_mut()?;
        let refusal = open.add(data, arrival.at, self.roster.set()).err()?;
        open.spoiled = true;
        Some(match refusal {
            Refusal::Twice => Misfit::Twice,
            Refusal::Uneven => Misfit::Uneven,
            Refusal::Large => Misfit::Large,
        })
    }

    /// Takes note of a channel that nobody knew of when its block went out.
    fn add_late(
        &mut self,
        data: &Data<'_>,
        out: &mut impl Blocks,
    ) -> Result<Option<Misfit>> {
        let Some(mut set) = self.roster.set().cloned() else { return Ok(None) };
        let known = |channel| set.column(channel).is_some();
        let Some((channel, _)) = data.rows().find(|(channel, _)| !known(*channel)) else {
            return Ok(Some(Misfit::Twice));
        };
        let name = match &data.columns {
            Columns::One { name, .. } => name.as_deref(),
            Columns::All { .. } => None,
        };
        set.insert(channel, name);
        out.late(channel, data.samples)?;
        self.adopt(set, out)?;
        Ok(None)
    }

    /// Decides about the message in doubt by the one after it.
    fn settle_doubt(
        &mut self,
        data: &Data<'_>,
        place: Place,
        out: &mut impl Blocks,
    ) -> Result<Option<Misfit>> {
        let Some(doubt) = self.doubt.take() else { return Ok(None) };
        let goes_on = matches!(self.fit(data, place), Fit::Same | Fit::Next | Fit::Late);
        let next = self.open.as_ref().map(Block::next).or(self.next).unwrap_or(0);
        let is_back = doubt.first < next;
        let agrees = data.first >= doubt.first && !(is_back && data.first >= next);
        if goes_on || !agrees {
            self.recycle(doubt);
            if let Some(open) = &mut self.open {
                open.spoiled = true;
            }
            return Ok(Some(Misfit::Stray));
        }
        self.accept(doubt, out)?;
        Ok(None)
    }

    fn doubt_it(
        &mut self,
        data: &Data<'_>,
        place: Place,
        arrival: Arrival,
    ) -> Option<Misfit> {
        let mut block = self.spare.pop().unwrap_or_default();
        block.begin(data, place, arrival);
        let refusal = block.add(data, arrival.at, self.roster.set());
        self.doubt = Some(block);
        refusal.err().map(|_| Misfit::Large)
    }

    /// Goes on where the message in doubt said.
    fn accept(&mut self, doubt: Block, out: &mut impl Blocks) -> Result<()> {
        let next = self.open.as_ref().map(Block::next).or(self.next).unwrap_or(0);
        self.close(doubt.place, out)?;
        match doubt.first.checked_sub(next) {
            // No message was lost, or too much: the device itself has left them out.
            Some(count) if count <= MAX_GAP => self.skip(count, Reason::Device, out)?,
            _ => self.restart(doubt.first, out)?,
        }
        self.place = doubt.place;
        self.open = Some(doubt);
        Ok(())
    }

    /// Ends the open block: a message that is not of it has come, at this place.
    fn close(&mut self, place: Place, out: &mut impl Blocks) -> Result<()> {
        let Some(mut block) = self.open.take() else { return Ok(()) };
        let is_whole = block.is_whole(place);
        block.spoiled |= block.place.garbage != place.garbage;
        block.lost += place.skipped.saturating_sub(block.place.skipped);
        self.pass(block, is_whole, out)
    }

    fn pass(
        &mut self,
        mut block: Block,
        is_whole: bool,
        out: &mut impl Blocks,
    ) -> Result<()> {
        self.next = Some(block.next());
        self.gone = Some((block.first, block.samples));
        if self.roster.set().is_some() {
            self.send(&mut block, is_whole, out)?;
            self.recycle(block);
            return Ok(());
        }
        self.held.push(Held::Block(block, is_whole));
        let blocks = || {
            self.held.iter().filter_map(|held| match held {
                Held::Block(block, _) => Some(block),
                _ => None,
            })
        };
        let bytes: usize = blocks().map(Block::len).sum();
        let (held, others) = (blocks().count(), self.held.len());
        if is_whole || held >= PATIENCE || others >= 4 * PATIENCE || bytes > MAX_BLOCK {
            self.adopt_held(out)?;
        }
        Ok(())
    }

    fn skip(&mut self, count: u64, reason: Reason, out: &mut impl Blocks) -> Result<()> {
        if self.roster.set().is_none() {
            self.held.push(Held::Gap(count, reason));
            return Ok(());
        }
        // What was before the first sample is not missing.
        if self.begun && count > 0 {
            let seq = self.seq;
            out.missing(&Hole { seq, count, reason, columns: &[] })?;
            self.seq = seq.saturating_add(count);
        }
        Ok(())
    }

    fn restart(&mut self, first: u64, out: &mut impl Blocks) -> Result<()> {
        self.gone = None;
        if self.roster.set().is_none() {
            self.held.push(Held::Segment(first));
            return Ok(());
        }
        if self.begun { out.segment(first) } else { Ok(()) }
    }

    fn send(
        &mut self,
        block: &mut Block,
        is_whole: bool,
        out: &mut impl Blocks,
    ) -> Result<()> {
        self.look_for_change(block, is_whole, out)?;
        let Some(set) = self.roster.set() else { return Ok(()) };
        let (seq, count) = (self.seq, block.samples as u64);
        self.begun = true;
        self.seq = seq.saturating_add(count);
        block.arrange(set);
        if block.rows.len() == set.channels.len() {
            return out.block(seq, block, set);
        }
        // Of one huge message for a hundred channels, the rest is not made up.
        let is_huge = record_len(block.samples, set.channels.len()) > MAX_BLOCK;
        let partial = if is_huge { Partial::Drop } else { self.partial };
        let places = set.channels.iter().enumerate();
        let lacking = places.filter(|(_, channel)| !block.rows.contains(channel));
        self.columns.clear();
        self.columns.extend(lacking.map(|(column, _)| column as u32));
        let columns = match partial {
            Partial::Nan => &self.columns[..],
            Partial::Drop => &[],
        };
        let reason = reason(block.spoiled);
        out.missing(&Hole { seq, count, reason, columns })?;
        match partial {
            Partial::Nan => out.block(seq, block, set),
            Partial::Drop => Ok(()),
        }
    }

    /// Finds out whether the channels are others than they were.
    fn look_for_change(
        &mut self,
        block: &Block,
        is_whole: bool,
        out: &mut impl Blocks,
    ) -> Result<()> {
        match self.roster.look(block, is_whole) {
            Some(set) => self.adopt(set, out),
            None => Ok(()),
        }
    }

    fn adopt(&mut self, set: Set, out: &mut impl Blocks) -> Result<()> {
        out.channels(&set)?;
        self.roster.adopt(set);
        Ok(())
    }

    fn is_complete(&self, block: &Block) -> bool {
        self.roster.is_complete(block)
    }

    /// Whether a block has the channels of the one that waits, if it is not known yet
    /// which there are.
    fn is_like_held(&self, block: &Block) -> bool {
        let last = self.held.iter().rev().find_map(|held| match held {
            Held::Block(block, _) => Some(block),
            _ => None,
        });
        last.is_some_and(|last| last.rows == block.rows)
    }

    fn recycle(&mut self, block: Block) {
        if self.spare.len() < 2 {
            self.spare.push(block);
        }
    }
}

/// Why samples are missing, when messages that were not understood may have held them.
fn reason(has_garbage: bool) -> Reason {
    if has_garbage { Reason::Parser } else { Reason::Transport }
}

#[cfg(test)]
mod tests;
