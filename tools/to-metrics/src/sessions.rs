//! The sessions that are open, and what their records add to the figures.

use libframe::catalog::Catalog;
use libframe::payload::{ClockReading, Event, Gap, Payload as _, Session, Stats};
use libframe::timeline::Timeline;
use libframe::tool::{Ended, boot_id};
use libframe::wire::{Kind, Record};

use crate::figures::{Figures, SessionFigures};
use crate::label::{LONG, Labels, SHORT, command_line};
use crate::lane::Lane;
use crate::table::OTHER;

/// All sessions that are open.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// The one whose record came last is the last.
    open: Vec<Open>,
    timeline: Timeline,
    boot: String,
}

#[derive(Debug)]
struct Open {
    tag: u32,
    /// By their numbers.
    lanes: Vec<Lane>,
    /// Where the last look-up ended: records of one stream come in runs.
    at: usize,
    /// CRC of its SESSION.
    description: Option<u32>,
    host: String,
    /// It is captured under this boot, so that its times are of our clock.
    is_local: bool,
    /// A stage before told that the session stopped without END.
    is_broken: bool,
    clock_read: bool,
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions { open: Vec::new(), timeline: Timeline::default(), boot: boot_id() }
    }
}

impl Sessions {
    /// Takes a record.
    #[inline]
    pub(crate) fn take(
        &mut self,
        record: &Record<'_>,
        catalog: &Catalog,
        figures: &mut Figures,
    ) {
        let (tag, number) = (record.header.session, record.header.stream);
        let at = self.place(tag, figures);
        let open = &mut self.open[at];
        match record.header.kind {
            Kind::DATA | Kind::BATCH => {
                open.lane(number, catalog, figures).take(record, catalog, figures);
            }
            Kind::STREAM => {
                open.lane(number, catalog, figures).describe(record, catalog, figures);
            }
            Kind::GAP => open.gap(record, catalog, figures),
            Kind::SESSION => {
                self.timeline.learn(record);
                open.session(record, &self.boot, figures);
            }
            Kind::CLOCK => {
                self.timeline.learn(record);
                open.clock(record, catalog, figures);
            }
            Kind::EVENT => event(record, figures),
            Kind::STATS => {
                if let Ok(stats) = Stats::from_bytes(record.payload) {
                    figures.take_stats(&stats);
                }
            }
            _ => {}
        }
    }

    /// Where the session of a record is, which begins with its first one.
    #[inline]
    fn place(&mut self, tag: u32, figures: &mut Figures) -> usize {
        if self.open.last().is_none_or(|open| open.tag != tag) {
            let open = match self.open.iter().position(|open| open.tag == tag) {
                Some(at) => self.open.remove(at),
                None => {
                    figures.begin_session(SessionFigures::new(tag));
                    Open::new(tag)
                }
            };
            self.open.push(open);
        }
        self.open.len() - 1
    }

    /// A session has ended.
    pub(crate) fn end(&mut self, ended: &Ended<'_>, now: i64, figures: &mut Figures) {
        self.date(now, figures);
        let at = self.open.iter().position(|open| open.tag == ended.session);
        let open = at.map(|at| self.open.remove(at));
        let broken = ended.broke_off.is_some() || open.is_some_and(|open| open.is_broken);
        match broken {
            true => figures.broken_off += 1,
            false => figures.ended += 1,
        }
        if let Some(session) = figures.session(ended.session) {
            session.is_open = false;
        }
        self.timeline.forget(ended.session);
    }

    /// Brings all that depends on clocks up to date.
    pub(crate) fn date(&mut self, now: i64, figures: &mut Figures) {
        for open in &mut self.open {
            let (tag, is_local) = (open.tag, open.is_local);
            for lane in &mut open.lanes {
                let number = lane.number;
                let on_our_clocks = |time| {
                    let captured = self.timeline.time(tag, number, time);
                    let realtime = self.timeline.realtime(tag, number, time);
                    (is_local.then_some(captured), realtime)
                };
                lane.date(now, on_our_clocks, figures);
            }
        }
    }
}

impl Open {
    fn new(tag: u32) -> Open {
        Open {
            tag,
            lanes: Vec::new(),
            at: 0,
            description: None,
            host: String::new(),
            is_local: false,
            is_broken: false,
            clock_read: false,
        }
    }

    #[inline]
    fn lane(
        &mut self,
        number: u16,
        catalog: &Catalog,
        figures: &mut Figures,
    ) -> &mut Lane {
        if self.lanes.get(self.at).is_none_or(|lane| lane.number != number) {
            let place = self.lanes.binary_search_by_key(&number, |lane| lane.number);
            self.at = place.unwrap_or_else(|at| {
                let name = catalog.name(self.tag, number);
                self.lanes.insert(at, Lane::new(number, &name, figures));
                at
            });
        }
        &mut self.lanes[self.at]
    }

    fn gap(&mut self, record: &Record<'_>, catalog: &Catalog, figures: &mut Figures) {
        let Ok(gap) = Gap::from_bytes(record.payload) else { return };
        match record.header.stream {
            // About the session itself: a stage stopped without END.
            0 => self.is_broken = true,
            number => self.lane(number, catalog, figures).gap(&gap, figures),
        }
    }

    /// Learns who records where, and through which stages.
    fn session(&mut self, record: &Record<'_>, boot: &str, figures: &mut Figures) {
        if self.description == Some(record.payload_crc()) {
            return;
        }
        let Ok(session) = Session::from_bytes(record.payload) else { return };
        self.description = Some(record.payload_crc());
        self.is_local = !session.boot_id.is_empty() && session.boot_id == boot;
        self.host.clone_from(&session.host);
        if let Some(known) = figures.session(self.tag) {
            let pairs =
                [("uuid", session.uuid.as_str()), ("host", session.host.as_str())];
            known.info = known.labels.with(&pairs, SHORT);
            known.start = Some(session.start_realtime);
        }
        for (stage, index) in session.stages.iter().zip(0..) {
            let (row, labels) = figures.stage(&stage.name, index);
            let command = command_line(&stage.command);
            let short =
                labels.with(&[("version", &stage.version), ("host", &stage.host)], SHORT);
            row.is_process(
                &stage.host,
                stage.pid,
                short.with(&[("command", &command)], LONG),
            );
        }
    }

    /// Learns what another clock showed.
    fn clock(&mut self, record: &Record<'_>, catalog: &Catalog, figures: &mut Figures) {
        let Ok(reading) = ClockReading::from_bytes(record.payload) else { return };
        let number = record.header.stream;
        if number != 0 && (reading.offset.or(reading.round_trip)).is_some() {
            let name = catalog.name(self.tag, number);
            let labels = Labels::new(&[("stream", &name), ("remote", &reading.remote)]);
            let other = || Labels::new(&[("stream", OTHER), ("remote", OTHER)]);
            let row = figures.remotes.row(&labels, other);
            (row.offset, row.round_trip) = (reading.offset, reading.round_trip);
        }
        let Some(realtime) = reading.realtime.filter(|_| reading.remote.is_empty())
        else {
            return;
        };
        let offset = realtime.wrapping_sub(reading.monotonic);
        let labels = Labels::new(&[("host", &self.host)]);
        let row = figures.clocks.row(&labels, || Labels::new(&[("host", OTHER)]));
        if !std::mem::replace(&mut self.clock_read, true) {
            row.first_offset = offset;
        }
        row.readings += 1;
        (row.offset, row.error) = (offset, reading.error);
    }
}

fn event(record: &Record<'_>, figures: &mut Figures) {
    if let Ok(event) = Event::from_bytes(record.payload) {
        let labels = Labels::new(&[("label", &event.label)]);
        *figures.events.row(&labels, || Labels::new(&[("label", OTHER)])) += 1;
    }
}
