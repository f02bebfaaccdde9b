//! A REQ socket that does not wait for ever.

use std::io;
use std::os::fd::BorrowedFd;

use crate::client::{Client, Found};
use crate::decoder::Limits;
use crate::endpoint::Endpoint;
use crate::fault::Fault;
use crate::frame::put_message;
use crate::link::Role;

/// Asks one peer, and asks again over a new connection when no answer came.
///
/// Driven like a [`Subscriber`](crate::Subscriber). A REQ socket of libzmq that got no
/// answer can never ask again; this one can.
#[derive(Debug)]
pub struct Request {
    client: Client,
    question: Option<Vec<u8>>,
    asked: bool,
}

/// What happened at a [`Request`].
#[derive(Debug)]
pub enum Answer<'a> {
    /// The answer to the last question.
    Text(&'a [u8]),
    /// The peer is there.
    Connected,
    /// The connection is gone, and with it the answer; the next attempt is made at once,
    /// and the question asked again.
    Lost {
        /// Why.
        why: Fault,
    },
    /// An attempt to connect failed. Told once, and again when the reason is another one.
    Failed {
        /// Why.
        why: Fault,
    },
}

impl Request {
    /// Nothing is connected before the first [`Request::tick`].
    pub fn new(endpoint: Endpoint, limits: Limits) -> io::Result<Request> {
        let client = Client::new(endpoint, Role::Request, limits)?;
        Ok(Request { client, question: None, asked: false })
    }

    /// Where it connects to.
    pub fn endpoint(&self) -> &Endpoint {
        self.client.endpoint()
    }

    /// Asks, as soon as the peer is there. If the last question has no answer yet, the
    /// connection is made anew, for peers answer one question after the other.
    pub fn ask(&mut self, question: &[u8]) {
        if self.asked {
            self.client.redial();
            self.asked = false;
        }
        self.question = Some(question.to_vec());
        self.send();
        self.client.settle();
    }

    /// Whether a question is still without an answer.
    pub fn is_waiting(&self) -> bool {
        self.question.is_some()
    }

    /// Whether the peer is there.
    pub fn is_connected(&self) -> bool {
        self.client.is_connected()
    }

    /// A descriptor that is readable when [`Request::next`] may give something.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.client.fd()
    }

    /// When [`Request::tick`] must be called at the latest.
    pub fn deadline(&self) -> i64 {
        self.client.deadline()
    }

    /// Connects, connects again, and gives up a peer that gives no sign of life.
    pub fn tick(&mut self, now: i64) -> io::Result<()> {
        self.client.tick(now);
        Ok(())
    }

    /// What happened next; `None` if nothing more did for now.
    #[allow(clippy::should_implement_trait, reason = "what it gives borrows from it")]
    pub fn next(&mut self) -> io::Result<Option<Answer<'_>>> {
        while let Some(found) = self.client.next() {
            match found {
                // What nobody asked for is no answer.
                Found::Message if !self.asked => continue,
                Found::Message => {
                    (self.question, self.asked) = (None, false);
                    let parts = self.client.parts();
                    let last = parts.and_then(|parts| parts.iter().last());
                    return Ok(Some(Answer::Text(last.unwrap_or_default())));
                }
                Found::Connected => {
                    self.asked = false;
                    self.send();
                    return Ok(Some(Answer::Connected));
                }
                Found::Lost(why) => {
                    self.asked = false;
                    return Ok(Some(Answer::Lost { why }));
                }
                Found::Failed(why) => return Ok(Some(Answer::Failed { why })),
            }
        }
        Ok(None)
    }

    fn send(&mut self) {
        if let (Some(question), Some(link)) = (&self.question, self.client.link()) {
            // The empty part is the envelope's end, by which the peer finds the way back.
            put_message(&mut link.out, &[b"", question]);
            self.asked = true;
        }
    }
}
