//! From words to a reply: look-up, permission, the handler, statistics.
//!
//! Inside MULTI commands are queued instead; EXEC runs them in [`exec`].

mod count;
mod exec;
mod lookup;
mod room;

use self::count::Run;
use self::lookup::{Known, is_http};
use super::spec::Flags;
use super::{Command, CommandError, CommandResult, Context, Lookups, Outcome};
use crate::keyspace::{Access, Keyspace, Presence, now_ms};
use crate::protocol::{Args, ReplyBuffer};
use crate::server::{ReplyMode, Server, Session};

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

/// What a connection's commands work with, besides the connection's own state.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The data.
    pub keyspace: &'a Keyspace,
    /// What all connections share.
    pub server: &'a Server,
    /// The batch's place among all that use the keyspace now.
    pub presence: Presence<'a>,
}

impl Dispatcher {
    /// For a new connection that `worker` serves.
    pub fn new(worker: usize) -> Self {
        Self {
            stripe: worker,
            takes_slow: false,
            last: Known::default(),
            access: Access::by_server(0),
            lookups: Lookups::default(),
            errors: 0,
            run: Run::new(),
        }
    }

    /// Starts a batch: reads the clock. Slow commands are for [`Next::Elsewhere`].
    pub fn begin<'a>(
        &mut self,
        keyspace: &'a Keyspace,
        server: &'a Server,
        session: &Session,
    ) -> Surroundings<'a> {
        self.start(session, false);
        Surroundings {
            keyspace,
            server,
            presence: Presence::of_worker(keyspace.gate(), self.stripe),
        }
    }

    /// Starts a batch on a thread that serves no other clients meanwhile: slow commands run.
    pub fn begin_slow<'a>(
        &mut self,
        keyspace: &'a Keyspace,
        server: &'a Server,
        session: &Session,
    ) -> Surroundings<'a> {
        self.start(session, true);
        Surroundings {
            keyspace,
            server,
            presence: Presence::beside(keyspace.gate()),
        }
    }

    fn start(&mut self, session: &Session, takes_slow: bool) {
        self.takes_slow = takes_slow;
        self.access = Access {
            now: now_ms(),
            touch: !session.no_touch,
            client: session.handle.id,
        };
        self.run.restart();
    }

    /// When the present batch began, ms since the Unix epoch.
    pub fn now(&self) -> i64 {
        self.access.now
    }

    /// Ends a batch: what was counted goes to the server's statistics.
    pub fn end(&mut self, server: &Server, input_bytes: usize, output_bytes: usize) {
        let stripe = server.stats.stripe(self.stripe);
        self.run.finish(stripe);
        let lookups = std::mem::take(&mut self.lookups);
        let errors = std::mem::take(&mut self.errors);
        stripe.add_batch(lookups, input_bytes as u64, output_bytes as u64, errors);
    }

    /// Runs one command, or queues it, and writes its reply to `out`.
    pub fn execute(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &mut Session,
        args: Args<'_>,
        out: &mut ReplyBuffer,
    ) -> Next {
        let found = self.last.find(args, session, around.keyspace);
        let found = found.and_then(|command| {
            room::ensure_room(command, args, session, around.keyspace, self.access.now)
        });
        let queues = session.transaction.is_some();
        if let Ok(command) = found
            && !self.takes_slow
            && !queues
            && command.spec.flags.contains(Flags::SLOW)
        {
            return Next::Elsewhere;
        }
        let mark = out.bytes.len();
        let next = match found {
            Ok(command) if queues && command.spec.flags.contains(Flags::EXECUTES) => {
                let patient = self.takes_slow;
                if !patient && session.has_slow_queued() {
                    return Next::Elsewhere;
                }
                match self.exec(around, session, command, out) {
                    Some(next) => next,
                    None => return Next::Elsewhere,
                }
            }
            Ok(command) if queues && !command.spec.flags.contains(Flags::UNQUEUED) => {
                session.begin_command();
                session.queue(command, args);
                out.simple("QUEUED");
                Next::Continue
            }
            Ok(command) => {
                session.begin_command();
                self.call(around, session, command, args, out)
            }
            Err(refusal) => {
                session.begin_command();
                self.refuse(around, session, refusal, args, out)
            }
        };
        // CLIENT REPLY OFF and SKIP have no reply either.
        if session.reply_mode != ReplyMode::On {
            out.bytes.truncate(mark);
        }
        if session.handle.mailbox.has_mail() {
            session.handle.mailbox.take_into(&mut out.bytes);
        }
        next
    }

    /// Runs a command's handler and writes what it answers.
    fn call(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
        out: &mut ReplyBuffer,
    ) -> Next {
        let mark = out.bytes.len();
        self.run
            .count(command, around.server.stats.stripe(self.stripe), session);
        self.access.touch = !session.no_touch;
        let mut context = Context {
            keyspace: around.keyspace,
            server: around.server,
            session,
            out,
            access: self.access,
            lookups: &mut self.lookups,
        };
        let outcome = (command.spec.handler)(&mut context, args);
        self.write(outcome, mark, out)
    }

    fn write(&mut self, outcome: CommandResult, mark: usize, out: &mut ReplyBuffer) -> Next {
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
                self.error(&error, out);
                self.run.failed();
                Next::Continue
            }
        }
    }

    /// Answers why a command may not run.
    fn refuse(
        &mut self,
        around: &Surroundings<'_>,
        session: &mut Session,
        (command, error): (Option<&'static Command>, CommandError),
        args: Args<'_>,
        out: &mut ReplyBuffer,
    ) -> Next {
        if command.is_none() && is_http(&args[0]) {
            tracing::warn!(
                client = %session.handle.addr,
                "closed: an HTTP request, perhaps one that a browser was made to send here"
            );
            return Next::Close;
        }
        if let Some(command) = command {
            let stripe = around.server.stats.stripe(self.stripe);
            self.run.rejected(command, stripe, session);
        }
        if let Some(transaction) = &mut session.transaction {
            transaction.is_spoilt = true;
        }
        if command.is_some_and(|command| command.spec.flags.contains(Flags::EXECUTES)) {
            session.discard(around.keyspace);
            let text = error.to_string();
            let reason = text
                .split_once(' ')
                .map_or(text.as_str(), |(_, reason)| reason);
            let error = format!("EXECABORT Transaction discarded because of: {reason}");
            self.error(&CommandError::Text(error.into()), out);
            return Next::Continue;
        }
        self.error(&error, out);
        Next::Continue
    }

    /// Answers an error and counts it.
    fn error(&mut self, error: &CommandError, out: &mut ReplyBuffer) {
        out.error(&error.to_string());
        self.errors += 1;
    }
}
