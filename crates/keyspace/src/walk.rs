//! Iterates over keys: SCAN in hash order, ranges in byte order.

use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::hashing::{SHARD_BITS, SHARDS, shard_of};
use super::index::Found;
use super::ordered::OrderedView;
use super::{Access, Cursor, KeyInfo, Keyspace, KeyspaceError, Kind, Millis, Range, Value};

/// How many keys a range takes from an ordered view, or visits inside the engine, before it lets other threads in.
const RANGE_CHUNK: usize = 256;

/// Called with each key of an ordered view; may look the key up.
type VisitKey<'f> = &'f mut dyn FnMut(&[u8]) -> Result<ControlFlow<()>, KeyspaceError>;

/// RANDOMKEY draws among this many neighbours in hash order, so that the size of the gap before a key matters little.
const RANDOM_NEIGHBOURS: usize = 32;

/// Iterates over keys; see [`Keyspace::walk`].
#[derive(Clone, Copy, Debug)]
pub struct Walk<'k> {
    pub(super) keyspace: &'k Keyspace,
}

impl Walk<'_> {
    /// One step of SCAN: visits about `count` live keys from `cursor` on and returns the next cursor, `None` at the
    /// end.
    ///
    /// A scan visits a key that exists from its start to its end exactly once, even if other keys come and go or the
    /// server restarts in between.
    pub fn scan(
        self,
        db: usize,
        cursor: Cursor,
        count: usize,
        now: Millis,
        visit: &mut dyn FnMut(&[u8], KeyInfo),
    ) -> Result<Option<Cursor>, KeyspaceError> {
        let expiry = self.keyspace.expiry();
        let mut gone = Vec::new();
        let next = self.scan_shards(db, cursor, count, &mut |found| {
            if !expiry.has_passed(found.expires_at, now) {
                visit(found.key, found.info(now, self.keyspace.eviction.clock()));
            } else if expiry.removes_on_access() {
                gone.push(found.key.to_vec());
            }
        })?;
        self.remove_gone(db, &gone, now)?;
        Ok(next)
    }

    /// Removes keys that a walk has met past their deadlines, as it must not while it holds a lock.
    fn remove_gone(self, db: usize, gone: &[Vec<u8>], now: Millis) -> Result<(), KeyspaceError> {
        let expiry = self.keyspace.expiry();
        gone.iter()
            .try_for_each(|key| expiry.on_access(db, key, now))
    }

    /// As [`scan`](Self::scan), with the keys past their deadline.
    fn scan_shards(
        self,
        db: usize,
        cursor: Cursor,
        count: usize,
        visit: &mut dyn FnMut(Found<'_>),
    ) -> Result<Option<Cursor>, KeyspaceError> {
        let mut visited = 0;
        let mut from = cursor;
        for number in shard_of(cursor.first_hash())..SHARDS {
            let shard = self.keyspace.locking().read_shard(number)?;
            if let Some(table) = shard.table(self.keyspace.generations.of(db)) {
                let left = count - visited;
                let names = self.keyspace.names(table.generation);
                let next = table.index.scan(from, left, &names, &mut |found| {
                    visited += 1;
                    visit(found);
                })?;
                if next.is_some() {
                    return Ok(next);
                }
            }
            if number + 1 < SHARDS {
                from = Cursor::at(((number + 1) as u64) << (64 - SHARD_BITS));
                if visited >= count {
                    return Ok(Some(from));
                }
            }
        }
        Ok(None)
    }

    /// Draws a random key of a database; `None` if the database is empty.
    pub fn random_key(self, db: usize, now: Millis) -> Result<Option<Vec<u8>>, KeyspaceError> {
        // Each RandomState has new hash keys, so its hash of nothing is a random number.
        let random = || RandomState::new().hash_one(());
        let mut keys: Vec<Vec<u8>> = Vec::new();
        let start = Cursor::at(random());
        let mut cursor = start;
        let mut wrapped = false;
        while keys.len() < RANDOM_NEIGHBOURS {
            let next = self.scan(db, cursor, RANDOM_NEIGHBOURS, now, &mut |key, _| {
                keys.push(key.to_vec());
            })?;
            if wrapped && next.is_none_or(|next| next > start) {
                break;
            }
            wrapped |= next.is_none();
            cursor = next.unwrap_or(Cursor::START);
        }
        if keys.is_empty() {
            return Ok(None);
        }
        let draw = usize::try_from(random() % keys.len() as u64).unwrap_or(0);
        Ok(Some(keys.swap_remove(draw)))
    }

    /// Visits the live strings of a range in ascending byte order, until `visit` breaks. The values of keys that are not
    /// `wanted` are not even read.
    ///
    /// This is not a snapshot: it may miss or visit a key that is added or removed meanwhile. `visit` must not call
    /// the keyspace.
    pub fn range(
        self,
        db: usize,
        range: Range<'_>,
        now: Millis,
        wanted: &dyn Fn(&[u8]) -> bool,
        visit: &mut dyn FnMut(&[u8], Value<'_>) -> ControlFlow<()>,
    ) -> Result<(), KeyspaceError> {
        if self.keyspace.sorted {
            return self.range_in_engine(db, range, now, &mut |key, value| {
                if wanted(key) {
                    visit(key, value)
                } else {
                    ControlFlow::Continue(())
                }
            });
        }
        let access = Access::by_server(now);
        self.range_in_view(db, range, &mut |key| {
            if !wanted(key) {
                return Ok(ControlFlow::Continue(()));
            }
            let flow = self
                .keyspace
                .read(db, key, access, |value| match value.kind {
                    Kind::String => visit(key, value),
                    _ => ControlFlow::Continue(()),
                })?;
            Ok(flow.unwrap_or(ControlFlow::Continue(())))
        })
    }

    /// Visits the keys of a range's live strings in ascending byte order, until `visit` breaks.
    pub fn range_keys(
        self,
        db: usize,
        range: Range<'_>,
        now: Millis,
        visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), KeyspaceError> {
        if self.keyspace.sorted {
            return self.range_in_engine(db, range, now, &mut |key, _| visit(key));
        }
        let access = Access::by_server(now);
        self.range_in_view(db, range, &mut |key| {
            let live = self.keyspace.info(db, key, access)?;
            Ok(match live.map(|info| info.kind) {
                Some(Kind::String) => visit(key),
                _ => ControlFlow::Continue(()),
            })
        })
    }

    /// How many live strings a range holds. It is the engine's own count if the engine has order and no key can be
    /// expired.
    pub fn range_count(
        self,
        db: usize,
        range: Range<'_>,
        now: Millis,
    ) -> Result<u64, KeyspaceError> {
        let stats = self.keyspace.databases().stats(db, now);
        let only_strings = !self.keyspace.has_collections() && !self.keyspace.forms.any_compact();
        if stats.expires == 0 && only_strings {
            if self.keyspace.sorted {
                return Ok(self
                    .keyspace
                    .store
                    .range_count(self.keyspace.generations.of(db), range)?);
            }
            if matches!(range, Range::All) {
                return self.keyspace.databases().len(db);
            }
        }
        let mut count = 0;
        self.range_keys(db, range, now, &mut |_| {
            count += 1;
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    /// Iterates in the engine's own order, in chunks, so that the engine's lock is free in between.
    fn range_in_engine(
        self,
        db: usize,
        range: Range<'_>,
        now: Millis,
        visit: &mut dyn FnMut(&[u8], Value<'_>) -> ControlFlow<()>,
    ) -> Result<(), KeyspaceError> {
        let generation = self.keyspace.generations.of(db);
        let expiry = self.keyspace.expiry();
        let mut last: Option<Vec<u8>> = None;
        loop {
            let from = last.take();
            let part = from.as_deref().map_or(range, Range::Above);
            let mut visited = 0;
            let mut over = true;
            let mut gone = Vec::new();
            self.keyspace
                .store
                .range(generation, part, &mut |key, value| {
                    if range.is_past(key) {
                        return ControlFlow::Break(());
                    }
                    if expiry.has_passed(value.expires_at, now) {
                        gone.push(key.to_vec());
                    } else if value.kind == Kind::String {
                        visit(key, value)?;
                    }
                    visited += 1;
                    if visited < RANGE_CHUNK {
                        return ControlFlow::Continue(());
                    }
                    over = false;
                    last = Some(key.to_vec());
                    ControlFlow::Break(())
                })?;
            self.remove_gone(db, &gone, now)?;
            if over {
                return Ok(());
            }
        }
    }

    /// Iterates over the ordered view, in chunks.
    fn range_in_view(
        self,
        db: usize,
        range: Range<'_>,
        visit: VisitKey<'_>,
    ) -> Result<(), KeyspaceError> {
        let view = self.ordered_view(db)?;
        let mut last: Option<Box<[u8]>> = None;
        loop {
            let mut keys = view.keys(range, last.as_deref(), RANGE_CHUNK);
            for key in &keys {
                if visit(key)?.is_break() {
                    return Ok(());
                }
            }
            last = match keys.pop() {
                Some(key) if keys.len() + 1 == RANGE_CHUNK => Some(key),
                _ => return Ok(()),
            };
        }
    }

    /// The ordered view of a database; the first range builds it.
    fn ordered_view(self, db: usize) -> Result<Arc<OrderedView>, KeyspaceError> {
        let generation = self.keyspace.generations.of(db);
        let view = self.keyspace.views.get_or_create(generation);
        let mut complete = view.complete.lock();
        if !*complete {
            for number in 0..self.keyspace.shards.len() {
                let mut shard = self.keyspace.locking().write_shard(number)?;
                if let Some(table) = shard.table_mut(generation) {
                    table.view = Some(Arc::clone(&view));
                    for named in table.index.walk(self.keyspace.names(generation)) {
                        view.insert(&named?.key);
                    }
                }
            }
            *complete = true;
        }
        drop(complete);
        Ok(view)
    }
}
