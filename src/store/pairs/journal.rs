//! Changes of several records as one step, on engines that put one pair at a time.
//!
//! Before the first of them is changed, one journal pair records what all of them were; it is removed after the last.
//! A process that died in between leaves the journal behind, and the next open puts everything back. So removing the
//! journal is the moment at which the change counts.

use parking_lot::{Condvar, Mutex};

use super::record::journal_key;
use crate::pmemkv::Database;
use crate::store::StoreError;

/// Journals that may be in use at once: more than threads that write.
const SLOTS: u32 = 64;

/// Stands for "was absent" where a value's length is expected.
const ABSENT: u64 = u64::MAX;

/// What one pair was before the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// Its partition.
    pub partition: usize,
    /// Its engine key.
    pub key: Vec<u8>,
    /// Its engine value, or `None` where there was none.
    pub value: Option<Vec<u8>>,
}

impl Before {
    /// Puts the pair back.
    pub fn restore(&self, databases: &[Database]) -> Result<(), StoreError> {
        let database = databases
            .get(self.partition)
            .ok_or_else(|| StoreError::Damaged("a journal names a missing partition".into()))?;
        match &self.value {
            Some(value) => database.put(&self.key, value)?,
            None => {
                database.remove(&self.key)?;
            }
        }
        Ok(())
    }
}

/// The free journal slots.
#[derive(Debug)]
pub struct Journal {
    free: Mutex<Vec<u32>>,
    freed: Condvar,
}

impl Journal {
    /// All slots free.
    pub fn new() -> Self {
        Self {
            free: Mutex::new((0..SLOTS).collect()),
            freed: Condvar::new(),
        }
    }

    /// Runs `change` between writing and removing a journal of `before`. Where `change` fails, what it did is undone.
    pub fn guard(
        &self,
        databases: &[Database],
        before: &[Before],
        change: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let slot = {
            let mut free = self.free.lock();
            loop {
                if let Some(slot) = free.pop() {
                    break slot;
                }
                self.freed.wait(&mut free);
            }
        };
        let result = guard_with(&databases[0], slot, databases, before, change);
        self.free.lock().push(slot);
        self.freed.notify_one();
        result
    }

    /// Undoes what a process that died left half done. Returns how many changes were undone.
    pub fn recover(databases: &[Database]) -> Result<usize, StoreError> {
        let mut undone = 0;
        for slot in 0..SLOTS {
            let key = journal_key(slot);
            let Some(encoded) = databases[0].get(&key)? else {
                continue;
            };
            for before in decode(&encoded)? {
                before.restore(databases)?;
            }
            databases[0].remove(&key)?;
            undone += 1;
        }
        Ok(undone)
    }
}

fn guard_with(
    home: &Database,
    slot: u32,
    databases: &[Database],
    before: &[Before],
    change: impl FnOnce() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let key = journal_key(slot);
    home.put(&key, &encode(before))?;
    let result = change();
    if result.is_err() {
        undo(databases, before);
    }
    home.remove(&key)?;
    result
}

/// Puts everything back after a change that failed half-way.
pub fn undo(databases: &[Database], before: &[Before]) {
    for before in before {
        if let Err(error) = before.restore(databases) {
            // Half a change must not be served. The journal is still there: the next open undoes it.
            tracing::error!(%error, "a change could not be undone: the process ends, a restart repairs it");
            std::process::abort();
        }
    }
}

fn encode(before: &[Before]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for pair in before {
        encoded.extend_from_slice(&(pair.partition as u64).to_le_bytes());
        encoded.extend_from_slice(&(pair.key.len() as u64).to_le_bytes());
        encoded.extend_from_slice(&pair.key);
        let length = pair
            .value
            .as_ref()
            .map_or(ABSENT, |value| value.len() as u64);
        encoded.extend_from_slice(&length.to_le_bytes());
        encoded.extend_from_slice(pair.value.as_deref().unwrap_or_default());
    }
    encoded
}

fn decode(mut encoded: &[u8]) -> Result<Vec<Before>, StoreError> {
    let mut pairs = Vec::new();
    while !encoded.is_empty() {
        let pair = decode_pair(&mut encoded)
            .ok_or_else(|| StoreError::Damaged("a journal ends too early".into()))?;
        pairs.push(pair);
    }
    Ok(pairs)
}

fn decode_pair(encoded: &mut &[u8]) -> Option<Before> {
    let partition = usize::try_from(number(encoded)?).ok()?;
    let key_bytes = number(encoded)?;
    let key = take(encoded, key_bytes)?;
    let value = match number(encoded)? {
        ABSENT => None,
        length => Some(take(encoded, length)?),
    };
    Some(Before {
        partition,
        key,
        value,
    })
}

fn number(encoded: &mut &[u8]) -> Option<u64> {
    let (number, rest) = encoded.split_first_chunk::<8>()?;
    *encoded = rest;
    Some(u64::from_le_bytes(*number))
}

fn take(encoded: &mut &[u8], bytes: u64) -> Option<Vec<u8>> {
    let (taken, rest) = encoded.split_at_checked(usize::try_from(bytes).ok()?)?;
    *encoded = rest;
    Some(taken.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journals_come_back_and_damage_is_told() {
        let before = vec![
            Before {
                partition: 3,
                key: b"k\0".to_vec(),
                value: Some(b"".to_vec()),
            },
            Before {
                partition: 0,
                key: Vec::new(),
                value: None,
            },
        ];
        let encoded = encode(&before);
        assert_eq!(decode(&encoded).expect("valid"), before);
        for end in 1..encoded.len() {
            // Cut between two pairs, the first one is left.
            if let Ok(pairs) = decode(&encoded[..end]) {
                assert_eq!(pairs, before[..1]);
            }
        }
    }
}
