//! Counts calls and their time for INFO.

use quanta::Clock;

use super::super::Command;
use crate::state::{CommandStats, Session, Stripe, bucket_of};

/// A run of calls of one command. Their sum goes to the server's statistics in one step.
///
/// The clock is read once for each call: a call's time begins at the end of the one before, so it includes the
/// parsing of its arguments.
#[derive(Debug)]
pub(super) struct Run {
    command: Option<&'static Command>,
    stats: CommandStats,
    /// Calls that took equally long, and the bucket of their duration.
    bucket: usize,
    calls_in_bucket: u64,
    clock: Clock,
    /// Where the next call's time begins, by the clock.
    mark: u64,
}

impl Run {
    /// No calls yet.
    pub(super) fn new() -> Self {
        Self {
            command: None,
            stats: CommandStats::default(),
            bucket: 0,
            calls_in_bucket: 0,
            clock: Clock::new(),
            mark: 0,
        }
    }

    /// The time so far counts for no call.
    #[inline]
    pub(super) fn restart(&mut self) {
        self.mark = self.clock.raw();
    }

    /// Where the next call's time begins, for [`done_since`](Self::done_since).
    pub(super) fn mark(&self) -> u64 {
        self.mark
    }

    /// A call begins.
    pub(super) fn count(&mut self, command: &'static Command, stripe: &Stripe, session: &Session) {
        self.switch(command, stripe, session);
        self.stats.calls += 1;
    }

    /// Another thread makes the call that was counted last.
    pub(super) fn not_called(&mut self) {
        self.stats.calls -= 1;
    }

    /// The call that was counted last answered an error.
    pub(super) fn failed(&mut self) {
        self.stats.failed += 1;
    }

    /// A call was refused.
    pub(super) fn rejected(
        &mut self,
        command: &'static Command,
        stripe: &Stripe,
        session: &Session,
    ) {
        self.switch(command, stripe, session);
        self.stats.rejected += 1;
    }

    /// The call that was counted last and began at `mark` is over; returns how long it took, ns. `tracks`: its duration
    /// counts among those that are kept.
    #[inline]
    pub(super) fn done_since(&mut self, mark: u64, tracks: bool, stripe: &Stripe) -> u64 {
        let now = self.clock.raw();
        let nanos = self.clock.delta_as_nanos(mark, now);
        self.mark = now;
        self.stats.nanos += nanos;
        if tracks {
            let bucket = bucket_of(nanos);
            if bucket != self.bucket {
                self.finish_bucket(stripe);
                self.bucket = bucket;
            }
            self.calls_in_bucket += 1;
        }
        nanos
    }

    #[inline]
    fn finish_bucket(&mut self, stripe: &Stripe) {
        let calls = std::mem::take(&mut self.calls_in_bucket);
        if let Some(command) = self.command
            && calls > 0
        {
            stripe.add_durations(command.number, self.bucket, calls);
        }
    }

    fn switch(&mut self, command: &'static Command, stripe: &Stripe, session: &Session) {
        let same = self
            .command
            .is_some_and(|running| std::ptr::eq(running, command));
        if !same {
            self.finish(stripe);
            self.command = Some(command);
            *session.handle.last_command.lock() = command.full_name;
        }
    }

    /// Adds the counts to the server's statistics.
    pub(super) fn finish(&mut self, stripe: &Stripe) {
        self.finish_bucket(stripe);
        let stats = std::mem::take(&mut self.stats);
        if let Some(command) = self.command.take_if(|_| stats != CommandStats::default()) {
            stripe.add_command(command.number, stats);
        }
    }
}
