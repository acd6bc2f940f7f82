//! The configuration that opens an engine.

use std::ffi::{CString, c_int};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use pmemkv_sys as sys;

use super::comparator::Comparator;
use super::error::{Error, Status};
use super::library;
use super::pool::Slot;

/// Named, typed items for [`Database::open`](super::Database::open).
///
/// Engines with a pool need `path`, and `size` with `force_create` to make the pool. vcmap and vsmap need `path` (a
/// directory) and `size`. blackhole needs nothing.
#[derive(Debug)]
pub struct Config {
    raw: NonNull<sys::pmemkv_config>,
    kept: Kept,
}

/// What must live as long as the database that the config opens.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) comparator: Option<Comparator>,
    pub(super) slot: Option<Slot>,
    pub(super) path: Option<PathBuf>,
}

// SAFETY: the C object is a map of plain values that no thread is tied to, and a `Config` is its only owner.
unsafe impl Send for Config {}

impl Config {
    /// An empty config.
    ///
    /// # Errors
    /// [`Error::Library`] if the C library cannot be loaded, [`Error::OutOfMemory`].
    pub fn new() -> Result<Self, Error> {
        library::ensure_loaded()?;
        // SAFETY: the call takes nothing; a null result is handled.
        let raw = unsafe { sys::library().pmemkv_config_new() };
        let raw = NonNull::new(raw)
            .ok_or_else(|| Error::OutOfMemory("no memory for a config".to_owned()))?;
        Ok(Self {
            raw,
            kept: Kept::default(),
        })
    }

    /// Puts an unsigned number.
    pub fn put_u64(&mut self, key: &str, value: u64) -> Result<&mut Self, Error> {
        let key = name(key)?;
        // SAFETY: the config is alive and owned; the key is NUL-terminated and copied.
        let status = unsafe {
            sys::library().pmemkv_config_put_uint64(self.raw.as_ptr(), key.as_ptr(), value)
        };
        self.done(status)
    }

    /// Puts a signed number.
    pub fn put_i64(&mut self, key: &str, value: i64) -> Result<&mut Self, Error> {
        let key = name(key)?;
        // SAFETY: the config is alive and owned; the key is NUL-terminated and copied.
        let status = unsafe {
            sys::library().pmemkv_config_put_int64(self.raw.as_ptr(), key.as_ptr(), value)
        };
        self.done(status)
    }

    /// Puts a string.
    pub fn put_string(&mut self, key: &str, value: &str) -> Result<&mut Self, Error> {
        let raw_key = name(key)?;
        let raw_value = CString::new(value).map_err(|_| Error::Nul("a string"))?;
        // SAFETY: the config is alive and owned; key and value are NUL-terminated and copied.
        let status = unsafe {
            sys::library().pmemkv_config_put_string(
                self.raw.as_ptr(),
                raw_key.as_ptr(),
                raw_value.as_ptr(),
            )
        };
        if status == 0 && key == "path" {
            self.kept.path = Some(PathBuf::from(value));
        }
        self.done(status)
    }

    /// Puts bytes.
    pub fn put_data(&mut self, key: &str, value: &[u8]) -> Result<&mut Self, Error> {
        let key = name(key)?;
        // SAFETY: the config is alive and owned; the key is NUL-terminated; pointer and length are of one slice; both
        // are copied.
        let status = unsafe {
            sys::library().pmemkv_config_put_data(
                self.raw.as_ptr(),
                key.as_ptr(),
                value.as_ptr().cast(),
                value.len(),
            )
        };
        self.done(status)
    }

    /// Puts `path`: a pool file, or a directory for vcmap and vsmap.
    pub fn put_path(&mut self, path: impl AsRef<Path>) -> Result<&mut Self, Error> {
        use std::os::unix::ffi::OsStrExt;
        let path = path.as_ref();
        let raw = CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::Nul("a path"))?;
        // SAFETY: the config is alive and owned; the path is NUL-terminated and copied.
        let status =
            unsafe { sys::library().pmemkv_config_put_path(self.raw.as_ptr(), raw.as_ptr()) };
        if status == 0 {
            self.kept.path = Some(path.to_owned());
        }
        self.done(status)
    }

    /// The `path` that was put.
    pub fn path(&self) -> Option<&Path> {
        self.kept.path.as_deref()
    }

    /// Puts `size`, in bytes.
    pub fn put_size(&mut self, bytes: u64) -> Result<&mut Self, Error> {
        // SAFETY: the config is alive and owned.
        let status = unsafe { sys::library().pmemkv_config_put_size(self.raw.as_ptr(), bytes) };
        self.done(status)
    }

    /// Puts `force_create`: the open makes the pool, and fails if there is one.
    pub fn put_force_create(&mut self, create: bool) -> Result<&mut Self, Error> {
        // SAFETY: the config is alive and owned.
        let status =
            unsafe { sys::library().pmemkv_config_put_force_create(self.raw.as_ptr(), create) };
        self.done(status)
    }

    /// Puts the order of a sorted engine's keys.
    pub fn put_comparator(&mut self, comparator: Comparator) -> Result<&mut Self, Error> {
        let raw = comparator.to_raw();
        if raw.is_null() {
            return Err(Status::OutOfMemory.into_error());
        }
        // SAFETY: both are alive; the config takes the C comparator over when the call succeeds.
        let status = unsafe { sys::library().pmemkv_config_put_comparator(self.raw.as_ptr(), raw) };
        if status == 0 {
            self.kept.comparator = Some(comparator);
        } else {
            // SAFETY: the config did not take it, so it is still ours, and nothing else points to it.
            unsafe { sys::library().pmemkv_comparator_delete(raw) };
        }
        self.done(status)
    }

    /// Puts, instead of a path, the place in an open pool where the engine keeps its root.
    pub(super) fn put_oid(&mut self, slot: Slot) -> Result<&mut Self, Error> {
        // SAFETY: the slot lies in the mapped pool, which `kept.slot` keeps open as long as the database.
        let status = unsafe { sys::library().pmemkv_config_put_oid(self.raw.as_ptr(), slot.oid()) };
        if status == 0 {
            self.kept.slot = Some(slot);
        }
        self.done(status)
    }

    /// Puts `inner` as a config inside this one.
    pub(super) fn put_config(&mut self, key: &str, inner: Self) -> Result<&mut Self, Error> {
        unsafe extern "C" fn delete(config: *mut std::ffi::c_void) {
            // SAFETY: C calls this once, with the config that was put under this deleter.
            unsafe { sys::library().pmemkv_config_delete(config.cast()) }
        }
        let key = name(key)?;
        let raw = inner.into_raw();
        // SAFETY: the config is alive and owned; it takes `raw` over with the deleter that fits it.
        let status = unsafe {
            sys::library().pmemkv_config_put_object(
                self.raw.as_ptr(),
                key.as_ptr(),
                raw.cast(),
                Some(delete),
            )
        };
        if status != 0 {
            // SAFETY: the outer config did not take it, so it is still ours.
            unsafe { sys::library().pmemkv_config_delete(raw) };
        }
        self.done(status)
    }

    /// Gives the C object to a call that frees it.
    pub(super) fn into_raw(self) -> *mut sys::pmemkv_config {
        self.into_parts().0
    }

    /// Gives away the C object, and what must outlive the database.
    pub(super) fn into_parts(mut self) -> (*mut sys::pmemkv_config, Kept) {
        let kept = std::mem::take(&mut self.kept);
        let raw = self.raw.as_ptr();
        std::mem::forget(self);
        (raw, kept)
    }

    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    fn done(&mut self, status: c_int) -> Result<&mut Self, Error> {
        Status::from_raw(status).into_result()?;
        Ok(self)
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: `into_parts` forgets the value, so the object is still ours here and freed once.
        unsafe { sys::library().pmemkv_config_delete(self.raw.as_ptr()) };
    }
}

fn name(key: &str) -> Result<CString, Error> {
    CString::new(key).map_err(|_| Error::Nul("an item's name"))
}
