//! Put events in: from keys, lines on a FIFO, signals, or times.

mod keys;
mod terminal;

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use libframe::catalog::Catalog;
use libframe::payload::{Event, Payload as _, Session, Value};
use libframe::tool::{
    self, Cue, Cues, Ended, Filter, Output, Planned, StreamTime, Voice,
};
use libframe::wire::{Header, Kind, Record};
use signal_hook::consts::SIGUSR2;

use crate::keys::KeyMap;
use crate::terminal::Terminal;

const EXAMPLES: &str = "Examples:
  sim-src sine --duration 2s | mark-frames --event trial/500ms | to-text -k event
  mkfifo marks; sim-src --duration 1s | mark-frames --fifo marks > x.frames & echo hit 5 > marks; wait";

/// Put events in: from keys, lines on a FIFO, signals, or times.
///
/// Everything else passes. An event has the time at which the key was hit, the line written
/// or the signal sent, also if the tool was busy then, and stands before all samples that
/// were captured later. Its source is 'key', 'fifo', 'signal' or 'timer'. Among records of
/// another time or host it has theirs.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Keys of the terminal are events: 's=start,space=hit', or each as the value of 'key'
    #[arg(long, value_name = "KEY=LABEL,...", num_args = 0..=1, default_missing_value = "",
          value_parser = KeyMap::parse)]
    keys: Option<KeyMap>,

    /// Lines on this FIFO are events, 'LABEL' or 'LABEL VALUE'. It is made if there is none
    #[arg(long, value_name = "PATH")]
    fifo: Option<PathBuf>,

    /// The label of the events that SIGUSR2 makes, and empty lines on the FIFO
    #[arg(long, value_name = "LABEL", default_value = "mark")]
    mark: String,

    /// An event at this time after the session's start, or each time: hit@2s, hit=5@2s,
    /// hit/2s; may be repeated
    #[arg(long = "event", value_name = "LABEL[=VALUE]@TIME", value_parser = Planned::parse)]
    events: Vec<Planned>,
}

struct Mark {
    label: String,
    keys: KeyMap,
    planned: Vec<Planned>,
    /// Put back at the end.
    _terminal: Option<Terminal>,
    cues: Cues,
    time: StreamTime,
    place: Option<Place>,
    voice: Voice,
}

/// Where events go: the session that is read.
struct Place {
    tag: u32,
    /// Its start; `None` until it is announced.
    start: Option<i64>,
    /// What is still to come in it.
    planned: Vec<Planned>,
}

fn main() -> ExitCode {
    tool::filter::<Mark>()
}

impl Filter for Mark {
    type Args = Args;

    fn open(args: Args) -> Result<Mark> {
        let mut cues = Cues::new()?;
        cues.listen_to_signal(SIGUSR2, "")?;
        if let Some(path) = &args.fifo {
            cues.listen_to_fifo(path)?;
        }
        let terminal = args.keys.is_some().then(Terminal::open).transpose()?;
        if let Some(terminal) = &terminal {
            keys::listen(terminal.reader()?, cues.inbox())?;
        }
        Ok(Mark {
            label: args.mark,
            keys: args.keys.unwrap_or_default(),
            planned: args.events,
            _terminal: terminal,
            cues,
            time: StreamTime::default(),
            place: None,
            voice: Voice::default(),
        })
    }

    fn voice(&mut self, voice: Voice) {
        self.voice = voice;
    }

    fn session(&mut self, tag: u32, session: &Session) {
        self.time.session(session);
        let start = session.start_monotonic;
        match &mut self.place {
            Some(place) if place.tag == tag => place.start = Some(start),
            _ => {
                let planned = self.planned.clone();
                self.place = Some(Place { tag, start: Some(start), planned });
            }
        }
    }

    fn record(
        &mut self,
        record: Record<'_>,
        _catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        let header = record.header;
        if self.place.as_ref().is_none_or(|place| place.tag != header.session) {
            self.place = Some(Place {
                tag: header.session,
                start: None,
                planned: self.planned.clone(),
            });
        }
        if header.kind.has_samples() {
            let joined = self.time.newest().is_none();
            self.time.learn(header.time, out.now());
            self.send_planned(header.time, joined, out)?;
        }
        if self.cues.any() {
            self.send_cues(out)?;
        }
        out.send(record)
    }

    fn deadline(&self) -> Option<i64> {
        if self.place.is_some() && self.cues.any() {
            return Some(i64::MIN);
        }
        let place = self.place.as_ref()?;
        let next = place.planned.iter().map(|event| event.next).min()?;
        let time = place.start?.saturating_add(next);
        (next != i64::MAX).then(|| self.time.on_host(time))
    }

    fn tick(&mut self, now: i64, out: &mut impl Output) -> Result<()> {
        self.send_cues(out)?;
        self.send_planned(self.time.at(now), false, out)
    }

    fn watch(&self) -> Option<BorrowedFd<'_>> {
        // What comes before the first record waits for it.
        self.place.as_ref().map(|_| self.cues.wake())
    }

    fn end(&mut self, ended: &Ended<'_>, out: &mut impl Output) -> Result<()> {
        if self.place.as_ref().is_some_and(|place| place.tag == ended.session) {
            self.send_cues(out)?;
            self.place = None;
            self.time.clear();
        }
        Ok(())
    }
}

impl Mark {
    fn send_cues(&mut self, out: &mut impl Output) -> Result<()> {
        let Some(tag) = self.place.as_ref().map(|place| place.tag) else { return Ok(()) };
        while let Some(cue) = self.cues.take() {
            if let Some(event) = self.event(&cue) {
                self.send(tag, self.time.at(cue.time), &event, out)?;
            }
        }
        Ok(())
    }

    /// What a cue means.
    fn event(&self, cue: &Cue) -> Option<Event> {
        let (label, value) = match cue.source {
            "key" => self.keys.event(&cue.text)?,
            _ => cue.text.split_once(char::is_whitespace).unwrap_or((&cue.text, "")),
        };
        let label = if label.is_empty() { &self.label } else { label };
        let value = Value::read(value.trim());
        Some(Event { label: label.into(), value, source: cue.source.into() })
    }

    /// Sends the events whose time has come. Those from before a late reader joined are
    /// none of its.
    fn send_planned(
        &mut self,
        now: i64,
        joined: bool,
        out: &mut impl Output,
    ) -> Result<()> {
        let Some(place) = &mut self.place else { return Ok(()) };
        let Some(start) = place.start else { return Ok(()) };
        let mut due = Vec::new();
        let old = |time: i64| joined && now.saturating_sub(time) > OLD;
        for event in &mut place.planned {
            while event.next != i64::MAX && start.saturating_add(event.next) <= now {
                let time = start.saturating_add(event.next);
                if !old(time) {
                    due.push((time, event.label.clone(), event.value.clone()));
                }
                event.go_on();
            }
        }
        let tag = place.tag;
        due.sort_by_key(|(time, ..)| *time);
        for (time, label, value) in due {
            let event = Event { label, value, source: "timer".into() };
            self.send(tag, time, &event, out)?;
        }
        Ok(())
    }

    fn send(
        &self,
        session: u32,
        time: i64,
        event: &Event,
        out: &mut impl Output,
    ) -> Result<()> {
        self.voice.detail(&format!("{} ({})", event.label, event.source));
        let kind = Kind::EVENT;
        let header = Header { kind, flags: 0, stream: 0, session, seq: 0, time, sent: 0 };
        out.send(Record::new(header, &event.to_bytes()))
    }
}

/// How far the first samples that come may lie after the session's start.
const OLD: i64 = libframe::clock::SECOND;
