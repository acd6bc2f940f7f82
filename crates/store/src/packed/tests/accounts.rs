//! The accounts of the segments always equal what a recovery of the same pool counts.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const KEYS: usize = 150;

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<Millis>)>;

fn value(rng: &mut StdRng) -> Vec<u8> {
    let length = match rng.random_range(0..20) {
        0 => rng.random_range(20_000..400_000),
        1..6 => rng.random_range(1_000..16_000),
        _ => rng.random_range(0..300),
    };
    bytes(rng.random_range(0..1 << 40), length)
}

fn step(world: &World, model: &mut Model, rng: &mut StdRng) -> Result {
    let name = key(rng.random_range(0..KEYS));
    match rng.random_range(0..20) {
        0..10 => {
            let value = value(rng);
            let deadline = rng.random_bool(0.3).then_some(FAR + rng.random_range(0..9));
            world.put_until(&name, &value, deadline)?;
            model.insert(name, (value, deadline));
        }
        10..13 => {
            world.remove(&name)?;
            model.remove(&name);
        }
        13 => {
            let Some((old, _)) = model.get_mut(&name) else {
                return Ok(());
            };
            let offset = rng.random_range(0..old.len() + 2_000);
            let patch = bytes(rng.random_range(0..1 << 40), rng.random_range(1..30_000));
            world.patch(&name, &[(offset, &patch)])?;
            patch_model(old, offset, &patch);
        }
        14..16 => {
            let deadline = rng.random_bool(0.5).then_some(FAR + 77);
            world.expire(&name, deadline)?;
            if let Some((_, old)) = model.get_mut(&name) {
                *old = deadline;
            }
        }
        _ => {
            let names: std::collections::BTreeSet<_> =
                (0..5).map(|_| rng.random_range(0..KEYS)).collect();
            let changes: Vec<_> = names
                .into_iter()
                .map(|n| (key(n), rng.random_bool(0.8).then(|| value(rng))))
                .collect();
            world.batch(&changes)?;
            for (name, value) in changes {
                match value {
                    Some(value) => model.insert(name, (value, None)),
                    None => model.remove(&name),
                };
            }
        }
    }
    Ok(())
}

fn patch_model(old: &mut Vec<u8>, offset: usize, patch: &[u8]) {
    let end = offset + patch.len();
    old.resize(old.len().max(end), 0);
    old[offset..end].copy_from_slice(patch);
}

fn check(world: &World, model: &Model) -> Result {
    assert_eq!(world.index.0.lock().len(), model.len());
    for (name, expected) in model {
        let found = world.get(name)?;
        assert!(found.as_ref() == Some(expected), "{}", name.escape_ascii());
    }
    Ok(())
}

#[test]
fn random_operations_leave_exact_accounts() -> Result {
    for seed in 0..3 {
        let folder = folder()?;
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::open(folder.path())?;
        let mut model = Model::new();
        for round in 0..12 {
            for _ in 0..150 {
                step(&world, &mut model, &mut rng)?;
                if rng.random_bool(0.3) {
                    world.commit_and_help()?;
                }
            }
            world.commit_and_help()?;
            if round % 4 == 3 {
                world.generation += 1;
                let flushed = std::mem::take(&mut *world.index.0.lock());
                model.clear();
                for _ in 0..100 {
                    step(&world, &mut model, &mut rng)?;
                    world.commit_and_help()?;
                }
                for ((generation, key), location) in flushed {
                    let record = RecordKey {
                        partition: 0,
                        generation,
                        key: &key,
                    };
                    world.store.forget(record, location, Gone::Flushed)?;
                }
            }
            check(&world, &model)?;
            world.store.commit_all()?;
            let (accounts, masking) = (world.accounts(), world.figures().tombstone_bytes);
            world = world.reopen(folder.path())?;
            let context = format!("seed {seed}, round {round}");
            assert_eq!(world.accounts(), accounts, "{context}");
            assert_eq!(world.figures().tombstone_bytes, masking, "{context}");
            check(&world, &model)?;
        }
        assert!(world.figures().segments_free > 0);
    }
    Ok(())
}

#[test]
fn a_flushed_record_is_not_counted_twice() -> Result {
    let folder = folder()?;
    let mut world = World::open(folder.path())?;
    // All records have one length, so that those of a segment's next life begin at the same offsets.
    for n in 0..1_000 {
        world.put(&key(1_000 + n), &bytes(n, 1_000))?;
    }
    world.commit()?;
    world.generation = 1;
    let flushed = std::mem::take(&mut *world.index.0.lock());
    for round in 0..30 {
        for n in 0..1_000 {
            world.put(&key(1_000 + n), &bytes(n + round, 1_000))?;
        }
        world.commit_and_help()?;
    }
    for ((generation, key), location) in flushed {
        let record = RecordKey {
            partition: 0,
            generation,
            key: &key,
        };
        world.store.forget(record, location, Gone::Flushed)?;
    }
    world.store.commit_all()?;
    let accounts = world.accounts();
    let world = world.reopen(folder.path())?;
    assert_eq!(world.accounts(), accounts);
    Ok(())
}

#[test]
fn a_removal_in_a_flushed_records_place_is_no_record() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    world.put(b"k", b"v")?;
    let Some(put) = world.location(b"k").map(Spot::from) else {
        return Err("not there".into());
    };
    world.remove(b"k")?;
    world.put(b"other", b"v")?;
    world.commit()?;
    let live = world.figures().live_bytes;
    let removal = Spot {
        offset: put.offset + put.length,
        length: record::padded_bytes(1, 8, false),
        ..put
    };
    let name = world.record(b"k");
    world
        .store
        .forget(name, removal.location(), Gone::Flushed)?;
    assert_eq!(world.figures().live_bytes, live);
    Ok(())
}

#[test]
fn a_flushed_value_in_parts_is_counted_out_whole() -> Result {
    let folder = folder()?;
    let mut world = World::open(folder.path())?;
    let empty = world.figures().live_bytes;
    world.put(b"k", &bytes(1, 600_000))?;
    world.store.commit_all()?;
    let head = world.location(b"k").map(Spot::from).ok_or("not there")?;
    // Compacts the segment of the record that names the parts, after the flush and before the keyspace forgets it.
    world.index.1.store(true, Ordering::Relaxed);
    world.generation += 1;
    let flushed = std::mem::take(&mut *world.index.0.lock());
    let step = world.store.move_all(&world.index, head.segment)?;
    assert_eq!(step, compact::Step::NotYet);
    for ((generation, key), location) in flushed {
        let record = RecordKey {
            partition: 0,
            generation,
            key: &key,
        };
        world.store.forget(record, location, Gone::Flushed)?;
    }
    world.index.1.store(false, Ordering::Relaxed);
    assert_eq!(world.figures().live_bytes, empty);
    let step = world.store.move_all(&world.index, head.segment)?;
    assert_eq!(step, compact::Step::End);
    Ok(())
}

#[test]
fn few_and_many_claims_count_the_same() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    for number in 0..600 {
        world.put(&key(number), &bytes(number, 900))?;
    }
    world.put(b"large", &bytes(1, 600_000))?;
    world.store.commit_all()?;
    let locations: Vec<Location> = world.index.0.lock().values().copied().collect();
    let once = world.accounts();
    let twice: Vec<i64> = once.iter().map(|live| 2 * live).collect();
    assert!(once.len() > 2, "the records lie in several segments");
    for at_once in [1, 100, 601] {
        for some in locations.chunks(at_once) {
            world
                .store
                .claim(&mut |claim| some.iter().copied().for_each(claim))?;
        }
        assert_eq!(world.accounts(), twice, "{at_once} at once");
        world.store.release_many(&locations)?;
        assert_eq!(world.accounts(), once);
    }
    // No record lies there: neither where no segment is nor behind what was committed.
    let segments = world.store.space.segments().count();
    let readable = world.store.space.segments().readable(0);
    for (segment, offset) in [(segments, 0), (0, readable - 8)] {
        let missing = Spot {
            segment,
            offset,
            length: 16,
            large: false,
        };
        for others in [0, 600] {
            let mut all: Vec<Location> = locations[..others].to_vec();
            all.push(missing.location());
            let claimed = world
                .store
                .claim(&mut |claim| all.iter().copied().for_each(claim));
            assert!(matches!(claimed, Err(StoreError::Damaged(_))));
            assert_eq!(world.accounts(), once);
        }
    }
    Ok(())
}
