//! Join samples into batches, and split them again.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgGroup, Parser};
use libframe::batch::{Builder, Samples};
use libframe::catalog::Catalog;
use libframe::tool::{self, Ended, Filter, Output, Plan};
use libframe::wire::{Kind, Record};

/// A batch over this size is closed early, so that memory does not depend on -n.
const MAX_BATCH: usize = 1 << 20;

const EXAMPLES: &str = "Examples:
  sim-src glove --duration 1s | batch-frames -n 50 --every 50ms > session.frames
  sim-src ephys -n 3000 --rate max | batch-frames --split | to-text -k data";

/// Join samples into batches, and split them again.
///
/// A batch of a stream ends when it has -n samples or is --every old, whichever comes
/// first, or where its numbering is interrupted. Nothing is changed by it: --split gives
/// back the very records.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, group = ArgGroup::new("how").required(true).multiple(true))]
struct Args {
    /// Samples in a batch
    #[arg(short = 'n', value_name = "N", group = "how",
          value_parser = clap::value_parser!(u32).range(1..))]
    samples: Option<u32>,

    /// How old a batch may become, like 50ms
    #[arg(long, value_name = "TIME", group = "how", value_parser = tool::parse_duration)]
    every: Option<i64>,

    /// Split batches into single samples
    #[arg(long, group = "how", conflicts_with_all = ["samples", "every"])]
    split: bool,
}

struct Batch {
    samples: u32,
    every: Option<i64>,
    split: bool,
    held: BTreeMap<(u32, u16), Held>,
}

/// The batch of a stream that is being filled.
#[derive(Default)]
struct Held {
    builder: Builder,
    fixed: bool,
    /// When its first sample came.
    since: i64,
    /// The stream's description, by its checksum.
    description: u32,
}

fn main() -> ExitCode {
    tool::filter::<Batch>()
}

impl Filter for Batch {
    type Args = Args;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        let streams = plan.output.as_ref().map_or(1, Vec::len) as u64;
        // A batch that is being filled, and its tables.
        plan.memory += 2 * MAX_BATCH as u64 * streams;
        plan.change(|flow| {
            let age = args.every.map_or(f64::INFINITY, |ns| ns as f64 / 1e9);
            let by_age = flow.rate().map_or(1.0, |rate| rate * age);
            let by_size = MAX_BATCH as f64 / flow.size.unwrap_or(1.0).max(1.0);
            let most = args.samples.map_or(f64::INFINITY, f64::from);
            flow.batch = if args.split { 1.0 } else { most.min(by_age).min(by_size) };
            flow.batch = flow.batch.max(1.0);
            true
        });
        Ok(())
    }

    fn open(args: Args) -> Result<Batch> {
        Ok(Batch {
            samples: args.samples.unwrap_or(u32::MAX),
            every: args.every,
            split: args.split,
            held: BTreeMap::new(),
        })
    }

    fn record(
        &mut self,
        record: Record<'_>,
        catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        let key = (record.header.session, record.header.stream);
        match (record.header.kind, catalog.sample_size(&record)) {
            (Kind::BATCH, Some(size)) if self.split => {
                for sample in Samples::parse(&record, size.is_some())?.iter() {
                    out.send_sample(&record.header, &sample)?;
                }
                Ok(())
            }
            (Kind::DATA | Kind::BATCH, Some(size)) if !self.split => {
                self.join(record, size.is_some(), out)
            }
            (Kind::STREAM, _) => {
                let held = self.held.entry(key).or_default();
                if held.description != record.payload_crc() {
                    flush(held, out)?;
                    held.description = record.payload_crc();
                }
                out.send(record)
            }
            _ => {
                // Gaps and events keep their place among the samples of their stream.
                if let Some(held) = self.held.get_mut(&key) {
                    flush(held, out)?;
                }
                out.send(record)
            }
        }
    }

    fn deadline(&self) -> Option<i64> {
        let every = self.every?;
        let held = self.held.values().filter(|held| !held.builder.is_empty());
        held.map(|held| held.since.saturating_add(every)).min()
    }

    fn tick(&mut self, now: i64, out: &mut impl Output) -> Result<()> {
        let every = self.every.unwrap_or(i64::MAX);
        let old = |held: &&mut Held| held.since.saturating_add(every) <= now;
        self.held.values_mut().filter(old).try_for_each(|held| flush(held, out))
    }

    fn end(&mut self, ended: &Ended<'_>, out: &mut impl Output) -> Result<()> {
        for (_, held) in self.held.iter_mut().filter(|(key, _)| key.0 == ended.session) {
            flush(held, out)?;
        }
        self.held.retain(|key, _| key.0 != ended.session);
        Ok(())
    }
}

impl Batch {
    fn join(
        &mut self,
        record: Record<'_>,
        fixed: bool,
        out: &mut impl Output,
    ) -> Result<()> {
        let header = record.header;
        let held = self.held.entry((header.session, header.stream)).or_default();
        if held.fixed != fixed {
            flush(held, out)?;
            *held = Held { builder: Builder::new(fixed), fixed, ..std::mem::take(held) };
        }
        if record.payload.len() > MAX_BATCH {
            // Long enough; a copy of it would only take memory.
            flush(held, out)?;
            return out.send(record);
        }
        for sample in Samples::parse(&record, fixed)?.iter() {
            if !held.builder.push(&header, &sample, MAX_BATCH) {
                flush(held, out)?;
                if !held.builder.push(&header, &sample, MAX_BATCH) {
                    // It fills a record by itself.
                    out.send_sample(&header, &sample)?;
                }
            }
            if held.builder.len() == 1 {
                held.since = out.now();
            }
            if held.builder.len() >= self.samples {
                flush(held, out)?;
            }
        }
        Ok(())
    }
}

fn flush(held: &mut Held, out: &mut impl Output) -> Result<()> {
    match held.builder.finish() {
        Some(batch) => out.send(batch),
        None => Ok(()),
    }
}
