//! The C functions of liblsl, by name and signature; nothing is called here.
//!
//! `handle` makes safe things of them. Only those for outlets are here: what comes over LSL we
//! read ourselves ([`crate::inlet`]).

#![expect(missing_docs, reason = "liblsl's own header documents them")]

use std::ffi::{c_char, c_double, c_int, c_ulong, c_void};

/// Why liblsl cannot be used: it lacks a function.
#[derive(Debug, thiserror::Error)]
#[error("it has no function {0}; liblsl 1.14 or later is needed")]
pub struct Lacks(&'static str);

/// `lsl_streaminfo`, `lsl_outlet`, `lsl_xml_ptr`.
pub type Handle = *mut c_void;

/// Flags of `lsl_create_outlet_ex`.
pub mod flags {
    use std::ffi::c_int;

    /// The buffer is counted in samples, not in seconds.
    pub const BUFFER_IN_SAMPLES: c_int = 1;
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
    fn get_desc(Handle) -> Handle;
    // To be given back to `destroy_string`.
    fn get_xml(Handle) -> *mut c_char;
    fn destroy_string(*mut c_char);
    fn append_child(Handle, *const c_char) -> Handle;
    fn append_child_value(Handle, *const c_char, *const c_char) -> Handle;

    fn create_outlet(Handle, c_int, c_int) -> Handle;
    fn destroy_outlet(Handle);
    fn have_consumers(Handle) -> c_int;
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

    optional
    fn create_outlet_ex(Handle, c_int, c_int, c_int) -> Handle;
    fn set_config_content(*const c_char);
}
