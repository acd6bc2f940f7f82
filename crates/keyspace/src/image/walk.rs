//! The walk of an image over the index.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::{
    CopyValue, ImageError, ImageKey, ImageSizes, NOTE_BYTES, Place, STEP_BYTES, STEP_KEYS,
};
use crate::hashing::{SHARD_BITS, SHARDS};
use crate::index::Found;
use crate::{Cursor, DATABASES, Keyspace, KeyspaceError};
use store::now_ms;

/// An image that is being taken. Dropping it ends that.
pub struct Image<'k> {
    pub(super) keyspace: &'k Keyspace,
    pub(super) generations: [u32; DATABASES],
    pub(super) copy: CopyValue,
    pub(super) sizes: [ImageSizes; DATABASES],
    pub(super) libraries: Option<Vec<u8>>,
    pub(super) at: Place,
    /// How many keys the next step visits, after the size of the last ones.
    pub(super) step_keys: usize,
}

impl std::fmt::Debug for Image<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        self.keyspace.image.is_taken.store(false, Ordering::Relaxed);
        *self.keyspace.image.taking.lock() = None;
    }
}

impl Image<'_> {
    /// The [record of libraries](crate::Libraries) of the moment.
    pub fn libraries(&self) -> Option<&[u8]> {
        self.libraries.as_deref()
    }

    /// How many keys each database has.
    pub fn sizes(&self) -> &[ImageSizes; DATABASES] {
        &self.sizes
    }

    /// Appends the next keys: those that commands have kept, and those of the next step of the walk. Returns `false` at the
    /// end, when no key is missing. The thread holds no lock.
    ///
    /// # Errors
    /// After an error the image is over.
    pub fn next(&mut self, into: &mut Vec<ImageKey>) -> Result<bool, ImageError> {
        let is_over = self.at.shard == SHARDS;
        if !is_over {
            self.step(into)?;
        }
        let mut taking = self.keyspace.image.taking.lock();
        let Some(taking) = taking.as_mut() else {
            return Err(KeyspaceError::Failed("the image is over").into());
        };
        if let Some(error) = taking.failed.take() {
            // It stays failed, so that commands keep nothing more.
            taking.fail(ImageError::Busy);
            return Err(error);
        }
        taking.queue_bytes = 0;
        into.append(&mut taking.queue);
        Ok(!is_over)
    }

    /// One step of the walk, under one hold of a shard.
    fn step(&mut self, into: &mut Vec<ImageKey>) -> Result<(), ImageError> {
        let Self {
            keyspace, copy, at, ..
        } = *self;
        let shard = keyspace.locking().read_shard(at.shard)?;
        let mut databases = at.db..DATABASES;
        let db = databases
            .find(|&db| shard.table(self.generations[db]).is_some())
            .unwrap_or(DATABASES - 1);
        let at = if db == at.db {
            at
        } else {
            Place {
                db,
                hash: first_hash(at.shard),
                ..at
            }
        };
        let generation = self.generations[db];
        // Nobody notes a key of this shard while it is locked.
        let noted = match keyspace.image.taking.lock().as_mut() {
            Some(taking) => std::mem::take(&mut taking.noted[at.shard]),
            None => HashSet::new(),
        };
        let (clock, now) = (keyspace.eviction.clock(), now_ms());
        let db_number = u8::try_from(at.db).unwrap_or_default();
        let mut failed = None;
        let (mut visited, mut bytes) = (0, 0);
        let names = keyspace.names(generation);
        let next = shard.table(generation).map_or(Ok(None), |table| {
            let from = Cursor::at(at.hash);
            let mut visit = |found: Found<'_>| {
                visited += 1;
                let hash = keyspace.hashing.hash(found.key);
                if failed.is_some()
                    || noted.contains(&(db_number, hash))
                    || keyspace.expiry().has_passed(found.expires_at, now)
                {
                    return;
                }
                match keyspace.copied(generation, hash, found, copy, now) {
                    // All fields of the hash are past their deadlines.
                    Ok(value) if value.is_empty() => {}
                    Ok(value) => {
                        let key = ImageKey {
                            db: at.db,
                            key: found.key.to_vec(),
                            value,
                            info: found.info(now, clock),
                        };
                        bytes += key.memory_bytes();
                        into.push(key);
                    }
                    Err(error) => failed = Some(error),
                }
            };
            table.index.scan(from, self.step_keys, &names, &mut visit)
        });
        let next = next.map_err(KeyspaceError::from)?;
        self.at = match next {
            Some(cursor) => Place {
                hash: cursor.first_hash(),
                ..at
            },
            None if at.db + 1 < DATABASES => Place {
                db: at.db + 1,
                hash: first_hash(at.shard),
                ..at
            },
            None => Place {
                shard: at.shard + 1,
                db: 0,
                hash: first_hash(at.shard + 1),
            },
        };
        if let Some(taking) = keyspace.image.taking.lock().as_mut() {
            taking.at = self.at;
            if self.at.shard == at.shard && taking.failed.is_none() {
                taking.noted[at.shard] = noted;
            } else {
                taking.note_bytes -= (noted.len() * NOTE_BYTES).min(taking.note_bytes);
            }
        }
        drop(shard);
        if let Some(each) = bytes.checked_div(visited) {
            self.step_keys = (STEP_BYTES / each.max(1)).clamp(1, STEP_KEYS);
        }
        failed.map_or(Ok(()), |error: KeyspaceError| Err(error.into()))
    }

    /// How many of the keys' hashes are visited, as a share from 0 to 1.
    #[allow(clippy::cast_precision_loss)] // It is for people.
    pub fn share(&self) -> f64 {
        self.at.shard as f64 / SHARDS as f64
    }
}

/// The lowest hash of a shard's keys. Behind the last shard there is none.
fn first_hash(shard: usize) -> u64 {
    if shard == SHARDS {
        return 0;
    }
    (shard as u64) << (u64::BITS - SHARD_BITS)
}
