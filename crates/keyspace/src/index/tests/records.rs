//! An index with the records that it leads to.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use store::IsNamed;

use super::*;

/// The function that hashes a key.
pub type HashKey<'h> = &'h dyn Fn(&[u8]) -> u64;

/// Records by location: name and deadline.
pub struct Records<'h> {
    pub by_location: HashMap<u64, (IndexKey, Option<Millis>), FixedState>,
    hasher: HashKey<'h>,
}

impl<'h> Records<'h> {
    /// No records.
    pub fn new(hasher: HashKey<'h>) -> Self {
        Self {
            by_location: HashMap::default(),
            hasher,
        }
    }
}

impl Names for Records<'_> {
    fn read(&self, location: Location, f: OnName<'_>) -> Result<(), StoreError> {
        let missing = || StoreError::Damaged(format!("no record at {location:?}"));
        let (name, expires_at) = self.by_location.get(&location.0).ok_or_else(missing)?;
        f(name, *expires_at);
        Ok(())
    }

    fn is(&self, location: Location, name: &[u8]) -> Result<IsNamed, StoreError> {
        let mut is_named = IsNamed::Otherwise;
        self.read(location, &mut |other, expires_at| {
            if other == name {
                is_named = IsNamed::So(expires_at);
            }
        })?;
        Ok(is_named)
    }

    fn hash(&self, name: &[u8]) -> u64 {
        (self.hasher)(name)
    }
}

/// An index that finds names in its records or keeps them. In both cases a record is gone as soon as its key has another
/// one or none.
pub struct Table<'h> {
    pub index: Index,
    pub records: Records<'h>,
    /// Whether records stay when their keys have others, as they do in a log.
    pub keeps_records: bool,
}

impl<'h> Table<'h> {
    pub fn new(skip_bits: u32, naming: Naming, hasher: HashKey<'h>) -> Self {
        Self {
            index: Index::new(skip_bits, naming),
            records: Records::new(hasher),
            keeps_records: false,
        }
    }

    fn drop_record(&mut self, location: Location) {
        if !self.keeps_records {
            self.records.by_location.remove(&location.0);
        }
    }

    pub fn hash(&self, key: &[u8]) -> u64 {
        self.records.hash(key)
    }

    pub fn get<'a>(&'a self, key: &'a [u8]) -> Result<Option<Found<'a>>, StoreError> {
        self.index.get(self.hash(key), key, &self.records)
    }

    pub fn located(&self, key: &[u8]) -> Option<Located> {
        let found = self.get(key).expect("its record can be read");
        found.map(Found::located)
    }

    fn write(&mut self, key: &[u8], location: u64, expires_at: Option<Millis>) {
        let record = (IndexKey::from_slice(key), expires_at);
        self.records.by_location.insert(location, record);
    }

    /// Adds a key that is not there.
    pub fn insert(&mut self, key: &[u8], location: u64, expires_at: Option<Millis>) {
        self.write(key, location, expires_at);
        let new = NewEntry {
            key,
            kind: Kind::String,
            location: Location(location),
            expires_at,
            access: 0,
        };
        let located = self.index.insert(self.hash(key), new);
        assert!(self.index.at(self.hash(key), key, located).is_some());
    }

    /// Gives a key another record; returns whether it was there.
    pub fn replace(&mut self, key: &[u8], location: u64, expires_at: Option<Millis>) -> bool {
        let Some(old) = self.located(key) else {
            return false;
        };
        self.drop_record(old.location);
        self.write(key, location, expires_at);
        let hash = self.hash(key);
        let new = Replacement {
            kind: Kind::String,
            location: Location(location),
            expires_at,
        };
        let new = self.index.replace(hash, key, old, new);
        new.is_some_and(|new| self.index.at(hash, key, new).is_some())
    }

    /// Removes a key; returns where it was.
    pub fn remove(&mut self, key: &[u8]) -> Option<Located> {
        let old = self.located(key)?;
        self.drop_record(old.location);
        let hash = self.hash(key);
        assert!(self.index.remove(hash, key, old, &self.records));
        Some(old)
    }

    /// See [`Index::expired`].
    pub fn expired(&mut self, now: Millis, limit: usize) -> Vec<IndexKey> {
        let mut all = Vec::new();
        loop {
            let expired = self.index.expired(now, limit - all.len(), &self.records);
            let (keys, done) = expired.expect("all records can be read");
            all.extend(keys);
            if done || all.len() == limit {
                return all;
            }
        }
    }

    /// See [`Index::scan`].
    pub fn scan(
        &self,
        from: Cursor,
        count: usize,
        visit: &mut dyn FnMut(Found<'_>),
    ) -> Option<Cursor> {
        let next = self.index.scan(from, count, &self.records, visit);
        next.expect("all records can be read")
    }
}
