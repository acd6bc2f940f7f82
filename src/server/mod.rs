//! Connections and what they share: settings, the list of clients, statistics.

mod blocked;
mod clients;
mod connection;
mod histogram;
mod listener;
mod mailbox;
mod metrics;
pub mod monitors;
mod notifications;
mod pause;
mod pubsub;
mod rates;
mod run;
mod session;
pub mod slowlog;
mod stats;
mod tls;
mod tracking;
mod transaction;
mod workers;

pub use blocked::{Blocked, OwnWait};
pub use clients::{ClientHandle, Clients, Endpoint};
pub use histogram::{Durations, bucket_of};
pub use listener::{ListenError, Listeners};
pub use mailbox::Mailbox;
pub use monitors::Monitors;
pub use notifications::{Herald, Notifications};
pub use pause::{Pause, Paused};
pub use pubsub::{PubSub, Subscriptions, Topic};
pub use rates::{PerSecond, RATE_SAMPLES, Rates};
pub use run::{RunError, run, survives};
pub use session::{ReplyMode, Session};
pub use slowlog::Slowlog;
pub use stats::{CommandStats, Stats, StatsSnapshot, Stripe};
pub use tls::{Tls, TlsError};
pub use tracking::{Mode, OwnTracking, Tracking, TrackingState};
pub use transaction::{Queued, Transaction};

use std::time::{Instant, SystemTime};

/// What all connections share besides the keyspace.
#[derive(Debug)]
pub struct Server {
    /// The configuration.
    pub config: crate::config::Config,
    /// The users and what they may do.
    pub acl: crate::acl::Acl,
    /// What TLS connections begin with.
    pub tls: Tls,
    /// Every connected client.
    pub clients: Clients,
    /// Who listens to what.
    pub pubsub: PubSub,
    /// Who caches which keys.
    pub tracking: Tracking,
    /// What events of keys are published.
    pub notifications: Notifications,
    /// Counters for INFO.
    pub stats: Stats,
    /// What the counters moved by per second lately.
    pub rates: Rates,
    /// Commands that took long.
    pub slowlog: Slowlog,
    /// Clients that are shown every command.
    pub monitors: Monitors,
    /// CLIENT PAUSE.
    pub pause: Pause,
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
