//! The mapping of an arena: one range of addresses, of which more and more is memory. The only unsafe code of the crate.

use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous};

/// Addresses, reserved for the whole life of the process.
#[derive(Debug)]
pub(crate) struct Map {
    base: NonNull<c_void>,
    reserved: usize,
    /// Bytes from the base on that are memory.
    len: AtomicUsize,
}

// SAFETY: the range belongs to this value alone, and is never unmapped; its memory is reached as atomic words only.
unsafe impl Send for Map {}

// SAFETY: as for `Send`: all access is by atomic words, and `len` is atomic.
unsafe impl Sync for Map {}

impl Map {
    /// Reserves addresses, of which none is memory yet.
    pub fn reserve(bytes: usize) -> io::Result<Self> {
        let length = NonZeroUsize::new(bytes).ok_or(io::ErrorKind::InvalidInput)?;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: the kernel chooses free addresses, and nothing may be read or written there yet.
        let base = unsafe { mmap_anonymous(None, length, ProtFlags::PROT_NONE, flags) }?;
        Ok(Self {
            base,
            reserved: bytes,
            len: AtomicUsize::new(0),
        })
    }

    pub fn reserved_bytes(&self) -> usize {
        self.reserved
    }

    /// Bytes that are memory.
    pub fn len_bytes(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Makes memory of what lies behind the present one, up to `end`: the same bytes of a file. The caller adds from one thread
    /// at a time.
    pub fn add_file(&self, file: BorrowedFd<'_>, end: usize) -> io::Result<()> {
        let (at, length) = self.behind(end)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
        let offset = i64::try_from(self.len_bytes()).map_err(io::Error::other)?;
        // SAFETY: `behind` gives addresses of this value's own reservation behind `len`, where nobody has a reference yet.
        unsafe { mmap(Some(at), length, protection, flags, file, offset) }?;
        self.len.store(end, Ordering::Release);
        Ok(())
    }

    /// Makes memory that ends with the process of the next `bytes`. Returns whether that worked.
    pub fn add_memory(&self, bytes: usize) -> bool {
        let end = self.len_bytes() + bytes;
        let Ok((at, length)) = self.behind(end) else {
            return false;
        };
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
        // SAFETY: `behind` gives addresses of this value's own reservation behind `len`, where nobody has a reference yet.
        let mapped = unsafe { mmap_anonymous(Some(at), length, protection, flags) };
        if mapped.is_ok() {
            self.len.store(end, Ordering::Release);
        }
        mapped.is_ok()
    }

    /// Forgets what was added, so that other bytes can take its place. Only before anything refers to it.
    pub fn forget(&self) {
        self.len.store(0, Ordering::Release);
    }

    /// The addresses behind the memory, up to `end`.
    fn behind(&self, end: usize) -> io::Result<(NonZeroUsize, NonZeroUsize)> {
        let len = self.len_bytes();
        let too_long = || io::Error::from(io::ErrorKind::StorageFull);
        if end > self.reserved {
            return Err(too_long());
        }
        let at = self.base.addr().checked_add(len).ok_or_else(too_long)?;
        let length = end.checked_sub(len).and_then(NonZeroUsize::new);
        Ok((at, length.ok_or_else(too_long)?))
    }

    /// Words of the memory.
    #[inline]
    pub fn words(&self, first: usize, count: usize) -> &[AtomicU64] {
        let words = self.len_bytes() / size_of::<AtomicU64>();
        let is_inside = first
            .checked_add(count)
            .is_some_and(|behind| behind <= words);
        assert!(is_inside, "word {first} lies outside of the arena");
        let base = self.base.cast::<AtomicU64>();
        // SAFETY: `first` was checked to lie within the `len` mapped bytes, which are one range of addresses.
        let at = unsafe { base.add(first) };
        // SAFETY: all `count` words were checked to be mapped for reading and writing, the base is a page's beginning, any
        // bytes are a valid word, and all access in this process is by atomic words.
        unsafe { std::slice::from_raw_parts(at.as_ptr(), count) }
    }
}
