//! From arguments to a command that the client may run now.

use smallvec::SmallVec;

use super::super::{Command, CommandError, permission, table};
use super::Surroundings;
use crate::catalog::spec::Flags;
use crate::error::shown;
use crate::protocol::Args;
use crate::state::Session;

/// How much of an unknown command an error shows, bytes. Redis's number.
const UNKNOWN_SHOWN_BYTES: usize = 128;

/// The command of a call; or why it may not run, with the command if it is known.
pub(super) type Found = Result<&'static Command, (Option<&'static Command>, CommandError)>;

/// A name and the command that has it: the next request often begins with the same one.
#[derive(Debug, Default)]
pub(super) struct Known {
    name: SmallVec<[u8; 16]>,
    /// One without subcommands.
    command: Option<&'static Command>,
}

impl Known {
    /// The command of a call, if the client may run it as it stands.
    pub(super) fn find(
        &mut self,
        args: Args<'_>,
        session: &mut Session,
        around: &Surroundings<'_>,
    ) -> Found {
        let command = self.named(args)?;
        permit(command, args, session, around)
    }

    /// The command or subcommand that the first arguments name.
    #[inline]
    pub(super) fn named(&mut self, args: Args<'_>) -> Found {
        match self.command {
            Some(command) if self.name.as_slice() == &args[0] => Ok(command),
            _ => self.learn(args),
        }
    }

    /// [`named`](Self::named) of another command than before.
    #[inline(never)]
    fn learn(&mut self, args: Args<'_>) -> Found {
        let command = named(args)?;
        if !command.is_container() && !command.full_name.contains('|') {
            self.name.clear();
            self.name.extend_from_slice(&args[0]);
            self.command = Some(command);
        }
        Ok(command)
    }
}

/// How many commands scripts may call in turns without looking them up each time.
const KNOWN_IN_SCRIPTS: usize = 16;

/// As [`Known`], for what scripts call: most of them call some commands in turns.
#[derive(Debug, Default)]
pub(super) struct KnownInScripts {
    /// Each by a few bytes of its name.
    by_name: [Known; KNOWN_IN_SCRIPTS],
}

impl KnownInScripts {
    /// The command or subcommand that the first arguments name.
    #[inline]
    pub(super) fn named(&mut self, args: Args<'_>) -> Found {
        let name = &args[0];
        let place = if let [first, .., last] = *name {
            // The weights that spread the fifty most usual commands best: no place has more than four of them.
            let sum = usize::from(first) + 11 * usize::from(last);
            sum + name.len() + 12 * usize::from(name[name.len() / 2])
        } else {
            0
        };
        self.by_name[place % KNOWN_IN_SCRIPTS].named(args)
    }
}

/// The command or subcommand that the first arguments name.
pub(super) fn named(args: Args<'_>) -> Found {
    let name = &args[0];
    let Some(command) = table().find(name).filter(|_| !name.contains(&b'|')) else {
        return Err((None, unknown_command(args)));
    };
    match args.get(1) {
        Some(argument) if command.is_container() => table()
            .find_subcommand(command, argument)
            .ok_or_else(|| (None, unknown_subcommand(command, argument))),
        _ => Ok(command),
    }
}

/// Whether the client may run the command with these arguments.
fn permit(
    command: &'static Command,
    args: Args<'_>,
    session: &mut Session,
    around: &Surroundings<'_>,
) -> Found {
    if !command.spec.arity.accepts(args.len()) {
        let error = CommandError::WrongArity(command.full_name.to_owned());
        return Err((Some(command), error));
    }
    if session.transaction.is_some() && command.spec.flags.contains(Flags::NO_MULTI) {
        let error = CommandError::text("ERR Command not allowed inside a transaction");
        return Err((Some(command), error));
    }
    let touches_keys = || {
        command.spec.flags.contains(Flags::READONLY) || command.spec.flags.contains(Flags::WRITE)
    };
    if session.monitors && touches_keys() {
        let error = CommandError::text("ERR Replica can't interact with the keyspace");
        return Err((Some(command), error));
    }
    if let Err(error) = permission::check(command, args, session, around.server) {
        return Err((Some(command), error));
    }
    if around.server.feed.refuses_writes() && writes(command, session) {
        return Err((Some(command), NOT_ENOUGH_REPLICAS));
    }
    if around.server.replication.restricts()
        && let Some(error) = refused_on_replica(command, session, around)
    {
        return Err((Some(command), error));
    }
    if session.handle.is_subscriber()
        && !command.spec.flags.contains(Flags::WHILE_SUBSCRIBED)
        && !session.handle.speaks_resp3()
    {
        let name = command.full_name;
        let text = format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
        );
        return Err((Some(command), CommandError::Text(text.into())));
    }
    if !around.keyspace.loading().is_done() && !command.spec.flags.contains(Flags::LOADING) {
        let error = CommandError::text("LOADING Redis is loading the dataset in memory");
        return Err((Some(command), error));
    }
    Ok(command)
}

/// What min-replicas-to-write refuses.
pub(super) const NOT_ENOUGH_REPLICAS: CommandError =
    CommandError::text("NOREPLICAS Not enough good replicas to write.");

/// Whether a call writes, or runs a transaction that does.
pub(super) fn writes(command: &Command, session: &Session) -> bool {
    let flags = command.spec.flags;
    let queued = session
        .transaction
        .as_ref()
        .filter(|_| flags.contains(Flags::EXECUTES));
    flags.contains(Flags::WRITE)
        || queued.is_some_and(|transaction| {
            let mut queue = transaction.queue.iter();
            queue.any(|queued| queued.command.spec.flags.contains(Flags::WRITE))
        })
}

/// Why the call may not run on a replica.
#[cold]
fn refused_on_replica(
    command: &Command,
    session: &Session,
    around: &Surroundings<'_>,
) -> Option<CommandError> {
    let writes = writes(command, session);
    around
        .server
        .replication
        .refusal(command.spec.flags, writes)
}

/// As a call was found, but while a script runs for long: then only a few commands may run.
#[cold]
pub(super) fn while_busy(found: Found, around: &Surroundings<'_>) -> Found {
    found.and_then(|command| {
        if command.spec.flags.contains(Flags::ALLOW_BUSY) {
            Ok(command)
        } else {
            Err((Some(command), around.busy()))
        }
    })
}

/// Names that begin a line of an HTTP request and that no command has. The server must not run the lines behind them: a
/// web page could make a visitor's browser send them.
pub(super) fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

fn unknown_command(args: Args<'_>) -> CommandError {
    let mut text = format!(
        "ERR unknown command '{}', with args beginning with: ",
        shown(&args[0], UNKNOWN_SHOWN_BYTES)
    );
    let mut used = 0;
    for argument in args.from(1) {
        if used >= UNKNOWN_SHOWN_BYTES {
            break;
        }
        let argument = shown(argument, UNKNOWN_SHOWN_BYTES - used);
        used += argument.len() + 3;
        text.push('\'');
        text.push_str(&argument);
        text.push_str("' ");
    }
    CommandError::Text(text.into())
}

fn unknown_subcommand(container: &Command, argument: &[u8]) -> CommandError {
    CommandError::Text(
        format!(
            "ERR unknown subcommand '{}'. Try {} HELP.",
            shown(argument, UNKNOWN_SHOWN_BYTES),
            container.full_name.to_ascii_uppercase()
        )
        .into(),
    )
}
