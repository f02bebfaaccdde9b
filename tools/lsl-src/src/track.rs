//! A stream on its way to the pipe: its outlets one after the other, what may be missing
//! between them, and what its times tell.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::Result;
use libframe::clock::SECOND;
use libframe::payload::{ClockReading, Reason, Value};
use libframe::schema::Stream;
use libframe::tool::{Feed, Missing};
use libframe_lsl::info::Info;
use libframe_lsl::inlet::{Filled, Inlet};
use libframe_lsl::peer_clock::Offset;
use libframe_lsl::values::nanoseconds;

use crate::contact::Contact;
use crate::form::{Form, MarkersAs, Sender};
use crate::news::{Connected, Outlet};
use crate::roster::{Identity, State};
use crate::timing::Timing;

/// What is read of one outlet before the others have their turn.
const TURNS: u32 = 16;
/// An outlet that nobody found for so long, and that sends nothing, is lost.
const LOST: i64 = 2 * SECOND;
/// Reading that is behind for less has lost nothing.
const BEHIND: i64 = SECOND;
/// An outlet that is being closed may still answer for so long.
const CLOSING: i64 = SECOND / 10;
/// A connection that broke sooner is worth little, and is made again later each time.
const SHORT: i64 = 5 * SECOND;
const MAX_BREAKS: u32 = 7;
/// The key of `meta` that differs for each outlet of a stream.
const UID: &str = "lsl.uid";

/// A stream.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) identity: Identity,
    line: Line,
    /// The outlet whose connection ended last, and until when it does not count that it
    /// answers.
    ended: Option<(Outlet, i64)>,
    /// When the connection began.
    since: i64,
    /// Connections that broke soon, one after the other.
    breaks: u32,
    out: Option<Out>,
    /// When a search found the outlet last.
    seen: i64,
    /// When bytes came last.
    arrived: i64,
    timing: Timing,
    silence: i64,
    is_silent: bool,
    is_lost: bool,
    /// Samples may be missing before the next one, and why.
    doubt: Option<&'static str>,
    backlog: Backlog,
    clock: ClockState,
}

/// The way to the outlet.
#[derive(Debug)]
enum Line {
    /// There is none; it ended as it should, or broke.
    Down { broke: bool },
    /// It is being made; and how the one before ended.
    Making { outlet: Outlet, _contact: Contact, broke: bool },
    /// It stands.
    Up { outlet: Outlet, _contact: Contact, inlet: Inlet },
}

/// The way to the pipe.
#[derive(Debug)]
struct Out {
    number: u16,
    name: String,
    stream: Stream,
    sender: Sender,
    /// 'connected' or 'recovered' is to be told when the stream's clock is known.
    greeting: Option<&'static str>,
}

/// How far reading is behind, and whether the outlet may have dropped what it kept for us.
#[derive(Debug, Default)]
struct Backlog {
    /// When all had been read.
    empty_at: i64,
    /// Samples since then.
    came: u64,
    /// Samples that the outlet keeps.
    limit: u64,
    /// So long its buffer lasts at the stream's rate; `None` if there is none.
    lasts: Option<i64>,
}

/// What is known of the outlet's clock.
#[derive(Debug, Default)]
struct ClockState {
    offset: Option<Offset>,
    /// It is the clock of the outlet that there is now.
    is_current: bool,
    /// It did not answer, and that was told.
    is_mute: bool,
}

impl Track {
    pub(crate) fn new(info: &Info, silence: i64, now: i64) -> Track {
        Track {
            identity: Identity::of(info),
            line: Line::Down { broke: false },
            ended: None,
            since: now,
            breaks: 0,
            out: None,
            seen: now,
            arrived: now,
            timing: Timing::default(),
            silence,
            is_silent: false,
            is_lost: false,
            doubt: None,
            backlog: Backlog::default(),
            clock: ClockState::default(),
        }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.out.as_ref().map(|out| out.name.as_str())
    }

    /// Whether it has anything in the pipe, or will have.
    pub(crate) fn is_worth_keeping(&self) -> bool {
        self.out.is_some() || !matches!(self.line, Line::Down { .. })
    }

    pub(crate) fn outlet(&self) -> Option<&Outlet> {
        match &self.line {
            Line::Down { .. } => None,
            Line::Making { outlet, .. } | Line::Up { outlet, .. } => Some(outlet),
        }
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.line {
            Line::Up { inlet, .. } => Some(inlet.as_fd()),
            _ => None,
        }
    }

    /// What decides whether an outlet that appears may be its own.
    pub(crate) fn state(&self, answers: bool, now: i64) -> State {
        match self.line {
            Line::Down { .. } => State::Down,
            _ => State::Up { answers, is_alive: now - self.arrived < SECOND / 2 },
        }
    }

    /// Notes that a search has found its outlet.
    pub(crate) fn found(&mut self, now: i64) {
        self.seen = now;
    }

    /// Begins with an outlet. What there was before ends.
    pub(crate) fn begin(
        &mut self,
        info: &Info,
        outlet: Outlet,
        contact: Contact,
        now: i64,
        feed: &mut Feed,
    ) -> Result<()> {
        if matches!(self.line, Line::Up { .. }) {
            self.end(true, "another outlet has taken its place", feed)?;
        }
        self.identity = Identity::of(info);
        let broke = matches!(self.line, Line::Down { broke: true });
        self.line = Line::Making { outlet, _contact: contact, broke };
        self.seen = now;
        Ok(())
    }

    /// No connection can be had.
    pub(crate) fn fail(&mut self) {
        if let Line::Making { broke, .. } = self.line {
            self.line = Line::Down { broke };
        }
    }

    /// Whether an outlet that answered then is one whose connection has ended since.
    pub(crate) fn has_ended(&self, uid: &str, seen: i64) -> bool {
        self.ended.as_ref().is_some_and(|(outlet, at)| **outlet == *uid && seen <= *at)
    }

    /// Goes on with a connection that stands. `name` makes a name that no other stream has.
    pub(crate) fn connect(
        &mut self,
        connected: Connected,
        markers: MarkersAs,
        limit: u32,
        name: impl FnOnce(&str) -> String,
        feed: &mut Feed,
    ) -> Result<()> {
        let line = std::mem::replace(&mut self.line, Line::Down { broke: true });
        let Line::Making { outlet, _contact, .. } = line else { return Ok(()) };
        let Connected { info, inlet, .. } = connected;
        self.line = Line::Up { outlet, _contact, inlet };
        let (stream, form) = Form::of(&info, markers);
        let is_first = self.announce(stream, form, name, feed)?;
        let now = feed.clock().now();
        self.timing.set_rate(info.rate);
        self.timing.connect();
        self.doubt = (!is_first).then_some("the outlet started anew");
        (self.arrived, self.seen, self.since) = (now, now, now);
        self.is_silent = false;
        self.clock.is_current = false;
        let lasts = f64::from(limit) / info.rate * SECOND as f64;
        self.backlog = Backlog {
            empty_at: now,
            came: 0,
            limit: u64::from(limit),
            lasts: (info.rate > 0.0).then_some(lasts.min(1e18) as i64),
        };
        if !is_first {
            self.is_lost = false;
            self.tell("recovered", feed);
        }
        // The first samples may have come with the answer.
        self.take(now, feed)
    }

    /// Opens the stream in the pipe, or says how it has changed; whether it is a new one.
    fn announce(
        &mut self,
        mut stream: Stream,
        form: Form,
        name: impl FnOnce(&str) -> String,
        feed: &mut Feed,
    ) -> Result<bool> {
        if let Some(out) = &mut self.out
            && out.sender.form == form
        {
            stream.name.clone_from(&out.name);
            if !is_same(&stream, &out.stream) {
                feed.describe(out.number, stream.clone())?;
                out.stream = stream;
            }
            out.greeting = Some("recovered");
            return Ok(false);
        }
        stream.name = name(&stream.name);
        stream.version = 0;
        let number = match form {
            Form::Events => feed.open_aside(&stream)?,
            _ => feed.open(&stream)?,
        };
        let remote = self.identity.host().to_owned();
        let monotonic = feed.clock().now();
        let reading = ClockReading { monotonic, remote, ..ClockReading::default() };
        feed.clock_of(number, &reading)?;
        self.timing = Timing::default();
        self.clock = ClockState::default();
        self.out = Some(Out {
            number,
            name: stream.name.clone(),
            stream,
            sender: Sender::new(form),
            greeting: Some("connected"),
        });
        Ok(true)
    }

    /// Reads what has come.
    pub(crate) fn read(&mut self, feed: &mut Feed) -> Result<()> {
        for _ in 0..TURNS {
            let Line::Up { inlet, .. } = &mut self.line else { return Ok(()) };
            let filled = inlet.fill();
            let now = feed.clock().now();
            match filled {
                Ok(Filled::Full | Filled::Some) => {
                    let is_all = matches!(filled, Ok(Filled::Some));
                    self.take(now, feed)?;
                    if is_all {
                        return self.caught_up(now, feed);
                    }
                }
                Ok(Filled::Nothing) => return self.caught_up(now, feed),
                Ok(Filled::End) => {
                    let is_cut = inlet.has_rest();
                    let why = match is_cut {
                        true => "the connection ended within a sample",
                        false => "the outlet has closed",
                    };
                    return self.end(is_cut, why, feed);
                }
                Err(err) => return self.broken(&err, feed),
            }
        }
        Ok(())
    }

    fn broken(&mut self, err: &io::Error, feed: &mut Feed) -> Result<()> {
        self.end(true, &format!("the connection broke: {err}"), feed)
    }

    /// Sends the samples that were read.
    fn take(&mut self, now: i64, feed: &mut Feed) -> Result<()> {
        self.arrived = now;
        if self.is_silent || self.is_lost {
            self.come_back(feed)?;
        }
        let fault = loop {
            let Line::Up { inlet, .. } = &mut self.line else { return Ok(()) };
            let Some(out) = &mut self.out else { return Ok(()) };
            let layout = inlet.layout();
            let sample = match inlet.sample() {
                Ok(Some(sample)) => sample,
                Ok(None) => return Ok(()),
                Err(fault) => break fault,
            };
            let time = nanoseconds(sample.time);
            let step = self.timing.step(time, now);
            self.backlog.came += 1;
            if self.doubt.is_some() || !step.fits {
                let overran = self.backlog.may_have_overrun(now) && step.last.is_some();
                let is_step = overran && self.timing.is_regular() && !step.fits;
                let why = self.doubt.take().filter(|_| !step.fits);
                let why = why.or(is_step.then_some("the outlet's buffer for us overran"));
                if let Some(detail) = why {
                    let (from, to) = (step.last, Some(time));
                    let reason = Reason::Transport;
                    let missing =
                        Missing { reason, from, to, detail, ..Missing::default() };
                    feed.missing(out.number, &missing)?;
                }
            }
            if let Some(label) = out.greeting.take() {
                let host = Value::Text(self.identity.host().into());
                feed.event_at(out.number, time, label, host)?;
            }
            if let Some(ahead) = step.jump {
                let seconds = ahead as f64 / SECOND as f64;
                feed.event_at(out.number, time, "clock-jump", Value::Float(seconds))?;
                feed.tell(&format!("{}: its clock jumped by {seconds} s", out.name));
            }
            out.sender.send(out.number, time, sample.values, &layout, feed)?;
        };
        // Where the next sample would begin is not known.
        self.end(true, &fault.to_string(), feed)
    }

    /// All that was there has been read.
    pub(crate) fn caught_up(&mut self, now: i64, feed: &mut Feed) -> Result<()> {
        let is_open = self.backlog.may_have_overrun(now) && !self.timing.is_regular();
        if let (true, Some(out)) = (is_open, &self.out) {
            let detail = "the outlet's buffer for us may have overrun";
            let (reason, from) = (Reason::Transport, self.timing.last());
            let to = Some(self.there(now));
            let missing = Missing { reason, from, to, detail, ..Missing::default() };
            feed.missing(out.number, &missing)?;
        }
        (self.backlog.empty_at, self.backlog.came) = (now, 0);
        Ok(())
    }

    /// The connection has ended.
    fn end(&mut self, broke: bool, why: &str, feed: &mut Feed) -> Result<()> {
        let now = feed.clock().now();
        // One that breaks again and again is tried less and less often.
        let is_short = broke && now - self.since < SHORT;
        self.breaks = if is_short { (self.breaks + 1).min(MAX_BREAKS) } else { 0 };
        let until =
            now + CLOSING.max(SECOND / 2 * i64::from(is_short)) * (1 << self.breaks);
        self.ended = self.outlet().cloned().map(|outlet| (outlet, until));
        self.line = Line::Down { broke };
        if let Some(out) = &self.out {
            feed.voice().tell(&format!("{}: lost: {why}", out.name));
            if !self.is_lost {
                self.event("lost", Value::Text(why.into()), feed)?;
            }
        }
        (self.is_lost, self.is_silent) = (true, false);
        Ok(())
    }

    /// Looks whether it is silent, or lost.
    pub(crate) fn tick(&mut self, now: i64, feed: &mut Feed) -> Result<()> {
        if !matches!(self.line, Line::Up { .. }) || self.out.is_none() {
            return Ok(());
        }
        let quiet = now - self.arrived;
        let patience = self.timing.patience(self.silence);
        if !self.is_silent && !self.is_lost && patience.is_some_and(|time| quiet >= time)
        {
            self.is_silent = true;
            self.tell(&format!("silent for {:.1} s", quiet as f64 / SECOND as f64), feed);
            self.event("silent", Value::Nil, feed)?;
        }
        let is_gone = now - self.seen >= LOST && quiet >= LOST;
        if is_gone && !self.is_lost {
            self.is_lost = true;
            self.tell("lost: it does not answer any more", feed);
            self.event("lost", Value::Text("it does not answer any more".into()), feed)?;
        } else if self.is_lost && !is_gone {
            self.is_lost = false;
            self.tell("recovered", feed);
            self.event("recovered", Value::Text(self.identity.host().into()), feed)?;
        }
        Ok(())
    }

    /// Samples come again.
    #[cold]
    fn come_back(&mut self, feed: &mut Feed) -> Result<()> {
        if std::mem::take(&mut self.is_lost) {
            self.tell("recovered", feed);
            self.event("recovered", Value::Text(self.identity.host().into()), feed)?;
        }
        if std::mem::take(&mut self.is_silent) {
            self.tell("awake", feed);
            self.event("awake", Value::Nil, feed)?;
        }
        Ok(())
    }

    /// Passes on what its clock showed. A clock that does not answer is told once.
    pub(crate) fn measured(
        &mut self,
        offset: Option<Offset>,
        feed: &mut Feed,
    ) -> Result<()> {
        let Some(measured) = offset else {
            if !self.clock.is_current && !std::mem::replace(&mut self.clock.is_mute, true)
            {
                self.tell(
                    "its clock does not answer; its times cannot be compared yet",
                    feed,
                );
            }
            return Ok(());
        };
        let before = self.clock.offset.replace(measured);
        let was_current = std::mem::replace(&mut self.clock.is_current, true);
        let Some(out) = &mut self.out else { return Ok(()) };
        let reading = ClockReading {
            monotonic: measured.at,
            remote: self.identity.host().to_owned(),
            offset: Some(measured.offset),
            round_trip: Some(measured.round_trip),
            ..ClockReading::default()
        };
        feed.clock_of(out.number, &reading)?;
        let (number, greeting) = (out.number, out.greeting.take());
        let there = feed.clock().now().saturating_add(measured.offset);
        if let Some(label) = greeting {
            let host = Value::Text(self.identity.host().into());
            feed.event_at(number, there, label, host)?;
        }
        if let Some(before) = before.filter(|_| was_current)
            && let Some(ahead) = jump(before, measured)
        {
            let seconds = ahead as f64 / SECOND as f64;
            self.tell(&format!("its clock jumped by {seconds} s"), feed);
            feed.event_at(number, there, "clock-jump", Value::Float(seconds))?;
        }
        Ok(())
    }

    /// Tells what is open at the end.
    pub(crate) fn finish(&mut self, feed: &mut Feed) -> Result<()> {
        let Some(out) = &self.out else { return Ok(()) };
        let number = out.number;
        if let Some(label) = self.out.as_mut().and_then(|out| out.greeting.take()) {
            self.event(label, Value::Text(self.identity.host().into()), feed)?;
        }
        let detail = match self.line {
            Line::Down { broke: true } => {
                Some("the connection broke, and did not come back")
            }
            Line::Up { .. } if self.is_lost => Some("it did not answer any more"),
            Line::Up { .. } => self.doubt,
            _ => None,
        };
        let now = feed.clock().now();
        if let Some(detail) = detail {
            let (from, to) = (self.timing.last(), Some(self.there(now)));
            let reason = Reason::Transport;
            feed.missing(
                number,
                &Missing { reason, from, to, detail, ..Missing::default() },
            )?;
        }
        let cut = self.out.as_ref().map_or(0, |out| out.sender.cut);
        if cut > 0 {
            self.tell(&format!("markers over 64 KiB, which were cut: {cut}"), feed);
        }
        Ok(())
    }

    /// Sends an event of the stream, at this instant of its clock.
    fn event(&self, label: &str, value: Value, feed: &mut Feed) -> Result<()> {
        let Some(out) = &self.out else { return Ok(()) };
        feed.event_at(out.number, self.there(feed.clock().now()), label, value)
    }

    fn tell(&self, what: &str, feed: &Feed) {
        let name = self.name().unwrap_or_default();
        feed.voice().tell(&format!("{name}: {what}"));
    }

    /// An instant of our clock on that of the stream, as far as anything tells.
    fn there(&self, now: i64) -> i64 {
        let by_clock = self.clock.offset.filter(|_| self.clock.is_current);
        let by_clock = by_clock.map(|measured| now.saturating_add(measured.offset));
        by_clock.or_else(|| self.timing.there(now)).unwrap_or(now)
    }
}

impl Backlog {
    fn may_have_overrun(&self, now: i64) -> bool {
        let behind = now - self.empty_at;
        match self.lasts {
            Some(lasts) => behind >= lasts.max(BEHIND),
            None => behind >= BEHIND && self.came >= self.limit,
        }
    }
}

/// How far a clock went ahead between two measurements, if that is more than these may be
/// wrong and any crystal may drift.
fn jump(before: Offset, now: Offset) -> Option<i64> {
    let ahead = now.offset.saturating_sub(before.offset);
    let drift = now.at.saturating_sub(before.at) / 2000;
    let doubt = 1_000_000 + drift + before.round_trip + now.round_trip;
    (ahead.abs() > doubt).then_some(ahead)
}

/// Whether two descriptions are the same, but for the outlet.
fn is_same(a: &Stream, b: &Stream) -> bool {
    let plain = |stream: &Stream| {
        let mut plain = Stream { version: 0, ..stream.clone() };
        plain.meta.remove(UID);
        plain
    };
    plain(a) == plain(b)
}
