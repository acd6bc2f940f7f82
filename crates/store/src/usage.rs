//! What a store says of itself: how full it is, how much space it takes, what it has synced.

use std::path::PathBuf;

use crate::Millis;

/// How full a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Bytes that the records in use take: removing all of them would free as many.
    pub bytes: u64,
    /// Whether upkeep is behind: the next writes may find no room although the records leave enough.
    pub is_short: bool,
}

/// What a store has synced to the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// What was committed up to this time survives a loss of power.
    pub synced_to_ms: Millis,
    /// How long the last sync took, in microseconds.
    pub took_us: u64,
    /// How many syncs have stored something, those of earlier processes included.
    pub count: u64,
    /// How many have failed since the start.
    pub failures: u64,
    /// Why the last one failed.
    pub failure: Option<String>,
}

/// How much space a store takes.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// The engine's name.
    pub engine: String,
    /// The layout's name.
    pub layout: &'static str,
    /// The pool's file, if there is one.
    pub pool_path: Option<PathBuf>,
    /// The pool's size.
    pub pool_bytes: u64,
    /// The allocated part of it; 0 if the engine cannot tell.
    pub allocated_bytes: u64,
    /// How often the pool was opened since it was made, if known.
    pub opens: Option<u64>,
    /// The most bytes of records that it can hold, as [`Fill`] counts them.
    pub stored_bytes_max: u64,
    /// The layout's own figures, under the names that INFO shows.
    pub details: Vec<(&'static str, u64)>,
}
