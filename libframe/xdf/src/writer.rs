//! Chunks into a file, whole.
//!
//! Samples are gathered in a [`Gathered`] of their stream, which is the chunk to be: nothing
//! is allocated for a sample, and handing the chunk over copies it once. Chunks reach the
//! destination in one write each time the writer is flushed.

use std::io::{self, Write};

use crate::chunk::{BOUNDARY, Head, MAGIC, Tag, put_number};
use crate::reader::ClockOffset;

/// Bytes before the samples of a chunk whose length and count are kept in four bytes.
const FRONT: usize = 1 + 4 + 2 + 4 + 1 + 4;
/// Memory that is kept for the next chunk; a single long one needs more.
const KEPT: usize = 1 << 20;
/// The most clock offsets that a footer repeats.
const MAX_OFFSETS: usize = 8192;

/// Samples of a stream that become a chunk.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// The chunk, with its head left open; empty if there is no sample.
    bytes: Vec<u8>,
    count: u32,
}

impl Gathered {
    /// Adds a sample of numbers.
    #[inline]
    pub fn push(&mut self, time: Option<f64>, values: &[u8]) {
        self.push_front(time);
        self.bytes.extend_from_slice(values);
    }

    /// Adds a sample of strings.
    pub fn push_strings<'a>(
        &mut self,
        time: Option<f64>,
        strings: impl IntoIterator<Item = &'a [u8]>,
    ) {
        self.push_front(time);
        for string in strings {
            put_number(string.len() as u64, &mut self.bytes);
            self.bytes.extend_from_slice(string);
        }
    }

    #[inline]
    fn push_front(&mut self, time: Option<f64>) {
        if self.bytes.is_empty() {
            self.bytes.resize(FRONT, 0);
        }
        self.count += 1;
        match time {
            None => self.bytes.push(0),
            Some(time) => {
                let mut stamp = [8; 9];
                stamp[1..].copy_from_slice(&time.to_le_bytes());
                self.bytes.extend_from_slice(&stamp);
            }
        }
    }

    /// How many samples are gathered.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes that they take.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The chunk, with what its head says.
    fn seal(&mut self, stream: u32) -> &[u8] {
        let length = (self.bytes.len() - 5) as u32;
        let (head, _) = self.bytes.split_at_mut(FRONT);
        head[0] = 4;
        head[1..5].copy_from_slice(&length.to_le_bytes());
        head[5..7].copy_from_slice(&Tag::SAMPLES.0.to_le_bytes());
        head[7..11].copy_from_slice(&stream.to_le_bytes());
        head[11] = 4;
        head[12..].copy_from_slice(&self.count.to_le_bytes());
        &self.bytes
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
        if self.bytes.capacity() > KEPT {
            self.release();
        }
    }

    /// Gives back memory that it would fill again: for who has very many of these.
    pub fn release(&mut self) {
        self.bytes.shrink_to_fit();
    }
}

/// What came of a stream, for its footer.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Time of the first sample, s.
    pub first: Option<f64>,
    /// Time of the last sample, s.
    pub last: Option<f64>,
    /// How many samples.
    pub count: u64,
    offsets: Vec<ClockOffset>,
    /// One in so many offsets is kept, so that no night is too long.
    every: u64,
    measured: u64,
}

impl Totals {
    /// Takes note of a sample.
    #[inline]
    pub fn sample(&mut self, time: f64) {
        self.first.get_or_insert(time);
        self.last = Some(time);
        self.count += 1;
    }

    /// Takes note of a clock offset.
    pub fn offset(&mut self, offset: ClockOffset) {
        if self.offsets.len() == MAX_OFFSETS {
            let mut keep = false;
            self.offsets.retain(|_| {
                keep = !keep;
                keep
            });
            self.every = self.every.max(1) * 2;
        }
        if self.measured.is_multiple_of(self.every.max(1)) {
            self.offsets.push(offset);
        }
        self.measured += 1;
    }

    /// Whether the stream's clock was ever compared with the recorder's.
    pub fn has_offset(&self) -> bool {
        self.measured > 0
    }

    /// The footer.
    pub fn to_xml(&self) -> String {
        let mut xml = String::from("<?xml version=\"1.0\"?><info>");
        let (first, last) = (self.first.unwrap_or(0.0), self.last.unwrap_or(0.0));
        let count = self.count;
        xml += &format!(
            "<first_timestamp>{first}</first_timestamp><last_timestamp>{last}\
             </last_timestamp><sample_count>{count}</sample_count><clock_offsets>"
        );
        for ClockOffset { time, value } in &self.offsets {
            xml += &format!("<offset><time>{time}</time><value>{value}</value></offset>");
        }
        xml.push_str("</clock_offsets></info>");
        xml
    }
}

/// Writes chunks.
#[derive(Debug)]
pub struct Writer<W> {
    inner: W,
    /// Whole chunks that are not written yet.
    buf: Vec<u8>,
    /// Bytes of the file, `buf` included.
    len: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a file.
    pub fn new(inner: W) -> Writer<W> {
        Writer { inner, buf: MAGIC.to_vec(), len: MAGIC.len() as u64 }
    }

    /// Goes on behind chunks of so many bytes.
    pub fn append(inner: W, len: u64) -> Writer<W> {
        Writer { inner, buf: Vec::new(), len }
    }

    /// XML about the file; comes first.
    pub fn file_header(&mut self, xml: &str) {
        self.put(Tag::FILE_HEADER, 0, xml.as_bytes());
    }

    /// XML about a stream; comes before its samples.
    pub fn stream_header(&mut self, stream: u32, xml: &str) {
        self.put(Tag::STREAM_HEADER, stream, xml.as_bytes());
    }

    /// The samples that were gathered, if any; then there are none.
    pub fn samples(&mut self, stream: u32, gathered: &mut Gathered) {
        if !gathered.is_empty() {
            let chunk = gathered.seal(stream);
            self.buf.extend_from_slice(chunk);
            self.len += chunk.len() as u64;
            gathered.clear();
        }
    }

    /// How far a stream's clock is from the recorder's.
    pub fn clock_offset(&mut self, stream: u32, offset: ClockOffset) {
        let mut content = [0; 16];
        content[..8].copy_from_slice(&offset.time.to_le_bytes());
        content[8..].copy_from_slice(&offset.value.to_le_bytes());
        self.put(Tag::CLOCK_OFFSET, stream, &content);
    }

    /// A place that readers who are lost can find.
    pub fn boundary(&mut self) {
        self.put(Tag::BOUNDARY, 0, &BOUNDARY);
    }

    /// What came of a stream.
    pub fn stream_footer(&mut self, stream: u32, totals: &Totals) {
        self.put(Tag::STREAM_FOOTER, stream, totals.to_xml().as_bytes());
    }

    fn put(&mut self, tag: Tag, stream: u32, content: &[u8]) {
        let before = self.buf.len();
        Head::put(tag, stream, content.len(), &mut self.buf);
        self.buf.extend_from_slice(content);
        self.len += (self.buf.len() - before) as u64;
    }

    /// Bytes of the file, with those that wait for [`Writer::flush`].
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing, not even what a file begins with.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.buf.len()
    }

    /// Writes all that waits.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.buf.is_empty() {
            self.inner.write_all(&self.buf)?;
            self.buf.clear();
            self.buf.shrink_to(4 * KEPT);
        }
        Ok(())
    }

    /// Where it goes.
    pub fn get_ref(&self) -> &W {
        &self.inner
    }

    /// Where it goes.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_the_format() {
        let mut writer = Writer::append(Vec::new(), 0);
        let mut gathered = Gathered::default();
        gathered.push(Some(100.0), &[1, 2]);
        gathered.push(None, &[3, 4]);
        writer.samples(1, &mut gathered);
        writer.clock_offset(1, ClockOffset { time: 50.0, value: 50.25 });
        writer.boundary();
        let len = writer.len();
        writer.flush().unwrap();
        let wanted = [
            &[4, 25, 0, 0, 0, 3, 0, 1, 0, 0, 0, 4, 2, 0, 0, 0][..],
            &[8, 0, 0, 0, 0, 0, 0, 0x59, 0x40, 1, 2, 0, 3, 4],
            &[1, 22, 4, 0, 1, 0, 0, 0],
            &[0, 0, 0, 0, 0, 0, 0x49, 0x40, 0, 0, 0, 0, 0, 0x20, 0x49, 0x40],
            &[1, 18, 5, 0],
            &BOUNDARY,
        ];
        let wanted = wanted.concat();
        assert_eq!((writer.inner, len), (wanted.clone(), wanted.len() as u64));
        assert!(gathered.is_empty());
    }

    #[test]
    fn a_footer_of_a_long_night_is_bounded_and_keeps_the_first_offset() {
        let mut totals = Totals::default();
        for n in 0..100_000 {
            totals.offset(ClockOffset { time: f64::from(n), value: 0.0 });
        }
        assert!(totals.offsets.len() <= MAX_OFFSETS && totals.offsets.len() > 4000);
        assert!(totals.to_xml().contains("<offset><time>0</time><value>0</value>"));
        let steps = totals.offsets.windows(2).map(|pair| pair[1].time - pair[0].time);
        assert_eq!(steps.filter(|step| *step != 16.0).count(), 0);
    }
}
