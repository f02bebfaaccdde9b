//! Record to HDF5, so that no crash loses what was recorded.

mod repair;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::{Builder, JoinHandle};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum};
use libframe::catalog::Catalog;
use libframe::clock::Clock;
use libframe::payload::{Payload as _, Session, Stats};
use libframe::tool::{
    self, Account, Ended, FileName, Flow, Need, Origin, Plan, Rotate, Sink, Voice,
    check_space,
};
use libframe::wire::{Header, Kind, Record};
use libframe_record::{Compress, Fsync, Options, Recorder, broken_off};

const EXAMPLES: &str = "Examples:
  sim-src glove -n 500 --rate max | to-h5 session.h5
  sim-src glove camera --duration 1s | to-h5 'session_%Y-%m-%d_%H-%M-%S.h5' --rotate 1h
  sim-src glove --event hit/1s --duration 3s | clip-frames --on hit | to-h5 'clip_%03c.h5'
  sim-src glove -n 500 --rate max | to-xdf a.xdf; to-h5 a.h5 --from a.xdf";

/// Bytes beside a sample: its two times and its number.
const COLUMNS: f64 = 24.0;
/// What compression leaves of sensors' samples and their times, by experience.
const COMPRESSED: f64 = 0.5;
/// What it takes beside its queue: the HDF5 library, what is handed over to its thread and
/// what is compressed there, and the chunks of a few dozen columns.
const MEMORY: u64 = 64 << 20;

/// Record to HDF5, so that no crash loses what was recorded.
///
/// The file can be read while it grows, by h5py, MATLAB and all else that reads HDF5. What
/// it lacks is in a folder beside it, FILE.journal: after a crash or a full disk,
/// 'repair-frames FILE' brings it up to date. framepipe-h5(5) tells what is where in it.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// The recording; '%Y-%m-%d_%H-%M-%S' and the like become the local time, '%c' or
    /// '%03c' the number of the clip (see clip-frames), each of which has a file then
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Record what is in this recording, of any format, instead of stdin; may be repeated
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,

    /// Write over a file of this name
    #[arg(long)]
    force: bool,

    /// Bring the file up to date at this interval
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = tool::parse_duration)]
    flush: i64,

    /// Begin a new file after this time or size, like 1h or 10GiB: the name's next time,
    /// or '-001' behind it
    #[arg(long, value_name = "LIMIT", value_parser = Rotate::parse)]
    rotate: Option<Rotate>,

    /// Stop before the disk has less free space than this
    #[arg(long, value_name = "SIZE", value_parser = tool::parse_size)]
    min_free: Option<u64>,

    /// When data must be on the disk itself: 'none' is safe against a kill, 'interval'
    /// against a power cut up to the last --flush, 'always' up to the last write
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = When::None)]
    fsync: When,

    /// How samples are compressed: none, deflate:1 to 9, or zstd:1 to 19, which readers
    /// need a plug-in for (Python: hdf5plugin)
    #[arg(long, value_name = "METHOD", default_value = "deflate:1")]
    compress: Compress,

    /// Bring a recording that broke off up to date instead, as 'repair-frames FILE' does
    #[arg(long)]
    repair: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum When {
    None,
    Interval,
    Always,
}

/// Files that may be in completion at once: clips may come faster than that goes.
const MOST_CLOSING: usize = 4;

fn main() -> ExitCode {
    // A command has other common options than a sink, so this is known before they are read.
    match std::env::args_os().any(|word| word == "--repair") {
        true => tool::command(repair::repair),
        false => tool::sink::<ToH5>(),
    }
}

struct ToH5 {
    name: FileName,
    options: Options,
    force: bool,
    flush: i64,
    rotate: Option<Rotate>,
    min_free: Option<u64>,
    clock: Clock,
    voice: Voice,
    /// The session that says that nothing triggered: there is nothing to have a file of.
    without_clip: Option<u32>,
    /// `None` between two clips that have files of their own.
    recorder: Option<Recorder>,
    /// When the file was begun, and when it is brought up to date next.
    begun: i64,
    next_commit: i64,
    /// The files before, which are being completed.
    closing: VecDeque<JoinHandle<Result<()>>>,
    /// The session of the last record.
    session: Option<u32>,
}

impl Sink for ToH5 {
    type Args = Args;

    const STALLS: bool = true;
    const JOINS_SESSION: bool = true;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        let path = FileName::new(args.file.clone())?.first()?;
        plan.needs(Need::new_file(&path, args.force));
        plan.memory += MEMORY;
        let (factor, assumption) = match args.compress {
            Compress::None => (1.0, "not compressed"),
            _ => (COMPRESSED, "assumed: half of it after compression"),
        };
        let row = |flow: &Flow| flow.samples_per_second(COLUMNS);
        let min_free = args.min_free.unwrap_or(0);
        plan.writes(&path, min_free, row, (factor, assumption));
        Ok(())
    }

    fn files(args: &Args) -> Vec<PathBuf> {
        args.from.clone()
    }

    fn origin(args: &Args) -> Result<Origin> {
        libframe_record::origin(args.from.clone())
    }

    fn open(args: Args) -> Result<ToH5> {
        let fsync = match args.fsync {
            When::None => Fsync::None,
            When::Interval => Fsync::Interval,
            When::Always => Fsync::Always,
        };
        let options = Options { compress: args.compress, fsync };
        let name = FileName::new(args.file)?;
        let clock = Clock::system();
        let now = clock.now();
        let mut tool = ToH5 {
            name,
            options,
            force: args.force,
            flush: args.flush,
            rotate: args.rotate,
            min_free: args.min_free,
            clock,
            voice: Voice::default(),
            recorder: None,
            begun: now,
            next_commit: now.saturating_add(args.flush),
            closing: VecDeque::new(),
            session: None,
            without_clip: None,
        };
        if !tool.name.is_per_clip() {
            let path = tool.name.first()?;
            tool.begin(&path)?;
        }
        Ok(tool)
    }

    fn voice(&mut self, voice: Voice) {
        let path = self.recorder.as_ref().map(Recorder::path);
        let folder = path.and_then(Path::parent).unwrap_or(self.name.folder());
        tell_broken_off(folder, path, &voice);
        self.voice = voice;
    }

    fn record(&mut self, record: Record<'_>, _catalog: &Catalog) -> Result<()> {
        let session = self.session.replace(record.header.session);
        let begins = session != self.session || self.recorder.is_none();
        if begins && self.name.is_per_clip() {
            if self.without_clip != self.session {
                self.begin_clip(&record)?;
            }
            if self.without_clip == self.session {
                return Ok(());
            }
        }
        self.recorder()?.record(&record)
    }

    fn stats(&mut self, stats: &Stats) -> Result<()> {
        let Some(session) = self.session.filter(|_| self.recorder.is_some()) else {
            return Ok(());
        };
        let (kind, time) = (Kind::STATS, stats.to);
        let header =
            Header { kind, flags: 0, stream: 0, session, seq: 0, time, sent: time };
        self.recorder()?.record(&Record::new(header, &stats.to_bytes()))
    }

    fn deadline(&self) -> Option<i64> {
        self.recorder.as_ref().map(|_| self.next_commit)
    }

    fn tick(&mut self, now: i64) -> Result<()> {
        self.next_commit = now.saturating_add(self.flush.max(1));
        self.recorder()?.commit()?;
        let path = self.recorder()?.path().to_owned();
        if let Err(err) = check_space(&path, self.min_free) {
            self.complete("disk nearly full")?;
            return Err(err);
        }
        match self.rotate {
            Some(Rotate::Time(time)) if now >= self.begun.saturating_add(time) => {
                self.begin_next(now)
            }
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<()> {
        let Some(recorder) = &mut self.recorder else { return Ok(()) };
        recorder.flush()?;
        let (committed, more) = (recorder.committed(), recorder.uncommitted());
        match self.rotate {
            Some(Rotate::Size(size)) if committed >= size => {
                let now = self.clock.now();
                self.begin_next(now)
            }
            // What it will be compressed to shows only once it is in the file.
            Some(Rotate::Size(size)) if committed + more >= size && more >= size / 16 => {
                self.recorder()?.commit()
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, ended: &Ended<'_>) -> Result<()> {
        if self.recorder.is_none() {
            return Ok(());
        }
        if ended.broke_off.is_some() {
            return self.end_clip("broke off");
        }
        let (kind, session, now) = (Kind::END, ended.session, self.clock.now());
        let payload = ended.ledger.end(ended.reason).to_bytes();
        let header =
            Header { kind, flags: 0, stream: 0, session, seq: 0, time: now, sent: now };
        self.recorder()?.record(&Record::new(header, &payload))?;
        self.end_clip(ended.reason)
    }

    fn close(&mut self, _account: &Account) -> Result<()> {
        self.complete("broke off")
    }
}

impl ToH5 {
    fn recorder(&mut self) -> Result<&mut Recorder> {
        self.recorder.as_mut().context("the recording is closed")
    }

    /// Closes the file that is being written, and the one before.
    fn complete(&mut self, reason: &str) -> Result<()> {
        let closed =
            self.recorder.take().map_or(Ok(()), |recorder| recorder.close(reason));
        self.wait_for(0)?;
        closed
    }

    /// Begins a file, the first or that of a clip.
    fn begin(&mut self, path: &Path) -> Result<()> {
        check_space(path, self.min_free)?;
        self.recorder = Some(Recorder::create(path, self.options, self.force)?);
        let now = self.clock.now();
        (self.begun, self.next_commit) = (now, now.saturating_add(self.flush));
        Ok(())
    }

    /// Begins the file of a clip, with the first record of its session.
    fn begin_clip(&mut self, first: &Record<'_>) -> Result<()> {
        self.end_clip("broke off")?;
        let session = Session::from_bytes(first.payload);
        let session = session.ok().filter(|_| first.header.kind == Kind::SESSION);
        let clip = session.and_then(|session| session.meta.get("clip")?.parse().ok());
        let clip: u64 = clip.ok_or_else(|| self.name.no_clip())?;
        if clip == 0 {
            self.without_clip = Some(first.header.session);
            return Ok(());
        }
        let path = self.name.of_clip(clip)?;
        self.begin(&path)?;
        self.voice.detail(&format!("clip {clip}: {}", path.display()));
        Ok(())
    }

    /// Completes the file of a clip, while the next is read already.
    fn end_clip(&mut self, reason: &str) -> Result<()> {
        match self.recorder.take_if(|_| self.name.is_per_clip()) {
            Some(recorder) => self.complete_meanwhile(recorder, reason),
            None => Ok(()),
        }
    }

    fn complete_meanwhile(&mut self, old: Recorder, reason: &str) -> Result<()> {
        self.wait_for(MOST_CLOSING - 1)?;
        let reason = reason.to_owned();
        let close = move || old.close(&reason);
        self.closing.push_back(Builder::new().name("closing".into()).spawn(close)?);
        Ok(())
    }

    /// Goes on in a new file. The old one is completed meanwhile.
    fn begin_next(&mut self, now: i64) -> Result<()> {
        // After END there is no session for it, and perhaps nothing will come.
        if !self.recorder()?.is_in_session() {
            return Ok(());
        }
        self.wait_for(0)?;
        let path = self.name.following()?;
        let options = self.options;
        let next = self.recorder()?.next(&path, options)?;
        let Some(old) = self.recorder.replace(next) else { return Ok(()) };
        self.begun = now;
        self.complete_meanwhile(old, "rotated")
    }

    /// Waits until at most so many files are still being completed.
    fn wait_for(&mut self, most: usize) -> Result<()> {
        while self.closing.len() > most {
            match self.closing.pop_front().map(JoinHandle::join) {
                Some(Err(_)) => bail!("the thread that closes a file panicked"),
                Some(Ok(result)) => result?,
                None => {}
            }
        }
        Ok(())
    }
}

/// Says which recordings here can be repaired.
fn tell_broken_off(folder: &Path, path: Option<&Path>, voice: &Voice) {
    let here = folder.as_os_str().is_empty();
    for other in broken_off(if here { Path::new(".") } else { folder }) {
        if Some(&*other) != path {
            let other = other.display();
            voice.tell(&format!(
                "{other} broke off; to bring it up to date: repair-frames {other}"
            ));
        }
    }
}
