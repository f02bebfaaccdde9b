//! What is not samples: events, gaps, texts and bytes. None of it is frequent, so `rosc`
//! writes it.

use anyhow::Result;
use libframe::batch::Samples;
use libframe::catalog::Catalog;
use libframe::clock::SECOND;
use libframe::payload::{Event, Gap, Payload as _, Value};
use libframe::schema::Media;
use libframe::tool::{Flow, Need, Plan};
use libframe::wire::Record;
use rosc::{OscMessage, OscPacket, OscType, encoder};

use crate::args::Args;
use crate::destination::Destination;
use crate::sender::{Key, Sender};
use crate::track::Outlet as _;

/// Seconds from 1900, where OSC's time begins, to 1970.
const EPOCH: i64 = 2_208_988_800;
/// The time tag that means "now", for what nobody knows the wall clock of.
const IMMEDIATELY: u64 = 1;

/// What is sent beside samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) events: bool,
    pub(crate) gaps: bool,
    pub(crate) blobs: bool,
    /// Bytes of a message at most.
    pub(crate) limit: usize,
}

impl Wanted {
    /// Sends an event, if that is wanted.
    pub(crate) fn event(
        self,
        key: Key,
        record: &Record<'_>,
        to: &mut Sender,
    ) -> Result<()> {
        let event = Event::from_bytes(record.payload);
        let Some(event) = event.ok().filter(|_| self.events) else { return Ok(()) };
        let mut args = vec![OscType::String(self.cut(&event.label).into())];
        match event.value {
            Value::Nil => {}
            Value::Bool(value) => args.push(OscType::Bool(value)),
            Value::Int(value) => args.push(match i32::try_from(value) {
                Ok(value) => OscType::Int(value),
                Err(_) => OscType::Long(value),
            }),
            Value::Float(value) => args.push(OscType::Float(value as f32)),
            Value::Text(text) => args.push(OscType::String(self.cut(&text).into())),
        }
        // Beside the streams' lanes, so that it hurries none of them.
        send((key.0, 0), "/event", args, to)
    }

    /// Sends what is missing, if that is wanted.
    pub(crate) fn gap(
        self,
        key: Key,
        record: &Record<'_>,
        catalog: &Catalog,
        to: &mut Sender,
    ) -> Result<()> {
        let gap = Gap::from_bytes(record.payload);
        let Some(gap) = gap.ok().filter(|_| self.gaps && key.1 != 0) else {
            return Ok(());
        };
        let count = gap.count.or(gap.partial);
        let count = count.map_or(-1, |n| i32::try_from(n).unwrap_or(i32::MAX));
        let name = self.cut(&catalog.name(key.0, key.1)).to_owned();
        let about = vec![
            OscType::String(name),
            OscType::Int(gap.first as i32),
            OscType::Int(count),
        ];
        if gap.channels.is_empty() {
            return send(key, "/gap", about, to);
        }
        // Each takes four bytes and its tag.
        let most = (self.limit / 2 / 5).max(1);
        for channels in gap.channels.chunks(most) {
            let channels = channels.iter().map(|channel| OscType::Int(*channel as i32));
            let args = about.iter().cloned().chain(channels).collect();
            send(key, "/gap", args, to)?;
        }
        Ok(())
    }

    /// What of a text fits into a message beside others.
    fn cut(self, text: &str) -> &str {
        parts_of(text, self.limit / 3).next().unwrap_or_default()
    }

    /// Sends what are no numbers: texts, and others if that is wanted. Whether it was.
    pub(crate) fn others(
        self,
        key: Key,
        media: Media,
        samples: &Samples<'_>,
        address: &str,
        to: &mut Sender,
    ) -> Result<bool> {
        match media {
            Media::Text => {
                for sample in samples.iter() {
                    let text = String::from_utf8_lossy(sample.bytes);
                    let address = format!("{address}/text");
                    let room = self.limit.saturating_sub(address.len() + 16).max(4);
                    for part in parts_of(&text, room) {
                        send(key, &address, vec![OscType::String(part.into())], to)?;
                    }
                }
                Ok(true)
            }
            Media::Event => Ok(true),
            _ if !self.blobs => Ok(false),
            _ => {
                let address = format!("{address}/bytes");
                let room = (self.limit.saturating_sub(address.len() + 32) / 4 * 4).max(4);
                for sample in samples.iter() {
                    let parts = sample.bytes.chunks(room).len().max(1);
                    for part in 0..parts {
                        let begin = part * room;
                        let end = sample.bytes.len().min(begin + room);
                        let args = vec![
                            OscType::Int(sample.seq as i32),
                            OscType::Int(part as i32),
                            OscType::Int(parts as i32),
                            OscType::Blob(sample.bytes[begin..end].to_vec()),
                        ];
                        send(key, &address, args, to)?;
                    }
                }
                Ok(true)
            }
        }
    }
}

/// A text in parts of so many bytes at most; one if it is empty.
fn parts_of(text: &str, most: usize) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let mut ends = (1..=most.min(text.len())).rev();
        let end = ends.find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let (part, after) = text.split_at(end);
        rest = Some(after).filter(|after| !after.is_empty() && !part.is_empty());
        Some(part)
    })
}

fn send(key: Key, address: &str, args: Vec<OscType>, to: &mut Sender) -> Result<()> {
    // OSC ends a string at its first zero.
    let clean = |arg| match arg {
        OscType::String(text) => OscType::String(text.replace('\0', " ")),
        arg => arg,
    };
    let args = args.into_iter().map(clean).collect();
    let message = OscMessage { addr: address.into(), args };
    let bytes = encoder::encode(&OscPacket::Message(message))?;
    let mut block = to.block(key);
    block.message(|out| out.extend_from_slice(&bytes));
    block.slab(0);
    block.end(|_| 0)
}

/// A time in ns since 1970 as an OSC time tag: seconds since 1900, and 2^-32 of them.
pub(crate) fn time_tag(realtime: Option<i64>) -> u64 {
    let Some(time) = realtime else { return IMMEDIATELY };
    let seconds = time.div_euclid(SECOND) + EPOCH;
    let nanos = time.rem_euclid(SECOND) as u64;
    // Rounded, and a second is never full: 999999999 ns are less than 2^32 - 4 parts.
    let parts = ((nanos << 32) + SECOND as u64 / 2) / SECOND as u64;
    ((seconds as u32 as u64) << 32) | parts
}

/// What it needs, and how much it would send.
pub(crate) fn plan(args: &Args, plan: &mut Plan) {
    match &args.destination {
        Destination::Tcp(address) => plan.needs(Need::server(address)),
        Destination::Udp(_) => {
            if let Err(err) = args.destination.resolve() {
                let what = format!("host of {}", args.destination);
                plan.needs(Need { what, problem: Some(format!("{err:#}")) });
            }
        }
        Destination::Unix(path) => plan.needs(Need::device(path)),
    }
    let bytes = |flow: &Flow| {
        let numbers = flow.stream.width() as f64;
        // A number and its type tag.
        Some(flow.rate()? * numbers * 5.0)
    };
    let flows = plan.input.iter().flatten();
    let sum = flows.map(bytes).sum::<Option<f64>>().filter(|sum| *sum > 0.0);
    if let Some(sum) = sum {
        plan.notes.push(format!("about {:.1} MB/s of OSC", sum / 1e6));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_tags_are_ntp() {
        // 2025-07-08T00:00:00.5Z.
        let tag = time_tag(Some(1_751_932_800_500_000_000));
        assert_eq!(tag >> 32, 1_751_932_800 + 2_208_988_800);
        assert_eq!(tag as u32, 1 << 31);
        assert_eq!(time_tag(None), 1);
        for nanos in [0, 1, 999, 1000, 123_456_789, 999_999_999] {
            let back = ((time_tag(Some(nanos)) & 0xffff_ffff) * 1_000_000_000) >> 32;
            assert!((back as i64 - nanos).abs() <= 1, "{nanos} {back}");
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let parts: Vec<_> = parts_of("añb", 2).collect();
        assert_eq!(parts, ["a", "ñ", "b"]);
        assert_eq!(parts_of("", 2).collect::<Vec<_>>(), [""]);
    }
}
