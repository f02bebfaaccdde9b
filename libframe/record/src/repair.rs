//! A recording that broke off, brought up to date.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use libframe::decoder::{Cause, Item};
use libframe::io::RecordReader;
use libframe::wire::MAX_PAYLOAD;

use crate::journal;
use crate::write::{Options, Recording};

/// What a repair did.
#[derive(Debug, Default)]
pub struct Repair {
    /// Samples of each stream before, and after.
    pub streams: Vec<(String, u64, u64)>,
    /// Records that the journal had and the recording had not.
    pub records: u64,
    /// Bytes of the journal that could not be read, other than a torn end.
    pub damaged: u64,
}

impl Repair {
    /// Whether the recording was complete already.
    pub fn is_nothing(&self) -> bool {
        self.streams.is_empty() && self.records == 0
    }
}

/// Brings a recording up to date that broke off. One that is complete stays as it is.
pub fn repair(path: &Path) -> Result<Repair> {
    let folder = journal::folder_of(path);
    let found = folder.is_dir();
    if !found {
        fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
    }
    let lock = journal::lock(&folder);
    let lock = lock.with_context(|| format!("{}: is being recorded", path.display()))?;
    let result = repair_locked(path, &folder);
    if result.is_ok() || !found {
        journal::remove(&folder)?;
    }
    drop(lock);
    result
}

fn repair_locked(path: &Path, folder: &Path) -> Result<Repair> {
    let (mut recording, held) = open(path, folder)?;
    if recording.is_complete()? && journal::generations(folder)?.is_empty() {
        recording.leave();
        return Ok(Repair::default());
    }
    let mut repair = Repair::default();
    let before = recording.rows();
    let mut last = held;
    for generation in journal::generations(folder)? {
        let path = journal::path_of(folder, generation);
        if generation > held {
            feed(&path, &mut recording, &mut repair)?;
            recording.commit(generation)?;
            last = generation;
        }
        fs::remove_file(&path).with_context(|| path.display().to_string())?;
    }
    for (name, rows) in recording.rows() {
        let old = before.iter().find(|(other, _)| *other == name);
        repair.streams.push((name, old.map_or(0, |(_, rows)| *rows), rows));
    }
    recording.finish(last, "broke off")?;
    Ok(repair)
}

/// The recording, made anew if its recorder died before it had a name.
fn open(path: &Path, folder: &Path) -> Result<(Recording, u64)> {
    if path.exists() {
        return Recording::reopen(path, folder);
    }
    if journal::generations(folder)?.is_empty() {
        bail!("{}: no such file", path.display());
    }
    Ok((Recording::create(path, folder, Options::default(), false)?, 0))
}

/// Adds what a generation of the journal has.
fn feed(path: &Path, recording: &mut Recording, repair: &mut Repair) -> Result<()> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let mut reader = RecordReader::new(file, MAX_PAYLOAD);
    while let Some(item) = reader.read().with_context(|| path.display().to_string())? {
        match item {
            Item::Record(record) => {
                recording.add(&record)?;
                repair.records += 1;
            }
            // The recorder died in the middle of a write.
            Item::Damage(damage) if damage.cause == Cause::Truncated => {}
            Item::Damage(damage) => repair.damaged += damage.bytes,
        }
    }
    Ok(())
}
