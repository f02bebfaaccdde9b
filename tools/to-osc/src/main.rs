//! Send samples as Open Sound Control messages.

mod address;
mod args;
mod block;
mod datagrams;
mod destination;
mod framing;
mod kernel;
mod lane;
mod layout;
mod losses;
mod mode;
mod notes;
mod numbers;
mod peer;
#[cfg(test)]
mod roundtrip;
mod sender;
mod stream;
mod track;
mod values;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use libframe::batch::Samples;
use libframe::catalog::Catalog;
use libframe::ledger::Loss;
use libframe::schema::{Media, Stream};
use libframe::timeline::Timeline;
use libframe::tool::{
    self, Account, Ended, Gauge, Overflow, Plan, Room, Sink, Stop, Usage, Voice,
};
use libframe::wire::{Kind, Record};

use crate::args::Args;
use crate::sender::{Key, Sender};
use crate::track::{Manner, Track, Way};

fn main() -> ExitCode {
    tool::sink::<ToOsc>()
}

struct ToOsc {
    manner: Manner,
    with: notes::Wanted,
    sender: Sender,
    timeline: Timeline,
    /// Streams of numbers; `None` where a stream is none, or is not sent.
    tracks: BTreeMap<Key, Option<Track>>,
    /// The stream of each session that has the plain address.
    first: BTreeMap<u32, u16>,
    /// Whether streams that tell about others are sent too.
    asides: bool,
    voice: Voice,
    /// What was said once of a kind of stream.
    said: Vec<&'static str>,
    /// Samples that came before their description.
    undescribed: u64,
    clipped: u64,
}

impl Sink for ToOsc {
    type Args = Args;

    const QUEUES: bool = true;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        let preset = args.mode.preset();
        let queue = *plan.queue.get_or_insert(preset.queue);
        plan.memory = plan.memory.saturating_add(2 * queue);
        if plan.overload.is_empty() {
            plan.overload = preset.overflow.of("the stage before waits").into();
        }
        notes::plan(args, plan);
        Ok(())
    }

    fn open(args: Args) -> Result<ToOsc> {
        let values = args.values()?;
        let preset = args.mode.preset();
        let pace = args.pace.unwrap_or(preset.pace);
        let sender =
            Sender::open(&args.destination, args.framing, pace, args.require_receiver)?;
        let manner = args.manner(values, sender.usual_length());
        let Args { events, gaps, blobs, asides, .. } = args;
        let limit = manner.limit;
        let with = notes::Wanted { events, gaps, blobs, limit };
        Ok(ToOsc {
            manner,
            with,
            sender,
            timeline: Timeline::default(),
            tracks: BTreeMap::new(),
            first: BTreeMap::new(),
            asides,
            voice: Voice::default(),
            said: Vec::new(),
            undescribed: 0,
            clipped: 0,
        })
    }

    fn usual_room(args: &Args) -> (u64, Overflow) {
        let preset = args.mode.preset();
        (preset.queue, preset.overflow)
    }

    fn voice(&mut self, voice: Voice) {
        self.sender.set_voice(voice.clone());
        self.voice = voice;
    }

    fn heed(&mut self, stop: Stop) {
        self.sender.heed(stop);
    }

    fn room(&mut self, room: Room, gauge: Gauge) {
        self.sender.set_room(room, gauge);
    }

    fn record(&mut self, record: Record<'_>, catalog: &Catalog) -> Result<()> {
        let key = (record.header.session, record.header.stream);
        match record.header.kind {
            Kind::DATA | Kind::BATCH => self.samples(key, &record, catalog),
            Kind::STREAM => self.describe(key, &record, catalog),
            Kind::SESSION | Kind::CLOCK => {
                self.timeline.learn(&record);
                Ok(())
            }
            Kind::GAP => {
                self.flush_track(key)?;
                self.with.gap(key, &record, catalog, &mut self.sender)
            }
            Kind::EVENT => self.with.event(key, &record, &mut self.sender),
            _ => Ok(()),
        }
    }

    fn deadline(&self) -> Option<i64> {
        let tracks = self.tracks.values().flatten();
        let oldest = tracks.filter_map(|track| track.deadline(&self.manner)).min();
        [oldest, self.sender.deadline()].into_iter().flatten().min()
    }

    fn tick(&mut self, now: i64) -> Result<()> {
        let due =
            |track: &Track| track.deadline(&self.manner).is_some_and(|due| due <= now);
        let tracks = self.tracks.iter();
        let old = tracks.filter(|(_, track)| track.as_ref().is_some_and(due));
        let old: Vec<Key> = old.map(|(key, _)| *key).collect();
        old.into_iter().try_for_each(|key| self.flush_track(key))?;
        self.sender.pump()
    }

    fn flush(&mut self) -> Result<()> {
        self.sender.pump()
    }

    fn end(&mut self, ended: &Ended<'_>) -> Result<()> {
        let of_session =
            self.tracks.keys().filter(|(session, _)| *session == ended.session);
        let keys: Vec<Key> = of_session.copied().collect();
        for key in keys {
            self.flush_track(key)?;
            self.forget_track(key);
        }
        self.first.remove(&ended.session);
        self.timeline.forget(ended.session);
        Ok(())
    }

    fn close(&mut self, _account: &Account) -> Result<()> {
        self.sender.drain()?;
        if self.clipped > 0 {
            let n = self.clipped;
            self.voice
                .tell(&format!("{n} numbers were too large for --scale and cut off"));
        }
        self.sender.tell_totals();
        Ok(())
    }

    fn losses(&self) -> Vec<(String, Loss)> {
        self.sender.losses.told(self.voice.name())
    }

    fn objections(&self) -> Vec<String> {
        let n = self.undescribed;
        let text = format!("{n} samples came before their stream's description");
        if n > 0 { vec![text] } else { Vec::new() }
    }
}

impl ToOsc {
    fn samples(
        &mut self,
        key: Key,
        record: &Record<'_>,
        catalog: &Catalog,
    ) -> Result<()> {
        let Some(stream) = catalog.of(record) else {
            self.undescribed += record.samples();
            return Ok(());
        };
        if !self.tracks.contains_key(&key) {
            self.open_track(key, stream)?;
        }
        let Ok(samples) = Samples::parse(record, catalog.is_fixed(record)) else {
            return Ok(());
        };
        let Some(Some(track)) = self.tracks.get_mut(&key) else {
            let address = self.place(key).address.of_stream(&stream.name);
            let is_said = self.with.others(
                key,
                stream.media,
                &samples,
                &address,
                &mut self.sender,
            )?;
            if !is_said && !stream.is_about_another() {
                self.say_once(stream.media, &stream.name);
            }
            return Ok(());
        };
        let now = self.sender.clock().now();
        let mut block = self.sender.block(key);
        let tag = |time| notes::time_tag(self.timeline.realtime(key.0, key.1, time));
        let mut way = Way { manner: &self.manner, tag, out: &mut block };
        track.take(&samples, now, &mut way);
        block.end(|samples| track.duration(samples))
    }

    fn open_track(&mut self, key: Key, stream: &Stream) -> Result<()> {
        let track = Track::new(stream, &self.place(key)).transpose();
        let mut track = track.map_err(Usage)?;
        if stream.is_about_another() && !self.asides {
            self.voice.detail(&format!("{} is not sent; see --asides", stream.name));
            track = None;
        }
        if track.is_some() {
            self.sender.losses.name(key, &stream.name);
        }
        self.tracks.insert(key, track);
        Ok(())
    }

    /// How a stream is sent: the first of a session at the address that was asked for, and
    /// others beside it, as receivers could not tell them apart.
    fn place(&self, key: Key) -> Cow<'_, Manner> {
        match self.first.get(&key.0) {
            Some(first) if *first != key.1 => Cow::Owned(self.manner.beside()),
            _ => Cow::Borrowed(&self.manner),
        }
    }

    /// A description changed: what came before is sent as it was.
    fn describe(
        &mut self,
        key: Key,
        record: &Record<'_>,
        catalog: &Catalog,
    ) -> Result<()> {
        if let Some(stream) = catalog.of(record).filter(|stream| Track::is_for(stream)) {
            // By its description and not by its samples: those of several streams may come in
            // another order the next time.
            if self.asides || !stream.is_about_another() {
                self.first.entry(key.0).or_insert(key.1);
            }
        }
        let Some(Some(track)) = self.tracks.get(&key) else { return Ok(()) };
        let changed = catalog.of(record).is_some_and(|stream| !track.is_of(stream));
        if changed {
            self.flush_track(key)?;
            self.forget_track(key);
        }
        Ok(())
    }

    fn flush_track(&mut self, key: Key) -> Result<()> {
        let Some(Some(track)) = self.tracks.get_mut(&key) else { return Ok(()) };
        let mut block = self.sender.block(key);
        let tag = |time| notes::time_tag(self.timeline.realtime(key.0, key.1, time));
        track.flush(&mut Way { manner: &self.manner, tag, out: &mut block });
        block.end(|_| 0)
    }

    fn forget_track(&mut self, key: Key) {
        let clipped = self.tracks.remove(&key).flatten().map_or(0, |track| track.clipped);
        self.clipped += clipped;
    }

    fn say_once(&mut self, media: Media, name: &str) {
        if !self.said.contains(&media.name()) {
            self.said.push(media.name());
            let media = media.name();
            self.voice
                .tell(&format!("{name}: streams of {media} are not sent; see --blobs"));
        }
    }
}
