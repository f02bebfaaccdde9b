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
/// What is kept until there is a stream: a source that waits for hours says little. Behind
/// that it has to wait.
const MAX_WAITING: usize = 16 << 20;

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
    let mut waiting = Vec::new();
    // A source that cannot be read is one that has ended.
    while let Ok(n @ 1..) = source.read(&mut chunk) {
        decoder.push(&chunk[..n]);
        look(&mut decoder, shared, clock);
        let written = match &mut sink {
            Some(file) => file.write_all(&chunk[..n]),
            None => {
                waiting.extend_from_slice(&chunk[..n]);
                if !shared.lock().is_ready && waiting.len() < MAX_WAITING {
                    continue;
                }
                // Nobody will take it if the recording was called off.
                let Ok(mut file) = sinks.recv() else { break };
                let written = file.write_all(&std::mem::take(&mut waiting));
                sink = Some(file);
                written
            }
        };
        if written.is_err() {
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
    told.is_ready |= told.health.has_streams();
}
