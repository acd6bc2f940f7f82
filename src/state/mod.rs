//! What all connections share: settings, clients, messages between them, statistics; and each connection's own state.
//!
//! May use: the catalog, users, the keyspace and what is below. Never: runs a command or touches a socket.

mod blocked;
mod clients;
mod histogram;
mod mailbox;
pub mod monitors;
mod notifications;
mod pause;
mod pubsub;
mod rates;
mod reconfigure;
mod session;
pub mod slowlog;
mod stats;
mod tracking;
mod transaction;

pub use blocked::{Answer, Blocked, BlockedCall, OwnWait, Wait};
pub use clients::{ClientHandle, Clients, Endpoint};
pub use histogram::{Durations, bucket_of};
pub use mailbox::Mailbox;
pub use monitors::Monitors;
pub use notifications::{Notifications, Notifier};
pub use pause::{Pause, Paused};
pub use pubsub::{PubSub, Subscriptions, Topic};
pub use rates::{PerSecond, RATE_SAMPLES, Rates};
pub use session::{ReplyMode, Session};
pub use slowlog::Slowlog;
pub use stats::{CommandStats, Lookups, Stats, StatsSnapshot, Stripe};
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
    pub tls: crate::tls::Tls,
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
    /// What acknowledged writes survive.
    pub durability: crate::system::Survival,
    /// The TCP sockets that it listens on.
    pub ports: crate::system::Ports,
    /// How many of the process's files are not clients'.
    pub reserved_files: u64,
    /// What supervises the process, as INFO calls it.
    pub supervised: &'static str,
    /// Tells the process to stop.
    pub shutdown: tokio::sync::watch::Sender<bool>,
}

/// The Redis version whose behaviour this server follows; INFO's `redis_version`.
pub const REDIS_VERSION: &str = "7.2.5";
