//! Samples that come before the description of their stream does: for tools that can do
//! nothing with them then.
//!
//! Descriptions come first and are repeated, so samples without one are there for two reasons.
//! Who joins in the middle meets them, and has missed others just before: they are no loss. Or
//! the description was damaged: then they are lost, and a tool that leaves them out must say
//! so as soon as it knows what their numbers are among those that it passes on.

use std::collections::{BTreeMap, BTreeSet};

use super::account::Account;
use crate::decoder::{Cause, Damage};
use crate::ledger::Loss;
use crate::payload::{Gap, Payload as _, Reason};
use crate::wire::{Header, Kind, Record};

/// Gaps of a stream that are told apart.
const MAX_GAPS: usize = 64;

/// What came of streams that are not described.
#[derive(Debug, Default)]
pub struct Undescribed {
    stage: String,
    /// Sessions that were announced: what comes of them should have been described.
    announced: BTreeSet<u32>,
    /// Something was, or may have been, damaged.
    damaged: bool,
    streams: BTreeMap<(u32, u16), Vec<(Header, Gap)>>,
    losses: Vec<(String, Loss)>,
}

impl Undescribed {
    /// Nothing yet; this stage is who leaves samples out.
    pub fn new(stage: &str) -> Undescribed {
        Undescribed { stage: stage.into(), ..Undescribed::default() }
    }

    /// Learns that a session was announced.
    pub fn session(&mut self, tag: u32) {
        self.announced.insert(tag);
    }

    /// Learns that input could not be read.
    pub fn damage(&mut self, damage: &Damage) {
        self.damaged |= damage.cause != Cause::Late;
    }

    /// Takes note of samples that are left out, or of a GAP among them. They must come in
    /// order.
    pub fn take(&mut self, record: &Record<'_>) {
        let header = record.header;
        let gap = match header.kind {
            Kind::GAP => match Gap::from_bytes(record.payload) {
                Ok(gap) => gap,
                Err(_) => return,
            },
            _ if !self.damaged && !self.announced.contains(&header.session) => return,
            _ => Gap {
                first: header.seq,
                count: Some(record.samples()),
                reason: Reason::Corrupt,
                stage: self.stage.clone(),
                from: Some(header.time),
                to: Some(header.time),
                detail: "their stream was not described".into(),
                ..Gap::default()
            },
        };
        let gaps = self.streams.entry((header.session, header.stream)).or_default();
        let full = gaps.len() >= MAX_GAPS;
        match gaps.last_mut() {
            Some((place, last))
                if full || (last.next() == gap.first && alike(last, &gap)) =>
            {
                let next = gap.next().max(last.next());
                (last.count, last.to) = (Some(next - last.first), gap.to);
                (place.seq, place.time) = (next, header.time);
            }
            _ => {
                let (kind, flags, seq) = (Kind::GAP, 0, gap.next());
                gaps.push((Header { kind, flags, seq, ..header }, gap));
            }
        }
    }

    /// What was left out of a stream that is described now, as gaps in the numbers that came,
    /// and the headers for those.
    pub fn described(
        &mut self,
        session: u32,
        stream: u16,
        name: &str,
    ) -> Vec<(Header, Gap)> {
        let gaps = self.streams.remove(&(session, stream)).unwrap_or_default();
        for (_, gap) in gaps.iter().filter(|(_, gap)| gap.stage == self.stage) {
            let (stage, reason) = (gap.stage.clone(), gap.reason);
            let samples = gap.count.unwrap_or(0);
            let loss = Loss { stage, reason, samples, places: 1, ..Loss::default() };
            self.losses.push((name.into(), loss));
        }
        gaps
    }

    /// A stream is described now, and nobody wants it.
    pub fn forget(&mut self, session: u32, stream: u16) {
        self.streams.remove(&(session, stream));
    }

    /// What was left out of streams of a session that ends, and were never described.
    pub fn end(&mut self, session: u32) -> Vec<(Header, Gap)> {
        self.announced.remove(&session);
        let streams: Vec<_> =
            self.streams.keys().filter(|key| key.0 == session).collect();
        let streams: Vec<u16> = streams.into_iter().map(|key| key.1).collect();
        let gaps = streams.into_iter().flat_map(|stream| {
            self.described(session, stream, &format!("stream {stream}"))
        });
        gaps.collect()
    }

    /// What was left out, by stream.
    pub fn losses(&self) -> &[(String, Loss)] {
        &self.losses
    }

    /// Enters in the account what was left out.
    pub fn tell(&self, account: &mut Account) {
        for (name, loss) in &self.losses {
            account.add_own(name, loss);
        }
    }
}

fn alike(one: &Gap, other: &Gap) -> bool {
    let key = |gap: &Gap| (gap.reason, gap.partial.is_some(), gap.count.is_some());
    key(one) == key(other) && one.stage == other.stage && one.count.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(undescribed: &mut Undescribed, stream: u16, seq: u64) {
        let (kind, session) = (Kind::DATA, 7);
        let header = Header { kind, flags: 0, stream, session, seq, time: 0, sent: 0 };
        undescribed.take(&Record::new(header, &[1]));
    }

    #[test]
    fn what_a_late_reader_meets_is_no_loss() {
        let mut undescribed = Undescribed::new("test");
        (0..5).for_each(|seq| data(&mut undescribed, 1, seq));
        assert_eq!(undescribed.described(7, 1, "a"), []);
        assert_eq!(undescribed.end(7), []);
    }

    #[test]
    fn what_was_left_out_is_one_gap_where_it_is_one_run() {
        let mut undescribed = Undescribed::new("test");
        undescribed.session(7);
        [3, 4, 5, 9].into_iter().for_each(|seq| data(&mut undescribed, 1, seq));
        data(&mut undescribed, 2, 0);
        let gaps = undescribed.described(7, 1, "a");
        let run = |(place, gap): &(Header, Gap)| (gap.first, gap.count, place.seq);
        let runs: Vec<_> = gaps.iter().map(run).collect();
        assert_eq!(runs, [(3, Some(3), 6), (9, Some(1), 10)]);
        assert_eq!(undescribed.described(7, 1, "a"), []);
        assert_eq!(undescribed.end(7).len(), 1);
        let mut account = Account::default();
        undescribed.tell(&mut account);
        assert_eq!(account.lost(), 5);
    }
}
