//! Records on descriptors: read in place, written with few calls and no copy of long
//! payloads.
//!
//! Both ends want a raw descriptor. `std::io::Stdout` is line-buffered always and looks
//! for 0x0A in every sample: over two stages at 200 Hz that costs more than a second.

use std::io::{self, IoSlice, Read, Write};

use crate::crc::{crc32c, crc32c_append};
use crate::decoder::{Decoder, Item};
use crate::wire::{HEADER_LEN, Header, Record};

/// What is gathered at most before a write when records come faster than they are read: as
/// much as a default pipe holds, for a write of a byte more would wait for its reader.
const GATHER: usize = 64 << 10;
/// From this length a payload is written from where it lies; shorter ones are cheaper to
/// copy than to list.
const DIRECT: usize = 16 << 10;

/// Reads records from a byte stream.
#[derive(Debug)]
pub struct RecordReader<R> {
    inner: R,
    decoder: Decoder,
}

impl<R: Read> RecordReader<R> {
    /// Reads from `inner`, which need not be buffered, and refuses payloads over `limit`.
    pub fn new(inner: R, limit: usize) -> RecordReader<R> {
        RecordReader { inner, decoder: Decoder::new(limit) }
    }

    /// The next item of what was read so far, or `None` if [`RecordReader::fill`] must
    /// come first.
    #[inline]
    pub fn pull(&mut self) -> Option<Item<'_>> {
        self.decoder.pull()
    }

    /// Reads once, which may block; returns false at the end of the input.
    pub fn fill(&mut self) -> io::Result<bool> {
        loop {
            match self.inner.read(self.decoder.space()) {
                Ok(0) => {
                    self.decoder.close();
                    return Ok(false);
                }
                Ok(n) => {
                    self.decoder.filled(n);
                    return Ok(true);
                }
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
    }

    /// The next item, blocking for it; `None` at the end of the input.
    pub fn read(&mut self) -> io::Result<Option<Item<'_>>> {
        // Two look-ups instead of one returned from the loop: the borrow checker does not
        // see that a `None` holds no borrow.
        while !self.decoder.has_item() {
            if !self.fill()? {
                break;
            }
        }
        Ok(self.decoder.pull())
    }

    /// The descriptor, for a caller that waits on it.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// The descriptor, for a caller whose waiting changes it.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    /// The decoder, for its offset.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }
}

/// Writes records to a byte stream.
///
/// Records are gathered until [`RecordWriter::flush`]; who writes decides when nothing
/// more is at hand.
#[derive(Debug)]
pub struct RecordWriter<W> {
    inner: W,
    buf: Vec<u8>,
}

impl<W: Write> RecordWriter<W> {
    /// Writes to `inner`, which should not be buffered.
    pub fn new(inner: W) -> RecordWriter<W> {
        RecordWriter { inner, buf: Vec::with_capacity(GATHER + DIRECT + HEADER_LEN) }
    }

    /// Puts a record in line.
    #[inline]
    pub fn write(&mut self, record: &Record<'_>) -> io::Result<()> {
        if record.payload.len() >= DIRECT {
            return self.write_direct(&record.header_bytes(), &[], record.payload);
        }
        if self.buf.len() + record.wire_len() > GATHER {
            self.flush()?;
        }
        record.encode(&mut self.buf);
        Ok(())
    }

    /// Puts a record in line whose payload lies in two places. Its CRC is computed here.
    pub fn write_pieces(
        &mut self,
        header: &Header,
        front: &[u8],
        rest: &[u8],
    ) -> io::Result<()> {
        let crc = crc32c_append(crc32c(front), rest);
        let header = header.encode((front.len() + rest.len()) as u32, crc);
        if rest.len() >= DIRECT {
            return self.write_direct(&header, front, rest);
        }
        if self.buf.len() + header.len() + front.len() + rest.len() > GATHER {
            self.flush()?;
        }
        for piece in [&header[..], front, rest] {
            self.buf.extend_from_slice(piece);
        }
        Ok(())
    }

    fn write_direct(
        &mut self,
        header: &[u8],
        front: &[u8],
        rest: &[u8],
    ) -> io::Result<()> {
        let mut parts = [&self.buf[..], header, front, rest].map(IoSlice::new);
        write_all_vectored(&mut self.inner, &mut parts)?;
        self.buf.clear();
        Ok(())
    }

    /// Puts bytes in line that are no good record: simulated damage.
    pub fn write_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buf.extend_from_slice(bytes);
        if self.buf.len() < GATHER { Ok(()) } else { self.flush() }
    }

    /// Writes what is in line.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.buf.is_empty() {
            self.inner.write_all(&self.buf)?;
            self.buf.clear();
        }
        Ok(())
    }

    /// The descriptor.
    pub fn get_ref(&self) -> &W {
        &self.inner
    }
}

fn write_all_vectored(
    to: &mut impl Write,
    mut parts: &mut [IoSlice<'_>],
) -> io::Result<()> {
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        match to.write_vectored(parts) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => IoSlice::advance_slices(&mut parts, n),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Kind;

    /// Takes at most a few bytes a call, as a full pipe does.
    struct Trickle(Vec<u8>);

    impl Write for Trickle {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(1000);
            self.0.extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn short_and_long_payloads_keep_their_order_through_partial_writes() {
        let mut writer = RecordWriter::new(Trickle(Vec::new()));
        let lengths =
            [0, 10, DIRECT, 3, DIRECT * 5, GATHER - 1, 7, DIRECT + 8, DIRECT + 7];
        for (seq, len) in (0u64..).zip(lengths) {
            let payload = vec![seq as u8; len];
            let kind = Kind::DATA;
            let header =
                Header { kind, flags: 0, stream: 1, session: 2, seq, time: 3, sent: 4 };
            if seq % 2 == 0 {
                writer.write(&Record::new(header, &payload)).unwrap();
            } else {
                let (front, rest) = payload.split_at(len.min(8));
                writer.write_pieces(&header, front, rest).unwrap();
            }
        }
        writer.flush().unwrap();
        let mut reader = RecordReader::new(&writer.inner.0[..], 1 << 20);
        for (seq, len) in (0u64..).zip(lengths) {
            let Some(Item::Record(record)) = reader.read().unwrap() else { panic!() };
            assert_eq!((record.header.seq, record.payload.len()), (seq, len));
            assert!(record.payload.iter().all(|byte| u64::from(*byte) == seq));
        }
        assert_eq!(reader.read().unwrap(), None);
    }
}
