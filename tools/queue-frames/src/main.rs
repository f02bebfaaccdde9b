//! Hold records while the next stage cannot take them.

mod spill;
mod store;
mod watermarks;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Parser;
use libframe::catalog::Catalog;
use libframe::tool::{
    self, Backlog, Filter, Full, Lanes, Limits, Output, Overflow, Plan, Queue, Room,
    Usage,
};
use libframe::wire::Record;

use crate::spill::SpillFile;
use crate::store::Store;
use crate::watermarks::Watermarks;

const EXAMPLES: &str = "Examples:
  sim-src glove --duration 1s | queue-frames --queue 16MiB > session.frames
  sim-src glove -n 5000 --rate max | queue-frames --queue 64KiB --overflow spill:. | inspect-frames
  sim-src glove camera --duration 1s | queue-frames --queue-time 5s --overflow drop-oldest | to-text";

/// Hold records while the next stage cannot take them.
///
/// stdin is read as fast as records come, whatever stdout does. What waits is limited by
/// --queue, and by --queue-records and --queue-time if given. When a limit is reached,
/// --overflow says what happens: the stages before wait (block); whole records are dropped
/// from the stream that holds most, and told as GAPs in their place (drop-oldest,
/// drop-newest); or records go to a file in a folder and come back in order (spill:DIR).
/// What waits is lost with the process: record first, queue for the rest.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// At most so many records with samples may wait
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    queue_records: Option<u64>,

    /// At most so much capture time of each stream may wait
    #[arg(long, value_name = "TIME", value_parser = tool::parse_duration)]
    queue_time: Option<i64>,

    /// At most so much may be on disk [default: as --min-free allows]
    #[arg(long, value_name = "SIZE", value_parser = tool::parse_size)]
    spill_max: Option<u64>,

    /// Put nothing on a disk with less free space than this
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = tool::parse_size)]
    min_free: u64,

    /// Say when the queue is as full as this, by an EVENT queue-high and with -v
    #[arg(long, value_name = "SHARE", default_value = "75%", value_parser = tool::parse_share)]
    high: f64,

    /// Say when it is down to this again, by an EVENT queue-low
    #[arg(long, value_name = "SHARE", default_value = "25%", value_parser = tool::parse_share)]
    low: f64,
}

struct QueueFrames {
    args: Args,
}

fn main() -> ExitCode {
    tool::filter::<QueueFrames>()
}

impl Filter for QueueFrames {
    type Args = Args;

    const QUEUE: Queue = Queue::Overflow;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        let limits = [
            args.queue_records.map(|n| format!("at most {n} records wait")),
            args.queue_time.map(|ns| format!("at most {} s wait", ns as f64 / 1e9)),
            args.spill_max.map(|size| format!("at most {size} bytes are on disk")),
        ];
        plan.notes.extend(limits.into_iter().flatten());
        Ok(())
    }

    fn open(args: Args) -> Result<QueueFrames> {
        Ok(QueueFrames { args })
    }

    fn backlog(&mut self, room: &Room) -> Result<Option<Arc<dyn Backlog>>> {
        let args = &self.args;
        let marks = Watermarks::new(args.high, args.low)?;
        let full = match room.overflow {
            Overflow::Block | Overflow::Spill(_) => Full::Refuse,
            Overflow::DropOldest => Full::DropOldest,
            Overflow::DropNewest => Full::DropNewest,
        };
        let spill = match &room.overflow {
            Overflow::Spill(folder) => {
                let file = SpillFile::create(folder, args.min_free)?;
                Some((file, args.spill_max.unwrap_or(u64::MAX)))
            }
            _ if args.spill_max.is_some() => {
                let hint = "--spill-max is for --overflow spill:DIR";
                return Err(Usage(hint.into()).into());
            }
            _ => None,
        };
        let limits = Limits {
            bytes: room.bytes,
            records: args.queue_records,
            time: args.queue_time,
        };
        let lanes = Lanes::new(limits, full, room.voice.name());
        let store = Store::new(lanes, room.bytes, spill, marks, room.voice.clone());
        Ok(Some(Arc::new(store)))
    }

    #[inline]
    fn record(
        &mut self,
        record: Record<'_>,
        _catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        out.send(record)
    }
}
