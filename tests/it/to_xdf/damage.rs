//! Files that are cut, damaged or begun in the middle, and one that was not written by us.

use std::fs;

use framepipe_tests::{Scratch, pipe, root};
use libframe_xdf::{ClockOffset, Content, Item, Reader, Stamper, header, survey};

use super::{Found, pyxdf};

/// A small recording, with all there can be in one.
fn small(folder: &Scratch) -> Vec<u8> {
    let file = folder.file("whole.xdf");
    let line = "sim-src sine:channels=2 control --event hit/50ms -n 60 --rate max";
    pipe(&format!("{line} | to-xdf {file}")).run().expect(&[0, 0]);
    fs::read(file).unwrap()
}

#[test]
fn a_file_cut_at_any_byte_has_all_its_whole_chunks() {
    let folder = Scratch::new();
    let whole = small(&folder);
    let ends = chunk_ends(&whole);
    assert!(ends.len() > 10 && whole.len() < 100_000, "{ends:?}");
    let file = folder.file("cut.xdf");
    let (mut by_pyxdf, mut tried) = (0, 0);
    for cut in 4..whole.len() {
        fs::write(&file, &whole[..cut]).unwrap();
        let mut reader = Reader::open(file.as_ref()).unwrap();
        let mut chunks = 0;
        let mut damage = 0;
        while let Some(item) = reader.next().unwrap() {
            match item {
                Item::Chunk(_) => chunks += 1,
                Item::Damage(_) => damage += 1,
            }
        }
        let wanted = ends.iter().filter(|end| **end <= cut as u64).count();
        let is_end = cut == 4 || ends.contains(&(cut as u64));
        assert_eq!((chunks, damage), (wanted, usize::from(!is_end)), "cut at {cut}");
        if cut % 997 == 0
            && let Some(seen) = pyxdf("walk", &file)
        {
            tried += 1;
            by_pyxdf += u32::from(seen.get("counts").is_some());
        }
    }
    eprintln!(
        "cut at {} bytes: ours reads all; pyxdf {by_pyxdf} of {tried}",
        whole.len() - 4
    );
}

fn chunk_ends(bytes: &[u8]) -> Vec<u64> {
    let mut reader = Reader::new(std::io::Cursor::new(bytes)).unwrap();
    let mut ends = Vec::new();
    while let Some(Item::Chunk(_)) = reader.next().unwrap() {
        ends.push(reader.offset());
    }
    ends
}

#[test]
fn damage_costs_what_is_before_the_next_boundary_and_no_more() {
    let folder = Scratch::new();
    let file = folder.file("a.xdf");
    pipe(&format!("sim-src glove -n 4000 --rate max | to-xdf {file}"))
        .run()
        .expect(&[0, 0]);
    let whole = fs::read(&file).unwrap();
    let all = Found::in_file(&file);
    assert!(all.boundaries >= 5, "{}", all.boundaries);
    // Where it hurts: in the heads of chunks. Behind the headers, without which samples are
    // only bytes.
    let ends = chunk_ends(&whole);
    let starts = ends.iter().map(|end| *end as usize).filter(|end| *end > 8000);
    let mut lost = 0;
    let mut flips = 0;
    for start in starts.filter(|start| *start + 16 < whole.len()) {
        for bit in (0..16 * 8).step_by(5) {
            let mut bytes = whole.clone();
            bytes[start + bit / 8] ^= 1 << (bit % 8);
            fs::write(&file, &bytes).unwrap();
            let found = Found::in_file(&file);
            let missing = all.samples.len() - found.samples.len().min(all.samples.len());
            // 256 KiB, a chunk that was begun before and one behind.
            assert!(missing <= 1000, "{missing} lost at byte {start}, bit {bit}");
            (lost, flips) = (lost + missing, flips + 1);
        }
    }
    assert!(lost > 0 && flips > 200, "{lost} lost by {flips}");
    eprintln!(
        "{flips} flipped bits in heads of chunks: {} samples lost by each",
        lost / flips
    );
    // A hole of zeros, as a disk leaves that lost its cache.
    let mut bytes = whole.clone();
    bytes[600_000..620_000].fill(0);
    fs::write(&file, &bytes).unwrap();
    let found = Found::in_file(&file);
    assert!(found.samples.len() + 1000 > all.samples.len());
    let run = pipe(&format!("repair-frames {file}")).run();
    run.expect(&[3]).expect_stderr(0, "unreadable bytes:");
    assert_eq!(fs::read(&file).unwrap().len(), whole.len(), "only the end is cut");
}

#[test]
fn repair_frames_adds_what_the_end_of_a_file_lacks() {
    let folder = Scratch::new();
    let whole = small(&folder);
    let ends = chunk_ends(&whole);
    let file = folder.file("a.xdf");
    let at = ends[ends.len() - 6] as usize + 7;
    fs::write(&file, &whole[..at]).unwrap();
    let before = Found::in_file(&file);
    let run = pipe(&format!("repair-frames {file}")).run();
    run.expect(&[3])
        .expect_stderr(0, "7 bytes cut off at byte")
        .expect_stderr(0, "footer added");
    let tail = fs::read(folder.file("a.xdf.tail")).unwrap();
    assert_eq!(tail, &whole[at - 7..at]);
    let after = Found::in_file(&file);
    assert_eq!((after.samples, after.damage.len()), (before.samples, 0));
    let survey = survey(file.as_ref()).unwrap();
    assert!(survey.streams.len() >= 4);
    for stream in &survey.streams {
        let footer = stream.footer.as_deref().unwrap().as_bytes();
        let count = stream.samples.to_string();
        assert_eq!(header::element(footer, "sample_count"), Some(&*count));
        let last = header::element(footer, "last_timestamp").unwrap().parse().ok();
        assert_eq!(last.filter(|_| stream.samples > 0), stream.last);
    }
    let run = pipe(&format!("repair-frames -v {file}")).run();
    run.expect(&[0]).expect_stderr(0, "is complete, nothing to do");
    // Another tail does not take the place of the first.
    let mut bytes = fs::read(&file).unwrap();
    bytes.extend([4, 9]);
    fs::write(&file, bytes).unwrap();
    pipe(&format!("repair-frames -q {file}")).run().expect(&[3]);
    assert_eq!(fs::read(folder.file("a.xdf.tail-001")).unwrap(), [4, 9]);
    let run = pipe(&format!("repair-frames {file} --report r")).run();
    run.expect(&[2]).expect_stderr(0, "--report is for recordings in the pipe's format");
    if let Some(found) = pyxdf("all", &file) {
        let streams = found["streams"].as_array().unwrap();
        assert!(streams.iter().all(|one| one["footer"].is_u64()), "{streams:?}");
    }
}

#[test]
fn the_file_that_pyxdf_was_checked_with_is_read_exactly() {
    let file = root().join("../shared/fixtures/mini.xdf");
    if !file.exists() {
        eprintln!("skipped: no fixture {}", file.display());
        return;
    }
    let mut reader = Reader::open(&file).unwrap();
    let mut seen = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        let Item::Chunk(chunk) = item else { panic!("{item:?}") };
        seen.push(match chunk.content {
            Content::FileHeader(_) => "header".to_owned(),
            Content::StreamHeader(xml) => {
                format!("{:?} at {} Hz", header::layout(xml).unwrap(), header::rate(xml))
            }
            Content::Samples(samples) => {
                let mut stamper = Stamper::new(100.0);
                let number = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes);
                let all = samples.iter().map(|sample| {
                    let values = sample.values.as_chunks().0.iter().map(number);
                    (stamper.time(sample.time), values.collect::<Vec<_>>())
                });
                format!("{:?}", all.collect::<Vec<_>>())
            }
            Content::ClockOffset(ClockOffset { time, value }) => {
                format!("{time} {value}")
            }
            Content::Boundary => "boundary".into(),
            Content::StreamFooter(xml) => {
                format!("{} samples", header::element(xml, "sample_count").unwrap())
            }
            other => panic!("{other:?}"),
        });
    }
    let wanted = [
        "header",
        "Numbers { size: 8 } at 100 Hz",
        "[(100.0, [1.0, 2.0]), (100.01, [3.0, 4.0]), (100.02000000000001, [5.0, 6.0]), \
         (100.03000000000002, [7.0, 8.0])]",
        "50 50.25",
        "boundary",
        "4 samples",
    ];
    assert_eq!(seen, wanted);
    let survey = survey(&file).unwrap();
    let stream = survey.stream(1).unwrap();
    assert_eq!((stream.name(), stream.samples, stream.chunks), ("T", 4, 1));
    assert_eq!((stream.first, stream.offsets.len()), (Some(100.0), 1));
    assert!((stream.last.unwrap() - 100.03).abs() < 1e-9);
    assert!(survey.cut().is_none() && survey.len == 518);
}
