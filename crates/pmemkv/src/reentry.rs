//! Detects a closure that calls back into the database that is calling it.

use std::cell::Cell;

use super::error::Error;

/// How many databases may be inside one another's closures on one thread.
const NESTED_MAX: usize = 4;

/// The bit of a place that says that the call lets its closure read the same database.
const ALLOWS_READS: u64 = 1;

thread_local! {
    /// The databases whose calls run on this thread, outermost first: twice the database's id, plus [`ALLOWS_READS`];
    /// 0 is an empty place.
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
    /// `reads` says that the call changes nothing, `allows_reads` that its closure may call the same database if that
    /// call changes nothing.
    #[inline]
    pub(super) fn enter(id: u64, reads: bool, allows_reads: bool) -> Result<(Self, Place), Error> {
        let mark = id << 1 | u64::from(allows_reads);
        RUNNING.with(|running| {
            let before = running.get();
            let mut after = before;
            for place in &mut after {
                let found = if *place == 0 {
                    Place::Outermost
                } else if *place >> 1 != id {
                    continue;
                } else if reads && *place & ALLOWS_READS != 0 {
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
        RUNNING.with(|running| running.get().iter().any(|place| *place >> 1 == id))
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        RUNNING.with(|running| running.set(self.before));
    }
}
