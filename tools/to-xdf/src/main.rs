//! Record to XDF, the file format of Lab Streaming Layer.

mod chapter;
mod column;
mod disk;
mod file;
mod recording;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use libframe::catalog::Catalog;
use libframe::clock::Clock;
use libframe::decoder::Damage;
use libframe::ledger::Loss;
use libframe::payload::{Payload as _, Session, Stats};
use libframe::tool::{
    self, Account, Ended, FileName, Flow, Need, Plan, Rotate, Sink, Undescribed, Voice,
    check_space,
};
use libframe::wire::{Header, Kind, Record};

use crate::disk::When;
use crate::recording::{Options, Recording};

const EXAMPLES: &str = "Examples:
  sim-src glove -n 500 --rate max | to-xdf session.xdf
  sim-src glove control --duration 1s | to-xdf 'session_%Y-%m-%d_%H-%M-%S.xdf' --rotate 1h
  sim-src glove --event hit/1s --duration 3s | clip-frames --on hit | to-xdf 'clip_%03c.xdf'";

/// Bytes beside a sample: its time, and that it has one.
const STAMP: f64 = 9.0;
/// What waits for the file at most, with what is being read.
const MEMORY: u64 = 16 << 20;

/// Record to XDF, the file format of Lab Streaming Layer.
///
/// pyxdf, MATLAB, EEGLAB, MNE and all else that reads XDF can open the file, also while it
/// grows, and after a crash. What XDF has no place for (gaps, events with their values, what
/// every stage did) is in a stream of its own, 'framepipe', so that the recording comes back
/// whole: framepipe-xdf(5) tells what is where. A crash costs what came since the last
/// --flush, and what still waited to be read; 'repair-frames FILE' adds what the end of the
/// file lacks.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// The recording; '%Y-%m-%d_%H-%M-%S' and the like become the local time, '%c' or
    /// '%03c' the number of the clip (see clip-frames), each of which has a file then
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Write over a file of this name
    #[arg(long)]
    force: bool,

    /// Write what has come at this interval
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

    /// What the stream of markers is called that has the events of no stream of events
    #[arg(long, value_name = "NAME", default_value = "Markers")]
    markers: String,
}

fn main() -> ExitCode {
    tool::sink::<ToXdf>()
}

struct ToXdf {
    name: FileName,
    options: Options,
    flush: i64,
    rotate: Option<Rotate>,
    min_free: Option<u64>,
    clock: Clock,
    voice: Voice,
    /// The session that says that nothing triggered: there is nothing to have a file of.
    without_clip: Option<u32>,
    /// `None` between two clips that have files of their own, and when all is over.
    recording: Option<Recording>,
    /// When the file was begun, and when it is written next.
    begun: i64,
    next_write: i64,
    /// The session of the last record.
    session: Option<u32>,
    undescribed: Undescribed,
    losses: Vec<(String, Loss)>,
    /// Streams that XDF has no form for and that were told.
    told: Vec<String>,
}

impl Sink for ToXdf {
    type Args = Args;

    const STALLS: bool = true;
    const JOINS_SESSION: bool = true;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        let path = FileName::new(args.file.clone())?.first()?;
        plan.needs(Need::new_file(&path, args.force));
        plan.memory += MEMORY;
        let row = |flow: &Flow| flow.samples_per_second(STAMP);
        let min_free = args.min_free.unwrap_or(0);
        plan.writes(&path, min_free, row, (1.0, "not compressed"));
        Ok(())
    }

    fn open(args: Args) -> Result<ToXdf> {
        let clock = Clock::system();
        let now = clock.now();
        let options = Options {
            force: args.force,
            fsync: args.fsync,
            markers: args.markers,
            stage: String::new(),
        };
        let mut tool = ToXdf {
            name: FileName::new(args.file)?,
            options,
            flush: args.flush,
            rotate: args.rotate,
            min_free: args.min_free,
            clock,
            voice: Voice::default(),
            without_clip: None,
            recording: None,
            begun: now,
            next_write: now.saturating_add(args.flush),
            session: None,
            undescribed: Undescribed::default(),
            losses: Vec::new(),
            told: Vec::new(),
        };
        if !tool.name.is_per_clip() {
            let path = tool.name.first()?;
            tool.begin(&path)?;
        }
        Ok(tool)
    }

    fn voice(&mut self, voice: Voice) {
        self.undescribed = Undescribed::new(voice.name());
        self.options.stage = voice.name().into();
        if let Some(recording) = &mut self.recording {
            recording.is_made_by(voice.name());
        }
        self.voice = voice;
    }

    fn record(&mut self, record: Record<'_>, catalog: &Catalog) -> Result<()> {
        let session = self.session.replace(record.header.session);
        let begins = session != self.session || self.recording.is_none();
        if begins && self.name.is_per_clip() {
            if self.without_clip != self.session {
                self.begin_clip(&record)?;
            }
            if self.without_clip == self.session {
                return Ok(());
            }
        }
        match record.header.kind {
            Kind::SESSION => self.undescribed.session(record.header.session),
            // The runtime has said why it is not known; its samples are not either.
            Kind::STREAM if catalog.of(&record).is_none() => return Ok(()),
            Kind::STREAM => self.describe(&record)?,
            Kind::DATA | Kind::BATCH if catalog.of(&record).is_none() => {
                self.undescribed.take(&record);
                return Ok(());
            }
            _ => {}
        }
        self.take(&record, catalog)?;
        self.tell_formless();
        Ok(())
    }

    fn stats(&mut self, stats: &Stats) -> Result<()> {
        let Some(session) = self.session.filter(|_| self.recording.is_some()) else {
            return Ok(());
        };
        let (kind, time) = (Kind::STATS, stats.to);
        let header =
            Header { kind, flags: 0, stream: 0, session, seq: 0, time, sent: time };
        let is_open = self.recording.as_ref().is_some_and(|r| r.is_open(session));
        match is_open {
            true => {
                self.take(&Record::new(header, &stats.to_bytes()), &Catalog::default())
            }
            false => Ok(()),
        }
    }

    fn damage(&mut self, damage: &Damage) -> Result<()> {
        self.undescribed.damage(damage);
        Ok(())
    }

    fn deadline(&self) -> Option<i64> {
        self.recording.as_ref().map(|_| self.next_write)
    }

    fn tick(&mut self, now: i64) -> Result<()> {
        self.next_write = now.saturating_add(self.flush.max(1));
        self.recording()?.commit_to_disk(now)?;
        let path = self.recording()?.path().to_owned();
        if let Err(err) = check_space(&path, self.min_free) {
            self.complete(Some("disk nearly full"))?;
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
        let Some(recording) = &self.recording else { return Ok(()) };
        match self.rotate {
            Some(Rotate::Size(size)) if recording.len() >= size => {
                let now = self.clock.now();
                self.begin_next(now)
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, ended: &Ended<'_>) -> Result<()> {
        for (header, gap) in self.undescribed.end(ended.session) {
            self.take(&Record::new(header, &gap.to_bytes()), ended.catalog)?;
        }
        let Some(recording) = &mut self.recording else { return Ok(()) };
        let reason = ended.broke_off.is_none().then_some(ended.reason);
        let now = self.clock.now();
        recording.end(ended.session, reason, now)?;
        if self.name.is_per_clip() { self.complete(None) } else { Ok(()) }
    }

    fn close(&mut self, _account: &Account) -> Result<()> {
        self.complete(None)
    }

    fn losses(&self) -> Vec<(String, Loss)> {
        [&self.losses[..], self.undescribed.losses()].concat()
    }
}

impl ToXdf {
    fn recording(&mut self) -> Result<&mut Recording> {
        self.recording.as_mut().context("the recording is closed")
    }

    /// Takes a record. What was accepted before one that finds no room is completed.
    fn take(&mut self, record: &Record<'_>, catalog: &Catalog) -> Result<()> {
        let now = self.clock.now();
        let Err(err) = self.recording()?.record(record, catalog, now) else {
            return Ok(());
        };
        // A second failure of the same disk says nothing new.
        drop(self.complete(None));
        Err(err)
    }

    /// Samples that came before this description are told, in their place.
    fn describe(&mut self, record: &Record<'_>) -> Result<()> {
        let header = record.header;
        let name = format!("stream {}", header.stream);
        for (place, gap) in
            self.undescribed.described(header.session, header.stream, &name)
        {
            let gap = gap.to_bytes();
            self.take(&Record::new(place, &gap), &Catalog::default())?;
        }
        Ok(())
    }

    fn tell_formless(&mut self) {
        let Some(recording) = &mut self.recording else { return };
        for name in recording.take_formless() {
            if !self.told.contains(&name) {
                self.voice.tell(&format!(
                    "{name}: XDF has no form for pictures and bytes; its samples are left \
                     out. 'pick-frames' before leaves them out knowingly, to-h5 records them"
                ));
                self.told.push(name);
            }
        }
    }

    /// Closes the file; sessions that have not ended get this reason, or none.
    fn complete(&mut self, reason: Option<&str>) -> Result<()> {
        let Some(recording) = self.recording.take() else { return Ok(()) };
        self.losses.extend(recording.close(reason, self.clock.now())?);
        Ok(())
    }

    /// Begins a file, the first or that of a clip.
    fn begin(&mut self, path: &Path) -> Result<()> {
        check_space(path, self.min_free)?;
        let now = self.clock.now();
        self.recording = Some(Recording::create(path, self.options.clone(), now)?);
        (self.begun, self.next_write) = (now, now.saturating_add(self.flush));
        Ok(())
    }

    /// Begins the file of a clip, with the first record of its session.
    fn begin_clip(&mut self, first: &Record<'_>) -> Result<()> {
        self.complete(None)?;
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

    /// Goes on in a new file.
    fn begin_next(&mut self, now: i64) -> Result<()> {
        // After END there is no session for it, and perhaps nothing will come.
        if !self.recording()?.is_in_session() {
            return Ok(());
        }
        let path = self.name.following()?;
        let next = self.recording()?.next(&path, now)?;
        let Some(old) = self.recording.replace(next) else { return Ok(()) };
        self.begun = now;
        self.losses.extend(old.close(Some("rotated"), now)?);
        Ok(())
    }
}
