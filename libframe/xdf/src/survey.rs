//! What a file holds, found by reading it once.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::path::Path;

use crate::header;
use crate::reader::{ClockOffset, Content, Damage, Item, ReadError, Reader};
use crate::samples::{Layout, Samples, Stamper};

/// Places that are told; the rest is summed up.
const MAX_DAMAGE: usize = 1000;
/// Clock offsets that are kept of a stream: a week of them.
const MAX_OFFSETS: usize = 128 << 10;

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// XML about the file.
    pub header: Option<String>,
    /// Its streams, in the order of their first chunks.
    pub streams: Vec<StreamSurvey>,
    /// What is not readable: the first places.
    pub damage: Vec<Damage>,
    /// How many such places there are, and bytes in all of them.
    pub damaged: (u64, u64),
    /// Bytes of the file.
    pub len: u64,
}

/// What a file holds of a stream.
#[derive(Clone, Debug, Default)]
pub struct StreamSurvey {
    /// The number it has in the file.
    pub stream: u32,
    /// XML about it; `None` if it has no header that is readable.
    pub header: Option<String>,
    /// Chunks of samples.
    pub chunks: u64,
    /// Samples.
    pub samples: u64,
    /// Time of the first sample, s of the stream's clock.
    pub first: Option<f64>,
    /// Time of the last sample.
    pub last: Option<f64>,
    /// How far its clock is from the recorder's, over time.
    pub offsets: Vec<ClockOffset>,
    /// XML about what came of it.
    pub footer: Option<String>,
    /// Samples that cannot be read, because it has no header.
    pub undescribed: u64,
}

impl StreamSurvey {
    /// The stream's name, by its header.
    pub fn name(&self) -> &str {
        let header = self.header.as_deref().unwrap_or_default();
        header::element(header.as_bytes(), "name").unwrap_or_default()
    }

    /// How its samples lie.
    pub fn layout(&self) -> Option<Layout> {
        header::layout(self.header.as_deref()?.as_bytes())
    }
}

/// Reads a file once, for what it holds.
pub fn survey(path: &Path) -> Result<Survey, ReadError> {
    Survey::of(&mut Reader::open(path)?)
}

impl Survey {
    /// Reads to the end, for what there is.
    pub fn of<R: Read + Seek>(reader: &mut Reader<R>) -> Result<Survey, ReadError> {
        let mut survey = Survey::default();
        let mut places = Places::default();
        while let Some(item) = reader.next()? {
            let chunk = match item {
                Item::Chunk(chunk) => chunk,
                Item::Damage(damage) => {
                    survey.damage(damage);
                    continue;
                }
            };
            if let Content::FileHeader(xml) = chunk.content {
                survey.header.get_or_insert_with(|| text(xml));
            }
            if !chunk.head.tag.has_stream() {
                continue;
            }
            let (at, stamper) = places.of(chunk.head.stream, &mut survey.streams);
            survey.streams[at].learn(&chunk.content, stamper);
        }
        survey.len = reader.file_len();
        Ok(survey)
    }

    /// The stream of this number.
    pub fn stream(&self, stream: u32) -> Option<&StreamSurvey> {
        self.streams.iter().find(|other| other.stream == stream)
    }

    /// Where the file was cut off, if nothing readable comes after.
    pub fn cut(&self) -> Option<u64> {
        let last = self.damage.last().filter(|damage| damage.is_last)?;
        Some(last.offset)
    }

    fn damage(&mut self, damage: Damage) {
        self.damaged.0 += 1;
        self.damaged.1 += damage.bytes;
        // The last is the one that says where the file was cut off.
        if self.damage.len() == MAX_DAMAGE {
            self.damage.pop();
        }
        self.damage.push(damage);
    }
}

/// Where streams stand in a survey, and the times of their next samples.
#[derive(Default)]
struct Places(BTreeMap<u32, (usize, Stamper)>);

impl Places {
    fn of(
        &mut self,
        stream: u32,
        streams: &mut Vec<StreamSurvey>,
    ) -> (usize, &mut Stamper) {
        let (at, stamper) = self.0.entry(stream).or_insert_with(|| {
            streams.push(StreamSurvey { stream, ..StreamSurvey::default() });
            (streams.len() - 1, Stamper::new(0.0))
        });
        (*at, stamper)
    }
}

impl StreamSurvey {
    fn learn(&mut self, content: &Content<'_>, stamper: &mut Stamper) {
        match content {
            Content::StreamHeader(xml) if self.header.is_none() => {
                *stamper = Stamper::new(header::rate(xml));
                self.header = Some(text(xml));
            }
            Content::StreamFooter(xml) => self.footer = Some(text(xml)),
            Content::ClockOffset(offset) if self.offsets.len() < MAX_OFFSETS => {
                self.offsets.push(*offset);
            }
            Content::Samples(samples) => self.count(samples, stamper),
            Content::Unwanted(count) => {
                self.chunks += 1;
                self.samples = self.samples.saturating_add(*count);
            }
            Content::Undescribed(count) => {
                self.chunks += 1;
                self.undescribed = self.undescribed.saturating_add(*count);
            }
            _ => {}
        }
    }

    fn count(&mut self, samples: &Samples<'_>, stamper: &mut Stamper) {
        self.chunks += 1;
        self.samples = self.samples.saturating_add(samples.len());
        let last = samples.last().and_then(|sample| sample.time);
        let first = samples.iter().next().map(|sample| stamper.time(sample.time));
        self.first = self.first.or(first);
        if let Some(time) = last.filter(|_| samples.len() > 1) {
            stamper.time(Some(time));
        } else {
            samples.iter().skip(1).for_each(|sample| {
                stamper.time(sample.time);
            });
        }
        self.last = first.map(|_| stamper.last()).or(self.last);
    }
}

fn text(xml: &[u8]) -> String {
    String::from_utf8_lossy(xml).into_owned()
}
