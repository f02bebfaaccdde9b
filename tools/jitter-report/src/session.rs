//! What is learnt of one session: its streams, its stages, its wall clock.

use std::collections::BTreeMap;

use libframe::payload::{ClockReading, Gap, Payload as _, Session, Stats, Totals};
use libframe::schema::Stream;
use libframe::stages::Stages;
use libframe::wire::{Header, Kind};

use crate::remote_clock::RemoteClock;
use crate::stream::{Columns, StreamView};
use crate::wall_clock::WallClock;

/// A session, however its samples and other records come in.
#[derive(Debug)]
pub(crate) struct SessionView {
    pub(crate) tag: u32,
    pub(crate) session: Option<Session>,
    pub(crate) streams: BTreeMap<u16, StreamView>,
    pub(crate) stages: Stages,
    pub(crate) wall_clock: WallClock,
    /// The clock of each stream that has one of its own.
    pub(crate) remote_clocks: BTreeMap<u16, RemoteClock>,
    pub(crate) events: u64,
    /// The stage that stopped without END, if one further up says so.
    pub(crate) broke_off: Option<String>,
    /// Intervals that may be kept, over all streams.
    exact_limit: usize,
    kept: usize,
}

impl SessionView {
    pub(crate) fn new(tag: u32, exact_limit: u64) -> SessionView {
        SessionView {
            tag,
            session: None,
            streams: BTreeMap::new(),
            stages: Stages::default(),
            wall_clock: WallClock::default(),
            remote_clocks: BTreeMap::new(),
            events: 0,
            broke_off: None,
            exact_limit: exact_limit as usize,
            kept: 0,
        }
    }

    /// Learns how a stream is described from here on.
    pub(crate) fn describe(&mut self, number: u16, stream: &Stream) {
        self.streams.entry(number).or_default().describe(stream);
    }

    /// Takes samples of a stream, in the order they came.
    pub(crate) fn take(&mut self, number: u16, columns: Columns<'_>) {
        let stream = self.streams.entry(number).or_default();
        let before = stream.intervals.kept();
        stream.take(columns);
        self.kept += stream.intervals.kept() - before;
        while self.kept > self.exact_limit {
            self.coarsen_longest();
        }
    }

    fn coarsen_longest(&mut self) {
        let longest = self.streams.values_mut().max_by_key(|s| s.intervals.kept());
        let Some(stream) = longest else { return };
        self.kept -= stream.intervals.kept().min(self.kept);
        stream.intervals.coarsen();
    }

    /// Takes a record without samples, in its place among those of its stream.
    pub(crate) fn take_other(&mut self, header: &Header, payload: &[u8]) {
        match header.kind {
            Kind::SESSION => {
                if let Ok(session) = Session::from_bytes(payload) {
                    self.session = Some(session);
                }
            }
            Kind::GAP => {
                let Ok(gap) = Gap::from_bytes(payload) else { return };
                if header.stream == 0 {
                    self.broke_off = Some(gap.stage);
                } else {
                    let stream = self.streams.entry(header.stream).or_default();
                    stream.take_gap(gap, header.time);
                }
            }
            Kind::CLOCK => {
                let Ok(reading) = ClockReading::from_bytes(payload) else { return };
                self.wall_clock.take(&reading);
                if header.stream != 0 && reading.offset.is_some() {
                    let stream = self.streams.entry(header.stream).or_default();
                    stream.clock_offset = reading.offset;
                    self.remote_clocks.entry(header.stream).or_default().take(&reading);
                }
            }
            Kind::EVENT => self.events += 1,
            Kind::STATS => {
                if let Ok(stats) = Stats::from_bytes(payload) {
                    self.stages.take(stats);
                }
            }
            _ => {}
        }
    }

    /// Learns from the writer's totals what is missing at the end of a stream.
    pub(crate) fn settle(&mut self, totals: &Totals) {
        if let Some(stream) = self.streams.get_mut(&totals.stream) {
            stream.settle(totals);
        }
    }

    /// Nothing more will come.
    pub(crate) fn close(&mut self) {
        self.streams.values_mut().for_each(StreamView::close);
    }
}
