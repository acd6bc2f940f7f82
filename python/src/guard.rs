//! The open database of an `Engine`, and which of its calls run while the thread holds the interpreter's lock.
//!
//! A call that takes time runs without the interpreter's lock. A call that takes a microsecond keeps it, because to give
//! it away and to win it back costs more than the call, and beside a thread that computes up to 5 ms. A thread that
//! waits for the database with the interpreter's lock held could wait for ever: a walk has the database while its
//! callback waits for the interpreter. So a call keeps the interpreter's lock only while no other call of this database
//! runs without it. All counts change under the interpreter's lock, so no such call can begin meanwhile.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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
    /// The callback of a walk may read and walk.
    reads_in_walks: bool,
    growth: Growth,
}

/// The database of an `Engine`.
pub(crate) struct Slot {
    /// Some, until it is dropped.
    open: Option<Open>,
    /// A stop has begun: it waits for the calls that run, and new ones are refused.
    stopping: AtomicBool,
    /// How many calls run without the interpreter's lock, or may give it away before they leave the database.
    away: AtomicUsize,
    /// In which process the database was opened.
    forks: u64,
}

/// A call that is counted in `away`.
pub(crate) struct Away<'a>(&'a AtomicUsize);

impl Drop for Away<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slot {
    pub(crate) fn open(py: Python<'_>, engine: &str, config: &str) -> PyResult<Self> {
        let open = py
            .detach(|| Open::new(engine, config))
            .map_err(|error| raise(py, &error))?;
        Ok(Self {
            open: Some(open),
            stopping: AtomicBool::new(false),
            away: AtomicUsize::new(0),
            forks: forks(),
        })
    }

    /// Closes the database when the calls that run have ended.
    pub(crate) fn stop(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_forked() {
            // It is the parent's. Closing it here would change the pool under the parent.
            return Ok(());
        }
        let Some(open) = &self.open else {
            return Ok(());
        };
        if open.database.is_inside() {
            return Err(raise(py, &Error::Reentrant));
        }
        self.stopping.store(true, Ordering::Relaxed);
        let _away = self.away();
        py.detach(|| open.database.close())
            .map_err(|error| raise(py, &error))
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The database, if a call of this cost may run with the interpreter's lock held, as it is.
    #[inline]
    pub(crate) fn attached(&self, py: Python<'_>, cost: Cost) -> PyResult<Option<&Database>> {
        let open = self.attached_open(py, cost)?;
        Ok(open.map(|open| &open.database))
    }

    #[inline]
    fn attached_open(&self, py: Python<'_>, cost: Cost) -> PyResult<Option<&Open>> {
        let open = self.usable(py)?;
        let is_long = cost == Cost::Long || open.on_disk || self.away.load(Ordering::Relaxed) != 0;
        Ok((!is_long).then_some(open))
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
        let open = self.usable(py)?;
        let _away = self.away();
        py.detach(|| call(open)).map_err(|error| raise(py, &error))
    }

    /// Refuses a walk in the callback of another one, where the engine does not allow it.
    pub(crate) fn check_walk(&self, py: Python<'_>) -> PyResult<()> {
        let open = self.usable(py)?;
        if open.database.is_inside() && !open.reads_in_walks {
            return Err(raise(py, &Error::Reentrant));
        }
        Ok(())
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
            Some(database) => call(database).map_err(|error| raise(py, &error)),
            None => self.detached(py, call),
        }
    }

    /// Stores a pair, with the interpreter's lock if that is better.
    #[inline]
    pub(crate) fn put(&self, py: Python<'_>, cost: Cost, key: &[u8], value: &[u8]) -> PyResult<()> {
        match self.attached_open(py, cost)? {
            Some(open) if !open.growth.is_due(&open.database) => open
                .database
                .put(key, value)
                .map_err(|error| raise(py, &error)),
            _ => self.detached_open(py, |open| {
                open.growth.forget();
                open.database.put(key, value)
            }),
        }
    }

    /// Counts a call that runs without the interpreter's lock until the result is dropped.
    pub(crate) fn away(&self) -> Away<'_> {
        self.away.fetch_add(1, Ordering::Relaxed);
        Away(&self.away)
    }

    fn is_forked(&self) -> bool {
        self.forks != forks()
    }

    /// The database, unless it is stopped or another process's.
    #[inline]
    fn usable(&self, py: Python<'_>) -> PyResult<&Open> {
        if self.is_forked() {
            return Err(forked(py));
        }
        match &self.open {
            Some(open) if !self.stopping.load(Ordering::Relaxed) => Ok(open),
            _ => Err(raise(py, &Error::Closed)),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.is_forked() {
            std::mem::forget(self.open.take());
        }
    }
}

impl Open {
    fn new(engine: &str, config: &str) -> Result<Self, Error> {
        let config = Config::from_json(config)?;
        let known = Engine::by_name(engine);
        let persistent = known.is_none_or(|engine| engine.persistent);
        let path = config.path().filter(|_| persistent);
        let path = path.map(std::path::Path::to_owned);
        let database = Database::open(engine, config)?;
        let on_disk = path.is_some_and(|path| backing(path) == Backing::Ordinary);
        Ok(Self {
            database,
            on_disk,
            reads_in_walks: known.is_some_and(Engine::reads_in_walks),
            growth: Growth::new(engine),
        })
    }
}

#[cold]
fn forked(py: Python<'_>) -> PyErr {
    let message =
        "the database belongs to the process that this one was forked from: open it after the fork";
    named(py, "InvalidArgument", message.to_owned())
}
