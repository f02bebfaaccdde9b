//! Lab Streaming Layer: what it says of a stream, and its library, loaded at run time.
//!
//! Apart from libframe, because only the tools that speak LSL, or its file format XDF, know
//! what it is. liblsl itself is no dependency of the build: Debian has no package of it, and
//! the crate that bundles it does not compile on current systems. Whoever uses LSL has it,
//! as a rule because pylsl came with it.
//!
//! - [`info`] is the description of a stream, as XML, on a network and in a file; [`mapping`]
//!   makes it of ours and ours of it, and [`element`] is the XML. No I/O, no library.
//! - [`values`] turns numbers and times into LSL's and back.
//! - [`outlet`] sends samples; [`consumers`] knows how far each reader of one has got, by what
//!   the kernel tells of the [`sockets`]. `handle` calls liblsl for it.
//! - [`library`] finds and loads liblsl; [`api`] has its functions, and `config` keeps it quiet.
//! - [`resolver`] finds streams on the [`network`], [`inlet`] has the samples of one and its
//!   full description ([`wire`] is the protocol, without I/O), and [`peer_clock`] measures how
//!   far its clock is from ours. All over sockets of our own: liblsl's inlet does not say what
//!   it drops, when it connected anew, or how old its figures are, and throws away what it
//!   holds when a connection ends.

pub mod api;
mod config;
pub mod consumers;
pub mod element;
mod handle;
pub mod info;
pub mod inlet;
mod interfaces;
pub mod library;
pub mod mapping;
pub mod network;
pub mod outlet;
pub mod peer_clock;
pub mod resolver;
pub mod sockets;
pub mod values;
pub mod wire;
