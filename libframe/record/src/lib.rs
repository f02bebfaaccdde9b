//! Recordings on disk: `.frames`, which are the pipe's own bytes, and HDF5.
//!
//! Apart from libframe, because only the tools that record, repair, replay and report know
//! what HDF5 is. `man/framepipe-h5.5` is the layout that writer and reader follow.
//!
//! - [`recording`] opens either; as records ([`Records`]) or as columns ([`Columns`]).

pub mod layout;

pub mod recording;

mod read;

pub use crate::read::columns::Columns;
pub use crate::read::records::Records;
pub use crate::recording::{Block, Recording, SessionInfo, State, StreamInfo};
