//! The plugin's two ports: messages go out at the first, heartbeats are answered at the
//! second.

use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;

use anyhow::{Context as _, Result, bail};
use libframe::clock::SECOND;
use libframe::tool::Device;
use libframe_zmtp::{Endpoint, HighWater, Limits, Publisher, Reply};

use super::heartbeat::Clients;

/// How far the next pair of ports is.
const STEP: u16 = 2;
/// The last port that has a next one.
const LAST: u16 = u16::MAX - 1;
/// How often to try for two free ports in a row where any will do.
const TRIES: u32 = 100;
/// Questions are no longer than this; the plugin reads less.
const LONGEST: usize = 1 << 20;
/// Messages that may wait where their number has no limit.
const MANY: u64 = 1000;
/// How long clients may take for what they have not read when all is sent.
pub(crate) const PATIENCE: i64 = 2 * SECOND;
/// How long to wait for a slow subscriber before looking whether all is to end.
const LOOK: i64 = SECOND / 20;

/// Where the plugin listens, and how.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) host: String,
    /// The first of the two ports; 0 until one is chosen, if any will do.
    pub(crate) port: u16,
    pub(crate) high: HighWater,
    /// Wait for slow subscribers instead of dropping what they do not take.
    pub(crate) patient: bool,
}

/// The ports while they are open.
#[derive(Debug)]
pub(crate) struct Ports {
    publisher: Publisher,
    reply: Reply,
    patient: bool,
    /// Messages that may wait, over all subscribers, before patience is needed.
    room: u64,
    /// Messages that surely fit before looking again.
    fit: u64,
    /// When patience ends, once all is to end.
    last: Option<i64>,
}

impl Place {
    /// Opens both ports, at the next pair that is free.
    pub(crate) fn open(&mut self) -> Result<Ports> {
        if self.port == 0 {
            return self.open_any();
        }
        loop {
            match self.try_open() {
                Ok(ports) => return Ok(ports),
                Err(err) if err.kind() != ErrorKind::AddrInUse => {
                    return Err(err).with_context(|| self.to_string());
                }
                Err(_) if self.port >= LAST => {
                    bail!("{self}: no pair of ports is free up to there");
                }
                Err(_) => self.move_on(),
            }
        }
    }

    /// Goes to the next pair of ports.
    pub(crate) fn move_on(&mut self) {
        self.port = self.port.saturating_add(STEP);
    }

    fn open_any(&mut self) -> Result<Ports> {
        for _ in 0..TRIES {
            match self.try_open() {
                Err(err) if err.kind() == ErrorKind::AddrInUse => {}
                Err(err) => return Err(err).with_context(|| self.to_string()),
                Ok(ports) => {
                    if let Endpoint::Tcp { port, .. } = ports.publisher.endpoint() {
                        self.port = *port;
                    }
                    return Ok(ports);
                }
            }
        }
        bail!("{}: no two free ports in a row", self.host)
    }

    fn try_open(&self) -> io::Result<Ports> {
        let endpoint = Endpoint::Tcp { host: self.host.clone(), port: self.port };
        let publisher = Publisher::bind(&endpoint, self.high)?;
        let next = publisher.endpoint().neighbour(1).ok_or(ErrorKind::AddrInUse)?;
        let reply = Reply::bind(&next, Limits { message: LONGEST, parts: 16 })?;
        let most = if self.high.messages == 0 { MANY } else { self.high.messages };
        let room = (most / 2).max(1);
        Ok(Ports { publisher, reply, patient: self.patient, room, fit: 0, last: None })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let endpoint = Endpoint::Tcp { host: self.host.clone(), port: self.port };
        write!(f, "{endpoint}")
    }
}

impl Ports {
    /// Where subscribers connect.
    pub(crate) fn endpoint(&self) -> String {
        self.publisher.endpoint().to_string()
    }

    pub(crate) fn subscribers(&self) -> usize {
        self.publisher.subscribers()
    }

    /// Messages that subscribers did not get, because too much waited for them.
    pub(crate) fn dropped(&self) -> u64 {
        self.publisher.drops()
    }

    /// Sends a message to all who want it, or drops it for those who have too much.
    pub(crate) fn publish(&mut self, parts: &[&[u8]], device: &Device) {
        if self.patient {
            self.wait_for_room(device);
        }
        self.publisher.publish(parts);
    }

    /// Waits until half of what may wait is free, or all is to end.
    fn wait_for_room(&mut self, device: &Device) {
        while self.fit == 0 {
            let each = self.publisher.subscribers().max(1) as u64;
            self.fit = self.room.saturating_sub(self.publisher.waiting()) / each;
            if self.fit == 0 {
                let now = device.clock().now();
                let last = match self.last {
                    None if device.is_running() => i64::MAX,
                    last => *self.last.insert(last.unwrap_or(now + PATIENCE)),
                };
                if device.is_interrupted() || now >= last {
                    return;
                }
                self.publisher.drain(now + LOOK);
            }
        }
        self.fit -= 1;
    }

    /// Answers all who ask.
    pub(crate) fn tick(
        &mut self,
        now: i64,
        clients: &mut Clients,
        tell: &mut impl FnMut(&str),
    ) -> Result<()> {
        self.reply.tick(now)?;
        while let Some(asked) = self.reply.next()? {
            let asker = asked.asker;
            let (answer, newcomer) = clients.answer(asked.text, now);
            if let Some(name) = newcomer {
                tell(&format!("{name} is there"));
            }
            self.reply.answer(asker, answer.as_bytes());
        }
        Ok(())
    }

    /// Readable when somebody asks.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.reply.fd()
    }

    /// When to call [`Ports::tick`] at the latest.
    pub(crate) fn deadline(&self) -> i64 {
        self.reply.deadline()
    }

    /// Lets subscribers read the rest until a time, and closes. Returns how many messages
    /// did not get through.
    pub(crate) fn close(self, until: i64) -> u64 {
        self.dropped() + self.publisher.close(until).messages
    }
}
