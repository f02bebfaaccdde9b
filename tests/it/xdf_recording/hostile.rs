//! Lengths that nobody should believe, and chunks as long as they may be.

use std::fs;

use framepipe_tests::{Scratch, pipe};

use super::written;

const MIB: u64 = 1 << 20;

fn chunk(tag: u16, stream: Option<u32>, content: &[u8]) -> Vec<u8> {
    let stream = stream.map_or(Vec::new(), |stream| stream.to_le_bytes().to_vec());
    let length = (2 + stream.len() + content.len()) as u32;
    [&[4][..], &length.to_le_bytes(), &tag.to_le_bytes(), &stream, content].concat()
}

fn header(channels: &str, format: &str) -> Vec<u8> {
    let xml = format!(
        "<info><name>N</name><type>T</type><channel_count>{channels}</channel_count>\
         <channel_format>{format}</channel_format><nominal_srate>100</nominal_srate></info>"
    );
    chunk(2, Some(1), xml.as_bytes())
}

/// A file with a header and this.
fn file_of(parts: &[&[u8]]) -> Vec<u8> {
    let front = chunk(1, None, b"<info><version>1.0</version></info>");
    [b"XDF:", &front[..], &parts.concat()].concat()
}

#[test]
fn lengths_that_nobody_should_believe_take_no_memory() {
    let folder = Scratch::new();
    let samples = |count: &[u8]| chunk(3, Some(1), &[count, &[0; 64]].concat());
    let absurd = [8, 255, 255, 255, 255, 255, 255, 255, 127];
    let files = [
        file_of(&[&absurd, &[3, 0, 1, 0, 0, 0]]),
        file_of(&[&[4, 255, 255, 255, 255, 3, 0, 1, 0, 0, 0], &[0; 100]]),
        file_of(&[&header("2", "float32"), &samples(&absurd)]),
        file_of(&[&header("2", "float32"), &samples(&[4, 255, 255, 255, 255])]),
        file_of(&[&header("4294967295", "int64"), &samples(&[1, 1])]),
        file_of(&[&header("1048576", "int64"), &samples(&[1, 1])]),
        file_of(&[&header("0", "int8"), &samples(&[1, 64])]),
        file_of(&[&header("0", "string"), &samples(&[1, 64])]),
        file_of(&[
            &header("1", "string"),
            &chunk(3, Some(1), &[1, 1, 0, 4, 255, 255, 255, 255]),
        ]),
        file_of(&[&header("1", "int8"), &chunk(4, Some(1), &[255; 16])]),
        file_of(&[&header("1", "int8"), &header("1", "int64"), &samples(&[1, 32])]),
        file_of(&[&chunk(2, Some(1), "<a>".repeat(100_000).as_bytes())]),
        file_of(&[&chunk(6, Some(1), b"<info/>"), &chunk(3, Some(9), &[1, 0])]),
    ];
    for (n, bytes) in files.iter().enumerate() {
        let file = folder.file(&format!("{n}.xdf"));
        fs::write(&file, bytes).unwrap();
        for reader in ["inspect-frames -q", "jitter-report -q", "replay -q --speed max"] {
            let run = pipe(&format!("{reader} {file}")).run();
            assert!([1, 3].contains(&run.codes()[0]), "{n}: {}", run.everything());
            assert!(!run.stderrs[0].contains("panicked"), "{n}: {}", run.everything());
            assert!(
                run.peaks[0] < 64 * MIB,
                "{n}, {reader}: {} KiB",
                run.peaks[0] / 1024
            );
        }
    }
}

#[test]
fn memory_depends_on_the_longest_chunk_and_not_on_the_file() {
    let folder = Scratch::new();
    let Some(long) = written(&folder, "wide", &["120"]) else { return };
    let Some(short) = written(&folder, "one", &["120", "100"]) else { return };
    for (file, limit) in [(&long, 128 * MIB), (&short, 48 * MIB)] {
        for reader in [
            "inspect-frames -q",
            "jitter-report -q --jitter-fail 1h",
            "replay -q --speed max",
        ] {
            let run = pipe(&format!("{reader} {file} | wc -c")).run();
            assert_eq!(run.codes()[1], 0);
            let peak = run.peaks[0];
            assert!(peak > 0 && peak < limit, "{reader} {file}: {} KiB", peak / 1024);
        }
    }
}
