//! Gathers the elements of collections after a start that has taken over the index of keys.
//!
//! Such a start knows each collection's anchor and none of its elements. Commands on other keys go on at once. A command that
//! needs the elements of a collection waits until all of them are gathered, in one walk over the records that the earlier
//! process has left. A thread of the background begins the walk right after the start; a command that comes first does it
//! itself. The walk takes no lock of the gate, since a command may wait for it inside.
//!
//! Nothing moves an old element meanwhile: the store [holds](store::Store::hold_parts) its parts, and no command changes a
//! collection that is not gathered. Anchors may go, by their deadline, by eviction or with their database. Whoever removes
//! one notes that, and the gathered elements are dropped.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use lock_order::Rank;
use parking_lot::{Mutex, RwLock};

use super::elements::split_key;
use super::load::{AnchorKey, Claim};
use super::{Anchor, Collection, ELEMENTS, KeyPlace, element_batches, has_anchor};
use crate::hashing::{SHARDS, shard_of};
use crate::index::Found;
use crate::loading::{Loading, cores, on_threads};
use crate::{Keyspace, KeyspaceError};
use store::now_ms;

/// Says that a pool has a collection and not one record of its elements.
const NOTHING_FOUND: KeyspaceError = KeyspaceError::Failed("a collection has no elements");

/// What is known of the elements that an earlier process has left.
#[derive(Debug)]
pub(in super::super) struct State {
    /// Whether they are still to be gathered.
    pending: AtomicBool,
    /// Collections from this id on are made by this process.
    own_from: AtomicU64,
    /// Held by the thread that gathers.
    running: lock_order::Mutex<()>,
    gone: Mutex<Gone>,
}

/// Which anchors went before their elements were gathered.
#[derive(Debug, Default)]
struct Gone {
    ids: HashSet<u64>,
    /// Of databases that were emptied.
    generations: HashSet<u32>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            pending: AtomicBool::new(false),
            own_from: AtomicU64::new(0),
            running: lock_order::Mutex::new(Rank::Gathering, ()),
            gone: Mutex::default(),
        }
    }
}

impl State {
    /// Whether elements are still to be gathered.
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// Notes that the collections of these generations have lost their anchors. The caller has locked all shards.
    pub fn anchors_are_gone(&self, generations: &[u32]) {
        if self.is_pending() {
            self.gone.lock().generations.extend(generations);
        }
    }
}

impl Keyspace {
    /// Whether there are collections whose elements have records of their own.
    pub(in super::super) fn has_collections(&self) -> bool {
        self.gathering.is_pending() || self.registry.any()
    }

    /// Has the elements of an earlier process's collections gathered later. Nobody uses the keyspace yet.
    pub(in super::super) fn leave_elements(&self) {
        let state = &self.gathering;
        state
            .own_from
            .store(self.registry.next_id(), Ordering::Relaxed);
        self.store.hold_parts(true);
        state.pending.store(true, Ordering::Release);
    }

    /// Takes a collection whose anchor was removed out of the registry. One that is not gathered yet is noted.
    pub(super) fn unregister(&self, id: u64) -> Option<super::SharedCollection> {
        if !self.gathering.is_pending() {
            return self.registry.remove(id);
        }
        let mut gone = self.gathering.gone.lock();
        let removed = self.registry.remove(id);
        if removed.is_none() {
            gone.ids.insert(id);
        }
        removed
    }
}

impl Loading<'_> {
    /// Whether elements of collections are still to be gathered.
    #[inline]
    pub fn lacks_elements(self) -> bool {
        self.keyspace.gathering.is_pending()
    }

    /// Whether a key holds a collection whose elements are still to be gathered.
    pub fn lacks_elements_of(self, db: usize, key: &[u8]) -> Result<bool, KeyspaceError> {
        let hash = self.keyspace.hashing.hash(key);
        let shard = self.keyspace.locking().read_shard(shard_of(hash))?;
        let generation = self.keyspace.generations.of(db);
        let found = shard.get(self.keyspace.names(generation), hash, key)?;
        let collections = self.keyspace.collections();
        let missing = collections.missing_partition(hash, generation, found)?;
        Ok(self.lacks_elements() && missing.is_some())
    }

    /// Waits until the elements of all collections are gathered. A caller outside the gate keeps nobody waiting.
    pub fn gather_elements(self) -> Result<(), KeyspaceError> {
        self.gather(cores(), &AtomicBool::new(false))
    }

    /// Gathers the elements of all collections with `threads` threads, unless that is done. Gives up if `stop` is set, or when
    /// the server ends. The caller holds no shard.
    pub(in super::super) fn gather(
        self,
        threads: usize,
        stop: &AtomicBool,
    ) -> Result<(), KeyspaceError> {
        let state = &self.keyspace.gathering;
        if !state.is_pending() {
            return Ok(());
        }
        let _turn = state.running.lock();
        if !state.is_pending() {
            return Ok(());
        }
        let started = Instant::now();
        self.open_all_on(threads)?;
        let collections = self
            .gather_all(threads, stop)
            .inspect_err(|error| self.give_up(error, stop))?;
        self.keyspace.store.hold_parts(false);
        state.pending.store(false, Ordering::Release);
        *state.gone.lock() = Gone::default();
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!(
            seconds,
            collections,
            "the elements of collections are gathered"
        );
        Ok(())
    }

    /// Ends the process, unless it is ending anyway. A start that reads everything says what is damaged, and serves nothing;
    /// this process has begun to serve.
    fn give_up(self, error: &KeyspaceError, stop: &AtomicBool) {
        if self.is_over(stop) {
            return;
        }
        self.poison_index();
        tracing::error!(%error, "the elements of collections cannot be gathered. The next start reads the whole pool");
        std::process::abort();
    }

    fn is_over(self, stop: &AtomicBool) -> bool {
        stop.load(Ordering::Relaxed) || self.keyspace.end_of_waits.get().is_some()
    }

    /// Returns how many collections there are.
    pub(in super::super) fn gather_all(
        self,
        threads: usize,
        stop: &AtomicBool,
    ) -> Result<usize, KeyspaceError> {
        let check = || {
            if self.is_over(stop) {
                return Err(KeyspaceError::Failed("the server is stopping"));
            }
            Ok(())
        };
        let next = AtomicUsize::new(0);
        let parts = self.keyspace.store.parts();
        on_threads(threads, || {
            let mut batches = element_batches();
            loop {
                check()?;
                let part = next.fetch_add(1, Ordering::Relaxed);
                if part >= parts {
                    break;
                }
                self.visit_elements(part, &mut batches)?;
            }
            for batch in &mut batches {
                self.absorb_elements(batch)?;
            }
            Ok(())
        })?;
        let mut claims = Vec::new();
        for number in 0..SHARDS {
            check()?;
            self.find_anchors(number, &mut claims)?;
        }
        let count = claims.len();
        self.put_all_into_use(threads, claims, &check, &|claim| {
            self.drop_gathered_anchor(claim.shard, &claim.anchor, claim.id)
        })?;
        let orphans = self.keyspace.registry.unclaimed.take_all();
        let orphans: usize = orphans
            .iter()
            .map(super::records::CollectionRecords::len)
            .sum();
        if orphans > 0 {
            tracing::info!(
                records = orphans,
                "there are elements that removed collections have left behind"
            );
        }
        Ok(count)
    }

    /// Collects the elements of a part that an earlier process has written.
    fn visit_elements(
        self,
        part: usize,
        batches: &mut [super::ElementBatch],
    ) -> Result<(), KeyspaceError> {
        let own_from = self.keyspace.gathering.own_from.load(Ordering::Relaxed);
        let mut failed = None;
        self.keyspace.store.visit_unread(part, &mut |record| {
            if record.generation != ELEMENTS || failed.is_some() {
                return;
            }
            failed = match split_key(record.key) {
                Some((id, _)) if id >= own_from => None,
                Some((id, _)) => {
                    if self.is_collected(&record) {
                        self.lost_field(id);
                    }
                    self.collect_element(&record, batches).err()
                }
                None => Some(KeyspaceError::Failed("an element's record has no id")),
            };
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Adds the collections of a shard that an earlier process has made.
    fn find_anchors(self, number: usize, claims: &mut Vec<Claim>) -> Result<(), KeyspaceError> {
        let keyspace = self.keyspace;
        let now = now_ms();
        let own_from = keyspace.gathering.own_from.load(Ordering::Relaxed);
        let shard = keyspace.shards[number].read();
        for table in &shard.tables {
            let generation = table.generation;
            let names = keyspace.names(generation);
            let collections = table.index.iter();
            for entry in collections.filter(|entry| has_anchor(entry.stored_kind())) {
                let one = table.index.named(entry, &names)?;
                let hash = keyspace.hashing.hash(&one.key);
                let anchor = keyspace.collections();
                let Anchor { id, encoding } = anchor.anchor_of(hash, generation, one.found())?;
                if id >= own_from {
                    continue;
                }
                self.found_collection(id, generation, &one.key);
                let records = keyspace.registry.unclaimed.register(id).remove(&id);
                // Elements go with their anchor, or by deadlines of their own, which the walk shows. So a collection of which
                // it has shown nothing is none that is empty, and must not seem to be absent.
                if records.is_none() && !one.found().is_expired(now) {
                    return Err(NOTHING_FOUND);
                }
                claims.push(Claim {
                    shard: number,
                    anchor: AnchorKey {
                        generation,
                        hash,
                        key: one.key.clone(),
                    },
                    id,
                    encoding,
                    kind: entry.kind(),
                    records: records.unwrap_or_default(),
                });
            }
        }
        Ok(())
    }

    /// Removes a key whose elements are all gone by their deadlines, unless it has gone or holds something else.
    fn drop_gathered_anchor(
        self,
        number: usize,
        anchor: &AnchorKey,
        id: u64,
    ) -> Result<(), KeyspaceError> {
        let keyspace = self.keyspace;
        let mut shard = keyspace.shards[number].write();
        let names = keyspace.names(anchor.generation);
        let Some(found) = shard.get(names, anchor.hash, &anchor.key)? else {
            return Ok(());
        };
        let collections = keyspace.collections();
        if collections.id_of(anchor.hash, anchor.generation, found)? != Some(id) {
            return Ok(());
        }
        self.remove_anchor(&mut shard, anchor)
    }

    /// Lets commands use a collection that was built, unless its anchor has gone.
    pub(super) fn register_gathered(
        self,
        id: u64,
        key: KeyPlace,
        collection: Collection,
    ) -> Result<(), KeyspaceError> {
        let keyspace = self.keyspace;
        let locations = collection.some_locations(usize::MAX);
        keyspace
            .store
            .claim(&mut |claim| locations.iter().copied().for_each(claim))?;
        let memory = collection.memory_bytes();
        let first = collection.first_deadline();
        let shared = Arc::new(RwLock::new(collection));
        // Whoever changes deadlines has the collection.
        let held = shared.write();
        {
            let gone = keyspace.gathering.gone.lock();
            if gone.ids.contains(&id) || gone.generations.contains(&key.generation) {
                drop(gone);
                return locations
                    .into_iter()
                    .try_for_each(|location| keyspace.store.release(location))
                    .map_err(Into::into);
            }
            let registered = Arc::clone(&shared);
            keyspace.registry.insert(id, key.generation, registered);
        }
        keyspace.registry.note_memory(0, memory);
        keyspace.registry.deadlines.found(id, first, key);
        drop(held);
        Ok(())
    }
}

impl super::Collections<'_> {
    /// Whether an entry's collection is not gathered yet.
    pub(super) fn is_left(
        self,
        hash: u64,
        generation: u32,
        found: Found<'_>,
    ) -> Result<bool, KeyspaceError> {
        Ok(match self.id_of(hash, generation, found)? {
            Some(id) => self.keyspace.registry.get(id).is_none(),
            None => false,
        })
    }
}
