//! A stream of the rig, as a stream of records: blocks, gaps, segments, times.

use std::collections::BTreeMap;

use anyhow::Result;
use libframe::payload::{Reason, Value};
use libframe::schema::{Channel, Device, DeviceClock, Dtype, Media, Stream};
use libframe::tool::{Feed, Missing, Raw};
use libframe::wire::{FLAG_DEVICE_TIME, Kind};

use crate::block::Block;
use crate::blocks::{Blocks, Hole};
use crate::choice::ranges;
use crate::fit::Fit;
use crate::roster::Set;

/// Samples a second where nobody says: what matters then is the arrival.
const NO_RATE: f64 = 1e6;
/// Channels named in a gap's text.
const MAX_NAMED: usize = 8;

/// Where a stream's records go.
#[derive(Debug)]
pub(crate) struct Outlet {
    /// What it is called, unique in the session.
    pub(crate) name: String,
    /// Where it comes from.
    port: String,
    /// Whether each block's arrival is told.
    with_arrivals: bool,
    /// The numbers of the streams, once they are open.
    pub(crate) number: Option<u16>,
    arrivals: Option<u16>,
    labels: Vec<String>,
    rate: Option<f64>,
    fit: Option<Fit>,
    /// The last sample's time.
    last: Option<i64>,
    payload: Vec<u8>,
}

impl Outlet {
    pub(crate) fn new(name: String, port: String, with_arrivals: bool) -> Outlet {
        Outlet {
            name,
            port,
            with_arrivals,
            number: None,
            arrivals: None,
            labels: Vec::new(),
            rate: None,
            fit: None,
            last: None,
            payload: Vec::new(),
        }
    }

    /// When a sample was taken, as far as is known: not after this instant.
    pub(crate) fn time(&self, sample: u64, now: i64) -> i64 {
        self.fit.as_ref().map_or(now, |fit| fit.time(sample).min(now))
    }

    /// The description of the stream.
    pub(crate) fn describe(&self, set: &Set) -> Stream {
        let channels = set.channels.iter().zip(&set.names);
        let channels = channels.map(|(number, name)| Channel {
            label: name.clone().unwrap_or_else(|| format!("CH{}", number + 1)),
            unit: "uV".into(),
            ..Channel::default()
        });
        let clock = |rate| DeviceClock { rate, bits: 64 };
        Stream {
            name: self.name.clone(),
            media: Media::Samples,
            dtype: Some(Dtype::F32),
            shape: vec![set.channels.len() as u32],
            channels: channels.collect(),
            rate: set.rate,
            device: device(&self.port),
            device_clock: set.rate.map(clock),
            stamp: "arrival-fitted".into(),
            meta: BTreeMap::from([("channel_num".into(), ranges(&set.channels))]),
            ..Stream::default()
        }
    }

    fn describe_arrivals(&self) -> Stream {
        let channel = |label: &str, unit: &str| Channel {
            label: label.into(),
            unit: unit.into(),
            ..Channel::default()
        };
        Stream {
            name: format!("{}.arrival", self.name),
            media: Media::Samples,
            dtype: Some(Dtype::I64),
            shape: vec![3],
            channels: vec![
                channel("sample_num", ""),
                channel("arrival_ns", "ns"),
                channel("published_ms", "ms"),
            ],
            device: device(&self.port),
            stamp: "arrival".into(),
            meta: BTreeMap::from([("about".into(), self.name.clone())]),
            ..Stream::default()
        }
    }

    /// The payload of a BATCH of the block's first samples; its time.
    fn encode(&mut self, block: &Block, samples: usize) -> i64 {
        let at = block.arrival.at;
        let rate = self.rate.unwrap_or(NO_RATE);
        let last = self.last;
        let first = || Fit::new(block.first, block.samples, rate, at, last);
        let fit = self.fit.get_or_insert_with(first);
        let times = fit.block(block.first, block.samples, at);
        let start = times.at(0);
        self.last = Some(times.at(samples - 1));
        let out = &mut self.payload;
        out.clear();
        out.extend_from_slice(&(samples as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for sample in 0..samples {
            out.extend_from_slice(&(times.at(sample) - start).to_le_bytes());
        }
        for sample in 0..samples as u64 {
            out.extend_from_slice(&(block.first + sample).to_le_bytes());
        }
        block.write(samples, out);
        start
    }
}

/// What all streams of a plugin come from.
pub(crate) fn device(port: &str) -> Device {
    Device {
        make: "Open Ephys".into(),
        model: "ZMQ Interface".into(),
        port: port.into(),
        ..Device::default()
    }
}

/// An outlet and the pipe behind it.
pub(crate) struct Running<'a> {
    pub(crate) outlet: &'a mut Outlet,
    pub(crate) feed: &'a mut Feed,
}

impl Blocks for Running<'_> {
    fn channels(&mut self, set: &Set) -> Result<()> {
        let Running { outlet, feed } = self;
        let description = outlet.describe(set);
        outlet.labels =
            description.channels.iter().map(|channel| channel.label.clone()).collect();
        if outlet.rate != set.rate {
            (outlet.rate, outlet.fit) = (set.rate, None);
        }
        match outlet.number {
            Some(number) => feed.describe(number, description),
            None => {
                outlet.number = Some(feed.open(&description)?);
                if outlet.with_arrivals {
                    let arrivals = outlet.describe_arrivals();
                    outlet.arrivals = Some(feed.open_aside(&arrivals)?);
                }
                Ok(())
            }
        }
    }

    fn segment(&mut self, first: u64) -> Result<()> {
        self.outlet.fit = None;
        let number = self.outlet.number.unwrap_or_default();
        self.feed.event(number, "segment", Value::Int(first as i64))
    }

    fn missing(&mut self, hole: &Hole<'_>) -> Result<()> {
        let Some(number) = self.outlet.number else { return Ok(()) };
        let count = hole.count.min(self.feed.left(number));
        if count == 0 {
            return Ok(());
        }
        let labels = &self.outlet.labels;
        let named = hole.columns.iter().take(MAX_NAMED);
        let named = named.filter_map(|column| labels.get(*column as usize));
        let mut detail = named.map(String::as_str).collect::<Vec<_>>().join(", ");
        if hole.columns.len() > MAX_NAMED {
            detail += &format!(" and {} more", hole.columns.len() - MAX_NAMED);
        }
        if hole.reason == Reason::Device {
            detail = "sample numbers jump, and no message is lost".into();
        }
        self.feed.missing(
            number,
            &Missing {
                first: Some(hole.seq),
                count: Some(count),
                reason: hole.reason,
                from: self.outlet.last,
                to: None,
                detail: &detail,
                channels: hole.columns,
            },
        )
    }

    fn block(&mut self, seq: u64, block: &Block, _set: &Set) -> Result<()> {
        let Running { outlet, feed } = self;
        let Some(number) = outlet.number else { return Ok(()) };
        let left = usize::try_from(feed.left(number)).unwrap_or(usize::MAX);
        let samples = block.samples.min(left);
        if samples == 0 {
            return Ok(());
        }
        let time = outlet.encode(block, samples);
        let (kind, flags, payload) = (Kind::BATCH, FLAG_DEVICE_TIME, &outlet.payload);
        feed.raw(number, &Raw { kind, flags, seq, time, payload, flip: None })?;
        let Some(arrivals) = outlet.arrivals else { return Ok(()) };
        let at = block.arrival;
        let mut sample = [0; 24];
        for (to, value) in sample.as_chunks_mut().0.iter_mut().zip([
            block.first as i64,
            at.at,
            at.published,
        ]) {
            *to = value.to_le_bytes();
        }
        feed.sample(arrivals, at.at, None, &sample)
    }

    fn late(&mut self, channel: u32, samples: usize) -> Result<()> {
        let Some(number) = self.outlet.number else { return Ok(()) };
        let detail = format!(
            "channel {channel} is new, and its first {samples} samples came when their \
             block had gone out"
        );
        self.feed.lost(number, None, Reason::Parser, &detail)
    }
}
