//! Memory that a command may need.
//!
//! Before a command runs, dispatch makes room for what it knows of the need: the arguments, and before EXEC the values
//! that its commands will rewrite. A command that still finds no room has changed nothing; dispatch makes room and runs
//! it again.

use std::collections::HashMap;
use std::time::Instant;

use super::lookup::Found;
use super::{Dispatcher, Surroundings};
use crate::catalog::spec::Flags;
use crate::commands::{Command, CommandError, CommandResult};
use crate::keyspace::{DATABASES, Keyspace, Millis, ROOM_TIME_MAX, take_wanted};
use crate::numbers::parse_i64;
use crate::protocol::{Args, ReplyBuffer};
use crate::state::{Lookups, Queued, Session};

/// How often a command that found no room is run again.
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
    /// Makes room for a command that may add something, and refuses it where there is none. Where commands are queued,
    /// each of them takes memory, whatever it does later; EXEC adds what its commands add. `None` where the command has
    /// to wait for room, and this thread has other clients.
    #[inline]
    pub(super) fn ensure_room(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &Session,
        found: Found,
        args: Args<'_>,
    ) -> Option<Found> {
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
                let denied = |queued: &Queued| queued.command.spec.flags.contains(Flags::DENYOOM);
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
            match around.keyspace.ensure_room(bytes, now) {
                Ok(waits) => waits,
                Err(error) => return Some(Err((Some(command), error.into()))),
            }
        } else {
            more > 0 && around.keyspace.wants_room(bytes, now)
        };
        // A queued command writes nothing to the store yet.
        let is_queued = session.transaction.is_some() && !flags.contains(Flags::EXECUTES);
        if (waits && !is_queued) || self.wanted > 0 {
            if !self.takes_slow {
                return None;
            }
            // A call that was made before has told of the keys that it missed.
            self.lookups.is_again = self.wanted > 0;
            let bytes = bytes.max(std::mem::take(&mut self.wanted));
            self.wait_for_room(around, bytes, Instant::now() + ROOM_TIME_MAX);
        }
        Some(found)
    }

    /// Waits for room for `bytes`, outside the gate; whether there is as much.
    #[cold]
    fn wait_for_room(&self, around: &mut Surroundings<'_>, bytes: u64, until: Instant) -> bool {
        around.presence.leave();
        let made = around.keyspace.make_room(bytes, until, self.access.now);
        around.presence.come_back();
        made.unwrap_or_else(|error| {
            // The command itself answers the error, if it writes.
            tracing::warn!(%error, "no room was made");
            false
        })
    }

    /// Makes room for a call that found none, and makes it again. `None` where that takes a while and this thread has
    /// other clients.
    #[cold]
    pub(super) fn call_again(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &mut Session,
        attempt: &Attempt<'_>,
        out: &mut ReplyBuffer,
    ) -> Option<CommandResult> {
        let (keyspace, now) = (around.keyspace, self.access.now);
        let until = Instant::now() + ROOM_TIME_MAX;
        let queued = [(attempt.command, attempt.args)];
        let estimate = sum_of_needs(keyspace, queued.into_iter(), session.db, now);
        let mut bytes = take_wanted();
        for _ in 0..TRIES_MAX {
            if keyspace.could_hold(estimate) {
                bytes = bytes.max(estimate);
            }
            if bytes == 0 || !keyspace.may_make_room(bytes, now) {
                break;
            }
            let made = if session.in_exec {
                keyspace.win_room(bytes).unwrap_or_else(|error| {
                    tracing::warn!(%error, "no room was made");
                    false
                })
            } else if self.takes_slow {
                self.wait_for_room(around, bytes, until)
            } else {
                self.wanted = bytes;
                return None;
            };
            out.discard(attempt.mark);
            self.lookups = attempt.lookups;
            self.lookups.is_again = true;
            let outcome = self.run_handler(around, session, attempt.command, attempt.args, out);
            self.lookups.is_again = false;
            if !made || !matches!(outcome, Err(CommandError::OutOfMemory)) {
                return Some(outcome);
            }
            // Others may have taken the room, or the call may need more than it asked for so far.
            let wanted = take_wanted();
            bytes = match bytes.saturating_mul(2) {
                double if keyspace.could_hold(double) => double.max(wanted),
                _ => wanted,
            };
        }
        Some(Err(CommandError::OutOfMemory))
    }
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

/// What these calls write of what their keys hold now. Of one key, or of the same keys, only the last version takes
/// room: and the one before, while the last is written.
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
        let keys: Vec<&[u8]> = keys.filter_map(|key| args.get(key.word)).collect();
        let versions = if keys.len() == 1 { 2 } else { 1 };
        needs.entry((db, keys)).or_insert_with_key(|(db, keys)| {
            let sizes = keys.iter().map(|key| {
                let size = keyspace.stored_bytes(*db, key, only_strings, now);
                // This is only an estimate. The command itself answers what is wrong.
                size.unwrap_or_default()
            });
            versions * sizes.sum::<u64>()
        });
    }
    needs.into_values().sum()
}
