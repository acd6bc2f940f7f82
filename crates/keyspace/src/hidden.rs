//! Contents of all databases that nobody can see until they are whole: an import.
//!
//! The databases get generations that only this process knows; their numbers are taken in the pool first, also those of a
//! database that the import empties, so that no later generation gets one of them. One durable step makes these generations
//! the databases'. A crash before leaves records of generations that no database has, and the next start removes them.

use std::sync::atomic::Ordering;

use super::KeyspaceError;
use super::databases::Databases;
use super::hashing::SHARDS;
use store::Generations;

/// Below so many keys for each shard an index grows as fast by itself.
const EXPECTED_MIN: usize = 64;

impl Databases<'_> {
    /// Makes the indexes of a database without keys large enough for about this many, so that none has to grow. Where there
    /// are keys already, it changes nothing.
    pub fn expect(self, db: usize, keys: usize) -> Result<(), KeyspaceError> {
        let each = keys / SHARDS;
        if each < EXPECTED_MIN {
            return Ok(());
        }
        for number in 0..SHARDS {
            let mut shard = self.keyspace.locking().write_shard(number)?;
            // It changes only while all shards are locked.
            let generation = self.keyspace.generations.of(db);
            let new_index = || self.keyspace.new_index(number, generation, each);
            shard.table_for(generation, new_index, &self.keyspace.views);
        }
        Ok(())
    }

    /// Gives all databases contents that only this process knows, empty ones. The databases are empty, and no command runs
    /// that a client has sent.
    pub fn hide(self) -> Result<(), KeyspaceError> {
        self.keyspace.store.commit()?;
        let _shards = self.keyspace.locking().lock_all();
        let generations = &self.keyspace.generations;
        for (fresh, place) in self.take_fresh()?.into_iter().zip(&generations.of_database) {
            place.store(fresh, Ordering::Relaxed);
        }
        generations.are_hidden.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Makes the hidden contents those of the databases, with one durable store; within a
    /// [step](crate::Keyspace::atomically) it is a part of that. The caller is alone in the gate.
    pub fn show(self) -> Result<(), KeyspaceError> {
        let generations = &self.keyspace.generations;
        generations.are_hidden.store(false, Ordering::Relaxed);
        let next = generations.next.lock();
        let shown = Generations {
            of_database: generations.all(),
            next: *next,
        };
        Ok(self.keyspace.store.set_generations(&shown)?)
    }

    /// Whether generations that are set now are not in the pool at once: they are hidden, or a transaction sets them, which a
    /// crash may undo. What the process leaves under their numbers, in the pool or in the index that outlives it, must not pass
    /// for what a later process stores under the same.
    pub(super) fn keeps_numbers_from_the_pool(self) -> bool {
        let hidden = self.keyspace.generations.are_hidden.load(Ordering::Relaxed);
        hidden || self.keyspace.transaction.is_running()
    }

    /// Stores generations durably, unless they are hidden: then a crash forgets them with all that was imported.
    pub(super) fn set_generations(self, new: &Generations) -> Result<(), KeyspaceError> {
        if !self.keyspace.generations.are_hidden.load(Ordering::Relaxed) {
            self.keyspace.store.set_generations(new)?;
        }
        Ok(())
    }
}
