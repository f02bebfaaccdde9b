//! Datasets that grow by chunks which are compressed already.

use std::cell::Cell;
use std::ffi::{c_int, c_uint, c_void};
use std::ptr;

use anyhow::{Context as _, Result};
use hdf5::sync::sync;
use hdf5_sys::h5d::{H5D_fill_time_t, H5Dcreate2, H5Dget_space, H5Dopen2, H5Dset_extent};
use hdf5_sys::h5d::{H5Dget_create_plist, H5Dwrite_chunk};
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5p;
use hdf5_sys::h5s::{H5Sget_simple_extent_dims, H5Sget_simple_extent_ndims};

use super::{DEFAULT, Filter, Group, Id, Type, c_string, check, id, space, type_id};

/// The most dimensions that HDF5 has.
const MAX_RANK: usize = 32;
/// The number that is registered for Zstandard.
const ZSTD: c_int = 32015;

/// A dataset that grows by chunks which are compressed already.
#[derive(Debug)]
pub(crate) struct Dataset {
    set: Id,
    /// The dimensions of a row.
    row: Vec<u64>,
    /// Rows in a chunk.
    chunk: u64,
    rows: Cell<u64>,
}

impl Dataset {
    pub(crate) fn chunk(&self) -> u64 {
        self.chunk
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows.get()
    }

    /// Makes it at least so long.
    pub(crate) fn grow(&self, rows: u64) -> Result<()> {
        if rows <= self.rows.get() {
            return Ok(());
        }
        let dims = [&[rows], &self.row[..]].concat();
        // SAFETY: the dataset is open, and has this many dimensions.
        check(sync(|| unsafe { H5Dset_extent(self.set.0, dims.as_ptr()) }), "extent")?;
        self.rows.set(rows);
        Ok(())
    }

    /// Writes a chunk that went through the filters but those in `skipped`.
    pub(crate) fn write_chunk(&self, at: u64, skipped: u32, bytes: &[u8]) -> Result<()> {
        let offset = self.offset(at);
        // SAFETY: the dataset is open and has this many dimensions, and the bytes are as
        // many as we say.
        let written = sync(|| unsafe {
            let (offset, from) = (offset.as_ptr(), bytes.as_ptr().cast());
            H5Dwrite_chunk(self.set.0, DEFAULT, skipped, offset, bytes.len(), from)
        });
        check(written, "chunk").map(drop)
    }

    /// Where a chunk is in the file, and how long it is there.
    pub(crate) fn place_of(&self, at: u64) -> Result<(u64, u64)> {
        let offset = self.offset(at);
        let (mut skipped, mut place, mut len) = (0, 0, 0);
        // SAFETY: the dataset is open and has this many dimensions, and the numbers are
        // ours to fill in.
        let found = sync(|| unsafe {
            let from = offset.as_ptr();
            let (skipped, place, len) = (&mut skipped, &mut place, &mut len);
            H5Dget_chunk_info_by_coord(self.set.0, from, skipped, place, len)
        });
        check(found, "place of a chunk")?;
        Ok((place, len))
    }

    /// Reads a chunk as it is in the file, and which filters it did not go through.
    pub(crate) fn read_chunk(&self, at: u64) -> Result<(u32, Vec<u8>)> {
        let offset = self.offset(at);
        let (mut skipped, mut size) = (0, 0);
        sync(|| {
            // SAFETY: the dataset is open and has this many dimensions, and the buffer is
            // as long as the library says that the chunk is.
            unsafe {
                let from = offset.as_ptr();
                let got = H5Dget_chunk_storage_size(self.set.0, from, &mut size);
                check(got, "size of a chunk")?;
                let mut bytes = vec![0u8; size as usize];
                let to = bytes.as_mut_ptr().cast();
                let read = H5Dread_chunk(self.set.0, DEFAULT, from, &mut skipped, to);
                check(read, "chunk")?;
                Ok((skipped, bytes))
            }
        })
    }

    fn offset(&self, at: u64) -> Vec<u64> {
        let mut offset = vec![0; self.row.len() + 1];
        offset[0] = at * self.chunk;
        offset
    }
}

unsafe extern "C" {
    // As 1.10 and 1.12 have them; the bindings lack some and rename others.
    fn H5Dget_chunk_info_by_coord(
        set: hid_t,
        offset: *const u64,
        skipped: *mut c_uint,
        at: *mut u64,
        len: *mut u64,
    ) -> c_int;
    fn H5Dget_chunk_storage_size(set: hid_t, offset: *const u64, size: *mut u64)
    -> c_int;
    fn H5Dread_chunk(
        set: hid_t,
        transfer: hid_t,
        offset: *const u64,
        filters: *mut u32,
        to: *mut c_void,
    ) -> c_int;
}

impl Group {
    /// A dataset without rows, that grows.
    pub(crate) fn dataset(
        &self,
        name: &str,
        kind: Type,
        row: &[u64],
        chunk: u64,
        filters: &[Filter],
    ) -> Result<Dataset> {
        let text = c_string(name);
        let dims = |rows: u64| -> Vec<u64> { [&[rows], row].concat() };
        sync(|| {
            let properties = properties(&dims(chunk), filters)?;
            let most = dims(u64::MAX);
            let (kind, space) = (type_id(kind)?, space(&dims(0), Some(&most))?);
            let (at, list) = (self.0.0, properties.0);
            // SAFETY: all ids are open, and the text ends.
            let set = unsafe {
                let (kind, space) = (kind.0, space.0);
                H5Dcreate2(at, text.as_ptr(), kind, space, DEFAULT, list, DEFAULT)
            };
            let set = id(set, name)?;
            Ok(Dataset { set, row: row.to_vec(), chunk, rows: Cell::new(0) })
        })
    }

    /// A dataset that was made by [`Group::dataset`].
    pub(crate) fn reopen(&self, name: &str) -> Result<Dataset> {
        let text = c_string(name);
        sync(|| {
            // SAFETY: the group is open, and the text ends.
            let set = id(unsafe { H5Dopen2(self.0.0, text.as_ptr(), DEFAULT) }, name)?;
            let dims = set.dims()?;
            let (rows, row) = dims.split_first().context("a dataset without rows")?;
            let chunk = set.chunk(dims.len())?;
            Ok(Dataset { rows: Cell::new(*rows), row: row.to_vec(), chunk, set })
        })
    }
}

impl Id {
    /// The dimensions of a dataset.
    pub(super) fn dims(&self) -> Result<Vec<u64>> {
        // SAFETY: the dataset is open, and there is room for all dimensions there can be.
        unsafe {
            let space = id(H5Dget_space(self.0), "space")?;
            let rank = check(H5Sget_simple_extent_ndims(space.0), "rank")? as usize;
            let mut dims = vec![0; rank.min(MAX_RANK)];
            let to = dims.as_mut_ptr();
            check(H5Sget_simple_extent_dims(space.0, to, ptr::null_mut()), "dimensions")?;
            Ok(dims)
        }
    }

    /// Rows in a chunk of a dataset of this rank.
    fn chunk(&self, rank: usize) -> Result<u64> {
        let mut dims = [0; MAX_RANK];
        // SAFETY: the dataset is open, and there is room for all dimensions there can be.
        unsafe {
            let list = id(H5Dget_create_plist(self.0), "properties")?;
            let rank = rank.min(MAX_RANK) as c_int;
            check(h5p::H5Pget_chunk(list.0, rank, dims.as_mut_ptr()), "chunk")?;
        }
        Ok(dims[0].max(1))
    }
}

/// How a dataset is laid out.
fn properties(chunk: &[u64], filters: &[Filter]) -> Result<Id> {
    // SAFETY: the class is the library's own, the list is open, and each array is as long
    // as we say.
    unsafe {
        let list = id(h5p::H5Pcreate(*hdf5::globals::H5P_DATASET_CREATE), "properties")?;
        let rank = chunk.len() as c_int;
        check(h5p::H5Pset_chunk(list.0, rank, chunk.as_ptr()), "chunk")?;
        // What we do not write there is none of, so filling it is lost work.
        let never = H5D_fill_time_t::H5D_FILL_TIME_NEVER;
        check(h5p::H5Pset_fill_time(list.0, never), "fill time")?;
        for filter in filters {
            let (number, setting): (c_int, c_uint) = match *filter {
                Filter::Shuffle(_) => {
                    // The library finds out the size of a number itself.
                    check(h5p::H5Pset_shuffle(list.0), "shuffle")?;
                    continue;
                }
                Filter::Deflate(level) => (hdf5_sys::h5z::H5Z_FILTER_DEFLATE, level),
                Filter::Zstd(level) => (ZSTD, level),
            };
            // Optional, or the library refuses a filter that it has not.
            let flags = hdf5_sys::h5z::H5Z_FLAG_OPTIONAL;
            let set = h5p::H5Pset_filter(list.0, number, flags, 1, &setting);
            check(set, "filter")?;
        }
        Ok(list)
    }
}
