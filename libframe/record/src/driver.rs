//! HDF5 on an [`AtomicFile`]: a file driver, registered with the library.
//!
//! The library thinks that it reads and writes a file. What it flushes is kept from the
//! file until the recorder commits, so a file on disk never is in the middle of a flush.
//! No lock is taken on it, so a plain `h5py.File(path)` opens a recording that grows.
//!
//! All of the library's calls come with the lock of `hdf5::sync` held, and no panic crosses
//! into it: the callbacks do nothing that panics but for memory that runs out.

#![allow(unsafe_code, reason = "the library calls a driver through C function pointers")]

use std::ffi::{c_char, c_int, c_uint, c_ulong, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, bail};
use hdf5_sys::h5::{H5get_libversion, haddr_t, hbool_t, herr_t, hsize_t};
use hdf5_sys::h5i::hid_t;

use crate::commit::AtomicFile;

/// A file that the driver and the recorder share, both in one thread.
pub(crate) type Shared = Arc<Mutex<AtomicFile>>;

pub(crate) fn lock(file: &Shared) -> MutexGuard<'_, AtomicFile> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Types of memory in a file, and the lists of free space that they share: raw data apart
/// from metadata, as the library's own driver has it.
const FREE_LISTS: [c_int; 7] = [1, 1, 1, 3, 3, 1, 1];
/// The type that raw data has.
const DATA: c_int = 3;
/// Addresses are counted in a signed number by the kernel.
const MAX_ADDRESS: haddr_t = i64::MAX as haddr_t;
/// Gather metadata into blocks, sieve reads; the file is one that the library's own driver
/// can open. Small data is not gathered: what is left over of its blocks would be lost,
/// where ten bytes of each of forty columns are written anew each second.
const FEATURES: c_ulong = 0x1 | 0x2 | 0x4 | 0x8 | 0x8000;
/// A file is closed once all that was opened in it is.
const CLOSE_WEAK: c_int = 1;

/// `H5FD_class_t` of HDF5 1.10 and 1.12; that of the bindings lacks members.
#[repr(C)]
struct Class {
    name: *const c_char,
    maxaddr: haddr_t,
    fc_degree: c_int,
    terminate: Option<extern "C" fn() -> herr_t>,
    sb_size: Option<extern "C" fn(*mut Base) -> hsize_t>,
    sb_encode: Option<extern "C" fn(*mut Base, *mut c_char, *mut u8) -> herr_t>,
    sb_decode: Option<extern "C" fn(*mut Base, *const c_char, *const u8) -> herr_t>,
    fapl_size: usize,
    fapl_get: Option<extern "C" fn(*mut Base) -> *mut c_void>,
    fapl_copy: Option<extern "C" fn(*const c_void) -> *mut c_void>,
    fapl_free: Option<extern "C" fn(*mut c_void) -> herr_t>,
    dxpl_size: usize,
    dxpl_copy: Option<extern "C" fn(*const c_void) -> *mut c_void>,
    dxpl_free: Option<extern "C" fn(*mut c_void) -> herr_t>,
    open: unsafe extern "C" fn(*const c_char, c_uint, hid_t, haddr_t) -> *mut Base,
    close: unsafe extern "C" fn(*mut Base) -> herr_t,
    cmp: unsafe extern "C" fn(*const Base, *const Base) -> c_int,
    query: unsafe extern "C" fn(*const Base, *mut c_ulong) -> herr_t,
    get_type_map: Option<extern "C" fn(*const Base, *mut c_int) -> herr_t>,
    alloc: unsafe extern "C" fn(*mut Base, c_int, hid_t, hsize_t) -> haddr_t,
    free: extern "C" fn(*mut Base, c_int, hid_t, haddr_t, hsize_t) -> herr_t,
    get_eoa: unsafe extern "C" fn(*const Base, c_int) -> haddr_t,
    set_eoa: unsafe extern "C" fn(*mut Base, c_int, haddr_t) -> herr_t,
    get_eof: unsafe extern "C" fn(*const Base, c_int) -> haddr_t,
    get_handle: Option<extern "C" fn(*mut Base, hid_t, *mut *mut c_void) -> herr_t>,
    read:
        unsafe extern "C" fn(*mut Base, c_int, hid_t, haddr_t, usize, *mut u8) -> herr_t,
    write: unsafe extern "C" fn(
        *mut Base,
        c_int,
        hid_t,
        haddr_t,
        usize,
        *const u8,
    ) -> herr_t,
    flush: Option<extern "C" fn(*mut Base, hid_t, hbool_t) -> herr_t>,
    truncate: unsafe extern "C" fn(*mut Base, hid_t, hbool_t) -> herr_t,
    lock: Option<extern "C" fn(*mut Base, hbool_t) -> herr_t>,
    unlock: Option<extern "C" fn(*mut Base) -> herr_t>,
    fl_map: [c_int; 7],
}

// SAFETY: it is constant, and its only pointer is to a constant string.
unsafe impl Sync for Class {}

/// `H5FD_t`: what the library keeps of an open file.
#[repr(C)]
struct Base {
    driver_id: hid_t,
    cls: *const c_void,
    fileno: c_ulong,
    access_flags: c_uint,
    feature_flags: c_ulong,
    maxaddr: haddr_t,
    base_addr: haddr_t,
    threshold: hsize_t,
    alignment: hsize_t,
    paged_aggr: hbool_t,
}

/// An open file: first the library's part, then ours.
#[repr(C)]
struct Open {
    base: Base,
    file: Shared,
}

static CLASS: Class = Class {
    name: c"framepipe".as_ptr(),
    maxaddr: MAX_ADDRESS,
    fc_degree: CLOSE_WEAK,
    terminate: None,
    sb_size: None,
    sb_encode: None,
    sb_decode: None,
    fapl_size: 0,
    fapl_get: None,
    fapl_copy: None,
    fapl_free: None,
    dxpl_size: 0,
    dxpl_copy: None,
    dxpl_free: None,
    open,
    close,
    cmp,
    query,
    get_type_map: None,
    alloc,
    free,
    get_eoa,
    set_eoa,
    get_eof,
    get_handle: None,
    read,
    write,
    flush: None,
    truncate,
    lock: None,
    unlock: None,
    fl_map: FREE_LISTS,
};

unsafe extern "C" {
    fn H5FDregister(class: *const Class) -> hid_t;
    fn H5Pset_driver(fapl: hid_t, driver: hid_t, info: *const c_void) -> herr_t;
}

/// The file that the library is to open next, since a file access list can hold no `Arc`.
static NEXT: Mutex<Option<Shared>> = Mutex::new(None);

/// Runs `open`, which opens a file with the given access list, on this file. The caller
/// holds the lock of `hdf5::sync`.
pub(crate) fn with_file<T>(
    fapl: hid_t,
    file: &Shared,
    open: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let driver = driver()?;
    // SAFETY: `fapl` is a file access list and `driver` a driver without information.
    let set = unsafe { H5Pset_driver(fapl, driver, std::ptr::null()) };
    if set < 0 {
        bail!("HDF5 does not take our file driver");
    }
    *NEXT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(file));
    let result = open();
    NEXT.lock().unwrap_or_else(PoisonError::into_inner).take();
    result
}

/// The driver's id in the library; registered once.
fn driver() -> Result<hid_t> {
    static ID: Mutex<hid_t> = Mutex::new(0);
    let mut id = ID.lock().unwrap_or_else(PoisonError::into_inner);
    if *id == 0 {
        check_version()?;
        // SAFETY: the class is static, and laid out as this version has it.
        *id = unsafe { H5FDregister(&CLASS) };
    }
    if *id <= 0 {
        bail!("HDF5 does not register our file driver");
    }
    Ok(*id)
}

/// The class of a driver differs between versions, and a wrong one would crash.
fn check_version() -> Result<()> {
    let (mut major, mut minor, mut release) = (0, 0, 0);
    // SAFETY: three integers of our own are filled in.
    unsafe { H5get_libversion(&mut major, &mut minor, &mut release) };
    if (major, minor) != (1, 10) && (major, minor) != (1, 12) {
        bail!(
            "HDF5 {major}.{minor}.{release}: recordings are written with HDF5 1.10 or \
             1.12; build against one of these"
        );
    }
    Ok(())
}

/// Our part of an open file.
///
/// # Safety
/// `base` is what [`open`] returned, and not closed.
unsafe fn ours<'a>(base: *const Base) -> &'a Open {
    // SAFETY: `Open` begins with its `Base`.
    unsafe { &*base.cast::<Open>() }
}

unsafe extern "C" fn open(
    _name: *const c_char,
    _flags: c_uint,
    _fapl: hid_t,
    _maxaddr: haddr_t,
) -> *mut Base {
    // The library opens a file twice: first to see whether it has it open already.
    let next = NEXT.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(file) = next else { return std::ptr::null_mut() };
    let base = Base {
        driver_id: 0,
        cls: std::ptr::null(),
        fileno: 0,
        access_flags: 0,
        feature_flags: 0,
        maxaddr: 0,
        base_addr: 0,
        threshold: 0,
        alignment: 0,
        paged_aggr: 0,
    };
    // The library fills in its part.
    Box::into_raw(Box::new(Open { base, file })).cast()
}

unsafe extern "C" fn close(base: *mut Base) -> herr_t {
    // SAFETY: it is from `Box::into_raw` in `open`, and the library closes once.
    drop(unsafe { Box::from_raw(base.cast::<Open>()) });
    0
}

unsafe extern "C" fn cmp(a: *const Base, b: *const Base) -> c_int {
    // SAFETY: both are open files of this driver.
    let [a, b] = unsafe { [ours(a), ours(b)] }.map(|open| Arc::as_ptr(&open.file).addr());
    a.cmp(&b) as c_int
}

unsafe extern "C" fn query(_base: *const Base, features: *mut c_ulong) -> herr_t {
    // SAFETY: a pointer to the library's own number, or none.
    if let Some(features) = unsafe { features.as_mut() } {
        *features = FEATURES;
    }
    0
}

unsafe extern "C" fn alloc(
    base: *mut Base,
    kind: c_int,
    _dxpl: hid_t,
    len: hsize_t,
) -> haddr_t {
    // SAFETY: an open file of this driver.
    lock(&unsafe { ours(base) }.file).take_space(len, kind == DATA)
}

/// Without it the library would take the end of the file back. What becomes free of
/// chunks the recorder says itself; of metadata that is next to nothing.
extern "C" fn free(
    _base: *mut Base,
    _kind: c_int,
    _dxpl: hid_t,
    _at: haddr_t,
    _len: hsize_t,
) -> herr_t {
    0
}

unsafe extern "C" fn get_eoa(base: *const Base, _kind: c_int) -> haddr_t {
    // SAFETY: an open file of this driver.
    lock(&unsafe { ours(base) }.file).allocated()
}

unsafe extern "C" fn set_eoa(base: *mut Base, _kind: c_int, end: haddr_t) -> herr_t {
    // SAFETY: an open file of this driver.
    lock(&unsafe { ours(base) }.file).allocate(end);
    0
}

unsafe extern "C" fn get_eof(base: *const Base, _kind: c_int) -> haddr_t {
    // SAFETY: an open file of this driver.
    lock(&unsafe { ours(base) }.file).end()
}

unsafe extern "C" fn read(
    base: *mut Base,
    _kind: c_int,
    _dxpl: hid_t,
    at: haddr_t,
    len: usize,
    to: *mut u8,
) -> herr_t {
    // SAFETY: the library gives a buffer of `len` bytes.
    let bytes = unsafe { std::slice::from_raw_parts_mut(to, len) };
    // SAFETY: an open file of this driver.
    match lock(&unsafe { ours(base) }.file).read(at, bytes) {
        Ok(()) => 0,
        Err(_) => -1,
    }
}

unsafe extern "C" fn write(
    base: *mut Base,
    _kind: c_int,
    _dxpl: hid_t,
    at: haddr_t,
    len: usize,
    from: *const u8,
) -> herr_t {
    // SAFETY: the library gives a buffer of `len` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(from, len) };
    // SAFETY: an open file of this driver.
    lock(&unsafe { ours(base) }.file).write(at, bytes);
    0
}

unsafe extern "C" fn truncate(
    base: *mut Base,
    _dxpl: hid_t,
    _closing: hbool_t,
) -> herr_t {
    // SAFETY: an open file of this driver.
    lock(&unsafe { ours(base) }.file).end_at_allocated();
    0
}
