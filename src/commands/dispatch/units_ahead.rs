//! Units of a master's stream are taken some at a time, so that their keys can be fetched into the cache together.

use smallvec::SmallVec;

use crate::keyspace::{Ahead, Keyspace, PREFETCHED};
use crate::state::replication::Unit;

/// A key, and its hash.
pub(super) type Known<'s> = (&'s [u8], u64);

/// A unit, and the key of its call if it is one call.
type Held<'s> = (Unit<'s>, Option<Known<'s>>);

/// Units whose keys are fetched.
#[derive(Debug)]
pub(super) struct UnitsAhead<'s, I> {
    units: I,
    held: smallvec::IntoIter<[Held<'s>; PREFETCHED]>,
}

impl<'s, I: Iterator<Item = Unit<'s>>> UnitsAhead<'s, I> {
    /// Units that are still to be taken.
    pub(super) fn new(units: I) -> Self {
        let held = SmallVec::new().into_iter();
        Self { units, held }
    }

    /// The next unit, in a stream that has selected `db` before it. Its key is the first argument of its call, which is a guess: a
    /// wrong one costs time alone.
    pub(super) fn next(&mut self, keyspace: &Keyspace, db: usize) -> Option<Held<'s>> {
        if let Some(held) = self.held.next() {
            return Some(held);
        }
        self.held = fetched(&mut self.units, keyspace, db).into_iter();
        self.held.next()
    }
}

/// The next units, after their keys were fetched.
fn fetched<'s>(
    units: impl Iterator<Item = Unit<'s>>,
    keyspace: &Keyspace,
    db: usize,
) -> SmallVec<[Held<'s>; PREFETCHED]> {
    let mut held: SmallVec<[Held<'s>; PREFETCHED]> = SmallVec::new();
    let mut keys: SmallVec<[Ahead<'s>; PREFETCHED]> = SmallVec::new();
    for unit in units.take(PREFETCHED) {
        let call = unit.calls().next().filter(|_| !unit.is_transaction());
        let key = call.and_then(|call| {
            let (name, key) = (call.get(0)?, call.get(1)?);
            keys.push(Ahead {
                db,
                key,
                value: !name.eq_ignore_ascii_case(b"set"),
            });
            Some((key, 0))
        });
        held.push((unit, key));
    }
    if keys.len() > 1 {
        let hashes = keyspace.prefetch(keys);
        let known = held.iter_mut().filter_map(|(_, known)| known.as_mut());
        for ((_, hash), fetched) in known.zip(hashes) {
            *hash = fetched.key;
        }
    } else {
        // For a single one it would gain nothing.
        for (_, known) in &mut held {
            *known = None;
        }
    }
    held
}
