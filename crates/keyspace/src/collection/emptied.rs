//! Keys whose collections a start finds without elements: the deadlines of all of them have passed, a client has seen that, and
//! the server died before it came to remove the key.
//!
//! It is not enough that such a key leaves the index. An earlier record of it, as the string that the key was before, may lie in
//! another segment, and would be the newest one as soon as the compaction has removed the anchor. So a tombstone is written,
//! once the store takes writes.

use parking_lot::Mutex;

use super::load::AnchorKey;
use crate::KeyspaceError;
use crate::hashing::shard_of;
use crate::index::Found;
use crate::loading::Loading;
use crate::shard::Shard;
use store::{Location, StoreError, Write};

/// Keys that leave the index as soon as the store takes writes.
#[derive(Debug, Default)]
pub struct Emptied(Mutex<Vec<AnchorKey>>);

impl Loading<'_> {
    /// Removes the key of a collection without elements that a load has met. A store that is read as a whole takes no writes yet,
    /// and no command runs before [`bury_emptied`](Self::bury_emptied).
    pub(super) fn drop_anchor(
        self,
        shard: &mut Shard,
        anchor: &AnchorKey,
    ) -> Result<(), KeyspaceError> {
        if self.keyspace.partitioned {
            return self.remove_anchor(shard, anchor);
        }
        self.keyspace.registry.emptied.0.lock().push(anchor.clone());
        Ok(())
    }

    /// Removes the keys that [`drop_anchor`](Self::drop_anchor) has left.
    pub(in super::super) fn bury_emptied(self) -> Result<(), KeyspaceError> {
        let emptied = std::mem::take(&mut *self.keyspace.registry.emptied.0.lock());
        for anchor in &emptied {
            let mut shard = self.keyspace.shards[shard_of(anchor.hash)].write();
            self.remove_anchor(&mut shard, anchor)?;
        }
        if !emptied.is_empty() {
            self.keyspace.store.commit()?;
        }
        Ok(())
    }

    /// Removes the key of a collection without elements. The next commit makes that durable.
    pub(super) fn remove_anchor(
        self,
        shard: &mut Shard,
        anchor: &AnchorKey,
    ) -> Result<(), KeyspaceError> {
        let keyspace = self.keyspace;
        let (key, hash, generation) = (&anchor.key, anchor.hash, anchor.generation);
        tracing::warn!(key = %key.escape_ascii(), "dropped a collection: none of its elements is left, or none is readable");
        let names = keyspace.names(generation);
        let Some(located) = shard.get(names, hash, key)?.map(Found::located) else {
            return Ok(());
        };
        let record = keyspace.hashing.record(hash, generation, key);
        let location = located.location;
        let remove = Write::Remove { record, location };
        match keyspace.store.write(&[remove], &mut [Location::default()]) {
            // The next start finds the anchor again and tries again; a full pool is no reason not to start.
            Err(StoreError::OutOfMemory) => keyspace.store.release(location)?,
            removed => removed?,
        }
        if let Some(table) = shard.table_mut(generation) {
            table.forget(hash, key, located, &names);
        }
        Ok(())
    }
}
