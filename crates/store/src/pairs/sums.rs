//! The sum of each partition's records, by which a partition is known that has lost one or has an older one back: their own
//! checksums cannot tell.
//!
//! A change first says in a slot what it is going to add to which sum, then the engine stores the pair, then the sum is
//! changed, then the slot is emptied. So after a crash the records of a partition are worth its sum and any of what the
//! slots say of it. Records of the former format, which have no checksum, are worth nothing.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::StoreError;
use pmemkv::{CELLS, Pool};

/// The most partitions that a pool with sums can have.
const PARTITIONS_MAX: usize = 256;

/// Changes that may be under way at once: more than threads that write.
const SLOTS: usize = 64;

/// The pool's first cell with a sum.
const CELL_SUMS: usize = 8;

/// The pool's first cell with a slot: one more than the partition, 0 where it is empty; then what is added.
const CELL_SLOTS: usize = CELL_SUMS + PARTITIONS_MAX;

const _: () = assert!(CELL_SLOTS + 2 * SLOTS <= CELLS, "the cells hold all");

/// With more changes under way when the process died, not every mixture of them is tried.
const TRIED_MAX: usize = 16;

/// What a record is worth beside its checksum: so records of whichever checksums count.
const RECORD: u64 = 1 << 40;

/// What a record with this checksum is worth; 0 stands for one of the former format.
pub fn worth(check: u32) -> u64 {
    if check == 0 {
        0
    } else {
        RECORD + u64::from(check)
    }
}

/// The sums; nothing is kept where the engine does not outlive the process.
#[derive(Debug)]
pub struct Sums {
    pool: Option<Pool>,
    /// Which slots this process uses.
    taken: [AtomicBool; SLOTS],
}

/// A slot in use.
struct Slot<'a> {
    sums: &'a Sums,
    number: usize,
}

impl Sums {
    /// No sums: the engine does not outlive the process.
    pub fn none() -> Self {
        Self {
            pool: None,
            taken: std::array::from_fn(|_| AtomicBool::new(false)),
        }
    }

    /// The sums of a pool.
    ///
    /// # Errors
    /// An error where a slot names a partition that there is not: no check would ever empty it, and without an empty slot
    /// no write could go on.
    pub fn of(pool: &Pool) -> Result<Self, StoreError> {
        let sums = Self {
            pool: Some(pool.clone()),
            ..Self::none()
        };
        let partitions = u64::from(pool.header().partitions);
        for (number, taken) in sums.taken.iter().enumerate() {
            let named = pool.cell(CELL_SLOTS + 2 * number);
            if named > partitions {
                return Err(StoreError::Damaged(format!(
                    "a change under way is one of partition {named}, and there are {partitions}. Restore the pool from a copy"
                )));
            }
            // What an earlier process left is needed until the partition is read.
            taken.store(named != 0, Ordering::Relaxed);
        }
        Ok(sums)
    }

    /// Runs `change`, which replaces a record of one checksum (0 where there is none) by one of another, and says whether it
    /// did.
    pub fn change(
        &self,
        partition: usize,
        before: u32,
        after: u32,
        change: impl FnOnce() -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        let added = worth(after).wrapping_sub(worth(before));
        let Some(pool) = self.pool.as_ref().filter(|_| added != 0) else {
            return change();
        };
        let slot = self.take_slot()?;
        let cell = CELL_SLOTS + 2 * slot.number;
        pool.set_cell(cell + 1, added);
        pool.set_cell(cell, partition as u64 + 1);
        let changed = change();
        if matches!(changed, Ok(true)) {
            pool.add_to_cell(CELL_SUMS + partition, added);
        }
        pool.set_cell(cell, 0);
        changed
    }

    fn take_slot(&self) -> Result<Slot<'_>, StoreError> {
        thread_local! {
            static FIRST: usize = usize::try_from(RandomState::new().hash_one(0) % SLOTS as u64).unwrap_or(0);
        }
        let first = FIRST.with(|first| *first);
        // Each is held for one write of the engine's.
        for _ in 0..1_000_000 {
            for n in 0..SLOTS {
                let number = (first + n) % SLOTS;
                if !self.taken[number].swap(true, Ordering::AcqRel) {
                    return Ok(Slot { sums: self, number });
                }
            }
            std::thread::yield_now();
        }
        Err(StoreError::Engine("no slot for a change is free".into()))
    }

    /// Compares the sum of a partition's records with what is known of it; from now on it is the sum.
    pub fn check(&self, partition: usize, found: u64) -> Result<(), StoreError> {
        let Some(pool) = &self.pool else {
            return Ok(());
        };
        let slots: Vec<usize> = (0..SLOTS)
            .filter(|number| pool.cell(CELL_SLOTS + 2 * number) == partition as u64 + 1)
            .collect();
        let added: Vec<u64> = slots
            .iter()
            .map(|number| pool.cell(CELL_SLOTS + 2 * number + 1))
            .collect();
        let missing = found.wrapping_sub(pool.cell(CELL_SUMS + partition));
        if missing != 0 && !is_sum_of_some(missing, &added) {
            return Err(StoreError::Damaged(format!(
                "partition {partition} has lost a record, or has an older one back: its records are not worth what the \
                 pool says. Restore the pool from a copy"
            )));
        }
        if missing != 0 {
            pool.set_cell(CELL_SUMS + partition, found);
        }
        for number in slots {
            pool.set_cell(CELL_SLOTS + 2 * number, 0);
            self.taken[number].store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Gives a new pool the sums of another, whose records it has.
    pub fn copy(old: &Pool, new: &Pool) {
        for cell in CELL_SUMS..CELL_SLOTS + 2 * SLOTS {
            new.set_cell(cell, old.cell(cell));
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.sums.taken[self.number].store(false, Ordering::Release);
    }
}

/// Whether a number is the sum of some of these.
fn is_sum_of_some(number: u64, of: &[u64]) -> bool {
    let of = &of[..of.len().min(TRIED_MAX)];
    (0..1u32 << of.len()).any(|chosen| {
        let chosen = (0..of.len()).filter(|n| chosen >> n & 1 != 0);
        chosen.fold(0u64, |sum, n| sum.wrapping_add(of[n])) == number
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::folder;
    use pmemkv::{FORMAT_VERSION, PoolHeader};

    #[test]
    fn a_sum_is_that_of_the_records_and_of_some_changes_under_way()
    -> Result<(), Box<dyn std::error::Error>> {
        let folder = folder()?;
        let header = PoolHeader {
            format_version: FORMAT_VERSION,
            engine: "cmap".to_owned(),
            layout: "pairs".to_owned(),
            partitions: 2,
            hash_seed: 0,
        };
        let pool = Pool::create(folder.path().join("pool"), 16 << 20, &header)?;
        let sums = Sums::of(&pool)?;
        sums.change(1, 0, 7, || Ok(true))?;
        sums.change(1, 0, 8, || Ok(true))?;
        sums.change(1, 7, 9, || Ok(true))?;
        let failed = sums.change(1, 9, 0, || Err(StoreError::OutOfMemory));
        assert!(failed.is_err());
        assert!(!sums.change(1, 9, 0, || Ok(false))?);
        let worth_of = |checks: &[u32]| {
            checks
                .iter()
                .fold(0u64, |sum, &check| sum.wrapping_add(worth(check)))
        };
        let both = worth_of(&[8, 9]);
        sums.check(1, both)?;
        sums.check(0, 0)?;
        for wrong in [worth_of(&[8]), worth_of(&[8, 7]), worth_of(&[8, 9, 9]), 0] {
            assert!(sums.check(1, wrong).is_err());
        }

        // Two changes that a crash has cut short somewhere.
        for (number, added) in [worth(20), worth(0).wrapping_sub(worth(8))]
            .into_iter()
            .enumerate()
        {
            pool.set_cell(CELL_SLOTS + 2 * number + 1, added);
            pool.set_cell(CELL_SLOTS + 2 * number, 2);
        }
        let sums = Sums::of(&pool)?;
        assert!(sums.check(1, worth_of(&[9, 21])).is_err());
        // A change beside them takes another slot.
        sums.change(1, 0, 30, || Ok(true))?;
        sums.check(1, worth_of(&[9, 20, 30]))?;
        assert!(sums.check(1, worth_of(&[8, 9, 30])).is_err());
        sums.check(1, worth_of(&[9, 20, 30]))?;
        assert_eq!(worth(0), 0);

        pool.set_cell(CELL_SLOTS + 2 * 5, 3);
        assert!(matches!(Sums::of(&pool), Err(StoreError::Damaged(_))));
        Ok(())
    }
}
