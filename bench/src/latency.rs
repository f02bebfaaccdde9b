//! How much later a record arrives for passing two stages.
//!
//! Most of it is the scheduler waking processes, which no stage can avoid: hence the
//! peers, down to a relay that does nothing but read and write.

use std::io::Read as _;
use std::process::Stdio;

use anyhow::{Context as _, Result};

use crate::chain::{self, Cast, Program, cat};
use crate::report::{Goal, Row, Series, Unit};

const ROUNDS: usize = 5;
/// At most twice what the cheapest stages take, where that was promised.
const GOAL: Goal = Goal::AtMost(2.0);

/// A peer, and its percentiles of each round.
struct Peer {
    stage: Program,
    p50: Series,
    p99: Series,
}

/// All rows, at the rate of a slow sensor and of a fast one.
pub(crate) fn rows(cast: &Cast, quick: bool) -> Result<Vec<Row>> {
    let (slow, fast) = if quick { (120, 1000) } else { (1000, 6000) };
    let mut rows = at_rate(cast, 200, slow)?;
    rows.extend(at_rate(cast, 2000, fast)?);
    Ok(rows)
}

fn at_rate(cast: &Cast, rate: u32, count: u32) -> Result<Vec<Row>> {
    let mut peers = peers(cast);
    for _ in 0..ROUNDS {
        for peer in &mut peers {
            let (p50, p99) = measure(cast, &peer.stage, rate, count)?;
            peer.p50.values.push(p50);
            peer.p99.values.push(p99);
        }
    }
    let [ours, others @ ..] = &peers;
    let goal = |name| (rate == 200 && name != "2 Python").then_some(GOAL);
    let p50 = others.iter().map(|peer| {
        row(&format!("{rate} Hz, p50"), &ours.p50, &peer.p50, goal(peer.p50.name))
    });
    let p99 = others
        .iter()
        .map(|peer| row(&format!("{rate} Hz, p99"), &ours.p99, &peer.p99, None));
    Ok(p50.chain(p99).collect())
}

fn row(what: &str, ours: &Series, peer: &Series, goal: Option<Goal>) -> Row {
    Row::new(format!("latency, {what}"), Unit::Micros, ours, peer, goal)
}

fn peers(cast: &Cast) -> [Peer; 4] {
    let stages = [
        ("2 pick-frames", cast.pick()),
        ("2 relays in C", cast.relay()),
        ("2 cat", cat()),
        ("2 Python", cast.python()),
    ];
    stages.map(|(name, stage)| Peer {
        stage,
        p50: Series::new(name),
        p99: Series::new(name),
    })
}

/// p50 and p99 in ns of records that pass a stage twice.
fn measure(cast: &Cast, stage: &Program, rate: u32, count: u32) -> Result<(f64, f64)> {
    let emit = ["emit", "--rate", &rate.to_string(), "-n", &count.to_string()];
    let chain =
        [cast.probe(&emit), stage.clone(), stage.clone(), cast.probe(&["receive"])];
    let mut children = chain::start(&chain, Stdio::null(), Stdio::piped())?;
    let mut line = String::new();
    if let Some(stdout) = children.last_mut().and_then(|child| child.stdout.as_mut()) {
        stdout.read_to_string(&mut line)?;
    }
    chain::finish(children)?;
    let (p50, p99) = line.trim().split_once(' ').context("no percentiles")?;
    Ok((p50.parse()?, p99.parse()?))
}
