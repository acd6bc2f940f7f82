//! Compares collections with a model, over a store in memory and over real pools of both layouts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::*;
use crate::OneUpdate;
use store::testing::folder;
use store::{LayoutChoice, Options};

#[derive(Clone, Debug, PartialEq)]
enum Model {
    String(Vec<u8>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    List(Vec<Vec<u8>>),
    SortedSet(BTreeMap<Vec<u8>, f64>),
}

impl Model {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::String => Model::String(Vec::new()),
            Kind::Hash => Model::Hash(BTreeMap::new()),
            Kind::Set => Model::Set(BTreeSet::new()),
            Kind::List => Model::List(Vec::new()),
            Kind::SortedSet => Model::SortedSet(BTreeMap::new()),
            _ => unreachable!("streams have a model of their own"),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Model::String(_) => Kind::String,
            Model::Hash(_) => Kind::Hash,
            Model::Set(_) => Kind::Set,
            Model::List(_) => Kind::List,
            Model::SortedSet(_) => Kind::SortedSet,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Model::String(_) => false,
            Model::Hash(hash) => hash.is_empty(),
            Model::Set(set) => set.is_empty(),
            Model::List(list) => list.is_empty(),
            Model::SortedSet(scores) => scores.is_empty(),
        }
    }
}

/// What a key holds.
fn stored(keyspace: &Keyspace, key: &[u8]) -> Result<Option<Model>> {
    keyspace.view(0, key, at(0), |view| {
        Ok(match view {
            None => None,
            Some(View::String(string)) => Some(Model::String(string.whole()?.into_owned())),
            Some(View::Hash(fields)) => {
                let mut hash = BTreeMap::new();
                fields.for_each(|name, value| {
                    assert!(hash.insert(name.to_vec(), value.to_vec()).is_none());
                })?;
                assert_eq!(hash.len(), fields.len());
                Some(Model::Hash(hash))
            }
            Some(View::Set(members)) => {
                let names = members.names()?.map(|name| Ok(name?.into_vec()));
                let set: BTreeSet<_> = names.collect::<Result<_>>()?;
                assert_eq!(set.len(), members.len());
                Some(Model::Set(set))
            }
            Some(View::List(list)) => {
                let mut all = Vec::new();
                list.for_range(0..list.len(), false, |value| {
                    all.push(value.to_vec());
                    ControlFlow::Continue(())
                })?;
                assert_eq!(all.len(), list.len());
                Some(Model::List(all))
            }
            Some(View::SortedSet(scores)) => {
                let ranked: Vec<_> = scores.range(0..scores.len()).collect();
                assert!(ranked.is_sorted_by(|a, b| (a.1, a.0) < (b.1, b.0)));
                let mut all = BTreeMap::new();
                for (rank, (member, score)) in ranked.into_iter().enumerate() {
                    assert_eq!(scores.score(member)?, Some(score));
                    assert_eq!(scores.rank(score, member), rank);
                    all.insert(member.to_vec(), score);
                }
                Some(Model::SortedSet(all))
            }
            Some(View::Stream(_)) => return Err(KeyspaceError::WrongKind),
        })
    })?
}

struct World {
    keyspace: Keyspace,
    model: BTreeMap<Vec<u8>, Model>,
    random: StdRng,
}

const KINDS: [Kind; 5] = [
    Kind::Hash,
    Kind::Set,
    Kind::List,
    Kind::SortedSet,
    Kind::String,
];

impl World {
    fn key(&mut self) -> Vec<u8> {
        format!("key {}", self.random.random_range(0..6)).into_bytes()
    }

    fn word(&mut self) -> Vec<u8> {
        let number = self.random.random_range(0..60);
        let mut word = number.to_string().into_bytes();
        word.resize(word.len() + number * self.random.random_range(0..2), b'x');
        word
    }

    fn step(&mut self) -> Result<()> {
        if self.random.random_range(0..10) == 0 {
            let compact_bytes_max = [0, 100, 1024][self.random.random_range(0..3)];
            self.keyspace.forms.set(&crate::FormLimits {
                compact_bytes_max,
                ..crate::FormLimits::default()
            });
        }
        match self.random.random_range(0..20) {
            0 => self.remove(),
            1 => self.rename(),
            2 => self.copy(),
            3 => self.build(),
            _ => self.edit(),
        }
    }

    fn remove(&mut self) -> Result<()> {
        let key = self.key();
        let was = super::remove(&self.keyspace, 0, &key, at(0))?;
        assert_eq!(was, self.model.remove(&key).is_some());
        Ok(())
    }

    fn rename(&mut self) -> Result<()> {
        let (from, to) = (self.key(), self.key());
        if from == to {
            return Ok(());
        }
        let moved = self
            .keyspace
            .update_many(&[(0, &from), (0, &to)], at(0), |slots| {
                slots.move_value(0, 1)
            })?;
        let value = self.model.remove(&from);
        assert_eq!(moved, value.is_some());
        if let Some(value) = value {
            self.model.insert(to, value);
        }
        Ok(())
    }

    fn copy(&mut self) -> Result<()> {
        let (from, to) = (self.key(), self.key());
        if from == to {
            return Ok(());
        }
        let copied = self
            .keyspace
            .update_many(&[(0, &from), (0, &to)], at(0), |slots| {
                slots.copy_value(0, 1)
            })?;
        let value = self.model.get(&from).cloned();
        assert_eq!(copied, value.is_some());
        if let Some(value) = value {
            self.model.insert(to, value);
        }
        Ok(())
    }

    /// A STORE command.
    fn build(&mut self) -> Result<()> {
        let key = self.key();
        let words: BTreeSet<Vec<u8>> = (0..self.random.random_range(0..600))
            .map(|n: usize| format!("member {n}").into_bytes())
            .collect();
        self.keyspace.update_many(&[(0, &key)], at(0), |slots| {
            let mut new = slots.build(0, Kind::Set);
            for word in &words {
                new.member(word)?;
            }
            slots.replace(new, None)
        })?;
        self.model.remove(&key);
        if !words.is_empty() {
            self.model.insert(key, Model::Set(words));
        }
        Ok(())
    }

    fn edit(&mut self) -> Result<()> {
        let key = self.key();
        let present = self.model.get(&key).cloned();
        let kind = match &present {
            Some(model) if self.random.random_range(0..20) > 0 => model.kind(),
            _ => *KINDS.choose(&mut self.random).expect("there are kinds"),
        };
        if kind == Kind::String {
            let word = self.word();
            put(&self.keyspace, 0, &key, &word)?;
            self.model.insert(key, Model::String(word));
            return Ok(());
        }
        let fits = present.as_ref().is_none_or(|model| model.kind() == kind);
        let mut model = present.clone().filter(|_| fits).unwrap_or(Model::new(kind));
        let count = self.random.random_range(1..14);
        let words: Vec<Vec<u8>> = (0..count).map(|_| self.word()).collect();
        let seed: u64 = self.random.random();
        let mut random = StdRng::seed_from_u64(seed);
        let mut change = |keys: &mut OneUpdate<'_, '_>| {
            match &mut model {
                Model::Hash(hash) => {
                    let mut edit = keys.fields()?;
                    for word in &words {
                        if random.random_bool(0.6) {
                            let value = word.repeat(2);
                            let new = hash.insert(word.clone(), value.clone()).is_none();
                            assert_eq!(edit.put(word, &value)?, new);
                        } else {
                            assert_eq!(edit.remove(word)?, hash.remove(word).is_some());
                        }
                        let value = edit.get(word, <[u8]>::to_vec)?;
                        assert_eq!(value.as_ref(), hash.get(word));
                        assert_eq!(edit.len(), hash.len());
                    }
                }
                Model::Set(set) => {
                    let mut edit = keys.fields()?;
                    for word in &words {
                        if random.random_bool(0.6) {
                            assert_eq!(edit.put(word, b"")?, set.insert(word.clone()));
                        } else {
                            assert_eq!(edit.remove(word)?, set.remove(word));
                        }
                        assert_eq!(edit.contains(word)?, set.contains(word));
                    }
                }
                Model::SortedSet(scores) => {
                    let mut edit = keys.scores()?;
                    for word in &words {
                        if random.random_bool(0.6) {
                            let score = f64::from(random.random_range(-3..3));
                            let old = scores.insert(word.clone(), score);
                            if random.random_bool(0.5) {
                                assert_eq!(edit.set(word, score)?, old.is_none());
                            } else {
                                edit.change(word, |found| {
                                    assert_eq!(found, old);
                                    Ok::<_, KeyspaceError>(((), Some(score)))
                                })?;
                            }
                        } else {
                            assert_eq!(edit.remove(word)?, scores.remove(word).is_some());
                        }
                        assert_eq!(edit.score(word)?, scores.get(word).copied());
                    }
                }
                Model::List(list) => edit_list(keys.list()?, list, &words, &mut random),
                Model::String(_) => {}
            }
            Ok::<_, KeyspaceError>(())
        };
        // A call that changes a compact collection in place may run twice; `change` does not.
        let is_compact = |view: Option<View<'_>>| view?.compact_bytes();
        let runs_once =
            present.is_some() && (self.keyspace.view(0, &key, at(0), is_compact)?).is_none();
        let done: Result<()> = if runs_once && !seed.is_multiple_of(3) {
            self.keyspace.update_one(0, &key, at(0), kind, change)
        } else {
            self.keyspace.update_many(&[(0, &key)], at(0), |slots| {
                change(&mut OneUpdate::Staged(slots, kind))
            })
        };
        if fits {
            done?;
            self.model.remove(&key);
            if !model.is_empty() {
                self.model.insert(key, model);
            }
        } else {
            assert!(matches!(done, Err(KeyspaceError::WrongKind)), "{done:?}");
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        for number in 0..6 {
            let key = format!("key {number}").into_bytes();
            assert_eq!(stored(&self.keyspace, &key)?, self.model.get(&key).cloned());
        }
        Ok(())
    }
}

fn edit_list(
    mut edit: ListEdit<'_>,
    list: &mut Vec<Vec<u8>>,
    words: &[Vec<u8>],
    random: &mut StdRng,
) {
    let position = random.random_range(0..=list.len());
    match random.random_range(0..6) {
        0 => {
            for word in words {
                edit.push(End::Head, word);
                list.insert(0, word.clone());
            }
        }
        1 => {
            for word in words {
                edit.push(End::Tail, word);
                list.push(word.clone());
            }
        }
        2 => {
            let head = random.random_range(0..3).min(list.len());
            let tail = random.random_range(0..3).min(list.len() - head);
            edit.pop(End::Head, head);
            edit.pop(End::Tail, tail);
            list.drain(..head);
            list.truncate(list.len() - tail);
            if random.random_bool(0.5) {
                edit.push(End::Tail, &words[0]);
                list.push(words[0].clone());
            }
        }
        3 => {
            // Insert often at one position, so that labels run out there.
            let position = position.min(1);
            edit.insert(position, &words[0]);
            list.insert(position, words[0].clone());
        }
        4 if position < list.len() => {
            edit.set(position, &words[0]);
            list[position].clone_from(&words[0]);
        }
        _ => {
            let removed: Vec<usize> = (0..list.len())
                .filter(|_| random.random_bool(0.2))
                .collect();
            for &position in removed.iter().rev() {
                list.remove(position);
            }
            edit.remove(removed);
        }
    }
    assert_eq!(edit.len(), list.len());
}

pub(super) fn load(keyspace: &Keyspace) -> Result<()> {
    for partition in 0..keyspace.store.partitions() {
        keyspace.loading().index_partition(partition)?;
    }
    keyspace.loading().all_partitions_read();
    Ok(())
}

pub(super) fn sweep(keyspace: &Keyspace) {
    while keyspace.garbage().remove(1000) > 0 {}
}

#[test]
fn collections_do_what_a_model_does_and_nothing_stays_behind() -> Result<()> {
    for sorted in [false, true] {
        for seed in 0..3 {
            let (keyspace, store) = fresh(sorted);
            let mut world = World {
                keyspace,
                model: BTreeMap::new(),
                random: StdRng::seed_from_u64(seed),
            };
            for round in 0..6 {
                for _ in 0..60 {
                    world.step()?;
                }
                world.check()?;
                world.keyspace = over(&store);
                if round % 2 == 0 {
                    load(&world.keyspace)?;
                }
                world.check()?;
            }
            load(&world.keyspace)?;
            for number in 0..6 {
                let key = format!("key {number}").into_bytes();
                super::remove(&world.keyspace, 0, &key, at(0))?;
            }
            sweep(&world.keyspace);
            assert_eq!(store.records(), 0, "seed {seed}");
            assert_eq!(world.keyspace.registry.memory_bytes(), 0);
        }
    }
    Ok(())
}

/// A collection that a client makes before loading has read all partitions stays.
#[test]
fn collections_made_during_loading_stay() -> Result<()> {
    let keys: Vec<String> = (0..12).map(|n| format!("key {n}")).collect();
    let (keyspace, _) = fresh(false);
    keyspace.forms.set(&crate::FormLimits {
        compact_bytes_max: 0,
        ..crate::FormLimits::default()
    });
    // Each write reads the partition of its key alone.
    for key in &keys {
        keyspace.update_many(&[(0, key.as_bytes())], at(0), |slots| {
            slots.fields(0, Kind::Hash)?.put(b"field", b"value")
        })?;
    }
    load(&keyspace)?;
    sweep(&keyspace);
    let expected = BTreeMap::from([(b"field".to_vec(), b"value".to_vec())]);
    for key in &keys {
        let held = stored(&keyspace, key.as_bytes())?;
        assert_eq!(held, Some(Model::Hash(expected.clone())), "{key}");
    }
    Ok(())
}

/// Loading drops a collection's elements if a client removed the collection before loading read them.
#[test]
fn keys_removed_during_loading_leave_nothing_behind() -> Result<()> {
    let keys: Vec<String> = (0..40).map(|n| format!("key {n}")).collect();
    for (flushed, compact_bytes_max) in [(false, 0), (true, 0), (false, 99), (true, 99)] {
        let (keyspace, store) = fresh(false);
        keyspace.forms.set(&crate::FormLimits {
            compact_bytes_max,
            ..crate::FormLimits::default()
        });
        for key in &keys {
            keyspace.update_many(&[(0, key.as_bytes())], at(0), |slots| {
                slots.fields(0, Kind::Hash)?.put(b"field", b"value")
            })?;
            let expires_at = Some(10);
            keyspace.update(0, key.as_bytes(), at(0), |slot| slot.set_expiry(expires_at))?;
        }
        drop(keyspace);
        let keyspace = over(&store);
        // Loading has read the anchors, and only a part of their elements.
        let half = keyspace.store.partitions() / 2;
        for partition in 0..half {
            keyspace.loading().index_partition(partition)?;
        }
        if flushed {
            keyspace.databases().flush(0)?;
        } else {
            keyspace.expiry().remove_all_due(20)?;
        }
        sweep(&keyspace);
        load(&keyspace)?;
        keyspace.expiry().remove_all_due(20)?;
        sweep(&keyspace);
        assert_eq!(store.records(), 0, "flushed: {flushed}");
        assert!(!keyspace.registry.any());
        assert_eq!(keyspace.registry.memory_bytes(), 0);
    }
    Ok(())
}

pub(super) fn open_pool(folder: &Path, layout: LayoutChoice) -> Result<Keyspace> {
    let options = Options {
        engine: "cmap".to_owned(),
        engine_config: None,
        pool_path: folder.join("pool"),
        pool_size_bytes: 64 << 20,
        layout,
        repair: false,
        every_second: false,
    };
    let failed = |error: &dyn std::fmt::Display| {
        KeyspaceError::from(store::StoreError::Engine(error.to_string()))
    };
    let (engine, options) = options.resolve().map_err(|error| failed(&error))?;
    let store = store::open(engine, &options).map_err(|error| failed(&error))?;
    Ok(Keyspace::new(store))
}

#[test]
fn collections_survive_in_real_pools() -> Result<()> {
    for layout in [LayoutChoice::Packed, LayoutChoice::Pairs] {
        for seed in 100..103 {
            let folder = folder().map_err(|error| {
                KeyspaceError::from(store::StoreError::Engine(error.to_string()))
            })?;
            let mut world = World {
                keyspace: open_pool(folder.path(), layout)?,
                model: BTreeMap::new(),
                random: StdRng::seed_from_u64(seed),
            };
            for _ in 0..4 {
                for _ in 0..150 {
                    world.step()?;
                    let _ = world
                        .keyspace
                        .store
                        .work(&world.keyspace, std::time::Duration::from_millis(1))?;
                }
                world.check()?;
                world.keyspace.close()?;
                drop(world.keyspace);
                world.keyspace = open_pool(folder.path(), layout)?;
                if layout == LayoutChoice::Pairs {
                    load(&world.keyspace)?;
                }
                world.check()?;
            }
            world.keyspace.databases().flush(0)?;
            sweep(&world.keyspace);
            if layout == LayoutChoice::Packed {
                assert_eq!(world.keyspace.store.fill().bytes, 0);
                continue;
            }
            for partition in 0..world.keyspace.store.partitions() {
                let mut left = 0;
                world.keyspace.store.visit(partition, &mut |_| left += 1)?;
                assert_eq!(left, 0);
            }
        }
    }
    Ok(())
}
