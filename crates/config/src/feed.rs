//! The settings of a master: of a server that replicas follow.

use std::time::Duration;

/// What a master keeps and asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedSettings {
    /// How many bytes of the stream a replica that was away may have missed.
    pub backlog_bytes: u64,
    /// How long the server keeps the backlog without replicas; for ever without a time.
    pub backlog_ttl: Option<Duration>,
    /// Whether the backlog outlives a crash of this process.
    pub outlives_crash: bool,
    /// How often the stream has a PING.
    pub ping_period: Duration,
    /// How many replicas must be near for clients to write; 0 asks for none.
    pub replicas_min: usize,
    /// How far behind a replica may be that counts as near; 0 asks for none.
    pub lag_max: Duration,
}
