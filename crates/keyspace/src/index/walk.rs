//! Walks over the entries of an index: in hash order, by deadline, or all of them.

use std::mem;

use super::super::{Cursor, Millis};
use super::Index;
use super::bounds::Next;
use super::entry::{Entry, NEVER, Words};
use super::leaves::LEAVES_AHEAD;
use super::names::{Found, IndexKey, Named, Names};
use store::StoreError;

/// Leaves whose records one search for what is due reads: some 1,300 of them, for 100 us.
const LEAVES_PER_SEARCH: usize = 64;

impl Index {
    /// All entries, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.leaves.len()).flat_map(|number| {
            self.leaves.prefetch_entries(number + LEAVES_AHEAD);
            self.leaves.each(number)
        })
    }

    /// All entries with their names, in the order of [`iter`](Self::iter).
    pub fn walk<'a, N: Names + 'a>(
        &'a self,
        names: N,
    ) -> impl Iterator<Item = Result<Named<'a>, StoreError>> + use<'a, N> {
        let with_leaf = |number: usize| {
            let entries = self.leaves.entries(number);
            (0..entries.len()).map(move |at| (entries, at))
        };
        (0..self.leaves.len())
            .flat_map(with_leaf)
            .map(move |(entries, at)| {
                if at == 0 {
                    self.prefetch_records(entries, &names);
                }
                self.named(Entry(&entries[at]), &names)
            })
    }

    /// Has the records of a leaf fetched into the processor's cache.
    fn prefetch_records(&self, entries: &[Words], names: &dyn Names) {
        if self.beside.is_none() {
            for entry in entries.iter().map(Entry) {
                names.prefetch(entry.place());
            }
        }
    }

    /// Up to `limit` keys whose deadline has passed, and whether these are all. It reads the records of a few leaves at most: after
    /// a start that has taken the index over, it knows nothing of their deadlines, and the caller has locked the shard.
    pub fn expired(
        &mut self,
        now: Millis,
        limit: usize,
        names: &dyn Names,
    ) -> Result<(Vec<IndexKey>, bool), StoreError> {
        let mut keys = Vec::new();
        if self.bounds.all() > now {
            return Ok((keys, true));
        }
        let mut left = LEAVES_PER_SEARCH;
        let mut bounds = mem::take(&mut self.bounds);
        let searched: Result<bool, StoreError> = bounds.search(now, |number| {
            if keys.len() >= limit || left == 0 {
                return Ok(Next::Stop);
            }
            left -= 1;
            // Changes and removals can only leave the bound too early. Here it becomes exact again.
            let mut first = NEVER;
            self.prefetch_records(self.leaves.entries(number), names);
            let entries = self.leaves.each(number);
            for entry in entries.filter(|entry| entry.has_deadline()) {
                let one = self.named(entry, names)?;
                if one.found().is_expired(now) && keys.len() < limit {
                    keys.push(one.key);
                }
                first = one.expires_at.unwrap_or(NEVER).min(first);
            }
            Ok(Next::GoOn(first))
        });
        self.bounds = bounds;
        Ok((keys, searched?))
    }

    /// The keys of the entries that are past their deadlines.
    pub fn expired_names(
        &self,
        now: Millis,
        names: &dyn Names,
    ) -> Result<Vec<IndexKey>, StoreError> {
        let mut keys = Vec::new();
        if !self.may_have_expired(now) {
            return Ok(keys);
        }
        for leaf in self.bounds.due(now) {
            for entry in self.leaves.each(leaf).filter(|entry| entry.has_deadline()) {
                let one = self.named(entry, names)?;
                if one.found().is_expired(now) {
                    keys.push(one.key);
                }
            }
        }
        Ok(keys)
    }

    /// How many entries are past their deadlines.
    pub fn count_expired(&self, now: Millis, names: &dyn Names) -> Result<usize, StoreError> {
        if !self.may_have_expired(now) {
            return Ok(0);
        }
        let mut count = 0;
        for leaf in self.bounds.due(now) {
            for entry in self.leaves.each(leaf).filter(|entry| entry.has_deadline()) {
                count += usize::from(self.named(entry, names)?.found().is_expired(now));
            }
        }
        Ok(count)
    }

    /// Visits entries in hash order from `from` on, until `visit` has visited at least `count`. Returns the next
    /// cursor, or `None` at the end of the shard.
    pub fn scan(
        &self,
        from: Cursor,
        count: usize,
        names: &dyn Names,
        visit: &mut dyn FnMut(Found<'_>),
    ) -> Result<Option<Cursor>, StoreError> {
        let mut visited = 0;
        let mut lower = from.first_hash();
        let mut prefix = self.prefix(lower);
        while prefix < self.directory.len() {
            let leaf = self.directory[prefix] as usize;
            let entries = self.leaves.entries(leaf);
            self.prefetch_records(entries, names);
            let mut sorted = Vec::with_capacity(entries.len());
            for entry in entries.iter().map(Entry) {
                let one = self.named(entry, names)?;
                let hash = names.hash(&one.key);
                if hash >= lower {
                    sorted.push((hash, one));
                }
            }
            sorted.sort_unstable_by_key(|&(hash, _)| hash);
            let mut rest = sorted.as_slice();
            while let [(hash, one), after @ ..] = rest {
                visit(one.found());
                visited += 1;
                rest = after;
                // A page never ends between keys with the same cursor, or the next page would miss or repeat some.
                if let [(next, _), ..] = after
                    && visited >= count
                    && Cursor::at(*next) != Cursor::at(*hash)
                {
                    return Ok(Some(Cursor::at(*next)));
                }
            }
            prefix = (prefix | (self.span(leaf) - 1)) + 1;
            if prefix < self.directory.len() {
                lower = self.first_hash(prefix, lower);
                if visited >= count {
                    return Ok(Some(Cursor::at(lower)));
                }
            }
        }
        Ok(None)
    }
}
