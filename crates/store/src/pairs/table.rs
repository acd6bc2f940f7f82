//! One engine's pairs as the layout sees them: without the padding that stree needs.
//!
//! stree keeps keys and values of up to 23 bytes inside the nodes of its tree. When it splits a full node and the new key
//! goes to the lower half, it writes the new pair over one that it has just moved away, and its undo log has only the
//! first byte and the length of a short one. A process that dies there loses that pair, which may be an old one. Longer
//! keys and values lie outside the nodes, and the log has the whole of what the node holds of them. So in stree the
//! layout makes every key and every value longer than 23 bytes, by zeros before it. A constant prefix changes no order.

use std::ops::ControlFlow;

use pmemkv::{Database, Error, Range};
use smallvec::SmallVec;

use super::record::{KEY_PREFIX_BYTES, VALUE_HEADER_BYTES};

/// Keys and values of so many bytes lie outside the nodes.
const OUTSIDE_BYTES_MIN: usize = 24;

/// What stands before each key: the shortest one has a prefix alone.
const KEY_PADDING: [u8; OUTSIDE_BYTES_MIN - KEY_PREFIX_BYTES] =
    [0; OUTSIDE_BYTES_MIN - KEY_PREFIX_BYTES];

/// What stands before each value: the shortest one has a header alone, and a journal's are longer.
const VALUE_PADDING: [u8; OUTSIDE_BYTES_MIN - VALUE_HEADER_BYTES] =
    [0; OUTSIDE_BYTES_MIN - VALUE_HEADER_BYTES];

/// A key or a value with its padding; most fit on the stack.
type Padded = SmallVec<[u8; 512]>;

/// The engine whose pairs need padding.
const PADDED_ENGINE: &str = "stree";

/// Whether an engine's pairs are padded.
pub fn is_padded(engine: &str) -> bool {
    engine == PADDED_ENGINE
}

/// A pair as a padded engine keeps it, of a pair that is padded or not. Keys tell: the fifth byte of one without padding
/// is its tag, which is not 0.
pub fn pad_once(key: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    if key.starts_with(&KEY_PADDING) {
        (key.to_vec(), value.to_vec())
    } else {
        let padded = |padding: &[u8], bytes: &[u8]| [padding, bytes].concat();
        (padded(&KEY_PADDING, key), padded(&VALUE_PADDING, value))
    }
}

/// One engine of the layout. Keys and values go in and come out without padding.
#[derive(Debug)]
pub struct Table {
    database: Database,
    padded: bool,
}

impl Table {
    /// The table in an engine, all of whose pairs are padded where [`is_padded`] says so.
    pub fn new(database: Database) -> Self {
        Self {
            padded: is_padded(database.engine()),
            database,
        }
    }

    /// The engine itself.
    pub fn database(&self) -> &Database {
        &self.database
    }

    fn with_key<R>(&self, key: &[u8], call: impl FnOnce(&[u8]) -> R) -> R {
        if self.padded {
            call(&pad(&KEY_PADDING, key))
        } else {
            call(key)
        }
    }

    /// The key that was put; one that the layout never put comes as it is.
    fn key<'a>(&self, stored: &'a [u8]) -> &'a [u8] {
        match stored.strip_prefix(&KEY_PADDING) {
            Some(key) if self.padded => key,
            _ => stored,
        }
    }

    /// The value that was put; empty where the layout never put what is stored.
    fn value<'a>(&self, stored: &'a [u8]) -> &'a [u8] {
        if self.padded {
            stored.strip_prefix(&VALUE_PADDING).unwrap_or_default()
        } else {
            stored
        }
    }

    /// [`Database::get`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.get_with(key, <[u8]>::to_vec)
    }

    /// [`Database::get_with`].
    pub fn get_with<R>(&self, key: &[u8], f: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, Error> {
        self.with_key(key, |key| {
            self.database.get_with(key, |stored| f(self.value(stored)))
        })
    }

    /// [`Database::exists`].
    pub fn exists(&self, key: &[u8]) -> Result<bool, Error> {
        self.with_key(key, |key| self.database.exists(key))
    }

    /// [`Database::put`].
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        if !self.padded {
            return self.database.put(key, value);
        }
        self.with_key(key, |key| {
            self.database.put(key, &pad(&VALUE_PADDING, value))
        })
    }

    /// [`Database::remove`].
    pub fn remove(&self, key: &[u8]) -> Result<bool, Error> {
        self.with_key(key, |key| self.database.remove(key))
    }

    /// [`Database::write_range`].
    pub fn write_range(&self, key: &[u8], offset: usize, bytes: &[u8]) -> Result<bool, Error> {
        self.write_ranges(key, &[(offset, bytes)])
    }

    /// [`Database::write_ranges`].
    pub fn write_ranges(&self, key: &[u8], ranges: &[(usize, &[u8])]) -> Result<bool, Error> {
        if !self.padded {
            return self.database.write_ranges(key, ranges);
        }
        let moved = |&(offset, bytes)| (VALUE_PADDING.len() + offset, bytes);
        let ranges: SmallVec<[(usize, &[u8]); 4]> = ranges.iter().map(moved).collect();
        self.with_key(key, |key| self.database.write_ranges(key, &ranges))
    }

    /// [`Database::get_all_counted`].
    pub fn get_all_counted(
        &self,
        mut visit: impl FnMut(usize, &[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<usize, Error> {
        self.database
            .get_all_counted(|count, key, value| visit(count, self.key(key), self.value(value)))
    }

    /// [`Database::get_range`].
    pub fn get_range(
        &self,
        range: Range<'_>,
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Error> {
        self.with_range(range, |range| {
            self.database
                .get_range(range, |key, value| visit(self.key(key), self.value(value)))
        })
    }

    /// [`Database::count_range`].
    pub fn count_range(&self, range: Range<'_>) -> Result<usize, Error> {
        self.with_range(range, |range| self.database.count_range(range))
    }

    fn with_range<R>(&self, range: Range<'_>, call: impl FnOnce(Range<'_>) -> R) -> R {
        if !self.padded {
            return call(range);
        }
        let padded = |key| pad(&KEY_PADDING, key);
        match range {
            Range::All => call(Range::All),
            Range::Above(low) => call(Range::Above(&padded(low))),
            Range::EqualAbove(low) => call(Range::EqualAbove(&padded(low))),
            Range::Below(high) => call(Range::Below(&padded(high))),
            Range::EqualBelow(high) => call(Range::EqualBelow(&padded(high))),
            Range::Between(low, high) => call(Range::Between(&padded(low), &padded(high))),
        }
    }
}

fn pad(padding: &[u8], bytes: &[u8]) -> Padded {
    let mut padded = Padded::with_capacity(padding.len() + bytes.len());
    padded.extend_from_slice(padding);
    padded.extend_from_slice(bytes);
    padded
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::change::Change;
    use crate::model::Kind;
    use crate::pairs::record::{check_of, encode_key, encode_value, key_of};
    use crate::pairs::sums::Sums;
    use crate::pairs::tests::{key_in, open_at, put, visit_all, write};
    use crate::testing::folder;
    use crate::{RecordKey, Store, Write};
    use pmemkv::{Pool, PoolHeader};

    type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

    /// The most bytes that the engine keeps inside a node.
    const INSIDE_MAX: usize = 23;

    const POOL_BYTES: u64 = 32 << 20;

    /// Lengths of all keys and values that an engine of the layout holds.
    fn lengths(pool: &Path) -> Result<Vec<(usize, usize)>> {
        let pool = Pool::open(pool)?;
        let database = pool.open_partition(0)?;
        let mut lengths = Vec::new();
        let _ = database.get_all(|key, value| {
            lengths.push((key.len(), value.len()));
            ControlFlow::Continue(())
        })?;
        Ok(lengths)
    }

    #[test]
    fn nothing_lies_inside_a_node_of_stree() -> Result {
        let folder = folder()?;
        let store = open_at(folder.path(), "stree", POOL_BYTES)?;
        let empty = key_in(&store, b"");
        let short = key_in(&store, b"k");
        let location = write(&store, put(empty, None, b""))?;
        write(&store, put(empty, Some(location), b"v"))?;
        // Several records at once are journalled.
        let both = [put(short, None, b"w"), put(empty, Some(location), b"u")];
        store.write(&both, &mut [crate::Location::default(); 2])?;
        let patched = key_in(&store, b"patched");
        let location = write(&store, put(patched, None, b"abc"))?;
        let changes = [Change {
            offset: 1,
            bytes: b"x"[..].into(),
        }];
        let patch = Write::Patch {
            record: patched,
            location,
            changes: &changes,
        };
        write(&store, patch)?;
        let mut read = Vec::new();
        let found = store.read(patched, location, &mut |value| {
            read.extend_from_slice(value.bytes);
        })?;
        assert!(found && read == b"axc", "{}", read.escape_ascii());
        store.close()?;
        drop(store);
        let lengths = lengths(&folder.path().join("pool"))?;
        assert!(lengths.len() >= 4, "three records and the journal");
        let shortest = lengths.iter().map(|(key, value)| key.min(value)).min();
        assert!(shortest > Some(&INSIDE_MAX), "{lengths:?}");
        Ok(())
    }

    #[test]
    fn a_pool_without_padding_gets_it_at_the_next_open() -> Result {
        let folder = folder()?;
        let path = folder.path().join("pool");
        let header = PoolHeader {
            format_version: pmemkv::FORMAT_VERSION,
            engine: "stree".to_owned(),
            layout: crate::pairs::LAYOUT.to_owned(),
            partitions: 1,
            hash_seed: 1,
        };
        let pool = Pool::create(&path, POOL_BYTES, &header)?;
        crate::metadata::check(&pool)?;
        let database = pool.open_partition(0)?;
        let sums = Sums::of(&pool)?;
        let names: Vec<String> = (0..200).map(|number| format!("key {number:03}")).collect();
        for name in &names {
            let key = encode_key(3, name.as_bytes());
            let value = encode_value(&key, Kind::String.into(), None, b"v");
            sums.change(0, 0, check_of(&value), || {
                database.put(&key, &value)?;
                Ok(true)
            })?;
        }
        drop((database, sums, pool));
        for _ in 0..2 {
            let store = open_at(folder.path(), "stree", POOL_BYTES)?;
            let mut found = visit_all(&store)?;
            found.sort();
            assert_eq!(
                found,
                names.iter().map(String::as_bytes).collect::<Vec<_>>()
            );
            store.close()?;
        }
        let lengths = lengths(&path)?;
        assert!(
            lengths
                .iter()
                .all(|(key, value)| key.min(value) > &INSIDE_MAX)
        );
        Ok(())
    }

    #[test]
    fn ranges_leave_the_padding_out() -> Result {
        let folder = folder()?;
        let store = open_at(folder.path(), "stree", POOL_BYTES)?;
        for name in [&b"a"[..], b"b", b"c", b"d"] {
            let record = RecordKey {
                partition: 0,
                generation: 3,
                key: name,
            };
            write(&store, put(record, None, name))?;
        }
        let key = |name: &[u8]| encode_key(3, name);
        let (b, c, d) = (key(b"b"), key(b"c"), key(b"d"));
        let table = store.table(0);
        for (range, expected) in [
            (Range::All, "abcd"),
            (Range::Above(&b), "cd"),
            (Range::EqualAbove(&b), "bcd"),
            (Range::Below(&c), "ab"),
            (Range::EqualBelow(&c), "abc"),
            (Range::Between(&b, &d), "c"),
        ] {
            let mut names = String::new();
            let _ = table.get_range(range, |key, _| {
                names.extend(key.last().map(|&byte| char::from(byte)));
                ControlFlow::Continue(())
            })?;
            assert_eq!(names, expected, "{range:?}");
            assert_eq!(table.count_range(range)?, expected.len(), "{range:?}");
        }
        let record = RecordKey {
            partition: 0,
            generation: 3,
            key: b"a",
        };
        assert!(table.exists(&key_of(&record))?);
        Ok(())
    }
}
