//! The ranks that a thread holds.

#[cfg(debug_assertions)]
use std::cell::RefCell;
use std::marker::PhantomData;

use super::Rank;

#[cfg(debug_assertions)]
thread_local! {
    /// In the order in which they were taken: rank, number within the rank, and which guard it is.
    static HELD: RefCell<Vec<(Rank, usize, u64)>> = const { RefCell::new(Vec::new()) };
}

/// A rank that the thread holds as long as this lives. It cannot go to another thread.
#[derive(Debug, Default)]
pub struct Held {
    #[cfg(debug_assertions)]
    id: u64,
    _of_this_thread: PhantomData<*const ()>,
}

impl Held {
    /// For what is taken by other means than a lock: checks that the thread may wait for it.
    #[track_caller]
    #[cfg_attr(not(debug_assertions), allow(unused_variables))]
    pub fn wait_for(rank: Rank) -> Self {
        #[cfg(debug_assertions)]
        {
            check(rank, 0);
            Self::note(rank, 0)
        }
        #[cfg(not(debug_assertions))]
        Self::default()
    }

    #[cfg(debug_assertions)]
    pub(crate) fn note(rank: Rank, number: usize) -> Self {
        let id = HELD.with_borrow_mut(|held| {
            let id = held.iter().map(|(_, _, id)| id + 1).max().unwrap_or(0);
            held.push((rank, number, id));
            id
        });
        Self {
            id,
            _of_this_thread: PhantomData,
        }
    }
}

#[cfg(debug_assertions)]
impl Drop for Held {
    fn drop(&mut self) {
        // Locks need not be let go of in the order in which they were taken. At a thread's end the list may be gone.
        let _ = HELD.try_with(|held| {
            held.borrow_mut().retain(|&(_, _, id)| id != self.id);
        });
    }
}

/// Panics where the thread holds something that is not before `rank`.
#[cfg(debug_assertions)]
#[track_caller]
pub(crate) fn check(rank: Rank, number: usize) {
    let in_the_way = HELD.with_borrow(|held| {
        let after = |&&(other, n, _): &&(Rank, usize, u64)| (other, n) >= (rank, number);
        held.iter().find(after).copied()
    });
    if let Some((other, n, _)) = in_the_way {
        panic!("waits for {rank:?} {number} while it holds {other:?} {n}: see the order of locks");
    }
}

/// Checks that the thread may wait for what other threads do: it holds nothing that they may need.
#[inline]
#[track_caller]
#[cfg_attr(not(debug_assertions), allow(unused_variables))]
pub fn before_wait(rank: Rank) {
    #[cfg(debug_assertions)]
    check(rank, 0);
}
