//! The figures of INFO: how much the keyspace and its store occupy, and what they have done.

use std::path::PathBuf;
use std::time::Duration;

use super::{Keyspace, KeyspaceError};

/// Sizes of one database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseStats {
    /// Keys, including those past their deadline that are not removed yet.
    pub keys: u64,
    /// Keys with a deadline.
    pub expires: u64,
    /// Hashes with fields that have deadlines.
    pub subexpiry: u64,
    /// Mean time to live of keys with a deadline, ms (an estimate).
    pub avg_ttl_ms: u64,
    /// DRAM of the index of its keys, bytes.
    pub index_bytes: u64,
}

/// How much the keyspace and its store occupy, and what they have done since the start.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)] // INFO's pmemkv section names each field the same way.
pub struct StoreStats {
    pub engine: String,
    pub layout: &'static str,
    pub pool_path: Option<PathBuf>,
    pub pool_bytes: u64,
    pub allocated_bytes: u64,
    pub partitions: usize,
    pub partitions_indexed: usize,
    pub records: u64,
    pub index_bytes: u64,
    pub ordered_view_bytes: u64,
    pub stored_bytes: u64,
    pub stored_bytes_max: u64,
    pub expired_keys: u64,
    /// Fields of hashes removed because their deadline had passed.
    pub expired_fields: u64,
    /// Hashes of which a field has a deadline.
    pub hashes_with_deadlines: u64,
    pub pending_removals: u64,
    pub background_removals: u64,
    pub expire_cycle_micros: u64,
    pub dirty: u64,
    pub opens: Option<u64>,
    pub index_time: Option<Duration>,
    pub details: Vec<(&'static str, u64)>,
}

impl Keyspace {
    /// The present figures.
    pub fn stats(&self) -> Result<StoreStats, KeyspaceError> {
        // The records of a shard that an earlier process has left count once it is taken over.
        self.loading().open_all();
        let mut stats = self.pool_stats()?;
        self.expiry().fill_stats(&mut stats);
        self.garbage().fill_stats(&mut stats);
        let mut indexed = 0;
        for shard in &self.shards {
            let shard = shard.read();
            indexed += usize::from(shard.indexed);
            stats.dirty += shard.dirty;
            for table in &shard.tables {
                stats.records += table.index.len() as u64;
                stats.index_bytes += table.index.memory_bytes() as u64;
            }
        }
        stats.index_bytes += self.registry.memory_bytes();
        stats.hashes_with_deadlines = self.registry.deadlines.len();
        stats.index_bytes += self.registry.deadlines.memory_bytes();
        stats.partitions_indexed = indexed / self.hashing.shards_per_partition();
        Ok(stats)
    }

    /// As [`stats`](Self::stats), with zeros for all that depends on the keys: at the start it waits for no shard.
    pub fn pool_stats(&self) -> Result<StoreStats, KeyspaceError> {
        let usage = self.store.usage()?;
        Ok(StoreStats {
            engine: usage.engine,
            layout: usage.layout,
            pool_path: usage.pool_path,
            pool_bytes: usage.pool_bytes,
            allocated_bytes: usage.allocated_bytes,
            stored_bytes: self.store.fill().bytes,
            stored_bytes_max: usage.stored_bytes_max,
            partitions: self.store.partitions(),
            ordered_view_bytes: self.views.memory_bytes(),
            opens: usage.opens,
            index_time: self.loading.index_time(),
            details: usage.details,
            ..StoreStats::default()
        })
    }

    /// How many changes of data commands have made, as Redis counts them.
    pub fn dirty(&self) -> u64 {
        self.shards.iter().map(|shard| shard.read().dirty).sum()
    }

    /// Resets the figures that CONFIG RESETSTAT resets.
    pub fn reset_stats(&self) {
        self.expiry().reset_stats();
        self.garbage().reset_stats();
        self.eviction.reset_stats();
    }
}
