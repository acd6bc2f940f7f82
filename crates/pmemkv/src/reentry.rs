//! Detects a closure that calls back into the database that is calling it.

use std::cell::Cell;

use super::error::Error;

/// How many databases may be inside one another's closures on one thread.
const NESTED_MAX: usize = 4;

thread_local! {
    /// The databases whose calls run on this thread, outermost first; 0 is an empty place.
    static RUNNING: Cell<[u64; NESTED_MAX]> = const { Cell::new([0; NESTED_MAX]) };
}

/// Marks a call as running on this thread until it is dropped.
pub(super) struct Call {
    before: [u64; NESTED_MAX],
}

impl Call {
    /// Marks a call into database `id` (never 0) as running on this thread.
    #[inline]
    pub(super) fn enter(id: u64) -> Result<Self, Error> {
        RUNNING.with(|running| {
            let before = running.get();
            let mut after = before;
            for place in &mut after {
                if *place == id {
                    return Err(Error::Reentrant);
                }
                if *place == 0 {
                    *place = id;
                    running.set(after);
                    return Ok(Self { before });
                }
            }
            Err(Error::Reentrant)
        })
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        RUNNING.with(|running| running.set(self.before));
    }
}
