//! Calls and their time, counted for INFO.

use std::time::Instant;

use super::super::Command;
use crate::server::{CommandStats, Session, Stripe};

/// Calls of one command one after the other, timed together: the clock is read once for all of them.
#[derive(Debug)]
pub(super) struct Run {
    command: Option<&'static Command>,
    stats: CommandStats,
    started: Instant,
}

impl Run {
    /// No calls yet.
    pub(super) fn new() -> Self {
        Self {
            command: None,
            stats: CommandStats::default(),
            started: Instant::now(),
        }
    }

    /// From now on time counts.
    pub(super) fn restart(&mut self) {
        self.started = Instant::now();
    }

    /// A call begins.
    pub(super) fn count(&mut self, command: &'static Command, stripe: &Stripe, session: &Session) {
        self.switch(command, stripe, session);
        self.stats.calls += 1;
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

    /// What was counted goes to the server's statistics.
    pub(super) fn finish(&mut self, stripe: &Stripe) {
        let now = Instant::now();
        let spent = now.duration_since(self.started);
        self.started = now;
        let mut stats = std::mem::take(&mut self.stats);
        if let Some(command) = self.command.take_if(|_| stats != CommandStats::default()) {
            stats.nanos = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
            stripe.add_command(command.number, stats);
        }
    }
}
