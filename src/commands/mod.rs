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
mod numkeys;
mod object;
mod permission;
mod pmemkv;
mod pubsub;
mod redact;
mod replication;
mod row;
mod saving;
mod scan;
mod server;
mod sets;
mod slowlog;
mod sort;
mod sortedsets;
mod strings;
mod transaction;
mod transfer;

pub use crate::catalog::{Command, table};
pub use crate::error::CommandError;
pub use dispatch::{Dispatcher, Next};
#[cfg(test)]
pub(crate) use row::new_table;
pub use row::{Handler, Row, install, install_renamed};

use crate::keyspace::{Access, EventClass, Keyspace, KeyspaceError, StringView, Value, View};
use crate::numbers;
use crate::protocol::{Reply, ReplyBuffer};
use crate::state::{Lookups, Server, Session, Wait};

/// Every family of commands. A new family adds its line here; a new command only its row there.
pub(crate) static FAMILIES: &[&[Row]] = &[
    database::COMMANDS,
    dump::COMMANDS,
    expiry::COMMANDS,
    keys::COMMANDS,
    object::COMMANDS,
    scan::COMMANDS,
    transfer::COMMANDS,
    transaction::COMMANDS,
    pubsub::COMMANDS,
    strings::values::COMMANDS,
    strings::set::COMMANDS,
    strings::counters::COMMANDS,
    strings::ranges::COMMANDS,
    strings::lcs::COMMANDS,
    blocking::lists::COMMANDS,
    blocking::scores::COMMANDS,
    bitmaps::rows::COMMANDS,
    hyperloglog::rows::COMMANDS,
    lists::push::COMMANDS,
    lists::pop::COMMANDS,
    lists::read::COMMANDS,
    lists::change::COMMANDS,
    lists::moving::COMMANDS,
    hashes::rows::COMMANDS,
    sets::rows::COMMANDS,
    sort::rows::COMMANDS,
    geo::rows::COMMANDS,
    geo::radius_rows::COMMANDS,
    sortedsets::rows::COMMANDS,
    sortedsets::range_rows::COMMANDS,
    sortedsets::algebra_rows::COMMANDS,
    connection::COMMANDS,
    acl::COMMANDS,
    client::COMMANDS,
    command::COMMANDS,
    config::COMMANDS,
    server::COMMANDS,
    memory::COMMANDS,
    module::COMMANDS,
    info::COMMANDS,
    slowlog::COMMANDS,
    latency::COMMANDS,
    monitor::COMMANDS,
    replication::COMMANDS,
    saving::COMMANDS,
    lolwut::COMMANDS,
    pmemkv::COMMANDS,
];

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
        let mark = self.out.len();
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
            self.out.truncate(mark);
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
        let mark = self.out.len();
        let out = &mut *self.out;
        let mut found = false;
        let result = self
            .keyspace
            .view(self.session.db, key, self.access, |view| {
                found = view.is_some();
                f(view, out)
            })?;
        if result.is_err() {
            self.out.truncate(mark);
        }
        self.looked_up(key, found);
        result
    }

    /// Counts a key that a read command looked up, and tells of it where it is missing.
    pub fn looked_up(&mut self, key: &[u8], found: bool) {
        self.count_lookup(found);
        if !found && !self.lookups.is_again {
            self.keyspace
                .events()
                .emit(EventClass::KEY_MISS, "keymiss", self.session.db, key);
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
