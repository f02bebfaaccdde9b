//! The C functions of liblsl, by name and signature; nothing is called here.
//!
//! Outlets and inlets make safe things of them, in files of their own.

#![expect(missing_docs, reason = "liblsl's own header documents them")]

use std::ffi::{c_char, c_double, c_int, c_ulong, c_void};

/// Why liblsl cannot be used: it lacks a function.
#[derive(Debug, thiserror::Error)]
#[error("it has no function {0}; liblsl 1.14 or later is needed")]
pub struct Lacks(&'static str);

/// `lsl_streaminfo`, `lsl_outlet`, `lsl_inlet`, `lsl_xml_ptr`, `lsl_continuous_resolver`.
pub type Handle = *mut c_void;

/// What liblsl answers instead of 0.
pub mod error {
    use std::ffi::c_int;

    pub const TIMEOUT: c_int = -1;
    pub const LOST: c_int = -2;
    pub const ARGUMENT: c_int = -3;
    pub const INTERNAL: c_int = -4;
}

/// Flags of `lsl_create_outlet_ex` and `lsl_create_inlet_ex`.
pub mod flags {
    use std::ffi::c_int;

    /// The buffer is counted in samples, not in seconds.
    pub const BUFFER_IN_SAMPLES: c_int = 1;
    /// The buffer is counted in thousandths.
    pub const BUFFER_IN_THOUSANDTHS: c_int = 2;
    /// A push returns when all consumers have the samples.
    pub const BLOCKING: c_int = 4;
}

macro_rules! functions {
    (
        $(fn $name:ident($($arg:ty),* $(,)?) $(-> $result:ty)?;)*
        optional
        $(fn $may:ident($($may_arg:ty),* $(,)?) $(-> $may_result:ty)?;)*
    ) => {
        /// The functions, without the `lsl_` before their names.
        #[derive(Clone, Copy, Debug)]
        pub struct Api {
            $(pub $name: unsafe extern "C" fn($($arg),*) $(-> $result)?,)*
            $(pub $may: Option<unsafe extern "C" fn($($may_arg),*) $(-> $may_result)?>,)*
        }

        impl Api {
            /// Finds all functions in a library.
            #[allow(unsafe_code, reason = "a C library tells no types: these are those of \
                                           its header, the same since 1.14")]
            pub(crate) fn of(library: &libloading::Library) -> Result<Api, Lacks> {
                // SAFETY: each symbol is called as liblsl's header declares it. The
                // pointers outlive this borrow, and `Library` never unloads.
                unsafe {
                    Ok(Api {
                        $($name: *library
                            .get(concat!("lsl_", stringify!($name), "\0").as_bytes())
                            .map_err(|_| Lacks(concat!("lsl_", stringify!($name))))?,)*
                        $($may: library
                            .get(concat!("lsl_", stringify!($may), "\0").as_bytes())
                            .ok()
                            .map(|symbol| *symbol),)*
                    })
                }
            }
        }
    };
}

functions! {
    fn library_version() -> c_int;
    fn local_clock() -> c_double;

    fn create_streaminfo(
        *const c_char, *const c_char, c_int, c_double, c_int, *const c_char,
    ) -> Handle;
    fn destroy_streaminfo(Handle);
    fn copy_streaminfo(Handle) -> Handle;
    fn get_name(Handle) -> *const c_char;
    fn get_uid(Handle) -> *const c_char;
    fn get_desc(Handle) -> Handle;
    // To be given back to `destroy_string`.
    fn get_xml(Handle) -> *mut c_char;
    fn destroy_string(*mut c_char);
    fn append_child(Handle, *const c_char) -> Handle;
    fn append_child_value(Handle, *const c_char, *const c_char) -> Handle;

    fn create_outlet(Handle, c_int, c_int) -> Handle;
    fn destroy_outlet(Handle);
    fn have_consumers(Handle) -> c_int;
    fn wait_for_consumers(Handle, c_double) -> c_int;
    // The info of an outlet, with where it is reached. It is the caller's.
    fn get_info(Handle) -> Handle;
    // Each: outlet, values, how many values, times (one a sample), whether to send at once.
    fn push_chunk_ftnp(Handle, *const f32, c_ulong, *const c_double, c_int) -> c_int;
    fn push_chunk_dtnp(Handle, *const f64, c_ulong, *const c_double, c_int) -> c_int;
    fn push_chunk_ltnp(Handle, *const i64, c_ulong, *const c_double, c_int) -> c_int;
    fn push_chunk_itnp(Handle, *const i32, c_ulong, *const c_double, c_int) -> c_int;
    fn push_chunk_stnp(Handle, *const i16, c_ulong, *const c_double, c_int) -> c_int;
    fn push_chunk_ctnp(Handle, *const c_char, c_ulong, *const c_double, c_int) -> c_int;
    // Texts with their lengths.
    fn push_chunk_buftnp(
        Handle, *const *const c_char, *const u32, c_ulong, *const c_double, c_int,
    ) -> c_int;

    fn resolve_all(*mut Handle, u32, c_double) -> c_int;
    fn resolve_bypred(*mut Handle, u32, *const c_char, c_int, c_double) -> c_int;
    fn create_continuous_resolver(c_double) -> Handle;
    fn create_continuous_resolver_bypred(*const c_char, c_double) -> Handle;
    fn resolver_results(Handle, *mut Handle, u32) -> c_int;
    fn destroy_continuous_resolver(Handle);

    fn create_inlet(Handle, c_int, c_int, c_int) -> Handle;
    fn destroy_inlet(Handle);
    fn open_stream(Handle, c_double, *mut c_int);
    fn close_stream(Handle);
    fn get_fullinfo(Handle, c_double, *mut c_int) -> Handle;
    fn time_correction(Handle, c_double, *mut c_int) -> c_double;
    fn time_correction_ex(Handle, *mut c_double, *mut c_double, c_double, *mut c_int) -> c_double;
    fn set_postprocessing(Handle, u32) -> c_int;
    fn samples_available(Handle) -> u32;
    fn was_clock_reset(Handle) -> u32;
    // Each: inlet, room for values and for times, how many values and times it is for,
    // how long to wait for the first, error; returns how many values came.
    fn pull_chunk_f(Handle, *mut f32, *mut c_double, c_ulong, c_ulong, c_double, *mut c_int) -> c_ulong;
    fn pull_chunk_d(Handle, *mut f64, *mut c_double, c_ulong, c_ulong, c_double, *mut c_int) -> c_ulong;
    fn pull_chunk_l(Handle, *mut i64, *mut c_double, c_ulong, c_ulong, c_double, *mut c_int) -> c_ulong;
    fn pull_chunk_i(Handle, *mut i32, *mut c_double, c_ulong, c_ulong, c_double, *mut c_int) -> c_ulong;
    fn pull_chunk_s(Handle, *mut i16, *mut c_double, c_ulong, c_ulong, c_double, *mut c_int) -> c_ulong;
    fn pull_chunk_c(Handle, *mut c_char, *mut c_double, c_ulong, c_ulong, c_double, *mut c_int) -> c_ulong;
    // Texts with their lengths; each is to be given back to `destroy_string`.
    fn pull_chunk_buf(
        Handle, *mut *mut c_char, *mut u32, *mut c_double, c_ulong, c_ulong, c_double, *mut c_int,
    ) -> c_ulong;
    // Each: inlet, room for one sample, how many values it is for, how long to wait, error;
    // returns its time, or 0 if none came.
    fn pull_sample_f(Handle, *mut f32, c_int, c_double, *mut c_int) -> c_double;
    fn pull_sample_d(Handle, *mut f64, c_int, c_double, *mut c_int) -> c_double;
    fn pull_sample_l(Handle, *mut i64, c_int, c_double, *mut c_int) -> c_double;
    fn pull_sample_i(Handle, *mut i32, c_int, c_double, *mut c_int) -> c_double;
    fn pull_sample_s(Handle, *mut i16, c_int, c_double, *mut c_int) -> c_double;
    fn pull_sample_c(Handle, *mut c_char, c_int, c_double, *mut c_int) -> c_double;
    fn pull_sample_buf(
        Handle, *mut *mut c_char, *mut u32, c_int, c_double, *mut c_int,
    ) -> c_double;
    optional
    fn create_outlet_ex(Handle, c_int, c_int, c_int) -> Handle;
    fn create_inlet_ex(Handle, c_int, c_int, c_int, c_int) -> Handle;
    fn set_config_content(*const c_char);
    fn inlet_flush(Handle) -> u32;
    fn last_error() -> *const c_char;
    fn smoothing_halftime(Handle, f32) -> c_int;
}
