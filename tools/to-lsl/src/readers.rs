//! Waiting for consumers: before the first sample, while too much waits for one of them, and
//! at the end.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use libframe::clock::{Clock, SECOND};
use libframe::tool::{Gauge, Overflow, Room, Stop, Voice, Wake};
use libframe_lsl::consumers::Change;
use libframe_lsl::outlet::Outlet;
use libframe_lsl::sockets::Sockets;

use crate::args::Args;
use crate::track::Track;

/// How often consumers are looked at while nothing presses.
const LOOK: i64 = SECOND / 2;
/// And while somebody is waited for.
const SOON: Duration = Duration::from_micros(300);
/// liblsl begins to send to a consumer just after it has answered it.
const AFTER_ANSWER: Duration = Duration::from_millis(20);
/// How long those that are there may take to open other streams.
const COURTESY: i64 = SECOND;
/// How long an outlet lives after its last sample at least. A consumer's program that wants
/// no recovery cannot pull what its own buffer holds once the outlet is gone.
const GRACE: i64 = SECOND / 2;
/// How long the consumers of an outlet that is replaced have to come to the new one.
const RETURN: i64 = 3 * SECOND;

/// What is known of all consumers, and how they are waited for.
pub(crate) struct Readers {
    sockets: Sockets,
    clock: Clock,
    next_look: i64,
    wait_consumers: usize,
    wait: Option<i64>,
    /// Those that were waited for have had time to open other streams.
    was_courteous: bool,
    patience: i64,
    linger: i64,
    overflow: Overflow,
    pub(crate) queue: u64,
    gauge: Option<Gauge>,
    voice: Voice,
    stop: Option<Stop>,
    /// What is to be told at the end.
    objections: Vec<String>,
}

impl Readers {
    pub(crate) fn new(args: &Args) -> Readers {
        Readers {
            sockets: Sockets::default(),
            clock: Clock::system(),
            next_look: 0,
            wait_consumers: args.wait_consumers,
            wait: args.wait_limit,
            was_courteous: false,
            patience: args.patience,
            linger: args.linger,
            overflow: Overflow::Block,
            queue: crate::QUEUE,
            gauge: None,
            voice: Voice::default(),
            stop: None,
            objections: Vec::new(),
        }
    }

    pub(crate) fn set_room(&mut self, room: Room, gauge: Gauge) {
        (self.queue, self.overflow) = (room.bytes, room.overflow);
        self.gauge = Some(gauge);
    }

    pub(crate) fn set_voice(&mut self, voice: Voice) {
        self.voice = voice;
    }

    pub(crate) fn heed(&mut self, stop: Stop) {
        self.stop = Some(stop);
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn deadline(&self) -> i64 {
        self.next_look
    }

    pub(crate) fn objections(&self) -> Vec<String> {
        self.objections.clone()
    }

    /// Looks at all consumers, now and then.
    pub(crate) fn look<'a>(
        &mut self,
        outlets: impl Iterator<Item = &'a mut Outlet>,
        now: i64,
    ) {
        self.sockets.look();
        let mut waiting = 0;
        for outlet in outlets {
            learn(outlet, &self.sockets, now, &self.voice);
            waiting += outlet.consumers().waiting();
        }
        self.next_look = now + LOOK;
        if let Some(gauge) = &self.gauge {
            gauge.waiting(waiting);
        }
    }

    fn look_at(&mut self, outlet: &mut Outlet) -> i64 {
        self.sockets.look();
        let now = self.clock.now();
        learn(outlet, &self.sockets, now, &self.voice);
        now
    }

    /// Pushes what a track has gathered, when there is room.
    pub(crate) fn push(&mut self, track: &mut Track) -> Result<()> {
        let (samples, bytes) = track.outlet.gathered();
        if samples == 0 {
            return Ok(());
        }
        if !self.make_room(track, bytes) {
            let dropped = track.outlet.discard();
            track.dropped += dropped;
            if let Some(gauge) = &self.gauge {
                gauge.lost(dropped);
            }
            return Ok(());
        }
        track.outlet.push()?;
        track.pushed = self.clock.now();
        if let Some(gauge) = &self.gauge {
            gauge.sent(1, samples as u64, bytes);
        }
        Ok(())
    }

    /// Waits until as many consumers are there as the user wants: of the outlet before whose
    /// first sample this is, and a moment longer for those that open others too.
    pub(crate) fn await_consumers(
        &mut self,
        name: &str,
        outlets: &mut [(bool, &mut Outlet)],
    ) -> Result<()> {
        let (n, Some(stop)) = (self.wait_consumers, self.stop.clone()) else {
            return Ok(());
        };
        if n == 0 {
            return Ok(());
        }
        self.voice.detail(&format!("{name}: waiting for {n} consumers"));
        let until = self.wait.map(|wait| self.clock.now() + wait);
        let (mut is_there, mut courteous) = (false, None);
        loop {
            let mut all = true;
            for (is_meant, outlet) in &mut *outlets {
                let has = self.are_there(outlet, n);
                all &= has;
                is_there |= has && *is_meant;
            }
            let now = self.clock.now();
            if is_there {
                let courtesy = if self.was_courteous { 0 } else { COURTESY };
                courteous.get_or_insert(now + courtesy);
            }
            let is_over = all || [until, courteous].iter().flatten().any(|t| now >= *t);
            // Who is asked to stop takes what still comes, for whoever is there.
            if is_over || stop.wait(None, Some(now + LOOK / 10))? == Wake::Stop {
                break;
            }
        }
        if is_there {
            self.was_courteous = true;
            sleep(AFTER_ANSWER);
        }
        Ok(())
    }

    fn are_there(&mut self, outlet: &mut Outlet, n: usize) -> bool {
        self.look_at(outlet);
        match Sockets::are_seen() {
            true => outlet.consumers().len() >= n,
            false => outlet.have_consumers(),
        }
    }

    /// Waits until no consumer is about to lose something to `more` bytes. Whether they may be
    /// pushed.
    fn make_room(&mut self, track: &mut Track, more: u64) -> bool {
        let limit = track.limit(self.clock.now());
        if track.outlet.consumers().queued() + more <= limit {
            return true;
        }
        let patience = self.patience;
        loop {
            let now = self.look_at(&mut track.outlet);
            if track.outlet.consumers().queued() + more <= limit.max(more) {
                return true;
            }
            match self.overflow {
                Overflow::DropOldest => return true,
                Overflow::DropNewest => return false,
                Overflow::Block | Overflow::Spill(_) => {}
            }
            self.give_up(&mut track.outlet, now - patience, patience);
            sleep(SOON);
        }
    }

    fn give_up(&self, outlet: &mut Outlet, since: i64, after: i64) {
        let name = outlet.name().to_owned();
        outlet.consumers_mut().give_up(since, |peer: SocketAddr| {
            let seconds = after as f64 / SECOND as f64;
            self.voice.detail(&format!(
                "{name}: consumer {peer} has taken nothing for {seconds} s and is not waited for"
            ));
        });
    }

    /// Waits until consumers have taken all that was pushed to outlets that are to be closed,
    /// and takes note of what they have not.
    pub(crate) fn drain(&mut self, tracks: &mut [Track]) {
        if !Sockets::are_seen() {
            if tracks.iter().any(|track| track.outlet.have_consumers()) {
                sleep(Duration::from_nanos(self.linger as u64));
            }
            return;
        }
        loop {
            let now = self.clock.now();
            self.look(tracks.iter_mut().map(|track| &mut track.outlet), now);
            let linger = self.linger;
            for track in &mut *tracks {
                self.give_up(&mut track.outlet, now - linger, linger);
            }
            let grace = now - linger.min(GRACE);
            let is_done = |track: &Track| {
                let consumers = track.outlet.consumers();
                consumers.is_empty() || consumers.have_all(now) && track.pushed <= grace
            };
            if tracks.iter().all(is_done) {
                break;
            }
            sleep(SOON);
        }
        tracks.iter().for_each(|track| self.note(track));
    }

    /// What consumers of an outlet have not got.
    fn note(&mut self, track: &Track) {
        let (name, consumers) = (track.outlet.name(), track.outlet.consumers());
        let lost = consumers.overwritten();
        if lost > 0 {
            self.objections.push(format!(
                "{name}: {lost} samples were overwritten before a consumer took them; --queue \
                 lets more wait"
            ));
        }
        let (n, unread) = consumers.unread();
        if n > 0 {
            self.objections.push(format!(
                "{name}: {unread} samples were not taken by {n} of the consumers within \
                 --linger"
            ));
        }
        let (pushed, left) = (consumers.pushed(), consumers.left());
        self.voice.detail(&format!("{name}: {pushed} samples sent"));
        if left > 0 {
            self.voice
                .detail(&format!("{name}: {left} samples left behind by consumers"));
        }
    }

    /// Gives the consumers that an outlet had time to come to the one that replaces it.
    pub(crate) fn await_return(&mut self, outlet: &mut Outlet, n: usize) {
        let until = self.clock.now() + RETURN;
        while n > 0 && self.clock.now() < until && !self.are_there(outlet, n) {
            sleep(30 * SOON);
        }
    }
}

fn learn(outlet: &mut Outlet, sockets: &Sockets, now: i64, voice: &Voice) {
    let name = outlet.name().to_owned();
    outlet.look(sockets, now, |change| {
        voice.detail(&match change {
            Change::Came(peer) => format!("{name}: consumer {peer} has come"),
            Change::Gone(peer, 0) => format!("{name}: consumer {peer} has gone"),
            Change::Gone(peer, n) => {
                format!("{name}: consumer {peer} has gone, with {n} samples unread")
            }
            Change::Lost(peer, n) => {
                format!("{name}: {n} samples were overwritten before {peer} took them")
            }
        });
    });
}
