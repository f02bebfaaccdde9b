//! x
pub mod batch;
pub mod catalog;
pub mod clock;
pub mod decoder;
pub mod histogram;
pub mod io;
pub mod ledger;
pub mod payload;
pub mod schema;
#[cfg(feature = "tool")]
pub mod tool;
pub mod wire;
