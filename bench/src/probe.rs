//! The two ends of a latency chain: one writes records with the time on them, the other
//! sees how old they are. Both are the same for every peer in between.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use libframe::clock::{Clock, SECOND};
use libframe::decoder::Item;
use libframe::io::{RecordReader, RecordWriter};
use libframe::payload::{End, Payload, Session, Totals};
use libframe::schema::{Dtype, Stream};
use libframe::wire::{Header, Kind, MAX_PAYLOAD, Record};

/// Bytes of a sample.
const SAMPLE: u32 = 272;
/// Before the first sample, so that it meets stages that have started.
const LEAD: Duration = Duration::from_millis(500);

/// How many records, how fast.
#[derive(Args)]
pub(crate) struct Emit {
    /// Records a second
    #[arg(long, value_name = "HZ")]
    rate: i64,
    /// Records
    #[arg(short = 'n', value_name = "N")]
    count: u64,
}

impl Emit {
    pub(crate) fn run(&self) -> Result<()> {
        let clock = Clock::system();
        let mut out =
            RecordWriter::new(File::from(io::stdout().as_fd().try_clone_to_owned()?));
        put(&mut out, 0, clock.now(), &session(&clock))?;
        put(&mut out, 1, clock.now(), &stream())?;
        out.flush()?;
        sleep(LEAD);
        let begin = clock.now();
        for seq in 0..self.count {
            sleep_until(&clock, begin + seq as i64 * SECOND / self.rate);
            let payload = [seq as u8; SAMPLE as usize];
            let header = header(Kind::DATA, 1, seq, clock.now());
            out.write(&Record::new(header, &payload))?;
            out.flush()?;
        }
        put(&mut out, 0, clock.now(), &self.end())?;
        Ok(out.flush()?)
    }

    fn end(&self) -> End {
        let (next, samples) = (self.count, self.count);
        let totals = Totals { stream: 1, first: 0, next, samples, lost: 0 };
        End { streams: vec![totals], reason: "count".into() }
    }
}

fn session(clock: &Clock) -> Session {
    Session { uuid: "probe".into(), start_monotonic: clock.now(), ..Session::default() }
}

fn stream() -> Stream {
    let dtype = Some(Dtype::U8);
    Stream { name: "probe".into(), dtype, shape: vec![SAMPLE], ..Stream::default() }
}

fn header(kind: Kind, stream: u16, seq: u64, time: i64) -> Header {
    Header { kind, flags: 0, stream, session: 1, seq, time, sent: time }
}

fn put<P: Payload>(
    out: &mut RecordWriter<File>,
    stream: u16,
    time: i64,
    payload: &P,
) -> Result<()> {
    let payload = payload.to_bytes();
    Ok(out.write(&Record::new(header(P::KIND, stream, 0, time), &payload))?)
}

fn sleep_until(clock: &Clock, when: i64) {
    let left = when - clock.now();
    if left > 0 {
        sleep(Duration::from_nanos(left as u64));
    }
}

/// Prints p50 and p99 of the records' ages. The first tenth does not count: it pays for
/// page faults and cold caches of all stages.
pub(crate) fn receive() -> Result<()> {
    let clock = Clock::system();
    let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut reader = RecordReader::new(stdin, MAX_PAYLOAD);
    let mut ages = Vec::new();
    while let Some(item) = reader.read()? {
        match item {
            Item::Record(record) if record.header.kind == Kind::DATA => {
                ages.push(clock.now() - record.header.time);
            }
            Item::Record(_) => {}
            Item::Damage(damage) => {
                anyhow::bail!("a stage damaged the stream: {damage:?}")
            }
        }
    }
    ensure!(ages.len() >= 10, "only {} records came", ages.len());
    let counted = ages.split_off(ages.len() / 10);
    let [p50, p99] = percentiles(counted, [50, 99]);
    Ok(writeln!(io::stdout().lock(), "{p50} {p99}")?)
}

fn percentiles<const N: usize>(mut ages: Vec<i64>, percents: [usize; N]) -> [i64; N] {
    ages.sort_unstable();
    percents.map(|percent| ages[(ages.len() - 1) * percent / 100])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_of_the_sorted_ages() {
        assert_eq!(percentiles((0..=100).rev().collect(), [0, 50, 99]), [0, 50, 99]);
    }
}
