//! One connection's state, as commands see it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::feed::Announced;
use super::{ClientHandle, OwnTracking, OwnWait, Server, Subscriptions, Transaction};
use crate::acl::{Acl, Identity, User};
use crate::catalog::Command;
use crate::catalog::spec::Flags;
use crate::keyspace::{Keyspace, Watches};
use crate::protocol::{Args, Protocol};

/// CLIENT REPLY's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    /// Replies are sent.
    #[default]
    On,
    /// No reply is sent.
    Off,
    /// The reply of the next command is not sent.
    SkipNext,
    /// The reply of the running command is not sent.
    SkipThis,
}

/// One connection's state. It belongs to the connection's task; `handle` is the part that other threads may see.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // Independent properties of a client.
pub struct Session {
    /// The selected database.
    pub db: usize,
    /// Whether the client has authenticated, or did not need to when it connected. Other clients may run commands only
    /// while [`Acl::is_open`].
    pub authenticated: bool,
    /// The client's user.
    pub identity: Identity,
    /// CLIENT NO-TOUCH: the client's accesses do not count for LRU and LFU.
    pub no_touch: bool,
    /// CLIENT REPLY.
    pub reply_mode: ReplyMode,
    /// Commands queued for EXEC, from MULTI on.
    pub transaction: Option<Box<Transaction>>,
    /// Watched keys: if one changes, the next EXEC fails.
    pub watches: Watches,
    /// MONITOR: the client receives every command, and runs none on keys.
    pub monitors: bool,
    /// Whether the running command was queued.
    pub in_exec: bool,
    /// Whether a script makes the running call.
    pub in_script: bool,
    /// Whether the calls come from the master that this server follows: what holds for clients of a replica does not hold
    /// for them.
    pub is_master: bool,
    /// The command that the client waits in.
    pub wait: Option<OwnWait>,
    /// What the client has told of itself as a replica.
    pub announced: Option<Announced>,
    /// The client asked to follow as a replica.
    pub follow: Option<FollowRequest>,
    /// The client's subscriptions.
    pub subscriptions: Subscriptions,
    /// CLIENT TRACKING.
    pub tracking: OwnTracking,
    /// What other threads may see of this client.
    pub handle: Arc<ClientHandle>,
}

/// What a replica asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowRequest {
    /// The history whose first bytes it has, and how many.
    pub resumes: Option<(String, u64)>,
    /// Whether it asked by PSYNC.
    pub is_psync: bool,
    /// The replica is the master, and asks this server to take its place in the history of this id.
    pub hands_over: Option<String>,
}

impl Session {
    /// The state of a new connection.
    pub fn new(acl: &Acl, handle: Arc<ClientHandle>) -> Self {
        let user = Arc::clone(acl.default_user());
        Self::of(user, acl.is_open(), handle)
    }

    /// The state for calls that the server makes by itself, as a user that no client can become.
    pub fn internal(user: Arc<User>, handle: Arc<ClientHandle>) -> Self {
        Self::of(user, true, handle)
    }

    /// The state of the link to the master that this server follows.
    pub fn of_master(user: Arc<User>, handle: Arc<ClientHandle>) -> Self {
        Self {
            is_master: true,
            ..Self::internal(user, handle)
        }
    }

    fn of(user: Arc<User>, authenticated: bool, handle: Arc<ClientHandle>) -> Self {
        Self {
            db: 0,
            authenticated,
            identity: Identity::new(user),
            no_touch: false,
            reply_mode: ReplyMode::On,
            transaction: None,
            watches: Watches::default(),
            monitors: false,
            in_exec: false,
            in_script: false,
            is_master: false,
            wait: None,
            announced: None,
            follow: None,
            subscriptions: Subscriptions::default(),
            tracking: OwnTracking::default(),
            handle,
        }
    }

    /// Withdraws everything that other threads do for the client: a blocked command, watched keys, subscriptions,
    /// tracking.
    pub fn withdraw(&mut self, server: &Server, keyspace: &Keyspace) {
        if let Some(wait) = self.wait.take() {
            wait.end(&self.handle, keyspace);
        }
        keyspace.watching().unwatch(&mut self.watches);
        server.pubsub.leave(&mut self.subscriptions, &self.handle);
        let tracking = &mut self.tracking;
        server.tracking.disable(keyspace, &self.handle, tracking);
    }

    /// Whether the running command is part of a transaction or a script: it cannot wait, and its thread is alone in the gate.
    pub fn in_step(&self) -> bool {
        self.in_exec || self.in_script
    }

    /// Shows other clients how many commands are queued for EXEC.
    pub fn note_transaction(&self) {
        let (length, bytes) = self.transaction.as_ref().map_or((-1, 0), |transaction| {
            let length = i64::try_from(transaction.queue.len()).unwrap_or(i64::MAX);
            (length, transaction.bytes())
        });
        self.handle.multi.store(length, Ordering::Relaxed);
        self.handle.multi_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Shows other clients how many keys are watched, and what these, subscriptions and prefixes take.
    pub fn note_names(&self) {
        let bytes = self.watches.memory_bytes()
            + self.subscriptions.memory_bytes()
            + self.tracking.memory_bytes();
        let handle = &self.handle;
        handle
            .watched_keys
            .store(self.watches.len(), Ordering::Relaxed);
        handle.name_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Drops the transaction and the watched keys.
    pub fn discard(&mut self, keyspace: &Keyspace) {
        self.transaction = None;
        self.note_transaction();
        keyspace.watching().unwatch(&mut self.watches);
        self.note_names();
    }

    /// Queues a command for EXEC, inside a transaction.
    pub fn queue(&mut self, command: &'static Command, args: Args<'_>) {
        if let Some(transaction) = &mut self.transaction {
            transaction.push(command, args);
            self.note_transaction();
        }
    }

    /// Whether one of the queued commands is a slow one.
    pub fn has_slow_queued(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| {
            let mut queue = transaction.queue.iter();
            queue.any(|queued| queued.command.spec.flags.contains(Flags::SLOW))
        })
    }

    /// Memory of the queued commands, bytes.
    pub fn queued_bytes(&self) -> usize {
        self.transaction
            .as_ref()
            .map_or(0, |transaction| transaction.bytes())
    }

    /// Makes `user` the client's user.
    pub fn become_user(&mut self, user: &Arc<User>) {
        *self.handle.user.lock() = Arc::clone(user);
        self.identity = Identity::new(Arc::clone(user));
    }

    /// Selects a database. The database must exist.
    pub fn select(&mut self, db: usize) {
        self.db = db;
        self.handle.db.store(db, Ordering::Relaxed);
    }

    /// Records the protocol that the connection's [`ReplyBuffer`](crate::protocol::ReplyBuffer) was set to.
    pub fn note_protocol(&self, protocol: Protocol) {
        let number = if protocol == Protocol::Resp3 { 3 } else { 2 };
        self.handle.resp.store(number, Ordering::Relaxed);
    }

    /// Sets CLIENT NO-TOUCH.
    pub fn set_no_touch(&mut self, on: bool) {
        self.no_touch = on;
        self.handle.no_touch.store(on, Ordering::Relaxed);
    }

    /// The caller calls this before each command: a CLIENT REPLY SKIP of the previous command applies to this one, and
    /// ends after it.
    ///
    /// The reply is sent if the mode is [`ReplyMode::On`] after the command has run.
    pub fn begin_command(&mut self) {
        self.reply_mode = match self.reply_mode {
            ReplyMode::SkipNext => ReplyMode::SkipThis,
            ReplyMode::SkipThis => ReplyMode::On,
            other => other,
        };
    }

    /// RESET: sets the connection back to the state of a new one, except for the library's name and version.
    pub fn reset(&mut self, acl: &Acl, keyspace: &Keyspace) {
        self.discard(keyspace);
        self.select(0);
        self.become_user(acl.default_user());
        self.authenticated = acl.is_open();
        self.set_no_touch(false);
        self.reply_mode = ReplyMode::On;
        self.note_protocol(Protocol::Resp2);
        self.monitors = false;
        self.handle.no_evict.store(false, Ordering::Relaxed);
        self.handle.name.lock().clear();
    }
}
