//! The newest sample of each stream, until the reader has read the last.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use libframe::payload::{Gap, Payload as _};
use libframe::tool::{Backlog, Chunk, Full, Lanes, Limits, Manner, Put};
use libframe::wire::{Header, Kind, Record};

/// What waits: of the chosen streams one sample each, of the others all.
#[derive(Debug)]
pub(crate) struct Newest(Mutex<State>);

#[derive(Debug)]
struct State {
    lanes: Lanes,
    /// The chosen streams, with the number of the sample that is written next.
    chosen: BTreeMap<(u32, u16), u64>,
}

impl Newest {
    /// Nothing yet; so many bytes may wait of streams that are not chosen.
    pub(crate) fn new(bytes: u64, stage: &str) -> Newest {
        let limits = Limits { bytes, records: None, time: None };
        let lanes = Lanes::new(limits, Full::Refuse, stage);
        Newest(Mutex::new(State { lanes, chosen: BTreeMap::new() }))
    }

    /// Chooses a stream.
    pub(crate) fn choose(&self, key: (u32, u16)) {
        self.lock().chosen.entry(key).or_default();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backlog for Newest {
    fn put(&self, record: &Record<'_>) -> Result<Put> {
        let mut state = self.lock();
        let key = (record.header.session, record.header.stream);
        if record.header.kind.has_samples() && state.chosen.contains_key(&key) {
            state.lanes.clear(key);
        }
        Ok(state.lanes.put(record))
    }

    fn take(&self, chunk: &mut Chunk) -> Result<()> {
        let mut state = self.lock();
        let State { lanes, chosen } = &mut *state;
        lanes.take(chunk);
        number(chunk, chosen);
        let ended = chunk.records().filter(|record| record.header.kind == Kind::END);
        for session in ended.map(|record| record.header.session) {
            chosen.retain(|key, _| key.0 != session);
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.lock().lanes.bytes()
    }

    fn manner(&self) -> Manner {
        Manner::WhenRead
    }
}

/// Numbers the samples that are written: which those are is known only now.
fn number(chunk: &mut Chunk, chosen: &mut BTreeMap<(u32, u16), u64>) {
    let mut next = chosen.clone();
    chunk.renumber(|record| {
        let Header { session, stream, seq, .. } = record.header;
        let Some(next) = chosen.get_mut(&(session, stream)) else { return seq };
        let number = *next;
        *next += record.samples();
        number
    });
    let is_gap = |record: &Record<'_>| record.header.kind == Kind::GAP;
    if !chunk.records().any(|record| is_gap(&record)) {
        return;
    }
    // A GAP says in its payload too where it is.
    let mut renewed = Chunk::default();
    for record in chunk.records() {
        let key = (record.header.session, record.header.stream);
        let place = next.get_mut(&key);
        match (place, Gap::from_bytes(record.payload)) {
            (Some(first), Ok(gap)) if is_gap(&record) => {
                let gap = Gap { first: *first, ..gap };
                renewed.push(&Record::new(record.header, &gap.to_bytes()));
            }
            (place, _) => {
                if let Some(next) = place {
                    *next += record.samples();
                }
                renewed.push(&record);
            }
        }
    }
    *chunk = renewed;
}
