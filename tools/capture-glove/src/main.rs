//! Capture a tactile glove from its serial port.
mod arrival;
mod fault;
mod packet;
fn main() {}
