//! The libraries of functions that FCALL finds.
//!
//! The pool holds the texts of all libraries as one record, in the form of FUNCTION DUMP. A change is prepared first, which
//! compiles what it adds; then the record is written; then the change applies here.

mod start;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use lua::{
    Args, Host, Interpreter, Interrupt, Kind, LOAD_TIMEOUT, Limits, LogLevel, Registered,
    ReplyBuffer, library_header,
};
use smallvec::SmallVec;

use super::cache::{Pace, Runnable};
use super::log_line;
use crate::error::CommandError;
use crate::keyspace::{Keyspace, KeyspaceError, RECLAIM_IN_GATE_TIME_MAX};
use crate::serialised::{decode_libraries, encode_libraries};
use crate::state::redis_version;

/// What the texts of all libraries may take, bytes. Each change writes all of them.
const TEXT_BYTES_MAX: usize = 16 << 20;

/// How many libraries there may be.
const LIBRARIES_MAX: usize = 1000;

/// How many functions there may be.
const FUNCTIONS_MAX: usize = 10_000;

/// How long a library may run while it loads. Redis's number.
const LOAD_TIME_MAX: Duration = Duration::from_millis(500);

/// A library.
#[derive(Debug)]
pub struct Library {
    /// Its name.
    pub name: Vec<u8>,
    /// Its text.
    pub text: Arc<[u8]>,
    /// Its functions, in the order in which it registered them.
    pub functions: Vec<Registered>,
}

/// A function that FCALL finds.
#[derive(Debug)]
struct Function {
    name: Arc<[u8]>,
    runnable: Runnable,
    library: Arc<Library>,
}

/// What FUNCTION RESTORE does with the libraries that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// They stay. A library of the same name is an error.
    Append,
    /// They stay, but those of the same name.
    Replace,
    /// They go.
    Flush,
}

/// A change that is prepared: its libraries are compiled, and nothing collides.
#[derive(Debug, Default)]
#[must_use]
pub struct Change {
    added: Vec<Library>,
    removed: Vec<Vec<u8>>,
}

/// The interpreter of functions and the libraries that it holds.
#[derive(Default)]
pub struct Functions {
    interpreter: Option<Interpreter>,
    libraries: BTreeMap<Vec<u8>, Arc<Library>>,
    /// By the name in lower case: FCALL finds a function in any case of its letters.
    by_name: HashMap<Vec<u8>, Function, RandomState>,
    text_bytes: usize,
}

impl std::fmt::Debug for Functions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Functions")
            .field("libraries", &self.libraries)
            .finish_non_exhaustive()
    }
}

/// What FCALL and its like look for.
impl Functions {
    /// The interpreter; it is made at its first use.
    pub fn interpreter(&mut self) -> Result<&mut Interpreter, CommandError> {
        let interpreter = match self.interpreter.take() {
            Some(interpreter) => interpreter,
            None => Interpreter::new(Kind::Functions, redis_version(), Limits::default())
                .map_err(|error| CommandError::Text(error.to_string().into()))?,
        };
        Ok(self.interpreter.insert(interpreter))
    }

    /// The function of this name, in any case of its letters, and its own name.
    pub fn find(&self, name: &[u8]) -> Option<(Arc<[u8]>, Runnable)> {
        let function = self.by_name.get(&*lower(name))?;
        Some((Arc::clone(&function.name), function.runnable))
    }

    /// Sets how long the function's last runs took.
    pub fn set_pace(&mut self, name: &[u8], pace: Pace) {
        if let Some(function) = self.by_name.get_mut(&*lower(name)) {
            function.runnable.pace = pace;
        }
    }

    /// The libraries, in the order of their names.
    pub fn libraries(&self) -> impl Iterator<Item = &Library> + Clone {
        self.libraries.values().map(|library| &**library)
    }

    /// How many libraries there are.
    pub fn library_count(&self) -> usize {
        self.libraries.len()
    }

    /// How many functions there are.
    pub fn function_count(&self) -> usize {
        self.libraries()
            .map(|library| library.functions.len())
            .sum()
    }

    /// What texts and names take, bytes.
    pub fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// What the interpreter takes, bytes.
    pub fn vm_bytes(&self) -> usize {
        self.interpreter
            .as_ref()
            .map_or(0, Interpreter::used_memory)
    }

    /// All libraries in the form of FUNCTION DUMP.
    pub fn dump(&self) -> Vec<u8> {
        encode_libraries(self.libraries().map(|library| &*library.text))
    }
}

/// Changes.
impl Functions {
    /// FUNCTION LOAD. `replaces`: a library of the same name goes.
    pub fn load(&mut self, text: &[u8], replaces: bool) -> Result<Change, CommandError> {
        let header = library_header(text).map_err(refused)?;
        let has_other = self.libraries.contains_key(&header.name);
        if has_other && !replaces {
            return Err(exists("Library", &header.name, "'"));
        }
        let mut change = Change {
            added: Vec::new(),
            removed: has_other.then_some(header.name).into_iter().collect(),
        };
        let compiled = self.compile(text, LOAD_TIME_MAX)?;
        change.added.push(compiled);
        self.checked(change)
    }

    /// FUNCTION DELETE; `None` if there is no such library.
    pub fn delete(&self, name: &[u8]) -> Option<Change> {
        self.libraries.contains_key(name).then(|| Change {
            added: Vec::new(),
            removed: vec![name.to_vec()],
        })
    }

    /// FUNCTION FLUSH.
    pub fn flush(&self) -> Change {
        Change {
            added: Vec::new(),
            removed: self.libraries.keys().cloned().collect(),
        }
    }

    /// FUNCTION RESTORE.
    pub fn restore(&mut self, payload: &[u8], policy: Policy) -> Result<Change, CommandError> {
        let mut change = Change::default();
        let result = self
            .compile_all(payload, LOAD_TIME_MAX, &mut change, false)
            .and_then(|()| match policy {
                Policy::Flush => {
                    change.removed = self.libraries.keys().cloned().collect();
                    Ok(())
                }
                Policy::Append | Policy::Replace => {
                    let names = change.added.iter().map(|library| &library.name);
                    let present = names.filter(|name| self.libraries.contains_key(*name));
                    change.removed = present.cloned().collect();
                    match change.removed.first() {
                        Some(name) if policy == Policy::Append => Err(exists("Library", name, "")),
                        _ => Ok(()),
                    }
                }
            });
        match result {
            Ok(()) => self.checked(change),
            Err(error) => {
                self.discard(change);
                Err(error)
            }
        }
    }

    /// Writes the change into the pool and makes it. If the pool does not take it, nothing changes. The caller is alone in
    /// the gate.
    pub fn commit(&mut self, keyspace: &Keyspace, change: Change) -> Result<(), CommandError> {
        let stay = self
            .libraries()
            .filter(|library| !change.removed.contains(&library.name));
        let texts: Vec<&[u8]> = stay
            .chain(&change.added)
            .map(|library| &*library.text)
            .collect();
        let payload = (!texts.is_empty()).then(|| encode_libraries(texts.into_iter()));
        let payload = payload.as_deref();
        let mut stored = keyspace.libraries().store(payload);
        if let (Err(KeyspaceError::OutOfMemory), Some(payload)) = (&stored, payload) {
            // The thread cannot leave the gate, so it makes the room by itself.
            let until = Instant::now() + RECLAIM_IN_GATE_TIME_MAX;
            let memory = keyspace.memory_check();
            let made = memory.reclaim_in_gate(payload.len() as u64, until);
            if made.unwrap_or(false) {
                stored = keyspace.libraries().store(Some(payload));
            }
        }
        match stored {
            Ok(()) => {
                self.apply(change);
                Ok(())
            }
            Err(error) => {
                self.discard(change);
                // As a text: dispatch would leave the gate and run the command again.
                Err(refused(CommandError::from(error)))
            }
        }
    }

    /// Compiles the libraries of a payload, one after the other, into `change`. `repair`: leaves out those that do not
    /// load.
    fn compile_all(
        &mut self,
        payload: &[u8],
        time_max: Duration,
        change: &mut Change,
        repair: bool,
    ) -> Result<(), CommandError> {
        let mut bytes = 0;
        for text in decode_libraries(payload, TEXT_BYTES_MAX).map_err(refused)? {
            let text = text.map_err(refused)?;
            bytes += text.len();
            check_limits(change.added.len() + 1, 0, bytes)?;
            match self.compile_beside(&text, time_max, &change.added) {
                Ok(library) => change.added.push(library),
                Err(error) if repair => {
                    tracing::warn!(%error, "repair: dropped a library of functions that does not load");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Compiles a library that has neither its name nor a function's name in common with `others`.
    fn compile_beside(
        &mut self,
        text: &[u8],
        time_max: Duration,
        others: &[Library],
    ) -> Result<Library, CommandError> {
        let header = library_header(text).map_err(refused)?;
        if others.iter().any(|other| other.name == header.name) {
            return Err(exists("Library", &header.name, "'"));
        }
        let library = self.compile(text, time_max)?;
        let mut others = others.iter().flat_map(|other| &other.functions);
        let collides = others.find_map(|other| {
            let mut own = library.functions.iter();
            own.find(|own| own.name.eq_ignore_ascii_case(&other.name))
        });
        match collides.map(|function| function.name.clone()) {
            None => Ok(library),
            Some(name) => {
                self.release(&library);
                Err(exists("Function", &name, ""))
            }
        }
    }

    fn compile(&mut self, text: &[u8], time_max: Duration) -> Result<Library, CommandError> {
        let mut host = LoadHost {
            until: Instant::now() + time_max,
        };
        let loaded = self.interpreter()?.load_library(text, &mut host);
        let lua::Library { name, functions } = loaded.map_err(refused)?;
        Ok(Library {
            name,
            text: text.into(),
            functions,
        })
    }

    /// The change, if no function has the name of one that stays, and if it is within the limits.
    fn checked(&mut self, change: Change) -> Result<Change, CommandError> {
        let removed: HashSet<&[u8]> = change.removed.iter().map(Vec::as_slice).collect();
        let stays = |library: &Library| !removed.contains(library.name.as_slice());
        let mut functions = change.added.iter().flat_map(|library| &library.functions);
        let collides = functions.find(|function| {
            let other = self.by_name.get(&*lower(&function.name));
            other.is_some_and(|other| stays(&other.library))
        });
        let result = if let Some(function) = collides {
            Err(exists("Function", &function.name, ""))
        } else {
            let stay = self.libraries().filter(|library| stays(library));
            let after = stay.chain(&change.added);
            let (libraries, functions, bytes) = after.fold((0, 0, 0), |sums, library| {
                let functions = sums.1 + library.functions.len();
                (sums.0 + 1, functions, sums.2 + library.text.len())
            });
            // What only removes is always within them.
            if change.added.is_empty() {
                Ok(())
            } else {
                check_limits(libraries, functions, bytes)
            }
        };
        match result {
            Ok(()) => Ok(change),
            Err(error) => {
                self.discard(change);
                Err(error)
            }
        }
    }

    /// Lets go of what a change has compiled.
    fn discard(&mut self, change: Change) {
        for library in change.added {
            self.release(&library);
        }
    }

    fn apply(&mut self, change: Change) {
        for name in change.removed {
            if let Some(library) = self.libraries.remove(&name) {
                for function in &library.functions {
                    self.by_name.remove(&*lower(&function.name));
                }
                self.release(&library);
            }
        }
        for library in change.added {
            let library = Arc::new(library);
            for registered in &library.functions {
                let function = Function {
                    name: registered.name.as_slice().into(),
                    runnable: Runnable {
                        handle: registered.function,
                        flags: Some(registered.flags),
                        pace: Pace::default(),
                    },
                    library: Arc::clone(&library),
                };
                // Of names that differ in case alone, Redis too finds one only.
                self.by_name
                    .entry(lower(&registered.name).to_vec())
                    .or_insert(function);
            }
            self.libraries.insert(library.name.clone(), library);
        }
        self.text_bytes = self.libraries().map(Library::bytes).sum();
        if self.libraries.is_empty() {
            // Nothing of what the libraries shared stays.
            self.interpreter = None;
        }
    }

    fn release(&mut self, library: &Library) {
        if let Some(interpreter) = &mut self.interpreter {
            for registered in &library.functions {
                interpreter.release(registered.function);
            }
        }
    }
}

impl Library {
    /// What text and names take, bytes.
    fn bytes(&self) -> usize {
        let functions = self.functions.iter();
        let names: usize = functions
            .map(|function| function.name.len() + function.description.as_ref().map_or(0, Vec::len))
            .sum();
        self.name.len() + self.text.len() + names
    }
}

impl Change {
    /// The name of the library that it adds.
    pub fn name(&self) -> Vec<u8> {
        self.added
            .first()
            .map(|library| library.name.clone())
            .unwrap_or_default()
    }
}

fn check_limits(libraries: usize, functions: usize, bytes: usize) -> Result<(), CommandError> {
    let text = if bytes > TEXT_BYTES_MAX {
        "ERR all libraries together take more than 16777216 bytes"
    } else if libraries > LIBRARIES_MAX {
        "ERR there are more than 1000 libraries"
    } else if functions > FUNCTIONS_MAX {
        "ERR there are more than 10000 functions"
    } else {
        return Ok(());
    };
    Err(CommandError::text(text))
}

/// A name in lower case; most fit on the stack.
fn lower(name: &[u8]) -> SmallVec<[u8; 32]> {
    name.iter().map(u8::to_ascii_lowercase).collect()
}

fn exists(what: &str, name: &[u8], quote: &str) -> CommandError {
    let name = String::from_utf8_lossy(name);
    CommandError::Text(format!("ERR {what} {quote}{name}{quote} already exists").into())
}

fn refused(error: impl std::fmt::Display) -> CommandError {
    CommandError::Text(error.to_string().into())
}

/// The server as a library sees it while it loads. It reaches the log alone.
struct LoadHost {
    until: Instant,
}

impl Host for LoadHost {
    fn call(&mut self, _: Args<'_>, reply: &mut ReplyBuffer) {
        reply.error("ERR redis.call is not available while a library loads");
    }

    fn may_call(&mut self, _: Args<'_>) -> Option<bool> {
        None
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        log_line(level, message);
    }

    fn interrupt(&mut self) -> Interrupt {
        if Instant::now() >= self.until {
            Interrupt::Kill(LOAD_TIMEOUT)
        } else {
            Interrupt::Continue
        }
    }
}
