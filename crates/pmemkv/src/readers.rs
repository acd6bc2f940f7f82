//! Waits until all present readers have left, without a lock that the readers share.
//!
//! Each reader counts itself in a slot that only its thread and few others use, so that readers on different cores
//! touch no common cache line. The waiter flips the phase twice, and waits each time for the readers of the old phase.
//! Then every reader that entered before the wait began has left.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// How many slots there are. With more threads some share a slot, which costs time and nothing else.
const SLOTS: usize = 64;

/// How often the waiter looks at the counts before it begins to sleep between two looks.
const SPINS: u32 = 64;

/// The counts of a slot's readers, by phase. It fills two cache lines, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot([AtomicUsize; 2]);

/// Counts the readers.
#[derive(Debug)]
pub(super) struct Readers {
    phase: AtomicUsize,
    slots: Box<[Slot]>,
    waiting: Mutex<()>,
}

/// A reader. Dropping it ends the reading.
pub(super) struct Reading<'a>(&'a AtomicUsize);

impl Readers {
    pub(super) fn new() -> Self {
        Self {
            phase: AtomicUsize::new(0),
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
            waiting: Mutex::new(()),
        }
    }

    /// Enters a reader.
    #[inline]
    pub(super) fn enter(&self) -> Reading<'_> {
        let phase = self.phase.load(Ordering::SeqCst) & 1;
        let count = &self.slots[slot()].0[phase];
        count.fetch_add(1, Ordering::SeqCst);
        Reading(count)
    }

    /// Returns when every reader that entered before the call has left. A reader must not call it.
    pub(super) fn wait(&self) {
        let _alone = self.waiting.lock();
        // A reader may read the phase before the first flip and count itself after it. The second flip catches it.
        for _ in 0..2 {
            let old = self.phase.fetch_xor(1, Ordering::SeqCst) & 1;
            let mut looks = 0;
            while self
                .slots
                .iter()
                .any(|slot| slot.0[old].load(Ordering::SeqCst) != 0)
            {
                looks += 1;
                if looks < SPINS {
                    std::thread::yield_now();
                } else {
                    std::thread::sleep(Duration::from_micros(50));
                }
            }
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// The calling thread's slot.
fn slot() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SLOT: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let slot = SLOT.get();
    if slot != usize::MAX {
        return slot;
    }
    let slot = NEXT.fetch_add(1, Ordering::Relaxed) % SLOTS;
    SLOT.set(slot);
    slot
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn waits_for_present_readers_only() {
        let readers = Arc::new(Readers::new());
        readers.wait();
        let reading = readers.enter();
        let done = Arc::new(AtomicBool::new(false));
        let waiter = std::thread::spawn({
            let (readers, done) = (Arc::clone(&readers), Arc::clone(&done));
            move || {
                readers.wait();
                done.store(true, Ordering::SeqCst);
            }
        });
        std::thread::sleep(Duration::from_millis(20));
        assert!(!done.load(Ordering::SeqCst));
        drop(reading);
        waiter.join().expect("the waiter ends");
        assert!(done.load(Ordering::SeqCst));
    }

    #[test]
    fn readers_that_come_and_go_do_not_keep_it_waiting() {
        let readers = Arc::new(Readers::new());
        let stop = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (readers, stop) = (Arc::clone(&readers), Arc::clone(&stop));
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        drop(readers.enter());
                    }
                })
            })
            .collect();
        for _ in 0..100 {
            readers.wait();
        }
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().expect("a reader ends");
        }
    }
}
