//! The open database of an `Engine`, and which of its calls run while the thread holds the interpreter's lock.
//!
//! A call that takes time runs without the interpreter's lock. A call that takes a microsecond keeps it, because to give
//! it away and to win it back costs more than the call, and beside a thread that computes up to 5 ms. A thread that
//! waits for the database with the interpreter's lock held could wait for ever: a walk has the database while its
//! callback waits for the interpreter. So a call keeps the interpreter's lock only while no other call of this database
//! runs without it. All counts change under the interpreter's lock, so no such call can begin meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard};
use pmemkv::{Backing, Config, Database, Engine, Error, backing};
use pyo3::prelude::*;

use crate::errors::{named, raise};
use crate::fork::forks;
use crate::growth::Growth;

/// From this many bytes on a copy takes longer than the interpreter's lock.
pub(crate) const LARGE_BYTES: usize = 64 << 10;

/// What a call costs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost {
    /// It reads or changes one small item.
    Short,
    /// It does more.
    Long,
}

/// An open database.
struct Open {
    database: Database,
    /// The pool lies on a disk, so that a call may wait for it.
    on_disk: bool,
    growth: Growth,
}

/// The open database, if there is one.
pub(crate) struct Slot {
    open: RwLock<Option<Open>>,
    /// A stop waits for the calls that run. New ones are refused.
    stopping: AtomicBool,
    /// How many calls run without the interpreter's lock, or may give it away before they leave the database.
    away: AtomicUsize,
    /// In which process the database was opened.
    forks: AtomicU64,
}

/// A call that is counted in `away`.
pub(crate) struct Away<'a>(&'a AtomicUsize);

impl Drop for Away<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slot {
    pub(crate) fn new() -> Self {
        Self {
            open: RwLock::new(None),
            stopping: AtomicBool::new(false),
            away: AtomicUsize::new(0),
            forks: AtomicU64::new(forks()),
        }
    }

    pub(crate) fn start(&self, py: Python<'_>, engine: &str, config: &str) -> PyResult<()> {
        enum Refused {
            Open,
            Error(Error),
        }
        let _away = self.away();
        py.detach(|| {
            let mut open = self.open.write();
            if open.is_some() {
                return Err(Refused::Open);
            }
            *open = Some(Open::new(engine, config).map_err(Refused::Error)?);
            self.forks.store(forks(), Ordering::Relaxed);
            self.stopping.store(false, Ordering::Relaxed);
            Ok(())
        })
        .map_err(|refused| match refused {
            Refused::Open => named(
                py,
                "InvalidArgument",
                "the database is started already".to_owned(),
            ),
            Refused::Error(error) => raise(py, &error),
        })
    }

    /// Closes the database when the calls that run have ended.
    pub(crate) fn stop(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_forked() {
            // It is the parent's. Closing it here would change the pool under the parent.
            return Ok(());
        }
        let inside = self
            .open
            .try_read_recursive()
            .is_some_and(|open| open.as_ref().is_some_and(|open| open.database.is_inside()));
        if inside {
            return Err(raise(py, &Error::Reentrant));
        }
        let _away = self.away();
        py.detach(|| {
            self.stopping.store(true, Ordering::Relaxed);
            *self.open.write() = None;
        });
        Ok(())
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
            || self
                .open
                .try_read_recursive()
                .is_none_or(|open| open.is_none())
    }

    /// The database, if a call of this cost may run with the interpreter's lock held, as it is.
    #[inline]
    pub(crate) fn attached(
        &self,
        py: Python<'_>,
        cost: Cost,
    ) -> PyResult<Option<MappedRwLockReadGuard<'_, Database>>> {
        let open = self.attached_open(py, cost)?;
        Ok(open.map(|open| MappedRwLockReadGuard::map(open, |open| &open.database)))
    }

    #[inline]
    fn attached_open(
        &self,
        py: Python<'_>,
        cost: Cost,
    ) -> PyResult<Option<MappedRwLockReadGuard<'_, Open>>> {
        self.check(py)?;
        if cost == Cost::Long || self.away.load(Ordering::Relaxed) != 0 {
            return Ok(None);
        }
        let Some(open) = self.open.try_read_recursive() else {
            return Ok(None);
        };
        let Some(there) = open.as_ref() else {
            return Err(stopped(py));
        };
        if there.on_disk {
            return Ok(None);
        }
        Ok(RwLockReadGuard::try_map(open, Option::as_ref).ok())
    }

    /// Makes a call without the interpreter's lock.
    pub(crate) fn detached<R: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&Database) -> Result<R, Error> + Send,
    ) -> PyResult<R> {
        self.detached_open(py, |open| call(&open.database))
    }

    fn detached_open<R: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&Open) -> Result<R, Error> + Send,
    ) -> PyResult<R> {
        self.check(py)?;
        let _away = self.away();
        py.detach(|| {
            // Recursive: a callback's call does not wait behind a stop that waits for the callback.
            let open = self.open.read_recursive();
            open.as_ref().map(call)
        })
        .ok_or_else(|| stopped(py))?
        .map_err(|error| raise(py, &error))
    }

    /// Makes a call, with the interpreter's lock if that is better.
    #[inline]
    pub(crate) fn call<R: Send>(
        &self,
        py: Python<'_>,
        cost: Cost,
        call: impl FnOnce(&Database) -> Result<R, Error> + Send,
    ) -> PyResult<R> {
        match self.attached(py, cost)? {
            Some(database) => call(&database).map_err(|error| raise(py, &error)),
            None => self.detached(py, call),
        }
    }

    /// Stores a pair, with the interpreter's lock if that is better.
    #[inline]
    pub(crate) fn put(&self, py: Python<'_>, cost: Cost, key: &[u8], value: &[u8]) -> PyResult<()> {
        if let Some(open) = self.attached_open(py, cost)?
            && !open.growth.is_due(&open.database)
        {
            return open
                .database
                .put(key, value)
                .map_err(|error| raise(py, &error));
        }
        self.detached_open(py, |open| {
            open.growth.forget();
            open.database.put(key, value)
        })
    }

    /// Counts a call that runs without the interpreter's lock until the result is dropped.
    pub(crate) fn away(&self) -> Away<'_> {
        self.away.fetch_add(1, Ordering::Relaxed);
        Away(&self.away)
    }

    fn is_forked(&self) -> bool {
        self.forks.load(Ordering::Relaxed) != forks()
    }

    /// Refuses calls in a forked child and during a stop.
    #[inline]
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_forked() {
            return Err(named(
                py,
                "InvalidArgument",
                "the database belongs to the process that this one was forked from: open it after the fork".to_owned(),
            ));
        }
        if self.stopping.load(Ordering::Relaxed) {
            return Err(stopped(py));
        }
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let open = self.open.get_mut().take();
        if self.is_forked() {
            std::mem::forget(open);
        }
    }
}

impl Open {
    fn new(engine: &str, config: &str) -> Result<Self, Error> {
        let config = Config::from_json(config)?;
        let persistent = Engine::by_name(engine).is_none_or(|engine| engine.persistent);
        let path = config.path().filter(|_| persistent);
        let path = path.map(std::path::Path::to_owned);
        let database = Database::open(engine, config)?;
        let on_disk = path.is_some_and(|path| backing(path) == Backing::Ordinary);
        Ok(Self {
            database,
            on_disk,
            growth: Growth::new(engine),
        })
    }
}

#[cold]
fn stopped(py: Python<'_>) -> PyErr {
    named(py, "Stopped", "the database is stopped".to_owned())
}
