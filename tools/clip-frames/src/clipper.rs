//! Keeps what may yet belong to a clip, and opens and closes clips.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::Result;
use libframe::catalog::Catalog;
use libframe::payload::{ClockReading, Event, Payload as _, Session};
use libframe::tool::{Ended, Output, StreamTime, Voice};
use libframe::wire::{Kind, Record};

use crate::clip::{Clip, Millis, Offer, Since, parse};
use crate::lane::{Lane, Lanes, Part, Window};
use crate::ring::Ring;
use crate::trigger::{Trigger, Triggers};

/// Triggers that may wait for the clip before to close.
const MAX_WAITING: usize = 64;

/// How long clips are, in ns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    pub(crate) pre: i64,
    pub(crate) post: i64,
    /// How far a stream may lie behind the others.
    pub(crate) deadline: i64,
    /// The time between a trigger and when it is found.
    pub(crate) hold: i64,
    /// The longest clip.
    pub(crate) max: i64,
}

/// The whole of the tool but for its arguments and where the clips go.
#[derive(Debug)]
pub(crate) struct Clipper {
    lengths: Lengths,
    triggers: Triggers,
    ring: Ring,
    lanes: Lanes,
    pub(crate) time: StreamTime,
    /// The session that is read.
    tag: Option<u32>,
    session: Session,
    open: Option<Clip>,
    /// Triggers that came while a clip was open that ends before them.
    waiting: VecDeque<Trigger>,
    clips: u64,
    pub(crate) voice: Voice,
}

impl Clipper {
    pub(crate) fn new(lengths: Lengths, triggers: Triggers, memory: usize) -> Clipper {
        Clipper {
            lengths,
            triggers,
            ring: Ring::new(memory),
            lanes: Lanes::default(),
            time: StreamTime::default(),
            tag: None,
            session: Session::default(),
            open: None,
            waiting: VecDeque::new(),
            clips: 0,
            voice: Voice::default(),
        }
    }

    /// Whether a session is there that a clip can be of.
    pub(crate) fn has_session(&self) -> bool {
        self.tag.is_some()
    }

    /// The session that clips are of now, if it has this tag.
    pub(crate) fn session_of(&self, tag: u32) -> Option<&Session> {
        (self.tag == Some(tag)).then_some(&self.session)
    }

    /// How many clips there were.
    pub(crate) fn clips(&self) -> u64 {
        self.clips
    }

    /// Takes a record of any kind but END.
    pub(crate) fn record(
        &mut self,
        record: Record<'_>,
        catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        let header = record.header;
        if self.tag != Some(header.session) {
            self.close_session("another session", out)?;
            self.tag = Some(header.session);
        }
        match header.kind {
            Kind::DATA | Kind::BATCH => return self.samples(record, catalog, out),
            Kind::SESSION => self.announced(record, out)?,
            Kind::STREAM => self.described(record, catalog, out)?,
            Kind::EVENT => self.event(record, catalog, out)?,
            Kind::CLOCK => {
                if let Ok(reading) = ClockReading::from_bytes(record.payload) {
                    self.lanes.of(header.stream).look_at_clock(header, reading);
                }
                self.keep(record, None, header.time, out)?;
            }
            Kind::GAP if header.stream != 0 => {
                self.keep(record, None, header.time, out)?;
            }
            // STATS, that a stage broke off, and what a later version may bring.
            _ => {
                if let Some(clip) = &self.open {
                    clip.send(record, out)?;
                }
            }
        }
        Ok(())
    }

    fn announced(&mut self, record: Record<'_>, out: &mut impl Output) -> Result<()> {
        let Ok(session) = Session::from_bytes(record.payload) else { return Ok(()) };
        self.time.session(&session);
        self.session = session;
        match &self.open {
            // At its begin it would look like the begin of another.
            Some(clip) => {
                clip.announce(record.header.time.max(clip.window.begin + 1), out)
            }
            None => Ok(()),
        }
    }

    fn described(
        &mut self,
        record: Record<'_>,
        catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        let number = record.header.stream;
        let lane = self.lanes.of(number);
        if lane.described == Some(record.payload_crc()) {
            let shown = lane.part.begun && lane.part.done.is_none();
            return match &self.open {
                Some(clip) if shown => clip.send(record, out),
                _ => Ok(()),
            };
        }
        // One that there was no room for in the catalog is none for us either, so that all
        // of them take no more.
        let Some(stream) = catalog.of(&record) else { return Ok(()) };
        lane.describe(stream);
        self.triggers.learn(number, stream)?;
        let first = lane.described.replace(record.payload_crc()).is_none();
        if first {
            lane.base = record.payload.into();
            lane.part.description = Arc::clone(&lane.base);
            return Ok(());
        }
        let time = self.time.newest().unwrap_or(record.header.time);
        self.keep(record, None, time, out)
    }

    fn event(
        &mut self,
        record: Record<'_>,
        catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        let time = self.lanes.of(record.header.stream).time(record.header.time);
        self.keep(record, Some(catalog.is_fixed(&record)), time, out)?;
        let event = Event::from_bytes(record.payload).ok();
        match event.and_then(|event| self.triggers.event(time, &event)) {
            Some(trigger) => self.trigger(trigger, out),
            None => Ok(()),
        }
    }

    #[inline]
    fn samples(
        &mut self,
        record: Record<'_>,
        catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        let header = record.header;
        let fixed = catalog.sample_size(&record).map(|size| size.is_some());
        let samples = parse(&record, fixed);
        let (n, newest) = match &samples {
            Some(samples) if samples.is_empty() => return Ok(()),
            Some(samples) => {
                (samples.len() as u64, samples.time(samples.len() - 1).max(header.time))
            }
            None => (record.samples(), header.time),
        };
        let lane = self.lanes.of(header.stream);
        let newest = lane.time(newest);
        lane.learn(&header, n, newest);
        let offset = lane.offset;
        self.time.learn(newest, out.now());
        self.keep(record, fixed, newest, out)?;
        let Some(samples) = samples.filter(|_| self.triggers.are_about(header.stream))
        else {
            return self.settle(None, out);
        };
        for sample in samples.iter() {
            // Mostly none, for which nothing is allocated.
            let fired: Vec<_> = self.triggers.look(header.stream, &sample).collect();
            for Trigger { time, what } in fired {
                let time = time.saturating_sub(offset);
                self.trigger(Trigger { time, what }, out)?;
            }
        }
        self.settle(None, out)
    }

    /// Keeps a record for clips to come, and offers it to the one that is open.
    fn keep(
        &mut self,
        record: Record<'_>,
        fixed: Option<bool>,
        newest: i64,
        out: &mut impl Output,
    ) -> Result<()> {
        let Clipper { ring, lanes, .. } = self;
        ring.push(&record, fixed, newest, &mut |kept, payload| {
            let gone = Record::new(kept.header, payload);
            lanes.of(kept.header.stream).forget(&gone, kept.newest);
        });
        if let Some(newest) = self.time.newest() {
            let Lengths { pre, hold, deadline, .. } = self.lengths;
            let old = newest.saturating_sub(pre + hold + deadline);
            ring.drop_before(old, &mut |kept, payload| {
                let gone = Record::new(kept.header, payload);
                lanes.of(kept.header.stream).forget(&gone, kept.newest);
            });
        }
        let Some(clip) = &mut self.open else { return Ok(()) };
        let offer = Offer { record, fixed, since: Since::EVER };
        clip.offer(&offer, self.lanes.of(record.header.stream), out)
    }

    /// Opens a clip, or has the open one reach further.
    pub(crate) fn trigger(
        &mut self,
        trigger: Trigger,
        out: &mut impl Output,
    ) -> Result<()> {
        match &self.open {
            None => self.open(trigger, out)?,
            Some(clip) if trigger.time < clip.window.end => self.extend(&trigger, out)?,
            Some(_) if self.waiting.len() < MAX_WAITING => {
                self.waiting.push_back(trigger);
            }
            Some(clip) => {
                let (n, what) = (clip.number, trigger.what);
                self.voice.tell(&format!("clip {n}: {what}: too many triggers wait"));
            }
        }
        self.settle(None, out)
    }

    /// Opens the clip of the trigger that waits longest, if one does.
    fn open_next(&mut self, out: &mut impl Output) -> Result<()> {
        let Some(trigger) = self.waiting.pop_front() else { return Ok(()) };
        self.open(trigger, out)?;
        // Those behind it may lie within its post-roll.
        while let (Some(clip), Some(next)) = (&self.open, self.waiting.front()) {
            if next.time >= clip.window.end {
                break;
            }
            if let Some(next) = self.waiting.pop_front() {
                self.extend(&next, out)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, trigger: Trigger, out: &mut impl Output) -> Result<()> {
        self.clips += 1;
        let Lengths { pre, post, max, .. } = self.lengths;
        let begin = trigger.time.saturating_sub(pre);
        let limit = begin.saturating_add(max);
        let window = Window { begin, end: trigger.time.saturating_add(post).min(limit) };
        for lane in self.lanes.iter_mut() {
            let description = Arc::clone(&lane.base);
            lane.part = Part { description, ..Part::default() };
        }
        let (session, of_session) = (&self.session, self.lanes.of(0));
        let mut clip =
            Clip::open(self.clips, trigger, (window, limit), session, of_session, out)?;
        self.tell_short(&clip, out)?;
        let mut told = false;
        for (kept, record) in self.ring.iter() {
            if !told && kept.newest >= clip.trigger.time {
                told = true;
                self.tell_trigger(&clip, &clip.trigger, out)?;
            }
            let offer = Offer { record, fixed: kept.fixed, since: Since::EVER };
            clip.offer(&offer, self.lanes.of(kept.header.stream), out)?;
        }
        if !told {
            self.tell_trigger(&clip, &clip.trigger, out)?;
        }
        self.open = Some(clip);
        Ok(())
    }

    /// A trigger within the post-roll: the clip ends so long after this one.
    fn extend(&mut self, trigger: &Trigger, out: &mut impl Output) -> Result<()> {
        let Some(mut clip) = self.open.take() else { return Ok(()) };
        self.tell_trigger(&clip, trigger, out)?;
        let end = trigger.time.saturating_add(self.lengths.post);
        if let Some(old) = clip.reach(end) {
            let mut since = Vec::new();
            for lane in self.lanes.iter_mut() {
                if let Some(done) = lane.part.done.take() {
                    since.push((lane.number, done));
                }
            }
            for (kept, record) in self.ring.iter() {
                let number = kept.header.stream;
                let found = since.binary_search_by_key(&number, |(number, _)| *number);
                let seq = found.map_or(u64::MAX, |at| since[at].1);
                let since = Since { seq, time: old };
                let offer = Offer { record, fixed: kept.fixed, since };
                // A description went out when it came, unless the stream was done.
                if record.header.kind != Kind::STREAM || seq != u64::MAX {
                    clip.offer(&offer, self.lanes.of(number), out)?;
                }
            }
        }
        self.open = Some(clip);
        Ok(())
    }

    /// Closes the clip if all of it is there, or cannot be waited for any longer. `now` is
    /// what the records' clock shows, if it is looked at.
    pub(crate) fn settle(
        &mut self,
        now: Option<i64>,
        out: &mut impl Output,
    ) -> Result<()> {
        let Some(now) = now.max(self.time.newest()) else { return Ok(()) };
        while self.is_complete(now) {
            self.close(now, out)?;
            self.open_next(out)?;
        }
        Ok(())
    }

    #[inline]
    fn is_complete(&self, now: i64) -> bool {
        let Some(clip) = self.open.as_ref().filter(|clip| now >= clip.window.end) else {
            return false;
        };
        let latest = clip.window.end.saturating_add(self.lengths.deadline);
        now >= latest || !self.lanes.iter().any(Lane::is_awaited)
    }

    /// When the open clip cannot be waited for any longer, on this host's clock.
    pub(crate) fn deadline(&self) -> Option<i64> {
        let end = self.open.as_ref()?.window.end;
        Some(self.time.on_host(end.saturating_add(self.lengths.deadline)))
    }

    /// Closes the clip, whose time is over.
    fn close(&mut self, now: i64, out: &mut impl Output) -> Result<()> {
        let Some(clip) = self.open.take() else { return Ok(()) };
        let mut reason = if clip.limited { "max-clip" } else { "clip" };
        if clip.limited {
            let max = Millis(self.lengths.max);
            let text = format!("a trigger asked for more than --max-clip {max}");
            self.say(&clip, ("clip-cut", &text), out)?;
        }
        for lane in self.lanes.iter() {
            if !lane.is_awaited() || !lane.is_stalled(now) {
                continue;
            }
            let name = &lane.name;
            let text = match lane.last {
                Some(last) => {
                    let early = Millis(clip.window.end.saturating_sub(last));
                    format!("{name} stalled: its last sample is {early} before the end")
                }
                None => format!("{name} stalled: it has no sample yet"),
            };
            reason = "stalled";
            self.say(&clip, ("clip-stalled", &text), out)?;
        }
        self.finish(clip, reason, out)
    }

    /// A session is over, and with it its clips.
    pub(crate) fn end(&mut self, ended: &Ended<'_>, out: &mut impl Output) -> Result<()> {
        match self.tag == Some(ended.session) {
            true => self.close_session(ended.reason, out),
            false => Ok(()),
        }
    }

    fn close_session(&mut self, reason: &str, out: &mut impl Output) -> Result<()> {
        while let Some(clip) = self.open.take() {
            let newest = self.time.newest().unwrap_or(clip.window.begin);
            if newest >= clip.window.end {
                self.open = Some(clip);
                self.close(newest, out)?;
            } else {
                let early = Millis(clip.window.end - newest);
                let text = format!("the input ended {early} before the clip: {reason}");
                self.say(&clip, ("clip-cut", &text), out)?;
                self.finish(clip, reason, out)?;
            }
            self.open_next(out)?;
        }
        self.ring.clear();
        self.lanes.clear();
        self.triggers.clear();
        self.time.clear();
        (self.tag, self.session) = (None, Session::default());
        Ok(())
    }

    /// Ends the clip's session. Streams of which nothing came are described in it too.
    fn finish(&mut self, clip: Clip, reason: &str, out: &mut impl Output) -> Result<()> {
        for lane in self.lanes.iter_mut() {
            let next = lane.next;
            clip.begin(lane, next, out)?;
        }
        self.tell_late(&clip, out)?;
        let (number, what, samples) = (clip.number, &clip.trigger.what, clip.samples);
        let length = Millis(clip.window.end - clip.window.begin);
        let text =
            format!("clip {number}: {what}: {samples} samples, {length}, {reason}");
        self.voice.detail(&text);
        clip.end(reason, out)
    }

    /// Says of which streams the pre-roll was too much to keep.
    fn tell_short(&self, clip: &Clip, out: &mut impl Output) -> Result<()> {
        let (begin, time) = (clip.window.begin, clip.trigger.time);
        let pre = Millis(self.lengths.pre);
        for lane in self.lanes.iter() {
            let name = &lane.name;
            if let Some(gone) = lane.gone.filter(|gone| *gone >= begin) {
                let kept = Millis(time.saturating_sub(gone).max(0));
                let text = format!(
                    "of the pre-roll of {name} less than {kept} of {pre} is there: \
                     --memory keeps no more"
                );
                clip.note(time, ("clip-short", &text), self.name(), out)?;
                self.voice.tell(&format!("clip {}: {text}; raise it", clip.number));
            }
        }
        Ok(())
    }

    /// Says which streams began within the pre-roll, or later.
    fn tell_late(&self, clip: &Clip, out: &mut impl Output) -> Result<()> {
        let pre = Millis(self.lengths.pre);
        for lane in self.lanes.iter().filter(|lane| lane.is_late(clip.window.begin)) {
            let name = &lane.name;
            let early = clip.trigger.time.saturating_sub(lane.first.unwrap_or(0));
            let text = if early >= 0 {
                format!("{name} began {} before the trigger, not {pre}", Millis(early))
            } else {
                format!("{name} began {} after the trigger", Millis(-early))
            };
            self.say(clip, ("clip-short", &text), out)?;
        }
        Ok(())
    }

    fn tell_trigger(
        &self,
        clip: &Clip,
        trigger: &Trigger,
        out: &mut impl Output,
    ) -> Result<()> {
        clip.note(trigger.time, ("trigger", &trigger.what), self.name(), out)
    }

    /// Says something in the clip, and with `-v` on stderr.
    fn say(&self, clip: &Clip, note: (&str, &str), out: &mut impl Output) -> Result<()> {
        self.voice.detail(&format!("clip {}: {}", clip.number, note.1));
        clip.note(clip.window.end, note, self.name(), out)
    }

    /// What this stage is called.
    fn name(&self) -> &str {
        self.session.stages.last().map_or("clip-frames", |stage| stage.name.as_str())
    }

    /// Says at the end what was never found.
    pub(crate) fn tell_unmet(&self) {
        for text in self.triggers.unmet() {
            self.voice.tell(&format!("--when '{text}': no such stream came"));
        }
    }
}
