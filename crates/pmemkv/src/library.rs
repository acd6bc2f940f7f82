//! Loads the C library, with the environment that libpmem is to find.

use std::fs;

use pmemkv_sys as sys;

use super::error::Error;

/// Loads the C library. The first call that needs it does so anyway; this one says when, and in which environment: libpmem, which
/// pmemkv pulls in, reads its variables when it is loaded, and never again.
///
/// Variables of `environment` that the process has already, with the same values, need nothing. The others are set for the process.
///
/// ```rust,standalone_code
/// pmemkv::load(&[("PMEM_NO_FLUSH", "1")])?;
/// assert_eq!(std::env::var("PMEM_NO_FLUSH").as_deref(), Ok("1"));
/// pmemkv::load(&[("PMEM_NO_FLUSH", "1")])?;
/// // libpmem has read it, and reads it no more.
/// assert!(pmemkv::load(&[("PMEM_NO_FLUSH", "0")]).is_err());
/// # Ok::<(), pmemkv::Error>(())
/// ```
///
/// # Errors
/// [`Error::Library`] if the library, or one that it needs, cannot be loaded. Also if a variable has to be set and the library is
/// loaded already, or another thread runs, which may be reading the environment.
pub fn load(environment: &[(&str, &str)]) -> Result<(), Error> {
    let missing = || {
        environment
            .iter()
            .filter(|(name, value)| std::env::var_os(name).is_none_or(|set| set != *value))
    };
    if missing().next().is_some() {
        if sys::is_loaded() {
            return Err(Error::Library(
                "it is loaded already, with other settings of libpmem".to_owned(),
            ));
        }
        if !runs_alone() {
            return Err(Error::Library(
                "its settings can be chosen only before another thread runs".to_owned(),
            ));
        }
        for (name, value) in missing() {
            // SAFETY: no other thread runs, so nobody reads the environment meanwhile.
            unsafe { std::env::set_var(name, value) };
        }
    }
    ensure_loaded()
}

/// Loads the library if it is not loaded yet.
pub(super) fn ensure_loaded() -> Result<(), Error> {
    sys::load()
        .map(|_| ())
        .map_err(|error| Error::Library(error.to_string()))
}

/// Whether the process has one thread only. The kernel knows also those that a preloaded library has started.
fn runs_alone() -> bool {
    fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}
