//! Counts calls and their time for INFO.

use std::time::Duration;

use quanta::Clock;
use smallvec::SmallVec;

use super::super::Command;
use crate::catalog::spec::Flags;
use crate::state::{CommandStats, Session, Stripe, bucket_of};

/// How many different commands' counts wait. More of them go to the statistics at once.
const PENDING_MAX: usize = 8;

/// What does none of this may look at the statistics, as INFO does, so that all counts must be there before it runs.
const KEEPS_COUNTS: [Flags; 3] = [Flags::READONLY, Flags::WRITE, Flags::RUNS_SCRIPT];

/// Calls of several commands. Their sums go to the server's statistics in one step, at the end of the batch.
///
/// The clock is read once for each call: a call's time begins at the end of the one before, so it includes the
/// parsing of its arguments.
#[derive(Debug)]
pub(super) struct Run {
    pending: SmallVec<[Pending; PENDING_MAX]>,
    /// The place of the command that was counted last.
    last: usize,
    clock: Clock,
    /// Where the next call's time begins, by the clock.
    mark: u64,
}

/// Calls of one command.
#[derive(Debug)]
struct Pending {
    command: &'static Command,
    stats: CommandStats,
    /// Calls that took equally long, and the bucket of their duration.
    bucket: usize,
    calls_in_bucket: u64,
}

impl Pending {
    #[inline]
    fn finish_bucket(&mut self, stripe: &Stripe) {
        let calls = std::mem::take(&mut self.calls_in_bucket);
        if calls > 0 {
            stripe.add_durations(self.command.number, self.bucket, calls);
        }
    }
}

impl Run {
    /// No calls yet.
    pub(super) fn new() -> Self {
        Self {
            pending: SmallVec::new(),
            last: 0,
            clock: Clock::new(),
            mark: 0,
        }
    }

    /// The time so far counts for no call. Returns where the next call's time begins.
    #[inline]
    pub(super) fn restart(&mut self) -> u64 {
        self.mark = self.clock.raw();
        self.mark
    }

    /// The time since `mark`. The clock is the one of the calls, which takes a third of the time of the system's.
    #[inline]
    pub(super) fn since(&self, mark: u64) -> Duration {
        Duration::from_nanos(self.clock.delta_as_nanos(mark, self.clock.raw()))
    }

    /// The time from `mark` to where the next call's time begins: it reads no clock.
    #[inline]
    pub(super) fn until_mark(&self, mark: u64) -> Duration {
        Duration::from_nanos(self.clock.delta_as_nanos(mark, self.mark))
    }

    /// Where the next call's time begins, for [`done_since`](Self::done_since).
    pub(super) fn mark(&self) -> u64 {
        self.mark
    }

    /// A call begins.
    #[inline]
    pub(super) fn count(&mut self, command: &'static Command, stripe: &Stripe, session: &Session) {
        self.of(command, stripe, session).calls += 1;
    }

    /// Another thread makes the call that was counted last.
    pub(super) fn not_called(&mut self) {
        if let Some(pending) = self.pending.get_mut(self.last) {
            pending.stats.calls -= 1;
        }
    }

    /// The call that was counted last answered an error.
    pub(super) fn failed(&mut self) {
        if let Some(pending) = self.pending.get_mut(self.last) {
            pending.stats.failed += 1;
        }
    }

    /// A call was refused.
    pub(super) fn rejected(
        &mut self,
        command: &'static Command,
        stripe: &Stripe,
        session: &Session,
    ) {
        self.of(command, stripe, session).rejected += 1;
    }

    /// The call that was counted last and began at `mark` is over; returns how long it took, ns. `tracks`: its duration
    /// counts among those that are kept.
    #[inline]
    pub(super) fn done_since(&mut self, mark: u64, tracks: bool, stripe: &Stripe) -> u64 {
        let now = self.clock.raw();
        let nanos = self.clock.delta_as_nanos(mark, now);
        self.mark = now;
        if let Some(pending) = self.pending.get_mut(self.last) {
            pending.stats.nanos += nanos;
            if tracks {
                let bucket = bucket_of(nanos);
                if bucket != pending.bucket {
                    pending.finish_bucket(stripe);
                    pending.bucket = bucket;
                }
                pending.calls_in_bucket += 1;
            }
        }
        nanos
    }

    /// The counts of the command that is counted now.
    #[inline]
    fn of(
        &mut self,
        command: &'static Command,
        stripe: &Stripe,
        session: &Session,
    ) -> &mut CommandStats {
        let same = |pending: &Pending| std::ptr::eq(pending.command, command);
        if !self.pending.get(self.last).is_some_and(same) {
            self.turn_to(command, stripe, session);
        }
        &mut self.pending[self.last].stats
    }

    /// Another command is counted from now on.
    #[inline(never)]
    fn turn_to(&mut self, command: &'static Command, stripe: &Stripe, session: &Session) {
        let same = |pending: &Pending| std::ptr::eq(pending.command, command);
        let flags = command.spec.flags;
        if !KEEPS_COUNTS.iter().any(|&flag| flags.contains(flag)) {
            self.finish(stripe);
        }
        self.last = match self.pending.iter().position(same) {
            Some(place) => place,
            None => self.add(command, stripe),
        };
        // As in Redis, what a script calls does not show.
        if !session.in_script {
            session.handle.last_command.set(command);
        }
    }

    /// Makes a place for a command; returns it.
    fn add(&mut self, command: &'static Command, stripe: &Stripe) -> usize {
        if self.pending.len() == PENDING_MAX {
            self.finish(stripe);
        }
        self.pending.push(Pending {
            command,
            stats: CommandStats::default(),
            bucket: 0,
            calls_in_bucket: 0,
        });
        self.pending.len() - 1
    }

    /// Adds the counts to the server's statistics.
    pub(super) fn finish(&mut self, stripe: &Stripe) {
        for pending in &mut self.pending {
            pending.finish_bucket(stripe);
            if pending.stats != CommandStats::default() {
                stripe.add_command(pending.command.number, pending.stats);
            }
        }
        self.pending.clear();
    }
}
