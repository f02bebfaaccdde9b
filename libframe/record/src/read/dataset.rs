//! The rows of a dataset, chunk by chunk.
//!
//! Chunks are read as they lie in the file. Only where a dataset is stored in another way,
//! or with a filter that is not known here, HDF5's own reading takes its place.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use hdf5::datatype::ByteOrder;
use hdf5::types::{FloatSize, IntSize, TypeDescriptor};
use hdf5::{Dataset, Datatype};
use hdf5_sys::h5::{herr_t, hsize_t};
use hdf5_sys::h5d::{H5Dread, H5Dread_chunk};
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5p::H5P_DEFAULT;
use hdf5_sys::h5s::{H5S_SELECT_SET, H5Sclose, H5Screate_simple, H5Sselect_hyperslab};

use super::filters::{Filter, Undo};

/// Rows read at a time where a dataset has no chunks, in bytes.
const BLOCK: usize = 256 << 10;
/// No chunk is longer; HDF5's own limit is 4 GiB, and a hostile file may claim it.
const MAX_CHUNK: usize = 256 << 20;
/// How often a chunk is read again that a recorder may just have moved.
const TRIES: u32 = 4;

/// A dataset, and the chunk of it that was read last.
pub(crate) struct Rows {
    dataset: Dataset,
    /// As the bytes must come: little-endian, of the type that the reader wants.
    kind: Datatype,
    each: usize,
    row_len: usize,
    rank: usize,
    shape: Vec<u64>,
    chunk_rows: u64,
    /// `None`: HDF5 itself reads.
    undo: Option<Undo>,
    rows: u64,
    at: Option<u64>,
    /// A chunk that could not be read, patiently.
    bad: Option<u64>,
    bytes: Vec<u8>,
    packed: Vec<u8>,
}

impl Rows {
    /// The rows of a dataset in the type that it has, as little-endian bytes.
    pub(crate) fn new(dataset: Dataset) -> Result<Rows> {
        let kind = dataset.dtype()?.to_descriptor()?;
        Rows::of_kind(dataset, kind)
    }

    /// A column of numbers of a type.
    pub(crate) fn numbers(dataset: Dataset, kind: TypeDescriptor) -> Result<Rows> {
        if dataset.ndim() != 1 {
            bail!("{}: not a column", dataset.name());
        }
        Rows::of_kind(dataset, kind)
    }

    fn of_kind(dataset: Dataset, kind: TypeDescriptor) -> Result<Rows> {
        let name = dataset.name();
        let numbers = matches!(
            kind,
            TypeDescriptor::Integer(
                IntSize::U1 | IntSize::U2 | IntSize::U4 | IntSize::U8
            ) | TypeDescriptor::Unsigned(
                IntSize::U1 | IntSize::U2 | IntSize::U4 | IntSize::U8
            ) | TypeDescriptor::Float(FloatSize::U4 | FloatSize::U8)
        );
        let shape: Vec<u64> = dataset.shape().iter().map(|n| *n as u64).collect();
        let (true, Some((rows, rest))) = (numbers, shape.split_first()) else {
            bail!("{name}: neither numbers nor rows of them");
        };
        let each = kind.size();
        let row_len = rest
            .iter()
            .try_fold(each as u64, |n, dim| n.checked_mul(*dim))
            .filter(|n| *n <= MAX_CHUNK as u64)
            .ok_or_else(|| anyhow!("{name}: absurdly long rows"))?
            as usize;
        let chunk = dataset.chunk().filter(|chunk| {
            chunk.iter().skip(1).map(|n| *n as u64).eq(rest.iter().copied())
                && chunk[0] > 0
                && chunk[0].saturating_mul(row_len) <= MAX_CHUNK
        });
        let own = dataset.dtype()?;
        let alike = own.to_descriptor()? == kind
            && (each == 1 || own.byte_order() == ByteOrder::LittleEndian);
        let undo = match chunk {
            Some(_) if alike => known_filters(&dataset).map(Undo::new),
            _ => None,
        };
        let block = (BLOCK / row_len.max(1)).max(1);
        Ok(Rows {
            kind: Datatype::from_descriptor(&kind)?,
            each,
            row_len,
            rank: shape.len(),
            chunk_rows: chunk.map_or(block, |chunk| chunk[0]) as u64,
            undo,
            rows: *rows,
            shape,
            dataset,
            at: None,
            bad: None,
            bytes: Vec::new(),
            packed: Vec::new(),
        })
    }

    /// How many rows there were when the dataset was opened.
    pub(crate) fn len(&self) -> u64 {
        self.rows
    }

    /// Looks at no more than these rows.
    pub(crate) fn truncate(&mut self, rows: u64) {
        self.rows = self.rows.min(rows);
    }

    /// Bytes of a row.
    pub(crate) fn row_len(&self) -> usize {
        self.row_len
    }

    /// Rows in a chunk.
    pub(crate) fn chunk_rows(&self) -> u64 {
        self.chunk_rows
    }

    /// One row; reads its chunk if that was not the last one.
    #[inline]
    pub(crate) fn row(&mut self, row: u64) -> Result<&[u8]> {
        let chunk = row / self.chunk_rows;
        let at = (row % self.chunk_rows) as usize * self.row_len;
        if self.at != Some(chunk) {
            self.chunk(chunk)?;
        }
        self.bytes.get(at..at + self.row_len).context("a row after the last")
    }

    /// A number of a column of eight bytes.
    #[inline]
    pub(crate) fn word(&mut self, row: u64) -> Result<u64> {
        let bytes = self.row(row)?;
        Ok(bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word)))
    }

    /// Appends rows that may lie in several chunks.
    pub(crate) fn append(&mut self, from: u64, to: u64, out: &mut Vec<u8>) -> Result<()> {
        let mut at = from;
        while at < to {
            let chunk = at / self.chunk_rows;
            let first = chunk * self.chunk_rows;
            let end = to.min(first + self.chunk_rows);
            let len = self.row_len;
            let bytes = self.chunk(chunk)?;
            let range = (at - first) as usize * len..(end - first) as usize * len;
            out.extend_from_slice(bytes.get(range).context("a row after the last")?);
            at = end;
        }
        Ok(())
    }

    /// The rows of a chunk, up to the last row.
    pub(crate) fn chunk(&mut self, chunk: u64) -> Result<&[u8]> {
        if self.at != Some(chunk) {
            self.at = None;
            let read = match self.bad == Some(chunk) {
                true => Err(anyhow!("cannot be read")),
                false => self.read_patiently(chunk),
            };
            if read.is_err() {
                self.bad = Some(chunk);
            }
            read.with_context(|| format!("{}, chunk {chunk}", self.dataset.name()))?;
            self.at = Some(chunk);
        }
        Ok(&self.bytes)
    }

    /// A recorder moves the last chunk when it grows. What HDF5 knows of its place is then
    /// old, and what lies there is something else, which the checksum shows.
    fn read_patiently(&mut self, chunk: u64) -> Result<()> {
        let mut tries = 1;
        loop {
            match self.read(chunk) {
                Ok(()) => return Ok(()),
                Err(err) if tries == TRIES => return Err(err),
                Err(_) => {}
            }
            sleep(Duration::from_millis(20 << tries));
            tries += 1;
            self.dataset.refresh()?;
        }
    }

    fn read(&mut self, chunk: u64) -> Result<()> {
        let first = chunk * self.chunk_rows;
        let rows = self.rows.saturating_sub(first).min(self.chunk_rows);
        let whole = match &self.undo {
            Some(_) => self.chunk_rows,
            None => rows,
        };
        self.bytes.resize(whole as usize * self.row_len, 0);
        if rows > 0 && self.row_len > 0 {
            match self.undo {
                Some(_) => self.read_packed(first)?,
                None => self.read_slab(first, rows)?,
            }
        }
        self.bytes.truncate(rows as usize * self.row_len);
        Ok(())
    }

    fn read_packed(&mut self, first: u64) -> Result<()> {
        let Some(undo) = &mut self.undo else { return Ok(()) };
        let mut offset = vec![0; self.rank];
        offset[0] = first;
        let mask = read_chunk(self.dataset.id(), &offset, &mut self.packed)?;
        match mask {
            Some(mask) => undo.undo(&mut self.packed, mask, self.each, &mut self.bytes),
            // Never written: the numbers are 0.
            None => {
                self.bytes.fill(0);
                Ok(())
            }
        }
    }

    fn read_slab(&mut self, first: u64, rows: u64) -> Result<()> {
        let mut start = vec![0; self.rank];
        start[0] = first;
        let mut count = self.shape.clone();
        count[0] = rows;
        read_slab(&self.dataset, self.kind.id(), &start, &count, &mut self.bytes)
    }
}

/// The dataset's filters, if all of them are known here.
fn known_filters(dataset: &Dataset) -> Option<Vec<Filter>> {
    let filters = dataset.filters();
    let known = filters.iter().map(|filter| match filter {
        hdf5::filters::Filter::Shuffle => Some(Filter::Shuffle),
        hdf5::filters::Filter::Deflate(_) => Some(Filter::Deflate),
        _ => None,
    });
    known.collect()
}

#[allow(unsafe_code, reason = "hdf5-sys does not know this function of 1.10")]
unsafe extern "C" {
    fn H5Dget_chunk_storage_size(
        dataset: hid_t,
        offset: *const hsize_t,
        size: *mut hsize_t,
    ) -> herr_t;
}

/// Reads a chunk as it lies in the file; returns its filter mask, `None` if it was never
/// written.
#[allow(unsafe_code, reason = "the safe crate does not read chunks as they are")]
fn read_chunk(dataset: hid_t, offset: &[u64], to: &mut Vec<u8>) -> Result<Option<u32>> {
    let (mut size, mut mask) = (0, 0);
    hdf5::sync::sync(|| {
        // SAFETY: the dataset is open for as long as its owner, who calls this, lives, and
        // has as many dimensions as `offset`; `size` is a live place for the answer.
        let status =
            unsafe { H5Dget_chunk_storage_size(dataset, offset.as_ptr(), &mut size) };
        if status < 0 || size == 0 {
            return Ok(None);
        }
        let size = usize::try_from(size).ok().filter(|size| *size <= 2 * MAX_CHUNK);
        to.resize(size.context("absurdly long")?, 0);
        let buffer = to.as_mut_ptr().cast();
        // SAFETY: as above; `to` has room for the size that HDF5 said the chunk has, and
        // both calls are made under one lock, so that it is still that.
        let status = unsafe {
            H5Dread_chunk(dataset, H5P_DEFAULT, offset.as_ptr(), &mut mask, buffer)
        };
        if status < 0 { bail!("cannot be read") } else { Ok(Some(mask)) }
    })
}

/// Reads rows by HDF5's own means.
#[allow(unsafe_code, reason = "the type of the numbers is known only at run time")]
fn read_slab(
    dataset: &Dataset,
    kind: hid_t,
    start: &[u64],
    count: &[u64],
    to: &mut [u8],
) -> Result<()> {
    use std::ptr::null;
    let space = dataset.space()?;
    hdf5::sync::sync(|| {
        // SAFETY: the spaces and types are open, `start` and `count` have the dataset's
        // rank, and `to` has been given the length of `count` rows of this type.
        let status = unsafe {
            let slab = space.id();
            let (start, count) = (start.as_ptr(), count.as_ptr());
            let chosen =
                H5Sselect_hyperslab(slab, H5S_SELECT_SET, start, null(), count, null());
            let memory = H5Screate_simple(dataset.ndim() as i32, count, null());
            let read = match chosen >= 0 && memory >= 0 {
                true => {
                    let to = to.as_mut_ptr().cast();
                    H5Dread(dataset.id(), kind, memory, slab, H5P_DEFAULT, to)
                }
                false => -1,
            };
            H5Sclose(memory);
            read
        };
        if status >= 0 {
            return Ok(());
        }
        let filters: Vec<_> =
            dataset.filters().iter().map(|filter| filter.id().to_string()).collect();
        bail!(
            "cannot be read; filters: {}; filter 32015 is zstd and needs HDF5's plugin \
             (set HDF5_PLUGIN_PATH)",
            filters.join(", ")
        )
    })
}
