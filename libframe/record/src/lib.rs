//! Recordings on disk: `.frames`, which are the pipe's own bytes, HDF5 and XDF.
//!
//! Apart from libframe, because only the tools that record, repair, replay and report know
//! what HDF5 and XDF are. `man/framepipe-h5.5` is the layout that writer and reader follow.
//!
//! - [`layout`] has the names.
//! - [`recording`] opens any format, as records ([`Records`]) or as columns
//!   ([`Columns`]); `read` has the parts, `xdf` those for XDF. [`origin()`] makes files of any
//!   format the input of a tool.
//! - [`Recorder`] writes: records go to the journal (`journal`) at once, over a bounded
//!   queue (`handover`) to the thread of the file, and there (`write`) into columns.
//! - `h5` is HDF5, `driver` its file driver on a file that only changes from one commit to
//!   the next (`commit`).
//! - [`repair()`] brings a recording up to date that broke off.

pub mod layout;
pub mod recording;

mod commit;
mod driver;
mod h5;
mod handover;
mod journal;
mod origin;
mod read;
mod recorder;
mod repair;
mod space;
mod storage;
mod write;
mod xdf;

pub use self::journal::broken_off;
pub use self::origin::origin;
pub use self::read::columns::Columns;
pub use self::read::records::Records;
pub use self::recorder::Recorder;
pub use self::recording::{Block, Recording, SessionInfo, State, StreamInfo, is_hdf5};
pub use self::repair::{Repair, repair};
pub use self::storage::Fsync;
pub use self::write::{Compress, Options};
