//! What all connections share: settings, clients, messages between them, statistics; and each connection's own state.
//!
//! May use: the catalog, users, the keyspace and what is below. Never: runs a command or touches a socket.

mod backup;
mod bell;
mod blocked;
mod clients;
pub mod failover;
pub mod feed;
mod histogram;
mod mailbox;
pub mod monitors;
mod notifications;
mod pause;
mod pubsub;
mod rates;
mod reconfigure;
pub mod replication;
mod roles;
mod saves;
pub mod scripting;
mod session;
pub mod slowlog;
mod stats;
mod tracking;
mod transaction;
mod version;

pub use backup::{BackupThread, Backups, Figures as BackupFigures};
pub use blocked::{Answer, Blocked, BlockedCall, OwnWait, Wait};
pub use clients::{ClientHandle, Clients, Endpoint};
pub use failover::Failover;
pub use feed::Feed;
pub use histogram::{Durations, bucket_of};
pub use mailbox::Mailbox;
pub use monitors::Monitors;
pub use notifications::{Notifications, Notifier};
pub use pause::{Pause, Paused};
pub use pubsub::{PubSub, Subscriptions, Topic};
pub use rates::{PerSecond, RATE_SAMPLES, Rates};
pub use replication::Replication;
pub use saves::{
    Figures as SaveFigures, Running as SaveRunning, SaveError, SaveThread, Saves, check_place,
};
pub use scripting::Scripting;
pub use session::{FollowRequest, ReplyMode, Session};
pub use slowlog::Slowlog;
pub use stats::{CommandStats, Lookups, Stats, StatsSnapshot, Stripe};
pub use tracking::{Mode, OwnTracking, Tracking, TrackingState};
pub use transaction::{Queued, Transaction};
pub use version::{announce_version, redis_version};

use std::time::{Instant, SystemTime};

/// The state that all connections share besides the keyspace.
#[derive(Debug)]
pub struct Server {
    /// The configuration.
    pub config: crate::config::Config,
    /// The users and their permissions.
    pub acl: crate::acl::Acl,
    /// The TLS configuration for new connections.
    pub tls: crate::tls::Tls,
    /// Every connected client.
    pub clients: Clients,
    /// Which client subscribes to what.
    pub pubsub: PubSub,
    /// Which client caches which keys.
    pub tracking: Tracking,
    /// Which keyspace events are published.
    pub notifications: Notifications,
    /// Counters for INFO.
    pub stats: Stats,
    /// How fast the counters grew lately, per second.
    pub rates: Rates,
    /// Commands that took long.
    pub slowlog: Slowlog,
    /// Commands with large requests, and those with large replies.
    pub large_requests: Slowlog,
    /// See [`large_requests`](Self::large_requests).
    pub large_replies: Slowlog,
    /// Clients that receive every command.
    pub monitors: Monitors,
    /// CLIENT PAUSE.
    pub pause: Pause,
    /// FAILOVER.
    pub failover: Failover,
    /// What replicas follow.
    pub feed: std::sync::Arc<Feed>,
    /// Whom this server follows.
    pub replication: Replication,
    /// Scripts.
    pub scripting: Scripting,
    /// Backups of the pool.
    pub backups: Backups,
    /// RDB files.
    pub saves: Saves,
    /// When the process started, for uptimes.
    pub started: Instant,
    /// The start by the wall clock.
    pub started_at: SystemTime,
    /// 40 hexadecimal digits, new at each start.
    pub run_id: String,
    /// What acknowledged writes survive.
    pub durability: crate::system::Survival,
    /// The TCP sockets that the server listens on.
    pub ports: crate::system::Ports,
    /// How many of the process's files are reserved for the server itself.
    pub reserved_files: u64,
    /// The process's supervisor, in INFO's words.
    pub supervised: &'static str,
    /// Tells the process to stop.
    pub shutdown: tokio::sync::watch::Sender<bool>,
}
