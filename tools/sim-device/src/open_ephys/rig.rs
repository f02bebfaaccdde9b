//! The GUI with its plugin while it runs: blocks at their times, clients that say they are
//! there, and what goes wrong in between.

use anyhow::Result;
use libframe::clock::SECOND;
use libframe::tool::{Device, Wake};

use super::chronicle::{Chronicle, Moment};
use super::heartbeat::Clients;
use super::pace::{Speed, WallClock};
use super::plugin::Plugin;
use super::ports::{PATIENCE, Place, Ports};
use super::schedule::{Block, Schedule, Step};
use super::selection::Channels;
use crate::pause::Pause;

/// The same when it vanishes: what was published is on its way, so that the truth is one.
const REFLEX: i64 = SECOND / 5;
/// How often to look for clients while nothing else is to be done.
const LOOK: i64 = SECOND / 100;

/// All that plays together.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) schedule: Schedule,
    pub(crate) plugin: Plugin,
    pub(crate) speed: Speed,
    pub(crate) presence: Presence,
    /// The times at which all streams get other channels, and which; soonest last.
    pub(crate) changes: Vec<(i64, Channels)>,
    pub(crate) chronicle: Chronicle,
    pub(crate) clients: Clients,
    pub(crate) wall: WallClock,
    /// When the rig was started, CLOCK_MONOTONIC.
    pub(crate) begun: i64,
    pub(crate) totals: Totals,
}

/// What was sent since the start.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    blocks: u64,
    messages: u64,
    bytes: u64,
    lost: u64,
    /// Messages that the status knows to be lost or dropped.
    told: u64,
}

/// Where the publisher is, and when it is not.
#[derive(Debug)]
pub(crate) struct Presence {
    pub(crate) place: Place,
    /// When it last went or came back.
    pub(crate) since: i64,
    /// `None` while it is away.
    pub(crate) ports: Option<Ports>,
    pub(crate) vanish: Option<Pause>,
    /// Whether it comes back at the next pair of ports.
    pub(crate) moves: bool,
    /// Messages that slow subscribers did not get, while it was at earlier ports.
    pub(crate) dropped: u64,
    /// How many subscribers there were at the last look.
    pub(crate) subscribers: usize,
}

impl Presence {
    /// When it goes or comes back next.
    fn turn(&self) -> i64 {
        let Some(pause) = self.vanish else { return i64::MAX };
        let (away, back) = pause.of(self.since);
        if self.ports.is_some() { away } else { back }
    }

    fn dropped(&self) -> u64 {
        self.dropped + self.ports.as_ref().map_or(0, Ports::dropped)
    }

    /// Closes the ports; what is not read by then is lost.
    fn close(&mut self, until: i64) {
        let rest = self.ports.take().map_or(0, |ports| ports.close(until));
        self.dropped += rest;
    }
}

impl Rig {
    /// Plays until the samples are out or the runtime says stop.
    pub(crate) fn play(&mut self, device: &mut Device) -> Result<()> {
        self.begun = device.clock().now();
        while let Some(step) = self.schedule.next() {
            let goes_on = match step {
                Step::Begin(at) => self.begin(at, device)?,
                Step::Block(block) => self.publish(&block, device)?,
            };
            if !goes_on {
                break;
            }
        }
        self.finish(device)
    }

    /// Waits for someone to subscribe. Whether one came before the end.
    pub(crate) fn wait_for_client(&mut self, device: &Device) -> Result<bool> {
        while self.presence.ports.as_ref().is_some_and(|ports| ports.subscribers() == 0) {
            if !self.wait_until(device.clock().now() + LOOK, device)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn begin(&mut self, at: i64, device: &mut Device) -> Result<bool> {
        if !self.wait(at, device)? {
            return Ok(false);
        }
        self.plugin.begin();
        self.chronicle.begin(device.clock().now(), &self.plugin)?;
        Ok(true)
    }

    /// Sends a block at its time. False if it must not be sent any more.
    fn publish(&mut self, block: &Block, device: &mut Device) -> Result<bool> {
        if !self.wait(block.due, device)? {
            return Ok(false);
        }
        self.change_channels(block)?;
        let published = device.clock().now();
        let millis = self.wall.millis(device.clock(), published);
        let ports = &mut self.presence.ports;
        let away = ports.is_none();
        let report = self.plugin.send(block, millis, |parts| {
            if let Some(ports) = ports {
                ports.publish(parts, device);
            }
        });
        let due = self.speed.instant(self.begun, block.due);
        let moment = Moment { due, published, away };
        self.totals.blocks += 1;
        self.totals.lost += report.lost;
        if !away {
            self.totals.messages += report.messages;
            self.totals.bytes += report.bytes;
            device.sent(u64::from(block.samples), report.bytes as usize);
        }
        self.count_lost(device);
        let source = self.plugin.source(block.stream);
        let report = self.plugin.report();
        self.chronicle.block(block, moment, source, report)?;
        Ok(true)
    }

    /// Lets the status know how many messages did not get through so far.
    fn count_lost(&mut self, device: &Device) {
        let lost = self.totals.lost + self.presence.dropped();
        device.lost(lost.saturating_sub(self.totals.told));
        self.totals.told = lost;
    }

    fn change_channels(&mut self, block: &Block) -> Result<()> {
        while self.changes.last().is_some_and(|(at, _)| *at <= block.begun) {
            let Some((_, channels)) = self.changes.pop() else { break };
            for source in self.plugin.sources_mut() {
                source.select(&channels.0);
                self.chronicle.channels(block.first, source)?;
            }
        }
        Ok(())
    }

    /// Waits for a time of the rig's, and goes away and comes back meanwhile. Whether it
    /// came before the end.
    fn wait(&mut self, at: i64, device: &mut Device) -> Result<bool> {
        loop {
            let turn = self.presence.turn();
            let until = self.speed.instant(self.begun, at.min(turn));
            if !self.wait_until(until, device)? {
                return Ok(false);
            }
            if turn > at {
                return Ok(true);
            }
            self.turn(turn, device)?;
        }
    }

    /// The publisher goes away, or comes back.
    fn turn(&mut self, at: i64, device: &mut Device) -> Result<()> {
        let now = device.clock().now();
        let presence = &mut self.presence;
        presence.since = at;
        if presence.ports.is_some() {
            presence.close(now + REFLEX);
            return self.chronicle.vanished(now);
        }
        if presence.moves {
            presence.place.move_on();
        }
        let ports = presence.place.open()?;
        let endpoint = ports.endpoint();
        presence.ports = Some(ports);
        device.print(&endpoint)?;
        self.chronicle.returned(now, &endpoint)
    }

    /// Waits for an instant, and answers clients meanwhile. Whether it came before the end.
    fn wait_until(&mut self, instant: i64, device: &Device) -> Result<bool> {
        loop {
            let now = device.clock().now();
            for name in self.clients.silent(now) {
                device.tell(&format!("{name} is silent"));
            }
            let Some(ports) = &mut self.presence.ports else {
                return device.wait(instant);
            };
            let subscribers = ports.subscribers();
            let before = std::mem::replace(&mut self.presence.subscribers, subscribers);
            if before != subscribers {
                device.tell(&format!("subscribers: {subscribers}"));
            }
            ports.tick(now, &mut self.clients, &mut |text| device.tell(text))?;
            let until = instant.min(ports.deadline());
            match device.wait_for(ports.fd(), until)? {
                Wake::Stop => return Ok(false),
                Wake::Time if until == instant => return Ok(true),
                Wake::Time | Wake::Ready => {}
            }
        }
    }

    /// Lets clients have the rest, and sums up.
    fn finish(&mut self, device: &Device) -> Result<()> {
        let patience = if device.is_interrupted() { 0 } else { PATIENCE };
        self.presence.close(device.clock().now() + patience);
        let (dropped, now) = (self.presence.dropped, device.clock().now());
        self.count_lost(device);
        let Totals { blocks, messages, bytes, lost, .. } = self.totals;
        device.tell(&format!(
            "{blocks} blocks, {messages} messages, {bytes} bytes sent, {lost} messages lost \
             on purpose, {dropped} dropped for slow subscribers"
        ));
        self.chronicle.end(now, messages, lost, dropped)
    }
}
