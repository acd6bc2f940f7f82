//! Pools: one libpmemobj file that several engines share, with a header, statistics and a few durable words.

mod blocks;
mod create;
mod error;
mod file;
mod lanes;
mod objects;
mod points;
mod root;
mod trust;
mod unfinished;
mod words;

use std::collections::HashSet;
use std::ffi::{CStr, CString, c_int};
use std::fmt;
use std::io;
use std::mem;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use pmemkv_sys as sys;

use self::blocks::Reserved;
use super::config::Config;
use super::database::Database;
use super::error::Error;
use super::library;
use super::persist::Persist;
pub use blocks::Blocks;
pub use error::PoolError;
pub use file::is_device;
pub use objects::{Allocated, Occupied};
pub use points::Point;
use root::Root;
pub use root::{CELLS, FORMAT_VERSION, FORMAT_WITH_EXTENTS, PARTITIONS_MAX, PoolHeader, WORDS};
pub use trust::void_on_crash;
pub use unfinished::Unfinished;

/// How the threads of a process share the arenas of pools that it opens later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arenas {
    /// About one for each thread: allocations do not wait for each other, but each arena keeps memory that others may
    /// lack.
    PerThread = 0,
    /// One for all threads: each can use the last free memory.
    One = 1,
}

impl Arenas {
    /// Applies to all pools that the process opens from now on.
    pub fn choose(self) -> Result<(), Error> {
        library::ensure_loaded()?;
        let mut kind = self as c_int;
        // SAFETY: without a pool the call sets a global; this entry point reads one int-sized enum.
        let failed = unsafe {
            sys::library().pmemobj_ctl_set(
                std::ptr::null_mut(),
                c"heap.arenas_assignment_type".as_ptr(),
                (&raw mut kind).cast(),
            )
        };
        if failed == 0 {
            Ok(())
        } else {
            Err(Error::Unknown(message()))
        }
    }
}

/// The layout name in libpmemobj's header. It tells this server's pools from others.
const LAYOUT: &CStr = c"pmemkv-server";
/// libpmemobj's own minimum.
pub(super) const POOL_BYTES_MIN: u64 = 8 << 20;
/// Bytes of a partition before its first record, with room for its first growth.
const PARTITION_BYTES_MIN: u64 = 64 << 10;

/// An open pool; closed when the last clone, and the last database opened from it, is dropped.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

/// How full a pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStats {
    /// The pool's size, its own bookkeeping included.
    pub size_bytes: u64,
    /// Bytes of its objects. The free rest may be in pieces too small for a large value.
    pub allocated_bytes: u64,
}

struct Inner {
    pop: NonNull<sys::PMEMobjpool>,
    root: NonNull<Root>,
    /// How stores become durable that do not go through libpmemobj.
    persist: Arc<Persist>,
    path: PathBuf,
    header: PoolHeader,
    size_bytes: u64,
    reserved: Reserved,
    open_slots: Mutex<HashSet<u32>>,
    /// The thread that changes words holds it.
    words: Mutex<()>,
    /// Whether the words lie in the pool twice.
    has_copy: AtomicBool,
    /// Whether the header says that there may be extents.
    has_extents: AtomicBool,
    /// The point to which the open has taken the words back.
    restored: Mutex<Option<Point>>,
    /// The number of the damaged point that the open should have gone by.
    damaged_point: Mutex<Option<u64>>,
    /// What the open has mended.
    mended: Mutex<Option<&'static str>>,
}

// SAFETY: libpmemobj ties no pool to a thread.
unsafe impl Send for Inner {}
// SAFETY: libpmemobj's calls on a pool may run beside one another; of the root object the header never changes after
// the open, the words are atomics, and a slot belongs to the one engine that `open_slots` lets in.
unsafe impl Sync for Inner {}

impl Pool {
    /// The size of the smallest pool with this many partitions, in bytes.
    pub fn size_bytes_min(partitions: u32) -> u64 {
        POOL_BYTES_MIN + u64::from(partitions) * PARTITION_BYTES_MIN
    }

    /// Opens a pool and checks its header. A damaged pool can crash libpmemobj: see [`probe`](super::probe()).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, PoolError> {
        Self::open_with(path, Blocks::Now)
    }

    /// [`open`](Self::open), by whoever sees to the blocks that the file lacks.
    pub fn open_with(path: impl AsRef<Path>, blocks: Blocks) -> Result<Self, PoolError> {
        let path = path.as_ref();
        let reserved = if file::is_device(path) {
            Reserved::all()
        } else {
            file::inspect(path)?;
            blocks::reserve(path, blocks)?
        };
        Self::open_reserved(path, reserved)
    }

    /// [`open`](Self::open) where the process maps pools copy-on-write: the file needs no blocks, so it gets none.
    pub(super) fn open_private(path: &Path) -> Result<Self, PoolError> {
        Self::open_reserved(path, Reserved::all())
    }

    fn open_reserved(path: &Path, reserved: Reserved) -> Result<Self, PoolError> {
        if !file::is_device(path) {
            file::inspect(path)?;
            file::check_lanes(path)?;
        }
        let raw_path = raw_path(path)?;
        load_library(path)?;
        // SAFETY: path and layout are NUL-terminated.
        let pop = unsafe { sys::library().pmemobj_open(raw_path.as_ptr(), LAYOUT.as_ptr()) };
        let Some(pop) = NonNull::new(pop) else {
            return Err(open_error(path));
        };
        let opened = Opened(pop);
        // SAFETY: the pool is open.
        let root_bytes = unsafe { sys::library().pmemobj_root_size(pop.as_ptr()) };
        if root_bytes < size_of::<Root>() {
            return Err(PoolError::Damaged {
                path: path.to_owned(),
                why: "its root object is too small".to_owned(),
            });
        }
        let root = opened.root(path)?;
        // SAFETY: the root object is at least as large as `Root`, mapped and aligned by libpmemobj; nobody changes it
        // now.
        let header = unsafe { (*root.as_ptr()).header };
        let (header, size_bytes) = header
            .decode()
            .map_err(|fault| file::refused(path, &fault))?;
        let format = header.format_version;
        let pool = opened.into_pool(path, root, header, size_bytes, reserved)?;
        if format != root::FORMAT_WITHOUT_COPY {
            pool.restore_words();
        }
        pool.replay_words(format)?;
        Ok(pool)
    }

    /// Reads the header of the pool at `path` without opening it. That is cheap, and harmless on any file.
    ///
    /// A DAX device cannot be read this way: for one it returns [`PoolError::NotAPool`].
    pub fn read_header(path: impl AsRef<Path>) -> Result<PoolHeader, PoolError> {
        file::inspect(path.as_ref())
    }

    /// The pool's header.
    pub fn header(&self) -> &PoolHeader {
        &self.inner.header
    }

    /// Where the pool is.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// A config that opens the engine of partition `index`. No other config gets the partition until this one, or the
    /// database opened with it, is dropped.
    pub fn partition_config(&self, index: u32) -> Result<Config, Error> {
        let mut config = Config::new()?;
        config.put_oid(Slot::take(&self.inner, index)?)?;
        Ok(config)
    }

    /// Opens the engine of partition `index`; the database keeps the pool open.
    pub fn open_partition(&self, index: u32) -> Result<Database, Error> {
        Database::open(&self.inner.header.engine, self.partition_config(index)?)
    }

    /// A checksum of the partitions' places, which never change in the life of a pool; never 0.
    ///
    /// An engine trusts the place of its partition: if the place is wrong, the engine crashes or makes an empty store.
    pub fn places_checksum(&self) -> u64 {
        // SAFETY: the root object is mapped as long as `self` lives; no reference to the slots exists.
        let slots = unsafe { &raw const (*self.inner.root.as_ptr()).slots };
        let slots = slots.cast::<sys::PMEMoid>();
        let mut bytes = Vec::new();
        for index in 0..self.inner.header.partitions as usize {
            // SAFETY: there are as many slots as partitions at most; engines change theirs only when they are made,
            // which was done before the header was written.
            let slot = unsafe { slots.wrapping_add(index).read() };
            bytes.extend_from_slice(&slot.pool_uuid_lo.to_le_bytes());
            bytes.extend_from_slice(&slot.off.to_le_bytes());
        }
        root::checksum(&bytes) | 1
    }

    /// How full the pool is. Takes well under a microsecond.
    pub fn stats(&self) -> Result<PoolStats, PoolError> {
        let mut allocated_bytes: u64 = 0;
        // SAFETY: the pool is open; this entry point writes one u64.
        let failed = unsafe {
            sys::library().pmemobj_ctl_get(
                self.inner.pop.as_ptr(),
                c"stats.heap.curr_allocated".as_ptr(),
                (&raw mut allocated_bytes).cast(),
            )
        };
        if failed != 0 {
            return Err(self.inner.other());
        }
        Ok(PoolStats {
            size_bytes: self.inner.size_bytes,
            allocated_bytes,
        })
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("path", &self.inner.path)
            .field("header", &self.inner.header)
            .finish_non_exhaustive()
    }
}

/// An open pool. Dropping it closes the pool, unless it has become a [`Pool`].
struct Opened(NonNull<sys::PMEMobjpool>);

impl Opened {
    /// The root object; makes it, all zeros, if there is none.
    fn root(&self, path: &Path) -> Result<NonNull<Root>, PoolError> {
        // SAFETY: the pool is open.
        let oid = unsafe { sys::library().pmemobj_root(self.0.as_ptr(), size_of::<Root>()) };
        // SAFETY: the call takes any oid and answers null to one of no open pool.
        let root = unsafe { sys::library().pmemobj_direct(oid) };
        NonNull::new(root.cast()).ok_or_else(|| PoolError::Other {
            path: path.to_owned(),
            what: message(),
        })
    }

    fn into_pool(
        self,
        path: &Path,
        root: NonNull<Root>,
        header: PoolHeader,
        size_bytes: u64,
        reserved: Reserved,
    ) -> Result<Pool, PoolError> {
        // `pobj_stats_enabled`: both the persistent and the transient figures.
        let mut both: c_int = 1;
        // SAFETY: the pool is open; this entry point reads one int-sized enum.
        let failed = unsafe {
            sys::library().pmemobj_ctl_set(
                self.0.as_ptr(),
                c"stats.enabled".as_ptr(),
                (&raw mut both).cast(),
            )
        };
        if failed != 0 {
            return Err(PoolError::Other {
                path: path.to_owned(),
                what: message(),
            });
        }
        let has_copy = header.format_version > root::FORMAT_WITHOUT_COPY;
        let has_extents = header.format_version >= root::FORMAT_WITH_EXTENTS;
        let pop = self.0;
        mem::forget(self);
        Ok(Pool {
            inner: Arc::new(Inner {
                pop,
                root,
                persist: Arc::new(Persist::new(pop, Some(path))),
                path: path.to_owned(),
                header,
                size_bytes,
                reserved,
                open_slots: Mutex::default(),
                words: Mutex::default(),
                has_copy: AtomicBool::new(has_copy),
                has_extents: AtomicBool::new(has_extents),
                restored: Mutex::default(),
                damaged_point: Mutex::default(),
                mended: Mutex::default(),
            }),
        })
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: the pool is open and nobody else has it.
        unsafe { sys::library().pmemobj_close(self.0.as_ptr()) };
    }
}

impl Inner {
    fn other(&self) -> PoolError {
        PoolError::Other {
            path: self.path.clone(),
            what: message(),
        }
    }

    /// Makes what was stored at `start` durable.
    fn persist<T>(&self, start: *const T) {
        self.persist_bytes(start.cast(), size_of::<T>());
    }

    /// [`persist`](Self::persist) of so many bytes.
    fn persist_bytes(&self, start: *const u8, bytes: usize) {
        if !self.persist.relies_on_points() {
            self.persist_now(start, bytes);
        }
    }

    /// [`persist_bytes`](Self::persist_bytes), also where points make stores durable later.
    fn persist_now(&self, start: *const u8, bytes: usize) {
        // SAFETY: the pool is open, and every caller gives bytes inside the root object.
        unsafe { sys::library().pmemobj_persist(self.pop.as_ptr(), start.cast(), bytes) };
    }

    /// Where the pool is mapped, in bytes.
    fn mapped(&self) -> Range<usize> {
        let start = self.pop.as_ptr() as usize;
        start..start.saturating_add(usize::try_from(self.size_bytes).unwrap_or(usize::MAX))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.forget_note();
        // SAFETY: the pool is open, and the last user is gone: databases hold a `Slot`, which holds an `Arc` of this.
        unsafe { sys::library().pmemobj_close(self.pop.as_ptr()) };
    }
}

/// The place of one partition's engine in an open pool. There is at most one `Slot` for each partition at a time.
pub(super) struct Slot {
    inner: Arc<Inner>,
    index: u32,
}

impl Slot {
    fn take(inner: &Arc<Inner>, index: u32) -> Result<Self, Error> {
        if index >= inner.header.partitions {
            return Err(Error::NoSuchPartition {
                index,
                partitions: inner.header.partitions,
            });
        }
        if !inner.open_slots.lock().insert(index) {
            return Err(Error::PartitionInUse(index));
        }
        Ok(Self {
            inner: Arc::clone(inner),
            index,
        })
    }

    /// Where the engine keeps its root. It lies in the pool, as pmemkv demands.
    pub(super) fn oid(&self) -> *mut sys::PMEMoid {
        // SAFETY: the root object is mapped as long as `inner` lives; no reference to the slots exists.
        let slots = unsafe { &raw mut (*self.inner.root.as_ptr()).slots };
        slots
            .cast::<sys::PMEMoid>()
            .wrapping_add(self.index as usize)
    }

    /// Where the pool is mapped.
    pub(super) fn mapped(&self) -> Range<usize> {
        self.inner.mapped()
    }

    /// The pool's file. It is one, and no set of files.
    pub(super) fn path(&self) -> &Path {
        &self.inner.path
    }

    /// How stores become durable that the binding makes itself.
    pub(super) fn persist(&self) -> Arc<Persist> {
        Arc::clone(&self.inner.persist)
    }

    /// Another engine would read this one's bytes as its own.
    pub(super) fn check_engine(&self, engine: &str) -> Result<(), Error> {
        let expected = &self.inner.header.engine;
        if engine == expected {
            return Ok(());
        }
        Err(Error::PartitionEngine {
            engine: engine.to_owned(),
            expected: expected.clone(),
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.inner.open_slots.lock().remove(&self.index);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.index).finish()
    }
}

/// The error for the errno that `pmemobj_open` has set.
fn open_error(path: &Path) -> PoolError {
    let error = io::Error::last_os_error();
    let why = message();
    match error.raw_os_error() {
        Some(nix::libc::EINVAL | nix::libc::EIO | nix::libc::ERANGE) | None => PoolError::Damaged {
            path: path.to_owned(),
            why,
        },
        Some(nix::libc::EAGAIN | nix::libc::EACCES | nix::libc::EPERM | nix::libc::EROFS) => {
            PoolError::from_io(path, &error)
        }
        Some(nix::libc::ENOENT) => PoolError::NoSuchPool(path.to_owned()),
        Some(_) => PoolError::Other {
            path: path.to_owned(),
            what: why,
        },
    }
}

fn load_library(path: &Path) -> Result<(), PoolError> {
    library::ensure_loaded().map_err(|error| PoolError::Other {
        path: path.to_owned(),
        what: error.to_string(),
    })
}

fn raw_path(path: &Path) -> Result<CString, PoolError> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| PoolError::Other {
        path: path.to_owned(),
        what: "the path holds a NUL byte".to_owned(),
    })
}

/// libpmemobj's message about the calling thread's last failure.
fn message() -> String {
    // SAFETY: the call takes nothing and returns a string that belongs to the calling thread.
    let text = unsafe { sys::library().pmemobj_errormsg() };
    if text.is_null() {
        return String::new();
    }
    // SAFETY: a NUL-terminated string that lives until this thread's next libpmemobj call, and it is copied before
    // that.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}
