//! Connections and what they share: settings, the list of clients, statistics.

mod clients;
mod session;
mod stats;

pub use clients::{ClientHandle, Clients};
pub use session::{ReplyMode, Session};
pub use stats::{CommandStats, Stats, StatsSnapshot};

use std::time::{Instant, SystemTime};

/// What all connections share besides the keyspace.
#[derive(Debug)]
pub struct Server {
    /// Every connected client.
    pub clients: Clients,
    /// Counters for INFO.
    pub stats: Stats,
    /// When the process started, for uptimes.
    pub started: Instant,
    /// The same by the wall clock.
    pub started_at: SystemTime,
    /// 40 hexadecimal digits, new at each start.
    pub run_id: String,
    /// Tells the process to stop.
    pub shutdown: tokio::sync::watch::Sender<bool>,
}

/// The Redis version whose behaviour this server follows; INFO's `redis_version`.
pub const REDIS_VERSION: &str = "7.2.5";
