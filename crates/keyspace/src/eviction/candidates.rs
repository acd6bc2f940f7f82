//! The best keys to evict among those that sampling has drawn so far.

use super::super::index::IndexKey;

/// How many candidates are kept, as in Redis. With so many, a few samples give a good guess.
pub const CANDIDATES_MAX: usize = 16;

/// A key that may be evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The candidate with the highest score is evicted first.
    pub score: u64,
    /// The number of the key's shard.
    pub shard: usize,
    /// The generation of the key's database.
    pub generation: u32,
    /// The key.
    pub key: IndexKey,
}

/// Candidates in ascending order of score.
#[derive(Debug, Default)]
pub struct Candidates {
    sorted: Vec<Candidate>,
}

impl Candidates {
    /// Whether the list would keep a candidate with this score.
    pub fn takes(&self, score: u64) -> bool {
        self.sorted.len() < CANDIDATES_MAX || self.sorted.first().is_some_and(|c| c.score < score)
    }

    /// Keeps a candidate if the list has space or if it scores higher than the lowest one.
    pub fn offer(&mut self, candidate: Candidate) {
        if !self.takes(candidate.score) {
            return;
        }
        if self.sorted.len() == CANDIDATES_MAX {
            self.sorted.remove(0);
        }
        let position = self.sorted.partition_point(|c| c.score < candidate.score);
        self.sorted.insert(position, candidate);
    }

    /// Removes and returns the candidate with the highest score.
    pub fn take_best(&mut self) -> Option<Candidate> {
        self.sorted.pop()
    }

    /// Forgets all candidates, because their scores mean something else under new settings.
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
            // All residues of 100, in mixed order.
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
