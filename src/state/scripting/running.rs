//! The script that runs, as other clients see it: what it is, whether it may be killed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// A script of EVAL and its like.
    Eval,
    /// A function.
    Function,
}

impl RunKind {
    /// What clients hear while it runs for long.
    pub fn busy(self) -> &'static str {
        match self {
            RunKind::Eval => {
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
            }
            RunKind::Function => {
                "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
            }
        }
    }
}

/// Why a run was not killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillRefused {
    /// Nothing runs.
    NotBusy,
    /// It has written.
    Wrote,
    /// It is of this kind, and the other was to be killed.
    Other(RunKind),
}

/// A run that others wait for, as FUNCTION STATS shows it.
#[derive(Clone, Debug)]
pub struct RunningCall {
    /// The function's name, or the script's SHA-1.
    pub name: Vec<u8>,
    /// The client's call.
    pub command: Vec<Vec<u8>>,
    /// When it began.
    pub started: Instant,
}

/// What a run is and what has happened to it: the lowest bits of the state. Above them stands the run's number, so that a change of
/// the state that was meant for one run fails if another one has begun.
const EVAL: u64 = 1;
const FUNCTION: u64 = 2;
/// With one of the kinds: it has written, so it cannot be killed.
const WROTE: u64 = 4;
/// With one of the kinds: a client wants it killed.
const KILLED: u64 = 8;
/// One more run.
const RUN: u64 = 16;

/// The script that runs, or none. One runs at a time.
#[derive(Debug, Default)]
pub struct Running {
    state: AtomicU64,
    /// Only of a run that has become busy: no client can ask about another one.
    call: Mutex<Option<RunningCall>>,
}

impl Running {
    /// A run begins. The caller is alone in the gate.
    pub fn begin(&self, kind: RunKind) {
        let kind = match kind {
            RunKind::Eval => EVAL,
            RunKind::Function => FUNCTION,
        };
        let run = self.state.load(Ordering::Relaxed) & !(RUN - 1);
        self.state
            .store(run.wrapping_add(RUN) | kind, Ordering::Release);
    }

    /// The run is about to write: from now on it cannot be killed. Returns false if it was killed already.
    pub fn wrote(&self) -> bool {
        self.state.fetch_or(WROTE, Ordering::AcqRel) & KILLED == 0
    }

    /// The run takes so long that other clients hear of it.
    pub fn busy(&self, call: RunningCall) {
        *self.call.lock() = Some(call);
    }

    /// The run that other clients wait for.
    pub fn call(&self) -> Option<RunningCall> {
        self.call.lock().clone()
    }

    /// The run is over.
    pub fn end(&self, was_busy: bool) {
        if was_busy {
            *self.call.lock() = None;
        }
        // A kill that comes between the two is too late.
        let run = self.state.load(Ordering::Relaxed) & !(RUN - 1);
        self.state.store(run, Ordering::Release);
    }

    /// Whether a client wants the run killed.
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.state.load(Ordering::Acquire) & KILLED != 0
    }

    /// What runs.
    pub fn kind(&self) -> Option<RunKind> {
        kind(self.state.load(Ordering::Acquire))
    }

    /// SCRIPT KILL and FUNCTION KILL. The caller has found the server busy.
    pub fn kill(&self, wanted: RunKind) -> Result<(), KillRefused> {
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let Some(kind) = kind(state) else {
                return Err(KillRefused::NotBusy);
            };
            if state & WROTE != 0 {
                return Err(KillRefused::Wrote);
            }
            if kind != wanted {
                return Err(KillRefused::Other(kind));
            }
            match self.state.compare_exchange(
                state,
                state | KILLED,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(()),
                Err(now) => state = now,
            }
        }
    }
}

fn kind(state: u64) -> Option<RunKind> {
    if state & EVAL != 0 {
        Some(RunKind::Eval)
    } else if state & FUNCTION != 0 {
        Some(RunKind::Function)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_hits_the_run_that_it_means() {
        let running = Running::default();
        assert_eq!(running.kill(RunKind::Eval), Err(KillRefused::NotBusy));
        running.begin(RunKind::Eval);
        assert!(!running.is_killed());
        let other = Err(KillRefused::Other(RunKind::Eval));
        assert_eq!(running.kill(RunKind::Function), other);
        assert_eq!(running.kill(RunKind::Eval), Ok(()));
        assert!(running.is_killed() && !running.wrote());
        running.end(true);
        assert!(!running.is_killed());
        running.begin(RunKind::Function);
        assert!(!running.is_killed());
        assert!(running.wrote());
        assert_eq!(running.kill(RunKind::Function), Err(KillRefused::Wrote));
        assert_eq!(running.kind(), Some(RunKind::Function));
        assert!(!running.is_killed());
        running.end(false);
        assert_eq!(running.kind(), None);
        assert_eq!(running.kill(RunKind::Function), Err(KillRefused::NotBusy));
    }

    #[test]
    fn a_run_is_killed_or_writes_and_never_both() {
        const RUNS: usize = 2_000;
        let running = Running::default();
        let turn = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let mut killed = Vec::new();
                for _ in 0..RUNS {
                    turn.wait();
                    killed.push(running.kill(RunKind::Eval).is_ok());
                    turn.wait();
                }
                killed
            });
            let mut wrote = Vec::new();
            for _ in 0..RUNS {
                running.begin(RunKind::Eval);
                turn.wait();
                wrote.push(running.wrote());
                turn.wait();
                running.end(true);
            }
            let killed = other.join().expect("it ends");
            for (killed, wrote) in killed.into_iter().zip(wrote) {
                assert_ne!(killed, wrote);
            }
        });
    }
}
