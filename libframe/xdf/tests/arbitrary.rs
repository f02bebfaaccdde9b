//! Whatever a file holds: nothing panics, and what was written is read.

#![allow(clippy::unwrap_used, reason = "an unwrap that fails is a test that fails")]

use std::io::Cursor;

use libframe_xdf::chunk::BOUNDARY;
use libframe_xdf::{Content, Gathered, Item, Reader, Writer, strings};
use proptest::collection::vec;
use proptest::prelude::*;

const HEADERS: [(u32, &str); 2] = [
    (
        1,
        "<info><channel_count>3</channel_count><channel_format>int8</channel_format></info>",
    ),
    (
        2,
        "<info><channel_count>2</channel_count><channel_format>string</channel_format></info>",
    ),
];

/// A sample of the first stream, or of the second.
#[derive(Clone, Debug)]
enum Sent {
    Numbers(Option<f64>, [u8; 3]),
    Texts(Option<f64>, [Vec<u8>; 2]),
}

fn time() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![Just(None), (-1e6..1e6f64).prop_map(Some)]
}

fn sent() -> impl Strategy<Value = Sent> {
    let texts = [vec(any::<u8>(), 0..300), vec(any::<u8>(), 0..5)];
    prop_oneof![
        (time(), any::<[u8; 3]>()).prop_map(|(t, v)| Sent::Numbers(t, v)),
        (time(), texts).prop_map(|(t, v)| Sent::Texts(t, v)),
    ]
}

/// A file with these samples, of which a chunk ends after so many, and its samples as they
/// should be read.
fn file(all: &[Sent], each: usize) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    HEADERS.iter().for_each(|(stream, xml)| writer.stream_header(*stream, xml));
    let mut gathered = [Gathered::default(), Gathered::default()];
    for samples in all.chunks(each) {
        for sample in samples {
            match sample {
                Sent::Numbers(time, values) => gathered[0].push(*time, values),
                Sent::Texts(time, texts) => {
                    gathered[1].push_strings(*time, texts.iter().map(Vec::as_slice));
                }
            }
        }
        writer.samples(1, &mut gathered[0]);
        writer.samples(2, &mut gathered[1]);
        writer.boundary();
    }
    writer.flush().unwrap();
    writer.get_ref().clone()
}

/// What is read, as text, and how many places are damaged. Nothing is left out.
fn read(bytes: &[u8]) -> Option<(Vec<String>, usize)> {
    let mut reader = Reader::new(Cursor::new(bytes)).ok()?;
    let (mut all, mut damages, mut next) = (Vec::new(), 0, reader.offset());
    while let Some(item) = reader.next().ok()? {
        match item {
            Item::Damage(damage) => {
                assert_eq!(damage.offset, next);
                assert!(damage.bytes > 0);
                next += damage.bytes;
                damages += 1;
            }
            Item::Chunk(chunk) => {
                assert_eq!(chunk.offset, next);
                next = chunk.head.end(next).unwrap();
                if let Content::Samples(samples) = chunk.content {
                    let stream = chunk.head.stream;
                    all.extend(samples.iter().map(|sample| match stream {
                        1 => format!("1 {:?} {:?}", sample.time, sample.values),
                        _ => {
                            let texts: Vec<_> = strings(sample.values).collect();
                            format!("{stream} {:?} {texts:?}", sample.time)
                        }
                    }));
                }
            }
        }
    }
    assert_eq!(next, bytes.len() as u64);
    Some((all, damages))
}

fn as_sent(all: &[Sent]) -> Vec<String> {
    let text = |sent: &Sent| match sent {
        Sent::Numbers(time, values) => format!("1 {time:?} {values:?}"),
        Sent::Texts(time, texts) => format!("2 {time:?} {texts:?}"),
    };
    all.iter().map(text).collect()
}

proptest! {
    #[test]
    fn what_was_written_is_read(all in vec(sent(), 0..60), each in 1..20usize) {
        let (mut found, damages) = read(&file(&all, each)).unwrap();
        let mut wanted = as_sent(&all);
        prop_assert_eq!(damages, 0);
        // Streams have chunks of their own; within one, order is kept.
        wanted.sort_by_key(|text| text.starts_with('2'));
        found.sort_by_key(|text| text.starts_with('2'));
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn damage_invents_nothing_and_chunks_that_are_whole_are_read(
        all in vec(sent(), 1..60),
        each in 1..20usize,
        at in any::<prop::sample::Index>(),
        patch in vec(any::<u8>(), 1..40),
    ) {
        let whole = file(&all, each);
        let header = 4 + HEADERS.iter().map(|(_, xml)| xml.len() + 8).sum::<usize>();
        let mut bytes = whole.clone();
        let at = header + at.index(whole.len() - header);
        let end = (at + patch.len()).min(whole.len());
        bytes[at..end].copy_from_slice(&patch[..end - at]);
        let (found, _) = read(&bytes).unwrap();
        // All that is behind the second boundary after the damage is there.
        let boundaries = whole[end..].windows(16).enumerate().filter(|(_, w)| *w == BOUNDARY);
        if let Some((boundary, _)) = boundaries.skip(1).map(|(n, w)| (end + n, w)).next() {
            let behind = [&whole[..header], &whole[boundary + 16..]].concat();
            let (wanted, _) = read(&behind).unwrap();
            prop_assert!(found.ends_with(&wanted), "{found:?}\n{wanted:?}");
        }
    }

    #[test]
    fn any_bytes_are_read_to_their_end(bytes in vec(any::<u8>(), 0..2000), good: bool) {
        let front = if good { file(&[], 1) } else { Vec::new() };
        drop(read(&[&front[..], &bytes].concat()));
    }
}
