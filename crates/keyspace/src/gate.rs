//! The gate to the keyspace: it admits either many batches of commands at once, or one transaction alone.
//!
//! Each worker has a lock of its own, so that batches share no cache line. A transaction takes all of the locks.

use lock_order::{Rank, ReadGuard, RwLock, WriteGuard};

/// A lock in a cache line of its own (two of them, because processors fetch pairs).
#[derive(Debug)]
#[repr(align(128))]
struct Stripe(RwLock<()>);

impl Stripe {
    /// The lock that is taken as the one of this number.
    fn new(number: usize) -> Self {
        Self(RwLock::numbered(Rank::Gate, number, ()))
    }
}

/// The locks.
#[derive(Debug)]
pub struct Gate {
    /// One lock for each worker.
    workers: Box<[Stripe]>,
    /// The lock for slow commands, which run beside the workers.
    beside: Stripe,
    /// The lock for the server's own background work, a little at a time.
    background: Stripe,
}

/// Held while commands run that allow other commands beside them.
#[derive(Debug)]
pub struct Shared<'a> {
    _guard: ReadGuard<'a, ()>,
}

/// A batch's pass through the gate, which the batch can give back for a while.
#[derive(Debug)]
pub struct Presence<'a> {
    gate: &'a Gate,
    /// `None` for a slow command beside the workers.
    worker: Option<usize>,
    inside: Option<Shared<'a>>,
}

impl<'a> Presence<'a> {
    /// Enters with a worker's batch.
    pub fn of_worker(gate: &'a Gate, worker: usize) -> Self {
        Self {
            gate,
            worker: Some(worker),
            inside: Some(gate.enter(worker)),
        }
    }

    /// Enters with a slow command.
    pub fn beside(gate: &'a Gate) -> Self {
        Self {
            gate,
            worker: None,
            inside: Some(gate.enter_beside()),
        }
    }

    /// Leaves the gate.
    pub fn leave(&mut self) {
        self.inside = None;
    }

    /// Enters again.
    pub fn come_back(&mut self) {
        self.inside = Some(match self.worker {
            Some(worker) => self.gate.enter(worker),
            None => self.gate.enter_beside(),
        });
    }
}

/// Held while no other thread runs commands.
#[derive(Debug)]
pub struct Alone<'a> {
    _guards: Vec<WriteGuard<'a, ()>>,
}

impl Gate {
    /// A gate for this many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            workers: (2..2 + workers.max(1)).map(Stripe::new).collect(),
            beside: Stripe::new(0),
            background: Stripe::new(1),
        }
    }

    /// Enters with a worker's batch; waits while a transaction is alone inside.
    #[inline]
    pub fn enter(&self, worker: usize) -> Shared<'_> {
        let stripe = &self.workers[worker % self.workers.len()];
        Shared {
            _guard: stripe.0.read(),
        }
    }

    /// Enters with a slow command, beside the workers.
    pub fn enter_beside(&self) -> Shared<'_> {
        Shared {
            _guard: self.beside.0.read(),
        }
    }

    /// Enters for a moment of the server's own work.
    pub fn enter_background(&self) -> Shared<'_> {
        Shared {
            _guard: self.background.0.read(),
        }
    }

    /// Enters alone, after all others have left. The caller must not be inside. Returns `None` if a slow command is
    /// inside, so that the wait might be long, and `patient` is not set.
    pub fn enter_alone(&self, patient: bool) -> Option<Alone<'_>> {
        let mut guards = Vec::with_capacity(self.workers.len() + 2);
        // Take the slow commands' lock first: the workers go on meanwhile.
        guards.push(if patient {
            self.beside.0.write()
        } else {
            self.beside.0.try_write()?
        });
        guards.push(self.background.0.write());
        // All threads lock in the same order, so that no two wait for each other.
        guards.extend(self.workers.iter().map(|stripe| stripe.0.write()));
        Some(Alone { _guards: guards })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn who_is_alone_meets_nobody() {
        let gate = Gate::new(3);
        let (inside, done) = (AtomicU64::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            for worker in 0..4 {
                let (gate, inside, done) = (&gate, &inside, &done);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        let _shared = if worker == 3 {
                            gate.enter_beside()
                        } else {
                            gate.enter(worker)
                        };
                        inside.fetch_add(1, Ordering::Relaxed);
                        inside.fetch_sub(1, Ordering::Relaxed);
                    }
                });
            }
            for _ in 0..200 {
                let alone = gate.enter_alone(true);
                assert!(alone.is_some());
                assert_eq!(inside.load(Ordering::Relaxed), 0);
                thread::yield_now();
                assert_eq!(inside.load(Ordering::Relaxed), 0);
            }
            done.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn the_impatient_do_not_wait_for_slow_commands() {
        let gate = Gate::new(1);
        let slow = gate.enter_beside();
        assert!(gate.enter_alone(false).is_none());
        // Slow commands do not keep the workers out either.
        drop(gate.enter(0));
        drop(slow);
        assert!(gate.enter_alone(false).is_some());
    }
}
