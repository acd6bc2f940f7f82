//! How stores that do not go through libpmemobj's own calls become durable.

use std::env;
use std::io;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;
use pmemkv_sys as sys;

use super::backing::{Backing, backing};

/// The unit of mappings, as msync takes it.
pub(super) const PAGE_BYTES: usize = 4096;

/// Flags of `pmemobj_memcpy`.
const NO_DRAIN: u32 = sys::PMEMOBJ_F_MEM_NODRAIN;

/// What makes a store durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Flushes of the processor's cache lines, and a barrier. libpmem makes nothing of them where its environment says so.
    Flush,
    /// An msync of the pages.
    Sync,
}

/// The way of one open pool.
#[derive(Debug)]
pub(super) struct Persist {
    pop: NonNull<sys::PMEMobjpool>,
    way: Way,
    /// Whether points make stores durable, later and all at once.
    later: AtomicBool,
}

// SAFETY: libpmemobj ties no pool to a thread.
unsafe impl Send for Persist {}
// SAFETY: its calls on a pool may run beside one another.
unsafe impl Sync for Persist {}

impl Persist {
    /// That of the pool at `path`, which is open as long as the result lives.
    pub(super) fn new(pop: NonNull<sys::PMEMobjpool>, path: Option<&Path>) -> Self {
        // As libpmem decides for libpmemobj's own stores. (On tmpfs its flushes are calls of msync, which cost little.)
        let forced = env::var_os("PMEM_IS_PMEM_FORCE");
        let is_memory = match forced.as_deref().and_then(|value| value.to_str()) {
            Some("1") => true,
            Some("0") => false,
            _ => path.is_none_or(|path| backing(path) != Backing::Ordinary),
        };
        Self {
            pop,
            way: if is_memory { Way::Flush } else { Way::Sync },
            later: AtomicBool::new(false),
        }
    }

    /// Whether a barrier is a write to a disk.
    pub(super) fn is_disk(&self) -> bool {
        self.way == Way::Sync
    }

    /// Leaves it to points from now on to make stores durable.
    pub(super) fn rely_on_points(&self) {
        self.later.store(true, Ordering::Release);
    }

    #[inline]
    pub(super) fn relies_on_points(&self) -> bool {
        self.later.load(Ordering::Acquire)
    }

    /// Copies bytes into the pool. They are durable after the next [`finish`](Self::finish) around them.
    ///
    /// # Safety
    /// `to` begins as many mapped bytes of the pool, which no other thread uses.
    pub(super) unsafe fn copy(&self, to: *mut u8, from: &[u8]) {
        match self.way {
            Way::Flush => {
                // SAFETY: the caller's promise; the pool is open.
                unsafe {
                    sys::library().pmemobj_memcpy(
                        self.pop.as_ptr(),
                        to.cast(),
                        from.as_ptr().cast(),
                        from.len(),
                        NO_DRAIN,
                    )
                };
            }
            Way::Sync => {
                // SAFETY: the caller's promise.
                unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
            }
        }
    }

    /// Begins to make stores durable: they are after the next [`finish`](Self::finish) around them.
    pub(super) fn flush(&self, start: *const u8, bytes: usize) {
        if self.way == Way::Flush {
            // SAFETY: the pool is open; the call takes any address and changes no byte.
            unsafe { sys::library().pmemobj_flush(self.pop.as_ptr(), start.cast(), bytes) };
        }
    }

    /// One barrier for two ranges, as [`finish`](Self::finish) makes it. Where the operating system cannot write, libpmemobj
    /// ends the process, as after each of its own stores.
    pub(super) fn both(&self, ranges: [(*const u8, usize); 2]) {
        if self.relies_on_points() {
            return;
        }
        match self.way {
            Way::Flush => {
                for (start, bytes) in ranges {
                    self.flush(start, bytes);
                }
                // SAFETY: the pool is open.
                unsafe { sys::library().pmemobj_drain(self.pop.as_ptr()) };
            }
            Way::Sync => {
                let starts = ranges.map(|(start, _)| start as usize);
                let ends = ranges.map(|(start, bytes)| start as usize + bytes);
                let (first, _) = if starts[0] < starts[1] {
                    ranges[0]
                } else {
                    ranges[1]
                };
                let bytes = ends[0].max(ends[1]) - first as usize;
                // SAFETY: the pool is open, and both ranges lie in one object of it.
                unsafe { sys::library().pmemobj_persist(self.pop.as_ptr(), first.cast(), bytes) };
            }
        }
    }

    /// One barrier: on return all is durable that was [copied](Self::copy) and [flushed](Self::flush) within these bytes,
    /// which lie in the pool.
    ///
    /// # Errors
    /// The operating system's, where it could not write. Then some of the stores may be durable and some not.
    pub(super) fn finish(&self, start: *const u8, bytes: usize) -> io::Result<()> {
        match self.way {
            Way::Flush => {
                // SAFETY: the pool is open.
                unsafe { sys::library().pmemobj_drain(self.pop.as_ptr()) };
                Ok(())
            }
            Way::Sync if self.relies_on_points() => Ok(()),
            Way::Sync => sync(start, bytes),
        }
    }
}

/// Has the operating system write the pages of these mapped bytes.
pub(super) fn sync(start: *const u8, bytes: usize) -> io::Result<()> {
    let before = start as usize % PAGE_BYTES;
    let first = start.wrapping_sub(before).cast_mut().cast();
    // SAFETY: the call changes no byte, and answers an error where something is not mapped.
    let failed = unsafe { libc::msync(first, before + bytes, libc::MS_SYNC) };
    if failed == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
