//! The shape of a sorted set: its members by name, and in the order of their scores.

use std::cmp::Ordering;
use std::ops::Range;

use super::sequence::Sequence;
use crate::index::{Entry, Index, IndexKey};
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
}

impl Default for ScoreIndex {
    fn default() -> Self {
        Self {
            members: Index::new(0),
            order: Sequence::default(),
        }
    }
}

impl ScoreIndex {
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
        Self {
            members,
            order: ranked.collect(),
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
    pub fn insert(&mut self, hash: u64, entry: Entry, score: f64, hasher: &dyn Fn(&[u8]) -> u64) {
        let member = IndexKey::from_slice(entry.key());
        self.members.insert(hash, entry, hasher);
        self.add(score, member);
    }

    /// Changes the score of a member of the set.
    pub fn rescore(&mut self, old: f64, new: f64, member: &[u8]) {
        let position = self.rank(old, member);
        // Change the score in place if the rank stays, as it does when a leader's score grows.
        let before = position.checked_sub(1).and_then(|at| self.order.get(at));
        let stays = before.is_none_or(|before| before.compare(new, member).is_lt())
            && self
                .order
                .get(position + 1)
                .is_none_or(|after| after.compare(new, member).is_gt());
        if stays {
            if let Some(scored) = self.order.get_mut(position) {
                scored.score = new;
            }
            return;
        }
        if let Some(scored) = self.order.remove(position) {
            self.add(new, scored.member);
        }
    }

    /// Removes a member.
    pub fn remove(&mut self, hash: u64, score: f64, member: &[u8], hasher: &dyn Fn(&[u8]) -> u64) {
        let position = self.rank(score, member);
        let found = self.order.get(position);
        if found.is_some_and(|found| found.member.as_slice() == member) {
            self.order.remove(position);
        }
        self.members.remove(hash, member);
        if position == 0 {
            self.prefetch_next(Some, hasher);
        } else if position == self.len() {
            self.prefetch_next(|ahead| position.checked_sub(ahead + 1), hasher);
        }
    }

    /// Prefetches the members that will probably be removed soon: a client that pops goes on at the same end. `rank`
    /// gives the rank of the member that is so many places ahead.
    fn prefetch_next(&self, rank: impl Fn(usize) -> Option<usize>, hasher: &dyn Fn(&[u8]) -> u64) {
        let name = |ahead| self.order.get(rank(ahead)?).map(|next| &next.member);
        // The steps build on each other: the name leads to its leaf, the leaf to the entry, the entry to its copy of
        // the name.
        if let Some(name) = name(4 * POPPED_AHEAD) {
            prefetch(name.as_ptr());
        }
        if let Some(name) = name(3 * POPPED_AHEAD) {
            self.members.prefetch_leaf(hasher(name));
        }
        if let Some(name) = name(2 * POPPED_AHEAD) {
            self.members.prefetch_entry(hasher(name));
        }
        if let Some(entry) = name(POPPED_AHEAD).and_then(|name| self.members.likely(hasher(name))) {
            prefetch(entry.key().as_ptr());
        }
    }

    fn add(&mut self, score: f64, member: IndexKey) {
        let position = self.rank(score, &member);
        self.order.insert(position, Scored { score, member });
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
        // A member that is too long for an entry has a copy in both structures.
        self.members.memory_bytes() + self.order.memory_bytes() + self.members.long_keys_bytes()
    }
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
