//! The shape of a sorted set: its members by name, and in the order of their scores.

use std::cmp::Ordering;
use std::ops::Range;

use super::End;
use super::sequence::Sequence;
use crate::index::{Index, IndexKey, Located, Names, Naming, NewEntry};
use store::prefetch;

/// While members are sorted, they are fetched this many ahead into the processor's cache.
const PREFETCHED: usize = 16;

/// How many members are remembered by their hashes that will probably be popped next.
const POPPED_AHEAD: usize = 8;

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
    next: NextPopped,
}

/// The hashes of the members that will probably be popped next: a client that pops goes on at the same end.
#[derive(Debug)]
struct NextPopped {
    end: End,
    /// Of the outermost members at this end, the outermost first, in a ring that begins at `first`.
    hashes: [u64; POPPED_AHEAD],
    first: usize,
    len: usize,
}

impl NextPopped {
    const NONE: Self = Self {
        end: End::Head,
        hashes: [0; POPPED_AHEAD],
        first: 0,
        len: 0,
    };

    fn get(&self, n: usize) -> Option<u64> {
        (n < self.len).then(|| self.hashes[(self.first + n) % POPPED_AHEAD])
    }

    fn push(&mut self, hash: u64) {
        self.hashes[(self.first + self.len) % POPPED_AHEAD] = hash;
        self.len += 1;
    }

    fn pop(&mut self) {
        self.first = (self.first + 1) % POPPED_AHEAD;
        self.len = self.len.saturating_sub(1);
    }
}

impl ScoreIndex {
    /// A sorted set without members.
    pub fn empty(naming: Naming) -> Self {
        Self {
            members: Index::new(0, naming),
            order: Sequence::default(),
            long_names_bytes: 0,
            next: NextPopped::NONE,
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
            next: NextPopped::NONE,
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
        self.next.len = 0;
        if let Some(scored) = self.order.remove_at(place) {
            self.add(new, scored.member);
        }
    }

    /// Removes a member that a look-up by its `name`, a hash and the name itself, has found.
    pub fn remove(&mut self, name: (u64, &[u8]), located: Located, score: f64, names: &dyn Names) {
        let (hash, member) = name;
        let is_at = |end| {
            let outermost = self.outermost(end);
            outermost.is_some_and(|scored| scored.member.as_slice() == member)
        };
        if let Some(end) = [End::Head, End::Tail].into_iter().find(|&end| is_at(end)) {
            return self.pop(end, (hash, located), names);
        }
        self.next.len = 0;
        let position = self.rank(score, member);
        let found = self.order.get(position);
        if found.is_some_and(|found| found.member.as_slice() == member)
            && let Some(removed) = self.order.remove(position)
        {
            self.long_names_bytes -= outside_bytes(&removed.member);
        }
        self.members.remove(hash, member, located, names);
    }

    /// The member with the lowest score (at the head) or the highest (at the tail).
    pub fn outermost(&self, end: End) -> Option<&Scored> {
        match end {
            End::Head => self.order.first(),
            End::Tail => self.order.last(),
        }
    }

    /// The hash of the name of the [`outermost`](Self::outermost) member.
    pub fn hash_of_outermost(&mut self, end: End, names: &dyn Names) -> Option<u64> {
        if self.next.end == end
            && let Some(hash) = self.next.get(0)
        {
            return Some(hash);
        }
        let hash = names.hash(&self.outermost(end)?.member);
        self.next = NextPopped {
            end,
            ..NextPopped::NONE
        };
        self.next.push(hash);
        Some(hash)
    }

    /// Removes the outermost member at an end, which a look-up by its hash has found, and prefetches what the next pops at this
    /// end will use.
    pub fn pop(&mut self, end: End, (hash, located): (u64, Located), names: &dyn Names) {
        let popped = match end {
            End::Head => self.order.pop_front(),
            End::Tail => self.order.pop_back(),
        };
        let Some(popped) = popped else {
            return;
        };
        self.long_names_bytes -= outside_bytes(&popped.member);
        self.members.remove(hash, &popped.member, located, names);
        if self.next.end == end && self.next.len > 0 {
            self.next.pop();
        } else {
            self.next = NextPopped {
                end,
                ..NextPopped::NONE
            };
        }
        self.prefetch_next(names);
    }

    /// Prefetches what later pops will use. The members lie in the order of their scores, but their entries lie in the order
    /// of their hashes.
    fn prefetch_next(&mut self, names: &dyn Names) {
        // One more than were popped, until all are known that may be.
        for _ in 0..2 {
            let ahead = self.next.len;
            if ahead == POPPED_AHEAD {
                break;
            }
            let rank = match self.next.end {
                End::Head => Some(ahead),
                End::Tail => self.len().checked_sub(ahead + 1),
            };
            let Some(scored) = rank.and_then(|rank| self.order.get(rank)) else {
                break;
            };
            let hash = names.hash(&scored.member);
            self.members.prefetch_leaf(hash);
            self.next.push(hash);
        }
        // The leaf leads to the entry.
        if let Some(hash) = self.next.get(POPPED_AHEAD / 2) {
            self.members.prefetch_removal(hash);
        }
    }

    fn add(&mut self, score: f64, member: IndexKey) {
        self.next.len = 0;
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
        self.members.memory_bytes()
            + self.order.memory_bytes()
            + self.long_names_bytes
            + size_of::<NextPopped>()
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
