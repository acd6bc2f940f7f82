//! Transactions: all that one writes, to any number of keys, is one atomic step.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Keyspace, KeyspaceError};

/// The running transaction, if there is one.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    running: AtomicBool,
    /// Collections that the transaction makes get this id or a higher one.
    first_id: AtomicU64,
}

impl Transaction {
    fn begin(&self, first_id: u64) {
        self.first_id.store(first_id, Ordering::Relaxed);
        self.running.store(true, Ordering::Relaxed);
    }

    fn end(&self) {
        self.running.store(false, Ordering::Relaxed);
    }

    /// Whether a transaction is running, which a crash may still undo. Only a thread inside the gate may ask.
    #[inline]
    pub(super) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// The id of the first collection that the running transaction could have made.
    pub(super) fn first_id(&self) -> u64 {
        self.first_id.load(Ordering::Relaxed)
    }

    /// Whether the running transaction made this collection.
    pub(super) fn made(&self, id: u64) -> bool {
        self.is_running() && id >= self.first_id()
    }
}

impl Keyspace {
    /// Runs `change`, and makes all that it writes to `keys` of their databases one atomic step: after a crash the
    /// store has either all of it or nothing. The caller is alone in the [`gate`](Self::gate). An error means that
    /// `change` did not run.
    pub fn atomically(
        &self,
        keys: &[(usize, &[u8])],
        change: &mut dyn FnMut(),
    ) -> Result<(), KeyspaceError> {
        let record = |&(db, key): &(usize, _)| {
            let generation = self.generations.of(db);
            self.hashing.record(self.hashing.hash(key), generation, key)
        };
        let records: Vec<_> = keys.iter().map(record).collect();
        self.transaction.begin(self.registry.next_id());
        let done = self.store.atomically(&records, change);
        self.transaction.end();
        self.garbage().release_set_aside();
        Ok(done?)
    }
}
