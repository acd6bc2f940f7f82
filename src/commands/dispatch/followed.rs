//! Calls while replicas follow: what each one changes becomes an effect ([`crate::state::Feed`]).

use std::sync::atomic::Ordering;

use super::{Dispatcher, Next, Surroundings};
use crate::commands::Command;
use crate::protocol::{Args, ReplyBuffer};
use crate::state::feed::{Call, recording};
use crate::state::{Feed, Session};

/// Tells the feed of a call that panics.
struct Guard<'f>(&'f Feed);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.abandon();
        }
    }
}

impl Dispatcher {
    /// Runs a call and fills the tickets of what it changed. The effects of a batch go to the feed together, when it leaves the gate.
    #[cold]
    pub(super) fn call_followed(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
        out: &mut ReplyBuffer,
    ) -> Next {
        recording::begin_call();
        self.has_failed = false;
        // The database as it is now: SELECT may change it.
        let call = Call {
            db: session.db,
            name: command.full_name,
            args,
        };
        let guard = Guard(&around.server.feed);
        let next = self.call_unfollowed(around, session, command, args, out);
        drop(guard);
        let feed = &around.server.feed;
        let failed = self.has_failed || next == Next::Elsewhere;
        if let Some(last) = feed.finish_call(around.keyspace, call, failed) {
            session.handle.last_ticket.store(last, Ordering::Relaxed);
        }
        if !around.presence.is_shared() {
            feed.flush();
        }
        next
    }

    /// A transaction or a script begins, whose effects are one. The thread is alone in the gate. Returns whether anybody
    /// follows it.
    pub(super) fn begin_step(around: &Surroundings<'_>) -> bool {
        let is_followed = around.keyspace.events().is_followed();
        if is_followed {
            recording::begin_step();
        }
        is_followed
    }

    /// The transaction or script ends, which [`begin_step`](Self::begin_step) has said to be followed.
    pub(super) fn end_step(around: &Surroundings<'_>, session: &Session, is_followed: bool) {
        if is_followed && let Some(last) = around.server.feed.finish_step() {
            session.handle.last_ticket.store(last, Ordering::Relaxed);
        }
    }
}
