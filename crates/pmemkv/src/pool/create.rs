//! Making a pool: the process makes it under a temporary name, complete with all partitions, and then links it to its
//! path.

use std::io;
use std::path::Path;
use std::ptr::NonNull;

use nix::sys::statvfs::statvfs;
use pmemkv_sys as sys;

use super::root::{PoolHeader, RawHeader};
use super::unfinished::Unfinished;
use super::{LAYOUT, Opened, Pool, PoolError, file, load_library, message, raw_path};

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
        let path = path.as_ref();
        // Checks the names and the number of partitions before it makes anything.
        RawHeader::new(header, 0)?;
        if file::is_device(path) {
            return initialise(path, path, 0, header);
        }
        let (pool, unfinished) = Self::create_unfinished(path, size_bytes, header)?;
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
        let path = path.as_ref();
        RawHeader::new(header, 0)?;
        let bytes_min = Self::size_bytes_min(header.partitions);
        if size_bytes < bytes_min {
            return Err(PoolError::TooSmall {
                bytes: size_bytes,
                bytes_min,
                partitions: header.partitions,
            });
        }
        let unfinished = Unfinished::prepare(path, size_bytes)?;
        let pool = initialise(path, unfinished.temporary(), size_bytes, header)?;
        Ok((pool, unfinished))
    }
}

/// Makes the pool in file `at` for `path`. It writes the header last, so that a valid header vouches for everything
/// else.
fn initialise(
    path: &Path,
    at: &Path,
    size_bytes: u64,
    header: &PoolHeader,
) -> Result<Pool, PoolError> {
    let raw_at = raw_path(at)?;
    load_library(path)?;
    let size = usize::try_from(size_bytes).map_err(|_| PoolError::Other {
        path: path.to_owned(),
        what: "the size is beyond this machine's address space".to_owned(),
    })?;
    // SAFETY: path and layout are NUL-terminated; the call makes a new file or refuses.
    let pop =
        unsafe { sys::library().pmemobj_create(raw_at.as_ptr(), LAYOUT.as_ptr(), size, MODE) };
    let Some(pop) = NonNull::new(pop) else {
        return Err(create_error(path, size_bytes));
    };
    let opened = Opened(pop);
    let root = opened.root(path)?;
    let size_bytes = file::size_bytes(at).map_err(|error| PoolError::from_io(path, &error))?;
    let raw_header = RawHeader::new(header, size_bytes)?;
    let pool = opened.into_pool(path, root, header.clone(), size_bytes)?;
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
            PoolError::FileSystemFull {
                path: path.to_owned(),
                bytes: size_bytes,
                bytes_free: file::directory_of(path).map_or(0, free_bytes),
            }
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
