//! From arguments to a reply: look-up, permission, the handler, statistics.
//!
//! Inside MULTI commands are queued instead; EXEC runs them in [`exec`].

mod count;
mod disk_check;
mod elements;
mod exec;
mod followed;
mod lookup;
mod memory_check;
mod replicated;
mod script;
mod units_ahead;
mod watch;

use std::time::Instant;

use self::count::Run;
use self::lookup::{Known, KnownInScripts, is_http};
use self::memory_check::Attempt;
pub use self::replicated::{Applied, Failure};
use self::watch::Watch;
use super::row::{Handler, handlers};
use super::scripting::call::Manner;
use super::{Command, CommandError, CommandResult, Context, Outcome};
use crate::catalog::spec::Flags;
use crate::keyspace::{Access, Keyspace, Presence, now_ms};
use crate::protocol::{Args, Reply, ReplyBuffer};
use crate::state::scripting::RunKind;
use crate::state::{Lookups, Mode, OwnWait, ReplyMode, Server, Session};

/// A call of more bytes goes to another thread: to store as much takes long, compared with handing it over.
const INLINE_BYTES_MAX: usize = 8 << 20;

/// Runs commands for one connection and keeps what it counts for INFO.
#[derive(Debug)]
pub struct Dispatcher {
    /// By the commands' numbers.
    handlers: &'static [Handler],
    stripe: usize,
    /// Whether slow commands run too.
    takes_slow: bool,
    access: Access,
    lookups: Lookups,
    run: Run,
    watch: Watch,
    last: Known,
    /// What scripts have called, if there were any.
    last_in_scripts: Option<Box<KnownInScripts>>,
    /// Bytes that another thread must reclaim before the call runs; 0 if none.
    wanted: u64,
    /// Whether writes are refused in this batch, because the pool cannot be synced.
    refuses_writes: bool,
    /// Until when the commands of the running EXEC may make room.
    exec_until: Option<Instant>,
    /// Since when the thread has been alone in the gate for scripts, and since when the present one has run, by the clock of
    /// `run`.
    alone_since: u64,
    script_since: Option<u64>,
    /// Whether the last call answered an error.
    has_failed: bool,
}

/// Whether the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// With the next command.
    Continue,
    /// It closes once its output is sent.
    Close,
    /// Once the command that waits is answered.
    Block,
    /// As a replica: the client asked for the stream.
    Follow,
    /// The command is a slow one and has not run: it is for a thread that serves no other clients.
    Elsewhere,
    /// The command has not run: it waits until CLIENT PAUSE is over.
    Postpone,
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

impl Drop for Surroundings<'_> {
    fn drop(&mut self) {
        self.server.feed.flush();
    }
}

impl Surroundings<'_> {
    /// Leaves the gate, with what the batch has left for replicas.
    fn leave(&mut self) {
        self.server.feed.flush();
        self.presence.leave();
    }

    /// What a client hears while a script runs for long.
    #[cold]
    fn busy(&self) -> CommandError {
        let kind = self.server.scripting.running.kind();
        CommandError::text(kind.unwrap_or(RunKind::Eval).busy())
    }
}

impl Dispatcher {
    /// For a new connection that `worker` serves.
    pub fn new(worker: usize) -> Self {
        Self {
            handlers: handlers(),
            stripe: worker,
            takes_slow: false,
            last: Known::default(),
            last_in_scripts: None,
            access: Access::by_server(0),
            lookups: Lookups::default(),
            run: Run::new(),
            watch: Watch::default(),
            wanted: 0,
            refuses_writes: false,
            exec_until: None,
            alone_since: 0,
            script_since: None,
            has_failed: false,
        }
    }

    /// Starts a batch: reads the clock. Slow commands are for [`Next::Elsewhere`].
    pub fn begin<'a>(
        &mut self,
        keyspace: &'a Keyspace,
        server: &'a Server,
        session: &Session,
    ) -> Surroundings<'a> {
        self.start(keyspace, session, false);
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
        self.start(keyspace, session, true);
        Surroundings {
            keyspace,
            server,
            presence: Presence::beside(keyspace.gate()),
        }
    }

    fn start(&mut self, keyspace: &Keyspace, session: &Session, takes_slow: bool) {
        self.refuses_writes = keyspace.is_sync_failing();
        self.takes_slow = takes_slow;
        let now = now_ms();
        keyspace.expiry().begin_at(now);
        self.access = Access {
            now,
            touch: !session.no_touch,
            client: session.handle.id,
            serves: false,
            patient: takes_slow,
        };
        self.run.restart();
    }

    /// When the present batch began, ms since the Unix epoch.
    pub fn now(&self) -> i64 {
        self.access.now
    }

    /// Ends a batch: adds its counts to the server's statistics.
    pub fn end(&mut self, server: &Server, input_bytes: usize, output_bytes: usize) {
        let stripe = server.stats.stripe(self.stripe);
        self.run.finish(stripe);
        let lookups = std::mem::take(&mut self.lookups);
        stripe.add_batch(lookups, input_bytes as u64, output_bytes as u64);
    }

    /// The time since the last command counts for no command.
    #[inline]
    pub fn skip_time(&mut self) {
        self.run.restart();
    }

    /// Runs one command, or queues it, and writes its reply to `out`.
    pub fn execute(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &mut Session,
        args: Args<'_>,
        out: &mut ReplyBuffer,
    ) -> Next {
        let found = self.last.find(args, session, around);
        let is_inside = enter(around, &found);
        let found = if is_inside {
            found
        } else {
            lookup::while_busy(found, around)
        };
        let found = self.check_disk(around, session, found);
        let queues = session.transaction.is_some();
        if let Ok(command) = found
            && around.server.pause.is_on()
            && !self.takes_slow
            && watch::is_paused(around.server, session, command, args)
        {
            return Next::Postpone;
        }
        let found = if is_inside {
            let Some(found) = self.check_memory(around, session, found, args) else {
                return Next::Elsewhere;
            };
            found
        } else {
            found
        };
        if let Ok(command) = found
            && !self.takes_slow
            && !queues
            && (command.spec.flags.contains(Flags::SLOW) || args.bytes() > INLINE_BYTES_MAX)
        {
            return Next::Elsewhere;
        }
        let mark = out.len();
        let known = found.as_ref().ok().copied();
        let next = match found {
            Ok(command) if queues && command.spec.flags.contains(Flags::EXECUTES) => {
                let patient = self.takes_slow;
                if !patient && (session.has_slow_queued() || has_slow_script(around, session)) {
                    return Next::Elsewhere;
                }
                match self.exec(around, session, command, args, out) {
                    Some(next) => next,
                    None => return Next::Elsewhere,
                }
            }
            Ok(command) if queues && !command.spec.flags.contains(Flags::UNQUEUED) => {
                session.begin_command();
                session.queue(command, args);
                out.simple("QUEUED");
                self.run.restart();
                Next::Continue
            }
            Ok(command) => {
                let reply_mode = session.reply_mode;
                session.begin_command();
                let next = if command.spec.flags.contains(Flags::ALONE) {
                    self.call_alone(around, session, command, args, out)
                } else if command.spec.flags.contains(Flags::RUNS_SCRIPT) {
                    self.script(around, session, command, args, out)
                } else {
                    self.call(around, session, command, args, out)
                };
                if next == Next::Elsewhere {
                    session.reply_mode = reply_mode;
                    return next;
                }
                next
            }
            Err(refusal) => {
                session.begin_command();
                let next = self.refuse(around, session, refusal, args, out);
                self.run.restart();
                next
            }
        };
        // CLIENT REPLY OFF and SKIP have no reply either.
        if session.reply_mode != ReplyMode::On {
            let pushes = known.is_some_and(|command| command.spec.flags.contains(Flags::PUSHES));
            if queues || !pushes {
                out.discard(mark);
            }
        }
        // CLIENT CACHING is for the next command alone, or for all of a transaction.
        if session.tracking.caching && session.transaction.is_none() {
            session.tracking.caching =
                known.is_some_and(|command| command.full_name.starts_with("client"));
        }
        if !around.presence.is_inside() {
            // What waits is for when the script is over.
            return next;
        }
        if around.keyspace.waiting().has_ready() {
            around.presence.share();
            if !around.presence.is_inside() {
                return next;
            }
            around.keyspace.waiting().serve();
            // Serving others counts for no command's time.
            self.run.restart();
        }
        if session.handle.mailbox.has_mail() {
            session.handle.mailbox.take_into(out);
        }
        next
    }

    /// Runs a command's handler and writes what it answers.
    #[inline]
    fn call(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
        out: &mut ReplyBuffer,
    ) -> Next {
        if around.keyspace.events().is_followed() {
            self.call_followed(around, session, command, args, out)
        } else {
            self.call_unfollowed(around, session, command, args, out)
        }
    }

    /// [`call`](Self::call) while nobody follows the changes.
    fn call_unfollowed(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
        out: &mut ReplyBuffer,
    ) -> Next {
        let mark = out.len();
        self.run
            .count(command, around.server.stats.stripe(self.stripe), session);
        self.access.touch = !session.no_touch;
        if session.tracking.remembers && command.spec.flags.contains(Flags::READONLY) {
            remember(around.server, session, command, args);
        }
        let lookups = self.lookups;
        let mut outcome = self.run_handler(around, session, command, args, out);
        if matches!(outcome, Err(CommandError::TakesLong)) {
            out.discard(mark);
            self.lookups = lookups;
            self.run.not_called();
            return Next::Elsewhere;
        }
        if matches!(outcome, Err(CommandError::OutOfMemory)) {
            let attempt = Attempt {
                command,
                args,
                mark,
                lookups,
            };
            let Some(again) = self.call_again(around, session, &attempt, out) else {
                out.discard(mark);
                self.lookups = lookups;
                self.run.not_called();
                return Next::Elsewhere;
            };
            outcome = again;
        }
        self.lookups.is_again = false;
        self.has_failed = matches!(outcome, Err(_) | Ok(Outcome::Reply(Reply::Error(_))));
        let next = match outcome {
            Ok(Outcome::Block(wait)) => {
                let call = (command, args);
                let feed = &around.server.feed;
                match OwnWait::begin(*wait, call, session, around.keyspace, feed, self.access) {
                    Ok(()) => Next::Block,
                    Err(error) => self.write(around.server, Err(error.into()), mark, out),
                }
            }
            outcome => self.write(around.server, outcome, mark, out),
        };
        self.done(self.run.mark(), around, session, command, args);
        let reply_bytes = out.len().saturating_sub(mark);
        if self.watch.is_large(args.bytes(), reply_bytes) {
            watch::note_large(around, session, (command, args), reply_bytes);
        }
        next
    }

    #[inline]
    fn run_handler(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
        out: &mut ReplyBuffer,
    ) -> CommandResult {
        let mut context = Context {
            keyspace: around.keyspace,
            server: around.server,
            session,
            out,
            access: self.access,
            lookups: &mut self.lookups,
        };
        (self.handlers[command.number])(&mut context, args)
    }

    /// Counts the time of a call that began at `mark`, and shows the call to the slow log and its like.
    // Each command takes these steps, so none of them is a call of its own where nobody asks for more.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn done(
        &mut self,
        mark: u64,
        around: &Surroundings<'_>,
        session: &Session,
        command: &'static Command,
        args: Args<'_>,
    ) {
        let server = around.server;
        self.watch.refresh(&server.config);
        let stripe = server.stats.stripe(self.stripe);
        let nanos = self.run.done_since(mark, self.watch.tracks, stripe);
        if nanos >= self.watch.slow_nanos {
            watch::note_slow(around, session, command, args, nanos);
        }
        if server.monitors.any() {
            watch::show(server, session, command, args);
        }
    }

    /// Writes what a handler answers.
    #[inline]
    fn write(
        &mut self,
        server: &Server,
        outcome: CommandResult,
        mark: usize,
        out: &mut ReplyBuffer,
    ) -> Next {
        match outcome {
            Ok(Outcome::Written) => Next::Continue,
            Ok(Outcome::Reply(Reply::Integer(number))) => {
                out.integer(number);
                Next::Continue
            }
            outcome => self.write_other(server, outcome, mark, out),
        }
    }

    /// [`write`](Self::write) of what is no integer.
    #[inline(never)]
    fn write_other(
        &mut self,
        server: &Server,
        outcome: CommandResult,
        mark: usize,
        out: &mut ReplyBuffer,
    ) -> Next {
        match outcome {
            Ok(Outcome::Written) => Next::Continue,
            Ok(Outcome::Reply(reply)) => {
                out.reply(&reply);
                if let Reply::Error(text) = &reply {
                    server.stats.stripe(self.stripe).add_error(text);
                    self.run.failed();
                }
                Next::Continue
            }
            Ok(Outcome::ReplyAndClose(reply)) => {
                out.reply(&reply);
                Next::Close
            }
            Ok(Outcome::Close) => Next::Close,
            Ok(Outcome::Follow) => Next::Follow,
            Ok(Outcome::Block(_)) => Next::Block,
            Err(error) => {
                // A handler may have begun a reply before it failed.
                out.truncate(mark);
                self.error(server, &error, out);
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
            // Redis keeps other codes (NOAUTH, NOPERM).
            let reason = text.strip_prefix("ERR ").unwrap_or(&text);
            let error = format!("EXECABORT Transaction discarded because of: {reason}");
            self.error(around.server, &CommandError::Text(error.into()), out);
            return Next::Continue;
        }
        self.error(around.server, &error, out);
        Next::Continue
    }

    /// Answers an error and counts it.
    fn error(&self, server: &Server, error: &CommandError, out: &mut ReplyBuffer) {
        let text = error.to_string();
        out.error(&text);
        server.stats.stripe(self.stripe).add_error(&text);
    }
}

/// Whether the batch is inside the gate for this call. Only scripts run while the batch is alone there.
#[inline]
fn enter(around: &mut Surroundings<'_>, found: &lookup::Found) -> bool {
    let is_script = |command: &&Command| command.spec.flags.contains(Flags::RUNS_SCRIPT);
    if around.presence.is_alone() && !found.as_ref().is_ok_and(is_script) {
        around.presence.share();
    }
    around.presence.is_inside() || around.presence.come_back_unless_busy()
}

/// Remembers the keys that a caching client is about to read. It does so before the read, so that a change in between
/// finds the client.
#[cold]
fn remember(server: &Server, session: &Session, command: &Command, args: Args<'_>) {
    let client = &session.handle;
    let mode = client.tracking.mode();
    let caching = session.tracking.caching;
    if (mode.contains(Mode::OPTIN) && !caching) || (mode.contains(Mode::OPTOUT) && caching) {
        return;
    }
    let keys_max = server.config.settings().tracking_table_max_keys;
    let keys = command.spec.find_keys(args).into_iter();
    for key in keys.filter_map(|key| args.get(key.argument)) {
        server.tracking.remember(server, client, key, keys_max);
    }
}

/// Whether a queued script should run on a thread that serves no other clients.
fn has_slow_script(around: &Surroundings<'_>, session: &Session) -> bool {
    let Some(transaction) = &session.transaction else {
        return false;
    };
    let mut scripts = transaction
        .queue
        .iter()
        .filter(|queued| queued.command.spec.flags.contains(Flags::RUNS_SCRIPT));
    scripts.any(|queued| {
        let manner = Manner::of(queued.command.spec.name);
        let script = queued.args.args().get(1).unwrap_or_default();
        !manner.is_quick(&around.server.scripting, script)
    })
}
