//! From words to a reply: look-up, arity, authentication, the handler, statistics.

use std::time::Instant;

use smallvec::SmallVec;

use super::error::shown;
use super::spec::Flags;
use super::{Command, CommandError, CommandResult, Context, Lookups, Outcome, table};
use crate::keyspace::{Access, Keyspace, now_ms};
use crate::protocol::{Args, ReplyBuffer};
use crate::server::{CommandStats, ReplyMode, Server, Session};

/// How much of an unknown command an error shows, bytes. Redis's number.
const UNKNOWN_SHOWN_BYTES: usize = 128;

/// Runs commands for one connection and keeps what it counts for INFO.
#[derive(Debug)]
pub struct Dispatcher {
    stripe: usize,
    /// Whether slow commands run too.
    takes_slow: bool,
    access: Access,
    lookups: Lookups,
    errors: u64,
    run: Run,
    last: Known,
}

/// A word and the command that it names: the next request often begins with the same one.
#[derive(Debug, Default)]
struct Known {
    word: SmallVec<[u8; 16]>,
    /// One without subcommands.
    command: Option<&'static Command>,
}

/// Calls of one command one after the other, timed together: the clock is read once for all of them.
#[derive(Debug)]
struct Run {
    command: Option<&'static Command>,
    stats: CommandStats,
    started: Instant,
}

/// Whether the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// With the next command.
    Continue,
    /// It closes once its output is sent.
    Close,
    /// The command is a slow one and has not run: it is for a thread that serves no other clients.
    Elsewhere,
}

impl Dispatcher {
    /// For a new connection that `worker` serves.
    pub fn new(worker: usize) -> Self {
        Self {
            stripe: worker,
            takes_slow: false,
            last: Known::default(),
            access: Access {
                now: 0,
                touch: true,
            },
            lookups: Lookups::default(),
            errors: 0,
            run: Run {
                command: None,
                stats: CommandStats::default(),
                started: Instant::now(),
            },
        }
    }

    /// Starts a batch: reads the clock. Slow commands are for [`Next::Elsewhere`].
    pub fn begin(&mut self, session: &Session) {
        self.takes_slow = false;
        self.access = Access {
            now: now_ms(),
            touch: !session.no_touch,
        };
        self.run.started = Instant::now();
    }

    /// Starts a batch on a thread that serves no other clients meanwhile: slow commands run.
    pub fn begin_slow(&mut self, session: &Session) {
        self.begin(session);
        self.takes_slow = true;
    }

    /// When the present batch began, ms since the Unix epoch.
    pub fn now(&self) -> i64 {
        self.access.now
    }

    /// Ends a batch: what was counted goes to the server's statistics.
    pub fn end(&mut self, server: &Server, input_bytes: usize, output_bytes: usize) {
        self.finish_run(server);
        let lookups = std::mem::take(&mut self.lookups);
        let errors = std::mem::take(&mut self.errors);
        let stripe = server.stats.stripe(self.stripe);
        stripe.add_batch(lookups, input_bytes as u64, output_bytes as u64, errors);
    }

    /// Runs one command and writes its reply to `out`.
    pub fn execute(
        &mut self,
        keyspace: &Keyspace,
        server: &Server,
        session: &mut Session,
        args: Args<'_>,
        out: &mut ReplyBuffer,
    ) -> Next {
        let found = self.last.find(args, session, keyspace);
        if let Ok(command) = found
            && !self.takes_slow
            && command.spec.flags.contains(Flags::SLOW)
        {
            return Next::Elsewhere;
        }
        let mark = out.bytes.len();
        session.begin_command();
        if let Ok(command) | Err((Some(command), _)) = found {
            self.count_call(command, server, session);
        }
        let (outcome, rejected) = match found {
            Err((None, _)) if is_http(&args[0]) => {
                tracing::warn!(
                    client = %session.handle.addr,
                    "closed: an HTTP request, perhaps one that a browser was made to send here"
                );
                (Ok(Outcome::Close), true)
            }
            Err((_, error)) => (Err(error), true),
            Ok(command) => {
                self.access.touch = !session.no_touch;
                let mut context = Context {
                    keyspace,
                    server,
                    session,
                    out,
                    access: self.access,
                    lookups: &mut self.lookups,
                };
                ((command.spec.handler)(&mut context, args), false)
            }
        };
        let next = self.write(outcome, rejected, mark, out);
        // CLIENT REPLY OFF and SKIP have no reply either.
        if session.reply_mode != ReplyMode::On {
            out.bytes.truncate(mark);
        }
        next
    }

    fn write(
        &mut self,
        outcome: CommandResult,
        rejected: bool,
        mark: usize,
        out: &mut ReplyBuffer,
    ) -> Next {
        match outcome {
            Ok(Outcome::Written) => Next::Continue,
            Ok(Outcome::Reply(reply)) => {
                out.reply(&reply);
                Next::Continue
            }
            Ok(Outcome::ReplyAndClose(reply)) => {
                out.reply(&reply);
                Next::Close
            }
            Ok(Outcome::Close) => Next::Close,
            Err(error) => {
                // A handler may have begun a reply before it failed.
                out.bytes.truncate(mark);
                out.error(&error.to_string());
                self.errors += 1;
                if rejected {
                    self.run.stats.calls = self.run.stats.calls.saturating_sub(1);
                    self.run.stats.rejected += 1;
                } else {
                    self.run.stats.failed += 1;
                }
                Next::Continue
            }
        }
    }

    fn count_call(&mut self, command: &'static Command, server: &Server, session: &Session) {
        let same = self
            .run
            .command
            .is_some_and(|running| std::ptr::eq(running, command));
        if !same {
            self.finish_run(server);
            self.run.command = Some(command);
            *session.handle.last_command.lock() = command.full_name;
        }
        self.run.stats.calls += 1;
    }

    fn finish_run(&mut self, server: &Server) {
        let now = Instant::now();
        let spent = now.duration_since(self.run.started);
        self.run.started = now;
        let mut stats = std::mem::take(&mut self.run.stats);
        if let Some(command) = self
            .run
            .command
            .take_if(|_| stats != CommandStats::default())
        {
            stats.nanos = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
            let stripe = server.stats.stripe(self.stripe);
            stripe.add_command(command.number, stats);
        }
    }
}

type Found = Result<&'static Command, (Option<&'static Command>, CommandError)>;

impl Known {
    /// The command of a call, if the client may run it as it stands.
    fn find(&mut self, args: Args<'_>, session: &Session, keyspace: &Keyspace) -> Found {
        let command = match self.command {
            Some(command) if self.word.as_slice() == &args[0] => command,
            _ => {
                let command = named(args)?;
                if command.spec.subcommands.is_empty() && !command.full_name.contains('|') {
                    self.word.clear();
                    self.word.extend_from_slice(&args[0]);
                    self.command = Some(command);
                }
                command
            }
        };
        permit(command, args, session, keyspace)
    }
}

/// The command or subcommand that the first words name.
fn named(args: Args<'_>) -> Found {
    let name = &args[0];
    let Some(command) = table().find(name).filter(|_| !name.contains(&b'|')) else {
        return Err((None, unknown_command(args)));
    };
    match args.get(1) {
        Some(word) if !command.spec.subcommands.is_empty() => table()
            .find_subcommand(command, word)
            .ok_or_else(|| (None, unknown_subcommand(command, word))),
        _ => Ok(command),
    }
}

/// Whether the client may run the command with these arguments.
fn permit(
    command: &'static Command,
    args: Args<'_>,
    session: &Session,
    keyspace: &Keyspace,
) -> Found {
    if !command.spec.arity.accepts(args.len()) {
        let error = CommandError::WrongArity(command.full_name.to_owned());
        return Err((Some(command), error));
    }
    if !session.authenticated && !command.spec.flags.contains(Flags::NO_AUTH) {
        let error = CommandError::text("NOAUTH Authentication required.");
        return Err((Some(command), error));
    }
    if !keyspace.is_loaded() && !command.spec.flags.contains(Flags::LOADING) {
        let error = CommandError::text("LOADING Redis is loading the dataset in memory");
        return Err((Some(command), error));
    }
    Ok(command)
}

/// Words that begin lines of an HTTP request and no command: lines after them must not be run, since whoever can make
/// somebody else's browser send a request would choose them.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

fn unknown_command(args: Args<'_>) -> CommandError {
    let mut text = format!(
        "ERR unknown command '{}', with args beginning with: ",
        shown(&args[0], UNKNOWN_SHOWN_BYTES)
    );
    let mut used = 0;
    for word in args.from(1) {
        if used >= UNKNOWN_SHOWN_BYTES {
            break;
        }
        let word = shown(word, UNKNOWN_SHOWN_BYTES - used);
        used += word.len() + 3;
        text.push('\'');
        text.push_str(&word);
        text.push_str("' ");
    }
    CommandError::Text(text.into())
}

fn unknown_subcommand(container: &Command, word: &[u8]) -> CommandError {
    CommandError::Text(
        format!(
            "ERR unknown subcommand '{}'. Try {} HELP.",
            shown(word, UNKNOWN_SHOWN_BYTES),
            container.full_name.to_ascii_uppercase()
        )
        .into(),
    )
}
