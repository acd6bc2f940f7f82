//! The gate to the keyspace: it admits either many batches of commands at once, or one transaction alone.
//!
//! Each worker has a lock of its own, so that batches share no cache line. A transaction takes all of the locks.
//!
//! A script may be alone inside for seconds. It says so by [`Gate::set_busy`], and nobody waits for it from then on:
//! those at the gate go away without having entered, to answer their clients that the server is busy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lock_order::{Rank, ReadGuard, RwLock, WriteGuard};
use smallvec::SmallVec;

/// How often a thread that waits at the gate looks whether the one inside is busy.
const LOOK_TIME: Duration = Duration::from_millis(10);

/// A thread that must not wait for slow commands looks so often whether it waits for one, and not for another transaction.
const TRANSACTION_TIME: Duration = Duration::from_millis(1);

/// A batch of scripts is alone inside for so long and its last script, then others get their turn.
const ALONE_TIME: Duration = Duration::from_millis(1);

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
    /// Whether a thread is alone inside, or waits for the last ones to leave.
    is_alone: AtomicBool,
    /// Whether the thread that is alone inside will stay there for long.
    is_busy: AtomicBool,
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
    inside: Inside<'a>,
}

/// How a batch is inside.
#[derive(Debug)]
enum Inside<'a> {
    No,
    Shared(#[allow(dead_code)] Shared<'a>), // Held, never read.
    Alone(#[allow(dead_code)] Alone<'a>),
}

impl<'a> From<Option<Shared<'a>>> for Inside<'a> {
    fn from(shared: Option<Shared<'a>>) -> Self {
        shared.map_or(Inside::No, Inside::Shared)
    }
}

impl<'a> Presence<'a> {
    /// Enters with a worker's batch, unless the gate is [busy](Gate::set_busy).
    #[inline]
    pub fn of_worker(gate: &'a Gate, worker: usize) -> Self {
        Self {
            gate,
            worker: Some(worker),
            inside: gate.enter_unless_busy(worker).into(),
        }
    }

    /// Enters with a slow command, unless the gate is busy.
    pub fn beside(gate: &'a Gate) -> Self {
        Self {
            gate,
            worker: None,
            inside: gate.enter_beside_unless_busy().into(),
        }
    }

    /// Whether the batch is inside. It is not if the gate was busy.
    #[inline]
    pub fn is_inside(&self) -> bool {
        !matches!(self.inside, Inside::No)
    }

    /// Whether the batch is inside beside others.
    #[inline]
    pub fn is_shared(&self) -> bool {
        matches!(self.inside, Inside::Shared(_))
    }

    /// Whether the batch is alone inside.
    #[inline]
    pub fn is_alone(&self) -> bool {
        matches!(self.inside, Inside::Alone(_))
    }

    /// Leaves the gate.
    pub fn leave(&mut self) {
        self.inside = Inside::No;
    }

    /// Leaves the gate and enters it alone, as [`Gate::enter_alone`], unless the batch is alone already. After an error the
    /// batch is outside.
    pub fn be_alone(&mut self, patient: bool) -> Result<(), NotAlone> {
        if !self.is_alone() {
            self.leave();
            self.inside = Inside::Alone(self.gate.enter_alone(patient)?);
        }
        Ok(())
    }

    /// Stays alone inside for the batch's next script, unless others have waited for long enough by now: `been` tells for how long
    /// the batch has been alone.
    pub fn stay_alone(&mut self, been: impl FnOnce() -> Duration) {
        if self.is_alone() && (self.gate.is_busy() || been() >= ALONE_TIME) {
            self.share();
        }
    }

    /// Lets others in, if the batch is alone inside. It comes back unless the gate is busy.
    pub fn share(&mut self) {
        if self.is_alone() {
            self.leave();
            self.come_back_unless_busy();
        }
    }

    /// Enters again, however long that takes.
    pub fn come_back(&mut self) {
        self.inside = Inside::Shared(match self.worker {
            Some(worker) => self.gate.enter(worker),
            None => self.gate.enter_beside(),
        });
    }

    /// Enters again, unless the gate is busy; returns whether the batch is inside.
    pub fn come_back_unless_busy(&mut self) -> bool {
        let shared = match self.worker {
            Some(worker) => self.gate.enter_unless_busy(worker),
            None => self.gate.enter_beside_unless_busy(),
        };
        self.inside = shared.into();
        self.is_inside()
    }
}

/// Held while no other thread runs commands.
#[derive(Debug)]
pub struct Alone<'a> {
    gate: &'a Gate,
    _guards: SmallVec<[WriteGuard<'a, ()>; 8]>,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.gate.is_alone.store(false, Ordering::Relaxed);
        if self.gate.is_busy() {
            self.gate.is_busy.store(false, Ordering::Release);
        }
    }
}

/// Why a thread could not be alone in the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAlone {
    /// A slow command is inside, and the caller did not want to wait for it.
    SlowInside,
    /// The thread that is alone inside will stay there for long.
    Busy,
}

impl Gate {
    /// A gate for this many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            workers: (2..2 + workers.max(1)).map(Stripe::new).collect(),
            beside: Stripe::new(0),
            background: Stripe::new(1),
            is_alone: AtomicBool::new(false),
            is_busy: AtomicBool::new(false),
        }
    }

    /// Says that the caller, which is alone inside, will stay there for long. This ends when it leaves.
    pub fn set_busy(&self) {
        self.is_busy.store(true, Ordering::Release);
    }

    /// Whether the thread that is alone inside will stay there for long.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::Acquire)
    }

    /// Enters with a worker's batch; waits while a transaction is alone inside.
    #[inline]
    pub fn enter(&self, worker: usize) -> Shared<'_> {
        let stripe = &self.workers[worker % self.workers.len()];
        Shared {
            _guard: stripe.0.read(),
        }
    }

    /// Enters with a worker's batch; waits while a transaction is alone inside, but not for one that is busy.
    #[inline]
    pub fn enter_unless_busy(&self, worker: usize) -> Option<Shared<'_>> {
        self.workers[worker % self.workers.len()].enter_unless_busy(self)
    }

    /// Enters with a slow command, as [`enter_unless_busy`](Self::enter_unless_busy).
    pub fn enter_beside_unless_busy(&self) -> Option<Shared<'_>> {
        self.beside.enter_unless_busy(self)
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

    /// As [`enter_background`](Self::enter_background), but never waits: `None` while another thread is alone inside, or this
    /// one.
    pub fn try_enter_background(&self) -> Option<Shared<'_>> {
        Some(Shared {
            _guard: self.background.0.try_read()?,
        })
    }

    /// Enters alone, after all others have left. The caller must not be inside. It does not wait for a thread that is
    /// busy inside, and if it is not `patient`, not for a slow command either.
    pub fn enter_alone(&self, patient: bool) -> Result<Alone<'_>, NotAlone> {
        let mut guards = SmallVec::new();
        // Take the slow commands' lock first: the workers go on meanwhile.
        guards.push(self.lock_beside(patient)?);
        self.is_alone.store(true, Ordering::Relaxed);
        guards.push(self.background.0.write());
        // All threads lock in the same order, so that no two wait for each other.
        guards.extend(self.workers.iter().map(|stripe| stripe.0.write()));
        Ok(Alone {
            gate: self,
            _guards: guards,
        })
    }

    fn lock_beside(&self, patient: bool) -> Result<WriteGuard<'_, ()>, NotAlone> {
        if let Some(guard) = self.beside.0.try_write() {
            return Ok(guard);
        }
        let wait = if patient { LOOK_TIME } else { TRANSACTION_TIME };
        loop {
            if self.is_busy() {
                return Err(NotAlone::Busy);
            }
            if !patient && !self.is_alone.load(Ordering::Relaxed) {
                return Err(NotAlone::SlowInside);
            }
            // While a transaction is inside, the caller's other clients must wait for it too.
            if let Some(guard) = self.beside.0.try_write_for(wait) {
                return Ok(guard);
            }
        }
    }
}

impl Stripe {
    #[inline]
    fn enter_unless_busy(&self, gate: &Gate) -> Option<Shared<'_>> {
        let guard = match self.0.try_read() {
            Some(guard) => guard,
            None => self.wait_unless_busy(gate)?,
        };
        Some(Shared { _guard: guard })
    }

    #[cold]
    fn wait_unless_busy(&self, gate: &Gate) -> Option<ReadGuard<'_, ()>> {
        loop {
            if gate.is_busy() {
                return None;
            }
            if let Some(guard) = self.0.try_read_for(LOOK_TIME) {
                return Some(guard);
            }
        }
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
                assert!(alone.is_ok());
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
        let refused = gate.enter_alone(false).map(drop);
        assert_eq!(refused, Err(NotAlone::SlowInside));
        // Slow commands do not keep the workers out either.
        drop(gate.enter(0));
        drop(slow);
        assert!(gate.enter_alone(false).is_ok());
    }

    #[test]
    fn nobody_waits_for_a_busy_one() {
        let gate = Gate::new(2);
        let alone = gate.enter_alone(true).expect("nobody is inside");
        thread::scope(|scope| {
            let waiting = [
                scope.spawn(|| Presence::of_worker(&gate, 1).is_inside()),
                scope.spawn(|| Presence::beside(&gate).is_inside()),
                scope.spawn(|| gate.enter_alone(true).is_ok()),
            ];
            thread::sleep(3 * LOOK_TIME);
            assert!(waiting.iter().all(|thread| !thread.is_finished()));
            gate.set_busy();
            for thread in waiting {
                assert!(!thread.join().expect("it ends"));
            }
            assert_eq!(gate.enter_alone(false).map(drop), Err(NotAlone::Busy));
        });
        drop(alone);
        assert!(!gate.is_busy());
        let mut presence = Presence::of_worker(&gate, 0);
        assert!(presence.is_inside());
        presence.leave();
        assert!(gate.enter_alone(false).is_ok());
        assert!(presence.come_back_unless_busy());
    }

    #[test]
    fn a_batch_stays_alone_for_a_while_only() {
        let gate = Gate::new(2);
        let mut batch = Presence::of_worker(&gate, 0);
        assert_eq!(batch.be_alone(false), Ok(()));
        batch.stay_alone(|| Duration::ZERO);
        assert!(batch.is_alone() && gate.workers[1].0.try_read().is_none());
        // It is alone already, and does not wait for itself.
        assert_eq!(batch.be_alone(false), Ok(()));
        batch.stay_alone(|| ALONE_TIME);
        assert!(batch.is_inside() && !batch.is_alone());
        assert!(gate.workers[1].0.try_read().is_some());
        assert_eq!(batch.be_alone(false), Ok(()));
        gate.set_busy();
        batch.stay_alone(|| Duration::ZERO);
        assert!(batch.is_inside() && !batch.is_alone() && !gate.is_busy());
    }

    #[test]
    fn the_impatient_wait_for_a_transaction() {
        let gate = Gate::new(2);
        let alone = gate.enter_alone(false).expect("nobody is inside");
        thread::scope(|scope| {
            let next = scope.spawn(|| gate.enter_alone(false).map(drop));
            thread::sleep(5 * TRANSACTION_TIME);
            assert!(!next.is_finished());
            drop(alone);
            assert_eq!(next.join().expect("it ends"), Ok(()));
        });
    }
}
