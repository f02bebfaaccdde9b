//! The descriptions of the streams that a pipe carries, as far as they have come.

use std::cell::Cell;

use crate::payload::{Payload as _, PayloadError};
use crate::schema::{Channel, Field, Sensor, Stream};
use crate::wire::{Kind, Record};

/// Memory that descriptions may take. Hostile ones would otherwise fill it.
const MAX_WEIGHT: usize = 6 << 20;

/// Descriptions by session and stream.
#[derive(Debug, Default)]
pub struct Catalog {
    entries: Vec<Entry>,
    at: Cell<usize>,
    weight: usize,
}

#[derive(Debug)]
struct Entry {
    key: (u32, u16),
    stream: Stream,
    /// Bytes of a sample, if they are fixed.
    size: Option<usize>,
    /// The payload it was read from: an announcement that is repeated is not read again.
    payload_len: usize,
    payload_crc: u32,
}

/// Why a description is not kept.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// It cannot be read.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// There is no room for it.
    #[error("the streams' descriptions take more than {} MiB", MAX_WEIGHT >> 20)]
    Full,
}

impl Catalog {
    /// Learns from a STREAM record; returns whether the description is new. Records of
    /// other kinds change nothing.
    pub fn learn(&mut self, record: &Record<'_>) -> Result<bool, CatalogError> {
        if record.header.kind != Kind::STREAM {
            return Ok(false);
        }
        let key = (record.header.session, record.header.stream);
        let place = self.entries.binary_search_by_key(&key, |entry| entry.key);
        let (payload_len, payload_crc) = (record.payload.len(), record.payload_crc());
        if let Ok(at) = place {
            let old = &self.entries[at];
            if (old.payload_len, old.payload_crc) == (payload_len, payload_crc) {
                return Ok(false);
            }
        }
        let stream = Stream::from_bytes(record.payload)?;
        let old_weight = place.map_or(0, |at| self.entries[at].weight());
        let size = stream.sample_size();
        let entry = Entry { key, stream, size, payload_len, payload_crc };
        let weight = self.weight - old_weight + entry.weight();
        if weight > MAX_WEIGHT {
            return Err(CatalogError::Full);
        }
        self.weight = weight;
        match place {
            Ok(at) => self.entries[at] = entry,
            Err(at) => self.entries.insert(at, entry),
        }
        Ok(true)
    }

    /// The description of a record's stream.
    #[inline]
    pub fn of(&self, record: &Record<'_>) -> Option<&Stream> {
        Some(&self.find(record)?.stream)
    }

    /// Bytes of a sample of the record's stream: the inner `None` means that they vary,
    /// the outer that the stream is not described yet.
    #[inline]
    pub fn sample_size(&self, record: &Record<'_>) -> Option<Option<usize>> {
        Some(self.find(record)?.size)
    }

    /// Whether samples of the record's stream are known to have a fixed size, which is
    /// what their layout in a BATCH depends on.
    #[inline]
    pub fn is_fixed(&self, record: &Record<'_>) -> bool {
        matches!(self.sample_size(record), Some(Some(_)))
    }

    /// A stream's name for people.
    pub fn name(&self, session: u32, stream: u16) -> String {
        match self.entries.binary_search_by_key(&(session, stream), |entry| entry.key) {
            Ok(at) => self.entries[at].stream.name.clone(),
            Err(_) => format!("stream {stream}"),
        }
    }

    /// All streams of a session, by number.
    pub fn streams(&self, session: u32) -> impl Iterator<Item = (u16, &Stream)> {
        let of_session = self.entries.iter().filter(move |e| e.key.0 == session);
        of_session.map(|entry| (entry.key.1, &entry.stream))
    }

    /// Forgets a session that has ended.
    pub fn forget(&mut self, session: u32) {
        self.entries.retain(|entry| entry.key.0 != session);
        self.weight = self.entries.iter().map(Entry::weight).sum();
    }

    #[inline]
    fn find(&self, record: &Record<'_>) -> Option<&Entry> {
        let key = (record.header.session, record.header.stream);
        let last = self.entries.get(self.at.get());
        if let Some(entry) = last.filter(|entry| entry.key == key) {
            return Some(entry);
        }
        let at = self.entries.binary_search_by_key(&key, |entry| entry.key).ok()?;
        self.at.set(at);
        self.entries.get(at)
    }
}

impl Entry {
    /// About what it takes in memory.
    fn weight(&self) -> usize {
        let channels = self.stream.channels.len() * size_of::<Channel>();
        let fields = self.stream.fields.len() * size_of::<Field>();
        let sensors = self.stream.sensors.len() * size_of::<Sensor>();
        size_of::<Entry>()
            + channels
            + fields
            + sensors
            + self.stream.meta.len() * 96
            + 2 * self.payload_len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Header;

    fn announce(stream: u16, payload: &[u8]) -> Record<'_> {
        let kind = Kind::STREAM;
        let header =
            Header { kind, flags: 0, stream, session: 7, seq: 0, time: 0, sent: 0 };
        Record::new(header, payload)
    }

    #[test]
    fn a_repeated_announcement_is_not_news_and_a_changed_one_is() {
        let mut catalog = Catalog::default();
        let mut stream = Stream { name: "a".into(), ..Stream::default() };
        assert!(catalog.learn(&announce(1, &stream.to_bytes())).unwrap());
        assert!(!catalog.learn(&announce(1, &stream.to_bytes())).unwrap());
        stream.name = "b".into();
        assert!(catalog.learn(&announce(1, &stream.to_bytes())).unwrap());
        assert_eq!(catalog.name(7, 1), "b");
        assert_eq!(catalog.name(7, 2), "stream 2");
        catalog.forget(7);
        assert_eq!(catalog.streams(7).count(), 0);
    }

    #[test]
    fn hostile_descriptions_stay_within_the_limit() {
        let stream =
            Stream { channels: vec![Channel::default(); 16384], ..Stream::default() };
        let payload = stream.to_bytes();
        let mut catalog = Catalog::default();
        let kept = (0..1000).filter(|n| catalog.learn(&announce(*n, &payload)).is_ok());
        let kept = kept.count();
        assert!(kept > 0 && kept < 10, "{kept} kept");
        assert!(catalog.weight <= MAX_WEIGHT);
    }
}
