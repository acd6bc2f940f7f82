//! The journal makes changes of several records one step, on engines that put one pair at a time.
//!
//! Before the first change the store writes one journal pair with what all of the records were, and it empties the pair
//! after the last change. If the process dies in between, the next open finds the journal and puts everything back. So
//! the change counts from the moment at which the journal is emptied.

use std::cell::RefCell;
use std::collections::HashSet;

use lock_order::{Held, Rank};
use parking_lot::{Condvar, Mutex};

use super::record::{check_of, journal_key};
use super::sums::Sums;
use super::table::Table;
use crate::metadata::{decode_generations, encode_generations};
use crate::{Generations, StoreError};
use pmemkv::Error;

/// Puts a journal's pair, the way the layout puts a record's: it keeps some engines from running full.
pub type PutJournal<'a> = &'a dyn Fn(&Table, &[u8], &[u8]) -> Result<(), StoreError>;

/// How many journals may be in use at once: more than there are threads that write.
const SLOTS: u32 = 64;

/// The least length of a new slot: most journals fit.
const SLOT_BYTES_MIN: usize = 2 * 1024;

/// A slot longer than this is removed after its use.
const SLOT_BYTES_KEPT_MAX: usize = 16 * 1024;

/// Stands for the databases' generations where a partition is expected.
const GENERATIONS: usize = usize::MAX;

/// Stands for "was absent" where a value's length is expected.
const ABSENT: u64 = u64::MAX;

/// What one pair was before the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// Its partition.
    pub partition: usize,
    /// Its engine key.
    pub key: Vec<u8>,
    /// Its engine value, or `None` if it was absent.
    pub value: Option<Vec<u8>>,
}

impl Before {
    /// The databases' generations before the change.
    pub fn generations(generations: &Generations) -> Self {
        let words = encode_generations(generations);
        Self {
            partition: GENERATIONS,
            key: Vec::new(),
            value: Some(words.iter().flat_map(|word| word.to_le_bytes()).collect()),
        }
    }

    fn name(&self) -> (usize, Vec<u8>) {
        (self.partition, self.key.clone())
    }

    fn as_generations(&self) -> Option<Generations> {
        let bytes = self
            .value
            .as_ref()
            .filter(|_| self.partition == GENERATIONS)?;
        let (words, _) = bytes.as_chunks::<8>();
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        Some(decode_generations(&words))
    }

    /// Puts the pair back.
    pub fn restore(&self, tables: &[Table], sums: &Sums) -> Result<(), StoreError> {
        let table = tables
            .get(self.partition)
            .ok_or_else(|| StoreError::Damaged("a journal names a missing partition".into()))?;
        let present = table.get_with(&self.key, check_of)?.unwrap_or(0);
        let restored = self.value.as_deref().map_or(0, check_of);
        sums.change(self.partition, present, restored, || {
            match &self.value {
                Some(value) => table.put(&self.key, value)?,
                None => {
                    table.remove(&self.key)?;
                }
            }
            Ok(true)
        })?;
        Ok(())
    }
}

/// The journal's slots: pairs of the first partition. A used slot stays as an emptied pair, so that the next journal
/// can overwrite it in place.
#[derive(Debug)]
pub struct Journal {
    free: Mutex<Vec<Slot>>,
    freed: Condvar,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    number: u32,
    /// Length of the slot's stored value; 0 if there is none.
    stored_bytes: usize,
}

impl Journal {
    /// A journal that has never been used.
    pub fn new() -> Self {
        let slot = |number| Slot {
            number,
            stored_bytes: 0,
        };
        Self {
            free: Mutex::new((0..SLOTS).map(slot).collect()),
            freed: Condvar::new(),
        }
    }

    /// Undoes what a process left half done when it died. Calls `set_generations` with the old generations if the
    /// change could set them. Returns the journal and how many changes it has undone.
    pub fn recover(
        tables: &[Table],
        sums: &Sums,
        set_generations: &dyn Fn(&Generations),
    ) -> Result<(Self, usize), StoreError> {
        let mut undone = 0;
        let journal = Self::new();
        for slot in journal.free.lock().iter_mut() {
            let key = journal_key(slot.number);
            let Some(stored) = tables[0].get(&key)? else {
                continue;
            };
            let entries = decode(&stored)?;
            for before in &entries {
                match before.as_generations() {
                    Some(generations) => set_generations(&generations),
                    None => before.restore(tables, sums)?,
                }
            }
            undone += usize::from(!entries.is_empty());
            tables[0].remove(&key)?;
        }
        Ok((journal, undone))
    }

    /// As [`guard`](Self::guard), for a change that does not know in advance all that it writes: [`cover`] adds to the
    /// journal.
    pub fn guard_open(
        &self,
        tables: &[Table],
        before: &[Before],
        put: PutJournal<'_>,
        change: &mut dyn FnMut(),
    ) -> Result<(), StoreError> {
        // The caller is alone inside the gate, so nobody keeps a slot while waiting for what the change locks.
        let _held = Held::wait_for(Rank::Hold);
        let mut slot = self.take_slot();
        let result = slot.guard_open(tables, before, put, change);
        self.give_back(slot);
        result
    }

    /// Writes a journal of `before`, runs `change`, and empties the journal. If `change` fails, undoes what it did.
    pub fn guard(
        &self,
        tables: &[Table],
        sums: &Sums,
        before: &[Before],
        put: PutJournal<'_>,
        change: &mut dyn FnMut() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let _held = Held::wait_for(Rank::JournalSlot);
        let mut slot = self.take_slot();
        let result = slot.guard(tables, sums, before, put, change);
        self.give_back(slot);
        result
    }

    fn take_slot(&self) -> Slot {
        let mut free = self.free.lock();
        loop {
            if let Some(slot) = free.pop() {
                return slot;
            }
            self.freed.wait(&mut free);
        }
    }

    fn give_back(&self, slot: Slot) {
        self.free.lock().push(slot);
        self.freed.notify_one();
    }
}

impl Slot {
    fn guard(
        &mut self,
        tables: &[Table],
        sums: &Sums,
        before: &[Before],
        put: PutJournal<'_>,
        change: &mut dyn FnMut() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let first = &tables[0];
        self.store(first, encode(before), put)?;
        let result = change();
        if result.is_err() {
            undo(tables, sums, before);
        }
        self.retire_or_abort(first);
        result
    }

    fn guard_open(
        &mut self,
        tables: &[Table],
        before: &[Before],
        put: PutJournal<'_>,
        change: &mut dyn FnMut(),
    ) -> Result<(), StoreError> {
        let first = &tables[0];
        let journal = encode(before);
        self.store(first, journal.clone(), put)?;
        let covered = before.iter().map(Before::name).collect();
        let open = OpenJournal {
            slot: *self,
            pairs: before.len() as u64,
            journal,
            covered,
        };
        OPEN.set(Some(open));
        change();
        if let Some(open) = OPEN.take() {
            *self = open.slot;
        }
        self.retire_or_abort(first);
        Ok(())
    }

    fn retire_or_abort(&mut self, first: &Table) {
        if let Err(error) = self.retire(first) {
            // The change is done, but the next open would undo it, so the server must not acknowledge it.
            tracing::error!(%error, "a journal could not be retired: the process ends, a restart repairs it");
            std::process::abort();
        }
    }

    /// Writes the journal, in place if it fits.
    fn store(
        &mut self,
        first: &Table,
        mut journal: Vec<u8>,
        put: PutJournal<'_>,
    ) -> Result<(), StoreError> {
        let key = journal_key(self.number);
        if journal.len() <= self.stored_bytes && first.write_range(&key, 0, &journal)? {
            return Ok(());
        }
        journal.resize(journal.len().max(SLOT_BYTES_MIN), 0);
        put(first, &key, &journal)?;
        self.stored_bytes = journal.len();
        Ok(())
    }

    /// Empties the slot: from here on the change counts.
    fn retire(&mut self, first: &Table) -> Result<(), StoreError> {
        let key = journal_key(self.number);
        if self.stored_bytes <= SLOT_BYTES_KEPT_MAX {
            match first.write_range(&key, 0, &0u64.to_le_bytes()) {
                Ok(true) => return Ok(()),
                // The engine does not write in place.
                Ok(false) | Err(Error::NotSupported(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.stored_bytes = 0;
        first.remove(&key)?;
        Ok(())
    }
}

/// The journal of the change that runs on this thread.
struct OpenJournal {
    slot: Slot,
    /// How many pairs it names.
    pairs: u64,
    /// The whole journal, encoded.
    journal: Vec<u8>,
    /// The pairs that it names, by partition and key.
    covered: HashSet<(usize, Vec<u8>)>,
}

thread_local! {
    static OPEN: RefCell<Option<OpenJournal>> = const { RefCell::new(None) };
}

/// Whether this thread runs a change that [`Journal::guard_open`] covers.
pub fn is_open() -> bool {
    OPEN.with_borrow(Option::is_some)
}

/// Whether this thread's journal says already what a pair was before the change.
pub fn covers(partition: usize, key: &[u8]) -> bool {
    let name = (partition, key.to_vec());
    OPEN.with_borrow(|open| {
        open.as_ref()
            .is_some_and(|open| open.covered.contains(&name))
    })
}

/// Adds to this thread's journal those of the pairs that it does not name yet. The caller changes them only after this.
pub fn cover(first: &Table, before: &[Before], put: PutJournal<'_>) -> Result<(), StoreError> {
    OPEN.with_borrow_mut(|open| {
        open.as_mut()
            .map_or(Ok(()), |open| open.cover(first, before, put))
    })
}

impl OpenJournal {
    fn cover(
        &mut self,
        first: &Table,
        before: &[Before],
        put: PutJournal<'_>,
    ) -> Result<(), StoreError> {
        let start = self.journal.len();
        let mut names = Vec::new();
        for pair in before {
            let name = pair.name();
            if !self.covered.contains(&name) && !names.contains(&name) {
                encode_pair(pair, &mut self.journal);
                names.push(name);
            }
        }
        if names.is_empty() {
            return Ok(());
        }
        let pairs = self.pairs + names.len() as u64;
        let written = self.append(first, start, pairs, put);
        if written.is_err() {
            self.journal.truncate(start);
            return written;
        }
        self.pairs = pairs;
        self.journal[..8].copy_from_slice(&pairs.to_le_bytes());
        self.covered.extend(names);
        Ok(())
    }

    /// Stores the journal from `start` on: in place if the stored pair is long enough, otherwise as a new pair.
    fn append(
        &mut self,
        first: &Table,
        start: usize,
        pairs: u64,
        put: PutJournal<'_>,
    ) -> Result<(), StoreError> {
        let key = journal_key(self.slot.number);
        if self.journal.len() <= self.slot.stored_bytes {
            match first.write_range(&key, start, &self.journal[start..]) {
                // The number of pairs comes last: until it is written, the new pairs are not part of the journal.
                Ok(true) => {
                    first.write_range(&key, 0, &pairs.to_le_bytes())?;
                    return Ok(());
                }
                Ok(false) | Err(Error::NotSupported(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut whole = self.journal.clone();
        whole[..8].copy_from_slice(&pairs.to_le_bytes());
        whole.resize((2 * whole.len()).max(SLOT_BYTES_MIN), 0);
        put(first, &key, &whole)?;
        self.slot.stored_bytes = whole.len();
        Ok(())
    }
}

/// Puts everything back after a change that failed half-way.
pub fn undo(tables: &[Table], sums: &Sums, before: &[Before]) {
    for before in before {
        if let Err(error) = before.restore(tables, sums) {
            // Half a change must not be served. The journal is still there: the next open undoes it.
            tracing::error!(%error, "a change could not be undone: the process ends, a restart repairs it");
            std::process::abort();
        }
    }
}

/// Encodes a journal. The number of pairs comes first: 0 means an empty slot, whatever follows.
pub fn encode(before: &[Before]) -> Vec<u8> {
    let mut encoded = (before.len() as u64).to_le_bytes().to_vec();
    for pair in before {
        encode_pair(pair, &mut encoded);
    }
    encoded
}

fn encode_pair(pair: &Before, encoded: &mut Vec<u8>) {
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

/// Decodes a journal. Ignores what an earlier, longer journal has left after it.
pub fn decode(mut encoded: &[u8]) -> Result<Vec<Before>, StoreError> {
    let damaged = || StoreError::Damaged("a journal ends too early".into());
    let pairs = number(&mut encoded).ok_or_else(damaged)?;
    (0..pairs)
        .map(|_| decode_pair(&mut encoded).ok_or_else(damaged))
        .collect()
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
        let mut encoded = encode(&before);
        assert_eq!(decode(&encoded).expect("valid"), before);
        for end in 0..encoded.len() {
            assert!(decode(&encoded[..end]).is_err());
        }
        encoded.extend_from_slice(b"what an earlier, longer journal left");
        assert_eq!(decode(&encoded).expect("valid"), before);
        encoded[..8].fill(0);
        assert_eq!(decode(&encoded).expect("an empty slot"), []);
    }
}
