//! How fast chains of stages move a recording that lies in the page cache.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use libframe::clock::{Clock, SECOND};
use libframe::decoder::Item;
use libframe::io::RecordReader;
use libframe::wire::{Kind, MAX_PAYLOAD};

use crate::chain::{self, Cast, Program, cat};
use crate::report::{Goal, Row, Series, Unit};

const ROUNDS: usize = 15;

/// A recording, and how much is in it.
struct Recording {
    path: PathBuf,
    samples: f64,
    bytes: f64,
}

impl Recording {
    /// Reads the whole file, which also brings it into the page cache.
    fn open(path: &Path) -> Result<Recording> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let bytes = file.metadata()?.len() as f64;
        let mut reader = RecordReader::new(file, MAX_PAYLOAD);
        let mut samples = 0;
        while let Some(item) = reader.read()? {
            samples += match item {
                Item::Record(record) if record.header.kind == Kind::DATA => 1,
                Item::Record(_) => 0,
                Item::Damage(damage) => anyhow::bail!("{}: {damage:?}", path.display()),
            };
        }
        ensure!(samples > 0, "{}: no samples", path.display());
        Ok(Recording { path: path.to_owned(), samples: f64::from(samples), bytes })
    }

    /// Samples a second through a chain, from the first process to the last one's end.
    fn rate(&self, programs: &[Program]) -> Result<f64> {
        let clock = Clock::system();
        let begin = clock.now();
        let from = File::open(&self.path)?;
        let children = chain::start(programs, from.into(), Stdio::null())?;
        chain::finish(children)?;
        Ok(self.samples * SECOND as f64 / (clock.now() - begin) as f64)
    }

    /// Each chain's rates, the rounds interleaved.
    fn race<const N: usize>(
        &self,
        chains: [(&'static str, Vec<Program>); N],
    ) -> Result<[Series; N]> {
        let mut series = chains.each_ref().map(|(name, _)| Series::new(name));
        for _ in 0..ROUNDS {
            for (series, (_, programs)) in series.iter_mut().zip(&chains) {
                series.values.push(self.rate(programs)?);
            }
        }
        Ok(series)
    }

    fn row(&self, what: &str, ours: &Series, peer: &Series, goal: Option<Goal>) -> Row {
        let unit = Unit::Rate { bytes: self.bytes / self.samples };
        Row::new(format!("throughput, {what}"), unit, ours, peer, goal)
    }
}

/// Short records: here each record's own cost shows.
pub(crate) fn short(cast: &Cast, path: &Path) -> Result<Vec<Row>> {
    let recording = Recording::open(path)?;
    let batching = [
        cast.tool("batch-frames", &["-n", "50"]),
        cast.tool("batch-frames", &["--split"]),
    ];
    let [picks, cats, python, batch, two] = recording.race([
        ("3 pick-frames", vec![cast.pick(); 3]),
        ("3 cat", vec![cat(); 3]),
        ("3 Python", vec![cast.python(); 3]),
        ("batch, split", batching.to_vec()),
        ("2 cat", vec![cat(); 2]),
    ])?;
    Ok(vec![
        recording.row("272 B", &picks, &cats, Some(Goal::AtLeast(0.4))),
        recording.row("272 B", &picks, &python, None),
        recording.row("272 B by 50", &batch, &two, None),
    ])
}

/// Long records: here only copies and the CRC do.
pub(crate) fn long(cast: &Cast, path: &Path) -> Result<Vec<Row>> {
    let recording = Recording::open(path)?;
    let [picks, cats] = recording
        .race([("3 pick-frames", vec![cast.pick(); 3]), ("3 cat", vec![cat(); 3])])?;
    Ok(vec![recording.row("1 MiB", &picks, &cats, Some(Goal::AtLeast(0.7)))])
}
