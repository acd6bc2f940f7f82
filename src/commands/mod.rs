//! The commands: rows beside their handlers, a file or a folder for each family. Adding a command touches one file.

mod acl;
mod backup;
pub(crate) mod bitmaps;
mod blocking;
mod changes;
mod client;
mod command;
mod commandlog;
mod config;
mod connection;
mod context;
mod database;
mod dispatch;
mod draw;
mod dump;
mod effects;
mod expiry;
mod failover;
mod feed;
mod full_sync;
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
mod migrate;
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
mod scripting;
mod server;
mod sets;
mod slowlog;
mod sort;
mod sortedsets;
mod sources;
mod streams;
mod strings;
mod time_unit;
mod transaction;
mod transfer;
mod wait;

pub use crate::catalog::{Command, table};
pub use crate::error::CommandError;
pub use context::{Context, Database};
pub use dispatch::{Applied, Dispatcher, Failure, Next, Surroundings};
pub(crate) use dump::{load as copy_value, store as store_value};
pub use full_sync::{FullSync, FullSyncError};
#[cfg(test)]
pub(crate) use row::new_table;
pub use row::{Handler, Row, install, install_renamed};

use crate::protocol::Reply;
use crate::state::Wait;

/// The rows of every file. A new file adds its line here; a new command only adds its row to its file.
pub(crate) static FAMILIES: &[&[Row]] = &[
    database::COMMANDS,
    dump::COMMANDS,
    migrate::COMMANDS,
    expiry::COMMANDS,
    keys::COMMANDS,
    object::COMMANDS,
    scan::COMMANDS,
    transfer::COMMANDS,
    transaction::COMMANDS,
    scripting::evaluate::COMMANDS,
    scripting::script::COMMANDS,
    scripting::function::COMMANDS,
    pubsub::COMMANDS,
    strings::values::COMMANDS,
    strings::set::COMMANDS,
    strings::compared::COMMANDS,
    strings::msetex::COMMANDS,
    strings::counters::COMMANDS,
    strings::ranges::COMMANDS,
    strings::lcs::COMMANDS,
    blocking::lists::COMMANDS,
    blocking::scores::COMMANDS,
    bitmaps::single::COMMANDS,
    bitmaps::range::COMMANDS,
    bitmaps::combine::COMMANDS,
    bitmaps::fields::COMMANDS,
    hyperloglog::count::COMMANDS,
    hyperloglog::merge::COMMANDS,
    lists::push::COMMANDS,
    lists::pop::COMMANDS,
    lists::reads::COMMANDS,
    lists::change::COMMANDS,
    lists::moving::COMMANDS,
    hashes::writes::COMMANDS,
    hashes::reads::COMMANDS,
    hashes::numbers::COMMANDS,
    hashes::draw::COMMANDS,
    hashes::deadlines::COMMANDS,
    hashes::extended::COMMANDS,
    sets::members::COMMANDS,
    sets::draw::COMMANDS,
    sets::algebra::COMMANDS,
    sort::COMMANDS,
    geo::places::COMMANDS,
    geo::search::COMMANDS,
    geo::radius::COMMANDS,
    sortedsets::add::COMMANDS,
    sortedsets::members::COMMANDS,
    sortedsets::pop::COMMANDS,
    sortedsets::ranges::COMMANDS,
    sortedsets::removals::COMMANDS,
    sortedsets::algebra::COMMANDS,
    streams::add::COMMANDS,
    streams::range::COMMANDS,
    streams::read::COMMANDS,
    streams::change::COMMANDS,
    streams::delete::COMMANDS,
    streams::groups::COMMANDS,
    streams::pending::COMMANDS,
    streams::claim::COMMANDS,
    streams::info::COMMANDS,
    connection::COMMANDS,
    acl::COMMANDS,
    client::COMMANDS,
    command::COMMANDS,
    commandlog::COMMANDS,
    config::COMMANDS,
    server::COMMANDS,
    memory::COMMANDS,
    module::COMMANDS,
    info::COMMANDS,
    slowlog::COMMANDS,
    latency::COMMANDS,
    monitor::COMMANDS,
    replication::COMMANDS,
    failover::COMMANDS,
    feed::COMMANDS,
    wait::COMMANDS,
    saving::COMMANDS,
    lolwut::COMMANDS,
    pmemkv::COMMANDS,
    backup::COMMANDS,
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
    /// The client becomes a replica, and its connection answers.
    Follow,
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Outcome::Reply(reply)
    }
}
