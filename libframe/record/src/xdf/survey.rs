//! What is in a file, before any of it is played.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use libframe::payload::Session;
use libframe::schema::Stream;
use libframe_lsl::info::Info;
use libframe_xdf::{ClockOffset, Content, Item, Reader, records};

use super::header;
use super::lane::nanoseconds;

/// Bytes of descriptions that are kept; hostile ones would fill the memory.
const MAX_DESCRIPTIONS: usize = 64 << 20;
/// Streams in a session.
const MAX_STREAMS: usize = 4096;

/// What is in a file.
#[derive(Clone)]
pub(super) struct Survey {
    /// The session, as far as the file's own header says. Our files have records of theirs.
    pub(super) tag: u32,
    pub(super) session: Session,
    /// In the order of their headers.
    pub(super) streams: Vec<Found>,
    /// Whether the file is one of ours.
    pub(super) is_ours: bool,
}

/// What is known of a stream.
#[derive(Clone)]
pub(super) struct Found {
    /// What the file calls it.
    pub(super) id: u32,
    pub(super) role: Role,
    /// Its session, and its number there.
    pub(super) tag: u32,
    pub(super) number: u16,
    pub(super) info: Info,
    pub(super) stream: Stream,
    pub(super) samples: u64,
    /// The first sample's time, s of the stream's clock.
    pub(super) first: Option<f64>,
    /// What was measured of its clock first.
    pub(super) offset: Option<ClockOffset>,
    /// Whether a footer is there, and how many samples it counts.
    pub(super) footer: Option<Option<u64>>,
}

/// What a stream in a file is to a stream of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is one.
    Stream,
    /// The records of a session in one of our files.
    Notes,
    /// The device's times of the samples of another, by what the file calls that.
    DeviceTimesOf(u32),
    /// What our file has as records, for others.
    Copy,
}

impl Survey {
    /// Reads a file to its end.
    pub(super) fn of(path: &Path) -> Result<Survey> {
        let mut reader = Reader::open(path)?;
        let mut streams: Vec<Found> = Vec::new();
        let mut places = BTreeMap::<u32, usize>::new();
        let (mut front, mut kept) = (Vec::new(), 0);
        while let Some(item) = reader.next()? {
            let Item::Chunk(chunk) = item else { continue };
            let id = chunk.head.stream;
            let known = places.get(&id).and_then(|at| streams.get_mut(*at));
            match (chunk.content, known) {
                (Content::FileHeader(xml), _) if front.is_empty() => {
                    front = xml.to_vec();
                }
                (Content::StreamHeader(xml), None) => {
                    kept += xml.len();
                    if kept > MAX_DESCRIPTIONS || streams.len() == MAX_STREAMS {
                        bail!("descriptions of more than {} streams", streams.len());
                    }
                    if let Some(found) = Found::new(id, streams.len(), xml) {
                        places.insert(id, streams.len());
                        streams.push(found);
                    }
                }
                (Content::Samples(samples), Some(found)) => {
                    if found.first.is_none() {
                        let first = samples.iter().next();
                        found.first = first.and_then(|sample| sample.time);
                    }
                    found.samples += samples.len();
                }
                (Content::ClockOffset(offset), Some(found)) => {
                    found.offset.get_or_insert(offset);
                }
                (Content::StreamFooter(xml), Some(found)) => {
                    found.footer = Some(header::sample_count(xml));
                }
                _ => {}
            }
        }
        let is_ours = streams.iter().any(|found| found.role == Role::Notes);
        let (tag, session) = header::session(&front, &streams);
        match is_ours {
            true => streams.iter_mut().for_each(Found::is_ours),
            false => {
                apart(&mut streams);
                streams.iter_mut().for_each(|found| found.tag = tag);
            }
        }
        Ok(Survey { tag, session, streams, is_ours })
    }

    /// Whether every stream has its footer: they are written when a recording is closed.
    pub(super) fn has_footers(&self) -> bool {
        !self.streams.is_empty()
            && self.streams.iter().all(|found| found.footer.is_some())
    }
}

impl Found {
    /// `None` if the header does not say how to read the stream's samples.
    fn new(id: u32, place: usize, xml: &[u8]) -> Option<Found> {
        let info = Info::from_xml(&String::from_utf8_lossy(xml)).ok()?;
        let stream = info.stream();
        let number = u16::try_from(place + 1).ok()?;
        let role = match info.kind.as_str() {
            records::TYPE => Role::Notes,
            _ => Role::Stream,
        };
        let (tag, samples, first, offset, footer) = (0, 0, None, None, None);
        Some(Found {
            id,
            role,
            tag,
            number,
            info,
            stream,
            samples,
            first,
            offset,
            footer,
        })
    }

    /// Learns what it is in one of our files.
    fn is_ours(&mut self) {
        let ours = self.info.desc.child("framepipe");
        let number = |name: &str| ours?.text_at(name)?.parse::<u32>().ok();
        self.tag = number("tag").unwrap_or(0);
        self.number = number("number").and_then(|n| u16::try_from(n).ok()).unwrap_or(0);
        self.role = match (self.role, number("device_time_of")) {
            (Role::Notes, _) => Role::Notes,
            (_, Some(of)) => Role::DeviceTimesOf(of),
            _ if self.number == 0 => Role::Copy,
            _ => Role::Stream,
        };
    }

    /// Its clock minus the session's, as far as was measured first; ns.
    pub(super) fn ahead(&self) -> i64 {
        self.offset.map_or(0, |offset| -nanoseconds(offset.value))
    }

    /// Samples that the footer counts, and that are not in the file.
    pub(super) fn missing(&self) -> u64 {
        self.footer.flatten().map_or(0, |count| count.saturating_sub(self.samples))
    }
}

/// Gives streams of one name names of their own: with their host where that differs, else
/// with their number in the file.
fn apart(streams: &mut [Found]) {
    let names: Vec<(String, String)> = streams
        .iter()
        .map(|found| (found.stream.name.clone(), found.info.hostname.clone()))
        .collect();
    for (at, found) in streams.iter_mut().enumerate() {
        let (name, host) = &names[at];
        let same = names.iter().filter(|(other, _)| other == name).count();
        let here = names.iter().filter(|other| *other == &names[at]).count();
        if same > 1 && here == 1 && !host.is_empty() {
            found.stream.name = format!("{name} ({host})");
        } else if same > 1 || name.is_empty() {
            found.stream.name = format!("{name} ({})", found.id).trim().to_owned();
        }
    }
}
