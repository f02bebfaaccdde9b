//! Any bytes as an XDF file, under any limit.
//!
//! The first byte of the input chooses the limit; with its highest bit set, what follows comes
//! behind good headers, so that samples are tried too.

#![no_main]

use std::io::Cursor;

use libframe_xdf::{Content, Gathered, Item, Reader, Survey, Writer, strings};
use libfuzzer_sys::fuzz_target;

const LIMITS: [usize; 4] = [0, 64, 4096, 64 << 20];
const STREAMS: [(u32, &str, u32); 3] = [(1, "int16", 2), (2, "string", 2), (3, "double64", 1)];

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first() else { return };
    let limit = LIMITS[usize::from(choice & 0x7f) % LIMITS.len()];
    let front = if choice & 0x80 == 0 { Vec::new() } else { headers() };
    let file = [&front[..], rest].concat();
    walk(&file, limit);
    if let Ok(mut reader) = Reader::new(Cursor::new(&file)) {
        if let Ok(survey) = Survey::of(&mut reader) {
            assert!(survey.damaged.1 <= file.len() as u64, "more damage than bytes");
        }
    }
});

fn headers() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (stream, format, channels) in STREAMS {
        writer.stream_header(
            stream,
            &format!(
                "<info><channel_count>{channels}</channel_count><channel_format>{format}\
                 </channel_format></info>"
            ),
        );
    }
    let mut gathered = Gathered::default();
    gathered.push(Some(1.0), &[0; 4]);
    writer.samples(1, &mut gathered);
    writer.boundary();
    writer.flush().expect("memory");
    writer.get_ref().clone()
}

/// Chunks and damage are all there is, and in order.
fn walk(file: &[u8], limit: usize) {
    let Ok(mut reader) = Reader::new(Cursor::new(file)) else { return };
    reader.limit(limit);
    let mut next = reader.offset();
    loop {
        let item = match reader.next() {
            Ok(Some(item)) => item,
            Ok(None) => break,
            Err(_) => return,
        };
        let (offset, end) = match item {
            Item::Damage(damage) => {
                assert_ne!(damage.bytes, 0, "damage of nothing");
                (damage.offset, damage.offset + damage.bytes)
            }
            Item::Chunk(chunk) => {
                if let Content::Samples(samples) = &chunk.content {
                    let n = samples.iter().inspect(|s| drop(strings(s.values).count())).count();
                    assert_eq!(n as u64, samples.len(), "not as many as it says");
                    let last = samples.last().map(|sample| sample.values);
                    assert_eq!(last, samples.iter().last().map(|sample| sample.values));
                }
                (chunk.offset, chunk.head.end(chunk.offset).expect("an end"))
            }
        };
        assert_eq!(offset, next, "bytes are left without an item");
        assert!(end <= file.len() as u64, "beyond the file");
        next = end;
    }
    assert_eq!(next, file.len() as u64, "the end is left without an item");
}
