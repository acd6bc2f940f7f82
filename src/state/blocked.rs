//! A client that waits in a command, until somebody serves it, sets it free, or its time is over.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{ClientHandle, Session};
use crate::acl::User;
use crate::catalog::Command;
use crate::catalog::spec::Flags;
use crate::error::CommandError;
use crate::keyspace::{Access, Keyspace, KeyspaceError, Kind, Ticket, Waiter, now_ms};
use crate::protocol::{Args, OwnedArgs, Reply};

/// What a client that waits is answered.
pub type Answer = Result<Reply, CommandError>;

/// What a command that waits is to do. It can be tried again and again.
pub trait BlockedCall: std::fmt::Debug + Send + Sync {
    /// The type of value that it waits for.
    fn kind(&self) -> Kind;

    /// The keys that it waits for.
    fn keys(&self) -> Vec<&[u8]>;

    /// Does it; `None` where there is nothing to be had.
    fn attempt(
        &self,
        keyspace: &Keyspace,
        db: usize,
        access: Access,
    ) -> Result<Option<Reply>, CommandError>;
}

/// A call that is to wait.
#[derive(Debug)]
pub struct Wait {
    /// What it is to do.
    pub call: Box<dyn BlockedCall>,
    /// Until when; `None` is for ever.
    pub deadline: Option<std::time::Instant>,
}

/// A command that waits, as those see it who may serve it or set it free.
#[derive(Debug)]
pub struct Blocked {
    call: Box<dyn BlockedCall>,
    db: usize,
    command: &'static Command,
    args: OwnedArgs,
    user: Arc<User>,
    client: u64,
    touch: bool,
    state: Mutex<State>,
    answered: Notify,
}

#[derive(Debug)]
enum State {
    Waits,
    Answered(Answer),
    /// Its client has the answer, or is gone.
    Over,
}

/// A command that waits, as its own connection sees it.
#[derive(Debug)]
pub struct OwnWait {
    /// What the others see.
    pub blocked: Arc<Blocked>,
    /// When it is over.
    pub deadline: Option<Instant>,
    ticket: Arc<Ticket>,
}

impl OwnWait {
    /// Has the client of `session` wait in its call.
    pub fn begin(
        wait: Wait,
        (command, args): (&'static Command, Args<'_>),
        session: &mut Session,
        keyspace: &Keyspace,
        access: Access,
    ) -> Result<(), KeyspaceError> {
        let client = &session.handle;
        let blocked = Arc::new(Blocked {
            call: wait.call,
            db: session.db,
            command,
            args: OwnedArgs::new(args.from(0)),
            user: Arc::clone(session.identity.user()),
            client: client.id,
            touch: access.touch,
            state: Mutex::new(State::Waits),
            answered: Notify::new(),
        });
        let keys = blocked.call.keys();
        let waiter = Arc::<Blocked>::clone(&blocked);
        let ticket = keyspace.wait_for(session.db, &keys, waiter, access.now)?;
        // Who is seen to wait has a place in the queue.
        *client.blocked.lock() = Some(Arc::clone(&blocked));
        session.wait = Some(Self {
            blocked,
            deadline: wait.deadline.map(Instant::from_std),
            ticket,
        });
        Ok(())
    }

    /// Nobody waits any more.
    pub fn end(self, client: &ClientHandle, keyspace: &Keyspace) {
        *self.blocked.state.lock() = State::Over;
        *client.blocked.lock() = None;
        keyspace.leave(&self.ticket);
    }
}

impl Blocked {
    /// Gives the client this answer; false where it has one already.
    pub fn answer(&self, answer: Answer) -> bool {
        let mut state = self.state.lock();
        let waits = matches!(*state, State::Waits);
        if waits {
            *state = State::Answered(answer);
            self.answered.notify_one();
        }
        waits
    }

    /// Sets the client free as if its time was over, or with an error (CLIENT UNBLOCK).
    pub fn set_free(&self, with_error: bool) -> bool {
        self.answer(if with_error {
            Err(CommandError::text(
                "UNBLOCKED client unblocked via CLIENT UNBLOCK",
            ))
        } else {
            // Of all these commands, also where nothing to pop is null otherwise.
            Ok(Reply::NullArray)
        })
    }

    /// Its answer, once there is one. It is given once.
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

    /// Runs `f` while there is no answer, if there is none: none comes meanwhile.
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

    /// Returns once there may be an answer.
    pub async fn answered(&self) {
        self.answered.notified().await;
    }

    /// Runs the call as a whole, as if it was made now.
    fn run(&self, keyspace: &Keyspace) -> Result<Option<Reply>, CommandError> {
        let access = Access {
            now: now_ms(),
            touch: self.touch,
            client: self.client,
            serves: true,
        };
        let args = self.args.args();
        // The user's rules may have changed since.
        self.user.check(self.command, args)?;
        if self.command.spec.flags.contains(Flags::DENYOOM) {
            keyspace.ensure_room(args.bytes() as u64, access.now)?;
        }
        self.call.attempt(keyspace, self.db, access)
    }
}

impl Waiter for Blocked {
    fn kind(&self) -> Kind {
        self.call.kind()
    }

    fn attempt(&self, keyspace: &Keyspace) -> bool {
        // Held to the end: who sets the client free meanwhile comes too late, and says so.
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
