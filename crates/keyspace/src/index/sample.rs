//! Random draws of keys, for eviction: a draw walks over no entries, and each key is equally likely.

use super::super::clock::random_below;
use super::entry::NEVER;
use super::leaf::LEAF_ENTRIES_MAX;
use super::{Entry, Index};

/// Draws before an index counts as nearly empty. Leaves are at least a third full on average.
const DRAWS_MAX: usize = 32;

/// Draws that hope for a key with a deadline, before the search looks for leaves that may hold one.
const HOPEFUL_DRAWS: usize = 8;

/// Leaves whose bound one search for keys with a deadline checks: 64 KiB of bounds.
const BOUNDS_MAX: usize = 8192;

/// Leaves that a search finds empty of deadlines before it gives up. The bounds of such leaves were out of date.
const STALE_LEAVES_MAX: usize = 32;

/// A search draws among this many keys with a deadline, so that the size of the gap before a key matters little.
const NEIGHBOURS: usize = 8;

impl Index {
    /// Draws a random entry; `None` if the index is empty. If the index was much larger before, entries after a large
    /// gap are more likely than others.
    pub fn draw(&self) -> Option<Entry<'_>> {
        if self.len == 0 {
            return None;
        }
        (0..DRAWS_MAX)
            .find_map(|_| self.draw_place())
            .or_else(|| self.search())
    }

    /// Draws a random entry with a deadline. If such entries are rare, those after a large gap are somewhat more
    /// likely, and the result can be `None` although there are some.
    pub fn draw_expiring(&self) -> Option<Entry<'_>> {
        if self.expiring == 0 {
            return None;
        }
        let hopeful = |_| self.draw_place().filter(|entry| entry.has_deadline());
        (0..HOPEFUL_DRAWS)
            .find_map(hopeful)
            .or_else(|| self.search_expiring())
    }

    /// Draws one place for an entry. All places are equally likely, whether their leaf is full or not.
    fn draw_place(&self) -> Option<Entry<'_>> {
        let entries = self.leaves.entries(random_below(self.leaves.len()));
        let places = if self.leaves.len() == 1 {
            entries.len()
        } else {
            entries.len().max(LEAF_ENTRIES_MAX)
        };
        entries.get(random_below(places)).map(Entry)
    }

    /// Draws an entry of the next leaf that has entries, starting at a random leaf.
    fn search(&self) -> Option<Entry<'_>> {
        let start = random_below(self.leaves.len());
        let mut leaves = (start..self.leaves.len()).chain(0..start);
        let number = leaves.find(|&leaf| !self.leaves.entries(leaf).is_empty())?;
        let entries = self.leaves.entries(number);
        entries.get(random_below(entries.len())).map(Entry)
    }

    /// Draws one of the next few entries with a deadline, starting at a random leaf.
    fn search_expiring(&self) -> Option<Entry<'_>> {
        let bounds = self.bounds.leaves();
        let (before, after) = bounds.split_at(random_below(bounds.len()));
        let start = before.len();
        let numbers = (start..).zip(after).chain((0..).zip(before));
        let mut stale = 0;
        let mut met = 0;
        let mut drawn = None;
        for (number, &first) in numbers.take(BOUNDS_MAX) {
            if first == NEVER {
                continue;
            }
            let met_before = met;
            for entry in self.leaves.each(number) {
                if entry.has_deadline() {
                    met += 1;
                    // Each entry found so far has the same chance.
                    if random_below(met) == 0 {
                        drawn = Some(entry);
                    }
                }
            }
            stale += usize::from(met == met_before);
            if met >= NEIGHBOURS || stale >= STALE_LEAVES_MAX {
                break;
            }
        }
        drawn
    }

    /// Records that a hash's leaf has no deadlines, if that is so, after an entry with a deadline was removed.
    pub fn tighten(&mut self, hash: u64) {
        let number = self.leaf_number(hash);
        let mut entries = self.leaves.each(number);
        if !entries.any(Entry::has_deadline) {
            self.bounds.raise(number, NEVER);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Naming;
    use super::super::tests::records::Table;
    use super::*;

    fn hash(key: &[u8]) -> u64 {
        xxhash_rust::xxh3::xxh3_64(key) >> 8
    }

    fn filled(keys: u32, expires: impl Fn(u32) -> bool) -> Table<'static> {
        let mut table = Table::new(8, Naming::InRecords, &hash);
        for n in 0..keys {
            let expires_at = expires(n).then_some(1_000);
            table.insert(&n.to_be_bytes(), n.into(), expires_at);
        }
        table
    }

    /// How often each key is drawn.
    fn tally<'i>(
        table: &Table<'_>,
        times: usize,
        draw: impl Fn() -> Option<Entry<'i>>,
    ) -> (BTreeMap<Vec<u8>, usize>, usize) {
        let mut drawn = BTreeMap::new();
        let mut none = 0;
        for _ in 0..times {
            match draw() {
                Some(entry) => {
                    let named = table.index.named(entry, &table.records);
                    let key = named.expect("it can be read").key.into_vec();
                    *drawn.entry(key).or_default() += 1;
                }
                None => none += 1,
            }
        }
        (drawn, none)
    }

    #[test]
    fn every_key_is_as_likely_as_another() {
        const KEYS: usize = 500;
        let table = filled(500, |n| n % 2 == 0);
        let (drawn, none) = tally(&table, KEYS * 200, || table.index.draw());
        assert_eq!((drawn.len(), none), (KEYS, 0));
        // The tolerance is six standard deviations, so chance alone fails this test once in half a million runs.
        for (key, times) in &drawn {
            assert!(
                (115..=285).contains(times),
                "{key:?} was drawn {times} times"
            );
        }
        let (drawn, none) = tally(&table, KEYS * 100, || table.index.draw_expiring());
        assert_eq!((drawn.len(), none), (KEYS / 2, 0));
        for (key, times) in &drawn {
            assert!(
                (115..=285).contains(times),
                "{key:?} was drawn {times} times"
            );
            assert!(key[3] % 2 == 0);
        }
    }

    #[test]
    fn rare_keys_with_a_deadline_are_all_found() {
        let table = filled(50_000, |n| n % 5_000 == 0);
        let (drawn, none) = tally(&table, 2_000, || table.index.draw_expiring());
        assert_eq!((drawn.len(), none), (10, 0));
        assert!(drawn.values().all(|&times| times > 20), "{drawn:?}");
    }

    #[test]
    fn an_index_without_any_gives_none() {
        assert!(filled(0, |_| true).index.draw().is_none());
        assert!(filled(100, |_| false).index.draw_expiring().is_none());
    }

    #[test]
    fn the_last_of_many_is_found() {
        let mut table = filled(20_000, |_| false);
        for n in 1..20_000u32 {
            table.remove(&n.to_be_bytes());
        }
        let (drawn, none) = tally(&table, 100, || table.index.draw());
        assert_eq!((drawn.len(), none), (1, 0));
    }

    #[test]
    fn bounds_that_are_out_of_date_do_not_hide_a_key() {
        let mut table = filled(20_000, |_| true);
        for n in 1..20_000u32 {
            let key = n.to_be_bytes();
            if n % 2 == 0 {
                table.replace(&key, u64::from(n) + 100_000, None);
            } else {
                table.remove(&key);
            }
            table.index.tighten(hash(&key));
        }
        let (drawn, none) = tally(&table, 100, || table.index.draw_expiring());
        assert_eq!((drawn.len(), none), (1, 0));
    }
}
