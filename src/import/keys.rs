//! Keys of RDB files.

use rdb::{Item, Key, Limits, Object, Reader};
use smallvec::SmallVec;

use super::files::Input;
use super::{COMMIT_BYTES, Refusal, Work};
use crate::commands::store_value;
use crate::keyspace::{
    Access, Ahead, KeyspaceError, Kind, NodeLimits, PREFETCHED, Presence, Use, now_ms,
};

/// Keys of so many bytes of the file at most are held before they are stored.
const HELD_BYTES: u64 = 64 * 1024;

impl Work<'_> {
    /// Stores the keys of an RDB file; returns the input behind it.
    pub(super) fn keys<'i>(&mut self, input: Input<'i>) -> Result<Input<'i>, Refusal> {
        let settings = self.server.config.settings();
        let limits = NodeLimits {
            bytes: settings.stream_node_max_bytes,
            entries: settings.stream_node_max_entries,
        };
        let mut reader = Reader::new(input, Limits::default())?.checking_sum(settings.rdb_checksum);
        let (version, of_valkey) = (reader.version(), reader.is_valkey());
        tracing::info!(version, of_valkey, "an RDB file");
        self.db = 0;
        let mut held = Vec::with_capacity(PREFETCHED);
        loop {
            let committed = reader.offset();
            let is_over = {
                let _inside = Presence::beside(self.keyspace.gate());
                let now = now_ms();
                let mut stored = committed;
                let is_over = loop {
                    match reader.next()? {
                        Item::End => break true,
                        Item::Aux { .. } => {}
                        Item::Function(text) => {
                            self.libraries.push(text);
                            self.summary.libraries += 1;
                        }
                        Item::Database(number) => {
                            self.store(&mut held, now, limits)?;
                            self.select(number, settings.databases)?;
                        }
                        Item::Key(key) => held.push(key),
                    }
                    let offset = reader.offset();
                    if offset - committed >= COMMIT_BYTES {
                        break false;
                    }
                    if held.len() == PREFETCHED || offset - stored >= HELD_BYTES {
                        stored = offset;
                        self.store(&mut held, now, limits)?;
                    }
                };
                self.store(&mut held, now, limits)?;
                is_over
            };
            self.commit()?;
            if is_over {
                break;
            }
        }
        let (empty_keys, module_items) = (reader.empty_keys(), reader.module_items());
        if empty_keys > 0 {
            tracing::warn!(empty_keys, "skipped keys of collections without elements");
        }
        if module_items > 0 {
            tracing::warn!(
                module_items,
                "skipped data of modules that belongs to no key"
            );
        }
        Ok(reader.into_inner())
    }

    fn select(&mut self, number: u64, databases: usize) -> Result<(), Refusal> {
        let db = usize::try_from(number).ok().filter(|&db| db < databases);
        self.db = db.ok_or_else(|| {
            Refusal::Text(format!(
                "it has a database {number}, and this server has {databases}"
            ))
        })?;
        Ok(())
    }

    /// Stores keys of one database. With many keys in the pool a look-up waits for memory, so all of them are fetched
    /// together first.
    fn store(&mut self, held: &mut Vec<Key>, now: i64, limits: NodeLimits) -> Result<(), Refusal> {
        let ahead = |key| Ahead {
            db: self.db,
            key,
            value: false,
        };
        let names = held.iter().map(|key| key.key.as_slice());
        let ahead: SmallVec<[Ahead<'_>; PREFETCHED]> = names.map(ahead).collect();
        self.keyspace.prefetch(&ahead);
        drop(ahead);
        held.drain(..)
            .try_for_each(|key| self.key(&key, now, limits))
    }

    fn key(&mut self, key: &Key, now: i64, limits: NodeLimits) -> Result<(), Refusal> {
        if key.expires_at.is_some_and(|at| at <= now) {
            self.summary.expired += 1;
            return Ok(());
        }
        let access = Access::by_server(now);
        let refused = |error: KeyspaceError| match error {
            KeyspaceError::OutOfMemory => Refusal::Keyspace(error),
            error => {
                let name = key.key.escape_ascii();
                Refusal::Text(format!("the key '{name}' cannot be held: {error}"))
            }
        };
        let twice = || {
            let name = key.key.escape_ascii();
            Err(Refusal::Text(format!(
                "damaged: the key '{name}' is there twice"
            )))
        };
        if let Object::String(value) = &key.value {
            self.keyspace.update(self.db, &key.key, access, |slot| {
                if slot.info().is_some() {
                    return twice();
                }
                slot.put(Kind::String, value, key.expires_at)
                    .map_err(refused)
            })?;
        } else {
            let keys = [(self.db, key.key.as_slice())];
            self.keyspace.update_many(&keys, access, |keys| {
                if keys.info(0).is_some() {
                    return twice();
                }
                store_value(keys, &key.value, key.expires_at, limits).map_err(refused)
            })?;
        }
        if let Some(used) = Use::of(key.idle_s, key.frequency) {
            self.keyspace
                .set_use(self.db, &key.key, used, access)
                .map_err(Refusal::Keyspace)?;
        }
        self.summary.keys += 1;
        Ok(())
    }
}
