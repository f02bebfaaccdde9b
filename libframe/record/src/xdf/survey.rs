//! What is in a file, before any of it is played.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use libframe::payload::{Session, Totals};
use libframe::schema::{Media, Stream};
use libframe_lsl::info::Info;
use libframe_xdf::{ClockOffset, Content, Item, Reader};

use super::header;

/// Bytes of descriptions that are kept; hostile ones would fill the memory.
const MAX_DESCRIPTIONS: usize = 64 << 20;
/// Streams in a session.
const MAX_STREAMS: usize = 4096;

/// What is in a file.
#[derive(Clone)]
pub(super) struct Survey {
    pub(super) tag: u32,
    pub(super) session: Session,
    /// In the order of their headers.
    pub(super) streams: Vec<Found>,
}

/// What is known of a stream.
#[derive(Clone)]
pub(super) struct Found {
    /// What the file calls it.
    pub(super) id: u32,
    /// Its number in records.
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
        apart(&mut streams);
        let (tag, session) = header::session(&front, &streams);
        Ok(Survey { tag, session, streams })
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
        let (first, offset, footer) = (None, None, None);
        Some(Found { id, number, info, stream, samples: 0, first, offset, footer })
    }

    /// Samples that the footer counts, and that are not in the file.
    pub(super) fn missing(&self) -> u64 {
        self.footer.flatten().map_or(0, |count| count.saturating_sub(self.samples))
    }

    pub(super) fn totals(&self) -> Totals {
        let (stream, lost) = (self.number, self.missing());
        match self.stream.media {
            // Events have no numbers.
            Media::Event => Totals { stream, ..Totals::default() },
            _ => {
                let next = self.samples + lost;
                Totals { stream, first: 0, next, samples: self.samples, lost }
            }
        }
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
