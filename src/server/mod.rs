//! Connections and what they share: settings, the list of clients, statistics.

mod clients;
mod connection;
mod listener;
mod mailbox;
mod rates;
mod run;
mod session;
mod stats;
mod transaction;
mod workers;

pub use clients::{ClientHandle, Clients, Endpoint};
pub use listener::{ListenError, Listeners};
pub use mailbox::Mailbox;
pub use rates::{PerSecond, RATE_SAMPLES, Rates};
pub use run::{RunError, run, survives};
pub use session::{ReplyMode, Session};
pub use stats::{CommandStats, Stats, StatsSnapshot, Stripe};
pub use transaction::{Queued, Transaction};

use std::time::{Instant, SystemTime};

/// What all connections share besides the keyspace.
#[derive(Debug)]
pub struct Server {
    /// The configuration.
    pub config: crate::config::Config,
    /// Every connected client.
    pub clients: Clients,
    /// Counters for INFO.
    pub stats: Stats,
    /// What the counters moved by per second lately.
    pub rates: Rates,
    /// When the process started, for uptimes.
    pub started: Instant,
    /// The same by the wall clock.
    pub started_at: SystemTime,
    /// 40 hexadecimal digits, new at each start.
    pub run_id: String,
    /// What acknowledged writes survive, in words.
    pub durability: &'static str,
    /// How many clients the process has file descriptors for; maxclients may ask for more.
    pub maxclients_possible: usize,
    /// Tells the process to stop.
    pub shutdown: tokio::sync::watch::Sender<bool>,
}

impl Server {
    /// How many clients may be connected.
    pub fn maxclients(&self, settings: &crate::config::Settings) -> usize {
        settings.maxclients.min(self.maxclients_possible)
    }
}

/// The Redis version whose behaviour this server follows; INFO's `redis_version`.
pub const REDIS_VERSION: &str = "7.2.5";
