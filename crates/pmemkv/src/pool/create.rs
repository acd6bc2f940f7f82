//! Making a pool: the process makes it under a temporary name, complete with all partitions, and then links it to its
//! path.

use std::fs;
use std::io;
use std::path::Path;
use std::ptr::NonNull;

use nix::sys::statvfs::statvfs;
use pmemkv_sys as sys;

use super::blocks::{self, Blocks, Reserved};
use super::root::{PoolHeader, RawHeader};
use super::unfinished::Unfinished;
use super::{
    LAYOUT, Opened, POOL_BYTES_MIN, Pool, PoolError, file, load_library, message, raw_path,
};

/// Only the owner may read the data.
const MODE: sys::mode_t = 0o600;

impl Pool {
    /// Makes a pool of `size_bytes` with all its partitions, and opens it. It never overwrites anything that exists.
    ///
    /// It works under a temporary name in the same directory, so a crash leaves no half-made pool at `path`, and the
    /// next call removes what a crashed one has left. On a DAX device (`/dev/dax...`; not tried on hardware yet) it
    /// takes the device's size, ignores `size_bytes`, and uses no temporary name.
    pub fn create(
        path: impl AsRef<Path>,
        size_bytes: u64,
        header: &PoolHeader,
    ) -> Result<Self, PoolError> {
        Self::create_with(path, size_bytes, header, Blocks::Now)
    }

    /// [`create`](Self::create), by whoever sees to the blocks that the file lacks. The file system has room for them when the pool is
    /// made.
    pub fn create_with(
        path: impl AsRef<Path>,
        size_bytes: u64,
        header: &PoolHeader,
        blocks: Blocks,
    ) -> Result<Self, PoolError> {
        let path = path.as_ref();
        // Checks the names and the number of partitions before it makes anything.
        RawHeader::new(header, 0)?;
        if file::is_device(path) {
            let opened = create_whole(path, path, 0)?;
            return initialise(opened, path, path, header, Reserved::all());
        }
        let (pool, unfinished) = make_unfinished(path, size_bytes, header, blocks)?;
        let directory = unfinished.appear()?;
        // Not every file system can sync a directory; on one that cannot, a sync would gain nothing.
        let _ = directory.sync_all();
        Ok(pool)
    }

    /// Makes a pool that gets its name only by [`Unfinished::finish`], once the caller has filled and closed it. Like
    /// [`create`](Self::create) it never overwrites anything.
    ///
    /// # Errors
    /// Those of [`create`](Self::create).
    pub fn create_unfinished(
        path: impl AsRef<Path>,
        size_bytes: u64,
        header: &PoolHeader,
    ) -> Result<(Self, Unfinished), PoolError> {
        make_unfinished(path.as_ref(), size_bytes, header, Blocks::Now)
    }
}

fn make_unfinished(
    path: &Path,
    size_bytes: u64,
    header: &PoolHeader,
    blocks: Blocks,
) -> Result<(Pool, Unfinished), PoolError> {
    RawHeader::new(header, 0)?;
    let bytes_min = Pool::size_bytes_min(header.partitions);
    if size_bytes < bytes_min {
        return Err(PoolError::TooSmall {
            bytes: size_bytes,
            bytes_min,
            partitions: header.partitions,
        });
    }
    let unfinished = Unfinished::prepare(path, size_bytes)?;
    let at = unfinished.temporary();
    let later = if blocks.are_later(path) {
        create_grown(path, at, size_bytes)?
    } else {
        None
    };
    let (opened, reserved) = match later {
        Some(grown) => grown,
        None => (create_whole(path, at, size_bytes)?, Reserved::all()),
    };
    let pool = initialise(opened, path, at, header, reserved)?;
    Ok((pool, unfinished))
}

/// Has libpmemobj make a pool in file `at` that has its blocks; of a device it takes all, and `size_bytes` is 0.
fn create_whole(path: &Path, at: &Path, size_bytes: u64) -> Result<Opened, PoolError> {
    let raw_at = raw_path(at)?;
    load_library(path)?;
    let size = usize::try_from(size_bytes).map_err(|_| PoolError::Other {
        path: path.to_owned(),
        what: "the size is beyond this machine's address space".to_owned(),
    })?;
    // SAFETY: path and layout are NUL-terminated; the call makes a new file or refuses.
    let pop =
        unsafe { sys::library().pmemobj_create(raw_at.as_ptr(), LAYOUT.as_ptr(), size, MODE) };
    NonNull::new(pop)
        .map(Opened)
        .ok_or_else(|| create_error(path, size_bytes))
}

/// Makes a pool in file `at` that gets its blocks later. `None` where this libpmemobj's pools do not allow it; then nothing is at `at`.
fn create_grown(
    path: &Path,
    at: &Path,
    size_bytes: u64,
) -> Result<Option<(Opened, Reserved)>, PoolError> {
    drop(create_whole(path, at, POOL_BYTES_MIN)?);
    let grown = blocks::grow(at, size_bytes).map_err(|error| match error.raw_os_error() {
        Some(nix::libc::ENOSPC | nix::libc::EDQUOT | nix::libc::EFBIG) => {
            blocks::full(path, size_bytes)
        }
        _ => PoolError::from_io(path, &error),
    })?;
    let raw_at = raw_path(at)?;
    if let (true, reserved) = grown {
        // SAFETY: path and layout are NUL-terminated.
        let pop = unsafe { sys::library().pmemobj_open(raw_at.as_ptr(), LAYOUT.as_ptr()) };
        if let Some(pop) = NonNull::new(pop) {
            return Ok(Some((Opened(pop), reserved)));
        }
    }
    fs::remove_file(at).map_err(|error| PoolError::from_io(path, &error))?;
    Ok(None)
}

/// Makes the pool for `path` in file `at`, where libpmemobj has made an empty one. It writes the header last, so that a valid header
/// vouches for everything else.
fn initialise(
    opened: Opened,
    path: &Path,
    at: &Path,
    header: &PoolHeader,
    reserved: Reserved,
) -> Result<Pool, PoolError> {
    let root = opened.root(path)?;
    let size_bytes = file::size_bytes(at).map_err(|error| PoolError::from_io(path, &error))?;
    let raw_header = RawHeader::new(header, size_bytes)?;
    let pool = opened.into_pool(path, root, header.clone(), size_bytes, reserved)?;
    for index in 0..header.partitions {
        pool.open_partition(index)
            .map_err(|source| PoolError::Partition {
                path: path.to_owned(),
                index,
                source,
            })?;
    }
    if pool.has_copy() {
        pool.make_copies();
    }
    // SAFETY: the root object is mapped and as large as `Root`, and nobody else has the pool yet.
    let place = unsafe { &raw mut (*root.as_ptr()).header };
    // SAFETY: `place` is the header's, mapped and aligned.
    unsafe { place.write(raw_header) };
    pool.inner.persist(place);
    Ok(pool)
}

/// The error for the errno that `pmemobj_create` has set.
fn create_error(path: &Path, size_bytes: u64) -> PoolError {
    let error = io::Error::last_os_error();
    let what = message();
    match error.raw_os_error() {
        Some(nix::libc::ENOSPC | nix::libc::EDQUOT | nix::libc::EFBIG) => {
            blocks::full(path, size_bytes)
        }
        Some(nix::libc::EACCES | nix::libc::EPERM | nix::libc::EROFS | nix::libc::EAGAIN) => {
            PoolError::from_io(path, &error)
        }
        _ => PoolError::Other {
            path: path.to_owned(),
            what,
        },
    }
}

/// What an unprivileged user may still write; a file system that doesn't say is taken as large enough.
pub(super) fn free_bytes(directory: &Path) -> u64 {
    statvfs(directory).map_or(u64::MAX, |status| {
        status
            .blocks_available()
            .saturating_mul(status.fragment_size())
    })
}
