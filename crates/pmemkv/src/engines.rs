//! The traits of each engine, and which engines the loaded library has.

use std::ptr;

use pmemkv_sys as sys;

use super::config::Config;
use super::error::Status;

/// The traits of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools)] // Six independent facts, read by name.
pub struct Engine {
    /// The name that `Database::open` takes.
    pub name: &'static str,
    /// Keeps keys in order: the range calls work, and a comparator has an effect.
    pub sorted: bool,
    /// The data lie in a pool file and outlive the process.
    pub persistent: bool,
    /// put, get, remove and exists may run in parallel.
    pub concurrent: bool,
    /// Keeps what it is given; false only for blackhole.
    pub retains: bool,
    /// pmemkv calls the engine experimental, or it has lost data in a crash test.
    pub experimental: bool,
}

/// Every engine that this binding knows. Other engines can be opened too; then each of their calls runs alone.
pub const KNOWN: [Engine; 9] = [
    Engine {
        persistent: true,
        concurrent: true,
        ..Engine::plain("cmap")
    },
    Engine {
        sorted: true,
        persistent: true,
        concurrent: true,
        experimental: true,
        ..Engine::plain("csmap")
    },
    Engine {
        sorted: true,
        persistent: true,
        experimental: true,
        ..Engine::plain("stree")
    },
    Engine {
        persistent: true,
        experimental: true,
        ..Engine::plain("tree3")
    },
    Engine {
        sorted: true,
        persistent: true,
        experimental: true,
        ..Engine::plain("radix")
    },
    Engine {
        persistent: true,
        experimental: true,
        ..Engine::plain("robinhood")
    },
    Engine {
        concurrent: true,
        ..Engine::plain("vcmap")
    },
    Engine {
        sorted: true,
        ..Engine::plain("vsmap")
    },
    Engine {
        concurrent: true,
        retains: false,
        ..Engine::plain("blackhole")
    },
];

impl Engine {
    /// A volatile, unsorted, single-writer engine. The rows above add to it.
    const fn plain(name: &'static str) -> Self {
        Self {
            name,
            sorted: false,
            persistent: false,
            concurrent: false,
            retains: true,
            experimental: false,
        }
    }

    /// The engine of this name, whether or not the loaded library has it.
    pub fn by_name(name: &str) -> Option<Self> {
        KNOWN.into_iter().find(|engine| engine.name == name)
    }

    /// Whether the closure of a walk may read and walk the same database.
    ///
    /// So it is with trees that hold no lock of their own during a walk. A read of a hash table moves items to other buckets
    /// when the table has grown, so that the walk around it meets them twice. The others (csmap, radix) nobody has tried.
    pub fn reads_in_walks(self) -> bool {
        matches!(self.name, "stree" | "vsmap" | "blackhole")
    }

    /// Which calls on a database of this engine may run in parallel.
    pub(super) fn discipline(name: &str) -> Discipline {
        match Self::by_name(name) {
            None => Discipline::Alone,
            Some(engine) if engine.concurrent => Discipline::Concurrent,
            Some(_) => Discipline::SingleWriter,
        }
    }
}

/// Which calls on one database may run in parallel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Discipline {
    /// Point calls run in parallel; a call that walks the data runs alone.
    Concurrent,
    /// Reading calls run in parallel, walks included; a write runs alone.
    SingleWriter,
    /// Every call runs alone, because nothing is known about the engine.
    Alone,
}

/// The engines of [`KNOWN`] that the loaded library has. Asks the library for each.
pub fn available() -> Vec<Engine> {
    KNOWN
        .into_iter()
        .filter(|engine| is_available(engine.name))
        .collect()
}

/// Whether the loaded library has an engine of this name.
///
/// Tries to open it with an empty config: an engine that exists refuses the config for another reason than its name.
pub fn is_available(name: &str) -> bool {
    let Ok(name) = std::ffi::CString::new(name) else {
        return false;
    };
    let Ok(config) = Config::new() else {
        return false;
    };
    let mut database = ptr::null_mut();
    // pmemkv_open frees the config, also when it fails.
    let raw = config.into_raw();
    // SAFETY: the name is NUL-terminated, the config is ours and given away here, the out-pointer is a local.
    let status = unsafe { sys::library().pmemkv_open(name.as_ptr(), raw, &raw mut database) };
    match Status::from_raw(status) {
        Status::Ok => {
            // SAFETY: the open succeeded, so this is an open database, and nothing else points to it.
            unsafe { sys::library().pmemkv_close(database) };
            true
        }
        Status::WrongEngineName => false,
        _ => true,
    }
}
