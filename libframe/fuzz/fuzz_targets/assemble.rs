//! Any messages of Open Ephys, or what looks a little like them, put together.
//!
//! The input is a list of orders of eight bytes. Most make a message of the plugin's, with a
//! channel, sample number, length and message number near the last; some change a byte of
//! its JSON, cut its payload, or take the rest of the input as the JSON itself.

#![no_main]

#[path = "../../../tools/zmq-src/src/assembly.rs"]
#[allow(dead_code)]
mod assembly;
#[path = "../../../tools/zmq-src/src/block.rs"]
#[allow(dead_code)]
mod block;
#[path = "../../../tools/zmq-src/src/blocks.rs"]
#[allow(dead_code)]
mod blocks;
#[path = "../../../tools/zmq-src/src/field.rs"]
#[allow(dead_code)]
mod field;
#[path = "../../../tools/zmq-src/src/message.rs"]
#[allow(dead_code)]
mod message;
#[path = "../../../tools/zmq-src/src/numbering.rs"]
#[allow(dead_code)]
mod numbering;
#[path = "../../../tools/zmq-src/src/roster.rs"]
#[allow(dead_code)]
mod roster;

use anyhow::Result;
use libfuzzer_sys::fuzz_target;

use crate::assembly::{Assembly, Partial};
use crate::block::{Arrival, Block};
use crate::blocks::{Blocks, Hole};
use crate::message::{Body, parse};
use crate::numbering::Numbering;
use crate::roster::Set;

fuzz_target!(|input: &[u8]| {
    let Some((choice, mut rest)) = input.split_first() else { return };
    let partial = if choice & 1 == 0 { Partial::Nan } else { Partial::Drop };
    let mut rig = Rig {
        numbering: Numbering::default(),
        assembly: Assembly::new(partial),
        check: Check::default(),
        number: 0,
        sample: 0,
    };
    while let Some((order, more)) = rest.split_first_chunk::<8>() {
        rest = more;
        rig.obey(*order, rest);
    }
    rig.assembly.finish(i64::MAX, &mut rig.check).expect("a check that passes");
});

struct Rig {
    numbering: Numbering,
    assembly: Assembly,
    check: Check,
    number: i64,
    sample: u64,
}

impl Rig {
    fn obey(&mut self, order: [u8; 8], rest: &[u8]) {
        let [what, channel, step, length, number, more, at, byte] = order;
        if what & 0x0f == 0 {
            self.assembly.settle(&mut self.check).expect("a check that passes");
            return;
        }
        self.number = match number {
            255 => 1,
            254 => i64::from_le_bytes(order),
            step => self.number.wrapping_add(i64::from(step & 3)),
        };
        self.sample = match step {
            255 => 0,
            254 => u64::from_le_bytes(order) >> 1,
            step => self.sample.saturating_add(u64::from(step & 31)),
        };
        let length = match length {
            255 => 1 << (more & 31),
            length => usize::from(length & 15),
        };
        let channel = if channel == 255 { u32::from(more) << 8 } else { u32::from(channel & 15) };
        // A claim is not a gibibyte of zeros.
        let payload = vec![0; 4 * length.min(4096)];
        let (number, sample) = (self.number, self.sample);
        let mut json = format!(
            "{{\"message_num\":{number},\"type\":\"data\",\"content\":{{\"stream\":\"a\",\
             \"channel_num\":{channel},\"num_samples\":{length},\"sample_num\":{sample},\
             \"sample_rate\":30000.0}}}}"
        )
        .into_bytes();
        match what >> 5 {
            0 => json = rest.to_vec(),
            1 => {
                let len = json.len();
                json[usize::from(at) % len] = byte;
            }
            _ => {}
        }
        self.send(&json, &payload);
    }

    fn send(&mut self, json: &[u8], payload: &[u8]) {
        let Ok(message) = parse(&[b"DATA\0", json, payload]) else { return };
        let place = self.numbering.note(message.number);
        let Body::Data(data) = message.body else { return };
        data.rows().for_each(|(_, row)| assert_eq!(row.len(), 4 * data.samples));
        let arrival = Arrival { at: self.number, published: 0 };
        let taken = self.assembly.take(&data, place, arrival, &mut self.check);
        taken.expect("a check that passes");
    }
}

/// Checks that numbers follow each other, and that blocks are what they say.
#[derive(Default)]
struct Check {
    next: u64,
    width: usize,
    bytes: Vec<u8>,
}

impl Blocks for Check {
    fn channels(&mut self, set: &Set) -> Result<()> {
        assert!(!set.channels.is_empty() && set.channels.is_sorted());
        assert_eq!(set.channels.len(), set.names.len());
        self.width = set.channels.len();
        Ok(())
    }

    fn segment(&mut self, _first: u64) -> Result<()> {
        Ok(())
    }

    fn missing(&mut self, hole: &Hole<'_>) -> Result<()> {
        assert_eq!(hole.seq, self.next);
        assert!(hole.columns.iter().all(|column| (*column as usize) < self.width));
        if hole.columns.is_empty() {
            self.next = self.next.saturating_add(hole.count);
        }
        Ok(())
    }

    fn block(&mut self, seq: u64, block: &Block, set: &Set) -> Result<()> {
        assert_eq!((seq, set.channels.len()), (self.next, self.width));
        self.bytes.clear();
        block.write(block.samples, &mut self.bytes);
        assert_eq!(self.bytes.len(), 4 * self.width * block.samples);
        assert!(self.bytes.len() <= block::MAX_BLOCK);
        self.next = self.next.saturating_add(block.samples as u64);
        Ok(())
    }

    fn late(&mut self, _channel: u32, _samples: usize) -> Result<()> {
        Ok(())
    }
}
