//! Scripts: the interpreter, the scripts that it holds, and the script that runs.

mod cache;
mod running;

pub use cache::{Found, ScriptName, Scripts};
pub use running::{KillRefused, RunId, RunKind, Running};

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// All that the server's clients share of scripts.
#[derive(Debug, Default)]
pub struct Scripting {
    /// Empty while a thread runs a script: it has taken the scripts out, and is alone in the gate. Others ask for them
    /// inside the gate only. So nobody holds the lock while he waits for another one.
    scripts: Mutex<Option<Box<Scripts>>>,
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

/// The scripts, for one thread. They go back, and the figures are brought up to date, when it is dropped.
#[derive(Debug)]
pub struct OwnScripts<'a> {
    scripting: &'a Scripting,
    /// `None` only while it is dropped.
    scripts: Option<Box<Scripts>>,
}

impl Scripting {
    /// Takes the scripts, to run one of them. The caller is alone in the gate.
    pub fn take(&self) -> OwnScripts<'_> {
        OwnScripts {
            scripting: self,
            scripts: Some(self.scripts.lock().take().unwrap_or_default()),
        }
    }

    /// Works with the scripts, without running one. The caller is inside the gate.
    pub fn with<R>(&self, f: impl FnOnce(&mut Scripts) -> R) -> R {
        let mut scripts = self.scripts.lock();
        let scripts = scripts.get_or_insert_default();
        let result = f(scripts);
        self.figures.note(scripts);
        result
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

impl Figures {
    fn note(&self, scripts: &mut Scripts) {
        let evicted = scripts.take_evicted();
        if evicted > 0 {
            self.evicted.fetch_add(evicted, Ordering::Relaxed);
        }
        for (figure, value) in [
            (&self.cached, scripts.len()),
            (&self.text_bytes, scripts.text_bytes()),
            (&self.vm_bytes, scripts.vm_bytes()),
        ] {
            figure.store(value as u64, Ordering::Relaxed);
        }
    }
}

impl OwnScripts<'_> {
    /// The scripts.
    pub fn get(&mut self) -> &mut Scripts {
        self.scripts.get_or_insert_default()
    }
}

impl Drop for OwnScripts<'_> {
    fn drop(&mut self) {
        if let Some(mut scripts) = self.scripts.take() {
            self.scripting.figures.note(&mut scripts);
            *self.scripting.scripts.lock() = Some(scripts);
        }
    }
}
