//! One session in a file: its streams, its events, and what XDF has no place for.

use std::collections::BTreeMap;

use libframe::batch::Samples;
use libframe::ledger::{Loss, SessionLedger};
use libframe::payload::{ClockReading, Event, Gap, Payload as _, Reason, Session, Value};
use libframe::schema::{Media, Stream};
use libframe::timeline::{Timeline, stream_offset};
use libframe::wire::{Header, Kind, Record};
use libframe_lsl::info::{Format, Info};
use libframe_lsl::values::seconds;
use libframe_xdf::{Note, records};

use crate::column::{Column, Whose, device_times};
use crate::file::File;

/// Of more streams than this none keeps memory from one write to the next.
const MANY: usize = 64;

/// One session in a file.
#[derive(Debug)]
pub(crate) struct Chapter {
    tag: u32,
    session: Session,
    /// What was announced, for the next file: the session, then its streams and clocks.
    announced: BTreeMap<(u16, Kind), (Header, Vec<u8>)>,
    notes: Column,
    markers: Option<Column>,
    entries: BTreeMap<u16, Entry>,
    ledger: SessionLedger,
    timeline: Timeline,
    /// What this stage is called, and what it left out.
    stage: String,
    losses: Vec<(String, Loss)>,
}

/// A stream of the session.
#[derive(Debug)]
struct Entry {
    stream: Stream,
    /// `None` if XDF has no form for it.
    column: Option<Column>,
    /// The device's own times.
    device: Option<Column>,
    left_out: Option<(Header, Gap)>,
}

impl Chapter {
    pub(crate) fn begin(
        tag: u32,
        session: Session,
        stage: &str,
        file: &mut File,
    ) -> Chapter {
        file.begin(&session);
        let whose = Whose { session: &session, tag, number: 0 };
        let info = Info {
            name: records::NAME.into(),
            kind: records::TYPE.into(),
            channel_count: 1,
            format: Format::String,
            source_id: format!("{}-{}", session.uuid, records::NAME),
            hostname: session.host.clone(),
            ..Info::default()
        };
        let notes = Column::texts(info, whose, file);
        Chapter {
            tag,
            announced: BTreeMap::new(),
            notes,
            markers: None,
            entries: BTreeMap::new(),
            ledger: SessionLedger::default(),
            timeline: Timeline::default(),
            stage: stage.into(),
            losses: Vec::new(),
            session,
        }
    }

    /// What the next file must begin with to go on with the session.
    pub(crate) fn announced(&self) -> impl Iterator<Item = Record<'_>> {
        let all = self.announced.values();
        all.map(|(header, payload)| Record::new(*header, payload))
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Takes a record that is no sample. Returns the name of a stream that XDF has no form
    /// for, when it is described.
    pub(crate) fn record(
        &mut self,
        record: &Record<'_>,
        markers: &str,
        file: &mut File,
    ) -> Option<String> {
        let header = record.header;
        self.timeline.learn(record);
        match header.kind {
            Kind::SESSION => {
                if self.is_news(record) {
                    self.note(record, None);
                }
                None
            }
            Kind::STREAM => self.describe(record, file),
            _ => {
                match header.kind {
                    Kind::CLOCK => self.clock(record, file),
                    Kind::EVENT => self.event(record, markers, file),
                    Kind::GAP => self.gap(record),
                    _ => {}
                }
                self.note(record, None);
                None
            }
        }
    }

    /// Whether an announcement says anything new.
    fn is_news(&mut self, record: &Record<'_>) -> bool {
        let key = (record.header.stream, record.header.kind);
        let old = self.announced.get(&key);
        if old.is_some_and(|(_, payload)| payload == record.payload) {
            return false;
        }
        self.announced.insert(key, (record.header, record.payload.to_vec()));
        true
    }

    fn describe(&mut self, record: &Record<'_>, file: &mut File) -> Option<String> {
        let number = record.header.stream;
        if !self.is_news(record) {
            return None;
        }
        let Ok(stream) = Stream::from_bytes(record.payload) else {
            self.note(record, None);
            return None;
        };
        let before = self.entries.remove(&number);
        let earlier = before.as_ref().and_then(|entry| entry.column.as_ref());
        let earlier = earlier.map(|column| column.xdf.to_string());
        if let Some(before) = before {
            self.finish_entry(before, file);
        }
        let note: Vec<_> =
            earlier.iter().map(|xdf| ("continues", xdf.as_str())).collect();
        let whose = Whose { session: &self.session, tag: self.tag, number };
        let column = Column::begin(&stream, whose, &note, file);
        let missing = (column.is_none() && number != 0).then(|| stream.name.clone());
        self.note(record, column.as_ref().map(|column| column.xdf));
        let mut entry = Entry { stream, column, device: None, left_out: None };
        if let (Some(column), Some((monotonic, offset))) =
            (&mut entry.column, self.clock_of(number))
        {
            column.measured(monotonic, offset, file);
        }
        self.entries.insert(number, entry);
        missing
    }

    /// Takes samples of a stream that is described.
    pub(crate) fn samples(&mut self, record: &Record<'_>, fixed: bool, file: &mut File) {
        let header = record.header;
        let known = self.entries.get(&header.stream);
        let first = known.is_some_and(|entry| entry.device.is_none());
        let clock =
            (first && header.has_device_time()).then(|| self.clock_of(header.stream));
        let Some(entry) = self.entries.get_mut(&header.stream) else { return };
        let Ok(samples) = Samples::parse(record, fixed) else { return };
        if let Some(ledger) = self.ledger.stream(header.stream) {
            ledger.take(header.seq, samples.len() as u64, header.time);
        }
        let Some(column) = &mut entry.column else {
            entry.leave_out(&header, samples.len() as u64);
            return;
        };
        for sample in samples.iter() {
            column.sample(&sample);
        }
        if header.has_device_time() {
            let whose =
                Whose { session: &self.session, tag: self.tag, number: header.stream };
            entry.device(&samples, whose, clock.flatten(), file);
        }
        self.note_runs(header.stream, header.time);
        self.write_full(header.stream, file);
    }

    fn note_runs(&mut self, stream: u16, time: i64) {
        let Some(entry) = self.entries.get_mut(&stream) else { return };
        let columns = [entry.column.as_mut(), entry.device.as_mut()];
        for column in columns.into_iter().flatten() {
            while let Some(run) = column.take_run() {
                self.notes.text(seconds(time), &Note::of_run(run));
            }
        }
    }

    fn write_full(&mut self, stream: u16, file: &mut File) {
        let began = self.session.start_monotonic;
        let Some(entry) = self.entries.get_mut(&stream) else { return };
        for column in entry.columns().filter(|column| column.is_full()) {
            column.flush(began, file);
        }
    }

    fn clock(&mut self, record: &Record<'_>, file: &mut File) {
        let header = record.header;
        let Some(offset) = stream_offset(record) else { return };
        let Ok(reading) = ClockReading::from_bytes(record.payload) else { return };
        self.announced
            .insert((header.stream, header.kind), (header, record.payload.to_vec()));
        let Some(entry) = self.entries.get_mut(&header.stream) else { return };
        for column in entry.columns() {
            column.measured(reading.monotonic, offset, file);
        }
    }

    /// What was told last of a stream's clock, if it is another than the session's.
    fn clock_of(&self, stream: u16) -> Option<(i64, i64)> {
        let (_, payload) = self.announced.get(&(stream, Kind::CLOCK))?;
        let reading = ClockReading::from_bytes(payload).ok()?;
        Some((reading.monotonic, reading.offset?))
    }

    fn gap(&mut self, record: &Record<'_>) {
        if let Ok(gap) = Gap::from_bytes(record.payload)
            && let Some(ledger) = self.ledger.stream(record.header.stream)
        {
            ledger.gap(&gap);
        }
    }

    /// An event goes to its own stream if that has nothing but events, else to the markers,
    /// whose times are the session's.
    fn event(&mut self, record: &Record<'_>, markers: &str, file: &mut File) {
        let header = record.header;
        let Ok(event) = Event::from_bytes(record.payload) else { return };
        let text = marker(&event);
        let own = self.entries.get_mut(&header.stream);
        let own = own.filter(|entry| entry.stream.media == Media::Event);
        if let Some(column) = own.and_then(|entry| entry.column.as_mut()) {
            column.text(seconds(header.time), &text);
            return;
        }
        let time = self.timeline.time(self.tag, header.stream, header.time);
        let whose = Whose { session: &self.session, tag: self.tag, number: 0 };
        let column = self.markers.get_or_insert_with(|| {
            Column::texts(Info::markers(markers, whose.session), whose, file)
        });
        column.text(seconds(time), &text);
    }

    /// Puts a record among those that XDF has no place for.
    pub(crate) fn note(&mut self, record: &Record<'_>, xdf: Option<u32>) {
        let header = record.header;
        let time = self.timeline.time(self.tag, header.stream, header.time);
        self.notes.text(seconds(time), &Note::of_record(record, xdf));
    }

    /// Bytes that wait for the file.
    pub(crate) fn waiting(&self) -> usize {
        let entries = self.entries.values();
        let columns = entries.flat_map(|entry| [&entry.column, &entry.device]);
        let entries: usize = columns.flatten().map(Column::waiting).sum();
        let markers = self.markers.as_ref().map_or(0, Column::waiting);
        self.notes.waiting() + markers + entries
    }

    /// Gives all that waits to the file.
    pub(crate) fn flush(&mut self, file: &mut File) {
        let began = self.session.start_monotonic;
        let entries = self.entries.values_mut().flat_map(Entry::columns);
        for column in entries.chain(&mut self.markers).chain([&mut self.notes]) {
            column.flush(began, file);
        }
        if self.entries.len() > MANY {
            self.entries.values_mut().flat_map(Entry::columns).for_each(Column::release);
        }
    }

    /// Ends the session, with its END if it did not break off. Returns what was left out.
    pub(crate) fn finish(
        mut self,
        end: Option<(&str, i64)>,
        file: &mut File,
    ) -> Vec<(String, Loss)> {
        for (_, entry) in std::mem::take(&mut self.entries) {
            self.finish_entry(entry, file);
        }
        let began = self.session.start_monotonic;
        if let Some(markers) = self.markers.take() {
            markers.finish(began, file);
        }
        if let Some((reason, now)) = end {
            let payload = self.ledger.end(reason).to_bytes();
            let (kind, session) = (Kind::END, self.tag);
            let header = Header {
                kind,
                flags: 0,
                stream: 0,
                session,
                seq: 0,
                time: now,
                sent: now,
            };
            self.note(&Record::new(header, &payload), None);
        }
        self.notes.finish(began, file);
        self.losses
    }

    fn finish_entry(&mut self, mut entry: Entry, file: &mut File) {
        let began = self.session.start_monotonic;
        if let Some((header, mut gap)) = entry.left_out.take() {
            gap.stage.clone_from(&self.stage);
            let loss = Loss {
                stage: self.stage.clone(),
                reason: gap.reason,
                samples: gap.count.unwrap_or(0),
                places: 1,
                ..Loss::default()
            };
            self.losses.push((entry.stream.name, loss));
            self.note(&Record::new(header, &gap.to_bytes()), None);
        }
        for column in [entry.column, entry.device].into_iter().flatten() {
            column.finish(began, file);
        }
    }
}

impl Entry {
    fn columns(&mut self) -> impl Iterator<Item = &mut Column> {
        self.column.iter_mut().chain(&mut self.device)
    }

    /// Samples that have no form in XDF.
    fn leave_out(&mut self, header: &Header, samples: u64) {
        let next = header.seq.saturating_add(samples);
        let (_, gap) = self.left_out.get_or_insert_with(|| {
            let gap = Gap {
                first: header.seq,
                reason: Reason::Parser,
                from: Some(header.time),
                detail: "XDF has no form for them".into(),
                ..Gap::default()
            };
            (Header { kind: Kind::GAP, flags: 0, ..*header }, gap)
        });
        gap.count = Some(gap.count.unwrap_or(0).saturating_add(samples));
        gap.to = Some(header.time);
        if let Some((place, _)) = &mut self.left_out {
            (place.seq, place.time) = (next, header.time);
        }
    }

    fn device(
        &mut self,
        samples: &Samples<'_>,
        whose: Whose<'_>,
        clock: Option<(i64, i64)>,
        file: &mut File,
    ) {
        if self.device.is_none() {
            let of = self.column.as_ref().map_or(0, |column| column.xdf).to_string();
            let about = device_times(&self.stream);
            let note = [("device_time_of", of.as_str())];
            self.device = Column::begin(&about, whose, &note, file);
            if let (Some(column), Some((monotonic, offset))) = (&mut self.device, clock) {
                column.measured(monotonic, offset, file);
            }
        }
        let Some(column) = &mut self.device else { return };
        for sample in samples.iter() {
            if let Some(time) = sample.device_time {
                let bytes = &time.to_le_bytes();
                column.sample(&libframe::batch::Sample { bytes, ..sample });
            }
        }
    }
}

/// An event as the text of a marker.
fn marker(event: &Event) -> String {
    let label = &event.label;
    match &event.value {
        Value::Nil => label.clone(),
        Value::Bool(value) => format!("{label}={value}"),
        Value::Int(value) => format!("{label}={value}"),
        Value::Float(value) => format!("{label}={value}"),
        Value::Text(value) => format!("{label}={value}"),
    }
}
