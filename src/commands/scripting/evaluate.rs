//! The rows of EVAL, EVALSHA, FCALL and their read-only forms.

use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context};
use crate::protocol::Args;

const RUNS: Flags = Flags::NOSCRIPT
    .union(Flags::STALE)
    .union(Flags::SKIP_MONITOR)
    .union(Flags::NO_MANDATORY_KEYS)
    .union(Flags::MOVABLEKEYS)
    .union(Flags::RUNS_SCRIPT);
const READS: Flags = RUNS.union(Flags::READONLY);

const WRITTEN: &[KeySpec] = &[KeySpec::counted(&["RW", "access", "update"], 2)
    .with_notes("We cannot tell how the keys will be used so we assume the worst, RW and UPDATE")];
const WRITTEN_BY_SHA: &[KeySpec] = &[KeySpec::counted(&["RW", "access", "update"], 2)];
const READ: &[KeySpec] = &[KeySpec::counted(&["RO", "access"], 2)
    .with_notes("We cannot tell how the keys will be used so we assume the worst, RO and ACCESS")];
const READ_BY_SHA: &[KeySpec] = &[KeySpec::counted(&["RO", "access"], 2)];

const REST: [Argument; 3] = [
    Argument::new("numkeys", ArgumentKind::Integer),
    Argument::key().multiple().optional(),
    Argument::new("arg", ArgumentKind::String)
        .multiple()
        .optional(),
];
const BY_TEXT: &[Argument] = &[
    Argument::new("script", ArgumentKind::String),
    REST[0],
    REST[1],
    REST[2],
];
const BY_SHA: &[Argument] = &[
    Argument::new("sha1", ArgumentKind::String),
    REST[0],
    REST[1],
    REST[2],
];

const BY_NAME: &[Argument] = &[
    Argument::new("function", ArgumentKind::String),
    REST[0],
    REST[1],
    REST[2],
];

/// A row; the parameters are what differs between the rows.
const fn row(
    name: &'static str,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
    keys: &'static [KeySpec],
    arguments: &'static [Argument],
) -> Row {
    Row::new(name, Arity::AtLeast(3), by_dispatch)
        .flags(flags)
        .categories(Categories::SCRIPTING)
        .group(Group::Scripting, since)
        .summary(summary)
        .complexity("Depends on the script that is executed.")
        .keys(keys)
        .arguments(arguments)
}

pub(in crate::commands) static COMMANDS: &[Row] = &[
    row(
        "eval",
        RUNS,
        "2.6.0",
        "Runs a Lua script as one atomic, durable step.",
        WRITTEN,
        BY_TEXT,
    ),
    row(
        "evalsha",
        RUNS,
        "2.6.0",
        "Runs a cached Lua script, which its SHA-1 names.",
        WRITTEN_BY_SHA,
        BY_SHA,
    ),
    row(
        "eval_ro",
        READS,
        "7.0.0",
        "Runs a Lua script that may not write.",
        READ,
        BY_TEXT,
    ),
    row(
        "evalsha_ro",
        READS,
        "7.0.0",
        "Runs a cached Lua script that may not write.",
        READ_BY_SHA,
        BY_SHA,
    ),
    row(
        "fcall",
        RUNS,
        "7.0.0",
        "Runs a function as one atomic, durable step.",
        WRITTEN,
        BY_NAME,
    )
    .complexity("Depends on the function that is executed."),
    row(
        "fcall_ro",
        READS,
        "7.0.0",
        "Runs a function that may not write.",
        READ,
        BY_NAME,
    )
    .complexity("Depends on the function that is executed."),
];

/// Dispatch runs these commands itself.
fn by_dispatch(_: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Err(CommandError::text(
        "ERR This Redis command is not allowed from script",
    ))
}
