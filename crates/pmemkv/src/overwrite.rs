//! Changing part of a value in place.

use std::ptr::{self, NonNull};

use pmemkv_sys as sys;

use super::database::{Access, Database};
use super::error::{Error, Status};

/// A write iterator. It holds the item's lock, which belongs to the thread that made it, so it never leaves the
/// function.
struct WriteIterator(NonNull<sys::pmemkv_write_iterator>);

impl Database {
    /// Overwrites `bytes.len()` bytes of an existing value from `offset` on, in place: atomic, and durable when it
    /// returns. `Ok(false)` if there is no such key.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the range reaches beyond the value, which is then unchanged, and
    /// [`Error::NotSupported`] where the engine has no write iterators (vcmap, vsmap, blackhole).
    pub fn write_range(&self, key: &[u8], offset: usize, bytes: &[u8]) -> Result<bool, Error> {
        self.write_ranges(key, &[(offset, bytes)])
    }

    /// Overwrites several ranges of one value, each given by its offset, as one step.
    ///
    /// # Errors
    /// Those of [`write_range`](Self::write_range); on any of them nothing is changed.
    pub fn write_ranges(&self, key: &[u8], ranges: &[(usize, &[u8])]) -> Result<bool, Error> {
        let _running = self.enter(Access::Write)?;
        let mut iterator = ptr::null_mut();
        // SAFETY: the database is open and held as a write asks; the out-pointer is a local.
        let status =
            unsafe { sys::library().pmemkv_write_iterator_new(self.raw(), &raw mut iterator) };
        self.settle(status).into_result()?;
        let Some(iterator) = NonNull::new(iterator) else {
            return Err(Error::Unknown("pmemkv made no iterator".to_owned()));
        };
        let iterator = WriteIterator(iterator);

        // SAFETY: the iterator was made above and is alive.
        let position = unsafe { iterator.0.as_ref() }.iter;
        // SAFETY: `position` belongs to the live iterator; pointer and length are of one slice.
        let status = unsafe {
            sys::library().pmemkv_iterator_seek(position, key.as_ptr().cast(), key.len())
        };
        match self.settle(status) {
            Status::NotFound => return Ok(false),
            status => status.into_result()?,
        }

        // pmemkv would cut a range that begins beyond the value at a place of its own choice, so check the ranges here.
        // The seek has locked the item, so its length does not change.
        let mut value = ptr::null();
        let mut value_bytes = 0;
        // SAFETY: `position` stands on an item; the out-pointers are locals; the bytes themselves are not looked at.
        let status = unsafe {
            sys::library().pmemkv_iterator_read_range(
                position,
                0,
                usize::MAX,
                &raw mut value,
                &raw mut value_bytes,
            )
        };
        self.settle(status).into_result()?;
        for &(offset, bytes) in ranges {
            let fits = offset <= value_bytes && bytes.len() <= value_bytes - offset;
            if !fits {
                return Err(Error::InvalidArgument(format!(
                    "{} bytes at {offset} reach beyond the value's {value_bytes}",
                    bytes.len()
                )));
            }
        }
        for &(offset, bytes) in ranges.iter().filter(|(_, bytes)| !bytes.is_empty()) {
            let mut start = ptr::null_mut();
            let mut length = 0;
            // SAFETY: the iterator is alive and stands on an item; the out-pointers are locals.
            let status = unsafe {
                sys::library().pmemkv_write_iterator_write_range(
                    iterator.0.as_ptr(),
                    offset,
                    bytes.len(),
                    &raw mut start,
                    &raw mut length,
                )
            };
            self.settle(status).into_result()?;
            if length != bytes.len() {
                // Dropping the iterator drops the uncommitted changes.
                return Err(Error::Unknown(format!(
                    "pmemkv lent {length} bytes of {}",
                    bytes.len()
                )));
            }
            // SAFETY: pmemkv lends `length` writable bytes at `start` until the commit, and they are not `bytes`.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr().cast(), start, length) };
        }
        // SAFETY: the iterator is alive and stands on an item.
        let status = unsafe { sys::library().pmemkv_write_iterator_commit(iterator.0.as_ptr()) };
        self.settle(status).into_result().map(|()| true)
    }
}

impl Drop for WriteIterator {
    fn drop(&mut self) {
        // SAFETY: made by this thread in the running call and deleted once; what was not committed is dropped.
        unsafe { sys::library().pmemkv_write_iterator_delete(self.0.as_ptr()) };
    }
}
