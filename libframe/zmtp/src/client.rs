//! Who connects: to one endpoint, and again whenever that was lost.

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, BorrowedFd};

use libframe::clock::SECOND;

use crate::decoder::{Limits, Parts};
use crate::endpoint::Endpoint;
use crate::fault::Fault;
use crate::link::{Event, Link, Role};
use crate::poller::{Interest, Poller};
use crate::socket::{Address, Socket};

/// Attempts are this far apart, and up to twice as far by chance, so that many who lost the
/// same peer do not come back in step.
const RETRY: i64 = SECOND / 10;
/// How long the network may take to connect. Short: a host that is back answers the next
/// attempt, while the kernel would repeat this one ever more rarely.
const CONNECT: i64 = SECOND;
/// How long the peer may take for its handshake.
const HANDSHAKE: i64 = 5 * SECOND;
/// A peer that was silent for so long is asked for a sign of life,
const QUIET: i64 = SECOND;
/// and given up after so long without one.
const PATIENCE: i64 = 3 * SECOND;
/// A name is looked up again when its addresses have not answered for so long.
const RESOLVE: i64 = 10 * SECOND;

/// What [`Client::next`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Connected,
    Message,
    Lost(Fault),
    Failed(Fault),
}

#[derive(Debug)]
pub(crate) struct Client {
    endpoint: Endpoint,
    role: Role,
    limits: Limits,
    poller: Poller,
    link: Option<Link>,
    interest: Interest,
    addresses: Addresses,
    /// The time of the last tick.
    now: i64,
    dialled: i64,
    retry: i64,
    /// When the peer was last heard, and asked.
    heard: i64,
    pinged: Option<i64>,
    /// The last failure that was told.
    told: Option<Fault>,
    news: VecDeque<Found>,
    /// The last read took all there was.
    drained: bool,
    connects: u64,
}

/// What a name stands for, one after another.
#[derive(Debug, Default)]
struct Addresses {
    known: Vec<Address>,
    next: usize,
    since: i64,
}

impl Addresses {
    fn take(&mut self, endpoint: &Endpoint, now: i64) -> Result<Address, Fault> {
        if self.known.is_empty() || now - self.since >= RESOLVE {
            let known = Address::of(endpoint)?;
            *self = Addresses { known, next: 0, since: now };
        }
        let none = || Fault::Resolve(format!("{endpoint} has no address"));
        let at = self.next % self.known.len().max(1);
        self.next += 1;
        self.known.get(at).cloned().ok_or_else(none)
    }

    /// Whether all were tried in this round.
    fn is_round(&self) -> bool {
        self.known.is_empty() || self.next.is_multiple_of(self.known.len())
    }
}

impl Client {
    pub(crate) fn new(
        endpoint: Endpoint,
        role: Role,
        limits: Limits,
    ) -> std::io::Result<Client> {
        let invalid = |err| std::io::Error::new(std::io::ErrorKind::InvalidInput, err);
        Ok(Client {
            endpoint: endpoint.for_connecting().map_err(invalid)?,
            role,
            limits,
            poller: Poller::new()?,
            link: None,
            interest: Interest::BOTH,
            addresses: Addresses::default(),
            now: 0,
            dialled: i64::MIN / 2,
            retry: 0,
            heard: 0,
            pinged: None,
            told: None,
            news: VecDeque::new(),
            drained: false,
            connects: 0,
        })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }

    /// The connection, while its handshake is done.
    pub(crate) fn link(&mut self) -> Option<&mut Link> {
        self.link.as_mut().filter(|link| link.is_ready())
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.link.as_ref().is_some_and(Link::is_ready)
    }

    pub(crate) fn connects(&self) -> u64 {
        self.connects
    }

    /// The message that came.
    #[inline]
    pub(crate) fn parts(&self) -> Option<Parts<'_>> {
        Some(self.link.as_ref()?.parts())
    }

    /// When [`Client::tick`] must be called at the latest.
    pub(crate) fn deadline(&self) -> i64 {
        match &self.link {
            None => self.retry,
            Some(link) if link.is_ready() && link.knows_commands() => {
                self.pinged.map_or(self.heard + QUIET, |pinged| pinged + PATIENCE)
            }
            Some(link) if link.is_ready() => i64::MAX,
            Some(_) => self.dialled + self.patience(),
        }
    }

    /// Does what the time has come for.
    pub(crate) fn tick(&mut self, now: i64) {
        self.now = now;
        if let Some(link) = &mut self.link {
            if std::mem::take(&mut link.heard) {
                (self.heard, self.pinged) = (now, None);
            }
            if now >= self.deadline() {
                self.be_impatient();
            }
        }
        if self.link.is_none() && now >= self.retry {
            self.dial();
        }
        self.settle();
    }

    /// What happened next; `None` if nothing more did.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Found> {
        loop {
            if let Some(news) = self.news.pop_front() {
                return Some(news);
            }
            match self.link.as_mut()?.step() {
                Ok(Event::Message) => return Some(Found::Message),
                Ok(Event::Ready) => {
                    self.connects += 1;
                    (self.heard, self.pinged) = (self.now, None);
                    self.told = None;
                    return Some(Found::Connected);
                }
                // Nobody subscribes to us, so it has no meaning.
                Ok(Event::Subscribe | Event::Cancel) => {}
                Ok(Event::Nothing) => match self.fill() {
                    Ok(true) => {}
                    Ok(false) => {
                        self.settle();
                        if self.news.is_empty() {
                            return None;
                        }
                    }
                    Err(fault) => self.lose(fault),
                },
                Err(fault) => self.lose(fault),
            }
        }
    }

    /// Lets the connection go, to make another at once.
    pub(crate) fn redial(&mut self) {
        self.link = None;
        self.retry = self.now.max(self.dialled + RETRY);
    }

    /// Reads, unless the last read already took all there was.
    fn fill(&mut self) -> Result<bool, Fault> {
        let Some(link) = &mut self.link else { return Ok(false) };
        if std::mem::take(&mut self.drained) {
            return Ok(false);
        }
        let more = link.fill()?;
        self.drained = more && link.took_all();
        Ok(more)
    }

    fn patience(&self) -> i64 {
        // The greeting waits until the network has connected.
        let connecting = self.link.as_ref().is_some_and(|link| !link.out.is_empty());
        if connecting { CONNECT } else { HANDSHAKE }
    }

    /// A deadline has passed.
    fn be_impatient(&mut self) {
        let Some(link) = &mut self.link else { return };
        if !link.is_ready() {
            let timed_out = Fault::System(rustix::io::Errno::TIMEDOUT);
            let fault = if link.out.is_empty() { Fault::Greeting } else { timed_out };
            return self.lose(fault);
        }
        // Who was suspended itself finds the answer here, unread.
        match link.fill() {
            Ok(true) => {
                link.heard = false;
                (self.heard, self.pinged) = (self.now, None);
            }
            Ok(false) if self.pinged.is_none() => {
                link.ping();
                self.pinged = Some(self.now);
            }
            Ok(false) => self.lose(Fault::Silent),
            Err(fault) => self.lose(fault),
        }
    }

    fn dial(&mut self) {
        self.dialled = self.now;
        let address = self.addresses.take(&self.endpoint, self.now);
        let socket = address.and_then(|address| Ok(Socket::connect(&address)?));
        let link = socket.and_then(|socket| {
            let link = Link::new(socket, self.role, self.limits);
            self.interest = Interest::BOTH;
            self.poller.add(&link, 0, self.interest)?;
            Ok(link)
        });
        self.drained = false;
        match link {
            Ok(link) => self.link = Some(link),
            Err(fault) => self.lose(fault),
        }
    }

    /// Sends what waits, and asks to be woken when more can be sent.
    pub(crate) fn settle(&mut self) {
        let Some(link) = &mut self.link else { return };
        let sent = link.flush().and_then(|all| {
            let interest = if all { Interest::READ } else { Interest::BOTH };
            if interest != self.interest {
                self.interest = interest;
                self.poller.change(&*link, 0, interest)?;
            }
            Ok(())
        });
        if let Err(fault) = sent {
            self.lose(fault);
        }
    }

    fn lose(&mut self, fault: Fault) {
        let chance = self.now.wrapping_mul(0x5851_F42D_4C95_7F2D).unsigned_abs() >> 33;
        let apart = RETRY + chance as i64 % RETRY;
        match self.link.take() {
            Some(link) if link.is_ready() => {
                // At once, but not in a circle with a peer that hangs up each time.
                self.retry = self.now.max(self.dialled + RETRY);
                self.news.push_back(Found::Lost(fault));
            }
            _ => {
                let next = if self.addresses.is_round() { apart } else { 0 };
                self.retry = self.now.max(self.dialled + next);
                if self.told.as_ref() != Some(&fault) {
                    self.told = Some(fault.clone());
                    self.news.push_back(Found::Failed(fault));
                }
            }
        }
    }
}
