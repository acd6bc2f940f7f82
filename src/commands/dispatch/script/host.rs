//! The server as a running script sees it.

use std::time::{Duration, Instant};

use lua::{Host, Interrupt, KILLED, LogLevel};

use super::super::disk_check;
use super::super::lookup::{NOT_ENOUGH_REPLICAS, named};
use super::super::watch::may_replicate;
use super::super::{Dispatcher, Surroundings};
use super::Rights;
use crate::catalog::spec::Flags;
use crate::commands::{Command, CommandError, permission};
use crate::keyspace::Keyspace;
use crate::protocol::{Args, ReplyBuffer};
use crate::state::Session;
use crate::state::replication::READ_ONLY;
use crate::state::scripting::{RunKind, RunningCall, log_line};

/// A run on a worker that takes longer than this begins anew on a thread of its own, if it has no effects yet.
const MOVE_TIME: Duration = Duration::from_millis(10);

/// After so many calls a script looks at the clock, even if it runs few instructions between them.
const CALLS_PER_LOOK: u32 = 32;

/// How long a script may go on when the server stops.
const LAST_TIME: Duration = Duration::from_secs(1);

/// Ends a run on a worker that will begin anew on a thread of its own. No client sees it.
const MOVED: &str = "ERR the script begins anew on another thread";

/// Ends a script when the server stops.
const STOPPED: &str = "ERR Script killed: the server is shutting down";

/// What runs: for FUNCTION STATS, and for those that want to kill it.
#[derive(Clone, Copy)]
pub(super) struct About<'h> {
    pub kind: RunKind,
    /// The function's name, or the script's SHA-1.
    pub name: &'h [u8],
    /// The client's call.
    pub args: Args<'h>,
}

/// The server as a running script sees it, and what the run has done.
#[allow(clippy::struct_excessive_bools)] // Independent properties of a run.
pub(super) struct ScriptHost<'h, 'a> {
    dispatcher: &'h mut Dispatcher,
    around: &'h mut Surroundings<'a>,
    session: &'h mut Session,
    rights: Rights,
    about: About<'h>,
    /// When it began, by the clock of the dispatcher's counts.
    started: u64,
    /// After this time other clients get BUSY.
    threshold: Duration,
    /// It may begin anew on another thread.
    may_move: bool,
    is_moved: bool,
    /// A second run would show: the script has written, published or logged.
    has_effects: bool,
    has_written: bool,
    /// Other clients get BUSY.
    is_busy: bool,
    /// When it is killed, because the server stops.
    stops_at: Option<Instant>,
    calls: u32,
}

impl<'h, 'a> ScriptHost<'h, 'a> {
    /// A run begins. The thread is alone in the gate.
    pub(super) fn begin(
        dispatcher: &'h mut Dispatcher,
        around: &'h mut Surroundings<'a>,
        session: &'h mut Session,
        about: About<'h>,
        rights: Rights,
        (started, may_move): (u64, bool),
    ) -> Self {
        let server = around.server;
        server.scripting.running.begin(about.kind);
        Self {
            about,
            threshold: dispatcher.watch.busy_threshold(&server.config),
            dispatcher,
            around,
            session,
            rights,
            started,
            may_move,
            is_moved: false,
            has_effects: false,
            has_written: false,
            is_busy: false,
            stops_at: None,
            calls: 0,
        }
    }

    /// The run is over. Returns whether it was ended to begin anew on another thread.
    pub(super) fn end(self) -> bool {
        self.around.server.scripting.running.end(self.is_busy);
        self.is_moved
    }

    pub(super) fn keyspace(&self) -> &'a Keyspace {
        self.around.keyspace
    }

    /// Whether what the script writes must become one step. EXEC has made one already.
    pub(super) fn makes_step(&self) -> bool {
        self.rights.writes && !self.session.in_exec
    }

    /// Looks at the clock and at what others want. Returns the error that ends the script.
    #[cold]
    fn look(&mut self) -> Option<&'static str> {
        let server = self.around.server;
        if self.is_moved {
            return Some(MOVED);
        }
        if server.scripting.running.is_killed() {
            return Some(KILLED);
        }
        let ran = self.dispatcher.run.since(self.started);
        if self.may_move && !self.has_effects && ran >= MOVE_TIME.min(self.threshold) {
            self.is_moved = true;
            return Some(MOVED);
        }
        if !self.is_busy && ran >= self.threshold {
            self.is_busy = true;
            server.scripting.running.busy(RunningCall {
                name: self.about.name.to_vec(),
                command: self.about.args.from(0).map(<[u8]>::to_vec).collect(),
                // The second one never happens: the process has run for longer.
                started: Instant::now().checked_sub(ran).unwrap_or_else(Instant::now),
            });
            self.around.keyspace.set_busy();
            let kill = match self.about.kind {
                RunKind::Eval => "SCRIPT KILL",
                RunKind::Function => "FUNCTION KILL",
            };
            tracing::warn!(
                ms = ran.as_millis(),
                "slow script detected: it still runs; {kill} ends it if it has not written"
            );
        }
        if self.stops_at.is_none() && *server.shutdown.borrow() {
            let rest = if self.is_busy {
                Duration::ZERO
            } else {
                LAST_TIME
            };
            self.stops_at = Some(Instant::now() + rest);
        }
        if self.stops_at.is_some_and(|at| Instant::now() >= at) {
            return Some(STOPPED);
        }
        None
    }

    /// Whether the script may make this call.
    fn permit(&mut self, command: &'static Command, args: Args<'_>) -> Result<(), CommandError> {
        let flags = command.spec.flags;
        if !command.spec.arity.accepts(args.len()) {
            return Err(CommandError::text(
                "ERR Wrong number of args calling Redis command from script",
            ));
        }
        if flags.contains(Flags::NOSCRIPT) {
            return Err(CommandError::text(
                "ERR This Redis command is not allowed from script",
            ));
        }
        permission::check_in_script(command, args, self.session, self.around.server)?;
        if !self.rights.writes && may_replicate(command) {
            return Err(CommandError::text(
                "ERR Write commands are not allowed from read-only scripts.",
            ));
        }
        if flags.contains(Flags::WRITE)
            && !self.has_written
            && self.around.keyspace.is_sync_failing()
        {
            return Err(disk_check::refusal(self.around.keyspace));
        }
        if flags.contains(Flags::WRITE)
            && !self.has_written
            && self.around.server.feed.refuses_writes()
        {
            return Err(NOT_ENOUGH_REPLICAS);
        }
        let replication = &self.around.server.replication;
        if replication.restricts() && !self.session.is_master {
            if flags.contains(Flags::WRITE) && replication.is_read_only() {
                return Err(READ_ONLY);
            }
            if replication.refusal(flags, false).is_some() {
                return Err(CommandError::text(
                    "ERR Can not execute the command on a stale replica",
                ));
            }
        }
        if flags.contains(Flags::DENYOOM) && !self.has_written {
            // A script that has written goes on: half of it is worse than a little more memory.
            std::mem::replace(&mut self.rights.memory, Ok(()))?;
        }
        Ok(())
    }

    /// Notes what a call will do. Returns false if the run was killed just before its first write.
    fn note_effects(&mut self, flags: Flags) -> bool {
        if flags.contains(Flags::WRITE) {
            if !self.has_written {
                self.has_written = true;
                self.has_effects = true;
                return self.around.server.scripting.running.wrote();
            }
        } else if flags.contains(Flags::PUBSUB) || flags.contains(Flags::ADMIN) {
            self.has_effects = true;
        }
        true
    }

    fn refuse(
        &mut self,
        command: Option<&'static Command>,
        error: &CommandError,
        reply: &mut ReplyBuffer,
    ) {
        let server = self.around.server;
        if let Some(command) = command {
            let stripe = server.stats.stripe(self.dispatcher.stripe);
            self.dispatcher.run.rejected(command, stripe, self.session);
        }
        self.dispatcher.error(server, error, reply);
    }
}

impl Host for ScriptHost<'_, '_> {
    fn call(&mut self, args: Args<'_>, reply: &mut ReplyBuffer) {
        self.calls += 1;
        if (self.calls.is_multiple_of(CALLS_PER_LOOK) || self.is_moved)
            && let Some(error) = self.look()
        {
            reply.error(error);
            return;
        }
        let Ok(command) = self
            .dispatcher
            .last_in_scripts
            .get_or_insert_default()
            .named(args)
        else {
            let error = CommandError::text("ERR Unknown Redis command called from script");
            return self.refuse(None, &error, reply);
        };
        if let Err(error) = self.permit(command, args) {
            return self.refuse(Some(command), &error, reply);
        }
        if !self.note_effects(command.spec.flags) {
            reply.error(KILLED);
            return;
        }
        self.dispatcher
            .call(self.around, self.session, command, args, reply);
    }

    fn may_call(&mut self, args: Args<'_>) -> Option<bool> {
        let command = named(args).ok()?;
        Some(permission::may_call(command, args, self.session))
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        self.has_effects = true;
        log_line(level, message);
    }

    fn interrupt(&mut self) -> Interrupt {
        self.look().map_or(Interrupt::Continue, Interrupt::Kill)
    }
}
