//! EXEC: runs the queued commands one after the other. No other client's command runs between them.
//!
//! The connection is alone in the keyspace meanwhile, and the store takes all their writes as one atomic step.

use std::time::Instant;

use super::{Dispatcher, Next, Surroundings};
use crate::catalog::spec::Flags;
use crate::commands::{Command, CommandError, permission};
use crate::keyspace::{DATABASES, NotAlone, RECLAIM_IN_GATE_TIME_MAX};
use crate::numbers::parse_i64;
use crate::protocol::{Args, ReplyBuffer};
use crate::state::{Queued, Session};

impl Dispatcher {
    /// Runs the queued commands and writes their replies. `None` if it must wait for a slow command while this thread
    /// has other clients; then it has done nothing.
    #[cold]
    pub(super) fn exec(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
        out: &mut ReplyBuffer,
    ) -> Option<Next> {
        let mark = self.run.mark();
        let keyspace = around.keyspace;
        around.leave();
        let alone = match keyspace.gate().enter_alone(self.takes_slow) {
            Ok(alone) => alone,
            Err(NotAlone::SlowInside) => {
                around.presence.come_back_unless_busy();
                return None;
            }
            Err(NotAlone::Busy) => {
                session.begin_command();
                let refusal = (Some(command), around.busy());
                return Some(self.refuse(around, session, refusal, args, out));
            }
        };
        session.begin_command();
        let is_followed = Self::begin_step(around);
        let done = self.exec_alone(around, session, out);
        Self::end_step(around, session, is_followed);
        drop(alone);
        around.presence.come_back_unless_busy();
        let stripe = around.server.stats.stripe(self.stripe);
        self.run.count(command, stripe, session);
        let next = done.unwrap_or_else(|error| {
            self.run.failed();
            self.error(around.server, &error, out);
            Next::Continue
        });
        // EXEC's time includes the time of all its commands.
        self.done(mark, around, session, command, args);
        Some(next)
    }

    /// Runs one command while all others wait. The thread serves no other clients, so it may wait for slow commands.
    #[cold]
    pub(super) fn call_alone(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
        out: &mut ReplyBuffer,
    ) -> Next {
        around.leave();
        let Ok(alone) = around.keyspace.gate().enter_alone(true) else {
            let refusal = (Some(command), around.busy());
            return self.refuse(around, session, refusal, args, out);
        };
        // The wait to be alone does not count as the command's time.
        self.run.restart();
        let next = self.call(around, session, command, args, out);
        drop(alone);
        around.presence.come_back_unless_busy();
        next
    }

    fn exec_alone(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &mut Session,
        out: &mut ReplyBuffer,
    ) -> Result<Next, CommandError> {
        let keyspace = around.keyspace;
        let changed = keyspace
            .watching()
            .have_changed(&session.watches, self.access.now);
        let Some(transaction) = session.transaction.take() else {
            return Ok(Next::Continue);
        };
        session.discard(keyspace);
        if transaction.is_spoilt {
            return Err(CommandError::text(
                "EXECABORT Transaction discarded because of previous errors.",
            ));
        }
        if changed? {
            out.null_array();
            return Ok(Next::Continue);
        }
        let queue = &transaction.queue;
        let mut next = Next::Continue;
        let mark = out.len();
        session.in_exec = true;
        // Everybody waits for the transaction, on whatever thread it runs.
        let patient = std::mem::replace(&mut self.access.patient, true);
        self.exec_until = Some(Instant::now() + RECLAIM_IN_GATE_TIME_MAX);
        // The wait to be alone does not count as a queued command's time.
        self.run.restart();
        let keys = || written_keys(queue, session.db);
        let done = keyspace.atomically(keys().as_slice(), &mut || {
            out.array_header(queue.len());
            for Queued { command, args } in queue {
                // The rules may have changed since the command was queued.
                let (args, server) = (args.args(), around.server);
                if let Err(error) = permission::check_queued(command, args, session, server) {
                    self.run
                        .rejected(command, server.stats.stripe(self.stripe), session);
                    self.error(server, &error, out);
                } else if command.spec.flags.contains(Flags::RUNS_SCRIPT) {
                    self.script(around, session, command, args, out);
                } else if self.call(around, session, command, args, out) == Next::Close {
                    next = Next::Close;
                }
            }
        });
        session.in_exec = false;
        self.access.patient = patient;
        self.exec_until = None;
        if let Err(error) = done {
            out.truncate(mark);
            return Err(error.into());
        }
        Ok(next)
    }
}

/// The keys that queued commands may write, with their databases; some of them more than once.
fn written_keys(queue: &[Queued], mut db: usize) -> Vec<(usize, &[u8])> {
    let mut keys = Vec::new();
    for Queued { command, args } in queue {
        let (spec, args) = (command.spec, args.args());
        if spec.name == "select"
            && let Some(new) = args.get(1).and_then(parse_i64)
            && let Ok(new) = usize::try_from(new)
            && new < DATABASES
        {
            db = new;
        }
        if !spec.flags.contains(Flags::WRITE) {
            continue;
        }
        let found = spec.find_keys(args).into_iter();
        for key in found.filter_map(|key| args.get(key.argument)) {
            if spec.flags.contains(Flags::CROSS_DB) {
                keys.extend((0..DATABASES).map(|db| (db, key)));
            } else {
                keys.push((db, key));
            }
        }
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}
