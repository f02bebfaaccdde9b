//! Merge several pipes or files into one stream, in order of time.

mod clocks;
mod input;
mod joined;
mod labels;
mod routes;
mod union;

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use libframe::catalog::Catalog;
use libframe::tool::{
    self, Ended, Identity, Inlet, Merge, Need, Output, Plan, Usage, Voice,
};
use libframe::wire::{Header, Record};

use crate::joined::Joined;

/// How an HDF5 file begins.
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

const EXAMPLES: &str = "Examples:
  merge-frames <(sim-src glove --duration 1s) <(sim-src control --duration 1s) > both.frames
  sim-src -n 9 > a.frames; sim-src -n 9 > b.frames; merge-frames a.frames b.frames | to-text
  sim-src -n 99 | merge-frames --label left - <(sim-src glove -n 99) | inspect-frames";

/// Merge several pipes or files into one stream, in order of time.
///
/// An input is a FIFO, what bash puts in place of <(...), a file of records, or - for stdin.
/// What comes of all of them is one session. Streams are numbered anew; a name that several
/// have gets the input's in front, like left/glove. Numbers, times and bytes of samples stay
/// as they are. A batch goes where its first sample belongs.
///
/// A record waits for earlier ones of other inputs until those have shown a later time, but
/// no longer than --skew; what comes later still is passed on all the same. An input that
/// ends, breaks off or stalls stops nobody. Files never wait.
///
/// Inputs from other hosts, or from before a reboot, are ordered by the wall clocks of both.
/// Their streams get CLOCK records by which recorders and reports correct their times.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// FIFOs, pipes or files of records; - is stdin
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,

    /// How long a record may wait for earlier ones of other inputs
    #[arg(long, value_name = "TIME", default_value = "200ms",
          value_parser = tool::parse_duration)]
    skew: i64,

    /// What to call the inputs, one for each in their order [default: the file's name
    /// without its ending]
    #[arg(long, value_name = "NAME")]
    label: Vec<String>,
}

struct MergeFrames {
    joined: Joined,
    labels: Vec<String>,
    voice: Voice,
}

fn main() -> ExitCode {
    tool::merge::<MergeFrames>()
}

impl Merge for MergeFrames {
    type Args = Args;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        for path in args.inputs.iter().filter(|path| *path != Path::new("-")) {
            plan.needs(Need::file(path));
            // What comes from there is not known.
            (plan.input, plan.output) = (None, None);
        }
        let queues =
            plan.queue.unwrap_or_default().saturating_mul(args.inputs.len() as u64);
        plan.memory = plan.memory.saturating_add(queues);
        Ok(())
    }

    fn inlets(args: &Args) -> Result<Vec<Inlet>> {
        let stdins = args.inputs.iter().filter(|path| *path == Path::new("-")).count();
        if stdins > 1 {
            return Err(Usage("stdin can be one input only".into()).into());
        }
        args.inputs.iter().try_for_each(|path| refuse_hdf5(path))?;
        let labels = labels::of(&args.inputs, &args.label)?;
        let inlets = labels.into_iter().zip(&args.inputs);
        Ok(inlets.map(|(label, path)| Inlet { label, path: path.clone() }).collect())
    }

    fn skew(args: &Args) -> i64 {
        args.skew
    }

    fn open(args: Args, identity: Identity) -> Result<MergeFrames> {
        let labels = labels::of(&args.inputs, &args.label)?;
        let joined = Joined::new(&labels, identity);
        Ok(MergeFrames { joined, labels, voice: Voice::default() })
    }

    fn voice(&mut self, voice: Voice) {
        self.voice = voice;
    }

    #[inline]
    fn time(&self, input: usize, header: &Header) -> i64 {
        self.joined.time(input, header)
    }

    #[inline]
    fn record(
        &mut self,
        input: usize,
        record: Record<'_>,
        _catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        self.joined.record(input, record, out)
    }

    fn ended(&mut self, input: usize, ended: &Ended<'_>) {
        self.joined.ended(input, ended.session);
    }

    fn stalled(
        &mut self,
        input: usize,
        stalled: bool,
        out: &mut impl Output,
    ) -> Result<()> {
        let label = &self.labels[input];
        let what = if stalled { "nothing comes" } else { "it comes again" };
        self.voice.detail(&format!("{label}: {what}"));
        self.joined.tell_stall(label, stalled, out)
    }

    fn on_its_clock(&self, time: i64) -> i64 {
        self.joined.on_its_clock(time)
    }

    fn here(&self, now: i64) -> i64 {
        self.joined.here(now)
    }

    fn session(&self) -> Option<(u32, usize)> {
        self.joined.session()
    }

    fn finish(&mut self, out: &mut impl Output) -> Result<()> {
        self.joined.finish(out)
    }
}

/// HDF5 is not read here, and the way to do it is not obvious.
fn refuse_hdf5(path: &Path) -> Result<()> {
    if !fs::metadata(path).is_ok_and(|meta| meta.is_file()) {
        return Ok(());
    }
    let mut start = [0; HDF5.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    if read.is_err() || start != HDF5 {
        return Ok(());
    }
    let path = path.display();
    let hint = format!(
        "{path} is a recording in HDF5; give me <(replay {path} --speed max) in its place"
    );
    Err(Usage(hint).into())
}
