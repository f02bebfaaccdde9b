//! The one session that the sessions of all inputs become.
//!
//! It begins with the first sample, since by then every input has announced what it has,
//! or has had its time to: names are then given alike, whichever input was first. Numbers,
//! times and bytes of samples stay as they are. Where a clock is not that of the merged
//! session, CLOCK records on its streams say how far it is off.

use anyhow::Result;
use libframe::clock::{Clock, SECOND};
use libframe::crc::crc32c;
use libframe::payload::{ClockReading, Event, Payload, Session, Stats, Value};
use libframe::schema::{Media, Stream};
use libframe::tool::{Identity, Output};
use libframe::wire::{Header, Kind, Record};

use crate::clocks::Clocks;
use crate::input::{Input, Start};
use crate::routes::Names;
use crate::union::Union;

/// What may be held back before the session begins.
const MAX_EARLY: usize = 1 << 20;
/// Sessions that may end before it begins.
const MAX_OVER: usize = 1024;
/// How often a stream's CLOCK is repeated for those who join late, ns.
const CLOCK_INTERVAL: i64 = 10 * SECOND;

/// The merged session.
pub(crate) struct Joined {
    inputs: Vec<Input>,
    union: Union,
    clocks: Clocks,
    /// That of this host.
    own_clock: usize,
    names: Names,
    name: String,
    start: Start,
    tag: u32,
    begun: bool,
    /// What came before the session began, by input.
    early: Vec<(usize, Header, Vec<u8>)>,
    early_bytes: usize,
    /// Sessions of inputs that ended before it began.
    over: Vec<(usize, u32)>,
    /// What makes comparable times those of the session's clock.
    origin: i64,
    announced: i64,
}

impl Joined {
    pub(crate) fn new(labels: &[String], identity: Identity) -> Joined {
        let own = identity.new_session(&Clock::system());
        // As if it were of this host, until its SESSION comes.
        let key = own.start_realtime.saturating_sub(own.start_monotonic);
        let inputs = labels.iter().map(|label| Input::new(label, key)).collect();
        let mut clocks = Clocks::default();
        Joined {
            inputs,
            own_clock: clocks.of(&own),
            tag: crc32c(own.uuid.as_bytes()),
            start: Start::of(&own),
            origin: key,
            union: Union::new(own),
            clocks,
            names: Names::default(),
            name: identity.name,
            begun: false,
            early: Vec::new(),
            early_bytes: 0,
            over: Vec::new(),
            announced: i64::MIN,
        }
    }

    /// A capture time of an input, comparable with those of all others.
    #[inline]
    pub(crate) fn time(&self, input: usize, header: &Header) -> i64 {
        let Input { timeline, key, .. } = &self.inputs[input];
        timeline.time(header.session, header.stream, header.time).saturating_add(*key)
    }

    /// Its tag, and the place of this stage in it, once it has begun.
    pub(crate) fn session(&self) -> Option<(u32, usize)> {
        self.begun.then(|| (self.tag, self.union.place()))
    }

    /// A comparable time on the session's clock.
    pub(crate) fn on_its_clock(&self, time: i64) -> i64 {
        time.saturating_sub(self.origin)
    }

    /// An instant of this host's clock on the session's.
    pub(crate) fn here(&self, now: i64) -> i64 {
        now.saturating_sub(self.clocks.shift(self.own_clock))
    }

    /// Takes a record of an input.
    #[inline]
    pub(crate) fn record(
        &mut self,
        at: usize,
        record: Record<'_>,
        out: &mut impl Output,
    ) -> Result<()> {
        if record.header.kind.has_samples() && self.begun {
            return self.samples(at, record, out);
        }
        self.learn(at, &record, out)?;
        if record.header.kind == Kind::SESSION {
            return Ok(());
        }
        let starts =
            record.header.kind.has_samples() || record.header.kind == Kind::EVENT;
        let len = record.wire_len();
        let fits = self.early_bytes + len <= MAX_EARLY && self.over.len() < MAX_OVER;
        if !self.begun && !starts && fits {
            self.early_bytes += len;
            self.early.push((at, record.header, record.payload.to_vec()));
            return Ok(());
        }
        self.begin(out)?;
        self.pass(at, record, out)
    }

    /// A session of an input is over.
    pub(crate) fn ended(&mut self, at: usize, tag: u32) {
        if self.begun {
            self.inputs[at].routes.forget(tag);
            self.inputs[at].timeline.forget(tag);
        } else {
            self.over.push((at, tag));
        }
    }

    /// Begins, if it has not: there may have been nothing but announcements.
    pub(crate) fn finish(&mut self, out: &mut impl Output) -> Result<()> {
        let silent = self.inputs.iter().all(|input| input.sessions.is_empty());
        if silent && self.early.is_empty() { Ok(()) } else { self.begin(out) }
    }

    /// Puts into the stream that an input stalls, or goes on.
    pub(crate) fn tell_stall(
        &mut self,
        label: &str,
        stalled: bool,
        out: &mut impl Output,
    ) -> Result<()> {
        if !self.begun {
            return Ok(());
        }
        let what = if stalled { "stalled" } else { "resumed" };
        let (value, source) = (Value::Text(label.into()), self.name.clone());
        let event = Event { label: what.into(), value, source };
        send(out, self.tag, 0, self.here(out.now()), &event)
    }

    /// Learns what a record says of clocks, names and sessions.
    fn learn(
        &mut self,
        at: usize,
        record: &Record<'_>,
        out: &mut impl Output,
    ) -> Result<()> {
        let header = record.header;
        match header.kind {
            Kind::SESSION => {
                if let Ok(session) = Session::from_bytes(record.payload) {
                    self.learn_session(at, &header, &session, out)?;
                }
            }
            Kind::CLOCK => {
                if let Ok(reading) = ClockReading::from_bytes(record.payload) {
                    self.learn_clock(at, &header, &reading);
                }
            }
            Kind::STREAM if !self.begun => {
                if let Ok(stream) = Stream::from_bytes(record.payload) {
                    self.names.announce(stream.name, at);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn learn_session(
        &mut self,
        at: usize,
        header: &Header,
        session: &Session,
        out: &mut impl Output,
    ) -> Result<()> {
        let input = &mut self.inputs[at];
        let known = input.clock_of(header.session);
        let clock = known.unwrap_or_else(|| self.clocks.of(session));
        input.enter(header.session, clock);
        input.first.get_or_insert_with(|| (Start::of(session), clock));
        let news = self.union.learn(at, header.session, &input.label, session);
        self.rate_clocks();
        if !self.begun {
            return Ok(());
        }
        if !self.clocks.has_reference() {
            // All that joined before was late, and told nothing of its clock.
            self.refer_to(clock);
            self.start = Start::of(session);
        }
        let now = header.time.saturating_sub(self.clocks.shift(clock));
        let due = now.abs_diff(self.announced) >= SECOND as u64;
        if news || due { self.announce(now, out) } else { Ok(()) }
    }

    fn learn_clock(&mut self, at: usize, header: &Header, reading: &ClockReading) {
        let input = &mut self.inputs[at];
        input.timeline.learn_clock(header.session, header.stream, reading);
        let clock = input.clock_of(header.session).filter(|_| header.stream == 0);
        let realtime = reading.realtime.filter(|_| reading.remote.is_empty());
        if let (Some(clock), Some(realtime)) = (clock, realtime) {
            self.clocks.learn(clock, realtime.saturating_sub(reading.monotonic));
            self.rate_clocks();
        }
    }

    /// Computes anew what makes the times of all inputs comparable.
    fn rate_clocks(&mut self) {
        for input in &mut self.inputs {
            if let Some((_, clock)) = input.sessions.last() {
                input.key = self.clocks.key(*clock);
            }
        }
    }

    fn refer_to(&mut self, clock: usize) {
        self.clocks.refer_to(clock);
        self.origin = self.clocks.key(clock);
        self.rate_clocks();
    }

    /// Begins the session, with what is known of all inputs: the first of them that has
    /// told its clock gives it to the session, and the earliest its start.
    fn begin(&mut self, out: &mut impl Output) -> Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        let mut known = self.inputs.iter().filter_map(|input| input.first.as_ref());
        if let Some((start, clock)) = known.next() {
            let (start, clock) = (start.clone(), *clock);
            self.refer_to(clock);
            let begun = |(start, clock): &(Start, usize)| {
                start.monotonic.saturating_sub(self.clocks.shift(*clock))
            };
            let known = self.inputs.iter().filter_map(|input| input.first.as_ref());
            let monotonic = known.map(begun).min().unwrap_or(start.monotonic);
            self.start = start.moved_to(monotonic);
        }
        self.names.settle();
        self.announce(self.start.monotonic, out)?;
        self.early.sort_by_key(|(at, ..)| *at);
        for (at, header, payload) in std::mem::take(&mut self.early) {
            self.pass(at, Record::new(header, &payload), out)?;
        }
        let over = std::mem::take(&mut self.over);
        over.into_iter().for_each(|(at, tag)| self.ended(at, tag));
        Ok(())
    }

    /// Announces the session. Only the very first announcement has its start as time.
    fn announce(&mut self, time: i64, out: &mut impl Output) -> Result<()> {
        let first = self.announced == i64::MIN;
        self.announced = time;
        let Start { host, boot_id, realtime, monotonic } = self.start.clone();
        let session = Session {
            host,
            boot_id,
            start_realtime: realtime,
            start_monotonic: monotonic,
            ..self.union.session()
        };
        let time = if first { time } else { time.max(monotonic.saturating_add(1)) };
        send(out, self.tag, 0, time, &session)
    }

    #[inline]
    fn samples(
        &mut self,
        at: usize,
        record: Record<'_>,
        out: &mut impl Output,
    ) -> Result<()> {
        let stream = self.number(at, &record.header)?;
        out.send(record.with_header(Header {
            session: self.tag,
            stream,
            ..record.header
        }))
    }

    /// The number that a stream of an input has here.
    #[inline]
    fn number(&mut self, at: usize, header: &Header) -> Result<u16> {
        let routes = &mut self.inputs[at].routes;
        let place = routes.find(header.session, header.stream, &mut self.names)?;
        Ok(routes.get(place).number)
    }

    /// Passes on a record of an input as one of this session.
    fn pass(
        &mut self,
        at: usize,
        record: Record<'_>,
        out: &mut impl Output,
    ) -> Result<()> {
        let header = record.header;
        let clock = self.inputs[at].clock_of(header.session);
        let foreign = clock.filter(|clock| self.clocks.is_foreign(*clock));
        match (header.kind, header.stream, foreign) {
            (Kind::STREAM, 1.., _) => self.describe(at, record, foreign, out),
            (Kind::CLOCK, _, Some(clock)) => self.pass_clock(at, record, clock, out),
            (Kind::EVENT, 0, Some(clock)) => self.pass_event(at, record, clock, out),
            (Kind::STATS, ..) => self.pass_stats(at, record, foreign, out),
            (_, 0, _) => {
                let (session, time) = (self.tag, self.session_time(&header, foreign));
                out.send(record.with_header(Header { session, time, ..header }))
            }
            _ => self.samples(at, record, out),
        }
    }

    /// The time of a record of the session itself: not one that was captured, and so put
    /// on the clock of this session.
    fn session_time(&self, header: &Header, foreign: Option<usize>) -> i64 {
        header.time.saturating_sub(foreign.map_or(0, |clock| self.clocks.shift(clock)))
    }

    fn pass_stats(
        &mut self,
        at: usize,
        record: Record<'_>,
        foreign: Option<usize>,
        out: &mut impl Output,
    ) -> Result<()> {
        let header = record.header;
        let (session, time) = (self.tag, self.session_time(&header, foreign));
        let header = Header { session, time, ..header };
        let Ok(mut stats) = Stats::from_bytes(record.payload) else {
            return out.send(record.with_header(header));
        };
        let base = self.union.base(at, record.header.session) as u32;
        stats.index = stats.index.saturating_add(base);
        out.send(Record::new(header, &stats.to_bytes()))
    }

    fn describe(
        &mut self,
        at: usize,
        record: Record<'_>,
        foreign: Option<usize>,
        out: &mut impl Output,
    ) -> Result<()> {
        let header = record.header;
        let Input { routes, label, .. } = &mut self.inputs[at];
        let place = routes.find(header.session, header.stream, &mut self.names)?;
        let route = routes.get(place);
        let payload = route.announcement(&record, (at, label), &mut self.names);
        let header = Header { session: self.tag, stream: route.number, ..header };
        match payload {
            Some(payload) => out.send(Record::new(header, &payload))?,
            None => out.send(record.with_header(header))?,
        }
        match foreign {
            Some(clock) => self.tell_clock(at, place, clock, (header.time, None), out),
            None => Ok(()),
        }
    }

    /// An event of a session on another clock. Its time was captured, so it must not be
    /// changed; and the session itself cannot have a second clock, so it is put in a
    /// stream of its own.
    fn pass_event(
        &mut self,
        at: usize,
        record: Record<'_>,
        clock: usize,
        out: &mut impl Output,
    ) -> Result<()> {
        let (name, media) = ("events".into(), Media::Event);
        let stream = Stream { name, media, ..Stream::default() }.to_bytes();
        let header = Header { kind: Kind::STREAM, ..record.header };
        self.describe(at, Record::new(header, &stream), Some(clock), out)?;
        self.samples(at, record, out)
    }

    /// What another host's wall clock showed is told of each of its streams. What is told
    /// of a stream's own clock is put on the clock of this session.
    fn pass_clock(
        &mut self,
        at: usize,
        record: Record<'_>,
        clock: usize,
        out: &mut impl Output,
    ) -> Result<()> {
        let header = record.header;
        let Ok(mut reading) = ClockReading::from_bytes(record.payload) else {
            return Ok(());
        };
        if header.stream != 0 {
            let shift = self.clocks.shift(clock);
            reading.monotonic = reading.monotonic.saturating_sub(shift);
            reading.offset = reading.offset.map(|offset| offset.saturating_add(shift));
            let stream = self.number(at, &header)?;
            return send(out, self.tag, stream, header.time, &reading);
        }
        if reading.remote.is_empty() {
            for place in self.inputs[at].routes.of(header.session) {
                self.inputs[at].routes.get(place).clock = None;
                let instant = (reading.monotonic, reading.error);
                self.tell_clock(at, place, clock, instant, out)?;
            }
        }
        Ok(())
    }

    /// Says how far the clock of a stream is from that of this session, unless it did so a
    /// short while ago.
    fn tell_clock(
        &mut self,
        at: usize,
        place: usize,
        clock: usize,
        (time, error): (i64, Option<i64>),
        out: &mut impl Output,
    ) -> Result<()> {
        let Input { routes, timeline, .. } = &mut self.inputs[at];
        let route = routes.get(place);
        let own = timeline.offset(route.tag, route.stream);
        let offset = self.clocks.shift(clock).saturating_add(own);
        let said = route.clock.filter(|(known, _)| *known == offset);
        if said.is_some_and(|(_, last)| time.saturating_sub(last) < CLOCK_INTERVAL) {
            return Ok(());
        }
        route.clock = Some((offset, time));
        let instant = time.saturating_sub(own);
        let reading = ClockReading {
            monotonic: time.saturating_sub(offset),
            realtime: Some(instant.saturating_add(self.clocks.wall(clock))),
            error,
            remote: self.clocks.host(clock).into(),
            offset: Some(offset),
            round_trip: None,
        };
        send(out, self.tag, route.number, time, &reading)
    }
}

fn send<P: Payload>(
    out: &mut impl Output,
    session: u32,
    stream: u16,
    time: i64,
    payload: &P,
) -> Result<()> {
    let header =
        Header { kind: P::KIND, flags: 0, stream, session, seq: 0, time, sent: 0 };
    out.send(Record::new(header, &payload.to_bytes()))
}
