//! The best keys to evict among those that were met so far.

use super::super::index::IndexKey;

/// How many are kept, as in Redis: enough to make a few samples a good guess.
pub const CANDIDATES_MAX: usize = 16;

/// A key that may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The higher, the better it is to evict this one.
    pub score: u64,
    /// The shard that it lies in.
    pub shard: usize,
    /// Its database's generation.
    pub generation: u32,
    /// The key.
    pub key: IndexKey,
}

/// Candidates by rising score.
#[derive(Debug, Default)]
pub struct Candidates {
    sorted: Vec<Candidate>,
}

impl Candidates {
    /// Whether a candidate of that score would find a place.
    pub fn takes(&self, score: u64) -> bool {
        self.sorted.len() < CANDIDATES_MAX || self.sorted.first().is_some_and(|c| c.score < score)
    }

    /// Keeps a candidate, if it is better than the worst of a full list.
    pub fn offer(&mut self, candidate: Candidate) {
        if !self.takes(candidate.score) {
            return;
        }
        if self.sorted.len() == CANDIDATES_MAX {
            self.sorted.remove(0);
        }
        let place = self.sorted.partition_point(|c| c.score < candidate.score);
        self.sorted.insert(place, candidate);
    }

    /// Takes the best one out.
    pub fn take_best(&mut self) -> Option<Candidate> {
        self.sorted.pop()
    }

    /// Forgets all: their scores mean something else now.
    pub fn clear(&mut self) {
        self.sorted.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_many_stay() {
        let mut candidates = Candidates::default();
        for n in 0..100u64 {
            // All residues of 100, in no order.
            let score = n * 37 % 100;
            let key = IndexKey::from_slice(&score.to_be_bytes());
            candidates.offer(Candidate {
                score,
                shard: 0,
                generation: 0,
                key,
            });
        }
        assert!(candidates.takes(85) && !candidates.takes(84));
        let taken: Vec<u64> = std::iter::from_fn(|| candidates.take_best())
            .map(|candidate| candidate.score)
            .collect();
        assert_eq!(taken, (84..100).rev().collect::<Vec<_>>());
        assert!(candidates.takes(0));
    }
}
