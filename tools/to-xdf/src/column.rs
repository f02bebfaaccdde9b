//! A stream of the file: samples that become a chunk, and what its footer will say.

use std::collections::{BTreeMap, VecDeque};

use libframe::batch::Sample;
use libframe::payload::Session;
use libframe::schema::{Dtype, Media, Stream};
use libframe_lsl::element::Element;
use libframe_lsl::info::Info;
use libframe_lsl::mapping::keys;
use libframe_lsl::values::{seconds, widen};
use libframe_xdf::{ClockOffset, Gathered, Run, Totals};

use crate::file::File;

/// How often a clock that is the recorder's own is said to be it, s.
const EVERY: f64 = 5.0;
/// A chunk is written when it has so many bytes, whenever the next flush is.
const CHUNK: usize = 128 << 10;

/// Who a column is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose<'a> {
    pub(crate) session: &'a Session,
    pub(crate) tag: u32,
    /// The stream in its session; 0 if it is the file's own.
    pub(crate) number: u16,
}

/// A stream of the file.
#[derive(Debug)]
pub(crate) struct Column {
    /// Its number in the file.
    pub(crate) xdf: u32,
    pub(crate) totals: Totals,
    gathered: Gathered,
    values: Values,
    /// The number of the next sample, if it follows the last.
    next: Option<u64>,
    runs: VecDeque<Run>,
    /// Whether its times are of another clock than the recording host's.
    is_remote: bool,
    /// When its clock was last said to be the recorder's, s.
    told: Option<f64>,
    room: Vec<u8>,
}

#[derive(Debug)]
enum Values {
    Numbers(Dtype),
    Texts(usize),
}

impl Column {
    /// Begins a stream in the file; `None` if XDF has no form for it.
    pub(crate) fn begin(
        stream: &Stream,
        whose: Whose<'_>,
        note: &[(&str, &str)],
        file: &mut File,
    ) -> Option<Column> {
        let info = Info::of_stream(stream, whose.session)?;
        let values = match (stream.media, stream.dtype) {
            (Media::Samples, Some(dtype)) => Values::Numbers(dtype),
            _ => Values::Texts(info.channel_count as usize),
        };
        let mut column = Column::new(info, whose, values, note, file);
        column.is_remote = stream.meta.contains_key(keys::HOSTNAME);
        Some(column)
    }

    /// Begins a stream of texts of the file's own.
    pub(crate) fn texts(info: Info, whose: Whose<'_>, file: &mut File) -> Column {
        Column::new(info, whose, Values::Texts(1), &[], file)
    }

    fn new(
        mut info: Info,
        whose: Whose<'_>,
        values: Values,
        note: &[(&str, &str)],
        file: &mut File,
    ) -> Column {
        info.created_at = seconds(whose.session.start_monotonic);
        if info.uid.is_empty() {
            info.uid = format!("{}-{}", whose.session.uuid, whose.number);
        }
        let ours = match info.desc.children.iter_mut().find(|c| c.name == "framepipe") {
            Some(ours) => ours,
            None => info.desc.add(Element::new("framepipe")),
        };
        ours.add_text("tag", &whose.tag.to_string());
        ours.add_text("number", &whose.number.to_string());
        note.iter().for_each(|(name, text)| ours.add_text(name, text));
        let xdf = file.next_stream();
        file.writer.stream_header(xdf, &info.to_xml());
        Column {
            xdf,
            totals: Totals::default(),
            gathered: Gathered::default(),
            values,
            next: None,
            runs: VecDeque::new(),
            is_remote: false,
            told: None,
            room: Vec::new(),
        }
    }

    /// Takes a sample of its stream.
    pub(crate) fn sample(&mut self, sample: &Sample<'_>) {
        self.number(sample.seq);
        let time = seconds(sample.time);
        self.totals.sample(time);
        match self.values {
            Values::Numbers(dtype) => {
                let values = widen(dtype, sample.bytes, &mut self.room);
                self.gathered.push(Some(time), values);
            }
            Values::Texts(channels) => self.push_texts(time, channels, sample.bytes),
        }
    }

    /// Takes note of a sample's number. Runs are told only where they begin.
    #[inline]
    fn number(&mut self, seq: u64) {
        if self.next != Some(seq) {
            self.runs.push_back(Run { xdf: self.xdf, index: self.totals.count, seq });
        }
        self.next = Some(seq.wrapping_add(1));
    }

    /// One text, or a JSON array of as many as there are channels.
    fn push_texts(&mut self, time: f64, channels: usize, bytes: &[u8]) {
        if channels == 1 {
            self.gathered.push_strings(Some(time), [bytes]);
            return;
        }
        let mut texts: Vec<String> = serde_json::from_slice(bytes).unwrap_or_else(|_| {
            // Not what its description says; kept as it is.
            vec![String::from_utf8_lossy(bytes).into_owned()]
        });
        texts.resize(channels, String::new());
        self.gathered.push_strings(Some(time), texts.iter().map(String::as_bytes));
    }

    /// Takes a text of the file's own, at a time in s.
    pub(crate) fn text(&mut self, time: f64, text: &str) {
        self.totals.sample(time);
        self.gathered.push_strings(Some(time), [text.as_bytes()]);
    }

    /// Where numbers did not follow each other since it was last asked.
    pub(crate) fn take_run(&mut self) -> Option<Run> {
        self.runs.pop_front()
    }

    /// Bytes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.gathered.len()
    }

    /// Whether what waits is worth a chunk.
    pub(crate) fn is_full(&self) -> bool {
        self.gathered.len() >= CHUNK
    }

    /// The stream's clock was compared with the recorder's.
    pub(crate) fn measured(&mut self, monotonic: i64, offset: i64, file: &mut File) {
        self.is_remote = true;
        let time = seconds(monotonic.saturating_add(offset));
        self.offset(ClockOffset { time, value: -seconds(offset) }, file);
    }

    fn offset(&mut self, offset: ClockOffset, file: &mut File) {
        file.writer.clock_offset(self.xdf, offset);
        self.totals.offset(offset);
    }

    /// Gives what waits to the file, and says of a clock that is the recorder's own that it
    /// is: readers take a stream of which nothing is said for one that nobody compared.
    pub(crate) fn flush(&mut self, began: i64, file: &mut File) {
        file.samples(self.xdf, &mut self.gathered);
        let time = self.totals.last.unwrap_or(seconds(began));
        if !self.is_remote && self.told.is_none_or(|told| time >= told + EVERY) {
            self.told = Some(time);
            self.offset(ClockOffset { time, value: 0.0 }, file);
        }
    }

    /// Gives back memory between two writes.
    pub(crate) fn release(&mut self) {
        self.gathered.release();
    }

    /// Says what came of it.
    pub(crate) fn finish(mut self, began: i64, file: &mut File) {
        self.flush(began, file);
        file.writer.stream_footer(self.xdf, &self.totals);
    }
}

/// The device's own times as a stream beside the samples.
pub(crate) fn device_times(of: &Stream) -> Stream {
    let ticks = of.device_clock.map(|clock| clock.rate.to_string()).unwrap_or_default();
    let mut meta = BTreeMap::from([("about".to_owned(), of.name.clone())]);
    meta.insert("ticks_per_second".into(), ticks);
    if let Some(host) = of.meta.get(keys::HOSTNAME) {
        meta.insert(keys::HOSTNAME.into(), host.clone());
    }
    Stream {
        name: format!("{}.device_time", of.name),
        media: Media::Samples,
        dtype: Some(Dtype::U64),
        rate: of.rate,
        channels: vec![libframe::schema::Channel {
            label: "device_time".into(),
            unit: "ticks".into(),
            ..Default::default()
        }],
        meta,
        ..Stream::default()
    }
}
