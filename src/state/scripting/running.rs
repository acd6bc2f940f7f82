//! The script that runs, as other clients see it: what it is, whether it may be killed.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
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

/// Names one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunId(u64);

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

const IDLE: u8 = 0;
const EVAL: u8 = 1;
const FUNCTION: u8 = 2;
/// With one of the kinds.
const WROTE: u8 = 4;

/// The script that runs, or none. One runs at a time.
#[derive(Debug, Default)]
pub struct Running {
    state: AtomicU8,
    run: AtomicU64,
    /// The number of the last run that a client wants killed.
    killed: AtomicU64,
    /// Held by a client that kills, by a run at its first write, and at its end if it became busy. So a kill hits neither a
    /// run that has written nor the next one.
    killing: Mutex<()>,
    /// Only of a run that has become busy: no client can ask about another one.
    call: Mutex<Option<RunningCall>>,
}

impl Running {
    /// A run begins. The caller is alone in the gate.
    pub fn begin(&self, kind: RunKind) -> RunId {
        let run = self.run.load(Ordering::Relaxed) + 1;
        self.run.store(run, Ordering::Relaxed);
        let state = match kind {
            RunKind::Eval => EVAL,
            RunKind::Function => FUNCTION,
        };
        self.state.store(state, Ordering::Release);
        RunId(run)
    }

    /// The run is about to write: from now on it cannot be killed. Returns false if it was killed already.
    pub fn wrote(&self, run: RunId) -> bool {
        let _killing = self.killing.lock();
        self.state.fetch_or(WROTE, Ordering::AcqRel);
        !self.is_killed(run)
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
        let _killing = was_busy.then(|| self.killing.lock());
        self.state.store(IDLE, Ordering::Release);
    }

    /// Whether a client wants this run killed.
    #[inline]
    pub fn is_killed(&self, run: RunId) -> bool {
        self.killed.load(Ordering::Relaxed) == run.0
    }

    /// What runs.
    pub fn kind(&self) -> Option<RunKind> {
        kind(self.state.load(Ordering::Acquire))
    }

    /// SCRIPT KILL and FUNCTION KILL. The caller has found the server busy.
    pub fn kill(&self, wanted: RunKind) -> Result<(), KillRefused> {
        let _killing = self.killing.lock();
        let state = self.state.load(Ordering::Acquire);
        let Some(kind) = kind(state) else {
            return Err(KillRefused::NotBusy);
        };
        if state & WROTE != 0 {
            return Err(KillRefused::Wrote);
        }
        if kind != wanted {
            return Err(KillRefused::Other(kind));
        }
        let run = self.run.load(Ordering::Relaxed);
        self.killed.store(run, Ordering::Relaxed);
        Ok(())
    }
}

fn kind(state: u8) -> Option<RunKind> {
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
        let first = running.begin(RunKind::Eval);
        assert!(!running.is_killed(first));
        let other = Err(KillRefused::Other(RunKind::Eval));
        assert_eq!(running.kill(RunKind::Function), other);
        assert_eq!(running.kill(RunKind::Eval), Ok(()));
        assert!(running.is_killed(first) && !running.wrote(first));
        running.end(true);
        let second = running.begin(RunKind::Function);
        assert!(!running.is_killed(second));
        assert!(running.wrote(second));
        assert_eq!(running.kill(RunKind::Function), Err(KillRefused::Wrote));
        assert_eq!(running.kind(), Some(RunKind::Function));
        assert!(!running.is_killed(second));
        running.end(false);
        assert_eq!(running.kind(), None);
    }
}
