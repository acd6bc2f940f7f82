//! The `pairs` layout: one Redis key is one pmemkv pair, every call maps to a pmemkv call, and every write is durable
//! when it returns.

#[doc(hidden)]
pub mod fuzzing;
mod journal;
mod meter;
mod open;
mod patch;
mod rebuild;
mod record;
mod sums;
mod table;
#[cfg(test)]
mod tests;
mod write;

use std::sync::atomic::{AtomicBool, Ordering};

pub use open::{open_pool, open_volatile, partitions, rehearse, walk};
pub use rebuild::{must_be_rebuilt, note_padded};

use super::{
    Abilities, Fill, Generations, Gone, Location, OnRecord, OnValue, RecordKey, Store, StoreError,
    Usage, Visited, Write,
};
use crate::metadata::{Metadata, WORD_LAYOUT};
use crate::model::Range;
use journal::{Before, Journal};
use meter::Meter;
use pmemkv::{Engine, Error};
use record::{
    KEY_PREFIX_BYTES, check_of, decode_key, decode_value, encode_key, is_journal_key, key_of,
    verify_value,
};
use sums::Sums;
use table::Table;

/// The layout's name, as pools record it.
pub const LAYOUT: &str = "pairs";

/// The pool's word that is not 0 where there may be values without a checksum.
const WORD_UNCHECKED: usize = WORD_LAYOUT;

/// The pool's word that is not 0 where all pairs of an engine that needs it are padded.
const WORD_PADDED: usize = WORD_LAYOUT + 1;

/// Longer values are put anew: writing in place copies the old bytes to an undo log first.
const IN_PLACE_BYTES_MAX: usize = 64 * 1024;

/// After a put has run out of memory, later inserts of this engine can overwrite live entries. So the layout keeps it
/// from running full. If it runs full all the same, the layout refuses writes until a restart has rebuilt the pool.
const UNSAFE_WHEN_FULL: &str = "stree";

/// What the layout keeps free in such a pool: a share for fragmentation, and what libpmemobj takes for itself without
/// counting it as allocated. Measured: puts failed inside the engine at 60 % of 16 MiB, 90 % of 64 MiB, 97 % of 256
/// MiB.
const RESERVE_SHARE: u64 = 16;
const RESERVE_BYTES: u64 = 8 << 20;

/// A store that keeps one pair for each key, in one or more engines of one pool.
#[derive(Debug)]
pub struct Pairs {
    /// One engine for each partition. Its database keeps the pool open.
    tables: Vec<Table>,
    engine: Engine,
    hash_seed: u64,
    journal: Journal,
    metadata: Metadata,
    meter: Meter,
    sums: Sums,
    /// Whether the engine writes in place.
    has_iterators: bool,
    /// Set once a put has run out of memory on [`UNSAFE_WHEN_FULL`].
    spoilt: AtomicBool,
}

impl Pairs {
    /// Whether there may be values without a checksum: in pools that began in the former format.
    fn has_unchecked(&self) -> bool {
        match &self.metadata {
            Metadata::Pool(pool) => pool.word(WORD_UNCHECKED) != 0,
            Metadata::Process { .. } => false,
        }
    }

    fn table(&self, partition: usize) -> &Table {
        &self.tables[partition]
    }

    fn put(&self, table: &Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if self.engine.name != UNSAFE_WHEN_FULL {
            return Ok(table.put(key, value)?);
        }
        if self.spoilt.load(Ordering::Acquire) {
            return Err(StoreError::Engine(
                "the pool ran full inside the engine: restart the server, which rebuilds it".into(),
            ));
        }
        if let Metadata::Pool(pool) = &self.metadata {
            let stats = pool
                .stats()
                .map_err(|error| StoreError::Pool(Box::new(error)))?;
            let free = stats.size_bytes.saturating_sub(stats.allocated_bytes);
            let reserve = stats.size_bytes / RESERVE_SHARE + RESERVE_BYTES;
            let needed = reserve + 2 * (key.len() + value.len()) as u64;
            if free < needed {
                return Err(StoreError::OutOfMemory);
            }
        }
        let put = table.put(key, value);
        if matches!(put, Err(Error::OutOfMemory(_))) {
            tracing::error!(
                "the pool ran full inside the engine: writes are refused until a restart rebuilds it"
            );
            self.spoilt.store(true, Ordering::Release);
        }
        Ok(put?)
    }

    /// Makes all of the changes, or on an error none.
    fn write_together(
        &self,
        writes: &[Write<'_>],
        locations: &mut [Location],
    ) -> Result<(), StoreError> {
        let put_journal = |first: &Table, key: &[u8], value: &[u8]| self.put(first, key, value);
        let is_journalled = journal::is_open();
        if is_journalled {
            // Reads and notes only the first version of a record that the step changes several times.
            let records = writes.iter().map(Write::record);
            let unknown = records
                .filter(|record| !journal::covers(record.partition, key_of(record).as_slice()));
            let before = self.before(unknown)?;
            journal::cover(self.table(0), &before, &put_journal)?;
        }
        if let ([write], [location]) = (writes, &mut *locations) {
            return self.apply(write, location);
        }
        let mut change = || {
            writes
                .iter()
                .zip(locations.iter_mut())
                .try_for_each(|(write, location)| self.apply(write, location))
        };
        let removals = writes
            .iter()
            .all(|write| matches!(write, Write::Remove { .. }));
        if !self.engine.persistent || is_journalled {
            let before = self.before(writes.iter().map(Write::record))?;
            return change().inspect_err(|_| journal::undo(&self.tables, &self.sums, &before));
        }
        if !removals {
            let before = self.before(writes.iter().map(Write::record))?;
            return self.journal.guard(
                &self.tables,
                &self.sums,
                &before,
                &put_journal,
                &mut change,
            );
        }
        // Nothing but names is journalled: recovery then finishes the removals instead of undoing them.
        match self.journal.guard(
            &self.tables,
            &self.sums,
            &absent(writes),
            &put_journal,
            &mut change,
        ) {
            // Removing must work in a full pool too, at the price that a crash in the middle shows.
            Err(StoreError::OutOfMemory) => change(),
            // Only the journal needs an insert, and inserts are refused until a restart.
            Err(_) if self.spoilt.load(Ordering::Acquire) => change(),
            other => other,
        }
    }

    /// The present pairs of `records`.
    fn before<'k>(
        &self,
        records: impl Iterator<Item = RecordKey<'k>>,
    ) -> Result<Vec<Before>, StoreError> {
        records
            .map(|record| {
                let key = key_of(&record);
                Ok(Before {
                    partition: record.partition,
                    value: self.table(record.partition).get(&key)?,
                    key: key.into_vec(),
                })
            })
            .collect()
    }
}

/// A location holds the length of the engine value: the key alone says where a record lies.
fn location_of(engine_value: &[u8]) -> Location {
    at(engine_value.len() as u64, check_of(engine_value))
}

/// The location of a value of this length and checksum.
fn at(length: u64, check: u32) -> Location {
    debug_assert!(
        u32::try_from(length).is_ok(),
        "an engine takes no such value"
    );
    Location(u64::from(check) << 32 | length)
}

/// How long the engine value is.
fn length_of(location: Location) -> u64 {
    location.0 & u64::from(u32::MAX)
}

/// Its checksum; 0 where it is of the former format.
#[allow(clippy::cast_possible_truncation)] // The upper half.
fn check_in(location: Location) -> u32 {
    (location.0 >> 32) as u32
}

/// A journal that says that the records of `writes` are absent.
fn absent(writes: &[Write<'_>]) -> Vec<Before> {
    let absent = |write: &Write<'_>| {
        let record = write.record();
        Before {
            partition: record.partition,
            key: key_of(&record).into_vec(),
            value: None,
        }
    };
    writes.iter().map(absent).collect()
}

impl Store for Pairs {
    fn abilities(&self) -> Abilities {
        Abilities {
            sorted: self.engine.sorted,
            retains: self.engine.retains,
            persistent: self.engine.persistent,
            partitioned: true,
        }
    }

    fn partitions(&self) -> usize {
        self.tables.len()
    }

    fn hash_seed(&self) -> u64 {
        self.hash_seed
    }

    fn generations(&self) -> Generations {
        self.metadata.generations()
    }

    fn set_generations(&self, new: &Generations) -> Result<(), StoreError> {
        self.metadata.set_generations(new);
        Ok(())
    }

    fn reserve_generations(&self, next: u32) -> Result<(), StoreError> {
        self.metadata.reserve_generations(next);
        Ok(())
    }

    fn visit(
        &self,
        partition: usize,
        visit: &mut dyn FnMut(Visited<'_>),
    ) -> Result<(), StoreError> {
        let mut damaged = None;
        let may_be_unchecked = self.has_unchecked();
        let mut met = 0;
        let mut sum = 0u64;
        let counted = self.table(partition).get_all_counted(|count, key, value| {
            met += 1;
            if met > count {
                // A chain of the engine's that leads back into itself would have no end.
                return std::ops::ControlFlow::Break(());
            }
            let Some((generation, user_key)) = decode_key(key) else {
                if !is_journal_key(key) {
                    let key = key.escape_ascii();
                    damaged = Some(StoreError::Damaged(format!("a key that is none: {key}")));
                }
                return std::ops::ControlFlow::Continue(());
            };
            let stored = location_of(value);
            sum = sum.wrapping_add(sums::worth(check_of(value)));
            match verify_value(key, value, may_be_unchecked) {
                Ok(value) => visit(Visited {
                    generation,
                    key: user_key,
                    kind: value.kind,
                    expires_at: value.expires_at,
                    location: stored,
                    value: value.bytes,
                    sequence: 0,
                    removed: false,
                }),
                Err(error) => damaged = Some(error),
            }
            std::ops::ControlFlow::Continue(())
        })?;
        if self.engine.retains && met != counted {
            let what = if met < counted { "fewer" } else { "more" };
            damaged = Some(StoreError::Damaged(format!(
                "partition {partition} has {what} pairs than the {counted} that its engine counts"
            )));
        }
        match damaged {
            None => self.sums.check(partition, sum),
            Some(error) => Err(error),
        }
    }

    fn read(
        &self,
        record: RecordKey<'_>,
        _location: Location,
        f: OnValue<'_>,
    ) -> Result<bool, StoreError> {
        let key = key_of(&record);
        let read = self
            .table(record.partition)
            .get_with(&key, |encoded| decode_value(encoded).map(f))?;
        match read {
            None => Ok(false),
            Some(Ok(())) => Ok(true),
            Some(Err(error)) => Err(error),
        }
    }

    fn locate(&self, record: RecordKey<'_>) -> Result<Option<Location>, StoreError> {
        let key = key_of(&record);
        let may_be_unchecked = self.has_unchecked();
        let found = self.table(record.partition).get_with(&key, |value| {
            verify_value(&key, value, may_be_unchecked).map(|_| location_of(value))
        })?;
        found.transpose()
    }

    fn is_large(&self, location: Location) -> bool {
        length_of(location) > IN_PLACE_BYTES_MAX as u64
    }

    fn write(&self, writes: &[Write<'_>], locations: &mut [Location]) -> Result<(), StoreError> {
        self.write_together(writes, locations)?;
        self.meter.note(&self.metadata, writes, locations);
        Ok(())
    }

    fn atomically(
        &self,
        records: &[RecordKey<'_>],
        change: &mut dyn FnMut(),
    ) -> Result<(), StoreError> {
        if !self.engine.persistent {
            change();
            return Ok(());
        }
        let mut before = self.before(records.iter().copied())?;
        before.push(Before::generations(&self.metadata.generations()));
        let put_journal = |first: &Table, key: &[u8], value: &[u8]| self.put(first, key, value);
        self.journal
            .guard_open(&self.tables, &before, &put_journal, change)
    }

    fn forget(&self, record: RecordKey<'_>, location: Location, _: Gone) -> Result<(), StoreError> {
        self.write(&[Write::Remove { record, location }], &mut [location])
    }

    fn commit(&self) -> Result<bool, StoreError> {
        // Every write was durable when it returned.
        Ok(false)
    }

    fn fill(&self) -> Fill {
        self.meter.fill()
    }

    fn evict_above(&self) -> u64 {
        self.meter.evict_above()
    }

    fn range(
        &self,
        generation: u32,
        range: Range<'_>,
        visit: OnRecord<'_>,
    ) -> Result<(), StoreError> {
        let mut damaged = None;
        let bounds = Bounds::new(generation, range);
        let flow = self.table(0).get_range(bounds.walk(), |encoded, value| {
            if *encoded >= *bounds.high {
                return std::ops::ControlFlow::Break(());
            }
            let Some((_, key)) = decode_key(encoded) else {
                return std::ops::ControlFlow::Continue(());
            };
            match decode_value(value) {
                Ok(value) => visit(key, value),
                Err(error) => {
                    damaged = Some(error);
                    std::ops::ControlFlow::Break(())
                }
            }
        });
        let _ = flow?;
        damaged.map_or(Ok(()), Err)
    }

    fn range_count(&self, generation: u32, range: Range<'_>) -> Result<u64, StoreError> {
        let bounds = Bounds::new(generation, range);
        let mut count = self.table(0).count_range(bounds.inside())?;
        // `between` leaves both bounds out, so count the lower one here if it is part of the range.
        if let Some(key) = bounds.inclusive()
            && self.table(0).exists(key)?
        {
            count += 1;
        }
        Ok(count as u64)
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        let usage = self.metadata.usage()?;
        Ok(Usage {
            engine: self.engine.name.to_owned(),
            layout: LAYOUT,
            stored_bytes_max: usage.pool_bytes,
            ..usage
        })
    }

    fn defrag(&self, start: f64, amount: f64) -> Result<(), StoreError> {
        for table in &self.tables {
            table.database().defrag(start, amount)?;
        }
        Ok(())
    }

    fn note_alive(&self) {
        self.metadata.note_alive();
    }

    fn close(&self) -> Result<(), StoreError> {
        if !self.spoilt.load(Ordering::Acquire) {
            self.metadata.mark_closed();
        }
        Ok(())
    }
}

/// A range of user keys as a range of engine keys. An open end becomes the bound of the generation.
struct Bounds {
    low: record::EngineKey,
    /// Never part of the range.
    high: record::EngineKey,
    low_included: bool,
}

impl Bounds {
    fn new(generation: u32, range: Range<'_>) -> Self {
        let bound = |key: &[u8]| encode_key(generation, key);
        let mut bounds = Self {
            low: bound(b""),
            high: bound(b""),
            low_included: true,
        };
        // One past the tag: after every key of the generation, before any of the next.
        bounds.high[KEY_PREFIX_BYTES - 1] += 1;
        match range {
            Range::All => {}
            Range::Above(low) => (bounds.low, bounds.low_included) = (bound(low), false),
            Range::EqualAbove(low) => bounds.low = bound(low),
            Range::Below(high) => bounds.high = bound(high),
            Range::EqualBelow(high) => {
                bounds.high = bound(high);
                // No key lies between k and k followed by a NUL.
                bounds.high.push(0);
            }
            Range::Between(low, high) => {
                (bounds.low, bounds.low_included) = (bound(low), false);
                bounds.high = bound(high);
            }
        }
        bounds
    }

    /// The range to walk. The walk must end at `high`.
    fn walk(&self) -> Range<'_> {
        if self.low_included {
            Range::EqualAbove(&self.low)
        } else {
            Range::Between(&self.low, &self.high)
        }
    }

    /// The range between both bounds, without the bounds.
    fn inside(&self) -> Range<'_> {
        Range::Between(&self.low, &self.high)
    }

    fn inclusive(&self) -> Option<&[u8]> {
        self.low_included.then_some(&self.low)
    }
}
