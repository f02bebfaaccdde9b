//! All streams at once: outlets are found, connected and read, on the pipe's thread. It
//! sleeps until something comes.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use libframe::clock::SECOND;
use libframe::tool::{Feed, Wake};
use libframe_lsl::info::Info;
use libframe_lsl::peer_clock::Offset;
use libframe_lsl::resolver::Found;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::choice::{Choice, full_name};
use crate::contact::{Contact, Terms};
use crate::form::MarkersAs;
use crate::news::{self, Connected, Desk, Inbox, News};
use crate::roster::{Identity, Newcomers, Verdict, unique};
use crate::scout::Scout;
use crate::track::Track;

/// How often to look after streams that are silent.
const PAUSE: i64 = SECOND / 4;
/// Streams at once.
const MAX_TRACKS: usize = 1000;
/// Outlets that could not be reached are tried again after this.
const AGAIN: i64 = 2 * SECOND;
/// So soon somebody who asked for streams wants to know that there are none.
const NOBODY: i64 = 5 * SECOND;
/// What an outlet keeps for us at most, and at least.
const BUFFER: (f64, f64) = (1000.0, 1e7);
/// Samples a second that are reckoned with if there is no rate; liblsl does the same.
const IRREGULAR: f64 = 100.0;
/// Troubles with strangers that are told.
const MAX_TROUBLES: usize = 100;

/// How to record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) wait: i64,
    pub(crate) markers: MarkersAs,
    pub(crate) clock_interval: i64,
    pub(crate) silence: i64,
    pub(crate) buffer: i64,
}

/// All streams.
pub(crate) struct Reception {
    choice: Choice,
    manner: Manner,
    inbox: Inbox,
    desk: Desk,
    tracks: Vec<Track>,
    newcomers: Newcomers,
    /// Outlets that could not be reached, and when to try again.
    refused: HashMap<String, i64>,
    /// What was told of strangers.
    troubles: Vec<String>,
    /// No search has come back yet; then which streams there are has not been decided.
    is_start: bool,
    /// That nothing was found was told.
    is_told: bool,
    begun: i64,
}

impl Reception {
    pub(crate) fn new(choice: Choice, manner: Manner) -> Result<Reception> {
        let (desk, inbox) = news::open()?;
        Ok(Reception {
            choice,
            manner,
            inbox,
            desk,
            tracks: Vec::new(),
            newcomers: Newcomers::default(),
            refused: HashMap::new(),
            troubles: Vec::new(),
            is_start: true,
            is_told: false,
            begun: 0,
        })
    }

    /// Records until it is time to stop.
    pub(crate) fn run(mut self, feed: &mut Feed) -> Result<()> {
        self.begun = feed.clock().now();
        let scout = Scout::start(&self.choice, self.desk.clone())?;
        let result = self.record(feed);
        drop(scout);
        result?;
        let Reception { mut tracks, is_start, choice, .. } = self;
        tracks.iter_mut().try_for_each(|track| track.finish(feed))?;
        let words = choice.words();
        let is_nothing = tracks.iter().all(|track| track.name().is_none());
        if is_start && !choice.required().is_empty() {
            bail!("stopped before all streams were there that --require names");
        }
        if is_nothing && !words.is_empty() {
            bail!("no stream was there that is {words}; --list shows those that are");
        }
        Ok(())
    }

    fn record(&mut self, feed: &mut Feed) -> Result<()> {
        let mut ready = Vec::new();
        while feed.is_running() {
            let until = feed.clock().now() + PAUSE;
            let mut fds = vec![self.inbox.as_fd()];
            fds.extend(self.tracks.iter().filter_map(Track::fd));
            let wake = feed.wait_any(&fds, Some(until))?;
            drop(fds);
            if wake == Wake::Stop {
                break;
            }
            // Also when nothing came: then nobody has anything that waits for us.
            if self.read(&mut ready, feed)? {
                self.inbox.hush();
                while let Some(news) = self.inbox.take() {
                    self.hear(news, feed)?;
                }
            }
            self.look_after(feed)?;
        }
        // What is here already came in time.
        self.read(&mut ready, feed).map(drop)
    }

    /// Reads all outlets that have sent something. Whether there are news as well.
    fn read(&mut self, ready: &mut Vec<bool>, feed: &mut Feed) -> Result<bool> {
        let has_news = look(&self.inbox, &self.tracks, ready)?;
        for (track, is_ready) in self.tracks.iter_mut().zip(ready.iter()) {
            if *is_ready {
                track.read(feed)?;
            } else {
                track.caught_up(feed.clock().now(), feed)?;
            }
        }
        Ok(has_news)
    }

    fn hear(&mut self, news: News, feed: &mut Feed) -> Result<()> {
        match news {
            News::NoSearch(why) => bail!(why),
            News::Streams(found, troubles) => {
                troubles.into_iter().for_each(|trouble| self.complain(trouble, feed));
                self.take_streams(&found, feed)
            }
            News::Connected(connected) => self.connect(*connected, feed),
            News::Failed(outlet, why) => {
                let until = feed.clock().now() + AGAIN;
                self.refused.insert(outlet.to_string(), until);
                self.complain(why, feed);
                if let Some(track) = self.track_of(&outlet) {
                    track.fail();
                }
                self.tracks.retain(Track::is_worth_keeping);
                Ok(())
            }
            News::Clock(outlet, offset) => self.measured(&outlet, offset, feed),
        }
    }

    /// Finds out which streams have gone and come.
    fn take_streams(&mut self, found: &[Found], feed: &mut Feed) -> Result<()> {
        if self.is_start && !self.is_complete(found, feed)? {
            return Ok(());
        }
        let now = feed.clock().now();
        let is_there = |uid: &str| found.iter().any(|one| one.info.uid == uid);
        self.refused.retain(|uid, until| now < *until && is_there(uid));
        self.newcomers.keep(is_there);
        for track in &mut self.tracks {
            if track.outlet().is_some_and(|outlet| is_there(outlet)) {
                track.found(now);
            }
        }
        for one in found {
            let uid = one.info.uid.as_str();
            let is_known = self
                .tracks
                .iter()
                .any(|track| track.outlet().is_some_and(|o| **o == *uid));
            let has_ended =
                self.tracks.iter().any(|track| track.has_ended(uid, one.seen));
            if is_known || has_ended || self.refused.contains_key(uid) {
                continue;
            }
            let identity = Identity::of(&one.info);
            let streams = self.tracks.iter().map(|track| {
                let answers = track.outlet().is_some_and(|outlet| is_there(outlet));
                (&track.identity, track.state(answers, now))
            });
            let verdict =
                self.newcomers.judge(uid, &identity, streams, self.is_start, now);
            self.follow(verdict, one, now, feed)?;
        }
        self.is_start = false;
        Ok(())
    }

    fn follow(
        &mut self,
        verdict: Verdict,
        found: &Found,
        now: i64,
        feed: &mut Feed,
    ) -> Result<()> {
        let info = &found.info;
        let at = match verdict {
            Verdict::Wait => return Ok(()),
            Verdict::Goes(at) => at,
            Verdict::New if self.tracks.len() >= MAX_TRACKS => {
                let more = format!("more than {MAX_TRACKS} streams; name those you want");
                self.complain(more, feed);
                return Ok(());
            }
            Verdict::New => {
                self.tracks.push(Track::new(info, self.manner.silence, now));
                self.tracks.len() - 1
            }
        };
        if info.channel_count == 0 {
            self.complain(format!("stream '{}' has no channels", info.name), feed);
            self.refused.insert(info.uid.clone(), i64::MAX);
            self.tracks.retain(Track::is_worth_keeping);
            return Ok(());
        }
        let interval = self.manner.clock_interval.max(0) as u64;
        let terms = Terms {
            buffer: buffer(info, self.manner.buffer),
            clock_interval: Duration::from_nanos(interval),
        };
        let outlet: Arc<str> = info.uid.as_str().into();
        let contact = Contact::start(found, outlet.clone(), terms, self.desk.clone())?;
        self.tracks[at].begin(info, outlet, contact, now, feed)
    }

    /// Whether all are there that must be. Fails when they have been waited for too long.
    fn is_complete(&mut self, found: &[Found], feed: &Feed) -> Result<bool> {
        let is_there =
            |name: &&crate::choice::Name| !found.iter().any(|one| name.is_of(&one.info));
        let missing: Vec<_> = self.choice.required().iter().filter(is_there).collect();
        if missing.is_empty() || feed.clock().now() - self.begun < self.manner.wait {
            return Ok(missing.is_empty());
        }
        let names: Vec<_> =
            missing.iter().map(|name| format!("'{}'", name.text)).collect();
        let there: Vec<_> =
            found.iter().map(|one| format!("'{}'", full_name(&one.info))).collect();
        let there = match there.is_empty() {
            true => "no stream".into(),
            false => there.join(", "),
        };
        bail!("required and not there: {}; found: {there}", names.join(", "))
    }

    fn connect(&mut self, connected: Connected, feed: &mut Feed) -> Result<()> {
        if let Some(trouble) = &connected.trouble {
            let name = &connected.info.name;
            let trouble =
                format!("{name}: its full description cannot be used: {trouble}");
            self.complain(trouble, feed);
        }
        let names: Vec<(String, String)> = self
            .tracks
            .iter()
            .filter_map(|t| Some((t.name()?.to_owned(), t.identity.host().to_owned())))
            .collect();
        let host = connected.info.hostname.clone();
        let own = |name: &str| {
            let is_taken = |name: &str| names.iter().any(|(taken, _)| taken == name);
            let has_host = names.iter().any(|(taken, of)| taken == name && *of == host);
            unique(name, &host, is_taken, has_host)
        };
        let markers = self.manner.markers;
        let limit = buffer(&connected.info, self.manner.buffer);
        match self.track_of(&connected.outlet.clone()) {
            Some(track) => track.connect(connected, markers, limit, own, feed),
            None => Ok(()),
        }
    }

    fn measured(
        &mut self,
        outlet: &str,
        offset: Option<Offset>,
        feed: &mut Feed,
    ) -> Result<()> {
        match self.track_of(outlet) {
            Some(track) => track.measured(offset, feed),
            None => Ok(()),
        }
    }

    fn look_after(&mut self, feed: &mut Feed) -> Result<()> {
        let now = feed.clock().now();
        for track in &mut self.tracks {
            track.tick(now, feed)?;
        }
        let is_empty = self.tracks.is_empty() && now - self.begun >= NOBODY;
        if is_empty && !std::mem::replace(&mut self.is_told, true) {
            let what = match self.choice.words() {
                words if words.is_empty() => "no stream is there yet".into(),
                words => format!("no stream is there yet that is {words}"),
            };
            feed.voice().tell(&what);
        }
        Ok(())
    }

    /// Says what is wrong with a stranger, once.
    fn complain(&mut self, trouble: String, feed: &Feed) {
        if self.troubles.len() < MAX_TROUBLES && !self.troubles.contains(&trouble) {
            feed.voice().tell(&trouble);
            self.troubles.push(trouble);
        }
    }

    fn track_of(&mut self, outlet: &str) -> Option<&mut Track> {
        self.tracks
            .iter_mut()
            .find(|track| track.outlet().is_some_and(|o| **o == *outlet))
    }
}

/// Which tracks have something to read, without waiting, and whether there are news.
fn look(inbox: &Inbox, tracks: &[Track], ready: &mut Vec<bool>) -> Result<bool> {
    let mut fds: Vec<PollFd<'_>> = std::iter::once(inbox.as_fd())
        .chain(tracks.iter().filter_map(Track::fd))
        .map(|fd: BorrowedFd<'_>| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .collect();
    match poll(&mut fds, Some(&Timespec::default())) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(err) => return Err(err.into()),
    }
    let mut looked = fds.iter().map(|fd| !fd.revents().is_empty());
    let has_news = looked.next() == Some(true);
    ready.clear();
    ready.extend(
        tracks.iter().map(|track| track.fd().is_some() && looked.next() == Some(true)),
    );
    Ok(has_news)
}

/// How many samples an outlet is to keep for us.
fn buffer(info: &Info, time: i64) -> u32 {
    let rate = if info.rate > 0.0 { info.rate } else { IRREGULAR };
    let (least, most) = BUFFER;
    (rate * time as f64 / SECOND as f64).clamp(least.min(rate.max(1.0)), most) as u32
}
