//! Detects a closure that calls back into the database that is calling it.

use std::cell::Cell;

use super::error::Error;

/// How many databases may be inside one another's closures on one thread.
const NESTED_MAX: usize = 4;

/// What a call lets its closure do with the same database: nothing, or a sum of the others.
pub(super) const NOTHING: u64 = 0;
/// It may read single items.
pub(super) const READS: u64 = 1;
/// It may walk.
pub(super) const WALKS: u64 = 2;

/// How many bits of a place say what is allowed.
const BITS: u32 = 2;

thread_local! {
    /// The databases whose calls run on this thread, outermost first: the database's id, and in the last bits
    /// what the call allows; 0 is an empty place.
    static RUNNING: Cell<[u64; NESTED_MAX]> = const { Cell::new([0; NESTED_MAX]) };
}

/// What the new call is to the calls around it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// No call of this thread is inside the database.
    Outermost,
    /// The closure of a call that allows reads has made it.
    Inside,
}

/// Marks a call as running on this thread until it is dropped.
pub(super) struct Call {
    before: [u64; NESTED_MAX],
}

impl Call {
    /// Marks a call into database `id` (never 0) as running on this thread.
    ///
    /// `does` is what the call does, [`NOTHING`] if no call around it may allow that; `allows` is what its own closure
    /// may do.
    #[inline]
    pub(super) fn enter(id: u64, does: u64, allows: u64) -> Result<(Self, Place), Error> {
        let mark = id << BITS | allows;
        RUNNING.with(|running| {
            let before = running.get();
            let mut after = before;
            for place in &mut after {
                let found = if *place == 0 {
                    Place::Outermost
                } else if *place >> BITS != id {
                    continue;
                } else if *place & does != 0 {
                    Place::Inside
                } else {
                    return Err(Error::Reentrant);
                };
                *place = mark;
                running.set(after);
                return Ok((Self { before }, found));
            }
            Err(Error::Reentrant)
        })
    }

    /// Whether a call into database `id` runs on this thread.
    pub(super) fn is_running(id: u64) -> bool {
        RUNNING.with(|running| running.get().iter().any(|place| *place >> BITS == id))
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        RUNNING.with(|running| running.set(self.before));
    }
}
