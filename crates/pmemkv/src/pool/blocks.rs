//! The blocks of a pool's file. The file system gives all of them before they are stored to, since a store into a hole that it cannot
//! fill kills the process.
//!
//! On tmpfs a gigabyte of blocks takes it some 0.3 s, because it fills pages with zeros. A pool there can be used before: whoever
//! is about to take room of it has the blocks given up to there first, and the rest is given when nobody waits.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use parking_lot::Mutex;

use super::{Pool, PoolError, create, file};
use crate::backing::{Backing, backing};

/// The unit of a file's count of blocks.
const BLOCK_BYTES: u64 = 512;

/// How many bytes are given at a time: on tmpfs for some 5 ms.
const STEP_BYTES: u64 = 16 << 20;

/// libpmemobj's page.
const PAGE_BYTES: u64 = 4096;

/// When the file system is to give a pool its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// All of them before the pool is opened.
    Now,
    /// On tmpfs by [`Pool::reserve_to`] and [`Pool::reserve_some`], elsewhere before the pool is opened.
    Later,
}

impl Blocks {
    /// Whether a pool at `path` opens before it has its blocks.
    pub(super) fn are_later(self, path: &Path) -> bool {
        self == Self::Later && backing(path) == Backing::Tmpfs
    }
}

/// Which blocks of an open pool's file are still to be given.
#[derive(Debug)]
pub(super) struct Reserved {
    /// All bytes before this one have blocks; `u64::MAX` once all have.
    end: AtomicU64,
    /// The file while blocks are still to be given. Who gives some has the lock.
    file: Mutex<Option<File>>,
}

impl Reserved {
    /// All blocks are there.
    pub(super) fn all() -> Self {
        Self {
            end: AtomicU64::new(u64::MAX),
            file: Mutex::new(None),
        }
    }

    /// Nothing is known of the blocks of this file.
    pub(super) fn none(file: File) -> Self {
        Self {
            end: AtomicU64::new(0),
            file: Mutex::new(Some(file)),
        }
    }
}

impl Pool {
    /// Has the file system give the blocks of the pool's first `bytes` bytes, unless it has.
    ///
    /// # Errors
    /// [`PoolError::FileSystemFull`].
    #[inline]
    pub fn reserve_to(&self, bytes: u64) -> Result<(), PoolError> {
        if bytes <= self.inner.reserved.end.load(Ordering::Acquire) {
            return Ok(());
        }
        self.reserve(|| bytes)
    }

    /// Whether the file system has given all blocks.
    #[inline]
    pub fn has_all_blocks(&self) -> bool {
        self.inner.reserved.end.load(Ordering::Acquire) == u64::MAX
    }

    /// Has the file system give some more blocks; `false` if it has given all.
    ///
    /// # Errors
    /// [`PoolError::FileSystemFull`].
    pub fn reserve_some(&self) -> Result<bool, PoolError> {
        if self.has_all_blocks() {
            return Ok(false);
        }
        let end = &self.inner.reserved.end;
        self.reserve(|| end.load(Ordering::Acquire).saturating_add(1))?;
        Ok(true)
    }

    #[cold]
    fn reserve(&self, to: impl FnOnce() -> u64) -> Result<(), PoolError> {
        let Reserved { end, file } = &self.inner.reserved;
        let mut file = file.lock();
        let to = to();
        while let Some(open) = &*file {
            let start = end.load(Ordering::Acquire);
            if start >= to {
                break;
            }
            let length = open
                .metadata()
                .map_err(|error| PoolError::from_io(self.path(), &error))?
                .len();
            let bytes = STEP_BYTES.min(length.saturating_sub(start));
            give(open, self.path(), start, bytes)?;
            if start + bytes < length {
                end.store(start + bytes, Ordering::Release);
            } else {
                end.store(u64::MAX, Ordering::Release);
                *file = None;
            }
            // The file's times have changed, and it was this process that has changed them.
            self.note_alive();
        }
        Ok(())
    }
}

/// Has the file system give the pool at `path` its blocks before it is opened, or sees that there is room for them.
pub(super) fn reserve(path: &Path, blocks: Blocks) -> Result<Reserved, PoolError> {
    let io = |error: io::Error| PoolError::from_io(path, &error);
    let metadata = fs::metadata(path).map_err(io)?;
    let length = metadata.len();
    let missing = length.saturating_sub(metadata.blocks() * BLOCK_BYTES);
    if missing == 0 {
        return Ok(Reserved::all());
    }
    let file = File::options().write(true).open(path).map_err(io)?;
    if !blocks.are_later(path) {
        give(&file, path, 0, length)?;
        return Ok(Reserved::all());
    }
    let bytes_free = file::directory_of(path).map_or(u64::MAX, create::free_bytes);
    if missing > bytes_free {
        return Err(full(path, length));
    }
    Ok(Reserved::none(file))
}

/// Makes the file of an empty pool that libpmemobj has made larger, without blocks for what is new. No process has it open. `false`
/// where the file is not as this program knows it; then it is as it was.
///
/// libpmemobj itself gives a new pool's file all blocks. But it opens a pool whose file and whose heap have grown since, and adds to
/// its zones what is new: it does that for pools which are directories of files.
pub(super) fn grow(at: &Path, bytes: u64) -> io::Result<(bool, Reserved)> {
    let file = File::options().read(true).write(true).open(at)?;
    let length = file.metadata()?.len();
    let offset = file::read_u64(&file, file::HEAP_OFFSET_AT)?;
    let size = file::read_u64(&file, file::HEAP_SIZE_AT)?;
    let is_known = file::is_known_format(&file)? && offset.checked_add(size) == Some(length);
    // libpmemobj uses whole pages.
    let pages = bytes / PAGE_BYTES * PAGE_BYTES;
    if !is_known || pages < length {
        return Ok((false, Reserved::all()));
    }
    file.set_len(bytes)?;
    file.write_all_at(&(pages - offset).to_le_bytes(), file::HEAP_SIZE_AT)?;
    Ok((true, Reserved::none(file)))
}

fn give(file: &File, path: &Path, start: u64, bytes: u64) -> Result<(), PoolError> {
    let signed = |bytes: u64| nix::libc::off_t::try_from(bytes).unwrap_or(nix::libc::off_t::MAX);
    match fallocate(file, FallocateFlags::empty(), signed(start), signed(bytes)) {
        Err(Errno::ENOSPC | Errno::EDQUOT) => Err(full(path, start + bytes)),
        // Any other error is that of a file system that cannot say beforehand, or of one that packs what it stores.
        _ => Ok(()),
    }
}

pub(super) fn full(path: &Path, bytes: u64) -> PoolError {
    PoolError::FileSystemFull {
        path: path.to_owned(),
        bytes,
        bytes_free: file::directory_of(path).map_or(0, create::free_bytes),
    }
}
