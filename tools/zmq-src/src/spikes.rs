//! Spikes: a stream for each electrode, of waveforms with what was said of them.
//!
//! A sample is f32 throughout, so that any reader of numbers can take it, and its fields say
//! what is where: the waveform, channel by channel, then the threshold of each channel, then
//! the id that the sorter gave, 0 for none. They are one sample, since an id that travels as
//! an event of its own would be parted from its spike by the first stage that gathers
//! samples.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use libframe::payload::Reason;
use libframe::schema::{DeviceClock, Dtype, Field, Media, Stream};
use libframe::tool::Feed;

use crate::message::Spike;
use crate::outlet::device;

/// Electrodes of all streams together.
const MAX_ELECTRODES: usize = 1024;

/// All electrodes of a rig.
#[derive(Debug, Default)]
pub(crate) struct Spikes {
    electrodes: HashMap<String, Electrode>,
    sample: Vec<u8>,
}

#[derive(Debug)]
struct Electrode {
    number: u16,
    /// Channels and samples of a waveform.
    shape: (u32, u32),
}

/// Where a spike belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The stream of the rig, as it is called in the session.
    pub(crate) stream: &'a str,
    pub(crate) port: &'a str,
    pub(crate) rate: Option<f64>,
    pub(crate) time: i64,
}

/// What became of a spike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Whole,
    /// A part of its waveform was never sent; NaN is in its place.
    Cut,
    /// There are too many electrodes.
    Crowd,
}

impl Spikes {
    /// Sends a spike.
    pub(crate) fn send(
        &mut self,
        spike: &Spike<'_>,
        place: Place<'_>,
        feed: &mut Feed,
    ) -> Result<Sent> {
        let name = format!("{}.spikes-{}", place.stream, spike.electrode);
        let shape = (spike.channels, spike.samples);
        let is_full = self.electrodes.len() >= MAX_ELECTRODES;
        let number = match self.electrodes.get_mut(&name) {
            Some(electrode) if electrode.shape == shape => electrode.number,
            Some(electrode) => {
                electrode.shape = shape;
                feed.describe(electrode.number, describe(name, shape, place))?;
                electrode.number
            }
            None if is_full => return Ok(Sent::Crowd),
            None => {
                let number = feed.open_aside(&describe(name.clone(), shape, place))?;
                self.electrodes.insert(name, Electrode { number, shape });
                number
            }
        };
        let is_cut = spike.payload.len() < spike.len();
        self.encode(spike);
        if is_cut {
            let detail = "a part of the waveform was not sent; it is NaN";
            feed.lost(number, None, Reason::Device, detail)?;
        }
        feed.sample(number, place.time, Some(spike.sample), &self.sample)?;
        Ok(if is_cut { Sent::Cut } else { Sent::Whole })
    }

    fn encode(&mut self, spike: &Spike<'_>) {
        let out = &mut self.sample;
        out.clear();
        // What was cut off may end within a number.
        let whole = spike.payload.len() / 4 * 4;
        out.extend_from_slice(&spike.payload[..whole]);
        let nan = f32::NAN.to_le_bytes();
        while out.len() < spike.len() {
            out.extend_from_slice(&nan);
        }
        for channel in 0..spike.channels as usize {
            let threshold = spike.thresholds.0.get(channel).copied().unwrap_or(f32::NAN);
            out.extend_from_slice(&threshold.to_le_bytes());
        }
        out.extend_from_slice(&(spike.sorted as f32).to_le_bytes());
    }
}

fn describe(name: String, (channels, samples): (u32, u32), place: Place<'_>) -> Stream {
    let field = |name: &str, from: u32, count, unit: &str| Field {
        name: name.into(),
        dtype: Dtype::F32,
        offset: 4 * from,
        count,
        unit: unit.into(),
    };
    let waveform = channels * samples;
    Stream {
        name,
        media: Media::Samples,
        dtype: Some(Dtype::F32),
        shape: vec![waveform + channels + 1],
        fields: vec![
            field("waveform", 0, waveform, "uV"),
            field("threshold", waveform, channels, "uV"),
            field("sorted_id", waveform + channels, 1, ""),
        ],
        device: device(place.port),
        device_clock: place.rate.map(|rate| DeviceClock { rate, bits: 64 }),
        stamp: "arrival-fitted".into(),
        meta: BTreeMap::from([
            ("spike.channels".into(), channels.to_string()),
            ("spike.samples".into(), samples.to_string()),
        ]),
        ..Stream::default()
    }
}
