//! A block of samples on its way: rows of channels as they come, samples when it is whole.

use crate::message::{Columns, Data};
use crate::numbering::Place;
use crate::roster::Set;

/// A block is one record, and readers refuse longer ones than 24 MiB.
pub(crate) const MAX_BLOCK: usize = 16 << 20;
/// Rows and samples that are turned over at a time: what they need stays in the cache.
const TILE: usize = 16;
const NAN: [u8; 4] = f32::NAN.to_le_bytes();

/// When a message came, by clocks of both ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Here, ns.
    pub(crate) at: i64,
    /// There, ms since 1970; 0 if it does not say.
    pub(crate) published: i64,
}

/// Why a message cannot be part of the block that it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Twice,
    Uneven,
    Large,
}

/// Samples of some channels from one number on. Its room is used again.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) first: u64,
    pub(crate) samples: usize,
    /// The channels that came, in their order.
    pub(crate) rows: Vec<u32>,
    /// They came in the order of their numbers, as they always do.
    ascends: bool,
    /// Which row is in which column.
    order: Vec<Option<usize>>,
    /// A row of f32 for each.
    data: Vec<u8>,
    /// Names that are news.
    pub(crate) names: Vec<(u32, String)>,
    pub(crate) rate: Option<f64>,
    /// When its first message came, and when its last.
    pub(crate) arrival: Arrival,
    pub(crate) latest: i64,
    pub(crate) place: Place,
    /// How many of its messages may be lost, by the numbers around them.
    pub(crate) lost: u64,
    /// A message of it was refused.
    pub(crate) spoiled: bool,
    /// It came as one message, with all channels that there are.
    pub(crate) is_single: bool,
}

impl Block {
    /// Begins a block with its first message.
    pub(crate) fn begin(&mut self, data: &Data<'_>, place: Place, arrival: Arrival) {
        self.first = data.first;
        self.samples = data.samples;
        self.rows.clear();
        self.ascends = true;
        self.data.clear();
        self.names.clear();
        self.rate = data.rate;
        self.arrival = arrival;
        self.place = place;
        self.lost = 0;
        self.spoiled = false;
        self.is_single = matches!(data.columns, Columns::All { .. });
    }

    /// Adds the rows of a message.
    pub(crate) fn add(
        &mut self,
        data: &Data<'_>,
        at: i64,
        known: Option<&Set>,
    ) -> Result<(), Refusal> {
        if data.samples != self.samples {
            return Err(Refusal::Uneven);
        }
        for (channel, row) in data.rows() {
            if self.holds(channel) {
                return Err(Refusal::Twice);
            }
            if record_len(self.samples, self.rows.len() + 1) > MAX_BLOCK {
                return Err(Refusal::Large);
            }
            self.ascends &= self.rows.last().is_none_or(|last| channel > *last);
            self.rows.push(channel);
            self.data.extend_from_slice(row);
        }
        if let Columns::One { channel, name: Some(name) } = &data.columns
            && !known.is_some_and(|set| set.names(*channel, name))
        {
            self.names.push((*channel, name.clone().into_owned()));
        }
        self.latest = at;
        Ok(())
    }

    /// Whether a channel's row has come.
    #[inline]
    pub(crate) fn holds(&self, channel: u32) -> bool {
        let is_last = self.rows.last().is_none_or(|last| channel > *last);
        !(self.ascends && is_last) && self.rows.contains(&channel)
    }

    /// Whether it has certainly all there was, when a message that is not of it has come
    /// at this place.
    pub(crate) fn is_whole(&self, place: Place) -> bool {
        let unbroken = self.place.follows && self.place.breaks == place.breaks;
        !self.spoiled && (unbroken || self.is_single)
    }

    /// The number of the sample after it.
    pub(crate) fn next(&self) -> u64 {
        self.first.saturating_add(self.samples as u64)
    }

    /// Bytes of its samples.
    pub(crate) fn len(&self) -> usize {
        self.data.len()
    }

    /// Puts the rows in the order of the set's columns; none for what did not come.
    pub(crate) fn arrange(&mut self, set: &Set) {
        let mut places = set.channels.iter().zip(&self.rows);
        let in_order =
            self.rows.len() == set.channels.len() && places.all(|(a, b)| a == b);
        let rows = &self.rows;
        let place = |channel: &u32| rows.iter().position(|row| row == channel);
        self.order.clear();
        match in_order {
            true => self.order.extend((0..rows.len()).map(Some)),
            false => self.order.extend(set.channels.iter().map(place)),
        }
    }

    /// Adds the first `samples` to `out`, each with all columns. What did not come is NaN.
    pub(crate) fn write(&self, samples: usize, out: &mut Vec<u8>) {
        let width = self.order.len();
        let samples = samples.min(self.samples);
        let start = out.len();
        out.resize(start + 4 * width * samples, 0);
        let out = out[start..].as_chunks_mut().0;
        for (tile, rows) in self.order.chunks(TILE).enumerate() {
            for from in (0..samples).step_by(TILE) {
                let to = samples.min(from + TILE);
                for (column, row) in rows.iter().enumerate() {
                    let at = from * width + tile * TILE + column;
                    let cells = out[at..].iter_mut().step_by(width);
                    match row {
                        Some(row) => {
                            self.values(*row, from, to).iter().zip(cells).for_each(
                                |(value, cell): (_, &mut [u8; 4])| *cell = *value,
                            )
                        }
                        None => cells.take(to - from).for_each(|cell| *cell = NAN),
                    }
                }
            }
        }
    }

    fn values(&self, row: usize, from: usize, to: usize) -> &[[u8; 4]] {
        let begin = row * self.samples;
        self.data.as_chunks().0.get(begin + from..begin + to).unwrap_or_default()
    }
}

/// Bytes of a record of so many samples.
pub(crate) fn record_len(samples: usize, channels: usize) -> usize {
    // Beside its values each sample has two times.
    samples.saturating_mul(16 + 4 * channels)
}
