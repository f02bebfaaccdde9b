//! Recordings made by hand, of which every time and number is known.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use libframe::payload::{End, Gap, Payload, Reason, Session, Stage, Totals};
use libframe::schema::{DeviceClock, Dtype, Media, Stream};
use libframe::wire::{Header, Kind, Record};

pub(super) const SECOND: i64 = 1_000_000_000;
pub(super) const MS: i64 = 1_000_000;
/// When every recording begins.
pub(super) const START: i64 = 1_000 * SECOND;

/// A folder of a test's own, gone with it.
pub(super) struct Desk(pub(super) PathBuf);

impl Desk {
    pub(super) fn new() -> Desk {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (pid, n) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(format!("jitter-report-{pid}-{n}"));
        fs::create_dir_all(&dir).unwrap();
        Desk(dir)
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    pub(super) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        fs::write(self.0.join(name), bytes).unwrap();
        self.path(name)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

/// A recording made by hand: every time and number is known.
pub(super) struct Recorded {
    pub(super) bytes: Vec<u8>,
    pub(super) next: BTreeMap<u16, u64>,
}

impl Recorded {
    pub(super) fn new() -> Recorded {
        let session = Session {
            uuid: "test".into(),
            host: "desk".into(),
            start_realtime: 1_700_000_000 * SECOND,
            start_monotonic: START,
            stages: vec![Stage { name: "by-hand".into(), ..Stage::default() }],
            ..Session::default()
        };
        let mut made = Recorded { bytes: Vec::new(), next: BTreeMap::new() };
        made.put(0, 0, START, &session);
        made
    }

    pub(super) fn put<P: Payload>(
        &mut self,
        stream: u16,
        seq: u64,
        time: i64,
        payload: &P,
    ) {
        self.record(P::KIND, 0, stream, seq, time, &payload.to_bytes());
    }

    pub(super) fn record(
        &mut self,
        kind: Kind,
        flags: u8,
        stream: u16,
        seq: u64,
        time: i64,
        payload: &[u8],
    ) {
        let header = Header { kind, flags, stream, session: 7, seq, time, sent: time };
        Record::new(header, payload).encode(&mut self.bytes);
    }

    pub(super) fn stream(
        mut self,
        number: u16,
        name: &str,
        clock: Option<DeviceClock>,
    ) -> Recorded {
        let stream = Stream {
            name: name.into(),
            media: Media::Samples,
            dtype: Some(Dtype::U8),
            device_clock: clock,
            ..Stream::default()
        };
        self.put(number, 0, START, &stream);
        self.next.insert(number, 0);
        self
    }

    pub(super) fn sample(&mut self, stream: u16, seq: u64, time: i64) {
        self.record(Kind::DATA, 0, stream, seq, START + time, b"x");
        let next = self.next.get_mut(&stream).unwrap();
        *next = (*next).max(seq + 1);
    }

    /// Samples in a row at these times.
    pub(super) fn samples(
        mut self,
        stream: u16,
        times: impl IntoIterator<Item = i64>,
    ) -> Recorded {
        for time in times {
            let seq = self.next[&stream];
            self.sample(stream, seq, time);
        }
        self
    }

    pub(super) fn gap(mut self, stream: u16, count: u64, from: i64, to: i64) -> Recorded {
        let first = self.next[&stream];
        let gap = Gap {
            first,
            count: Some(count),
            reason: Reason::Device,
            stage: "by-hand".into(),
            from: Some(START + from),
            to: Some(START + to),
            detail: "pulled out".into(),
            ..Gap::default()
        };
        self.next.insert(stream, first + count);
        self.put(stream, first + count, START + to, &gap);
        self
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        let totals = |(stream, next): (&u16, &u64)| Totals {
            stream: *stream,
            next: *next,
            ..Totals::default()
        };
        let streams = self.next.iter().map(totals).collect();
        let end = End { streams, reason: "test".into() };
        self.put(0, 0, START, &end);
        self.bytes
    }
}
