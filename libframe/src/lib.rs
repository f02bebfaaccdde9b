//! The record format, and the runtime every framepipe tool shares.
//!
//! A pipe carries a sequence of records: a 48-byte little-endian header and a payload.
//! `man/framepipe.5` is the specification.
//!
//! ```text
//!   0       4    5     6      8        12       16     24     32     40      44      48
//!   +-------+----+-----+------+--------+--------+------+------+------+-------+-------+----
//!   | magic |kind|flags|stream| length |session | seq  | time | sent | CRC of| CRC of| pay-
//!   |D5 FP1 | u8 | u8  | u16  |  u32   |  u32   | u64  | i64  | i64  |payload|0 .. 44| load
//!   +-------+----+-----+------+--------+--------+------+------+------+-------+-------+----
//! ```
//!
//! `cat a.frames b.frames` is a valid stream, and so is what `tail -c +N` leaves of one: a
//! reader finds the next header, and says what it skipped.
//!
//! - [`wire`] is the record; [`decoder`] finds records in bytes. Neither does I/O.
//! - [`payload`] and [`schema`] are what records of the session hold; [`batch`] is
//!   several samples under one header; [`catalog`] knows the streams of a pipe.
//! - [`ledger`] counts what came and what is missing, and [`losses`] tells who lost it;
//!   [`stages`] sums up what each stage says of itself; [`histogram`] counts durations.
//! - [`timeline`] puts the times of several clocks on one.
//! - [`io`] puts records on descriptors, [`clock`] is the one place that reads clocks,
//!   [`crc`] sums bytes up.
//! - `tool` is `main` for a source, a filter or a sink. Only there are arguments, signals
//!   and exit codes known.
//!
//! ```
//! use libframe::decoder::{Decoder, Item};
//! use libframe::wire::{Header, Kind, Record};
//!
//! let header =
//!     Header { kind: Kind::DATA, flags: 0, stream: 1, session: 7, seq: 0, time: 0, sent: 0 };
//! let record = Record::new(header, &[1, 2, 3]);
//! let mut bytes = b"junk".to_vec();
//! record.encode(&mut bytes);
//!
//! let mut decoder = Decoder::default();
//! decoder.push(&bytes);
//! assert!(matches!(decoder.pull(), Some(Item::Damage(damage)) if damage.bytes == 4));
//! assert_eq!(decoder.pull(), Some(Item::Record(record)));
//! assert_eq!(decoder.pull(), None);
//! ```

pub mod wire;

pub mod decoder;

pub mod payload;

pub mod schema;

pub mod batch;

pub mod catalog;

pub mod ledger;

pub mod histogram;

pub mod stages;

pub mod losses;

pub mod timeline;

pub mod clock;

pub mod io;

pub mod crc;

#[cfg(feature = "tool")]
pub mod tool;
