//! A client that waits in a command, until another client serves it or unblocks it, or its timeout passes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lock_order::{Mutex, Rank};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::feed::{Call, Feed, recording};
use super::{ClientHandle, Session};
use crate::acl::User;
use crate::catalog::Command;
use crate::catalog::spec::Flags;
use crate::error::CommandError;
use crate::keyspace::{Access, Keyspace, KeyspaceError, Kind, Ticket, Waiter, now_ms};
use crate::protocol::{Args, OwnedArgs, Reply};

/// The reply to a waiting client.
pub type Answer = Result<Reply, CommandError>;

/// The work of a waiting command. It can be tried again and again.
pub trait BlockedCall: std::fmt::Debug + Send + Sync {
    /// The type of value that the command waits for.
    fn kind(&self) -> Kind;

    /// Whether the command cannot go on waiting if a key loses its value or gets one of another type: it is tried then.
    fn needs_value(&self) -> bool;

    /// The keys that the command waits for.
    fn keys(&self) -> Vec<&[u8]>;

    /// What the client hears when its timeout passes.
    fn timed_out(&self) -> Reply {
        // For all of the commands that wait for keys, even those that otherwise reply with another null.
        Reply::NullArray
    }

    /// Whether the command waits for replicas, and not for keys.
    fn waits_for_replicas(&self) -> bool {
        false
    }

    /// Tries the command; `None` if the keys have nothing for it yet.
    fn attempt(
        &self,
        keyspace: &Keyspace,
        db: usize,
        access: Access,
    ) -> Result<Option<Reply>, CommandError>;
}

/// A call that must wait.
#[derive(Debug)]
pub struct Wait {
    /// The work of the call.
    pub call: Box<dyn BlockedCall>,
    /// The end of the wait; `None` waits for ever.
    pub deadline: Option<std::time::Instant>,
}

/// A waiting command, as shared with the threads that may serve or unblock it.
#[derive(Debug)]
pub struct Blocked {
    call: Box<dyn BlockedCall>,
    db: usize,
    command: &'static Command,
    args: OwnedArgs,
    user: Arc<User>,
    client: Arc<ClientHandle>,
    feed: Arc<Feed>,
    touch: bool,
    state: Mutex<State>,
    answered: Notify,
}

#[derive(Debug)]
enum State {
    Waits,
    Answered(Answer),
    /// The client has the answer, or has disconnected.
    Over,
}

/// A waiting command, as its own connection sees it.
#[derive(Debug)]
pub struct OwnWait {
    /// The part that other threads share.
    pub blocked: Arc<Blocked>,
    /// The end of the wait; `None` waits for ever.
    pub deadline: Option<Instant>,
    ticket: Arc<Ticket>,
}

impl OwnWait {
    /// Lets the client of `session` wait in its call.
    pub fn begin(
        wait: Wait,
        (command, args): (&'static Command, Args<'_>),
        session: &mut Session,
        keyspace: &Keyspace,
        feed: &Arc<Feed>,
        access: Access,
    ) -> Result<(), KeyspaceError> {
        let client = &session.handle;
        let blocked = Arc::new(Blocked {
            call: wait.call,
            db: session.db,
            command,
            args: OwnedArgs::new(args.from(0)),
            user: Arc::clone(session.identity.user()),
            client: Arc::clone(client),
            feed: Arc::clone(feed),
            touch: access.touch,
            state: Mutex::new(Rank::Blocked, State::Waits),
            answered: Notify::new(),
        });
        let keys = blocked.call.keys();
        let waiter = Arc::<Blocked>::clone(&blocked);
        let ticket = keyspace
            .waiting()
            .enter(session.db, &keys, waiter, access.now)?;
        // Only now: a client that others see as waiting must already be in the queue.
        *client.blocked.lock() = Some(Arc::clone(&blocked));
        if blocked.call.waits_for_replicas() {
            feed.enter_waiting(Arc::clone(&blocked), keyspace);
        }
        session.wait = Some(Self {
            blocked,
            deadline: wait.deadline.map(Instant::from_std),
            ticket,
        });
        Ok(())
    }

    /// Ends the wait: the client leaves the queues.
    pub fn end(self, client: &ClientHandle, keyspace: &Keyspace) {
        *self.blocked.state.lock() = State::Over;
        *client.blocked.lock() = None;
        keyspace.waiting().leave(&self.ticket);
    }
}

impl Blocked {
    /// Gives the client this answer; `false` if it has one already.
    pub fn answer(&self, answer: Answer) -> bool {
        let mut state = self.state.lock();
        let waits = matches!(*state, State::Waits);
        if waits {
            *state = State::Answered(answer);
            self.answered.notify_one();
        }
        waits
    }

    /// Unblocks the client as if its timeout had passed, or with an error (CLIENT UNBLOCK).
    pub fn set_free(&self, with_error: bool) -> bool {
        self.answer(if with_error {
            Err(CommandError::text(
                "UNBLOCKED client unblocked via CLIENT UNBLOCK",
            ))
        } else {
            Ok(self.call.timed_out())
        })
    }

    /// Takes the answer, if there is one. The answer is given only once.
    pub fn take_answer(&self) -> Option<Answer> {
        let mut state = self.state.lock();
        if matches!(*state, State::Waits) {
            return None;
        }
        match std::mem::replace(&mut *state, State::Over) {
            State::Answered(answer) => Some(answer),
            State::Waits | State::Over => None,
        }
    }

    /// Runs `f` if there is no answer yet. No answer comes while `f` runs.
    pub fn if_waits(&self, f: impl FnOnce()) {
        let state = self.state.lock();
        if matches!(*state, State::Waits) {
            f();
        }
    }

    /// The command.
    pub fn command(&self) -> &'static Command {
        self.command
    }

    /// Returns when there may be an answer.
    pub async fn answered(&self) {
        self.answered.notified().await;
    }

    /// Runs the whole call, as if the client made it now.
    fn run(&self, keyspace: &Keyspace) -> Result<Option<Reply>, CommandError> {
        let access = Access {
            now: now_ms(),
            touch: self.touch,
            client: self.client.id,
            serves: true,
            patient: true,
        };
        let args = self.args.args();
        // The user's rules may have changed since the client sent the call.
        self.user.check(self.command, args)?;
        if self.command.spec.flags.contains(Flags::DENYOOM) {
            keyspace
                .memory_check()
                .check(args.bytes() as u64, access.now)?;
        }
        if !keyspace.events().is_followed() {
            return self.call.attempt(keyspace, self.db, access);
        }
        recording::begin_call();
        let result = self.call.attempt(keyspace, self.db, access);
        let call = Call {
            db: self.db,
            name: self.command.full_name,
            args,
        };
        if let Some(last) = self.feed.finish_call(keyspace, call, result.is_err()) {
            self.client.last_ticket.store(last, Ordering::Relaxed);
        }
        // Nobody knows how long this thread's batch still takes.
        self.feed.flush();
        result
    }
}

impl Waiter for Blocked {
    fn kind(&self) -> Kind {
        self.call.kind()
    }

    fn needs_value(&self) -> bool {
        self.call.needs_value()
    }

    fn attempt(&self, keyspace: &Keyspace) -> bool {
        // Hold the lock to the end: a thread that unblocks the client meanwhile comes too late and reports that.
        let mut state = self.state.lock();
        if !matches!(*state, State::Waits) {
            return true;
        }
        let answer = match self.run(keyspace) {
            Ok(None) => return false,
            Ok(Some(reply)) => Ok(reply),
            Err(error) => Err(error),
        };
        *state = State::Answered(answer);
        self.answered.notify_one();
        true
    }
}
