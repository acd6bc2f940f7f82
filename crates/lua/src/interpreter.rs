//! The interpreter: compiles, loads and runs.

use std::ffi::c_void;

use mlua::{LightUserData, Lua, LuaOptions, StdLib, Table, Value};
use redis_core::protocol::ReplyBuffer;

use crate::api::Version;
use crate::arguments::text_of;
use crate::convert::{self, Converter};
use crate::current::{CURRENT, Current, Exchange, Registered, State};
use crate::host::{Host, Interrupt};
use crate::libs::cjson::Settings;
use crate::native::{INTERRUPT_KEY, Native};
use crate::outcome::{LoadError, Outcome, ScriptError};
use crate::sandbox::{self, LibraryGlobals};
use crate::{library_header, script_header};

/// Which globals an interpreter has. Redis keeps one interpreter for each kind, and so should a server: scripts and functions
/// then cannot reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For EVAL: KEYS and ARGV are globals.
    Eval,
    /// For FUNCTION and FCALL: keys and arguments are the arguments of a function.
    Functions,
}

/// What scripts may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How much memory the interpreter may take, in bytes; 0 for no limit.
    pub memory_bytes: usize,
    /// How long the text of a script or a library may be, in bytes.
    pub script_bytes: usize,
    /// How many instructions of Lua run between two calls of [`Host::interrupt`]; 0 for no calls.
    pub interrupt_instructions: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            script_bytes: 1 << 20,
            interrupt_instructions: 100_000,
        }
    }
}

/// A script or a function that the interpreter holds, until [`Interpreter::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub(crate) i32);

/// A library that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Its name.
    pub name: Vec<u8>,
    /// Its functions, in the order in which it registered them. The caller releases them.
    pub functions: Vec<Registered>,
}

/// A script or a function to run, with what a client gave to it.
#[derive(Clone, Copy)]
pub struct Run<'a, K, A> {
    /// What to run.
    pub function: Handle,
    /// What error texts call it: a script's SHA-1, a function's name.
    pub name: &'a [u8],
    /// The keys.
    pub keys: K,
    /// The arguments.
    pub args: A,
}

/// Redis's Lua.
pub struct Interpreter {
    lua: Lua,
    native: Native,
    state: State,
    kind: Kind,
    limits: Limits,
    libraries: Option<LibraryGlobals>,
    /// The keys and arguments of a run, packed for the C side.
    packed: Vec<u8>,
}

/// A buffer that grew beyond this is not kept for the next run.
const KEPT_BYTES: usize = 64 * 1024;

impl Interpreter {
    /// A new interpreter. `version` is what scripts see as `redis.REDIS_VERSION`, such as `7.2.4`.
    pub fn new(kind: Kind, version: &str, limits: Limits) -> Result<Self, LoadError> {
        Self::build(kind, &Version(version), limits)
            .map_err(|error| LoadError::Lua(error.to_string()))
    }

    fn build(kind: Kind, version: &Version<'_>, limits: Limits) -> mlua::Result<Self> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::new())?;
        let native = Native::take(&lua)?;
        let settings = Settings::default();
        let exchange = Exchange::new();
        let globals = sandbox::close(&lua, &native, kind, (version, &exchange), &settings)?;
        let interrupt = lua.create_function(|lua, ()| {
            let asked = CURRENT.with(|current| current.host.interrupt());
            Ok(match asked {
                Interrupt::Continue => Value::Nil,
                Interrupt::Kill(error) => Value::String(lua.create_string(error)?),
            })
        })?;
        lua.set_named_registry_value(INTERRUPT_KEY, interrupt)?;
        lua.set_memory_limit(limits.memory_bytes)?;
        let buffer_bytes = if limits.memory_bytes == 0 {
            usize::MAX
        } else {
            limits.memory_bytes
        };
        let state = State::new(native.array_keys.clone(), settings, exchange, buffer_bytes);
        Ok(Self {
            lua,
            native,
            state,
            kind,
            limits,
            libraries: globals,
            packed: Vec::new(),
        })
    }

    /// How much memory Lua takes, in bytes.
    pub fn used_memory(&self) -> usize {
        self.lua.used_memory()
    }

    /// Compiles a script, its first line `#!lua` included. The handle stays valid until it is released.
    pub fn compile(&mut self, text: &[u8]) -> Result<Handle, LoadError> {
        let code = script_header(text)?.code;
        self.check_length(text)?;
        self.load(&text[code..], "@user_script")?
            .map_err(LoadError::Script)
    }

    /// Lets go of a script or a function. Its memory is free after the next collection.
    pub fn release(&mut self, handle: Handle) {
        // It cannot fail: it takes no memory.
        let _ = self.native.release.call::<()>(handle.0);
    }

    /// Loads a library: runs its code, which registers functions. The library cannot call commands; the host gets what it
    /// logs, and is asked whether it takes too long.
    pub fn load_library(&mut self, text: &[u8], host: &mut dyn Host) -> Result<Library, LoadError> {
        let header = library_header(text)?;
        self.check_length(text)?;
        self.open_library_globals(true)?;
        let loaded = self.register(&text[header.code..], host);
        let functions = self.state.registered.take().unwrap_or_default();
        self.state.end_run();
        self.open_library_globals(false)?;
        let result = match loaded {
            Ok(()) if functions.is_empty() => Err(LoadError::NoFunctions),
            loaded => loaded,
        };
        match result {
            Ok(()) => Ok(Library {
                name: header.name,
                functions,
            }),
            Err(error) => {
                for registered in functions {
                    self.release(registered.function);
                }
                Err(error)
            }
        }
    }

    /// Runs a library's code.
    fn register(&mut self, code: &[u8], host: &mut dyn Host) -> Result<(), LoadError> {
        let main = self
            .load(code, "@user_function")?
            .map_err(LoadError::Library)?;
        self.state.registered = Some(Vec::new());
        self.pack_header(main, (0, 0));
        let result = self.execute(host);
        self.release(main);
        let raised = match result {
            Ok(_) if self.state.ending() == ENDED_WELL => return Ok(()),
            Ok(error) => self.raised(&error),
            Err(error) => Err(error),
        };
        Err(match raised {
            Ok(raised) => {
                LoadError::Registering(String::from_utf8_lossy(&raised.text).into_owned())
            }
            Err(error) => LoadError::Lua(error.to_string()),
        })
    }

    /// Changes what libraries see as their globals.
    fn open_library_globals(&self, loading: bool) -> Result<(), LoadError> {
        let Some(libraries) = &self.libraries else {
            return Err(LoadError::Lua("this interpreter takes no libraries".into()));
        };
        let set = || {
            let index = if loading {
                &libraries.loading
            } else {
                &libraries.running
            };
            self.native
                .readonly
                .call::<()>((&libraries.metatable, false))?;
            libraries.metatable.raw_set("__index", index)?;
            self.native
                .readonly
                .call::<()>((&libraries.metatable, true))
        };
        set().map_err(|error: mlua::Error| LoadError::Lua(error.to_string()))
    }

    /// Runs a script or a function, and writes its result into the client's output. An error is returned, not written.
    pub fn run<'a, K, A>(
        &mut self,
        run: Run<'_, K, A>,
        host: &mut dyn Host,
        out: &mut ReplyBuffer,
    ) -> Outcome
    where
        K: ExactSizeIterator<Item = &'a [u8]>,
        A: ExactSizeIterator<Item = &'a [u8]>,
    {
        self.pack_header(run.function, (run.keys.len(), run.args.len()));
        for text in run.keys.chain(run.args) {
            self.packed
                .extend_from_slice(&(text.len() as u64).to_ne_bytes());
            self.packed.extend_from_slice(text);
        }
        let mark = out.len();
        let result = match self.execute(host) {
            Ok(value) if self.state.ending() == ENDED_WELL => {
                let mut converter = Converter {
                    shape: &self.native.shape,
                    script_protocol: self.state.protocol,
                    out,
                };
                converter
                    .write(&value)
                    .map(|failed| failed.map_or(Outcome::Written, Outcome::Failed))
            }
            Ok(error) => self
                .raised(&error)
                .map(|raised| Outcome::Failed(raised.named(run.name))),
            Err(error) => Err(error),
        };
        self.state.end_run();
        if self.packed.capacity() > KEPT_BYTES {
            self.packed = Vec::new();
        }
        result.unwrap_or_else(|error| {
            out.truncate(mark);
            self.collect();
            Outcome::Failed(ScriptError {
                text: format!("ERR Error running script: {}", first_line(&error)).into_bytes(),
                counted: false,
            })
        })
    }

    fn check_length(&self, text: &[u8]) -> Result<(), LoadError> {
        if text.len() > self.limits.script_bytes {
            return Err(LoadError::TooLong(self.limits.script_bytes));
        }
        Ok(())
    }

    /// Compiles; the inner error is the compiler's text.
    fn load(&mut self, code: &[u8], name: &str) -> Result<Result<Handle, String>, LoadError> {
        let loaded = self
            .lua
            .create_string(code)
            .and_then(|code| self.native.load.call::<(Option<i32>, Value)>((code, name)));
        match loaded {
            Ok((Some(handle), _)) => Ok(Ok(Handle(handle))),
            Ok((None, error)) => Ok(Err(
                String::from_utf8_lossy(&convert::bytes(&error)).into_owned()
            )),
            Err(error) => {
                self.collect();
                Err(LoadError::Lua(first_line(&error)))
            }
        }
    }
}

impl Interpreter {
    /// Begins what the C side gets of a run; the keys and arguments follow, each with its length before it.
    fn pack_header(&mut self, function: Handle, (keys, args): (usize, usize)) {
        let header = [
            // Handles are positive.
            u64::from(function.0.unsigned_abs()),
            keys as u64,
            args as u64,
            u64::from(self.kind == Kind::Eval),
            u64::from(self.limits.interrupt_instructions),
            self.state.ending_address(),
        ];
        self.packed.clear();
        for word in header {
            self.packed.extend_from_slice(&word.to_ne_bytes());
        }
    }

    /// Runs what is packed. Returns the result, or the error that ended the run: `state.ending` says which. An error of this function
    /// is Lua's own failure.
    fn execute(&mut self, host: &mut dyn Host) -> mlua::Result<Value> {
        let Self {
            native,
            state,
            packed,
            ..
        } = self;
        // The C side reads it before it runs the script.
        let packed = LightUserData(packed.as_ptr().cast_mut().cast::<c_void>());
        CURRENT.set(Current { host, state }, || native.run.call(packed))
    }

    /// The error that ended a run.
    #[cold]
    fn raised(&self, error: &Value) -> mlua::Result<Raised> {
        match error {
            Value::Table(error) if self.state.ending() == ENDED_BY_ERROR => Raised::of_table(error),
            error => {
                self.collect();
                Ok(Raised {
                    text: convert::raised_text(error),
                    place: None,
                    counted: false,
                    is_table: false,
                })
            }
        }
    }

    /// Collects what a script that ran out of memory left.
    fn collect(&self) {
        // An error of the collector would show at the next run too.
        let _ = self.lua.gc_collect();
    }
}

/// How the C side's `run` ended, as it says.
const ENDED_WELL: u64 = 0;
const ENDED_BY_ERROR: u64 = 1;

/// An error that ended a script.
struct Raised {
    /// With its code, if it comes from a table.
    text: Vec<u8>,
    /// The source and the line.
    place: Option<(Vec<u8>, Vec<u8>)>,
    counted: bool,
    is_table: bool,
}

impl Raised {
    /// The error with the fields that the C side gives it.
    #[cold]
    fn of_table(error: &Table) -> mlua::Result<Self> {
        let field = |name: &str| error.raw_get::<Value>(name);
        let (text, source, line) = (field("err")?, field("source")?, field("line")?);
        let counted = field("ignore_error_stats_update")?;
        Ok(Self {
            place: text_of(&source).zip(text_of(&line)),
            text: text_of(&text).map_or_else(
                || b"ERR unknown error".to_vec(),
                |_| convert::raised_text(&text),
            ),
            counted: counted == Value::Boolean(true),
            is_table: true,
        })
    }

    /// The error of the script or function with this name.
    fn named(self, name: &[u8]) -> ScriptError {
        let text = match (self.is_table, self.place) {
            (true, Some((source, line))) => [
                &self.text,
                &b" script: "[..],
                name,
                b", on ",
                &source,
                b":",
                &line,
                b".",
            ]
            .concat(),
            (true, None) => self.text,
            (false, _) => [b"ERR Error running script ", name, b", ", &self.text].concat(),
        };
        ScriptError {
            text,
            counted: self.counted,
        }
    }
}

fn first_line(error: &mlua::Error) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}
