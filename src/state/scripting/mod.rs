//! Scripts and functions: their interpreters, what these hold, and the script that runs.

mod cache;
mod functions;
mod running;

pub use cache::{Runnable, ScriptName, Scripts};
pub use functions::{Change, Functions, Policy};
pub use running::{KillRefused, RunKind, Running, RunningCall};

use std::sync::atomic::{AtomicU64, Ordering};

use lua::LogLevel;
use parking_lot::{Mutex, MutexGuard};

/// All that the server's clients share of scripts.
#[derive(Debug, Default)]
pub struct Scripting {
    /// A thread asks for it only inside the gate: to look for a moment, or alone in there for as long as it runs a script.
    /// So nobody waits here for a script.
    held: Mutex<Held>,
    /// The script that runs.
    pub running: Running,
    figures: Figures,
}

/// The interpreters and what they hold.
#[derive(Debug, Default)]
pub struct Held {
    /// Scripts.
    pub scripts: Scripts,
    /// Functions.
    pub functions: Functions,
}

/// What INFO shows. It must not wait for the lock.
#[derive(Debug, Default)]
struct Figures {
    cached: AtomicU64,
    text_bytes: AtomicU64,
    vm_bytes: AtomicU64,
    evicted: AtomicU64,
    libraries: AtomicU64,
    functions: AtomicU64,
    library_bytes: AtomicU64,
    functions_vm_bytes: AtomicU64,
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
    /// How many libraries there are.
    pub libraries: u64,
    /// How many functions they have.
    pub functions: u64,
    /// What texts and names of libraries and functions take, bytes.
    pub library_bytes: u64,
    /// What the interpreter of functions takes, bytes.
    pub functions_vm_bytes: u64,
}

/// Scripts and functions, for one thread. When it is dropped, the figures are brought up to date.
#[derive(Debug)]
pub struct OwnScripts<'a> {
    figures: &'a Figures,
    held: MutexGuard<'a, Held>,
}

impl Scripting {
    /// Takes scripts and functions, to run one of them or to load others. The caller is alone in the gate.
    pub fn take(&self) -> OwnScripts<'_> {
        OwnScripts {
            figures: &self.figures,
            held: self.held.lock(),
        }
    }

    /// Works with the scripts, without running one. The caller is inside the gate.
    pub fn with<R>(&self, f: impl FnOnce(&mut Scripts) -> R) -> R {
        let mut held = self.held.lock();
        let result = f(&mut held.scripts);
        self.figures.note(&mut held);
        result
    }

    /// Looks at the functions, without running one. The caller is inside the gate.
    pub fn with_functions<R>(&self, f: impl FnOnce(&Functions) -> R) -> R {
        f(&self.held.lock().functions)
    }

    /// What INFO shows.
    pub fn figures(&self) -> ScriptFigures {
        let figures = &self.figures;
        ScriptFigures {
            cached: figures.cached.load(Ordering::Relaxed),
            text_bytes: figures.text_bytes.load(Ordering::Relaxed),
            vm_bytes: figures.vm_bytes.load(Ordering::Relaxed),
            evicted: figures.evicted.load(Ordering::Relaxed),
            libraries: figures.libraries.load(Ordering::Relaxed),
            functions: figures.functions.load(Ordering::Relaxed),
            library_bytes: figures.library_bytes.load(Ordering::Relaxed),
            functions_vm_bytes: figures.functions_vm_bytes.load(Ordering::Relaxed),
        }
    }

    /// CONFIG RESETSTAT.
    pub fn reset_figures(&self) {
        self.figures.evicted.store(0, Ordering::Relaxed);
    }
}

impl Figures {
    fn note(&self, Held { scripts, functions }: &mut Held) {
        let evicted = scripts.take_evicted();
        if evicted > 0 {
            self.evicted.fetch_add(evicted, Ordering::Relaxed);
        }
        for (figure, value) in [
            (&self.cached, scripts.len()),
            (&self.text_bytes, scripts.text_bytes()),
            (&self.vm_bytes, scripts.vm_bytes()),
            (&self.libraries, functions.library_count()),
            (&self.functions, functions.function_count()),
            (&self.library_bytes, functions.text_bytes()),
            (&self.functions_vm_bytes, functions.vm_bytes()),
        ] {
            figure.store(value as u64, Ordering::Relaxed);
        }
    }
}

impl OwnScripts<'_> {
    /// Scripts and functions.
    pub fn get(&mut self) -> &mut Held {
        &mut self.held
    }
}

impl Drop for OwnScripts<'_> {
    fn drop(&mut self) {
        self.figures.note(&mut self.held);
    }
}

/// A line of `redis.log`, for the server's log.
pub fn log_line(level: LogLevel, message: &[u8]) {
    let message = String::from_utf8_lossy(message);
    match level {
        LogLevel::Debug => tracing::trace!(target: "script", "{message}"),
        LogLevel::Verbose => tracing::debug!(target: "script", "{message}"),
        LogLevel::Notice => tracing::info!(target: "script", "{message}"),
        LogLevel::Warning => tracing::warn!(target: "script", "{message}"),
    }
}
