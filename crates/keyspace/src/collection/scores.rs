//! The shape of a sorted set: its members by name, and in the order of their scores.

use std::cmp::Ordering;
use std::ops::Range;

use super::sequence::Sequence;
use crate::index::{Index, IndexKey, Located, Names, Naming, NewEntry};
use store::prefetch;

/// While members are sorted, they are fetched this many ahead into the processor's cache.
const PREFETCHED: usize = 16;

/// The prefetch for a later pop takes several steps; this many pops lie between two steps.
const POPPED_AHEAD: usize = 3;

/// A member with its score.
#[derive(Clone, Debug)]
pub struct Scored {
    pub score: f64,
    pub member: IndexKey,
}

impl Scored {
    fn compare(&self, score: f64, member: &[u8]) -> Ordering {
        // Scores are never NaN; -0 and 0 are equal.
        let by_score = self.score.partial_cmp(&score).unwrap_or(Ordering::Equal);
        by_score.then_with(|| self.member.as_slice().cmp(member))
    }
}

/// Members by name and by rank.
#[derive(Debug)]
pub struct ScoreIndex {
    members: Index,
    order: Sequence<Scored>,
    /// Bytes of names outside `order`.
    long_names_bytes: usize,
}

impl ScoreIndex {
    /// A sorted set without members.
    pub fn empty(naming: Naming) -> Self {
        Self {
            members: Index::new(0, naming),
            order: Sequence::default(),
            long_names_bytes: 0,
        }
    }

    /// Builds the shape from the index `members` and the members' scores.
    pub fn new(members: Index, mut scored: Vec<Scored>) -> Self {
        // Sort small pairs: they move cheaply, and the score alone mostly decides.
        let mut order: Vec<(u64, usize)> = scored
            .iter()
            .enumerate()
            .map(|(at, one)| (ordered_bits(one.score), at))
            .collect();
        order.sort_unstable_by(|a, b| {
            let names = || scored[a.1].member.cmp(&scored[b.1].member);
            a.0.cmp(&b.0).then_with(names)
        });
        let ranked = (0..order.len()).map(|n| {
            if let Some(&(_, ahead)) = order.get(n + PREFETCHED) {
                prefetch(&raw const scored[ahead]);
            }
            let one = &mut scored[order[n].1];
            Scored {
                score: one.score,
                member: std::mem::take(&mut one.member),
            }
        });
        let order: Sequence<Scored> = ranked.collect();
        let names = order.range(0..order.len()).map(|one| &one.member);
        let long_names_bytes = names.map(outside_bytes).sum();
        Self {
            members,
            order,
            long_names_bytes,
        }
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// The members by name.
    pub fn members(&self) -> &Index {
        &self.members
    }

    /// The members by name, mutable. The caller may change their locations, but not their names.
    pub fn members_mut(&mut self) -> &mut Index {
        &mut self.members
    }

    /// Adds a member that the set does not have.
    pub fn insert(&mut self, hash: u64, new: NewEntry<'_>, score: f64) {
        let member = IndexKey::from_slice(new.key);
        self.members.insert(hash, new);
        self.long_names_bytes += outside_bytes(&member);
        self.add(score, member);
    }

    /// Changes the score of a member of the set.
    pub fn rescore(&mut self, old: f64, new: f64, member: &[u8]) {
        let place = self
            .order
            .search(|other| other.compare(old, member).is_lt());
        // Change the score in place if the rank stays, as it does when a leader's score grows.
        let (before, after) = self.order.beside(place);
        let stays = before.is_none_or(|before| before.compare(new, member).is_lt())
            && after.is_none_or(|after| after.compare(new, member).is_gt());
        if stays {
            if let Some(scored) = self.order.at_mut(place) {
                scored.score = new;
            }
            return;
        }
        if let Some(scored) = self.order.remove_at(place) {
            self.add(new, scored.member);
        }
    }

    /// Removes a member that a look-up by its `name`, a hash and the name itself, has found.
    pub fn remove(&mut self, name: (u64, &[u8]), located: Located, score: f64, names: &dyn Names) {
        let (hash, member) = name;
        let position = self.rank(score, member);
        let found = self.order.get(position);
        if found.is_some_and(|found| found.member.as_slice() == member)
            && let Some(removed) = self.order.remove(position)
        {
            self.long_names_bytes -= outside_bytes(&removed.member);
        }
        self.members.remove(hash, member, located, names);
        if position == 0 {
            self.prefetch_next(Some, names);
        } else if position == self.len() {
            self.prefetch_next(|ahead| position.checked_sub(ahead + 1), names);
        }
    }

    /// Prefetches the members that will probably be removed soon: a client that pops goes on at the same end. `rank`
    /// gives the rank of the member that is so many places ahead.
    fn prefetch_next(&self, rank: impl Fn(usize) -> Option<usize>, names: &dyn Names) {
        let name = |ahead| self.order.get(rank(ahead)?).map(|next| &next.member);
        // The steps build on each other: the name leads to its leaf, the leaf to the entry, the entry to the record.
        if let Some(name) = name(4 * POPPED_AHEAD) {
            prefetch(name.as_ptr());
        }
        if let Some(name) = name(3 * POPPED_AHEAD) {
            self.members.prefetch_leaf(names.hash(name));
        }
        if let Some(name) = name(2 * POPPED_AHEAD) {
            self.members.prefetch_entry(names.hash(name));
        }
        let next = name(POPPED_AHEAD);
        if let Some(location) = next.and_then(|name| self.members.likely(names.hash(name))) {
            names.prefetch(location);
        }
    }

    fn add(&mut self, score: f64, member: IndexKey) {
        let place = self
            .order
            .search(|other| other.compare(score, &member).is_lt());
        self.order.insert_at(place, Scored { score, member });
    }

    /// How many members come before this one.
    pub fn rank(&self, score: f64, member: &[u8]) -> usize {
        self.order
            .partition_point(|other| other.compare(score, member).is_lt())
    }

    /// How many members satisfy `before`. Those members must come first.
    pub fn partition_point(&self, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        self.order
            .partition_point(|scored| before(scored.score, &scored.member))
    }

    /// The members of a range of ranks.
    pub fn range(&self, ranks: Range<usize>) -> impl DoubleEndedIterator<Item = (&[u8], f64)> {
        self.order
            .range(ranks)
            .map(|scored| (scored.member.as_slice(), scored.score))
    }

    /// DRAM that it occupies, bytes.
    pub fn memory_bytes(&self) -> usize {
        self.members.memory_bytes() + self.order.memory_bytes() + self.long_names_bytes
    }
}

/// Bytes of a name that is too long for its place in the order.
fn outside_bytes(name: &IndexKey) -> usize {
    if name.spilled() { name.capacity() } else { 0 }
}

/// Maps a score to bits that sort as numbers like the score; -0 and 0 map to the same bits.
fn ordered_bits(score: f64) -> u64 {
    const SIGN: u64 = 1 << 63;
    let bits = (score + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_are_in_the_order_of_scores(a: f64, b: f64) {
            prop_assume!(!a.is_nan() && !b.is_nan());
            prop_assert_eq!(Some(ordered_bits(a).cmp(&ordered_bits(b))), a.partial_cmp(&b));
        }
    }

    #[test]
    fn zeros_are_one_score() {
        assert_eq!(ordered_bits(-0.0), ordered_bits(0.0));
    }
}
