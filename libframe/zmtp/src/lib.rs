//! ZeroMQ's wire protocol (ZMTP 3.0 and 3.1, mechanism NULL), as a recorder needs it.
//!
//! A package of its own, because what sends records to another machine, what reads an
//! instrument and what simulates one must agree on it. It is written here instead of
//! taken from the crates `zmq` and `zeromq`, because neither says what it drops, and the
//! second reserves whatever length a peer claims.
//!
//! | socket | talks to | what it is for |
//! | --- | --- | --- |
//! | [`Subscriber`] | PUB, XPUB | connects, and again after a loss; gives messages without copying them |
//! | [`Publisher`] | SUB, XSUB | binds; never waits for a subscriber, and counts what one did not get |
//! | [`Request`] | REP, ROUTER | one question, one answer; a late answer is not waited for |
//! | [`Reply`] | REQ, DEALER | answers whoever asks |
//!
//! None of them blocks. [`Subscriber`], [`Request`] and [`Reply`] have a descriptor that is
//! readable when something is to be done, a `deadline` by which `tick` wants to be called,
//! and no thread; a [`Publisher`] has one, named `zmq-writer`, so that who publishes need
//! not return to it. [`Decoder`] is the protocol without I/O.
//!
//! Times are nanoseconds of CLOCK_MONOTONIC, as `libframe::clock` reads it.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use libframe::clock::Clock;
//! use libframe_zmtp::{Incoming, Limits, Subscriber};
//!
//! let clock = Clock::system();
//! let mut rig = Subscriber::new("tcp://rig:5556".parse()?, Limits::default())?;
//! loop {
//!     rig.tick(clock.now())?;
//!     while let Some(incoming) = rig.next()? {
//!         match incoming {
//!             Incoming::Message(parts) => println!("{} parts", parts.len()),
//!             Incoming::Connected => println!("connected"),
//!             Incoming::Lost { why } => println!("lost: {why}"),
//!             Incoming::Failed { why } => println!("not connected: {why}"),
//!         }
//!     }
//!     // Wait for `rig.fd()` to be readable, or until `rig.deadline()`.
//! }
//! # }
//! ```

mod client;
mod command;
mod decoder;
mod endpoint;
mod fault;
mod frame;
mod hub;
mod link;
mod peer;
mod poller;
mod publisher;
mod reply;
mod request;
mod seat;
mod socket;
mod subscriber;
mod writer;

pub use self::command::Command;
pub use self::decoder::{Decoder, Limits, Parts, Step};
pub use self::endpoint::{BadEndpoint, Endpoint};
pub use self::fault::Fault;
pub use self::frame::{greeting, put_command, put_message};
pub use self::publisher::{
    Admission, HighWater, Newcomers, Published, Publisher, Tally, Unread,
};
pub use self::reply::{Asked, Asker, Reply};
pub use self::request::{Answer, Request};
pub use self::subscriber::{Counts, Incoming, Subscriber};
