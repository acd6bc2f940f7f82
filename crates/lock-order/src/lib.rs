//! Locks with ranks. In debug builds a thread that waits for a lock while it holds one of the same or a higher rank
//! panics and names both, whether or not another thread is there to complete the deadlock. In release builds nothing is
//! checked and nothing is stored: a lock is `parking_lot`'s.
//!
//! May use: nothing of this project. Never: knows what a lock protects; has unsafe code.

#![forbid(unsafe_code)]

mod held;
mod rank;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

pub use held::{Held, before_wait};
pub use rank::Rank;

/// A lock's guard, which remembers the rank while it lives.
#[derive(Debug)]
pub struct Guard<G> {
    // Dropped first: the rank is held until the lock is free.
    guard: G,
    _held: Held,
}

/// The guard of a [`Mutex`].
pub type MutexGuard<'a, T> = Guard<parking_lot::MutexGuard<'a, T>>;
/// The guard of a [`RwLock`] for reading.
pub type ReadGuard<'a, T> = Guard<parking_lot::RwLockReadGuard<'a, T>>;
/// The guard of a [`RwLock`] for writing.
pub type WriteGuard<'a, T> = Guard<parking_lot::RwLockWriteGuard<'a, T>>;

impl<G> Guard<G> {
    /// Leaves the lock locked for ever. The thread does not count as its holder any more: whoever waits for it waits in
    /// vain.
    pub fn leak(guard: Self) {
        std::mem::forget(guard.guard);
    }
}

impl<G: Deref> Deref for Guard<G> {
    type Target = G::Target;

    #[inline]
    fn deref(&self) -> &G::Target {
        &self.guard
    }
}

impl<G: DerefMut> DerefMut for Guard<G> {
    #[inline]
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.guard
    }
}

/// What is kept of a lock's rank: nothing in release builds.
#[derive(Clone, Copy)]
struct Place {
    #[cfg(debug_assertions)]
    rank: Rank,
    #[cfg(debug_assertions)]
    number: usize,
}

#[cfg_attr(not(debug_assertions), allow(clippy::unused_self))]
impl Place {
    #[cfg_attr(not(debug_assertions), allow(unused_variables))]
    const fn new(rank: Rank, number: usize) -> Self {
        Self {
            #[cfg(debug_assertions)]
            rank,
            #[cfg(debug_assertions)]
            number,
        }
    }

    /// Checks that the thread may wait for the lock.
    #[inline]
    #[track_caller]
    fn check(self) {
        #[cfg(debug_assertions)]
        held::check(self.rank, self.number);
    }

    /// Notes that the thread has the lock.
    #[inline]
    fn hold(self) -> Held {
        #[cfg(debug_assertions)]
        return Held::note(self.rank, self.number);
        #[cfg(not(debug_assertions))]
        Held::default()
    }
}

/// A mutex with a rank.
pub struct Mutex<T> {
    place: Place,
    inner: parking_lot::Mutex<T>,
}

impl<T> Mutex<T> {
    /// A mutex of `rank`.
    pub const fn new(rank: Rank, value: T) -> Self {
        Self {
            place: Place::new(rank, 0),
            inner: parking_lot::Mutex::new(value),
        }
    }

    /// Waits for the lock.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.lock_as(self.place)
    }

    /// Waits for the lock and holds it at another rank, where the caller's situation makes that safe.
    #[inline]
    #[track_caller]
    pub fn lock_at(&self, rank: Rank) -> MutexGuard<'_, T> {
        self.lock_as(Place::new(rank, 0))
    }

    #[inline]
    #[track_caller]
    fn lock_as(&self, place: Place) -> MutexGuard<'_, T> {
        place.check();
        Guard {
            guard: self.inner.lock(),
            _held: place.hold(),
        }
    }

    /// Takes the lock if it is free. That waits for nobody, so the order does not matter.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let guard = self.inner.try_lock()?;
        Some(Guard {
            guard,
            _held: self.place.hold(),
        })
    }

    /// Waits for the lock for so long at most. The order does not matter: the wait ends by itself.
    pub fn try_lock_for(&self, time: Duration) -> Option<MutexGuard<'_, T>> {
        let guard = self.inner.try_lock_for(time)?;
        Some(Guard {
            guard,
            _held: self.place.hold(),
        })
    }

    /// The value, without the lock: nobody else can have it.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }
}

impl<T: fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// A lock for many readers or one writer, with a rank.
pub struct RwLock<T> {
    place: Place,
    inner: parking_lot::RwLock<T>,
}

impl<T> RwLock<T> {
    /// A lock of `rank`.
    pub const fn new(rank: Rank, value: T) -> Self {
        Self::numbered(rank, 0, value)
    }

    /// One of several locks of `rank`, which are taken in the order of their numbers.
    pub const fn numbered(rank: Rank, number: usize, value: T) -> Self {
        Self {
            place: Place::new(rank, number),
            inner: parking_lot::RwLock::new(value),
        }
    }

    /// Waits until it may read. A thread that reads already must not: a writer that waits would keep it out.
    #[inline]
    #[track_caller]
    pub fn read(&self) -> ReadGuard<'_, T> {
        self.place.check();
        Guard {
            guard: self.inner.read(),
            _held: self.place.hold(),
        }
    }

    /// Waits until it may write.
    #[inline]
    #[track_caller]
    pub fn write(&self) -> WriteGuard<'_, T> {
        self.place.check();
        Guard {
            guard: self.inner.write(),
            _held: self.place.hold(),
        }
    }

    /// Reads if nobody writes.
    #[inline]
    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        let guard = self.inner.try_read()?;
        Some(Guard {
            guard,
            _held: self.place.hold(),
        })
    }

    /// Writes if nobody reads or writes.
    #[inline]
    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        let guard = self.inner.try_write()?;
        Some(Guard {
            guard,
            _held: self.place.hold(),
        })
    }

    /// The value, without the lock: nobody else can have it.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[cfg(all(test, debug_assertions))]
mod tests;
#[cfg(all(test, not(debug_assertions)))]
const _: () = assert!(
    size_of::<Mutex<u64>>() == size_of::<parking_lot::Mutex<u64>>()
        && size_of::<MutexGuard<'_, u64>>() == size_of::<parking_lot::MutexGuard<'_, u64>>(),
    "a release build keeps no ranks"
);
