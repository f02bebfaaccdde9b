//! Send streams over the Lab Streaming Layer.

mod args;
mod haste;
mod markers;
mod readers;
mod track;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use libframe::batch::Samples;
use libframe::catalog::Catalog;
use libframe::clock::SECOND;
use libframe::ledger::Loss;
use libframe::payload::{Event, Gap, Payload as _, Reason, Session};
use libframe::schema::{Media, Stream};
use libframe::timeline::Timeline;
use libframe::tool::{
    self, Account, Ended, Gauge, Need, Overflow, Patterns, Plan, Room, Sink, Stop, Voice,
};
use libframe::wire::{Kind, Record};
use libframe_lsl::info::Info;
use libframe_lsl::library::Library;
use libframe_lsl::values::seconds;

use crate::args::{Absent, Args, of};
use crate::readers::Readers;
use crate::track::{Track, open};

/// How much may wait for the consumers of one stream, where the user says nothing.
const QUEUE: u64 = 64 << 20;
/// Times that are further from now than this are told: they are of a recording.
const OLD: i64 = 60 * SECOND;

/// A session, and a stream of it; 0 is the session's markers.
type Key = (u32, u16);

fn main() -> ExitCode {
    tool::sink::<ToLsl>()
}

struct ToLsl {
    args: Args,
    wanted: Patterns,
    library: Arc<Library>,
    readers: Readers,
    timeline: Timeline,
    sessions: BTreeMap<u32, Session>,
    /// `None` where a stream is not sent.
    tracks: BTreeMap<Key, Option<Track>>,
    /// Outlets of sessions that are over: the next may go on with them.
    resting: Vec<Track>,
    /// What was lost of streams whose outlet is closed.
    dropped: BTreeMap<String, u64>,
    voice: Voice,
    /// What was said once: of media, and of times.
    said: Vec<String>,
    undescribed: u64,
}

impl Sink for ToLsl {
    type Args = Args;

    const QUEUES: bool = true;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        let problem =
            Library::open(args.lsl_lib.as_deref()).err().map(|err| err.to_string());
        plan.needs(Need { what: "liblsl".into(), problem });
        let queue = *plan.queue.get_or_insert(QUEUE);
        let outlets = plan.input.as_ref().map_or(1, |flows| flows.len().max(1)) as u64;
        plan.memory = plan.memory.saturating_add(queue.saturating_mul(outlets));
        if plan.overload.is_empty() {
            plan.overload = "the stage before waits for consumers".into();
        }
        Ok(())
    }

    fn open(args: Args) -> Result<ToLsl> {
        Ok(ToLsl {
            wanted: Patterns::new("--stream", &args.stream)?,
            library: Library::open(args.lsl_lib.as_deref())?,
            readers: Readers::new(&args),
            timeline: Timeline::default(),
            sessions: BTreeMap::new(),
            tracks: BTreeMap::new(),
            resting: Vec::new(),
            dropped: BTreeMap::new(),
            voice: Voice::default(),
            said: Vec::new(),
            undescribed: 0,
            args,
        })
    }

    fn usual_room(_: &Args) -> (u64, Overflow) {
        (QUEUE, Overflow::Block)
    }

    fn voice(&mut self, voice: Voice) {
        self.readers.set_voice(voice.clone());
        self.voice = voice;
    }

    fn heed(&mut self, stop: Stop) {
        self.readers.heed(stop);
    }

    fn room(&mut self, room: Room, gauge: Gauge) {
        self.readers.set_room(room, gauge);
    }

    fn record(&mut self, record: Record<'_>, catalog: &Catalog) -> Result<()> {
        self.timeline.learn(&record);
        match record.header.kind {
            Kind::DATA | Kind::BATCH => self.samples(&record, catalog),
            Kind::SESSION => self.session(&record),
            Kind::STREAM => self.describe(&record, catalog),
            Kind::EVENT => self.event(&record),
            Kind::GAP => self.gap(&record, catalog),
            _ => Ok(()),
        }
    }

    fn deadline(&self) -> Option<i64> {
        Some(self.readers.deadline())
    }

    fn tick(&mut self, now: i64) -> Result<()> {
        let tracks = self.tracks.values_mut().flatten().chain(&mut self.resting);
        self.readers.look(tracks.map(|track| &mut track.outlet), now);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let ToLsl { tracks, readers, .. } = self;
        tracks.values_mut().flatten().try_for_each(|track| readers.push(track))
    }

    fn end(&mut self, ended: &Ended<'_>) -> Result<()> {
        self.flush()?;
        let others = self.tracks.split_off(&(ended.session, 0));
        let (of_session, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            others.into_iter().partition(|(key, _)| key.0 == ended.session);
        self.tracks.extend(others);
        // Who reads them may want to read the next session too.
        self.resting.extend(of_session.into_values().flatten());
        self.sessions.remove(&ended.session);
        self.timeline.forget(ended.session);
        Ok(())
    }

    fn close(&mut self, _: &Account) -> Result<()> {
        self.flush()?;
        let tracks = std::mem::take(&mut self.tracks).into_values().flatten();
        let mut tracks: Vec<Track> = tracks.chain(self.resting.drain(..)).collect();
        self.retire(&mut tracks);
        Ok(())
    }

    fn losses(&self) -> Vec<(String, Loss)> {
        let each = self.dropped.iter().filter(|(_, samples)| **samples > 0);
        each.map(|(name, samples)| {
            let (stage, reason) = (self.voice.name().to_owned(), Reason::Queue);
            let loss =
                Loss { stage, reason, samples: *samples, places: 1, ..Loss::default() };
            (name.clone(), loss)
        })
        .collect()
    }

    fn objections(&self) -> Vec<String> {
        let n = self.undescribed;
        let text = format!("{n} samples came before their stream's description");
        let undescribed = (n > 0).then_some(text);
        self.readers.objections().into_iter().chain(undescribed).collect()
    }
}

impl ToLsl {
    fn session(&mut self, record: &Record<'_>) -> Result<()> {
        let tag = record.header.session;
        if self.sessions.contains_key(&tag) {
            return Ok(());
        }
        // One that cannot be read has streams all the same.
        let session = Session::from_bytes(record.payload).unwrap_or_default();
        self.sessions.insert(tag, session);
        // Before the first event, so that nobody misses it.
        self.open_markers((tag, 0))
    }

    fn open_markers(&mut self, key: Key) -> Result<()> {
        if self.args.no_markers || self.tracks.contains_key(&key) {
            return Ok(());
        }
        let name = &self.args.markers;
        let session = self.sessions.entry(key.0).or_default();
        let info = Info::markers(name, session);
        let media = Media::Event;
        let stream = Stream { name: name.clone(), media, ..Stream::default() };
        self.open_track(key, info, &stream, 0)
    }

    fn describe(&mut self, record: &Record<'_>, catalog: &Catalog) -> Result<()> {
        let key = (record.header.session, record.header.stream);
        let Some(stream) = catalog.of(record) else { return Ok(()) };
        let description = record.payload_crc();
        match self.tracks.get(&key) {
            Some(Some(track)) if track.description == description => return Ok(()),
            Some(None) => return Ok(()),
            _ => {}
        }
        let Some(info) = self.info(key, stream) else {
            self.tracks.insert(key, None);
            return Ok(());
        };
        if let Some(Some(track)) = self.tracks.get_mut(&key) {
            if track.goes_on_as(&info, stream) {
                track.description = description;
                return Ok(());
            }
            return self.replace(key, info, stream, description);
        }
        self.open_track(key, info, stream, description)
    }

    /// What LSL is told of a stream; `None` if it is not sent.
    fn info(&mut self, key: Key, stream: &Stream) -> Option<Info> {
        let name = &stream.name;
        let chosen = match self.wanted.is_empty() {
            true => !stream.is_about_another(),
            false => self.wanted.hold(name, key.1),
        };
        if !chosen || (self.args.no_markers && stream.media == Media::Event) {
            return None;
        }
        let session = self.sessions.entry(key.0).or_default();
        let Some(mut info) = Info::of_stream(stream, session) else {
            self.say_once(format!("{name}: LSL has no form for {}", stream.media.name()));
            return None;
        };
        if info.channel_count == 0 {
            return None;
        }
        let rename = |all, field: &mut String| {
            if let Some(text) = of(all, name) {
                *field = text.into();
            }
        };
        rename(&self.args.lsl_name, &mut info.name);
        rename(&self.args.lsl_type, &mut info.kind);
        rename(&self.args.source_id, &mut info.source_id);
        Some(info)
    }

    fn open_track(
        &mut self,
        key: Key,
        info: Info,
        stream: &Stream,
        description: u32,
    ) -> Result<()> {
        let rested =
            self.resting.iter().position(|track| track.goes_on_as(&info, stream));
        let mut track = match rested {
            Some(at) => self.resting.swap_remove(at),
            None => {
                self.retire_namesakes(&info);
                let queue = self.readers.queue;
                let track = open(&self.library, info, stream, description, queue)?;
                self.tell(&track);
                track
            }
        };
        track.description = description;
        self.tracks.insert(key, Some(track));
        Ok(())
    }

    fn tell(&self, track: &Track) {
        let info = &track.info;
        let rate = match info.rate {
            0.0 => "irregular".to_owned(),
            rate => format!("{rate} Hz"),
        };
        self.voice.detail(&format!(
            "{}: type {}, {} of {}, {rate}, source id {}",
            info.name,
            info.kind,
            info.channel_count,
            info.format.name(),
            info.source_id
        ));
    }

    /// A stream is another now: its consumers get all of the old one, and the new one.
    fn replace(
        &mut self,
        key: Key,
        info: Info,
        stream: &Stream,
        description: u32,
    ) -> Result<()> {
        let Some(Some(mut old)) = self.tracks.remove(&key) else { return Ok(()) };
        self.readers.push(&mut old)?;
        let (count, format) = (old.info.channel_count, old.info.format);
        // Others cannot come back by themselves: liblsl asks for what it knew.
        let returns = (count, format) == (info.channel_count, info.format);
        let readers = if returns { old.outlet.consumers().len() } else { 0 };
        self.voice.detail(&format!("{}: described anew", old.outlet.name()));
        let mut track =
            open(&self.library, info, stream, description, self.readers.queue)?;
        self.tell(&track);
        self.retire(&mut vec![old]);
        self.readers.await_return(&mut track.outlet, readers);
        self.tracks.insert(key, Some(track));
        Ok(())
    }

    /// Closes outlets of sessions that are over, of which another has the source id now.
    fn retire_namesakes(&mut self, info: &Info) {
        let is_one = |track: &mut Track| track.info.source_id == info.source_id;
        let mut old: Vec<Track> = self.resting.extract_if(.., is_one).collect();
        if !old.is_empty() {
            self.retire(&mut old);
        }
    }

    /// Closes outlets, when their consumers have taken all.
    fn retire(&mut self, tracks: &mut Vec<Track>) {
        self.readers.drain(tracks);
        for track in tracks.drain(..) {
            *self.dropped.entry(track.name.clone()).or_default() += track.dropped;
        }
    }

    /// Before the first sample of a stream: waits until there is who reads it.
    fn await_consumers(&mut self, key: Key) -> Result<()> {
        let Some(Some(track)) = self.tracks.get_mut(&key) else { return Ok(()) };
        track.was_awaited = true;
        let name = track.info.name.clone();
        let mut outlets: Vec<_> = self
            .tracks
            .iter_mut()
            .filter_map(|(other, track)| {
                Some((*other == key, &mut track.as_mut()?.outlet))
            })
            .collect();
        self.readers.await_consumers(&name, &mut outlets)
    }

    fn samples(&mut self, record: &Record<'_>, catalog: &Catalog) -> Result<()> {
        let key = (record.header.session, record.header.stream);
        if self
            .tracks
            .get(&key)
            .is_some_and(|track| track.as_ref().is_some_and(|track| !track.was_awaited))
        {
            self.await_consumers(key)?;
        }
        let ToLsl { tracks, readers, timeline, .. } = self;
        let Some(track) = tracks.get_mut(&key) else {
            self.undescribed += record.samples();
            return Ok(());
        };
        let Some(track) = track else { return Ok(()) };
        let Ok(samples) = Samples::parse(record, catalog.is_fixed(record)) else {
            return Ok(());
        };
        let offset = timeline.offset(key.0, key.1);
        for sample in samples.iter() {
            if track.add(&sample, sample.time.saturating_sub(offset)) {
                readers.push(track)?;
            }
        }
        if track.outlet.consumers().pushed() == 0 {
            let away = readers.clock().now().saturating_sub(track.newest());
            let name = track.name.clone();
            self.tell_age(&name, away);
        }
        Ok(())
    }

    fn tell_age(&mut self, name: &str, away: i64) {
        if away.abs() > OLD {
            let (far, side) =
                (seconds(away.abs()), if away > 0 { "ago" } else { "ahead" });
            self.say_once(format!(
                "{name}: its times are {far:.0} s {side}; replay can give them today's"
            ));
        }
    }

    fn event(&mut self, record: &Record<'_>) -> Result<()> {
        let Ok(event) = Event::from_bytes(record.payload) else { return Ok(()) };
        let (session, stream) = (record.header.session, record.header.stream);
        self.mark((session, stream), record.header.time, &markers::of_event(&event))
    }

    /// Sends a marker: of a stream of events in its own outlet, others in the session's.
    fn mark(&mut self, key: Key, time: i64, text: &str) -> Result<()> {
        let at = match self.tracks.get(&key) {
            Some(Some(track)) if track.media == Media::Event => key,
            _ => (key.0, 0),
        };
        self.open_markers(at)?;
        let time = self.timeline.time(key.0, key.1, time);
        let Some(Some(track)) = self.tracks.get_mut(&at) else { return Ok(()) };
        track.outlet.add(text.as_bytes(), seconds(time));
        self.readers.push(track)
    }

    fn gap(&mut self, record: &Record<'_>, catalog: &Catalog) -> Result<()> {
        let key = (record.header.session, record.header.stream);
        let Ok(gap) = Gap::from_bytes(record.payload) else { return Ok(()) };
        let Some(Some(track)) = self.tracks.get_mut(&key).filter(|_| key.1 != 0) else {
            return Ok(());
        };
        let time = gap.from.unwrap_or(record.header.time);
        match self.args.for_gaps {
            Absent::None => Ok(()),
            Absent::Nan if gap.incomplete().is_some() => Ok(()),
            Absent::Nan => {
                // Behind the sample before it.
                let time = self.timeline.time(key.0, key.1, time);
                track.add_nan(time.max(track.newest()).saturating_add(1000));
                self.readers.push(track)
            }
            Absent::Marker => {
                let name = catalog.name(key.0, key.1);
                match markers::of_gap(&gap, &name) {
                    Some(text) => self.mark((key.0, 0), time, &text),
                    None => Ok(()),
                }
            }
        }
    }

    fn say_once(&mut self, what: String) {
        if !self.said.contains(&what) {
            self.voice.tell(&what);
            self.said.push(what);
        }
    }
}
