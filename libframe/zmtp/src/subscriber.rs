//! A SUB socket with one publisher.

use std::io;
use std::os::fd::BorrowedFd;

use crate::client::{Client, Found};
use crate::decoder::{Limits, Parts};
use crate::endpoint::Endpoint;
use crate::fault::Fault;
use crate::frame::{put_command, put_message};
use crate::link::Role;

/// Connects to a publisher, and again within 200 ms whenever that was lost.
///
/// Call [`Subscriber::tick`], then [`Subscriber::next`] until it gives nothing, then wait
/// until [`Subscriber::fd`] is readable or the time is [`Subscriber::deadline`].
#[derive(Debug)]
pub struct Subscriber {
    client: Client,
    prefixes: Vec<Vec<u8>>,
    counts: Counts,
}

/// What a subscriber has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages, and the bytes of their parts.
    pub messages: u64,
    /// Bytes of all parts.
    pub bytes: u64,
    /// Connections that were made.
    pub connects: u64,
    /// Connections that broke off or were closed.
    pub losses: u64,
    /// Connections closed because of what the peer sent.
    pub faults: u64,
}

/// What happened at a [`Subscriber`].
#[derive(Debug)]
pub enum Incoming<'a> {
    /// The publisher is there and knows what is wanted; what it publishes from about now on
    /// will come. What it published before is not to be had.
    Connected,
    /// A message. It is whole: a message whose end did not come is not given.
    Message(Parts<'a>),
    /// The connection is gone; the next attempt is made at once.
    Lost {
        /// Why.
        why: Fault,
    },
    /// An attempt to connect failed. Told once, and again when the reason is another one;
    /// the attempts go on each 100 to 200 ms.
    Failed {
        /// Why.
        why: Fault,
    },
}

impl Subscriber {
    /// A subscriber to everything that comes from an endpoint. Nothing is connected before
    /// the first [`Subscriber::tick`]. Fails if the endpoint is only good to bind.
    pub fn new(endpoint: Endpoint, limits: Limits) -> io::Result<Subscriber> {
        Subscriber::with_prefixes(endpoint, limits, &[b""])
    }

    /// A subscriber to the messages whose first part begins with one of these.
    pub fn with_prefixes(
        endpoint: Endpoint,
        limits: Limits,
        prefixes: &[&[u8]],
    ) -> io::Result<Subscriber> {
        Ok(Subscriber {
            client: Client::new(endpoint, Role::Subscriber, limits)?,
            prefixes: prefixes.iter().map(|prefix| prefix.to_vec()).collect(),
            counts: Counts::default(),
        })
    }

    /// Where it connects to.
    pub fn endpoint(&self) -> &Endpoint {
        self.client.endpoint()
    }

    /// Whether the publisher is there.
    pub fn is_connected(&self) -> bool {
        self.client.is_connected()
    }

    /// What it has seen so far.
    pub fn counts(&self) -> Counts {
        Counts { connects: self.client.connects(), ..self.counts }
    }

    /// A descriptor that is readable when [`Subscriber::next`] may give something.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.client.fd()
    }

    /// When [`Subscriber::tick`] must be called at the latest.
    pub fn deadline(&self) -> i64 {
        self.client.deadline()
    }

    /// Connects, connects again, asks a silent publisher for a sign of life, and gives up
    /// one that gives none. Never waits, but for the look-up of a host's name.
    pub fn tick(&mut self, now: i64) -> io::Result<()> {
        self.client.tick(now);
        Ok(())
    }

    /// What happened next; `None` if nothing more did for now.
    #[allow(clippy::should_implement_trait, reason = "what it gives borrows from it")]
    #[inline]
    pub fn next(&mut self) -> io::Result<Option<Incoming<'_>>> {
        let Some(found) = self.client.next() else { return Ok(None) };
        Ok(Some(match found {
            Found::Message => {
                let Some(parts) = self.client.parts() else { return Ok(None) };
                self.counts.messages += 1;
                self.counts.bytes +=
                    parts.iter().map(|part| part.len() as u64).sum::<u64>();
                Incoming::Message(parts)
            }
            Found::Connected => {
                self.ask();
                Incoming::Connected
            }
            Found::Lost(why) => {
                self.counts.losses += 1;
                self.counts.faults += u64::from(why.is_protocol());
                Incoming::Lost { why }
            }
            Found::Failed(why) => {
                self.counts.faults += u64::from(why.is_protocol());
                Incoming::Failed { why }
            }
        }))
    }

    /// Tells the publisher what is wanted.
    fn ask(&mut self) {
        let Some(link) = self.client.link() else { return };
        for prefix in &self.prefixes {
            if link.knows_commands() {
                put_command(&mut link.out, "SUBSCRIBE", &[prefix]);
            } else {
                put_message(&mut link.out, &[&[&[1], &prefix[..]].concat()]);
            }
        }
        self.client.settle();
    }
}
