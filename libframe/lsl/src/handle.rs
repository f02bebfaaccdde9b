//! liblsl's outlet, with what Rust asks of its caller: texts that end, pointers that live,
//! lengths that are right. All that is unsafe of an outlet is here.

#![allow(unsafe_code, reason = "C functions, each call with its reason")]

use std::ffi::{CStr, CString, c_char, c_int, c_ulong};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::api::{Api, Handle, flags};
use crate::element::Element;
use crate::info::{Format, Info};
use crate::library::Library;

/// An outlet of liblsl's.
#[derive(Debug)]
pub(crate) struct OutletHandle {
    library: Arc<Library>,
    outlet: NonNull<std::ffi::c_void>,
}

/// Numbers of one type, or texts with their lengths.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values<'a> {
    Float32(&'a [f32]),
    Double64(&'a [f64]),
    Int64(&'a [i64]),
    Int32(&'a [i32]),
    Int16(&'a [i16]),
    Int8(&'a [i8]),
    /// Back to back.
    Texts(&'a [u8], &'a [u32]),
}

/// The description of a stream in liblsl's hands.
struct Description<'a> {
    api: &'a Api,
    info: Handle,
}

impl Drop for Description<'_> {
    fn drop(&mut self) {
        // SAFETY: it came from `create_streaminfo` or `get_info`, and nobody else has it.
        unsafe { (self.api.destroy_streaminfo)(self.info) }
    }
}

impl OutletHandle {
    /// Opens an outlet that keeps so many samples for each consumer. `None` if liblsl will not,
    /// which is when it finds no free port.
    pub(crate) fn create(
        library: &Arc<Library>,
        info: &Info,
        capacity: u32,
    ) -> Option<OutletHandle> {
        let api = library.api();
        let description = describe(api, info)?;
        let samples = c_int::try_from(capacity).unwrap_or(c_int::MAX);
        // SAFETY: the description is liblsl's own, and copied by it.
        let outlet = unsafe {
            match api.create_outlet_ex {
                Some(create) => {
                    create(description.info, 0, samples, flags::BUFFER_IN_SAMPLES)
                }
                None => {
                    (api.create_outlet)(description.info, 0, in_seconds(info, capacity))
                }
            }
        };
        Some(OutletHandle { library: Arc::clone(library), outlet: NonNull::new(outlet)? })
    }

    /// Gives it samples, each with its time, to be sent at once. Whether it took them.
    ///
    /// There must be as many values for each time as the outlet has channels, and of its
    /// format: others are refused.
    pub(crate) fn push(
        &self,
        values: Values<'_>,
        times: &[f64],
        channels: usize,
    ) -> bool {
        let n = match values {
            Values::Float32(values) => values.len(),
            Values::Double64(values) => values.len(),
            Values::Int64(values) => values.len(),
            Values::Int32(values) => values.len(),
            Values::Int16(values) => values.len(),
            Values::Int8(values) => values.len(),
            Values::Texts(_, lengths) => lengths.len(),
        };
        if Some(n) != times.len().checked_mul(channels) || n == 0 {
            return n == 0 && times.is_empty();
        }
        let (api, to, n, at) =
            (self.library.api(), self.outlet.as_ptr(), n as c_ulong, times.as_ptr());
        // SAFETY: liblsl reads `n` values and `n / channels` times, which was compared just
        // now, and keeps no pointer. Of texts, each begin has its length behind it.
        let status = unsafe {
            match values {
                Values::Float32(values) => {
                    (api.push_chunk_ftnp)(to, values.as_ptr(), n, at, 1)
                }
                Values::Double64(values) => {
                    (api.push_chunk_dtnp)(to, values.as_ptr(), n, at, 1)
                }
                Values::Int64(values) => {
                    (api.push_chunk_ltnp)(to, values.as_ptr(), n, at, 1)
                }
                Values::Int32(values) => {
                    (api.push_chunk_itnp)(to, values.as_ptr(), n, at, 1)
                }
                Values::Int16(values) => {
                    (api.push_chunk_stnp)(to, values.as_ptr(), n, at, 1)
                }
                Values::Int8(values) => {
                    (api.push_chunk_ctnp)(to, values.as_ptr().cast(), n, at, 1)
                }
                Values::Texts(bytes, lengths) => {
                    let Some(begins) = begins(bytes, lengths) else { return false };
                    let (texts, lengths) = (begins.as_ptr(), lengths.as_ptr());
                    (api.push_chunk_buftnp)(to, texts, lengths, n, at, 1)
                }
            }
        };
        status == 0
    }

    /// Whether anybody reads it.
    pub(crate) fn have_consumers(&self) -> bool {
        // SAFETY: the outlet lives until it is dropped.
        unsafe { (self.library.api().have_consumers)(self.outlet.as_ptr()) != 0 }
    }

    /// The description with where it is reached, as XML.
    pub(crate) fn xml(&self) -> Option<String> {
        let api = self.library.api();
        // SAFETY: the outlet lives; what comes is ours, and dropped with `Description`.
        let info = unsafe { (api.get_info)(self.outlet.as_ptr()) };
        if info.is_null() {
            return None;
        }
        let description = Description { api, info };
        // SAFETY: the text is given back before anything else happens to it.
        unsafe {
            let text = (api.get_xml)(description.info);
            if text.is_null() {
                return None;
            }
            let xml = CStr::from_ptr(text).to_string_lossy().into_owned();
            (api.destroy_string)(text);
            Some(xml)
        }
    }
}

impl Drop for OutletHandle {
    fn drop(&mut self) {
        // SAFETY: nobody else has it. liblsl ends its threads before it returns.
        unsafe { (self.library.api().destroy_outlet)(self.outlet.as_ptr()) }
    }
}

/// Where texts begin that lie back to back; `None` if they are shorter than they claim.
fn begins(bytes: &[u8], lengths: &[u32]) -> Option<Vec<*const c_char>> {
    let mut rest = bytes;
    let begin = |length: &u32| {
        let (text, after) = rest.split_at_checked(*length as usize)?;
        rest = after;
        Some(text.as_ptr().cast())
    };
    lengths.iter().map(begin).collect()
}

/// What a library that counts in seconds must be told to keep so many samples. Where a
/// stream has no rate, it takes a hundred for a second.
fn in_seconds(info: &Info, capacity: u32) -> c_int {
    let rate = if info.rate > 0.0 { info.rate } else { 100.0 };
    (f64::from(capacity) / rate).ceil().clamp(1.0, 1e6) as c_int
}

fn describe<'a>(api: &'a Api, info: &Info) -> Option<Description<'a>> {
    let (name, kind, source) =
        (text(&info.name), text(&info.kind), text(&info.source_id));
    let channels = c_int::try_from(info.channel_count).ok()?;
    let format = match info.format {
        Format::Float32 => 1,
        Format::Double64 => 2,
        Format::String => 3,
        Format::Int32 => 4,
        Format::Int16 => 5,
        Format::Int8 => 6,
        Format::Int64 => 7,
    };
    // SAFETY: the texts live until the call returns, which copies them.
    let handle = unsafe {
        (api.create_streaminfo)(
            name.as_ptr(),
            kind.as_ptr(),
            channels,
            info.rate,
            format,
            source.as_ptr(),
        )
    };
    if handle.is_null() {
        return None;
    }
    let description = Description { api, info: handle };
    // SAFETY: the description lives, and with it the element.
    let desc = unsafe { (api.get_desc)(description.info) };
    info.desc.children.iter().for_each(|child| append(api, desc, child));
    Some(description)
}

/// Adds an element to one of liblsl's.
fn append(api: &Api, to: Handle, element: &Element) {
    let (name, value) = (text(&element.name), text(&element.text));
    // SAFETY: `to` is of a description that lives, as is what comes back; the texts are copied.
    unsafe {
        if element.children.is_empty() {
            (api.append_child_value)(to, name.as_ptr(), value.as_ptr());
            return;
        }
        let added = (api.append_child)(to, name.as_ptr());
        element.children.iter().for_each(|child| append(api, added, child));
    }
}

/// C's texts end at their first NUL, so none may be inside.
fn text(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}
