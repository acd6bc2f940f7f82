//! Redis's Lua as a library: the interpreter, its sandbox, the table `redis`, the libraries `cjson`, `cmsgpack`, `struct` and
//! `bit`, and the conversions between replies and Lua's values. Everything is as in Redis 7.2, error texts included.
//!
//! May use: redis-core. Never: knows a command, a client, a keyspace or a socket. A server is a [`Host`] to it.
//!
//! # How a server uses it
//!
//! One [`Interpreter`] for scripts and one for functions. An interpreter is `Send`: put it behind a lock and run it from any
//! thread. One run has it for itself.
//!
//! EVAL: hash the text by [`sha1_hex`] (or find it in the cache), [`Interpreter::compile`] it once, keep the [`Handle`], and
//! [`Interpreter::run`] it. [`script_header`] tells the script's flags. SCRIPT FLUSH and the cache's eviction
//! [`release`](Interpreter::release) handles.
//!
//! FUNCTION LOAD: [`Interpreter::load_library`] returns the library's name and its functions with their flags; FCALL runs a
//! function's handle. [`library_header`] reads a library's name alone.
//!
//! ```
//! use pmemkv_lua::{Args, Host, Interpreter, Kind, Limits, LogLevel, Outcome, Protocol, ReplyBuffer, Run};
//!
//! struct Echo;
//!
//! impl Host for Echo {
//!     fn call(&mut self, args: Args<'_>, reply: &mut ReplyBuffer) {
//!         reply.bulk(&args[args.len() - 1]);
//!     }
//!     fn may_call(&mut self, _: Args<'_>) -> Option<bool> {
//!         Some(true)
//!     }
//!     fn log(&mut self, _: LogLevel, _: &[u8]) {}
//! }
//!
//! let mut interpreter = Interpreter::new(Kind::Eval, "7.2.4", Limits::default())?;
//! let script = interpreter.compile(b"return redis.call('echo', KEYS[1] .. ARGV[1])")?;
//! let mut out = ReplyBuffer::new(Protocol::Resp2);
//! let outcome = interpreter.run(
//!     Run {
//!         function: script,
//!         name: b"the script's SHA-1",
//!         keys: [&b"key"[..]].into_iter(),
//!         args: [&b"arg"[..]].into_iter(),
//!     },
//!     &mut Echo,
//!     &mut out,
//! );
//! assert_eq!(outcome, Outcome::Written);
//! assert_eq!(out.in_one(), Some(&b"$6\r\nkeyarg\r\n"[..]));
//! # Ok::<(), pmemkv_lua::LoadError>(())
//! ```
//!
//! # What the host does
//!
//! [`Host::call`] checks the command as Redis does inside a script (unknown command, arity, `noscript`, permissions, a write
//! in a read-only script, memory) and writes each of these errors as an error line, such as
//! `ERR Unknown Redis command called from script`. The interpreter makes Lua's error of it, and adds the script's name and line
//! if nothing catches it. `reply.protocol` is the protocol that the script chose.
//!
//! [`Host::interrupt`] is how a script that runs long is noticed and killed: it is called every 100,000 instructions, and while
//! a pattern is matched. Answer [`Interrupt::Kill`] with [`KILLED`], or with [`LOAD_TIMEOUT`] while a library loads (Redis
//! allows it 500 milliseconds).
//!
//! An error of a run comes back as [`Outcome::Failed`] and is not written, so that the server can count it; [`ScriptError`]
//! says whether it was counted when the command inside ran.
//!
//! # Limits
//!
//! [`Limits`] has the interpreter's memory, a script's length, and how often the host is asked. A script that needs more
//! memory, recurses without end or matches a pattern too long fails with an error. The C stack holds two hundred nested calls
//! of C functions: a thread that runs scripts needs two mebibytes.

#![forbid(unsafe_code)]

mod api;
mod arguments;
mod buffer;
mod convert;
mod current;
mod failure;
mod flags;
mod format;
mod host;
mod interpreter;
mod libs;
mod native;
mod outcome;
mod random;
mod sandbox;

pub use current::Registered;
pub use flags::{
    HeaderError, LibraryHeader, ScriptFlags, ScriptHeader, library_header, script_header,
};
pub use host::{Host, Interrupt, KILLED, LOAD_TIMEOUT, LogLevel};
pub use interpreter::{Handle, Interpreter, Kind, Library, Limits, Run};
pub use outcome::{LoadError, Outcome, ScriptError};
// What the API speaks of.
pub use redis_core::protocol::{Args, Protocol, ReplyBuffer};

/// The hexadecimal SHA-1 of a script's text, by which EVALSHA names it.
pub fn sha1_hex(text: &[u8]) -> String {
    use sha1::{Digest, Sha1};
    use std::fmt::Write as _;

    Sha1::digest(text)
        .iter()
        .fold(String::with_capacity(40), |mut hex, byte| {
            // Writing into a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}
