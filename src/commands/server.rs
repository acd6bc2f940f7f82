//! Commands on the server: SHUTDOWN, TIME, DEBUG.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{CommandError, CommandResult, Context, Outcome, help};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, Group};
use crate::commands::row::Row;
use crate::error::shown;
use crate::protocol::{Args, Reply};
use crate::state::check_place;

const ADMIN: Flags = Flags::ADMIN
    .union(Flags::NOSCRIPT)
    .union(Flags::LOADING)
    .union(Flags::STALE);

pub(super) static COMMANDS: &[Row] = &[
    Row::new("shutdown", Arity::AtLeast(1), shutdown)
        .flags(ADMIN.union(Flags::NO_MULTI).union(Flags::ALLOW_BUSY))
        .group(Group::Server, "1.0.0")
        .summary("Closes the pool in good order and ends the server.")
        .complexity(
            "O(N) when saving, where N is the total number of keys in all databases when \
                     saving data, otherwise O(1)",
        )
        .arguments(&[
            Argument::new(
                "save-selector",
                ArgumentKind::OneOf(&[
                    Argument::token("nosave", "NOSAVE"),
                    Argument::token("save", "SAVE"),
                ]),
            )
            .optional(),
            Argument::token("now", "NOW").optional().since("7.0.0"),
            Argument::token("force", "FORCE").optional().since("7.0.0"),
            Argument::token("abort", "ABORT").optional().since("7.0.0"),
        ])
        .history(&[("7.0.0", "Added the `NOW`, `FORCE` and `ABORT` modifiers.")]),
    Row::new("time", Arity::Exactly(1), time)
        .flags(Flags::LOADING.union(Flags::STALE).union(Flags::FAST))
        .group(Group::Server, "2.6.0")
        .summary("Answers the server's time: seconds and microseconds.")
        .complexity("O(1)")
        .tips(&["nondeterministic_output"]),
    Row::new("debug", Arity::AtLeast(2), debug)
        // Redis blocks every client while DEBUG runs, which is what tests use SLEEP for.
        .flags(ADMIN.union(Flags::SLOW).union(Flags::ALONE))
        .group(Group::Server, "1.0.0")
        .summary("Helps with tests.")
        .complexity("Depends on subcommand.")
        .internal(),
];

/// What SHUTDOWN's arguments ask for.
#[derive(Debug, PartialEq, Eq)]
enum Shutdown {
    Begin,
    Abort,
}

impl Shutdown {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let (mut save, mut nosave, mut other, mut abort) = (false, false, false, false);
        for argument in args.from(1) {
            match argument.to_ascii_lowercase().as_slice() {
                b"save" => save = true,
                b"nosave" => nosave = true,
                b"now" | b"force" => other = true,
                b"abort" => abort = true,
                _ => return Err(CommandError::Syntax),
            }
        }
        if (abort && (save || nosave || other)) || (save && nosave) {
            return Err(CommandError::Syntax);
        }
        Ok(if abort {
            Shutdown::Abort
        } else {
            Shutdown::Begin
        })
    }
}

fn shutdown(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    match Shutdown::parse(args)? {
        // A shutdown waits for no replicas, so it is over before another command could stop it.
        Shutdown::Abort => Err(CommandError::text("ERR No shutdown in progress.")),
        Shutdown::Begin => {
            let says = |option: &[u8]| {
                args.from(1)
                    .any(|argument| argument.eq_ignore_ascii_case(option))
            };
            if ctx.keyspace.gate().is_busy()
                && !says(b"nosave")
                && let Some(kind) = ctx.server.scripting.running.kind()
            {
                return Err(CommandError::text(kind.busy()));
            }
            let settings = ctx.server.config.settings();
            let saves = says(b"save") || (!says(b"nosave") && !settings.save_points.is_empty());
            // The file is written once all clients are gone, when it is too late to stay.
            if saves
                && !says(b"force")
                && let Err(error) = check_place(&settings)
            {
                tracing::warn!(%error, "SHUTDOWN cannot write an RDB file");
                return Err(CommandError::text(
                    "ERR Errors trying to SHUTDOWN. Check logs.",
                ));
            }
            ctx.server.saves.set_at_end(saves);
            tracing::info!(client = %ctx.session.handle.addr, "a client asked for the shutdown");
            ctx.server.shutdown.send_replace(true);
            Ok(Outcome::Close)
        }
    }
}

fn time(_: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    // Not the batch's time: a client that asks twice in one pipeline wants two answers.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(Reply::Array(vec![
        Reply::bulk(now.as_secs().to_string()),
        Reply::bulk(now.subsec_micros().to_string()),
    ])
    .into())
}

/// How much of an unknown subcommand an error shows, bytes. Redis's number.
const SUBCOMMAND_SHOWN_BYTES: usize = 128;

const DEBUG_HELP: &[&str] = &[
    "ERROR <string>",
    "    Answer <string> as an error.",
    "LOG <message>",
    "    Write <message> to the server's log.",
    "SET-ACTIVE-EXPIRE (0|1)",
    "    Stop (0) or go on (1) removing expired keys in the background.",
    "SLEEP <seconds>",
    "    Sleep; fractions are allowed. All clients wait meanwhile.",
];

fn debug(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    check_debug_is_allowed(ctx)?;
    match (args[1].to_ascii_lowercase().as_slice(), args.len()) {
        (b"help", 2) => help::reply(ctx, "DEBUG", DEBUG_HELP),
        (b"sleep", 3) => {
            std::thread::sleep(parse_sleep(&args[2]));
            Ok(Reply::Ok.into())
        }
        (b"set-active-expire", 3) => {
            ctx.keyspace
                .expiry()
                .set_active(leading_float(&args[2]) != 0.0);
            Ok(Reply::Ok.into())
        }
        (b"error", 3) => Ok(Reply::Error(String::from_utf8_lossy(&args[2]).into_owned()).into()),
        (b"log", 3) => {
            tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(&args[2]));
            Ok(Reply::Ok.into())
        }
        (b"reload", _) => Err(CommandError::text(
            "ERR DEBUG RELOAD is not supported: there is no snapshot to reload \
             from, the pool is the data",
        )),
        _ => {
            let argument = shown(&args[1], SUBCOMMAND_SHOWN_BYTES);
            Err(CommandError::Text(
                format!(
                    "ERR unknown subcommand or wrong number of arguments for '{argument}'. \
             Try DEBUG HELP."
                )
                .into(),
            ))
        }
    }
}

fn check_debug_is_allowed(ctx: &Context<'_>) -> Result<(), CommandError> {
    let access = ctx.server.config.settings().enable_debug_command;
    if access.allows(ctx.session.handle.is_local()) {
        return Ok(());
    }
    Err(CommandError::text(
        "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it \
         from a local connection, otherwise you need to set this option in the configuration file, and then \
         restart the server.",
    ))
}

/// The longest DEBUG SLEEP, so that a typing error does not hold a thread for ever.
const SLEEP_SECONDS_MAX: f64 = 3600.0;

fn parse_sleep(argument: &[u8]) -> Duration {
    Duration::from_secs_f64(leading_float(argument).clamp(0.0, SLEEP_SECONDS_MAX))
}

/// The number that `argument` begins with, or 0: what C's `strtod` makes of plain decimals.
fn leading_float(argument: &[u8]) -> f64 {
    let text = std::str::from_utf8(argument).unwrap_or_default();
    let end = text
        .find(|byte: char| !(byte.is_ascii_digit() || byte == '.' || byte == '-'))
        .unwrap_or(text.len());
    text[..end].parse().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    fn parse(arguments: &[&str]) -> Option<Shutdown> {
        let arguments = OwnedArgs::new(std::iter::once(&"shutdown").chain(arguments));
        Shutdown::parse(arguments.args()).ok()
    }

    #[test]
    fn shutdown_arguments() {
        for good in [&[][..], &["NOSAVE"], &["save", "NOW", "FORCE"]] {
            assert_eq!(parse(good), Some(Shutdown::Begin), "{good:?}");
        }
        assert_eq!(parse(&["abort"]), Some(Shutdown::Abort));
        for bad in [&["SAVE", "NOSAVE"][..], &["NOW", "ABORT"], &["x"]] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn sleeps_as_long_as_the_number_says() {
        assert_eq!(parse_sleep(b"0.25"), Duration::from_millis(250));
        assert_eq!(parse_sleep(b"-1"), Duration::ZERO);
        assert_eq!(parse_sleep(b"x"), Duration::ZERO);
        assert_eq!(parse_sleep(b"1e999"), Duration::from_secs(1));
    }
}
