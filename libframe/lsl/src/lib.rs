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
//! - [`library`] finds and loads liblsl; [`api`] has its functions, and `config` keeps it quiet.

pub mod api;
mod config;
pub mod element;
pub mod info;
pub mod library;
pub mod mapping;
pub mod values;
