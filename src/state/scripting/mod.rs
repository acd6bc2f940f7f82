//! Scripts: the interpreter, the scripts that it holds, and the script that runs.

mod cache;
mod running;

pub use cache::{Found, ScriptName, Scripts};
pub use running::{KillRefused, RunId, RunKind, Running};

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

/// All that the server's clients share of scripts.
#[derive(Debug, Default)]
pub struct Scripting {
    /// The thread that runs a script holds it meanwhile, and is alone in the gate. No other thread waits for it then: it
    /// is not inside the gate.
    scripts: Mutex<Scripts>,
    /// The script that runs.
    pub running: Running,
    figures: Figures,
}

/// What INFO shows. It must not wait for the lock.
#[derive(Debug, Default)]
struct Figures {
    cached: AtomicU64,
    text_bytes: AtomicU64,
    vm_bytes: AtomicU64,
    evicted: AtomicU64,
}

/// What INFO shows of scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptFigures {
    /// How many scripts are cached.
    pub cached: u64,
    /// What their texts take, bytes.
    pub text_bytes: u64,
    /// What the interpreter takes, bytes.
    pub vm_bytes: u64,
    /// How many scripts left the cache to make room for others.
    pub evicted: u64,
}

/// The scripts, locked. The figures are up to date when it is dropped.
#[derive(Debug)]
pub struct LockedScripts<'a> {
    figures: &'a Figures,
    scripts: MutexGuard<'a, Scripts>,
}

impl Scripting {
    /// Locks the scripts.
    pub fn lock(&self) -> LockedScripts<'_> {
        LockedScripts {
            figures: &self.figures,
            scripts: self.scripts.lock(),
        }
    }

    /// What INFO shows.
    pub fn figures(&self) -> ScriptFigures {
        let figures = &self.figures;
        ScriptFigures {
            cached: figures.cached.load(Ordering::Relaxed),
            text_bytes: figures.text_bytes.load(Ordering::Relaxed),
            vm_bytes: figures.vm_bytes.load(Ordering::Relaxed),
            evicted: figures.evicted.load(Ordering::Relaxed),
        }
    }

    /// CONFIG RESETSTAT.
    pub fn reset_figures(&self) {
        self.figures.evicted.store(0, Ordering::Relaxed);
    }
}

impl std::ops::Deref for LockedScripts<'_> {
    type Target = Scripts;

    fn deref(&self) -> &Scripts {
        &self.scripts
    }
}

impl std::ops::DerefMut for LockedScripts<'_> {
    fn deref_mut(&mut self) -> &mut Scripts {
        &mut self.scripts
    }
}

impl Drop for LockedScripts<'_> {
    fn drop(&mut self) {
        let (figures, scripts) = (self.figures, &mut *self.scripts);
        let evicted = scripts.take_evicted();
        if evicted > 0 {
            figures.evicted.fetch_add(evicted, Ordering::Relaxed);
        }
        figures
            .cached
            .store(scripts.len() as u64, Ordering::Relaxed);
        figures
            .text_bytes
            .store(scripts.text_bytes() as u64, Ordering::Relaxed);
        figures
            .vm_bytes
            .store(scripts.vm_bytes() as u64, Ordering::Relaxed);
    }
}
