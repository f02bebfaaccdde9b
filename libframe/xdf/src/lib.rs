//! XDF 1.0, the file format of Lab Streaming Layer.
//!
//! ```text
//!   "XDF:"  then chunks:
//!   +---------------+----------------+--------+---------------------------+---------
//!   | 1, 4 or 8: u8 | length of rest | tag u16| stream u32, in 2, 3, 4, 6 | content
//!   +---------------+----------------+--------+---------------------------+---------
//! ```
//!
//! - [`chunk`] and [`samples`] are the format in bytes; [`header`] finds in a stream's header
//!   what reading its samples takes.
//! - [`Reader`] gives a file's chunks, past damage.
//! - [`records`] are what XDF has no place for.
//! - [`survey()`] tells what a file holds.
//! - [`Writer`] writes chunks, each whole; [`repair()`] adds what a file lacks that broke off.

pub mod chunk;
pub mod header;
pub mod reader;
pub mod records;
pub mod repair;
pub mod samples;
pub mod survey;
pub mod writer;

pub use self::reader::{Chunk, ClockOffset, Content, Damage, Item, ReadError, Reader};
pub use self::records::{Note, Run};
pub use self::repair::{Repair, RepairError, repair};
pub use self::samples::{Layout, Sample, Samples, Stamper, strings};
pub use self::survey::{StreamSurvey, Survey, survey};
pub use self::writer::{Gathered, Totals, Writer};
