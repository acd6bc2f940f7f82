//! The settings of replication: of a replica that follows a master.

use std::time::Duration;

use super::settings::{FullSync, Secret};

/// The server that a replica follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// A host name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// The settings of replication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // They mirror the yes/no directives.
pub struct ReplicationSettings {
    /// The master to follow; `None` for a server that is one itself.
    pub master: Option<Master>,
    /// The user that the replica is at its master; without one the default user.
    pub user: Option<Secret>,
    /// That user's password.
    pub password: Option<Secret>,
    /// Whether the link to the master speaks TLS.
    pub tls: bool,
    /// Whether clients cannot write.
    pub read_only: bool,
    /// Whether clients may read while there is no link to the master.
    pub serves_stale: bool,
    /// Whether the replica keeps all that its master has, whatever `maxmemory` says.
    pub ignores_maxmemory: bool,
    /// How suited the replica is to become the master; 0 is never.
    pub priority: u32,
    /// Whether Sentinel shows the replica.
    pub is_announced: bool,
    /// The address that the replica tells its master; `None` leaves that to the master.
    pub announced_ip: Option<String>,
    /// The port that the replica tells its master; 0 is the one that it listens on.
    pub announced_port: u16,
    /// After how long a silent master counts as gone.
    pub timeout: Duration,
    /// Whether the link may gather small packets.
    pub delays_packets: bool,
    /// How the replica takes its master's data set.
    pub full_sync: FullSync,
}
