//! Listens to all publishers until it is time to stop.

use anyhow::{Result, bail};
use libframe::clock::SECOND;
use libframe::payload::Value;
use libframe::tool::Feed;
use libframe_zmtp::{Endpoint, Parts};

use crate::line::{Happening, Line, Options};
use crate::trouble::Trouble;

/// After so long it is said that nobody is there.
const PATIENCE: i64 = 5 * SECOND;

/// The nice value of the thread that listens.
const PRIORITY: i32 = -10;

/// What is made of messages.
pub(crate) trait Taker {
    /// Takes a message of a line.
    fn take(
        &mut self,
        line: usize,
        parts: Parts<'_>,
        at: i64,
        feed: &mut Feed,
    ) -> Result<()>;

    /// Nothing more is at hand on that line.
    fn settle(&mut self, line: usize, now: i64, feed: &mut Feed) -> Result<()>;

    /// When to ask it to settle again, if nothing comes.
    fn deadline(&self) -> Option<i64> {
        None
    }

    /// The publisher was found elsewhere.
    fn moved(&mut self, line: usize, place: &str);

    /// The peer does not do as it should.
    fn trouble(&mut self, line: usize, trouble: Trouble, feed: &mut Feed) -> Result<()>;

    /// Says what there is to say at the end, and fails if all was in vain.
    fn finish(&mut self, feed: &mut Feed) -> Result<()>;
}

/// Connections to all publishers.
#[derive(Debug)]
pub(crate) struct Listener {
    lines: Vec<Line>,
    /// Where each is, in words.
    places: Vec<String>,
    begun: i64,
    has_told: bool,
}

impl Listener {
    pub(crate) fn new(
        endpoints: &[Endpoint],
        options: &Options,
        now: i64,
    ) -> Result<Listener> {
        let line =
            |endpoint: &Endpoint| Line::new(endpoint.clone(), options.clone(), now);
        let lines = endpoints.iter().map(line).collect::<Result<_>>()?;
        let places = endpoints.iter().map(Endpoint::to_string).collect();
        Ok(Listener { lines, places, begun: now, has_told: false })
    }

    /// Listens until it is time to stop.
    pub(crate) fn listen(
        &mut self,
        taker: &mut impl Taker,
        feed: &mut Feed,
    ) -> Result<()> {
        // A plugin keeps a thousand messages for us, which is two blocks of 512 channels. On a
        // busy machine this thread comes first, if we may ask for that. It never runs long.
        rustix::process::setpriority_process(None, PRIORITY).unwrap_or_default();
        while feed.is_running() {
            self.turn(taker, feed)?;
            self.say_who_is_missing(feed);
            if self.lines.iter().any(Line::is_busy) {
                continue;
            }
            let fds: Vec<_> = self.lines.iter().flat_map(Line::fds).collect();
            let deadlines = self.lines.iter().map(Line::deadline);
            let deadline = deadlines.chain(taker.deadline()).min();
            feed.wait_any(&fds, deadline)?;
        }
        taker.finish(feed)?;
        self.expect_somebody(feed)
    }

    fn turn(&mut self, taker: &mut impl Taker, feed: &mut Feed) -> Result<()> {
        let clock = feed.clock().clone();
        for (at, (line, place)) in self.lines.iter_mut().zip(&mut self.places).enumerate()
        {
            let mut moved = false;
            line.turn(&clock, &mut |happening| match happening {
                Happening::Message(parts, time) => taker.take(at, parts, time, feed),
                Happening::Drained => taker.settle(at, clock.now(), feed),
                Happening::Moved => {
                    moved = true;
                    Ok(())
                }
                other => tell(at, place, other, taker, feed),
            })?;
            if moved {
                let before = std::mem::replace(place, line.endpoint().to_string());
                feed.voice().tell(&format!("{before}: moved to {place}"));
                feed.event(0, "moved", Value::Text(place.clone()))?;
                taker.moved(at, place);
            }
        }
        Ok(())
    }

    /// Says so if a publisher is waited for; that may be a typing mistake.
    fn say_who_is_missing(&mut self, feed: &Feed) {
        if self.has_told || feed.clock().now() - self.begun < PATIENCE {
            return;
        }
        self.has_told = true;
        for line in self.lines.iter().filter(|line| !line.was_reached()) {
            let (place, why) = (line.endpoint(), line.why());
            feed.voice().tell(&format!("{place}: {why}; waiting for a publisher"));
        }
    }

    /// A run in which nobody was there at all has failed, unless it was cut short.
    fn expect_somebody(&self, feed: &Feed) -> Result<()> {
        let nobody = !self.lines.iter().any(Line::was_reached);
        match self.lines.first() {
            Some(line) if nobody && feed.clock().now() - self.begun >= SECOND => {
                bail!("{}: no publisher: {}", line.endpoint(), line.why())
            }
            _ => Ok(()),
        }
    }
}

fn tell(
    at: usize,
    endpoint: &str,
    happening: Happening<'_>,
    taker: &mut impl Taker,
    feed: &mut Feed,
) -> Result<()> {
    let (label, why) = match happening {
        Happening::Connected => ("connected", None),
        Happening::Heart(true) => ("heartbeat", None),
        Happening::Heart(false) => ("heartbeat-lost", None),
        Happening::Silent(true) => ("silent", None),
        Happening::Silent(false) => ("awake", None),
        Happening::Lost(why) => {
            if why.is_protocol() {
                taker.trouble(at, Trouble::Peer(why.to_string()), feed)?;
            }
            ("disconnected", Some(why))
        }
        Happening::Refused(why) => {
            return taker.trouble(at, Trouble::Peer(why.to_string()), feed);
        }
        Happening::Message(..) | Happening::Drained | Happening::Moved => return Ok(()),
    };
    let reason = why.map_or(String::new(), |why| format!(": {why}"));
    feed.tell(&format!("{endpoint}: {label}{reason}"));
    feed.event(0, label, Value::Text(format!("{endpoint}{reason}")))
}
