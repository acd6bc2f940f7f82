//! Compares streams with a model, over a store in memory and over real pools of both layouts.

mod grown;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::collections::{load, open_pool, sweep};
use super::*;
use store::LayoutChoice;
use store::testing::folder;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    entries: BTreeMap<StreamId, Fields>,
    last_id: StreamId,
    max_deleted_id: StreamId,
    added: u64,
    groups: BTreeMap<Vec<u8>, Group>,
}

#[derive(Clone, Debug, PartialEq)]
struct Group {
    last_id: StreamId,
    entries_read: i64,
    /// The names of the consumers, with the time of the last delivery.
    consumers: BTreeMap<Vec<u8>, i64>,
    /// Consumer, time and count of deliveries.
    pending: BTreeMap<StreamId, (Vec<u8>, i64, u64)>,
}

const LIMITS: NodeLimits = NodeLimits {
    bytes: 400,
    entries: 6,
};

struct World {
    keyspace: Arc<Keyspace>,
    model: BTreeMap<Vec<u8>, Model>,
    random: StdRng,
    now: i64,
}

fn fields_of(pairs: &[Pair<'_>]) -> Fields {
    let owned = |&(field, value): &Pair<'_>| (field.to_vec(), value.to_vec());
    pairs.iter().map(owned).collect()
}

/// What a key holds, read in both directions.
fn stored(keyspace: &Keyspace, key: &[u8]) -> Result<Option<Model>> {
    keyspace.view(0, key, at(0), |view| {
        let Some(view) = view else {
            return Ok(None);
        };
        let stream = view.stream()?;
        let mut entries = BTreeMap::new();
        let mut last = None;
        stream.for_range(StreamId::MIN, StreamId::MAX, false, |id, pairs| {
            assert!(last < Some(id), "{id} is out of order");
            last = Some(id);
            entries.insert(id, fields_of(pairs));
            ControlFlow::Continue(())
        })?;
        let mut backwards = Vec::new();
        stream.for_range(StreamId::MIN, StreamId::MAX, true, |id, pairs| {
            backwards.push((id, fields_of(pairs)));
            ControlFlow::Continue(())
        })?;
        backwards.reverse();
        assert!(entries.clone().into_iter().eq(backwards));
        assert_eq!(stream.len(), entries.len() as u64);
        let first = entries
            .first_key_value()
            .map_or(StreamId::MIN, |(&id, _)| id);
        assert_eq!(stream.first_id(), first);
        assert_eq!(stream.last_entry_id()?, last);
        let groups = stream.groups().map(|group| {
            let consumers = group
                .consumers()
                .map(|one| (one.name().to_vec(), one.active()));
            let pending = group.pending(StreamId::MIN, StreamId::MAX);
            let pending: BTreeMap<_, _> = pending
                .map(|(id, one, at, count)| (id, (one.name().to_vec(), at, count)))
                .collect();
            let of_all: usize = group.consumers().map(|one| one.pending_len()).sum();
            assert_eq!(of_all, pending.len());
            let group_of = Group {
                last_id: group.last_id(),
                entries_read: group.entries_read(),
                consumers: consumers.collect(),
                pending,
            };
            (group.name().to_vec(), group_of)
        });
        Ok(Some(Model {
            entries,
            last_id: stream.last_id(),
            max_deleted_id: stream.max_deleted_id(),
            added: stream.entries_added(),
            groups: groups.collect(),
        }))
    })?
}

impl World {
    fn new(keyspace: Keyspace, seed: u64) -> Self {
        Self {
            keyspace: Arc::new(keyspace),
            model: BTreeMap::new(),
            random: StdRng::seed_from_u64(seed),
            now: 1_700_000_000_000,
        }
    }

    fn check(&self) -> Result<()> {
        for number in 0..4 {
            let key = key(number);
            assert_eq!(stored(&self.keyspace, &key)?.as_ref(), self.model.get(&key));
        }
        Ok(())
    }

    fn name(&mut self) -> Vec<u8> {
        let names = ["", "a", "b", "a longer name"];
        names
            .choose(&mut self.random)
            .map_or(Vec::new(), |name| name.as_bytes().to_vec())
    }

    fn some_id(&mut self, model: &Model) -> StreamId {
        let ids: Vec<StreamId> = model.entries.keys().copied().collect();
        match ids.choose(&mut self.random) {
            Some(&id) if self.random.random_bool(0.9) => id,
            _ => StreamId::new(self.random.random_range(0..50), 0),
        }
    }

    /// One call. It changes the model too, unless the store refuses it.
    fn step(&mut self) -> Result<()> {
        self.now += 2000;
        let key = key(self.random.random_range(0..4));
        let mut model = self.model.get(&key).cloned();
        let what = self.random.random_range(0..100);
        let result = match what {
            0..50 => self.add(&key, &mut model),
            50..62 => self.delete(&key, &mut model),
            62..68 => self.trim(&key, &mut model),
            68..96 => self.change_group(&key, &mut model),
            96..98 => return self.move_or_copy(&key),
            _ => {
                model = None;
                remove(&self.keyspace, 0, &key, at(0)).map(drop)
            }
        };
        result?;
        match model {
            Some(model) => self.model.insert(key, model),
            None => self.model.remove(&key),
        };
        Ok(())
    }

    fn move_or_copy(&mut self, from: &[u8]) -> Result<()> {
        let to = key(self.random.random_range(0..4));
        if to == from {
            return Ok(());
        }
        let moves = self.random.random_bool(0.5);
        self.keyspace
            .update_many(&[(0, from), (0, &to[..])], at(0), |keys| {
                if moves {
                    keys.move_value(0, 1)
                } else {
                    keys.copy_value(0, 1)
                }
            })?;
        if let Some(model) = self.model.get(from).cloned() {
            self.model.insert(to, model);
            if moves {
                self.model.remove(from);
            }
        }
        Ok(())
    }

    fn add(&mut self, key: &[u8], model: &mut Option<Model>) -> Result<()> {
        let names: &[&str] = [&["f", "g"][..], &["f"], &["other"]]
            [self.random.random_range(0..9usize).saturating_sub(6)];
        let fields: Fields = names
            .iter()
            .map(|name| {
                let len = if self.random.random_bool(0.02) {
                    70_000
                } else {
                    self.random.random_range(0..90)
                };
                (name.as_bytes().to_vec(), vec![b'v'; len])
            })
            .collect();
        let before = model.get_or_insert_default();
        let last = before.last_id;
        let id = StreamId::new(last.ms + self.random.random_range(0..2), last.seq + 1);
        let trims_to = self
            .random
            .random_bool(0.2)
            .then(|| self.random.random_range(0..20));
        let pairs: Vec<Pair<'_>> = fields
            .iter()
            .map(|(field, value)| (&field[..], &value[..]))
            .collect();
        self.keyspace.update_many(&[(0, key)], at(0), |keys| {
            keys.close_full_node(0, &pairs, LIMITS)?;
            let mut stream = keys.stream(0)?;
            assert_eq!(stream.last_id(), last);
            stream.append(id, &pairs, LIMITS)?;
            if let Some(len) = trims_to {
                stream.trim(exactly(TrimTo::Length(len)))?;
            }
            Ok::<_, KeyspaceError>(())
        })?;
        before.entries.insert(id, fields);
        before.last_id = id;
        before.added += 1;
        while trims_to.is_some_and(|len| before.entries.len() as u64 > len) {
            before.entries.pop_first();
        }
        Ok(())
    }

    fn delete(&mut self, key: &[u8], model: &mut Option<Model>) -> Result<()> {
        let Some(model) = model else {
            return Ok(());
        };
        let ids: Vec<StreamId> = (0..self.random.random_range(1..6))
            .map(|_| self.some_id(model))
            .collect();
        let deleted = self.keyspace.update_many(&[(0, key)], at(0), |keys| {
            let mut stream = keys.stream(0)?;
            let mut deleted = Vec::new();
            for &id in &ids {
                let there = stream.contains(id)?;
                assert_eq!(stream.delete(id)?, there);
                assert!(!stream.contains(id)?);
                deleted.push(there);
            }
            Ok::<_, KeyspaceError>(deleted)
        })?;
        for (id, deleted) in ids.into_iter().zip(deleted) {
            assert_eq!(model.entries.remove(&id).is_some(), deleted, "{id}");
            if deleted {
                model.max_deleted_id = model.max_deleted_id.max(id);
            }
        }
        Ok(())
    }

    fn trim(&mut self, key: &[u8], model: &mut Option<Model>) -> Result<()> {
        let Some(model) = model else {
            return Ok(());
        };
        let len = self.random.random_range(0..30);
        let id = self.some_id(model);
        let by_length = self.random.random_bool(0.5);
        let to = if by_length {
            TrimTo::Length(len)
        } else {
            TrimTo::Id(id)
        };
        let approximately = self.random.random_bool(0.3);
        let trim = Trim {
            approximately,
            ..exactly(to)
        };
        let trimmed = self
            .keyspace
            .update_many(&[(0, key)], at(0), |keys| keys.stream(0)?.trim(trim))?;
        let goes = |model: &Model| match to {
            TrimTo::Length(len) => model.entries.len() as u64 > len,
            TrimTo::Id(id) => model
                .entries
                .first_key_value()
                .is_some_and(|(&first, _)| first < id),
        };
        for _ in 0..trimmed {
            assert!(goes(model), "{trim:?} went too far");
            model.entries.pop_first();
        }
        assert!(
            approximately || !goes(model),
            "{trim:?} did not go far enough"
        );
        Ok(())
    }

    fn change_group(&mut self, key: &[u8], model: &mut Option<Model>) -> Result<()> {
        let (name, consumer, now) = (self.name(), self.name(), self.now);
        let Some(model) = model else {
            return Ok(());
        };
        let what = self.random.random_range(0..20);
        let ids: Vec<StreamId> = (0..self.random.random_range(1..6))
            .map(|_| self.some_id(model))
            .collect();
        let state = GroupState {
            last_id: ids[0],
            entries_read: self.random.random_range(-1..9),
        };
        self.keyspace.update_many(&[(0, key)], at(0), |keys| {
            let mut stream = keys.stream(0)?;
            let group = stream.group(&name);
            assert_eq!(group.is_some(), model.groups.contains_key(&name));
            let Some(group) = group else {
                stream.create_group(&name, state);
                return Ok::<_, KeyspaceError>(());
            };
            match what {
                0 => stream.destroy_group(group),
                1 => stream.set_group_state(group, state),
                2 | 3 => {
                    if let Some(number) = stream.consumer(group, &consumer) {
                        stream.remove_consumer(group, number);
                    }
                }
                4..9 => {
                    for &id in &ids {
                        stream.remove_pending(group, id);
                    }
                }
                _ => {
                    let number = stream.consumer(group, &consumer);
                    let number =
                        number.unwrap_or_else(|| stream.create_consumer(group, &consumer, now));
                    for &id in &ids {
                        let deliveries = stream
                            .pending(group, id)
                            .map_or(1, |one| one.deliveries + 1);
                        let pending = PendingState {
                            consumer: number,
                            delivered_at: now,
                            deliveries,
                        };
                        stream.set_pending(group, id, pending);
                    }
                    stream.touch_consumer(group, number, now, true);
                }
            }
            Ok(())
        })?;
        let Some(group) = model.groups.get_mut(&name) else {
            let group = Group {
                last_id: state.last_id,
                entries_read: state.entries_read,
                consumers: BTreeMap::new(),
                pending: BTreeMap::new(),
            };
            model.groups.insert(name, group);
            return Ok(());
        };
        match what {
            0 => drop(model.groups.remove(&name)),
            1 => (group.last_id, group.entries_read) = (state.last_id, state.entries_read),
            2 | 3 => {
                group.consumers.remove(&consumer);
                group.pending.retain(|_, (of, ..)| *of != consumer);
            }
            4..9 => group.pending.retain(|id, _| !ids.contains(id)),
            _ => {
                group.consumers.insert(consumer.clone(), now);
                for id in ids {
                    let count = group.pending.get(&id).map_or(1, |one| one.2 + 1);
                    group.pending.insert(id, (consumer.clone(), now, count));
                }
            }
        }
        Ok(())
    }
}

fn key(number: usize) -> Vec<u8> {
    format!("key {number}").into_bytes()
}

fn exactly(to: TrimTo) -> Trim {
    Trim {
        to,
        approximately: false,
        limit: 0,
        references: References::Keep,
    }
}

#[test]
fn streams_do_what_a_model_does_and_nothing_stays_behind() -> Result<()> {
    for seed in 0..6 {
        let (keyspace, store) = fresh(seed % 2 == 0);
        let mut world = World::new(keyspace, seed);
        for round in 0..6 {
            for _ in 0..120 {
                world.step()?;
            }
            world.check()?;
            world.keyspace = Arc::new(over(&store));
            if round % 2 == 0 {
                load(&world.keyspace)?;
            }
            world.check()?;
        }
        load(&world.keyspace)?;
        for number in 0..4 {
            super::remove(&world.keyspace, 0, &key(number), at(0))?;
        }
        sweep(&world.keyspace);
        assert_eq!(store.records(), 0, "seed {seed}");
        assert_eq!(world.keyspace.registry.memory_bytes(), 0);
    }
    Ok(())
}

/// A node whose last entries are deleted says a last id that no entry has. Trimming up to that id leaves nothing of the
/// node, and XSETID may make the stream go on below it.
#[test]
fn a_deleted_end_of_a_node_is_no_end() -> Result<()> {
    let id = |ms| StreamId::new(ms, 0);
    for trims in [false, true] {
        let (keyspace, store) = fresh(false);
        let add = |keyspace: &Keyspace, ms| {
            keyspace.update_many(&[(0, &b"s"[..])], at(0), |keys| {
                keys.stream(0)?.append(id(ms), &[(b"f", b"v")], LIMITS)
            })
        };
        for ms in 1..=7 {
            add(&keyspace, ms)?;
        }
        keyspace.update_many(&[(0, &b"s"[..])], at(0), |keys| {
            let mut stream = keys.stream(0)?;
            for ms in [6, 7] {
                assert!(stream.delete(id(ms))?);
            }
            Ok::<_, KeyspaceError>(())
        })?;
        let left: &[u64] = if trims {
            let trim = exactly(TrimTo::Id(id(6)));
            keyspace.update_many(&[(0, &b"s"[..])], at(0), |keys| keys.stream(0)?.trim(trim))?;
            &[8]
        } else {
            &[1, 2, 3, 4, 5, 8]
        };
        keyspace.update_many(&[(0, &b"s"[..])], at(0), |keys| {
            keys.stream(0)?.set_ids(id(5), None, Some(id(1)));
            Ok::<_, KeyspaceError>(())
        })?;
        keyspace.update_many(&[(0, &b"s"[..])], at(0), |keys| {
            keys.stream(0)?
                .append(StreamId::new(5, 1), &[(b"f", b"w")], LIMITS)
        })?;
        add(&keyspace, 8)?;
        let expected: Vec<StreamId> = left
            .iter()
            .flat_map(|&ms| {
                if ms == 8 {
                    vec![StreamId::new(5, 1), id(8)]
                } else {
                    vec![id(ms)]
                }
            })
            .collect();
        for keyspace in [keyspace, over(&store)] {
            let model = stored(&keyspace, b"s")?.ok_or(KeyspaceError::Failed("it is gone"))?;
            assert!(
                model.entries.keys().eq(&expected),
                "{:?}",
                model.entries.keys()
            );
            assert_eq!(model.last_id, id(8));
        }
    }
    Ok(())
}

#[test]
fn a_refused_write_changes_no_stream() -> Result<()> {
    for seed in 20..24 {
        let (keyspace, store) = fresh(false);
        let mut world = World::new(keyspace, seed);
        for step in 0..400u64 {
            if step % 5 == 4 {
                store.writes_left.store(step % 3, Ordering::Relaxed);
            }
            match world.step() {
                Ok(()) | Err(KeyspaceError::OutOfMemory) => {}
                Err(error) => return Err(error),
            }
            store.writes_left.store(u64::MAX, Ordering::Relaxed);
            if step % 10 == 4 {
                world.check()?;
            }
        }
        world.keyspace = Arc::new(over(&store));
        world.check()?;
    }
    Ok(())
}

/// Some calls are part of a transaction, and the compaction moves records.
#[test]
fn streams_survive_in_real_pools() -> Result<()> {
    for layout in [LayoutChoice::Packed, LayoutChoice::Pairs] {
        for seed in 100..102 {
            let folder = folder().map_err(|error| {
                KeyspaceError::from(store::StoreError::Engine(error.to_string()))
            })?;
            let mut world = World::new(open_pool(folder.path(), layout)?, seed);
            for round in 0..4 {
                for step in 0..120 {
                    if step % 20 == 19 {
                        transaction(&mut world)?;
                    } else {
                        world.step()?;
                    }
                    let time = std::time::Duration::from_millis(1);
                    let _ = world.keyspace.store.work(&*world.keyspace, time)?;
                }
                world.check()?;
                world.keyspace.close()?;
                drop(world.keyspace);
                world.keyspace = Arc::new(open_pool(folder.path(), layout)?);
                if layout == LayoutChoice::Pairs || round % 2 == 0 {
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

/// Some calls in one step of the store.
fn transaction(world: &mut World) -> Result<()> {
    let keyspace = Arc::clone(&world.keyspace);
    let mut result = Ok(());
    keyspace.atomically(&[], &mut || {
        for _ in 0..30 {
            result = std::mem::replace(&mut result, Ok(())).and_then(|()| world.step());
        }
    })?;
    result
}
