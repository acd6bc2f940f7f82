//! What is known of each engine, and which ones the linked library has.

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
    /// Keys are kept in order: the range calls work, and a comparator is taken.
    pub sorted: bool,
    /// The data lie in a pool file and outlive the process.
    pub persistent: bool,
    /// put, get, remove and exists may run beside one another.
    pub concurrent: bool,
    /// What was put can be got; false for blackhole alone.
    pub retains: bool,
    /// pmemkv calls the engine experimental, or it was seen to lose data in a crash.
    pub experimental: bool,
}

/// Every engine that this binding knows. An engine that isn't listed can be opened too; all its calls then run alone.
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
    /// A volatile, unsorted, single-writer engine, which the rows above add to.
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

    /// The engine of this name, whether or not the linked library has it.
    pub fn by_name(name: &str) -> Option<Self> {
        KNOWN.into_iter().find(|engine| engine.name == name)
    }

    /// How calls on a database of this engine may run beside one another.
    pub(super) fn discipline(name: &str) -> Discipline {
        match Self::by_name(name) {
            None => Discipline::Alone,
            Some(engine) if engine.concurrent => Discipline::Concurrent,
            Some(_) => Discipline::SingleWriter,
        }
    }
}

/// How calls on one database may run beside one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Discipline {
    /// Point calls together; a call that walks the data runs alone.
    Concurrent,
    /// Readers together, walks included; a writer alone.
    SingleWriter,
    /// One call at a time: nothing is known of the engine.
    Alone,
}

/// The engines of [`KNOWN`] that the linked library has, found by asking it for each.
pub fn available() -> Vec<Engine> {
    KNOWN
        .into_iter()
        .filter(|engine| is_available(engine.name))
        .collect()
}

/// Whether the linked library has an engine of this name.
///
/// An empty config opens nothing that needs a path: an engine that exists refuses it for another reason than its name.
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
    let status = unsafe { sys::pmemkv_open(name.as_ptr(), raw, &raw mut database) };
    match Status::from_raw(status) {
        Status::Ok => {
            // SAFETY: the open succeeded, so this is a database that nobody else knows of.
            unsafe { sys::pmemkv_close(database) };
            true
        }
        Status::WrongEngineName => false,
        _ => true,
    }
}
