//! One connection's state, as commands see it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{ClientHandle, Transaction};
use crate::commands::Command;
use crate::commands::spec::Flags;
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
    /// The reply of the command that runs is not sent.
    SkipThis,
}

/// One connection's state. It belongs to the connection's task; what others may see stands in `handle`.
#[derive(Debug)]
pub struct Session {
    /// The selected database.
    pub db: usize,
    /// Whether the client may run commands: no password is set, or it gave the right one.
    pub authenticated: bool,
    /// CLIENT NO-TOUCH: accesses do not count for LRU and LFU.
    pub no_touch: bool,
    /// CLIENT REPLY.
    pub reply_mode: ReplyMode,
    /// Commands that wait for EXEC, from MULTI on.
    pub transaction: Option<Box<Transaction>>,
    /// Keys whose change makes the next EXEC fail.
    pub watches: Watches,
    /// Whether what runs was queued.
    pub in_exec: bool,
    /// What other clients may see of this one.
    pub handle: Arc<ClientHandle>,
}

impl Session {
    /// That of a new connection.
    pub fn new(authenticated: bool, handle: Arc<ClientHandle>) -> Self {
        Self {
            db: 0,
            authenticated,
            no_touch: false,
            reply_mode: ReplyMode::On,
            transaction: None,
            watches: Watches::default(),
            in_exec: false,
            handle,
        }
    }

    /// Shows how many commands wait for EXEC.
    pub fn note_transaction(&self) {
        let (length, bytes) = self.transaction.as_ref().map_or((-1, 0), |transaction| {
            let length = i64::try_from(transaction.queue.len()).unwrap_or(i64::MAX);
            (length, transaction.bytes())
        });
        self.handle.multi.store(length, Ordering::Relaxed);
        self.handle.multi_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Forgets the transaction and the watched keys.
    pub fn discard(&mut self, keyspace: &Keyspace) {
        self.transaction = None;
        self.note_transaction();
        keyspace.unwatch(&mut self.watches);
    }

    /// Has a command wait for EXEC, inside a transaction.
    pub fn queue(&mut self, command: &'static Command, args: Args<'_>) {
        if let Some(transaction) = &mut self.transaction {
            transaction.push(command, args);
            self.note_transaction();
        }
    }

    /// Whether one of the commands that wait for EXEC is a slow one.
    pub fn has_slow_queued(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| {
            let mut queue = transaction.queue.iter();
            queue.any(|queued| queued.command.spec.flags.contains(Flags::SLOW))
        })
    }

    /// Memory that waits for EXEC, bytes.
    pub fn queued_bytes(&self) -> usize {
        self.transaction
            .as_ref()
            .map_or(0, |transaction| transaction.bytes())
    }

    /// Selects a database that exists.
    pub fn select(&mut self, db: usize) {
        self.db = db;
        self.handle.db.store(db, Ordering::Relaxed);
    }

    /// Notes the protocol that the connection's [`ReplyBuffer`](crate::protocol::ReplyBuffer) was set to.
    pub fn note_protocol(&self, protocol: Protocol) {
        let number = if protocol == Protocol::Resp3 { 3 } else { 2 };
        self.handle.resp.store(number, Ordering::Relaxed);
    }

    /// CLIENT NO-TOUCH.
    pub fn set_no_touch(&mut self, on: bool) {
        self.no_touch = on;
        self.handle.no_touch.store(on, Ordering::Relaxed);
    }

    /// Called before each command: CLIENT REPLY SKIP of the command before reaches this one, and ends after it.
    ///
    /// The command's reply is sent if the mode is [`ReplyMode::On`] once it has run.
    pub fn begin_command(&mut self) {
        self.reply_mode = match self.reply_mode {
            ReplyMode::SkipNext => ReplyMode::SkipThis,
            ReplyMode::SkipThis => ReplyMode::On,
            other => other,
        };
    }

    /// RESET: the connection is as if it were new, but for the library's name and version.
    pub fn reset(&mut self, authenticated: bool, keyspace: &Keyspace) {
        self.discard(keyspace);
        self.select(0);
        self.authenticated = authenticated;
        self.set_no_touch(false);
        self.reply_mode = ReplyMode::On;
        self.note_protocol(Protocol::Resp2);
        self.handle.no_evict.store(false, Ordering::Relaxed);
        self.handle.name.lock().clear();
    }
}
