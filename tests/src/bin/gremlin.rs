//! What stands between two stages of a pipeline and means them no good.
//!
//! It copies stdin to stdout. On the way it can keep what came (`--witness`), which is what
//! the stage before says it sent, flip bits of what goes on, and hold it up. And it can be a
//! thief, so that those who account for samples can be seen to miss one.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use clap::Parser;
use libframe::decoder::Item;
use libframe::io::RecordReader;
use libframe::wire::MAX_PAYLOAD;

/// What is read at once. Small, so that `--pace` is no burst.
const CHUNK: usize = 16 << 10;

/// Copy stdin to stdout, and do harm on the way.
#[derive(Parser)]
struct Args {
    /// Keep what came in this file
    #[arg(long)]
    witness: Option<PathBuf>,

    /// Flip a bit in one of so many bytes on average; 0 for none
    #[arg(long, default_value_t = 0)]
    flip: u64,

    /// Pass on so many bytes a second at most; 0 for no limit
    #[arg(long, default_value_t = 0)]
    pace: u64,

    /// Keep the record of samples with this number, from 1, for itself
    #[arg(long, conflicts_with_all = ["flip", "pace", "witness"])]
    steal: Option<u64>,

    /// Which bits are flipped
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.steal {
        Some(number) => steal(number),
        None => copy(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The stage after is gone, as it may be.
        Err(err) if err.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(err) => {
            let mut stderr = io::stderr();
            writeln!(stderr, "gremlin: {err}").unwrap_or_default();
            ExitCode::FAILURE
        }
    }
}

fn ends() -> io::Result<(File, File)> {
    let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    Ok((stdin, File::from(io::stdout().as_fd().try_clone_to_owned()?)))
}

fn steal(number: u64) -> io::Result<()> {
    let (stdin, mut stdout) = ends()?;
    let mut reader = RecordReader::new(stdin, MAX_PAYLOAD);
    let (mut count, mut bytes) = (0, Vec::new());
    while let Some(item) = reader.read()? {
        let Item::Record(record) = item else { continue };
        count += u64::from(record.header.kind.has_samples());
        if count == number && record.header.kind.has_samples() {
            continue;
        }
        bytes.clear();
        record.encode(&mut bytes);
        stdout.write_all(&bytes)?;
    }
    Ok(())
}

fn copy(args: &Args) -> io::Result<()> {
    let (mut stdin, mut stdout) = ends()?;
    let mut witness = args.witness.as_ref().map(File::create).transpose()?;
    let mut flips = Flips { every: args.flip, chance: args.seed, left: 0 };
    flips.left = flips.distance();
    let mut chunk = vec![0; CHUNK];
    loop {
        let n = match stdin.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(err) if err.kind() == ErrorKind::Interrupted => continue,
            Err(err) => return Err(err),
        };
        if let Some(witness) = &mut witness {
            witness.write_all(&chunk[..n])?;
        }
        flips.spoil(&mut chunk[..n]);
        stdout.write_all(&chunk[..n])?;
        if let Some(time) = (n as u64 * 1_000_000).checked_div(args.pace) {
            sleep(Duration::from_micros(time));
        }
    }
}

/// Flipped bits, at distances that only the seed decides.
struct Flips {
    every: u64,
    chance: u64,
    left: u64,
}

impl Flips {
    fn spoil(&mut self, bytes: &mut [u8]) {
        if self.every == 0 {
            return;
        }
        let mut at = self.left;
        while let Some(byte) = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at)) {
            *byte ^= 1 << (self.random() % 8);
            at += 1 + self.distance();
        }
        self.left = at - bytes.len() as u64;
    }

    fn distance(&mut self) -> u64 {
        if self.every == 0 { 0 } else { self.random() % (2 * self.every) }
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
