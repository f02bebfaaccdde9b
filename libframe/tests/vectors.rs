//! The committed vectors are what the program writes, and say what the decoder finds.

#[path = "../examples/vectors/bad.rs"]
mod bad;
#[path = "../examples/vectors/cases.rs"]
mod cases;
#[path = "../examples/vectors/good.rs"]
mod good;
#[path = "../examples/vectors/statement.rs"]
mod statement;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cases::Case;
use libframe::decoder::Decoder;
use serde_json::Value;

/// The format's documentation lives on short examples.
const MAX_LEN: usize = 4096;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors").join(name)
}

fn all() -> impl Iterator<Item = (PathBuf, Case)> {
    let ok = good::ok().into_iter().map(|case| (folder("ok").join(case.name), case));
    let bad = bad::bad().into_iter().map(|case| (folder("bad").join(case.name), case));
    ok.chain(bad)
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|why| panic!("{path:?}: {why}; run scripts/vectors"))
}

#[test]
fn committed_streams_are_those_of_this_writer() {
    for (path, case) in all() {
        let committed = read(&path.with_extension("frames"));
        assert_eq!(committed, case.bytes, "{}: run scripts/vectors", case.name);
        assert!(committed.len() <= MAX_LEN, "{} is long", case.name);
    }
}

#[test]
fn committed_statements_hold_for_the_committed_streams() {
    for (path, case) in all() {
        let frames = read(&path.with_extension("frames"));
        let text = read(&path.with_extension("json"));
        let committed: Value = serde_json::from_slice(&text).unwrap();
        let found = statement::of(case.about, &frames);
        assert_eq!(committed, found, "{}: run scripts/vectors", case.name);
        let written = statement::text(&found);
        assert_eq!(text, written.as_bytes(), "{}: run scripts/vectors", case.name);
        assert!(text.len() <= MAX_LEN, "{} is long", case.name);
    }
}

#[test]
fn statements_are_what_was_counted_by_hand() {
    for (_, case) in all() {
        let found = statement::of(case.about, &case.bytes);
        let damage = found["damage"].as_array().unwrap();
        let causes: Vec<_> =
            damage.iter().map(|one| one["cause"].as_str().unwrap()).collect();
        let records = found["records"].as_array().unwrap().len();
        assert_eq!((records, &causes[..]), case.found, "{}", case.name);
    }
}

#[test]
fn no_file_is_left_over() {
    let expected: BTreeSet<_> = all()
        .flat_map(|(path, _)| ["frames", "json"].map(|kind| path.with_extension(kind)))
        .collect();
    let found: BTreeSet<_> = ["ok", "bad"]
        .into_iter()
        .flat_map(|name| fs::read_dir(folder(name)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_smallest_limit_accounts_for_every_byte() {
    for (_, case) in all() {
        let mut decoder = Decoder::new(0);
        case.bytes.iter().for_each(|byte| decoder.push(&[*byte]));
        decoder.close();
        while decoder.pull().is_some() {}
        assert_eq!(decoder.offset(), case.bytes.len() as u64, "{}", case.name);
    }
}
