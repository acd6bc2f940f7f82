//! The memory check before a command that may add something.
//!
//! Before such a command runs, memory is reclaimed for what can be known of its need: its arguments, and before EXEC what
//! its commands will write anew. A command that finds too little memory all the same has changed nothing; the dispatcher
//! reclaims memory for it and runs it again.

use std::collections::HashMap;
use std::time::Instant;

use lua::ScriptFlags;

use super::super::scripting::call::Manner;
use super::lookup::Found;
use super::{Dispatcher, Surroundings};
use crate::catalog::spec::Flags;
use crate::commands::{Command, CommandError, CommandResult};
use crate::keyspace::{
    DATABASES, Keyspace, Millis, RECLAIM_IN_GATE_TIME_MAX, RECLAIM_TIME_MAX, take_refused_bytes,
};
use crate::numbers::parse_i64;
use crate::protocol::{Args, ReplyBuffer};
use crate::state::feed::recording;
use crate::state::{Lookups, Queued, Session};

/// How often a command that found too little memory is run again.
const TRIES_MAX: usize = 8;

/// A call, and what was there before it.
pub(super) struct Attempt<'c> {
    pub(super) command: &'static Command,
    pub(super) args: Args<'c>,
    /// Where its reply begins.
    pub(super) mark: usize,
    pub(super) lookups: Lookups,
}

impl Dispatcher {
    /// Checks the memory for a command that may add something, reclaims some where there is too little, and refuses the
    /// command where nothing can be reclaimed. Each queued command takes memory, whatever it does later; EXEC adds what
    /// its commands add. Returns `None` if the command has to wait for memory or for elements of collections, and this thread
    /// has other clients.
    #[inline]
    pub(super) fn check_memory(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &Session,
        found: Found,
        args: Args<'_>,
    ) -> Option<Found> {
        if !self.check_elements(around, session, &found, args) {
            return None;
        }
        let Ok(command) = found else {
            self.wanted = 0;
            return Some(found);
        };
        let flags = command.spec.flags;
        let mut more = 0;
        let (adds, bytes) = match &session.transaction {
            None => (flags.contains(Flags::DENYOOM), args.bytes() as u64),
            Some(transaction) if flags.contains(Flags::EXECUTES) => {
                let queue = &transaction.queue;
                let denied = |queued: &Queued| {
                    let flags = queued.command.spec.flags;
                    flags.contains(Flags::DENYOOM)
                        || (flags.contains(Flags::RUNS_SCRIPT) && says_denyoom(around, queued))
                };
                more = need(around.keyspace, queue, session.db, self.access.now);
                let bytes = session.queued_bytes() as u64 + more;
                (queue.iter().any(denied), bytes)
            }
            Some(_) => (!flags.contains(Flags::UNQUEUED), args.bytes() as u64),
        };
        if !adds && more == 0 && self.wanted == 0 {
            return Some(found);
        }
        let now = self.access.now;
        let waits = if adds {
            match around.keyspace.memory_check().check(bytes, now) {
                Ok(waits) => waits,
                Err(error) => return Some(Err((Some(command), error.into()))),
            }
        } else {
            more > 0 && around.keyspace.memory_check().needs_reclaim(bytes, now)
        };
        // What is queued goes to no store yet.
        let is_queued = session.transaction.is_some() && !flags.contains(Flags::EXECUTES);
        if (waits && !is_queued) || self.wanted > 0 {
            if !self.takes_slow {
                return None;
            }
            // A call that was made before has told of the keys that it missed.
            self.lookups.is_again = self.wanted > 0;
            let bytes = bytes.max(std::mem::take(&mut self.wanted));
            self.wait_for_memory(around, bytes, Instant::now() + RECLAIM_TIME_MAX);
        }
        Some(found)
    }

    /// Waits outside the gate until there is memory for `bytes`; returns whether there is.
    #[cold]
    pub(super) fn wait_for_memory(
        &self,
        around: &mut Surroundings<'_>,
        bytes: u64,
        until: Instant,
    ) -> bool {
        around.leave();
        let made = around
            .keyspace
            .memory_check()
            .reclaim(bytes, until, self.access.now);
        around.presence.come_back();
        made.unwrap_or_else(|error| {
            // The command itself will say so, if it writes.
            tracing::warn!(%error, "no memory could be reclaimed");
            false
        })
    }

    /// Reclaims memory for a call that found too little, and makes the call again. Returns `None` if that takes a while
    /// and this thread has other clients.
    #[cold]
    pub(super) fn call_again(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &mut Session,
        attempt: &Attempt<'_>,
        out: &mut ReplyBuffer,
    ) -> Option<CommandResult> {
        let (keyspace, now) = (around.keyspace, self.access.now);
        // EXEC and a script have one end for all of their commands: everybody else waits for it.
        let until = match (self.exec_until, self.script_since) {
            (Some(until), _) => until,
            (None, Some(since)) => {
                let rest = RECLAIM_IN_GATE_TIME_MAX.saturating_sub(self.run.since(since));
                Instant::now() + rest
            }
            (None, None) => Instant::now() + RECLAIM_TIME_MAX,
        };
        let queued = [(attempt.command, attempt.args)];
        let estimate = sum_of_needs(keyspace, queued.into_iter(), session.db, now);
        let mut bytes = take_refused_bytes();
        for _ in 0..TRIES_MAX {
            if keyspace.memory_check().could_hold(estimate) {
                bytes = bytes.max(estimate);
            }
            if bytes == 0 || !keyspace.memory_check().may_reclaim(bytes, now) {
                break;
            }
            let made = if session.in_step() {
                keyspace
                    .memory_check()
                    .reclaim_in_gate(bytes, until)
                    .unwrap_or_else(|error| {
                        tracing::warn!(%error, "no memory could be reclaimed");
                        false
                    })
            } else if self.takes_slow {
                self.wait_for_memory(around, bytes, until)
            } else {
                self.wanted = bytes;
                return None;
            };
            out.discard(attempt.mark);
            self.lookups = attempt.lookups;
            self.lookups.is_again = true;
            if keyspace.events().is_followed() {
                recording::forget_effects();
            }
            let outcome = self.run_handler(around, session, attempt.command, attempt.args, out);
            self.lookups.is_again = false;
            if !made || !matches!(outcome, Err(CommandError::OutOfMemory)) {
                return Some(outcome);
            }
            // Perhaps others took the memory, or the call needs more than what it had asked for so far.
            let wanted = take_refused_bytes();
            bytes = match bytes.saturating_mul(2) {
                double if keyspace.memory_check().could_hold(double) => double.max(wanted),
                _ => wanted,
            };
        }
        Some(Err(CommandError::OutOfMemory))
    }
}

/// Whether a queued script says by its flags that it needs memory.
fn says_denyoom(around: &Surroundings<'_>, queued: &Queued) -> bool {
    let script = queued.args.args().get(1).unwrap_or_default();
    let flags = Manner::of(queued.command.spec.name).flags(&around.server.scripting, script);
    flags.is_some_and(|flags| {
        !flags.contains(ScriptFlags::ALLOW_OOM) && !flags.contains(ScriptFlags::NO_WRITES)
    })
}

/// What queued commands will write beside their arguments, bytes.
fn need(keyspace: &Keyspace, queue: &[Queued], db: usize, now: Millis) -> u64 {
    let mut rows = queue.iter().map(|queued| queued.command);
    if !rows.any(|command| grows(command).is_some()) {
        return 0;
    }
    let calls = queue
        .iter()
        .map(|queued| (queued.command, queued.args.args()));
    sum_of_needs(keyspace, calls, db, now)
}

/// Whether a command writes what its keys hold; and whether of strings only.
fn grows(command: &Command) -> Option<bool> {
    let flags = command.spec.flags;
    if flags.contains(Flags::COPIES) {
        return Some(false);
    }
    flags.contains(Flags::REWRITES).then_some(true)
}

/// How much these calls write of what their keys hold now, bytes. Of one key, or of the same keys, only the last version
/// takes memory, and the version before it while the last one is written.
fn sum_of_needs<'c>(
    keyspace: &Keyspace,
    calls: impl Iterator<Item = (&'static Command, Args<'c>)>,
    mut db: usize,
    now: Millis,
) -> u64 {
    let mut needs: HashMap<(usize, Vec<&[u8]>), u64> = HashMap::new();
    for (command, args) in calls {
        if command.spec.name == "select"
            && let Some(new) = args.get(1).and_then(parse_i64)
            && let Ok(new) = usize::try_from(new)
            && new < DATABASES
        {
            db = new;
        }
        let Some(only_strings) = grows(command) else {
            continue;
        };
        let keys = command.spec.find_keys(args).into_iter();
        let keys: Vec<&[u8]> = keys.filter_map(|key| args.get(key.argument)).collect();
        let versions = if keys.len() == 1 { 2 } else { 1 };
        needs.entry((db, keys)).or_insert_with_key(|(db, keys)| {
            let sizes = keys.iter().map(|key| {
                let size = keyspace
                    .memory_check()
                    .stored_bytes(*db, key, only_strings, now);
                // It is an estimate: the command itself will say what is wrong.
                size.unwrap_or_default()
            });
            versions * sizes.sum::<u64>()
        });
    }
    needs.into_values().sum()
}
