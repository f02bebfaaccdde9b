//! Put events in: from keys, lines on a FIFO, signals, or times.

fn main() {}
