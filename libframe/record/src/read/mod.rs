//! How recordings are read. [`crate::recording`] is the way in.

pub(crate) mod columns;
pub(crate) mod dataset;
pub(crate) mod filters;
pub(crate) mod frames;
pub(crate) mod h5;
pub(crate) mod lane;
pub(crate) mod play;
pub(crate) mod records;
pub(crate) mod table;
