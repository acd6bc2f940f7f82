//! The commands: rows and handlers, one file a family. Adding a command touches its family's file only.

mod acl;
pub(crate) mod bitmaps;
mod blocking;
mod client;
mod command;
mod config;
mod connection;
mod database;
mod dispatch;
mod draw;
mod dump;
mod error;
mod expiry;
mod geo;
mod hashes;
mod help;
mod hyperloglog;
mod info;
mod keys;
mod latency;
mod lists;
mod lolwut;
mod memory;
mod module;
mod monitor;
pub mod numbers;
mod numkeys;
mod object;
mod permission;
mod pmemkv;
mod pubsub;
mod redact;
mod replication;
mod saving;
mod scan;
mod server;
mod sets;
mod slowlog;
mod sort;
mod sortedsets;
pub mod spec;
mod strings;
mod table;
mod transaction;
mod transfer;

pub use blocking::{Call, Wait};
pub use dispatch::{Dispatcher, Next};
pub use error::CommandError;
pub use permission::check_blocked;
pub use table::{Command, RenameError, Table, rename_commands, table};

use crate::keyspace::{Access, EventClass, Keyspace, KeyspaceError, StringView, Value, View};
use crate::protocol::{Reply, ReplyBuffer};
use crate::server::{Server, Session};

/// What running a command gives.
pub type CommandResult = Result<Outcome, CommandError>;

/// What a handler did.
#[derive(Debug)]
pub enum Outcome {
    /// This is the reply.
    Reply(Reply),
    /// The handler wrote one whole reply into [`Context::out`] itself.
    Written,
    /// This is the reply, and after it the connection closes.
    ReplyAndClose(Reply),
    /// No reply at all, and the connection closes.
    Close,
    /// The reply comes when it can be given: the client waits.
    Block(Box<Wait>),
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Outcome::Reply(reply)
    }
}

/// What a handler works with.
pub struct Context<'a> {
    /// The data.
    pub keyspace: &'a Keyspace,
    /// What all connections share: settings, clients, statistics.
    pub server: &'a Server,
    /// This connection's state.
    pub session: &'a mut Session,
    /// This connection's output, for replies that are written without a copy.
    pub out: &'a mut ReplyBuffer,
    /// Now, and whether accesses count.
    pub access: Access,
    /// Keyspace hits and misses of this batch.
    pub lookups: &'a mut Lookups,
}

/// Keyspace hits and misses, counted by read commands as Redis counts them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lookups {
    /// Keys found.
    pub hits: u64,
    /// Keys not found.
    pub misses: u64,
}

impl Context<'_> {
    /// Runs `f` on the live value of `key` in the selected database, and counts a hit or a miss.
    pub fn read<R>(
        &mut self,
        key: &[u8],
        f: impl FnOnce(Value<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        let result = self.keyspace.read(self.session.db, key, self.access, f)?;
        self.looked_up(key, result.is_some());
        Ok(result)
    }

    /// Runs `f` on the live string of `key` in the selected database, and counts a hit or a miss. What `f` writes into
    /// the output is the reply, unless it fails.
    pub fn read_string<R>(
        &mut self,
        key: &[u8],
        f: impl FnOnce(StringView<'_>, &mut ReplyBuffer) -> Result<R, CommandError>,
    ) -> Result<Option<R>, CommandError> {
        let mark = self.out.bytes.len();
        let out = &mut *self.out;
        let read = self
            .keyspace
            .read_string(self.session.db, key, self.access, |string| f(string, out));
        match &read {
            Ok(read) => self.looked_up(key, read.is_some()),
            Err(KeyspaceError::WrongKind) => self.looked_up(key, true),
            Err(_) => {}
        }
        let result = read?.transpose();
        if result.is_err() {
            self.out.bytes.truncate(mark);
        }
        result
    }

    /// Runs `f` on the live value of `key`, of whatever type, in the selected database, and counts a hit or a miss.
    /// What `f` writes into the output is the reply, unless it fails.
    pub fn view<R>(
        &mut self,
        key: &[u8],
        f: impl FnOnce(Option<View<'_>>, &mut ReplyBuffer) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        let mark = self.out.bytes.len();
        let out = &mut *self.out;
        let mut found = false;
        let result = self
            .keyspace
            .view(self.session.db, key, self.access, |view| {
                found = view.is_some();
                f(view, out)
            })?;
        if result.is_err() {
            self.out.bytes.truncate(mark);
        }
        self.looked_up(key, found);
        result
    }

    /// Counts a key that a read command looked up, and tells of it where it is missing.
    pub fn looked_up(&mut self, key: &[u8], found: bool) {
        self.count_lookup(found);
        if !found {
            self.keyspace
                .event(EventClass::KEY_MISS, "keymiss", self.session.db, key);
        }
    }

    /// Counts a key that a read command looked up.
    pub fn count_lookup(&mut self, found: bool) {
        if found {
            self.lookups.hits += 1;
        } else {
            self.lookups.misses += 1;
        }
    }
}
