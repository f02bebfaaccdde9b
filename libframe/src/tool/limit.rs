//! `--count`: so many samples of each stream, and no more.

use anyhow::Result;

use super::consumer::Consumer;
use super::sessions::{Open, Sessions};
use crate::batch::{Builder, Samples, data_record};
use crate::catalog::Catalog;
use crate::wire::Record;

/// What is kept of a long batch is sent in several, so that memory does not depend on it.
const MAX_BATCH: usize = 1 << 20;

/// How many samples of each stream are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit(pub(super) u64);

impl Limit {
    /// Passes on what is wanted of a record with `n` samples, with which its stream has
    /// `taken`.
    pub(super) fn pass(
        self,
        taken: u64,
        n: u64,
        record: Record<'_>,
        catalog: &Catalog,
        to: &mut impl Consumer,
    ) -> Result<()> {
        let over = taken.saturating_sub(self.0).min(n);
        if over == 0 {
            return to.record(record, catalog);
        }
        let fixed = catalog.is_fixed(&record);
        let mut builder = Builder::new(fixed);
        let mut payload = Vec::new();
        for sample in Samples::parse(&record, fixed)?.iter().take((n - over) as usize) {
            if sample.bytes.len() > MAX_BATCH {
                send(&mut builder, catalog, to)?;
                to.record(data_record(&record.header, &sample, &mut payload), catalog)?;
            } else if !builder.push(&record.header, &sample, MAX_BATCH) {
                send(&mut builder, catalog, to)?;
                builder.push(&record.header, &sample, MAX_BATCH);
            }
        }
        send(&mut builder, catalog, to)
    }

    /// Whether every stream has enough, when one of them has `taken` samples now.
    pub(super) fn is_reached(self, taken: u64, sessions: &Sessions) -> bool {
        taken >= self.0 && sessions.iter().all(|open| self.is_reached_in(open))
    }

    /// A stream has an account from its announcement on, so one that is announced and has
    /// no samples yet counts as lacking them.
    fn is_reached_in(self, open: &Open) -> bool {
        let mut streams = open.ledger.streams().filter(|(number, _)| *number != 0);
        streams.all(|(_, stream)| stream.samples() >= self.0)
    }
}

fn send(builder: &mut Builder, catalog: &Catalog, to: &mut impl Consumer) -> Result<()> {
    builder.finish().map_or(Ok(()), |batch| to.record(batch, catalog))
}
