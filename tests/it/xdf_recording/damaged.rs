//! Files that were cut off, or of which bits have flipped.

use std::fs;

use framepipe_tests::{Scratch, pipe};
use serde_json::Value;

use super::{replaced, written};

/// A chunk of a file: where it begins and ends, its tag, stream and samples.
pub(super) struct Chunk {
    pub(super) from: usize,
    /// Where its content begins.
    pub(super) content: usize,
    pub(super) to: usize,
    pub(super) tag: u16,
    stream: u32,
    samples: u64,
}

fn number(bytes: &[u8]) -> (usize, usize) {
    match bytes[0] {
        1 => (bytes[1].into(), 2),
        4 => (u32::from_le_bytes(bytes[1..5].try_into().unwrap()) as usize, 5),
        width => panic!("a length in {width} bytes"),
    }
}

/// The chunks of a file that is whole.
pub(super) fn chunks(file: &[u8]) -> Vec<Chunk> {
    let (mut at, mut all) = (4, Vec::new());
    while at < file.len() {
        let (length, width) = number(&file[at..]);
        let (head, to) = (at + width, at + width + length);
        let tag = u16::from_le_bytes(file[head..head + 2].try_into().unwrap());
        let of_stream = [2, 3, 4, 6].contains(&tag);
        let stream = match of_stream {
            true => u32::from_le_bytes(file[head + 2..head + 6].try_into().unwrap()),
            false => 0,
        };
        let samples = if tag == 3 { number(&file[head + 6..]).0 as u64 } else { 0 };
        let content = head + if of_stream { 6 } else { 2 };
        all.push(Chunk { from: at, content, to, tag, stream, samples });
        at = to;
    }
    all
}

/// What `inspect-frames` tells of many files of one session, in their order. Between them
/// stands one of another session: what broke off might go on in the next file.
fn inspect(folder: &Scratch, files: &[String], code: i32) -> Vec<Value> {
    let other = folder.file("other.xdf");
    let bytes = fs::read(folder.file("small.xdf")).unwrap();
    fs::write(&other, replaced(&bytes, b"2026-11-20T21", b"2026-11-20T22")).unwrap();
    let all = files.join(&format!(" {other} "));
    let run = pipe(&format!("inspect-frames -q -f json {all} {other}")).run();
    assert_eq!(run.codes(), [code], "{}", run.everything());
    let all = run.json()["sessions"].as_array().unwrap().clone();
    let all: Vec<Value> = all.into_iter().step_by(2).collect();
    assert_eq!(all.len(), files.len());
    all
}

/// Samples and losses of the stream of numbers, and how many events there were.
fn counts(session: &Value) -> (u64, u64, u64) {
    let streams = session["streams"].as_array().unwrap();
    let numbers = streams.iter().find(|stream| stream["name"] == "N");
    let of = |key: &str| numbers.map_or(0, |stream| stream[key].as_u64().unwrap());
    (of("samples"), of("lost"), session["events"].as_u64().unwrap())
}

#[test]
fn all_complete_chunks_are_read_of_a_file_that_was_cut_anywhere() {
    let folder = Scratch::new();
    let Some(whole) = written(&folder, "small", &[]) else { return };
    let bytes = fs::read(whole).unwrap();
    let chunks = chunks(&bytes);
    let mut files = Vec::new();
    for cut in 4..bytes.len() {
        let file = folder.file(&format!("{cut}.xdf"));
        fs::write(&file, &bytes[..cut]).unwrap();
        files.push(file);
    }
    for (cut, session) in (4..).zip(inspect(&folder, &files, 3)) {
        let there = |stream: u32| -> u64 {
            let whole =
                chunks.iter().filter(|chunk| chunk.to <= cut && chunk.stream == stream);
            whole.map(|chunk| chunk.samples).sum()
        };
        let (samples, lost, events) = counts(&session);
        assert_eq!((samples, lost, events), (there(1), 0, there(2)), "cut at {cut}");
        assert!(session["broke_off"].is_string(), "cut at {cut}");
    }
    let last = files.last().unwrap();
    for reader in ["inspect-frames", "jitter-report", "replay --speed max"] {
        let run = pipe(&format!("{reader} {last}")).run();
        run.expect(&[3]).expect_stderr(0, &format!("`repair-frames {last}`"));
    }
}

#[test]
fn a_flipped_bit_takes_no_more_than_up_to_the_next_boundary_and_that_is_told() {
    let folder = Scratch::new();
    let Some(whole) = written(&folder, "small", &[]) else { return };
    let bytes = fs::read(whole).unwrap();
    let chunks = chunks(&bytes);
    let (mut files, mut places) = (Vec::new(), Vec::new());
    // In what is neither header nor footer: those say what there should be.
    for chunk in chunks.iter().filter(|chunk| [3, 4, 5].contains(&chunk.tag)) {
        for at in chunk.from..chunk.to {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            let file = folder.file(&format!("{at}.xdf"));
            fs::write(&file, flipped).unwrap();
            files.push(file);
            places.push(at);
        }
    }
    // Most flips are in numbers, times and texts, where nobody can know.
    let sessions = inspect(&folder, &files, 3);
    for (at, session) in places.into_iter().zip(sessions) {
        let (samples, lost, _) = counts(&session);
        assert_eq!(samples + lost, 20, "flipped at {at}: {session}");
        // Each boundary stands behind five of them.
        assert!(lost <= 10, "flipped at {at}: {lost} lost");
        let hit =
            chunks.iter().find(|chunk| (chunk.from..chunk.to).contains(&at)).unwrap();
        if hit.stream != 1 && lost > 0 {
            assert!(lost <= 5, "flipped at {at}, in another stream: {lost} lost");
        }
    }
}

#[test]
fn what_is_missing_behind_damage_stands_where_it_is_missing() {
    let folder = Scratch::new();
    let Some(whole) = written(&folder, "small", &[]) else { return };
    let mut bytes = fs::read(&whole).unwrap();
    let chunks = chunks(&bytes);
    let second =
        chunks.iter().filter(|chunk| chunk.tag == 3 && chunk.stream == 1).nth(1).unwrap();
    // Its count.
    bytes[second.content + 1] ^= 1;
    fs::write(&whole, bytes).unwrap();
    let run = pipe(&format!("inspect-frames -f json {whole}")).run();
    let report = run.expect(&[3]).json();
    let gaps = report["sessions"][0]["gaps"].clone();
    assert_eq!(gaps.as_array().unwrap().len(), 1, "{gaps}");
    let told = ["first_sample", "count", "reason"].map(|key| gaps[0][key].clone());
    assert_eq!(told, [Value::from(5), 5.into(), "corrupt".into()], "{gaps}");
    assert_eq!(report["input"]["damaged_places"], 1);
}
