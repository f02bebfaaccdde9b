//! A source that does what no good tool does, to see what the runtime makes of it.

use std::process::ExitCode;
use std::thread::park;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use libframe::payload::{Reason, Value};
use libframe::schema::{Media, Stream};
use libframe::tool::{self, Feed, Source, Wake};

/// Be odd.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[arg(value_enum)]
    device: Device,
}

#[derive(Clone, Copy, ValueEnum)]
enum Device {
    /// Gives one sample and no more, but listens.
    Silent,
    /// Gives one sample, and never looks up again.
    Deaf,
    /// Gives five samples and an error.
    Failing,
    /// Gives five samples and panics.
    Panicking,
    /// Gives as many samples as it is let, without asking whether they are wanted.
    Eager,
    /// Is described anew after each of three samples, then gives no more.
    Changing,
    /// Gives one of everything that a source can say.
    Talkative,
}

fn main() -> ExitCode {
    tool::source::<OddSource>()
}

struct OddSource;

impl Source for OddSource {
    type Args = Args;

    fn run(args: Args, feed: &mut Feed) -> Result<()> {
        run(args, feed)
    }
}

fn run(args: Args, feed: &mut Feed) -> Result<()> {
    let mut stream =
        Stream { name: "odd".into(), media: Media::Bytes, ..Stream::default() };
    let number = feed.open(&stream)?;
    let sample = |feed: &mut Feed| feed.sample(number, feed.clock().now(), None, b"odd");
    match args.device {
        Device::Silent => {
            sample(feed)?;
            silence(feed)
        }
        Device::Deaf => {
            sample(feed)?;
            loop {
                park();
            }
        }
        Device::Failing => {
            (0..5).try_for_each(|_| sample(feed))?;
            bail!("the plug came out");
        }
        Device::Panicking => {
            (0..5).try_for_each(|_| sample(feed))?;
            panic!("the plug came out");
        }
        Device::Eager => {
            while feed.is_running() {
                (0..7).try_for_each(|_| sample(feed))?;
            }
            sample(feed)
        }
        Device::Changing => {
            for name in ["b", "c", "d"] {
                sample(feed)?;
                stream.name = name.into();
                feed.describe(number, stream.clone())?;
            }
            silence(feed)
        }
        Device::Talkative => {
            feed.sample(number, feed.clock().now(), Some(77), b"timed")?;
            feed.lost(number, Some(3), Reason::Device, "overheated")?;
            feed.event(number, "mark", Value::Int(5))?;
            sample(feed)?;
            feed.lost(number, None, Reason::Parser, "gibberish")?;
            feed.event(0, "over", Value::Nil)
        }
    }
}

/// Waits without an end of its own, and says why it was woken.
fn silence(feed: &mut Feed) -> Result<()> {
    while feed.is_running() {
        let wake = feed.wait(None, None)?;
        let label = if wake == Wake::Stop { "told to stop" } else { "woken in vain" };
        feed.event(0, label, Value::Nil)?;
        if wake == Wake::Stop {
            break;
        }
    }
    // Asked again, since that is what finds the reason for END.
    feed.is_running();
    Ok(())
}
