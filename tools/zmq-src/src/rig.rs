//! All that comes from a rig: its streams, events and spikes, each message to its place.

use std::collections::HashSet;

use anyhow::{Result, bail};
use libframe::clock::SECOND;
use libframe::payload::{Event as Told, Value};
use libframe::tool::Feed;
use libframe_zmtp::Parts;

use crate::assembly::{Assembly, Partial};
use crate::block::Arrival;
use crate::choice::Choice;
use crate::listener::Taker;
use crate::message::{self, Body, Columns, Data, Event, Message, Spike};
use crate::numbering::{Numbering, Place};
use crate::outlet::{Outlet, Running};
use crate::spikes::{self, Sent, Spikes};
use crate::trouble::{Trouble, Troubles};

/// Streams of all publishers together.
const MAX_STREAMS: usize = 64;
/// Parts of a message that are looked at.
const MAX_PARTS: usize = 4;
/// An event's text is cut to this.
const MAX_TEXT: usize = 4096;
/// After so long without a message, what there is decides about the channels.
const QUIET: i64 = 2 * SECOND;
/// So long a block that is complete waits for a channel that nobody knows of yet: the plugin
/// sends all of a block in less.
const GRACE: i64 = SECOND / 4000;
/// A block that is not complete after this will not be.
const OLD: i64 = SECOND / 5;

/// What the user wants of a rig.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) choice: Choice,
    pub(crate) partial: Partial,
    pub(crate) arrivals: bool,
}

/// Everything that comes from all publishers.
#[derive(Debug)]
pub(crate) struct Rig {
    wish: Wish,
    publishers: Vec<Publisher>,
    streams: Vec<Stream>,
    names: HashSet<String>,
    spikes: Spikes,
    troubles: Troubles,
    /// Messages that were understood.
    understood: u64,
}

#[derive(Debug)]
struct Publisher {
    endpoint: String,
    numbering: Numbering,
}

/// A stream of the rig on its way.
#[derive(Debug)]
struct Stream {
    publisher: usize,
    /// What the rig calls it.
    name: String,
    assembly: Assembly,
    outlet: Outlet,
    rate: Option<f64>,
    heard: i64,
    /// Something came since it was settled.
    is_fresh: bool,
}

impl Rig {
    pub(crate) fn new(wish: Wish, endpoints: Vec<String>) -> Rig {
        let publisher =
            |endpoint| Publisher { endpoint, numbering: Numbering::default() };
        Rig {
            wish,
            publishers: endpoints.into_iter().map(publisher).collect(),
            streams: Vec::new(),
            names: HashSet::new(),
            spikes: Spikes::default(),
            troubles: Troubles::default(),
            understood: 0,
        }
    }
}

impl Taker for Rig {
    fn take(
        &mut self,
        publisher: usize,
        parts: Parts<'_>,
        at: i64,
        feed: &mut Feed,
    ) -> Result<()> {
        let mut slices = [&[][..]; MAX_PARTS];
        let count = parts.len().min(MAX_PARTS);
        slices.iter_mut().zip(parts.iter()).for_each(|(slice, part)| *slice = part);
        let message = match message::parse(&slices[..count]) {
            Ok(message) => message,
            Err(fault) => {
                self.publishers[publisher].numbering.skip_garbage();
                return self.trouble(publisher, Trouble::Message(fault), feed);
            }
        };
        self.understood += 1;
        let Message { number, published, body } = message;
        let place = self.publishers[publisher].numbering.note(number);
        let arrival = Arrival { at, published: published.unwrap_or(0) };
        match body {
            Body::Data(data) => self.take_data(publisher, &data, place, arrival, feed),
            Body::Event(event) => self.take_event(publisher, &event, at, feed),
            Body::Spike(spike) => self.take_spike(publisher, &spike, at, feed),
            Body::Other => Ok(()),
        }
    }

    /// Sends what is complete.
    fn settle(&mut self, publisher: usize, now: i64, feed: &mut Feed) -> Result<()> {
        for stream in self.streams.iter_mut().filter(|s| s.publisher == publisher) {
            let Stream { assembly, outlet, .. } = stream;
            let running = &mut Running { outlet, feed };
            if now - stream.heard >= QUIET {
                assembly.decide(running)?;
            }
            if stream.is_fresh && now - stream.heard >= GRACE {
                stream.is_fresh = false;
                assembly.settle(running)?;
            }
        }
        Ok(())
    }

    /// Sends what is still held, and says what could not be used.
    fn finish(&mut self, feed: &mut Feed) -> Result<()> {
        let since = feed.clock().now() - OLD;
        for Stream { assembly, outlet, .. } in &mut self.streams {
            assembly.finish(since, &mut Running { outlet, feed })?;
        }
        for (publisher, text) in self.troubles.sums() {
            let endpoint = &self.publishers[publisher].endpoint;
            feed.voice().tell(&format!("{endpoint}: {text}"));
        }
        for Publisher { endpoint, numbering } in &self.publishers {
            // Some of these were samples, which gaps tell; the others may be events, or
            // nothing: the plugin counts messages that it does not send.
            let skipped = numbering.skipped();
            if skipped > 0 {
                feed.tell(&format!("{endpoint}: message numbers skipped: {skipped}"));
                feed.event(0, "skipped", Value::Int(skipped as i64))?;
            }
        }
        if self.understood == 0 && !self.troubles.is_empty() {
            let place = self.publishers.first().map_or("", |first| &first.endpoint);
            bail!(
                "{place}: no message of Open Ephys came; --records takes those of to-zmq, \
                 --raw any"
            );
        }
        Ok(())
    }

    fn deadline(&self) -> Option<i64> {
        let fresh = self.streams.iter().filter(|stream| stream.is_fresh);
        fresh.map(|stream| stream.heard + GRACE).min()
    }

    fn moved(&mut self, publisher: usize, place: &str) {
        self.publishers[publisher].endpoint = place.into();
    }

    fn trouble(
        &mut self,
        publisher: usize,
        trouble: Trouble,
        feed: &mut Feed,
    ) -> Result<()> {
        let endpoint = &self.publishers[publisher].endpoint;
        self.troubles.note((publisher, endpoint), trouble, feed)
    }
}

impl Rig {
    fn take_data(
        &mut self,
        publisher: usize,
        data: &Data<'_>,
        place: Place,
        arrival: Arrival,
        feed: &mut Feed,
    ) -> Result<()> {
        if !self.wish.choice.has_stream(&data.stream) {
            return Ok(());
        }
        if let Columns::One { channel, name } = &data.columns
            && !self.wish.choice.has_channel(*channel, name.as_deref())
        {
            return Ok(());
        }
        if let Columns::All { channels } = data.columns
            && !self.wish.choice.has_all()
        {
            let wanted = |channel: &u32| self.wish.choice.has_channel(*channel, None);
            let wanted: Vec<u32> = (0..channels).filter(wanted).collect();
            return wanted.into_iter().try_for_each(|channel| {
                let one = data.of_channel(channel);
                self.take_data(publisher, &one, place, arrival, feed)
            });
        }
        let Some(at) = self.stream(publisher, &data.stream) else {
            return self.trouble(publisher, Trouble::Crowd, feed);
        };
        let stream = &mut self.streams[at];
        (stream.heard, stream.is_fresh) = (arrival.at, true);
        stream.rate = data.rate.or(stream.rate);
        let Stream { assembly, outlet, .. } = stream;
        let misfit =
            assembly.take(data, place, arrival, &mut Running { outlet, feed })?;
        match misfit {
            Some(misfit) => self.trouble(publisher, Trouble::Misfit(misfit), feed),
            None => Ok(()),
        }
    }

    fn take_event(
        &mut self,
        publisher: usize,
        event: &Event<'_>,
        now: i64,
        feed: &mut Feed,
    ) -> Result<()> {
        if !self.wish.choice.has_stream(&event.stream) {
            return Ok(());
        }
        let stream = self.find(publisher, &event.stream).map(|at| &self.streams[at]);
        let outlet = stream.map(|stream| &stream.outlet);
        let number = outlet.and_then(|outlet| outlet.number).unwrap_or(0);
        let time = outlet.map_or(now, |outlet| outlet.time(event.sample, now));
        let (label, value) = told(event);
        let source = event
            .node
            .as_ref()
            .map_or_else(|| feed.voice().name().to_owned(), |node| node.to_string());
        feed.event_from(number, time, &Told { label, value, source })
    }

    fn take_spike(
        &mut self,
        publisher: usize,
        spike: &Spike<'_>,
        now: i64,
        feed: &mut Feed,
    ) -> Result<()> {
        if !self.wish.choice.has_stream(&spike.stream) {
            return Ok(());
        }
        let Some(at) = self.stream(publisher, &spike.stream) else {
            return self.trouble(publisher, Trouble::Crowd, feed);
        };
        let Stream { outlet, rate, .. } = &self.streams[at];
        let place = spikes::Place {
            stream: &outlet.name,
            port: &self.publishers[publisher].endpoint,
            rate: *rate,
            time: outlet.time(spike.sample, now),
        };
        match self.spikes.send(spike, place, feed)? {
            Sent::Whole => Ok(()),
            Sent::Cut => self.trouble(publisher, Trouble::CutSpike, feed),
            Sent::Crowd => self.trouble(publisher, Trouble::Crowd, feed),
        }
    }

    fn find(&self, publisher: usize, name: &str) -> Option<usize> {
        let is = |stream: &Stream| stream.publisher == publisher && stream.name == name;
        self.streams.iter().position(is)
    }

    /// The stream of that name; a new one if there is none yet and there is room for it.
    fn stream(&mut self, publisher: usize, name: &str) -> Option<usize> {
        if let Some(at) = self.find(publisher, name) {
            return Some(at);
        }
        if self.streams.len() == MAX_STREAMS {
            return None;
        }
        let mut unique = name.to_owned();
        for n in 2.. {
            if self.names.insert(unique.clone()) {
                break;
            }
            unique = format!("{name}-{n}");
        }
        let port = self.publishers[publisher].endpoint.clone();
        self.streams.push(Stream {
            publisher,
            name: name.into(),
            assembly: Assembly::new(self.wish.partial),
            outlet: Outlet::new(unique, port, self.wish.arrivals),
            rate: None,
            heard: i64::MIN / 2,
            is_fresh: false,
        });
        Some(self.streams.len() - 1)
    }
}

/// An event in the words of the pipe.
fn told(event: &Event<'_>) -> (String, Value) {
    if let Some(ttl) = event.ttl() {
        let state = if ttl.on { "on" } else { "off" };
        // All 64 lines, bit by bit.
        return (format!("ttl {} {state}", ttl.line), Value::Int(ttl.word as i64));
    }
    let text = event.payload.split(|byte| *byte == 0).next().unwrap_or_default();
    let value = match event.payload {
        [] => Value::Nil,
        _ => {
            let text = String::from_utf8_lossy(&text[..text.len().min(MAX_TEXT)]);
            Value::Text(text.into_owned())
        }
    };
    (format!("event {}", event.kind), value)
}
