//! Making a pool: the process makes it under a temporary name, complete with all partitions, and then links it to its
//! path.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::statvfs::statvfs;
use pmemkv_sys as sys;

use super::root::{PoolHeader, RawHeader};
use super::{LAYOUT, Opened, Pool, PoolError, file, message, raw_path};

/// Only the owner may read the data.
const MODE: sys::mode_t = 0o600;
const TEMPORARY_END: &str = ".new";

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
        let directory = file::directory_of(path)?;
        if fs::symlink_metadata(path).is_ok() {
            return Err(PoolError::AlreadyExists(path.to_owned()));
        }
        let bytes_min = Self::size_bytes_min(header.partitions);
        if size_bytes < bytes_min {
            return Err(PoolError::TooSmall {
                bytes: size_bytes,
                bytes_min,
                partitions: header.partitions,
            });
        }
        remove_leftovers(directory, path);
        let bytes_free = free_bytes(directory);
        if size_bytes > bytes_free {
            return Err(PoolError::FileSystemFull {
                path: path.to_owned(),
                bytes: size_bytes,
                bytes_free,
            });
        }
        let temporary = Temporary::new(directory, path);
        let pool = initialise(path, &temporary.0, size_bytes, header)?;
        // A link fails if something has appeared at `path` meanwhile; a rename would replace it.
        fs::hard_link(&temporary.0, path).map_err(|error| PoolError::from_io(path, &error))?;
        drop(temporary);
        // Not every file system can sync a directory; on one that cannot, a sync would gain nothing.
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
        Ok(pool)
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
    let size = usize::try_from(size_bytes).map_err(|_| PoolError::Other {
        path: path.to_owned(),
        what: "the size is beyond this machine's address space".to_owned(),
    })?;
    // SAFETY: path and layout are NUL-terminated; the call makes a new file or refuses.
    let pop = unsafe { sys::pmemobj_create(raw_at.as_ptr(), LAYOUT.as_ptr(), size, MODE) };
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

/// The temporary name of a new pool. Dropping it removes the name; a pool that is linked to its path stays.
struct Temporary(PathBuf);

impl Temporary {
    fn new(directory: &Path, path: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut name = temporary_start(path);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        name.push(format!("{}.{number}{TEMPORARY_END}", process::id()));
        Self(directory.join(name))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // The file may never have been made.
        let _ = fs::remove_file(&self.0);
    }
}

fn temporary_start(path: &Path) -> OsString {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".");
    name
}

/// Removes the temporary files that crashed creators of this pool have left. A living creator holds libpmemobj's lock
/// on its file.
fn remove_leftovers(directory: &Path, path: &Path) {
    let start = temporary_start(path);
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let bytes = name.as_encoded_bytes();
        let middle = bytes
            .strip_prefix(start.as_encoded_bytes())
            .and_then(|rest| rest.strip_suffix(TEMPORARY_END.as_bytes()));
        let ours = middle.is_some_and(|middle| {
            !middle.is_empty()
                && middle
                    .iter()
                    .all(|byte| byte.is_ascii_digit() || *byte == b'.')
        });
        let regular = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !ours || !regular {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else {
            continue;
        };
        if let Ok(_locked) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            // A file that cannot be removed only takes space, and the size check will report that.
            let _ = fs::remove_file(entry.path());
        }
    }
}
