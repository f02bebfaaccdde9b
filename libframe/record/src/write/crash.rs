//! What a crash in the middle of HDF5's own flush leaves, tried without a crash.

use std::fs;
use std::path::{Path, PathBuf};

use libframe::payload::{Payload as _, Session};
use libframe::schema::{Dtype, Media, Stream};
use libframe::wire::{Header, Kind, Record};

use super::{Options, Recording};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("framepipe-{name}-{}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        fs::create_dir_all(folder.journal()).unwrap();
        folder
    }

    fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn add(recording: &mut Recording, kind: Kind, seq: u64, payload: &[u8]) {
    let stream = u16::from(kind != Kind::SESSION);
    let header = Header { kind, flags: 0, stream, session: 1, seq, time: 1, sent: 0 };
    recording.add(&Record::new(header, payload)).unwrap();
}

fn begin(recording: &mut Recording) {
    let stream = Stream {
        name: "s".into(),
        media: Media::Samples,
        dtype: Some(Dtype::U64),
        ..Stream::default()
    };
    add(recording, Kind::SESSION, 0, &Session::default().to_bytes());
    add(recording, Kind::STREAM, 0, &stream.to_bytes());
}

fn samples(recording: &mut Recording, numbers: std::ops::Range<u64>) {
    for n in numbers {
        add(recording, Kind::DATA, n, &n.to_le_bytes());
    }
}

/// All that the library would write if it came to a commit, without the commit.
fn flush(recording: &mut Recording) {
    recording.settle_streams().unwrap();
    recording.press.drain().unwrap();
    recording.file.flush().unwrap();
}

fn reopened(path: &Path, folder: &Folder) -> (u64, u64) {
    let (recording, generation) = Recording::reopen(path, &folder.journal()).unwrap();
    let rows = recording.rows()[0].1;
    recording.leave();
    (generation, rows)
}

#[test]
fn whatever_the_library_flushes_the_last_commit_stays_readable() {
    let folder = Folder::new("flush");
    let path = folder.0.join("a.h5");
    let options = Options::default();
    let mut recording =
        Recording::create(&path, &folder.journal(), options, false).unwrap();
    begin(&mut recording);
    let mut end = 0;
    for round in 1..=20 {
        samples(&mut recording, end..end + 700 * round);
        end += 700 * round;
        recording.commit(round).unwrap();
        let committed = recording.content() as usize;
        let before = fs::read(&path).unwrap();
        samples(&mut recording, end..end + 50_000);
        end += 50_000;
        flush(&mut recording);
        let after = fs::read(&path).unwrap();
        assert!(before[..committed] == after[..committed], "round {round}");
        // What a crash now would leave.
        let copy = folder.0.join("copy.h5");
        fs::copy(&path, &copy).unwrap();
        assert_eq!(reopened(&copy, &folder), (round, end - 50_000));
    }
    recording.finish(21, "end").unwrap();
    assert_eq!(fs::read_dir(folder.journal()).unwrap().count(), 0);
}

#[test]
fn a_recording_goes_on_where_it_was_left() {
    let folder = Folder::new("again");
    let path = folder.0.join("a.h5");
    let options = Options::default();
    let mut recording =
        Recording::create(&path, &folder.journal(), options, false).unwrap();
    begin(&mut recording);
    let mut end = 0;
    for round in 1..=10 {
        samples(&mut recording, end..end + 777 * round);
        end += 777 * round;
        recording.commit(round).unwrap();
        recording.leave();
        let generation;
        (recording, generation) = Recording::reopen(&path, &folder.journal()).unwrap();
        assert_eq!((generation, recording.rows()[0].1), (round, end));
        // Announced again, as each generation of the journal does.
        begin(&mut recording);
    }
    recording.finish(11, "end").unwrap();
    let file = hdf5::File::open(&path).unwrap();
    let data: Vec<u64> = file.dataset("streams/s/data").unwrap().read_raw().unwrap();
    assert!(data == (0..end).collect::<Vec<_>>());
    let seq: Vec<u64> = file.dataset("streams/s/seq").unwrap().read_raw().unwrap();
    assert!(seq == data);
}
