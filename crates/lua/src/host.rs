//! What a script reaches of the server.

use redis_core::protocol::{Args, ReplyBuffer};

/// The server, as a running script sees it. The interpreter calls it on the thread that runs the script.
pub trait Host {
    /// Runs the command that `redis.call` or `redis.pcall` names, and writes its one reply. `reply.protocol` says in which
    /// protocol, as the script chose it by `redis.setresp`. An error is an error line: the interpreter raises it if the script
    /// used `redis.call`.
    fn call(&mut self, args: Args<'_>, reply: &mut ReplyBuffer);

    /// Whether the user may run this command: `redis.acl_check_cmd`. `None` if there is no such command.
    fn may_call(&mut self, args: Args<'_>) -> Option<bool>;

    /// Takes a line of the script's log: `redis.log`. The host decides whether the level is worth keeping.
    fn log(&mut self, level: LogLevel, message: &[u8]);

    /// Called every so many instructions ([`Limits::interrupt_instructions`](crate::Limits)) while Lua runs.
    fn interrupt(&mut self) -> Interrupt {
        Interrupt::Continue
    }
}

/// What an interrupted script does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// It goes on.
    Continue,
    /// It ends with this error, its code included: [`KILLED`] after SCRIPT KILL and FUNCTION KILL.
    Kill(&'static str),
}

/// The error of a script that SCRIPT KILL or FUNCTION KILL ended.
pub const KILLED: &str = "ERR Script killed by user with SCRIPT KILL...";

/// The error of a library that took too long to load.
pub const LOAD_TIMEOUT: &str = "ERR FUNCTION LOAD timeout";

/// The levels of `redis.log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// `redis.LOG_DEBUG`
    Debug,
    /// `redis.LOG_VERBOSE`
    Verbose,
    /// `redis.LOG_NOTICE`
    Notice,
    /// `redis.LOG_WARNING`
    Warning,
}

impl LogLevel {
    /// The level with Redis's number.
    pub(crate) fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            0 => LogLevel::Debug,
            1 => LogLevel::Verbose,
            2 => LogLevel::Notice,
            3 => LogLevel::Warning,
            _ => return None,
        })
    }
}
