//! The way of the records through us, untouched: we look at them, and if we die the source
//! and the recorders end too instead of running on alone.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::mpsc::Receiver;

use libframe::clock::Clock;
use libframe::decoder::{Decoder, Item};

use crate::told::Shared;

/// As much as a widened pipe may hold.
const CHUNK: usize = 256 << 10;

/// Passes on all that comes from `source`, from the moment on that there is someone to take
/// it.
pub(crate) fn relay(
    mut source: File,
    sinks: &Receiver<File>,
    shared: &Shared,
    clock: &Clock,
) {
    let mut decoder = Decoder::default();
    let mut chunk = vec![0; CHUNK];
    let mut sink: Option<File> = None;
    // A source that cannot be read is one that has ended.
    while let Ok(n @ 1..) = source.read(&mut chunk) {
        decoder.push(&chunk[..n]);
        look(&mut decoder, shared, clock);
        if sink.is_none() {
            shared.lock().is_ready = true;
            // Nobody will take it: the recording was called off.
            let Ok(file) = sinks.recv() else { break };
            sink = Some(file);
        }
        if let Some(file) = &mut sink
            && file.write_all(&chunk[..n]).is_err()
        {
            shared.lock().is_refused = true;
            break;
        }
    }
    decoder.close();
    look(&mut decoder, shared, clock);
    shared.lock().is_relayed = true;
}

fn look(decoder: &mut Decoder, shared: &Shared, clock: &Clock) {
    let (mut told, now) = (shared.lock(), clock.now());
    while let Some(item) = decoder.pull() {
        match item {
            Item::Record(record) => told.health.take(&record, now),
            Item::Damage(damage) => told.health.damaged(&damage),
        }
    }
}
