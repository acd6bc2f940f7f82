//! Raw bindings to Intel's pmemkv and to the libpmemobj calls that its pools need.
//!
//! The C library is loaded by the first call of [`load`], not with the program: libpmem, which it pulls in, reads its
//! environment variables when it is loaded, and a program knows which ones it needs only after it has read its configuration.
//!
//! The calls are `unsafe` and undocumented beyond the C headers: use the crate `pmemkv`, the safe layer.

use std::sync::OnceLock;

#[allow(
    missing_docs,
    missing_debug_implementations,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::pedantic,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use generated::*;
pub use libloading::Error as LoadError;

/// The file that the dynamic linker looks for. It needs libpmemobj, so that library's calls are found by it, too.
pub const FILE_NAME: &str = "libpmemkv.so.1";

static LIBRARY: OnceLock<Library> = OnceLock::new();

/// Loads the C library, or finds that it is loaded.
///
/// # Errors
/// The dynamic linker's text, if it does not find the library, one that the library needs, or one of the calls.
pub fn load() -> Result<&'static Library, LoadError> {
    if let Some(loaded) = LIBRARY.get() {
        return Ok(loaded);
    }
    // SAFETY: the library's constructors, and those of the libraries that it needs, ask for nothing of their caller. The calls'
    // types are those of the headers of the same major version, which the file's name holds.
    let library = unsafe { Library::new(FILE_NAME)? };
    // Where two threads load at the same time, the linker gives both the same library.
    Ok(LIBRARY.get_or_init(|| library))
}

/// Whether the C library is loaded.
pub fn is_loaded() -> bool {
    LIBRARY.get().is_some()
}

/// The C library's calls.
///
/// # Panics
/// If the library cannot be loaded. Whoever calls [`load`] first gets an error instead.
#[inline]
pub fn library() -> &'static Library {
    match LIBRARY.get() {
        Some(library) => library,
        None => load().unwrap_or_else(|error| panic!("{error}")),
    }
}
