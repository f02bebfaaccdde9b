//! Subscribe to Open Ephys, or to anything else, over ZeroMQ.
#![allow(dead_code)]
mod assembly;
mod block;
mod field;
mod fit;
mod message;
mod numbering;
#[cfg(test)]
mod plugin;
fn main() {}
