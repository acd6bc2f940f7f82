//! Deadlines of hashes' fields, with a clock that the tests set.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::collections::{load, open_pool, sweep};
use super::{Result, at, fresh, over};
use crate::{Keyspace, KeyspaceError, Kind, Millis, View};
use store::LayoutChoice;

/// Each hash's fields: value and deadline.
type Model = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, (Vec<u8>, Option<Millis>)>>;

fn put(
    keyspace: &Keyspace,
    key: &[u8],
    field: &[u8],
    until: Option<Millis>,
    now: Millis,
) -> Result<bool> {
    keyspace.update_one(0, key, at(now), Kind::Hash, |keys| {
        keys.fields()?.put_until(field, b"v", until)
    })
}

/// The fields that a caller sees, with their deadlines.
fn seen(keyspace: &Keyspace, key: &[u8], now: Millis) -> Result<Vec<(Vec<u8>, Option<Millis>)>> {
    keyspace.view(0, key, at(now), |view| {
        let Some(View::Hash(fields)) = view else {
            return Ok(Vec::new());
        };
        let mut seen = Vec::new();
        for name in fields.names()? {
            let name = name?.into_vec();
            assert!(fields.contains(&name)?);
            let deadline = fields.deadline(&name)?.flatten();
            seen.push((name, deadline));
        }
        assert_eq!(seen.len(), fields.len());
        seen.sort();
        Ok(seen)
    })?
}

struct World {
    keyspace: Keyspace,
    model: Model,
    random: StdRng,
    now: Millis,
}

impl World {
    fn key(&mut self) -> Vec<u8> {
        format!("key {}", self.random.random_range(0..4)).into_bytes()
    }

    fn deadline(&mut self) -> Option<Millis> {
        let ahead = self.random.random_range(1..60);
        (!self.random.random_ratio(1, 3)).then_some(self.now + ahead)
    }

    /// One change, seen by the model and by the keyspace.
    fn step(&mut self) -> Result<()> {
        self.now += self.random.random_range(0..4);
        let (key, now) = (self.key(), self.now);
        let field = format!("f{}", self.random.random_range(0..40)).into_bytes();
        let until = self.deadline();
        let live = |(_, until): &(Vec<u8>, Option<Millis>)| until.is_none_or(|at| at > now);
        match self.random.random_range(0..12) {
            0..6 => {
                let new = put(&self.keyspace, &key, &field, until, now)?;
                let fields = self.model.entry(key).or_default();
                let before = fields.insert(field, (b"v".to_vec(), until));
                assert_eq!(new, !before.is_some_and(|before| live(&before)));
            }
            6 | 7 => {
                let found = self.keyspace.update_many(&[(0, &key)], at(now), |keys| {
                    let mut hash = keys.fields(0, Kind::Hash)?;
                    hash.set_deadline(&field, until)?;
                    hash.deadline(&field)
                })?;
                let known = self.model.get_mut(&key).and_then(|all| all.get_mut(&field));
                let known = known.filter(|known| live(known));
                assert_eq!(found, known.as_ref().map(|_| until));
                if let Some(known) = known {
                    known.1 = until;
                }
            }
            8 | 9 => {
                let removed = self
                    .keyspace
                    .update_one(0, &key, at(now), Kind::Hash, |keys| {
                        keys.fields()?.remove(&field)
                    })?;
                let fields = self.model.entry(key).or_default();
                let before = fields.get(&field).is_some_and(live);
                assert_eq!(removed, before);
                if before {
                    fields.remove(&field);
                }
            }
            10 => {
                let to = self.key();
                if to != key {
                    self.keyspace
                        .update_many(&[(0, &key), (0, &to)], at(now), |keys| {
                            keys.move_value(0, 1)
                        })?;
                    if let Some(fields) = self.model.remove(&key).filter(|all| !all.is_empty()) {
                        self.model.insert(to, fields);
                    }
                }
            }
            _ => {
                let to = self.key();
                if to != key {
                    self.keyspace
                        .update_many(&[(0, &key), (0, &to)], at(now), |keys| {
                            keys.copy_value(0, 1)
                        })?;
                    if let Some(fields) = self.model.get(&key).filter(|all| !all.is_empty()) {
                        let fields = fields.clone().into_iter();
                        let fields = fields.filter(|(_, field)| live(field)).collect();
                        self.model.insert(to, fields);
                    }
                }
            }
        }
        self.model.retain(|_, fields| !fields.is_empty());
        Ok(())
    }

    fn check(&self) -> Result<()> {
        for number in 0..4 {
            let key = format!("key {number}").into_bytes();
            let fields = self.model.get(&key);
            let wanted: Vec<_> = fields
                .into_iter()
                .flatten()
                .filter(|(_, (_, until))| until.is_none_or(|at| at > self.now))
                .map(|(name, (_, until))| (name.clone(), *until))
                .collect();
            assert_eq!(seen(&self.keyspace, &key, self.now)?, wanted);
        }
        Ok(())
    }

    /// Removes what is due, and checks that nothing else is left.
    fn expire(&mut self) -> Result<()> {
        // A second round finds the bounds exact.
        for _ in 0..3 {
            self.keyspace.collections().remove_due_fields(self.now)?;
        }
        sweep(&self.keyspace);
        for fields in self.model.values_mut() {
            fields.retain(|_, (_, until)| until.is_none_or(|at| at > self.now));
        }
        self.model.retain(|_, fields| !fields.is_empty());
        self.check()?;
        let expiring = |fields: &&BTreeMap<_, (_, Option<Millis>)>| {
            fields.values().any(|(_, until)| until.is_some())
        };
        let expiring = self.model.values().filter(expiring).count();
        assert_eq!(self.keyspace.registry.deadlines.len(), expiring as u64);
        let stats = self.keyspace.databases().stats(0, self.now);
        assert_eq!(stats.subexpiry, expiring as u64);
        assert_eq!(self.keyspace.stats()?.records, self.model.len() as u64);
        Ok(())
    }
}

#[test]
fn fields_do_what_a_model_does_and_nothing_stays_behind() -> Result<()> {
    for sorted in [false, true] {
        for seed in 0..6 {
            let (keyspace, store) = fresh(sorted);
            let mut world = World {
                keyspace,
                model: Model::new(),
                random: StdRng::seed_from_u64(seed),
                now: 1000,
            };
            for round in 0..8 {
                for _ in 0..80 {
                    world.step()?;
                }
                world.check()?;
                if round % 3 == 0 {
                    world.expire()?;
                }
                world.keyspace = over(&store);
                load(&world.keyspace)?;
                world.check()?;
            }
            world.now += 1000;
            world.expire()?;
            for number in 0..4 {
                let key = format!("key {number}").into_bytes();
                super::remove(&world.keyspace, 0, &key, at(world.now))?;
            }
            sweep(&world.keyspace);
            assert_eq!(store.records(), 0, "seed {seed}");
            assert_eq!(world.keyspace.registry.memory_bytes(), 0);
            assert_eq!(world.keyspace.registry.deadlines.len(), 0);
        }
    }
    Ok(())
}

#[test]
fn fields_keep_their_deadlines_in_real_pools() -> Result<()> {
    for layout in [LayoutChoice::Packed, LayoutChoice::Pairs] {
        let folder = tempfile::tempdir()
            .map_err(|error| KeyspaceError::from(store::StoreError::Engine(error.to_string())))?;
        let mut world = World {
            keyspace: open_pool(folder.path(), layout)?,
            model: Model::new(),
            random: StdRng::seed_from_u64(7),
            now: 1000,
        };
        for round in 0..3 {
            for _ in 0..80 {
                world.step()?;
            }
            world.keyspace.commit()?;
            world.check()?;
            if round % 2 == 0 {
                world.expire()?;
                world.keyspace.commit()?;
            }
            drop(world.keyspace);
            world.keyspace = open_pool(folder.path(), layout)?;
            load(&world.keyspace)?;
            world.check()?;
        }
    }
    Ok(())
}

/// A field that somebody has seen to be gone stays gone, although the clock is set back before a restart.
#[test]
fn the_clock_brings_no_field_back() -> Result<()> {
    let folder = tempfile::tempdir()
        .map_err(|error| KeyspaceError::from(store::StoreError::Engine(error.to_string())))?;
    let keyspace = open_pool(folder.path(), LayoutChoice::Packed)?;
    for (field, until) in [("a", Some(50)), ("b", Some(500)), ("c", None)] {
        put(&keyspace, b"h", field.as_bytes(), until, 10)?;
    }
    assert_eq!(seen(&keyspace, b"h", 60)?.len(), 2);
    // The next commit stores the mark.
    put(&keyspace, b"other", b"x", None, 60)?;
    keyspace.commit()?;
    drop(keyspace);
    let keyspace = open_pool(folder.path(), LayoutChoice::Packed)?;
    load(&keyspace)?;
    let expected = vec![(b"b".to_vec(), Some(500)), (b"c".to_vec(), None)];
    assert_eq!(seen(&keyspace, b"h", 20)?, expected);
    Ok(())
}
