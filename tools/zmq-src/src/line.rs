//! The connection to one publisher: found, kept, and found again.

use std::os::fd::BorrowedFd;

use anyhow::{Result, bail};
use libframe::clock::{Clock, SECOND};
use libframe_zmtp::{Endpoint, Fault, Incoming, Limits, Parts, Subscriber};

use crate::heart::{Greeting, Heart, Search};

/// Messages taken before the other lines have their turn.
const TURN: usize = 1024;
/// How long a plugin may be out of reach before it is looked for elsewhere.
const OUT_OF_REACH: i64 = SECOND;
/// How long it may be silent, if it does not answer either.
const SILENT: i64 = 2 * SECOND;
/// How often it is looked for.
const SEARCH: i64 = 3 * SECOND;
/// How often to see to what has no time of its own.
const LOOK: i64 = SECOND / 4;
/// Data of one message, with room for JSON.
const LIMITS: Limits = Limits { message: 17 << 20, parts: 64 };

/// How to keep a connection.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// How long to wait for a publisher at the start; `None` for ever.
    pub(crate) wait: Option<i64>,
    /// After how long without messages to say so; 0 for never.
    pub(crate) silence: i64,
    /// What to say to a plugin; `None` where there is none.
    pub(crate) greeting: Option<Greeting>,
    /// How many pairs of ports to look at.
    pub(crate) pairs: u16,
    /// What to subscribe to.
    pub(crate) prefixes: Vec<String>,
    /// All endpoints of the command line.
    pub(crate) endpoints: Vec<Endpoint>,
}

/// What happens on a line.
#[derive(Debug)]
pub(crate) enum Happening<'a> {
    Connected,
    /// A message, and when it came.
    Message(Parts<'a>, i64),
    /// Nothing more is at hand.
    Drained,
    Lost(Fault),
    /// It could not be reached, for a reason that time does not mend.
    Refused(Fault),
    /// The plugin answers, or does not any more.
    Heart(bool),
    /// The plugin was found elsewhere.
    Moved,
    /// Messages have stopped, or begun again.
    Silent(bool),
}

/// A connection to one publisher.
#[derive(Debug)]
pub(crate) struct Line {
    options: Options,
    /// Where it is by the command line.
    base: Endpoint,
    subscriber: Subscriber,
    heart: Option<Heart>,
    search: Option<Search>,
    next_search: i64,
    begun: i64,
    ever: bool,
    /// When something came last, or the connection was made or lost.
    heard: i64,
    is_silent: bool,
    is_busy: bool,
    /// When the last turn was.
    looked: i64,
    why: Option<Fault>,
}

impl Line {
    pub(crate) fn new(base: Endpoint, options: Options, now: i64) -> Result<Line> {
        Ok(Line {
            subscriber: subscriber(&base, &options)?,
            options,
            base,
            heart: None,
            search: None,
            next_search: now + OUT_OF_REACH,
            begun: now,
            ever: false,
            heard: now,
            is_silent: false,
            is_busy: false,
            looked: now,
            why: None,
        })
    }

    /// Where the publisher is.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.subscriber.endpoint()
    }

    /// Whether it was ever reached.
    pub(crate) fn was_reached(&self) -> bool {
        self.ever
    }

    /// Whether it is there.
    pub(crate) fn is_connected(&self) -> bool {
        self.subscriber.is_connected()
    }

    /// Why it cannot be reached.
    pub(crate) fn why(&self) -> String {
        let why = self.why.as_ref().map_or("no answer".into(), Fault::to_string);
        why.split(" (os error").next().unwrap_or_default().into()
    }

    /// Does what is to be done, and tells what happens.
    pub(crate) fn turn(
        &mut self,
        clock: &Clock,
        tell: &mut impl FnMut(Happening<'_>) -> Result<()>,
    ) -> Result<()> {
        let now = clock.now();
        self.looked = now;
        self.subscriber.tick(now)?;
        self.is_busy = true;
        for _ in 0..TURN {
            match self.subscriber.next()? {
                Some(Incoming::Message(parts)) => {
                    self.heard = clock.now();
                    if std::mem::take(&mut self.is_silent) {
                        tell(Happening::Silent(false))?;
                    }
                    tell(Happening::Message(parts, self.heard))?;
                }
                Some(Incoming::Connected) => {
                    (self.ever, self.why) = (true, None);
                    (self.heard, self.is_silent) = (now, false);
                    self.search = None;
                    self.heart = self.new_heart(now)?;
                    tell(Happening::Connected)?;
                }
                Some(Incoming::Lost { why }) => {
                    self.heart = None;
                    self.heard = now;
                    self.next_search = now + OUT_OF_REACH;
                    tell(Happening::Lost(why))?;
                }
                Some(Incoming::Failed { why }) => {
                    self.why = Some(why.clone());
                    if why.is_protocol() {
                        tell(Happening::Refused(why))?;
                    }
                }
                None => {
                    self.is_busy = false;
                    tell(Happening::Drained)?;
                    break;
                }
            }
        }
        self.look_for_life(now, tell)?;
        self.look_elsewhere(now, tell)?;
        self.give_up(now)
    }

    fn new_heart(&self, now: i64) -> Result<Option<Heart>> {
        let port = self.endpoint().neighbour(1);
        let Some((port, greeting)) = port.zip(self.options.greeting.clone()) else {
            return Ok(None);
        };
        Ok(Some(Heart::new(port, greeting, now)?))
    }

    fn look_for_life(
        &mut self,
        now: i64,
        tell: &mut impl FnMut(Happening<'_>) -> Result<()>,
    ) -> Result<()> {
        if let Some(heart) = &mut self.heart
            && let Some(beats) = heart.turn(now)?
        {
            tell(Happening::Heart(beats))?;
        }
        let silence = self.options.silence;
        let connected = self.subscriber.is_connected();
        if silence > 0 && connected && !self.is_silent && now - self.heard >= silence {
            self.is_silent = true;
            tell(Happening::Silent(true))?;
        }
        Ok(())
    }

    /// Looks at the next pairs of ports, if the plugin is not where it should be.
    fn look_elsewhere(
        &mut self,
        now: i64,
        tell: &mut impl FnMut(Happening<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(greeting) = &self.options.greeting else { return Ok(()) };
        let found = match &mut self.search {
            Some(search) => search.turn(now)?,
            None => None,
        };
        if let Some(place) = found {
            self.search = None;
            self.next_search = now + SEARCH;
            let from = self.subscriber.is_connected();
            self.subscriber = subscriber(&place, &self.options)?;
            (self.heart, self.heard) = (None, now);
            if from {
                tell(Happening::Lost(Fault::Silent))?;
            }
            return tell(Happening::Moved);
        }
        if self.search.as_ref().is_some_and(|search| search.is_over(now)) {
            self.search = None;
            self.next_search = now + SEARCH;
        }
        if self.search.is_none() && now >= self.next_search && self.is_missed(now) {
            let here = self.endpoint().clone();
            let others = &self.options.endpoints;
            let except = |data: &Endpoint| {
                *data == here || data != &self.base && others.contains(data)
            };
            let pairs = self.options.pairs;
            self.search = Some(Search::new(&self.base, pairs, except, greeting, now)?);
        }
        Ok(())
    }

    fn is_missed(&self, now: i64) -> bool {
        if !self.subscriber.is_connected() {
            return true;
        }
        let beats = self.heart.as_ref().is_some_and(Heart::beats);
        !beats && now - self.heard >= SILENT
    }

    /// A publisher that was not there in time is an error.
    fn give_up(&self, now: i64) -> Result<()> {
        let Some(wait) = self.options.wait.filter(|_| !self.ever) else { return Ok(()) };
        // With no time at all, one attempt is still made.
        if now - self.begun < wait
            || wait == 0 && self.why.is_none() && now - self.begun < SECOND
        {
            return Ok(());
        }
        bail!(
            "{}: no publisher: {}; --wait says how long to wait for one",
            self.base,
            self.why()
        )
    }

    /// Whether more is at hand.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// What to wait for.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let heart = self.heart.iter().map(Heart::fd);
        let search = self.search.iter().flat_map(Search::fds);
        std::iter::once(self.subscriber.fd()).chain(heart).chain(search)
    }

    /// When the next turn is due at the latest.
    pub(crate) fn deadline(&self) -> i64 {
        let silent = match self.options.silence {
            0 => None,
            silence => Some(self.heard + silence).filter(|_| !self.is_silent),
        };
        let silent = silent.filter(|_| self.subscriber.is_connected());
        let heart = self.heart.as_ref().map(Heart::deadline);
        let search = self.search.as_ref().map(Search::deadline);
        let times = [Some(self.subscriber.deadline()), silent, heart, search];
        let next = times.into_iter().flatten().min().unwrap_or(i64::MAX);
        // Whether it is missed, or has been waited for long enough.
        next.min(self.looked.saturating_add(LOOK))
    }
}

fn subscriber(endpoint: &Endpoint, options: &Options) -> Result<Subscriber> {
    let prefixes: Vec<_> = options.prefixes.iter().map(String::as_bytes).collect();
    Ok(Subscriber::with_prefixes(endpoint.clone(), LIMITS, &prefixes)?)
}
