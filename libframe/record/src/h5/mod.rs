//! The calls of HDF5 that a recorder needs, made safe: an id is closed when it is dropped,
//! and a code below zero is an error that says what the library says.

#![allow(
    unsafe_code,
    reason = "chunks that are compressed already have no safe interface"
)]

mod dataset;

use std::ffi::{CString, c_char, c_int};
use std::path::Path;
use std::ptr;

use anyhow::{Context as _, Result, anyhow, bail};
use hdf5::sync::sync;
use hdf5_sys::h5a::{H5Aclose, H5Acreate2, H5Adelete, H5Aexists, H5Aopen};
use hdf5_sys::h5a::{H5Aget_type, H5Aread, H5Awrite};
use hdf5_sys::h5d::{H5Dcreate2, H5Dget_type, H5Dopen2, H5Dread, H5Dwrite};
use hdf5_sys::h5f::{H5F_libver_t, H5F_scope_t, H5Fcreate, H5Fflush, H5Fopen};
use hdf5_sys::h5g::{H5G_info_t, H5Gcreate2, H5Gget_info, H5Gopen2};
use hdf5_sys::h5i::{H5Idec_ref, hid_t};
use hdf5_sys::h5l::{H5Lcreate_soft, H5Ldelete, H5Lexists, H5Lget_name_by_idx};
use hdf5_sys::h5p;
use hdf5_sys::h5s::{H5S_class_t, H5Screate, H5Screate_simple};
use hdf5_sys::h5t::{self, H5T_cset_t, H5T_str_t};
use hdf5_sys::h5t::{H5Tcopy, H5Tget_size, H5Tset_cset, H5Tset_size, H5Tset_strpad};
use libframe::schema::Dtype;

pub(crate) use self::dataset::Dataset;
use crate::driver::{self, Shared};

const DEFAULT: hid_t = 0;

/// Type of the elements of a dataset or an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Number(Dtype),
    /// Text of so many bytes, filled up with zeros.
    Text(usize),
}

impl Type {
    pub(crate) fn size(self) -> usize {
        match self {
            Type::Number(dtype) => dtype.size(),
            Type::Text(len) => len,
        }
    }
}

/// A filter that a dataset's chunks went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    Shuffle(u32),
    Deflate(u32),
    Zstd(u32),
}

/// What an attribute holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    I8(i8),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    F64(f64),
    Text(&'a str),
    I32s(&'a [i32]),
}

/// An id of the library.
#[derive(Debug)]
struct Id(hid_t);

impl Drop for Id {
    fn drop(&mut self) {
        // SAFETY: the id is ours, and nothing uses it any more.
        sync(|| unsafe { H5Idec_ref(self.0) });
    }
}

/// An id or another number that is negative on failure.
fn check(code: impl Into<i64>, what: &str) -> Result<i64> {
    let code = code.into();
    if code >= 0 {
        return Ok(code);
    }
    let why = sync(|| hdf5::Error::query().map(|err| err.to_string()));
    Err(anyhow!("{}", why.unwrap_or_else(|_| "HDF5 does not say why".into())))
        .with_context(|| format!("HDF5: {what}"))
}

fn id(code: hid_t, what: &str) -> Result<Id> {
    check(code, what).map(Id)
}

/// Names come from pipes; a zero in one would end it.
fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "_")).unwrap_or_default()
}

/// A file, and the group at its root.
#[derive(Debug)]
pub(crate) struct File {
    file: Id,
    root: Group,
}

impl File {
    /// Makes a new file's structure.
    pub(crate) fn create(path: &Path, on: &Shared) -> Result<File> {
        File::with(path, on, |name, access| {
            let Ok(creation) = creation() else { return -1 };
            let flags = hdf5_sys::h5f::H5F_ACC_TRUNC;
            // SAFETY: a text, and property lists that are open.
            unsafe { H5Fcreate(name, flags, creation.0, access) }
        })
    }

    /// Opens a file to go on writing it.
    pub(crate) fn open(path: &Path, on: &Shared) -> Result<File> {
        File::with(path, on, |name, access| {
            // SAFETY: a text, and a property list that is open.
            unsafe { H5Fopen(name, hdf5_sys::h5f::H5F_ACC_RDWR, access) }
        })
    }

    fn with(
        path: &Path,
        on: &Shared,
        open: impl FnOnce(*const c_char, hid_t) -> hid_t,
    ) -> Result<File> {
        let name = c_string(&path.to_string_lossy());
        sync(|| {
            let access = access()?;
            let file = driver::with_file(access.0, on, || {
                id(open(name.as_ptr(), access.0), "file")
            })?;
            // SAFETY: the file is open.
            let root = id(unsafe { H5Gopen2(file.0, c"/".as_ptr(), DEFAULT) }, "root")?;
            Ok(File { file, root: Group(root) })
        })
    }

    pub(crate) fn root(&self) -> &Group {
        &self.root
    }

    /// Gives everything that the library holds to the driver.
    pub(crate) fn flush(&self) -> Result<()> {
        let local = H5F_scope_t::H5F_SCOPE_LOCAL;
        // SAFETY: the file is open.
        check(sync(|| unsafe { H5Fflush(self.file.0, local) }), "flush").map(drop)
    }
}

/// How files are opened: in the form of HDF5 1.8, that every program reads and that sums
/// up its metadata, and without a cache of chunks, which we write past it.
fn access() -> Result<Id> {
    // SAFETY: the class is the library's own; the list is open and of this class.
    unsafe {
        let list = id(h5p::H5Pcreate(*hdf5::globals::H5P_FILE_ACCESS), "access list")?;
        let (from, to) = (H5F_libver_t::H5F_LIBVER_V18, H5F_libver_t::H5F_LIBVER_V110);
        check(h5p::H5Pset_libver_bounds(list.0, from, to), "versions")?;
        check(h5p::H5Pset_cache(list.0, 0, 1, 0, 1.0), "cache")?;
        Ok(list)
    }
}

/// How files are made: free space is the driver's business.
fn creation() -> Result<Id> {
    /// `H5F_FSPACE_STRATEGY_AGGR`.
    const NO_FREE_SPACE: c_int = 2;
    // SAFETY: the class is the library's own; the list is open and of this class.
    unsafe {
        let list = id(h5p::H5Pcreate(*hdf5::globals::H5P_FILE_CREATE), "creation list")?;
        check(H5Pset_file_space_strategy(list.0, NO_FREE_SPACE, 0, 1), "free space")?;
        Ok(list)
    }
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group(Id);

impl Group {
    pub(crate) fn create(&self, name: &str) -> Result<Group> {
        let text = c_string(name);
        // SAFETY: the group is open, and the text ends.
        let group = sync(|| unsafe {
            H5Gcreate2(self.0.0, text.as_ptr(), DEFAULT, DEFAULT, DEFAULT)
        });
        Ok(Group(id(group, name)?))
    }

    pub(crate) fn open(&self, name: &str) -> Result<Group> {
        let text = c_string(name);
        // SAFETY: the group is open, and the text ends.
        let group = sync(|| unsafe { H5Gopen2(self.0.0, text.as_ptr(), DEFAULT) });
        Ok(Group(id(group, name)?))
    }

    pub(crate) fn has(&self, name: &str) -> Result<bool> {
        let text = c_string(name);
        // SAFETY: the group is open, and the text ends.
        let has = sync(|| unsafe { H5Lexists(self.0.0, text.as_ptr(), DEFAULT) });
        Ok(check(has, name)? > 0)
    }

    /// The names in it.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        // SAFETY: `H5G_info_t` is plain numbers.
        let mut info: H5G_info_t = unsafe { std::mem::zeroed() };
        // SAFETY: the group is open, and `info` is ours to fill in.
        check(sync(|| unsafe { H5Gget_info(self.0.0, &mut info) }), "group")?;
        (0..info.nlinks).map(|at| self.name_at(at)).collect()
    }

    fn name_at(&self, at: u64) -> Result<String> {
        let mut name = vec![0u8; 4096];
        let by = hdf5_sys::h5::H5_index_t::H5_INDEX_NAME;
        let order = hdf5_sys::h5::H5_iter_order_t::H5_ITER_INC;
        // SAFETY: the group is open, and the buffer as long as we say.
        let len = sync(|| unsafe {
            let (to, len) = (name.as_mut_ptr().cast(), name.len());
            H5Lget_name_by_idx(self.0.0, c".".as_ptr(), by, order, at, to, len, DEFAULT)
        });
        name.truncate(check(len as i64, "name")? as usize);
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    pub(crate) fn delete(&self, name: &str) -> Result<()> {
        let text = c_string(name);
        // SAFETY: the group is open, and the text ends.
        check(sync(|| unsafe { H5Ldelete(self.0.0, text.as_ptr(), DEFAULT) }), name)?;
        Ok(())
    }

    /// Another name for what is at `target`.
    pub(crate) fn link(&self, target: &str, name: &str) -> Result<()> {
        let (to, text) = (c_string(target), c_string(name));
        // SAFETY: the group is open, and the texts end.
        let made = sync(|| unsafe {
            H5Lcreate_soft(to.as_ptr(), self.0.0, text.as_ptr(), DEFAULT, DEFAULT)
        });
        check(made, name).map(drop)
    }

    /// Sets an attribute, in place where it is there already.
    pub(crate) fn set(&self, name: &str, value: Value<'_>) -> Result<()> {
        let mut one = [0; 8];
        let (kind, dims, bytes) = value.parts(&mut one);
        let text = c_string(name);
        sync(|| {
            // SAFETY: the group is open, the text ends, and the bytes are as many as the
            // type and the dimensions ask for.
            unsafe {
                let there = check(H5Aexists(self.0.0, text.as_ptr()), name)? > 0;
                if there && matches!(kind, Type::Number(_)) && dims.is_none() {
                    let attr = id(H5Aopen(self.0.0, text.as_ptr(), DEFAULT), name)?;
                    let kind = type_id(kind)?;
                    let written = H5Awrite(attr.0, kind.0, bytes.as_ptr().cast());
                    return check(written, name).map(drop);
                }
                if there {
                    check(H5Adelete(self.0.0, text.as_ptr()), name)?;
                }
                let (kind, space) = (type_id(kind)?, space(dims.as_slice(), None)?);
                let (at, kind, space) = (self.0.0, kind.0, space.0);
                let attr = H5Acreate2(at, text.as_ptr(), kind, space, DEFAULT, DEFAULT);
                let attr = check(attr, name)?;
                let written = check(H5Awrite(attr, kind, bytes.as_ptr().cast()), name);
                H5Aclose(attr);
                written.map(drop)
            }
        })
    }

    pub(crate) fn unset(&self, name: &str) -> Result<()> {
        let text = c_string(name);
        // SAFETY: the group is open, and the text ends.
        sync(|| unsafe {
            if check(H5Aexists(self.0.0, text.as_ptr()), name)? > 0 {
                check(H5Adelete(self.0.0, text.as_ptr()), name)?;
            }
            Ok(())
        })
    }

    /// A whole number of an attribute.
    pub(crate) fn number(&self, name: &str) -> Result<i64> {
        let mut value = 0i64;
        // SAFETY: one i64 is what is asked for, and ours to fill in.
        self.attribute(name, |attr| unsafe {
            let to = (&raw mut value).cast();
            check(H5Aread(attr.0, *h5t::H5T_STD_I64LE, to), name)
        })?;
        Ok(value)
    }

    /// A text of an attribute.
    pub(crate) fn text(&self, name: &str) -> Result<String> {
        self.attribute(name, |attr| {
            // SAFETY: the attribute is open, and the buffer as long as its type.
            unsafe {
                let kind = id(H5Aget_type(attr.0), name)?;
                let mut bytes = vec![0u8; H5Tget_size(kind.0)];
                check(H5Aread(attr.0, kind.0, bytes.as_mut_ptr().cast()), name)?;
                let end = bytes.iter().position(|byte| *byte == 0);
                bytes.truncate(end.unwrap_or(bytes.len()));
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
        })
    }

    fn attribute<T>(&self, name: &str, read: impl FnOnce(&Id) -> Result<T>) -> Result<T> {
        let text = c_string(name);
        sync(|| {
            // SAFETY: the group is open, and the text ends.
            let attr = id(unsafe { H5Aopen(self.0.0, text.as_ptr(), DEFAULT) }, name)?;
            read(&attr)
        })
    }

    /// A dataset of fixed size with its content, in place of what had its name.
    pub(crate) fn put(
        &self,
        name: &str,
        kind: Type,
        dims: &[u64],
        bytes: &[u8],
    ) -> Result<()> {
        let wanted = dims.iter().product::<u64>() * kind.size() as u64;
        if wanted != bytes.len() as u64 {
            bail!("{name}: {} bytes where {wanted} belong", bytes.len());
        }
        if self.has(name)? {
            self.delete(name)?;
        }
        let text = c_string(name);
        sync(|| {
            let (kind, space) = (type_id(kind)?, space(dims, None)?);
            let at = self.0.0;
            // SAFETY: all ids are open, the text ends, and the bytes are as many as the
            // type and the dimensions ask for.
            unsafe {
                let (name_at, kind, space) = (text.as_ptr(), kind.0, space.0);
                let set = H5Dcreate2(at, name_at, kind, space, DEFAULT, DEFAULT, DEFAULT);
                let set = id(set, name)?;
                let from = bytes.as_ptr().cast();
                check(H5Dwrite(set.0, kind, DEFAULT, DEFAULT, DEFAULT, from), name)?;
            }
            Ok(())
        })
    }

    /// All bytes of a small dataset.
    pub(crate) fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let text = c_string(name);
        sync(|| {
            // SAFETY: the ids are open, and the buffer as long as type and space ask for.
            unsafe {
                let set = id(H5Dopen2(self.0.0, text.as_ptr(), DEFAULT), name)?;
                let kind = id(H5Dget_type(set.0), name)?;
                let n: u64 = set.dims()?.iter().product();
                let mut bytes = vec![0u8; n as usize * H5Tget_size(kind.0)];
                let to = bytes.as_mut_ptr().cast();
                check(H5Dread(set.0, kind.0, DEFAULT, DEFAULT, DEFAULT, to), name)?;
                Ok(bytes)
            }
        })
    }
}

impl Value<'_> {
    /// Its type, its length if it is a list, and its bytes.
    fn parts<'a>(&'a self, one: &'a mut [u8; 8]) -> (Type, Option<u64>, Vec<u8>) {
        let mut number = |dtype, bytes: &[u8]| {
            one[..bytes.len()].copy_from_slice(bytes);
            (Type::Number(dtype), None, one[..bytes.len()].to_vec())
        };
        match self {
            Value::I8(n) => number(Dtype::I8, &n.to_le_bytes()),
            Value::I32(n) => number(Dtype::I32, &n.to_le_bytes()),
            Value::U32(n) => number(Dtype::U32, &n.to_le_bytes()),
            Value::I64(n) => number(Dtype::I64, &n.to_le_bytes()),
            Value::U64(n) => number(Dtype::U64, &n.to_le_bytes()),
            Value::F64(n) => number(Dtype::F64, &n.to_le_bytes()),
            // A type of no bytes there is not.
            Value::Text("") => (Type::Text(1), None, vec![0]),
            Value::Text(text) => (Type::Text(text.len()), None, text.as_bytes().to_vec()),
            Value::I32s(list) => {
                let bytes = list.iter().flat_map(|n| n.to_le_bytes()).collect();
                (Type::Number(Dtype::I32), Some(list.len() as u64), bytes)
            }
        }
    }
}

fn type_id(kind: Type) -> Result<Id> {
    // SAFETY: the library's types are there once it is open, which `sync` sees to; the
    // copy is ours.
    sync(|| unsafe {
        let base = match kind {
            Type::Text(_) => *h5t::H5T_C_S1,
            Type::Number(dtype) => match dtype {
                Dtype::U8 => *h5t::H5T_STD_U8LE,
                Dtype::I8 => *h5t::H5T_STD_I8LE,
                Dtype::U16 => *h5t::H5T_STD_U16LE,
                Dtype::I16 => *h5t::H5T_STD_I16LE,
                Dtype::U32 => *h5t::H5T_STD_U32LE,
                Dtype::I32 => *h5t::H5T_STD_I32LE,
                Dtype::U64 => *h5t::H5T_STD_U64LE,
                Dtype::I64 => *h5t::H5T_STD_I64LE,
                Dtype::F32 => *h5t::H5T_IEEE_F32LE,
                Dtype::F64 => *h5t::H5T_IEEE_F64LE,
            },
        };
        let copy = id(H5Tcopy(base), "type")?;
        if let Type::Text(len) = kind {
            check(H5Tset_size(copy.0, len.max(1)), "text")?;
            check(H5Tset_cset(copy.0, H5T_cset_t::H5T_CSET_UTF8), "text")?;
            check(H5Tset_strpad(copy.0, H5T_str_t::H5T_STR_NULLPAD), "text")?;
        }
        Ok(copy)
    })
}

fn space(dims: &[u64], most: Option<&[u64]>) -> Result<Id> {
    let most = most.map_or(ptr::null(), <[u64]>::as_ptr);
    // SAFETY: both lists have as many dimensions as we say.
    let space = sync(|| unsafe {
        match dims {
            [] => H5Screate(H5S_class_t::H5S_SCALAR),
            dims => H5Screate_simple(dims.len() as c_int, dims.as_ptr(), most),
        }
    });
    id(space, "space")
}

unsafe extern "C" {
    // As 1.10 and 1.12 have it; the bindings lack it.
    fn H5Pset_file_space_strategy(
        list: hid_t,
        strategy: c_int,
        persist: u8,
        threshold: u64,
    ) -> c_int;
}
