//! The names of the HDF5 layout, in one place for the writer and the reader.

/// The group of the streams.
pub const STREAMS: &str = "streams";
