//! Measures the toolkit against its peers, in one run.
//!
//! Absolute figures move with the machine and with whatever else runs on it; a ratio of
//! two medians from interleaved rounds moves much less. So every figure here stands
//! beside a peer's, and nothing fails for being slow: the table says what was reached.

mod chain;
mod codec;
mod latency;
mod probe;
mod report;
mod throughput;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};

/// Measure the toolkit against its peers.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run all measurements
    Run(Run),
    /// Write records to stdout, each with the time it is written
    Emit(probe::Emit),
    /// Read those records from stdin and print how old they were, p50 and p99 in ns
    Receive,
}

/// Where everything is that takes part.
#[derive(Args)]
struct Run {
    /// Directory of the tools
    #[arg(long, value_name = "DIR")]
    tools: PathBuf,
    /// The relay, compiled
    #[arg(long, value_name = "FILE")]
    relay: PathBuf,
    /// The Python stage
    #[arg(long, value_name = "FILE")]
    stage: PathBuf,
    /// The interpreter itself: a wrapper would add its own start to each stage
    #[arg(long, value_name = "FILE")]
    python: PathBuf,
    /// A recording of short records
    #[arg(long, value_name = "FILE")]
    short: PathBuf,
    /// A recording of long records
    #[arg(long, value_name = "FILE")]
    long: PathBuf,
    /// Where to write the figures
    #[arg(long, value_name = "FILE")]
    json: PathBuf,
    /// Shorter latency runs
    #[arg(long)]
    quick: bool,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Run(run) => measure(&run),
        Command::Emit(emit) => emit.run(),
        Command::Receive => probe::receive(),
    }
}

fn measure(run: &Run) -> Result<()> {
    let cast = chain::Cast {
        tools: run.tools.clone(),
        relay: run.relay.clone(),
        stage: run.stage.clone(),
        python: run.python.clone(),
        probe: std::env::current_exe().context("own executable")?,
    };
    let mut rows = throughput::short(&cast, &run.short)?;
    rows.extend(throughput::long(&cast, &run.long)?);
    rows.extend(latency::rows(&cast, run.quick)?);
    rows.extend(codec::rows()?);
    report::print(&rows)?;
    let json = report::json(&rows, run.quick);
    std::fs::write(&run.json, format!("{json:#}\n"))
        .with_context(|| run.json.display().to_string())
}
