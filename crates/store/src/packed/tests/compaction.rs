//! The compaction frees space and loses nothing.

use std::sync::atomic::AtomicUsize;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

/// Overwrites keys until it has written `bytes_max` bytes, and compacts when the store needs it.
fn churn(world: &World, keys: usize, value_bytes: usize, bytes_max: usize) -> Result {
    for n in 0..bytes_max / value_bytes {
        world.put(&key(n % keys), &bytes(n, value_bytes))?;
        world.commit_and_help()?;
    }
    Ok(())
}

#[test]
fn overwriting_goes_on_for_ever_in_a_pool_that_is_mostly_full() -> Result {
    const KEYS: usize = 14_000;
    let folder = folder()?;
    let world = World::open(folder.path())?;
    // Live records take 70 % of the pool.
    churn(&world, KEYS, 1_000, 60 << 20)?;
    let last = (60 << 20) / 1_000;
    world.store.commit_all()?;
    let accounts = world.accounts();
    let world = world.reopen(folder.path())?;
    for n in last - KEYS..last {
        assert!(world.value(&key(n % KEYS))? == Some(bytes(n, 1_000)), "{n}");
    }
    assert_eq!(world.accounts(), accounts);
    Ok(())
}

#[test]
fn values_in_parts_move_too() -> Result {
    const LARGE: usize = 40;
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let large = |n: usize| format!("large:{n}").into_bytes();
    let mut rng = StdRng::seed_from_u64(1);
    let churn = |rng: &mut StdRng| -> Result {
        for _ in 0..30_000 {
            let n = rng.random_range(0..80 * LARGE);
            world.put(&key(n), &bytes(n, 2_000))?;
            world.commit_and_help()?;
        }
        Ok(())
    };
    // Between the large values lie records that are soon overwritten.
    for n in 0..LARGE {
        world.put_until(&large(n), &bytes(n, 100_000), Some(FAR))?;
        for m in 0..80 {
            world.put(&key(80 * n + m), &bytes(m, 2_000))?;
        }
        world.commit_and_help()?;
    }
    churn(&mut rng)?;
    for n in (0..LARGE).step_by(2) {
        world.put(&large(n), &bytes(n + 1, 120_000))?;
        world.expire(&large(n + 1), None)?;
        world.commit_and_help()?;
    }
    churn(&mut rng)?;
    assert!(world.store.compaction.figures().moved_bytes > 2 << 20);
    world.store.commit_all()?;
    let accounts = world.accounts();
    let world = world.reopen(folder.path())?;
    for n in (0..LARGE).step_by(2) {
        assert!(
            world.value(&large(n))? == Some(bytes(n + 1, 120_000)),
            "{n}"
        );
        assert!(
            world.get(&large(n + 1))? == Some((bytes(n + 1, 100_000), None)),
            "{n}"
        );
    }
    assert_eq!(world.accounts(), accounts);
    Ok(())
}

#[test]
fn a_large_value_that_moved_in_part_survives_a_new_deadline() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let value = bytes(1, 600_000);
    world.put(b"k", &value)?;
    world.store.commit_all()?;
    let first = first_part(&world, b"k")?;
    world.store.move_all(&world.index, first.segment)?;
    // The record that this stores names the part at its new place.
    world.expire(b"k", Some(FAR))?;
    world.commit()?;
    let world = world.reopen(folder.path())?;
    assert!(world.get(b"k")? == Some((value, Some(FAR))));
    Ok(())
}

#[test]
fn moving_a_part_does_not_tear_a_batch() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    world.put(b"k", b"old")?;
    world.put(b"l", b"old")?;
    world.commit()?;
    // Does what a write does whose first parts are committed before its record is staged.
    let value = bytes(1, 600_000);
    let parts = world.store.put_parts(0, b"k", &value)?;
    world.store.commit_all()?;
    let body = parts.encode();
    let head = Record {
        sequence: world.store.next_sequence(),
        form: Form::Large(Kind::String.into()),
        generation: 0,
        expires_at: None,
        key: b"k",
        body: &body,
    };
    let other = Record {
        sequence: world.store.next_sequence(),
        form: Form::Value(Kind::String.into()),
        key: b"l",
        body: b"new",
        ..head
    };
    let mut batch = Batch::default();
    batch.push(&head, None);
    batch.push(&other, None);
    let space = &world.store.space;
    let mut spots = Vec::new();
    world
        .store
        .front
        .stage(space, &mut batch.encoded, &batch.lengths, |_, spot| {
            space.claim(spot);
            spots.push(spot);
        })?;
    for (name, spot, large) in [(b"k", spots[0], true), (b"l", spots[1], false)] {
        let to = Spot { large, ..spot }.location();
        world.index.0.lock().insert((0, name.to_vec()), to);
    }
    let first = parts.spots[0];
    world.store.move_all(&world.index, first.segment)?;
    let compaction = world.store.compaction.log();
    compaction.commit(space, &world.store.metadata)?;
    let world = world.reopen(folder.path())?;
    let (k, l) = (world.value(b"k")?, world.value(b"l")?);
    let old = Some(b"old".to_vec());
    assert_eq!(k == old, l == old, "both are new, or neither is");
    assert!(k == old || k == Some(value));
    Ok(())
}

fn first_part(world: &World, key: &[u8]) -> Result<Spot> {
    let spot = world.location(key).map(Spot::from).ok_or("not there")?;
    Ok(world.store.parts_of(spot)?.spots[0])
}

#[test]
fn removed_keys_stay_removed() -> Result {
    const KEYS: usize = 3_000;
    let folder = folder()?;
    let mut world = World::open(folder.path())?;
    // Records that never change keep the oldest segments in use, and with them old records of other keys.
    for n in 0..KEYS {
        world.put(&key(n), &bytes(n, 1_000))?;
        world.put(format!("stays:{n}").as_bytes(), &bytes(n, 1_000))?;
    }
    world.commit()?;
    for n in 0..KEYS {
        world.put_until(&key(n), b"newer", Some(FAR))?;
    }
    world.commit()?;
    for n in 0..KEYS {
        world.remove(&key(n))?;
    }
    world.commit()?;
    for round in 0..6 {
        for n in 0..6_000 {
            world.put(format!("other:{}", n % 700).as_bytes(), &bytes(n, 1_000))?;
            world.commit_and_help()?;
        }
        world = world.reopen(folder.path())?;
        for n in 0..KEYS {
            assert!(world.location(&key(n)).is_none(), "round {round}: {n}");
        }
        assert_eq!(world.value(b"stays:7")?, Some(bytes(7, 1_000)));
    }
    assert!(world.index.0.lock().len() == KEYS + 700);
    Ok(())
}

#[test]
fn removals_go_when_there_is_nothing_left_to_mask() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let fill = |world: &World| -> Result<usize> {
        let mut count = 0;
        while world.put(&key(count), &bytes(count, 1_000)).is_ok() {
            world.commit_and_help()?;
            count += 1;
        }
        Ok(count)
    };
    let empty = |world: &World, count: usize| -> Result {
        for n in 0..count {
            world.remove(&key(n))?;
            world.commit_and_help()?;
        }
        Ok(())
    };
    let first = fill(&world)?;
    assert!(first > 15_000, "{first}");
    for _ in 0..3 {
        empty(&world, first)?;
        assert_eq!(world.figures().live_bytes, 0);
        world.work()?;
        let again = fill(&world)?;
        assert!(again * 100 >= first * 99, "{again} of {first}");
    }
    empty(&world, first)?;
    // Once the other keys change no more, their tombstones must go.
    for n in 0..12_000 {
        world.put(b"one", &bytes(n, 2_000))?;
        world.commit_and_help()?;
    }
    let masking = world.figures().tombstone_bytes;
    let segment = world.store.space.capacity() as u64;
    assert!(masking <= 2 * segment, "{masking}");
    Ok(())
}

#[test]
fn expired_records_mask_what_is_older_and_go() -> Result {
    const KEYS: usize = 2_000;
    let folder = folder()?;
    let mut world = World::open(folder.path())?;
    for n in 0..KEYS {
        world.put(&key(n), &bytes(n, 1_000))?;
        world.put(format!("stays:{n}").as_bytes(), &bytes(n, 1_000))?;
    }
    world.commit()?;
    for n in 0..KEYS {
        world.put_until(&key(n), &bytes(n, 100), Some(1))?;
    }
    world.commit()?;
    let forget_expired = |world: &World| -> Result {
        let names: Vec<Vec<u8>> = world
            .index
            .0
            .lock()
            .keys()
            .map(|(_, key)| key.clone())
            .collect();
        for name in names {
            if let Some((_, Some(1))) = world.get(&name)? {
                let location = world.index.0.lock().remove(&world.name(&name));
                let record = world.record(&name);
                world
                    .store
                    .forget(record, location.unwrap_or_default(), Gone::Expired)?;
            }
        }
        Ok(())
    };
    forget_expired(&world)?;
    for round in 0..6 {
        for n in 0..6_000 {
            world.put(format!("other:{}", n % 700).as_bytes(), &bytes(n, 1_000))?;
            world.commit_and_help()?;
        }
        world = world.reopen(folder.path())?;
        forget_expired(&world)?;
        for n in 0..KEYS {
            assert!(world.location(&key(n)).is_none(), "round {round}: {n}");
        }
    }
    let live: u64 = (0..KEYS)
        .map(|n| record::padded_bytes(format!("stays:{n}").len(), 1_000, false) as u64)
        .chain(
            (0..700).map(|n| record::padded_bytes(format!("other:{n}").len(), 1_000, false) as u64),
        )
        .sum();
    assert_eq!(world.figures().live_bytes, live);
    Ok(())
}

#[test]
fn a_pool_full_of_large_values_is_not_copied_round_and_round() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let mut count = 0;
    while world.put(&key(count), &bytes(count, 500_000)).is_ok() {
        world.commit_and_help()?;
        count += 1;
    }
    assert!(count >= 30, "{count}");
    world.work()?;
    let before = world.store.compaction.figures().moved_bytes;
    world.work()?;
    let moved = world.store.compaction.figures().moved_bytes - before;
    assert!(moved <= 4 << 20, "{moved}");
    for n in 0..count {
        world.remove(&key(n))?;
    }
    world.commit_and_help()?;
    for n in 0..count {
        world.put(&key(n), &bytes(n, 500_000))?;
        world.commit_and_help()?;
    }
    Ok(())
}

/// Counts how often the store has the index settle.
struct Settling<'a>(&'a Tiny, AtomicUsize);

impl Relocate for Settling<'_> {
    fn relocate(&self, generation: u32, key: &[u8], f: OnCurrent<'_>) -> Result<(), StoreError> {
        self.0.relocate(generation, key, f)
    }

    fn awaits_removal(&self, generation: u32) -> bool {
        self.0.awaits_removal(generation)
    }

    fn settle(&self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn many_empty_segments_are_freed_after_one_mark_of_the_index() -> Result {
    let folder = folder()?;
    let mut world = World::open(folder.path())?;
    for number in 0..2_000 {
        world.put(&key(number), &bytes(number, 9_000))?;
        world.commit()?;
    }
    let full = world.figures();
    let used = full.segments - full.segments_free;
    assert!(used > 64, "{used}");
    world.generation += 1;
    for ((generation, key), location) in std::mem::take(&mut *world.index.0.lock()) {
        let record = RecordKey {
            partition: 0,
            generation,
            key: &key,
        };
        world.store.forget(record, location, Gone::Flushed)?;
    }
    let settling = Settling(&world.index, AtomicUsize::new(0));
    world.store.work(&settling, Duration::from_millis(20))?;
    let empty = world.figures();
    assert_eq!(empty.live_bytes, 0);
    assert!(empty.segments - empty.segments_free <= 1, "{empty:?}");
    let marks = settling.1.load(Ordering::Relaxed);
    assert!((2..=3).contains(&marks), "{marks} for {used} segments");
    assert!(world.reopen(folder.path())?.index.0.lock().is_empty());
    Ok(())
}
