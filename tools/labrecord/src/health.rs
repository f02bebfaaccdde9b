//! How each stream of a recording is, from its records alone, without I/O.
//!
//! Times here are those of whoever calls: a stream is silent when nothing of it has come for
//! a while, whatever its own clock says.

use std::collections::VecDeque;

use libframe::catalog::Catalog;
use libframe::clock::SECOND;
use libframe::decoder::{Cause, Damage};
use libframe::ledger::{SessionLedger, StreamLedger};
use libframe::payload::{End, Event, Gap, Payload as _, Value};
use libframe::schema::{Media, Stream};
use libframe::wire::{Kind, Record};
use serde_json::json;

/// A stream with a rate is silent after this long, or ten samples if that is longer.
const SILENT: i64 = 3 * SECOND;
/// A stream that is announced this long after the recording began came late.
const LATE: i64 = 3 * SECOND;
/// Rates are over this long.
const WINDOW: i64 = 5 * SECOND;
/// News that nobody has fetched yet.
const MAX_NEWS: usize = 1000;

/// The streams of one recording.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// When the first stream came; the rest is none without.
    began: Option<i64>,
    catalog: Catalog,
    ledger: SessionLedger,
    session: u32,
    streams: Vec<Lane>,
    damage: u64,
    end: Option<String>,
    bytes: u64,
    news: VecDeque<String>,
}

/// One stream.
#[derive(Debug)]
struct Lane {
    number: u16,
    name: String,
    host: String,
    kind: String,
    nominal: Option<f64>,
    /// Whether samples must come at its rate.
    is_regular: bool,
    joined: i64,
    /// When samples came last.
    last: Option<i64>,
    state: State,
    /// When, and how many samples had come.
    window: VecDeque<(i64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No sample has come yet.
    Waiting,
    Good,
    Silent,
    /// Its source is gone.
    Lost,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Good => "good",
            State::Silent => "silent",
            State::Lost => "lost",
        }
    }
}

impl Lane {
    fn new(number: u16, stream: &Stream, now: i64) -> Lane {
        let meta = |key: &str| stream.meta.get(key).cloned().unwrap_or_default();
        let is_samples = !matches!(stream.media, Media::Event | Media::Text);
        let mut lane = Lane {
            number,
            name: stream.name.clone(),
            host: meta("lsl.hostname"),
            kind: meta("lsl.type"),
            nominal: stream.rate,
            is_regular: is_samples && stream.rate.is_some_and(|rate| rate > 0.0),
            joined: now,
            last: None,
            state: State::Waiting,
            window: VecDeque::new(),
        };
        lane.window.push_back((now, 0));
        lane
    }

    fn title(&self) -> String {
        // One of two streams of the same name has its host in it.
        match self.host.is_empty() || self.name.ends_with(&format!("({})", self.host)) {
            true => self.name.clone(),
            false => format!("{} ({})", self.name, self.host),
        }
    }

    /// How long it may be silent.
    fn patience(&self) -> i64 {
        let ten = self.nominal.map_or(0.0, |rate| 10.0 * SECOND as f64 / rate);
        SILENT.max(ten as i64)
    }

    /// Samples a second, lately.
    fn rate(&self) -> f64 {
        let (Some(first), Some(last)) = (self.window.front(), self.window.back()) else {
            return 0.0;
        };
        let seconds = (last.0 - first.0) as f64 / SECOND as f64;
        if seconds > 0.0 { (last.1 - first.1) as f64 / seconds } else { 0.0 }
    }

    fn note_rate(&mut self, now: i64, samples: u64) {
        while self.window.len() > 1 && now - self.window[1].0 >= WINDOW {
            self.window.pop_front();
        }
        self.window.push_back((now, samples));
    }
}

impl Health {
    /// Takes what came.
    pub(crate) fn take(&mut self, record: &Record<'_>, now: i64) {
        let (kind, number) = (record.header.kind, record.header.stream);
        self.session = record.header.session;
        self.bytes += record.wire_len() as u64;
        match kind {
            Kind::STREAM => self.describe(record, now),
            Kind::DATA | Kind::BATCH => {
                if let Some(ledger) = self.ledger.stream(number) {
                    let header = &record.header;
                    ledger.take(header.seq, record.samples(), header.time);
                }
                if let Some(at) = self.lane(number) {
                    self.awake(at, now);
                    self.streams[at].last = Some(now);
                }
            }
            Kind::GAP => {
                if let Ok(gap) = Gap::from_bytes(record.payload) {
                    self.gap(number, &gap);
                }
            }
            Kind::EVENT => {
                if let Ok(event) = Event::from_bytes(record.payload) {
                    self.event(number, &event, now);
                }
            }
            Kind::END => {
                let end = End::from_bytes(record.payload).unwrap_or_default();
                self.end = Some(end.reason);
            }
            _ => {}
        }
    }

    /// Counts bytes that are no records.
    pub(crate) fn damaged(&mut self, damage: &Damage) {
        self.damage += u64::from(damage.cause != Cause::Late);
    }

    /// Looks who is silent. To be called each second.
    pub(crate) fn look(&mut self, now: i64) {
        for at in 0..self.streams.len() {
            let samples = self.samples(self.streams[at].number);
            let lane = &mut self.streams[at];
            lane.note_rate(now, samples);
            let since = now - lane.last.unwrap_or(lane.joined);
            if lane.is_regular && since >= lane.patience() {
                self.silent(at, since);
            }
        }
    }

    /// What was to be told since this was last asked.
    pub(crate) fn news(&mut self) -> Vec<String> {
        self.news.drain(..).collect()
    }

    fn describe(&mut self, record: &Record<'_>, now: i64) {
        if !self.catalog.learn(record).unwrap_or(false) {
            return;
        }
        let number = record.header.stream;
        let Some(stream) = self.catalog.of(record) else { return };
        let lane = Lane::new(number, stream, now);
        match self.lane(number) {
            // A description that changed; what came stays.
            Some(at) => {
                let old = &mut self.streams[at];
                (old.name, old.host, old.kind) = (lane.name, lane.host, lane.kind);
                (old.nominal, old.is_regular) = (lane.nominal, lane.is_regular);
            }
            None => {
                let late = now - self.began.unwrap_or(now);
                if late >= LATE {
                    let seconds = late as f64 / SECOND as f64;
                    self.tell(format!(
                        "{}: joined {seconds:.1} s after the start",
                        lane.title()
                    ));
                }
                self.began.get_or_insert(now);
                self.streams.push(lane);
            }
        }
    }

    fn lane(&self, number: u16) -> Option<usize> {
        self.streams.iter().position(|lane| lane.number == number)
    }

    fn awake(&mut self, at: usize, now: i64) {
        let lane = &mut self.streams[at];
        let (before, last) = (lane.state, lane.last);
        lane.state = State::Good;
        if matches!(before, State::Silent | State::Lost) {
            let since = now - last.unwrap_or(lane.joined);
            let seconds = since as f64 / SECOND as f64;
            let title = lane.title();
            self.tell(format!("{title}: samples come again, after {seconds:.1} s"));
        }
    }

    fn silent(&mut self, at: usize, since: i64) {
        let lane = &mut self.streams[at];
        let (title, seconds) = (lane.title(), since as f64 / SECOND as f64);
        let told = match lane.state {
            State::Good => format!("{title}: no samples for {seconds:.1} s"),
            State::Waiting => {
                format!("{title}: no sample yet, {seconds:.1} s after it joined")
            }
            State::Silent | State::Lost => return,
        };
        lane.state = State::Silent;
        self.tell(told);
    }

    fn gap(&mut self, number: u16, gap: &Gap) {
        let Some(ledger) = self.ledger.stream(number) else { return };
        ledger.gap(gap);
        let count = gap.count.map_or("an unknown number of".into(), |n| n.to_string());
        let detail = match gap.detail.is_empty() {
            true => gap.reason.name(),
            false => &gap.detail,
        };
        let title = self.title(number);
        self.tell(format!("{title}: {count} samples lost: {detail}"));
    }

    /// What the source says of a stream. What is in a stream of markers is not about it.
    fn event(&mut self, number: u16, event: &Event, now: i64) {
        let Some(at) = self.lane(number) else { return };
        let lane = &mut self.streams[at];
        let value = match &event.value {
            Value::Text(text) => format!(": {text}"),
            _ => String::new(),
        };
        match event.label.as_str() {
            _ if !lane.is_regular && lane.nominal.is_none() && lane.kind == "Markers" => {
                lane.last = Some(now);
                lane.state = State::Good;
            }
            "lost" if lane.state != State::Lost => {
                lane.state = State::Lost;
                let title = lane.title();
                self.tell(format!("{title}: its source is gone{value}"));
            }
            "silent" if lane.is_regular => {
                self.silent(at, now - self.streams[at].last.unwrap_or(now))
            }
            "clock-jump" => {
                let title = lane.title();
                self.tell(format!("{title}: its clock jumped{value}"));
            }
            _ => {}
        }
    }

    fn title(&self, number: u16) -> String {
        let lane = self.lane(number).map(|at| self.streams[at].title());
        lane.unwrap_or_else(|| self.catalog.name(self.session, number))
    }

    fn samples(&self, number: u16) -> u64 {
        let ledger = self.ledgers().find(|(other, _)| *other == number);
        ledger.map_or(0, |(_, ledger)| ledger.samples())
    }

    fn tell(&mut self, news: String) {
        if self.news.len() < MAX_NEWS {
            self.news.push_back(news);
        }
    }

    /// Whether any stream has been announced.
    pub(crate) fn has_streams(&self) -> bool {
        !self.streams.is_empty()
    }

    /// When the first stream came.
    pub(crate) fn began(&self) -> Option<i64> {
        self.began
    }

    /// Why the source ended, by its END.
    pub(crate) fn end(&self) -> Option<&str> {
        self.end.as_deref()
    }

    /// Places that could not be read.
    pub(crate) fn damage(&self) -> u64 {
        self.damage
    }

    /// The accounts of all streams, by number.
    pub(crate) fn ledgers(&self) -> impl Iterator<Item = (u16, &StreamLedger)> {
        self.ledger.streams().filter(|(number, _)| *number != 0)
    }

    /// A stream's name for people.
    pub(crate) fn name(&self, number: u16) -> String {
        self.title(number)
    }

    /// Streams, samples, bytes, and samples known to be lost.
    pub(crate) fn totals(&self) -> (usize, u64, u64, u64) {
        let sum = |of: fn(&StreamLedger) -> u64| {
            self.ledgers().fold(0_u64, |sum, (_, ledger)| sum.saturating_add(of(ledger)))
        };
        let (samples, lost) = (sum(StreamLedger::samples), sum(StreamLedger::lost));
        (self.streams.len(), samples, self.bytes, lost)
    }

    /// All streams as JSON.
    pub(crate) fn json(&self, now: i64) -> serde_json::Value {
        let seconds = |ns: i64| ns as f64 / SECOND as f64;
        let stream = |lane: &Lane| {
            let ledger = self.ledgers().find(|(number, _)| *number == lane.number);
            let ledger = ledger.map(|(_, ledger)| ledger);
            json!({
                "name": lane.name,
                "host": lane.host,
                "type": lane.kind,
                "state": lane.state.name(),
                "nominal_rate": lane.nominal,
                "rate": (lane.rate() * 1000.0).round() / 1000.0,
                "samples": ledger.map_or(0, StreamLedger::samples),
                "lost": ledger.map_or(0, StreamLedger::lost),
                "unknown_losses": ledger.map_or(0, StreamLedger::unknown),
                "age": lane.last.map(|last| seconds(now - last)),
            })
        };
        self.streams.iter().map(stream).collect()
    }
}

#[cfg(test)]
mod tests;
