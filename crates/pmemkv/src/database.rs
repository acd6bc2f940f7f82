//! An open engine: its point calls, and which calls may run in parallel.

use std::ffi::{CString, c_int};
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use pmemkv_sys as sys;

use super::callback::ReadOnce;
use super::comparator;
use super::config::{Config, Kept};
use super::engines::{Discipline, Engine};
use super::error::{Error, Status};
use super::persist::Persist;
use super::pool::POOL_BYTES_MIN;
use super::reentry::{Call, NOTHING, Place, READS, WALKS};

/// An open engine with its data; closed when dropped.
///
/// Threads may share it, whatever the engine: calls that the engine cannot run in parallel wait for each other inside.
/// Closures run while the call holds its locks, so they should be short, and they cannot call back into the same
/// database: such a call returns [`Error::Reentrant`]. There is one exception: the closure of a walk may read and walk, on
/// the engines that allow it ([`Engine::reads_in_walks`]). (A closure may wait for ever if it waits for another thread that
/// calls into the same database. So may the closures of two databases that call each other.)
#[derive(Debug)]
pub struct Database {
    raw: NonNull<sys::pmemkv_db>,
    engine: String,
    id: u64,
    discipline: Discipline,
    reads_in_walks: bool,
    persistent: bool,
    /// Changes once, under the lock held alone. Every call looks at it under the lock.
    closed: AtomicBool,
    lock: RwLock<()>,
    /// Dropped after the close, since until then the engine calls the comparator and uses the mapped pool.
    kept: Kept,
}

// SAFETY: no engine ties a database to the thread that opened it; the only thread-bound state of pmemkv, an iterator's
// lock, never outlives the call that took it.
unsafe impl Send for Database {}
// SAFETY: every call takes `lock` as the engine's documented contract asks: point calls of cmap, csmap and vcmap run
// together and their walks alone; the single-writer engines have readers together and a writer alone; engines that
// nothing is known of run one call at a time. A read inside a walk runs on the thread that walks, which has the walk's
// lock, and only on engines where a read changes nothing and waits for nothing. pmemkv's error message is per thread. The comparator is Sync.
unsafe impl Sync for Database {}

/// What a call does to the data. It decides which other calls may run in parallel.
#[derive(Clone, Copy)]
pub(super) enum Access {
    /// Reads one item.
    Read,
    /// Changes one item.
    Write,
    /// Walks over many items.
    Walk,
    /// Moves everything.
    Reshape,
    /// Keeps the data as they are, and calls nothing in C.
    Freeze,
}

/// A running call: its mark on the thread and its hold on the database.
pub(super) struct Running<'a> {
    // Fields drop in this order: the lock before the mark.
    _hold: Hold<'a>,
    _call: Call,
}

/// The database's lock, shared or exclusive.
enum Hold<'a> {
    Together {
        _guard: RwLockReadGuard<'a, ()>,
    },
    Alone {
        _guard: RwLockWriteGuard<'a, ()>,
    },
    /// The call around this one has the lock.
    Inside,
}

impl Database {
    /// Opens an engine.
    ///
    /// Semantics are pmemkv's, with two exceptions: this call refuses a file that is too short to be a pool, because
    /// libpmemobj would crash on it, and a partition's config opens only the engine that its pool was made for.
    pub fn open(engine: &str, config: Config) -> Result<Self, Error> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);

        let name = CString::new(engine).map_err(|_| Error::Nul("an engine's name"))?;
        if let Some(slot) = &config.kept().slot {
            slot.check_engine(engine)?;
        }
        refuse_stub(&config)?;

        let (raw, kept) = config.into_parts();
        let mut database = ptr::null_mut();
        // pmemkv_open frees the config, also when it fails. SAFETY: the name is NUL-terminated, the config is given
        // away, the out-pointer is a local; `kept` outlives the database.
        let status = unsafe { sys::library().pmemkv_open(name.as_ptr(), raw, &raw mut database) };
        if let Err(error) = Status::from_raw(status).into_result() {
            comparator::resume_panic();
            return Err(error);
        }
        let raw = NonNull::new(database)
            .ok_or_else(|| Error::Unknown("pmemkv opened nothing".to_owned()))?;
        let database = Self {
            raw,
            engine: engine.to_owned(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            discipline: Engine::discipline(engine),
            reads_in_walks: Engine::by_name(engine).is_some_and(Engine::reads_in_walks),
            // For an unknown engine assume a pool: `settle_full` then changes nothing.
            persistent: Engine::by_name(engine).is_none_or(|engine| engine.persistent),
            closed: AtomicBool::new(false),
            lock: RwLock::new(()),
            kept,
        };
        comparator::resume_panic();
        Ok(database)
    }

    /// The engine's name, as the caller gave it.
    pub fn engine(&self) -> &str {
        &self.engine
    }

    /// Stores a pair; an existing key gets the new value. If the engine has a pool, the pair is durable on return.
    ///
    /// cmap may say that memory ran out although the pair went in (only its table could not grow). So after such an
    /// answer this call reads the pair back: `Ok` means stored, [`Error::OutOfMemory`] means not. vcmap and vsmap leave
    /// the new key with an empty value when memory runs out. This call removes it again, and with it an older value of
    /// the key that was empty.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let _running = self.enter(Access::Write)?;
        // SAFETY: the database is open and `_running` holds it as a write asks; pointers and lengths are of one slice
        // each.
        let status = unsafe {
            sys::library().pmemkv_put(
                self.raw.as_ptr(),
                key.as_ptr().cast(),
                key.len(),
                value.as_ptr().cast(),
                value.len(),
            )
        };
        match self.settle(status).into_result() {
            Err(error @ Error::OutOfMemory(_)) => self.settle_full(key, value, error),
            result => result,
        }
    }

    /// Finds out what a put that ran out of memory has stored, cleans up, and returns the put's result.
    #[cold]
    fn settle_full(&self, key: &[u8], value: &[u8], error: Error) -> Result<(), Error> {
        let stored = self.read_held(key, |stored| {
            if stored == value {
                Some(true)
            } else if stored.is_empty() {
                Some(false)
            } else {
                None
            }
        });
        match stored {
            Ok(Some(Some(true))) => Ok(()),
            Ok(Some(Some(false))) if !self.persistent => {
                // SAFETY: the database is open and held by the put; pointer and length are of one slice.
                let status = unsafe {
                    sys::library().pmemkv_remove(self.raw.as_ptr(), key.as_ptr().cast(), key.len())
                };
                self.settle(status);
                Err(error)
            }
            _ => Err(error),
        }
    }

    /// A copy of the value, `None` if there is no such key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.get_with(key, <[u8]>::to_vec)
    }

    /// Lends the value to a closure, without a copy; `None` if there is no such key.
    pub fn get_with<R>(
        &self,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, Error> {
        let _running = self.enter(Access::Read)?;
        self.read_held(key, read)
    }

    /// [`get_with`](Self::get_with) for a caller that has entered the database already.
    fn read_held<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, Error> {
        fn trampoline_of<F: FnOnce(&[u8]) -> R, R>(
            _: &ReadOnce<F, R>,
        ) -> unsafe extern "C" fn(*const std::ffi::c_char, usize, *mut std::ffi::c_void) {
            ReadOnce::<F, R>::trampoline
        }
        let mut once = ReadOnce::new(read);
        let trampoline = trampoline_of(&once);
        // SAFETY: the database is open and held; the trampoline is the one of `once`, which outlives the call.
        let status = unsafe {
            sys::library().pmemkv_get(
                self.raw.as_ptr(),
                key.as_ptr().cast(),
                key.len(),
                Some(trampoline),
                once.arg(),
            )
        };
        let status = self.settle(status);
        let result = once.finish();
        match status {
            Status::NotFound => Ok(None),
            status => status.into_result().map(|()| result),
        }
    }

    /// Up to `length` bytes of the value from `offset` on (fewer if it ends earlier); `None` if there is no such key.
    pub fn read_range(
        &self,
        key: &[u8],
        offset: usize,
        length: usize,
    ) -> Result<Option<Vec<u8>>, Error> {
        self.get_with(key, |value| {
            let rest = value.get(offset..).unwrap_or_default();
            rest[..length.min(rest.len())].to_vec()
        })
    }

    /// Whether there is such a key.
    pub fn exists(&self, key: &[u8]) -> Result<bool, Error> {
        let _running = self.enter(Access::Read)?;
        // SAFETY: the database is open and held; pointer and length are of one slice.
        let status = unsafe {
            sys::library().pmemkv_exists(self.raw.as_ptr(), key.as_ptr().cast(), key.len())
        };
        self.found(status)
    }

    /// Removes a pair and returns whether there was one. blackhole always says yes.
    pub fn remove(&self, key: &[u8]) -> Result<bool, Error> {
        let _running = self.enter(Access::Write)?;
        // SAFETY: the database is open and held; pointer and length are of one slice.
        let status = unsafe {
            sys::library().pmemkv_remove(self.raw.as_ptr(), key.as_ptr().cast(), key.len())
        };
        self.found(status)
    }

    /// Defragments `amount_percent` of the data, beginning at `start_percent`; both between 0 and 100.
    pub fn defrag(&self, start_percent: f64, amount_percent: f64) -> Result<(), Error> {
        let _running = self.enter(Access::Reshape)?;
        // SAFETY: the database is open and nothing runs beside this call.
        let status = unsafe {
            sys::library().pmemkv_defrag(self.raw.as_ptr(), start_percent, amount_percent)
        };
        self.settle(status).into_result()
    }

    /// Runs the closure while no other thread changes the data. The closure itself may walk, and do what the closures of
    /// walks may.
    ///
    /// This is for a closure that waits for something which this thread must not hold while it waits for the database,
    /// as an interpreter's lock.
    pub fn freeze<R>(&self, run: impl FnOnce() -> R) -> Result<R, Error> {
        let _running = self.enter(Access::Freeze)?;
        Ok(run())
    }

    /// Closes the database when the calls that run have ended. Every later call returns [`Error::Closed`].
    ///
    /// Dropping the database closes it too. This is for databases that have several owners.
    pub fn close(&self) -> Result<(), Error> {
        let running = match self.enter(Access::Reshape) {
            Err(Error::Closed) => return Ok(()),
            running => running?,
        };
        self.closed.store(true, Ordering::Relaxed);
        // SAFETY: the database is open, nothing runs beside this call, and no later call passes `enter`.
        unsafe { sys::library().pmemkv_close(self.raw.as_ptr()) };
        drop(running);
        Ok(())
    }

    /// Whether the calling thread is inside a closure that a call into this database has called.
    pub fn is_inside(&self) -> bool {
        Call::is_running(self.id)
    }

    /// Waits until a call of this kind may run, and marks it as running.
    #[inline]
    pub(super) fn enter(&self, access: Access) -> Result<Running<'_>, Error> {
        let (does, allows) = match access {
            Access::Read => (READS, NOTHING),
            Access::Write | Access::Reshape => (NOTHING, NOTHING),
            Access::Walk | Access::Freeze if self.reads_in_walks => (WALKS, READS | WALKS),
            Access::Walk => (WALKS, NOTHING),
            Access::Freeze => (WALKS, WALKS),
        };
        // Before the lock, so that a thread never waits for itself.
        let (call, place) = Call::enter(self.id, does, allows)?;
        let together = match (self.discipline, access) {
            (Discipline::Concurrent, Access::Read | Access::Write)
            | (Discipline::SingleWriter, Access::Read | Access::Walk | Access::Freeze) => true,
            (Discipline::Concurrent, Access::Walk | Access::Reshape | Access::Freeze)
            | (Discipline::SingleWriter, Access::Write | Access::Reshape)
            | (Discipline::Alone, _) => false,
        };
        let hold = if place == Place::Inside {
            Hold::Inside
        } else if together {
            Hold::Together {
                _guard: self.lock.read(),
            }
        } else {
            Hold::Alone {
                _guard: self.lock.write(),
            }
        };
        let running = Running {
            _hold: hold,
            _call: call,
        };
        // The lock orders it: only a call that holds the lock alone changes it.
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::Closed);
        }
        Ok(running)
    }

    /// The status of a C call that has returned. Resumes a comparator's panic, if there was one.
    pub(super) fn settle(&self, status: c_int) -> Status {
        if self.kept.comparator.is_some() {
            comparator::resume_panic();
        }
        Status::from_raw(status)
    }

    /// The file of a partition's pool, and where it is mapped from its first byte on.
    pub(super) fn pool(&self) -> Option<(&std::path::Path, std::ops::Range<usize>)> {
        let slot = self.kept.slot.as_ref()?;
        Some((slot.path(), slot.mapped()))
    }

    /// Where the pool of a partition is mapped.
    pub(super) fn mapped(&self) -> Option<std::ops::Range<usize>> {
        self.kept.slot.as_ref().map(super::pool::Slot::mapped)
    }

    /// How stores into this database's pool become durable; `start` is an address in the pool.
    pub(super) fn persist(&self, start: *const u8) -> Option<Arc<Persist>> {
        if let Some(slot) = &self.kept.slot {
            return Some(slot.persist());
        }
        // SAFETY: the call takes any address, and answers null to one of no open pool.
        let pop = unsafe { sys::library().pmemobj_pool_by_ptr(start.cast()) };
        let path = self.kept.path.as_deref();
        NonNull::new(pop).map(|pop| Arc::new(Persist::new(pop, path)))
    }

    pub(super) fn raw(&self) -> *mut sys::pmemkv_db {
        self.raw.as_ptr()
    }

    fn found(&self, status: c_int) -> Result<bool, Error> {
        match self.settle(status) {
            Status::NotFound => Ok(false),
            status => status.into_result().map(|()| true),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if *self.closed.get_mut() {
            return;
        }
        // SAFETY: the database is open, and `&mut self` says that no call is running.
        unsafe { sys::library().pmemkv_close(self.raw.as_ptr()) };
    }
}

/// Refuses an existing file that is shorter than any pool: libpmemobj would map it and die of SIGBUS.
fn refuse_stub(config: &Config) -> Result<(), Error> {
    let Some(path) = &config.kept().path else {
        return Ok(());
    };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // pmemkv will meet the same obstacle and report it.
        Err(_) => return Ok(()),
    };
    if metadata.is_dir() || metadata.file_type().is_char_device() {
        return Ok(());
    }
    let bytes = metadata.len();
    if bytes < POOL_BYTES_MIN && !is_poolset(path) {
        return Err(Error::NotAPool {
            path: path.display().to_string(),
            bytes,
        });
    }
    Ok(())
}

/// Whether the file is a pool set: a text that lists a pool's parts.
fn is_poolset(path: &std::path::Path) -> bool {
    use std::io::Read;
    let mut start = [0; 11];
    fs::File::open(path)
        .is_ok_and(|mut file| file.read_exact(&mut start).is_ok() && start == *b"PMEMPOOLSET")
}
