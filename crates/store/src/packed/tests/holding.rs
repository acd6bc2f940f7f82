//! A transaction leaves only the last version of each record that it writes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

impl World {
    /// Runs `change` as one step.
    fn atomically(&self, mut change: impl FnMut() -> Result) -> Result {
        let mut done = Ok(());
        self.store.atomically(&[], &mut || done = change())?;
        done
    }

    fn all(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let names: Vec<Name> = self.index.0.lock().keys().cloned().collect();
        let mut all = BTreeMap::new();
        for (_, key) in names {
            let value = self.value(&key)?.ok_or("named, but not there")?;
            all.insert(key, value);
        }
        Ok(all)
    }
}

fn held_bytes(world: &World) -> u64 {
    world.store.front.pending_in_chunks()
}

#[test]
fn a_step_keeps_the_last_version_only() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    world.put(b"old", &bytes(1, 1_000))?;
    world.commit()?;
    let taken = world.figures().segments_free;
    world.atomically(|| {
        for n in 0..150 {
            world.put(b"large", &bytes(n, 1_000_000))?;
            world.put(b"small", &bytes(n, 1_000 + n % 7))?;
            world.put(b"old", &bytes(n, 900))?;
            world.expire(b"small", Some(FAR + 1))?;
            world.put(b"passing", &bytes(n, 5_000))?;
            world.remove(b"passing")?;
        }
        Ok(())
    })?;
    let held = held_bytes(&world);
    assert!(held < 3_200_000, "{held} bytes are held");
    world.commit()?;
    let used = taken - world.figures().segments_free;
    assert!(used <= 16, "{used} segments");
    let accounts = world.accounts();
    let all = world.all()?;
    assert_eq!(all.len(), 3);
    assert!(all[b"large".as_slice()] == bytes(149, 1_000_000));
    // Keys that the transaction created and removed again leave nothing, not even a tombstone.
    assert_eq!(world.figures().tombstone_bytes, 0);
    let world = world.reopen(folder.path())?;
    assert!(world.all()? == all);
    assert_eq!(world.accounts(), accounts);
    Ok(())
}

#[test]
fn what_a_step_took_and_left_is_free_again() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    world.put(b"old", b"v")?;
    world.commit()?;
    let before = world.figures();
    world.atomically(|| {
        for n in 0..3 {
            world.put(b"a", &bytes(n, 900_000))?;
            world.put(b"b", &bytes(n, 700_000))?;
            world.remove(b"a")?;
            world.remove(b"b")?;
        }
        Ok(())
    })?;
    world.commit()?;
    world.work()?;
    let after = world.figures();
    assert_eq!(
        (after.live_bytes, after.tombstone_bytes),
        (before.live_bytes, 0)
    );
    assert!(after.segments_free >= before.segments_free.min(after.segments - 2));
    Ok(())
}

#[test]
fn a_flushed_generation_leaves_nothing_of_the_step() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    world.put(b"kept", b"v")?;
    world.commit()?;
    let before = world.figures().live_bytes;
    world.atomically(|| {
        for n in 0..40 {
            world.index.0.lock().clear();
            for m in 0..20 {
                world.put(&key(m), &bytes(n, 30_000))?;
            }
            world.remove(&key(3))?;
            world.store.generation_is_gone(world.generation);
        }
        world.index.0.lock().clear();
        Ok(())
    })?;
    assert!(held_bytes(&world) < 800_000);
    world.commit()?;
    assert_eq!(world.figures().live_bytes, before);
    assert_eq!(world.figures().tombstone_bytes, 0);
    Ok(())
}

/// One change of one key.
#[derive(Clone, Debug)]
enum Change {
    Put(usize, usize),
    Remove(usize),
    Expire(usize),
    Persist(usize),
}

fn changes(count: usize) -> impl Strategy<Value = Vec<Change>> {
    let size = prop_oneof![
        4 => 0..2_000usize,
        2 => 14_000..18_000usize,
        1 => 100_000..600_000usize,
    ];
    let change = prop_oneof![
        5 => (0..12usize, size).prop_map(|(key, size)| Change::Put(key, size)),
        3 => (0..12usize).prop_map(Change::Remove),
        1 => (0..12usize).prop_map(Change::Expire),
        1 => (0..12usize).prop_map(Change::Persist),
    ];
    proptest::collection::vec(change, 0..count)
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Lets the step compact for a moment. It asks for more room than there can be.
fn compact(world: &World) -> Result {
    let until = std::time::Instant::now() + Duration::from_millis(50);
    world.store.work_in_step(&world.index, POOL_BYTES, until)?;
    Ok(())
}

fn apply(world: &World, model: &mut Model, salt: usize, changes: &[Change]) -> Result {
    for (n, change) in changes.iter().enumerate() {
        match *change {
            Change::Put(at, size) => {
                let value = bytes(n + salt, size);
                world.put(&key(at), &value)?;
                model.insert(key(at), value);
            }
            Change::Remove(at) => {
                world.remove(&key(at))?;
                model.remove(&key(at));
            }
            Change::Expire(at) => world.expire(&key(at), Some(FAR))?,
            Change::Persist(at) => world.expire(&key(at), None)?,
        }
    }
    Ok(())
}

/// One round: changes before the step; whether a commit follows them; the changes of the step; whether a commit follows
/// it, or else a crash; whether the step compacts, and the compaction moves everything after it.
type Round = (Vec<Change>, bool, Vec<Change>, bool, bool);

fn play(rounds: &[Round]) -> Result {
    let folder = folder()?;
    let mut world = World::open(folder.path())?;
    let mut model = Model::new();
    for (n, (single, is_committed, step, survives, compacts)) in rounds.iter().enumerate() {
        let mut states = vec![model.clone()];
        for (m, change) in single.iter().enumerate() {
            let salt = n * 1_000 + m;
            apply(&world, &mut model, salt, std::slice::from_ref(change))?;
            states.push(model.clone());
        }
        if *is_committed {
            world.commit()?;
        }
        world.atomically(|| {
            // Now and then the step compacts between its changes, as if it had run out of room.
            for (m, changes) in step.chunks(7).enumerate() {
                apply(&world, &mut model, n * 1_000 + 500 + 7 * m, changes)?;
                if *compacts && m % 2 == 0 {
                    compact(&world)?;
                }
            }
            Ok(())
        })?;
        assert!(world.all()? == model, "after the step");
        if *survives {
            world.commit()?;
            assert!(world.all()? == model, "after the commit");
            if *compacts {
                world.work()?;
                for segment in 0..world.store.space.segments().count() {
                    let space = &world.store.space;
                    // A free segment must not be freed again.
                    if space.serial(segment) != 0 && space.sealed_bound(segment) != 0 {
                        world.store.move_all(&world.index, segment)?;
                        world.store.commit_all()?;
                        world.store.give_back_for_test(segment)?;
                    }
                }
                assert!(world.all()? == model, "after the compaction");
            }
            let live = world.figures().live_bytes;
            world = world.reopen(folder.path())?;
            assert!(world.all()? == model, "after the restart");
            assert_eq!(world.figures().live_bytes, live);
        } else {
            world = world.reopen(folder.path())?;
            model = world.all()?;
            // Large values may have committed some of the records that were staged before the step, and the step's
            // compaction has committed all of them.
            let possible = if *is_committed || (*compacts && !step.is_empty()) {
                &states[states.len() - 1..]
            } else {
                &states[..]
            };
            assert!(possible.contains(&model), "after the crash");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn steps_end_as_a_map_says(
        rounds in proptest::collection::vec(
            (changes(20), any::<bool>(), changes(60), prop::bool::weighted(0.7), any::<bool>()),
            1..4,
        )
    ) {
        play(&rounds).map_err(|error| TestCaseError::fail(error.to_string()))?;
    }
}

#[test]
fn a_step_with_holes_that_is_cut_short_is_undone() -> Result {
    for steps in 0..5 {
        let folder = folder()?;
        let world = World::open(folder.path())?;
        let mut model = Model::new();
        let first: Vec<Change> = (0..12).map(|n| Change::Put(n, 20_000 * n)).collect();
        apply(&world, &mut model, 0, &first)?;
        world.commit()?;
        let before = model.clone();
        let changes: Vec<Change> = (0..80)
            .map(|n| match n % 5 {
                4 => Change::Remove(n % 12),
                _ => Change::Put(n % 12, 5_000 * (n % 30)),
            })
            .collect();
        world.atomically(|| apply(&world, &mut model, 100, &changes))?;
        world.store.space.segments().appends_left.set(Some(steps));
        assert!(world.commit().is_err(), "{steps}");
        world.store.space.segments().appends_left.set(None);
        let world = world.reopen(folder.path())?;
        assert!(world.all()? == before, "{steps}");
    }
    Ok(())
}

#[test]
fn a_step_wins_room_and_loses_nothing_that_a_crash_brings_back() -> Result {
    for survives in [false, true] {
        let folder = folder()?;
        let world = World::open(folder.path())?;
        let mut model = Model::new();
        let mut put = |n: usize, salt: usize, size: usize| -> Result {
            world.put(&key(n), &bytes(salt, size))?;
            model.insert(key(n), bytes(salt, size));
            world.commit()?;
            Ok(())
        };
        // Every segment holds live records, superseded ones and tombstones.
        put(5_000, 1, 700_000)?;
        let mut n = 0;
        while world.store.space.available() > 9 {
            put(n % 3_000, n, 1_000)?;
            n += 1;
        }
        for n in (0..3_000).step_by(3) {
            world.remove(&key(n))?;
            model.remove(&key(n));
        }
        world.commit()?;
        let before = model.clone();
        let (mut refused, mut won) = (0, 0);
        world.atomically(|| {
            for n in 0..3_000 {
                // Removes keys and stores them again, gives large values a deadline, removes others.
                match n % 5 {
                    0 => {
                        world.remove(&key(n))?;
                        model.remove(&key(n));
                        continue;
                    }
                    1 => world.expire(&key(5_000), Some(FAR))?,
                    _ => {}
                }
                let value = bytes(n + 7, 4_000);
                if world.put(&key(n), &value).is_err() {
                    refused += 1;
                    let until = std::time::Instant::now() + Duration::from_secs(5);
                    if world.store.work_in_step(&world.index, 1 << 20, until)? {
                        won += 1;
                    }
                    if world.put(&key(n), &value).is_err() {
                        break;
                    }
                }
                model.insert(key(n), value);
            }
            Ok(())
        })?;
        assert!(refused > 0 && won > 0, "{refused} refused, {won} won");
        assert!(world.all()? == model);
        if survives {
            world.commit()?;
        } else {
            model = before;
        }
        let world = world.reopen(folder.path())?;
        assert!(world.all()? == model, "survives: {survives}");
    }
    Ok(())
}
