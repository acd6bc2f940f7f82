//! What has expired stays gone where the clock was set back before the restart: all deadlines here lie far ahead of it.

use super::*;
use crate::model::now_ms;

const HOUR: Millis = 3_600_000;

/// Removes a key by its deadline, as the keyspace does.
fn forget(world: &World, key: &[u8], now: Millis) -> Result {
    let location = world.location(key).ok_or("no such key")?;
    world.store.saw_expired(now);
    world
        .store
        .forget(world.record(key), location, Gone::Expired)?;
    world.index.0.lock().remove(&world.name(key));
    Ok(())
}

fn values(world: &World, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
    keys.iter().map(|key| world.value(key)).collect()
}

#[test]
fn what_was_seen_to_expire_stays_gone() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let deadline = now_ms() + HOUR;
    for (key, size) in [(&b"removed"[..], 10), (b"seen", 10), (b"large", 300_000)] {
        // The older version has no deadline: nothing but the newer one hides it.
        world.put(key, &bytes(1, size))?;
        world.commit()?;
        world.put_until(key, &bytes(2, size), Some(deadline))?;
    }
    world.put_until(b"later", b"v", Some(deadline + 1))?;
    world.commit()?;
    forget(&world, b"removed", deadline)?;
    // The others were found to be past their deadline, and nobody removed them yet.
    world.commit()?;
    world.put_until(b"after", b"v", Some(deadline))?;
    world.commit()?;
    let mut world = world;
    let keys = [&b"removed"[..], b"seen", b"large", b"later", b"after"];
    let kept = Some(b"v".to_vec());
    let expected = [None, None, None, kept.clone(), kept.clone()];
    for _ in 0..2 {
        world = world.reopen(folder.path())?;
        assert_eq!(values(&world, &keys)?, expected);
        world.put(b"more", &bytes(3, 100_000))?;
        world.commit()?;
    }
    // The clock goes on from where it was set back to.
    forget(&world, b"after", deadline)?;
    world.commit()?;
    let world = world.reopen(folder.path())?;
    assert_eq!(values(&world, &keys)?, [None, None, None, kept, None]);
    Ok(())
}

#[test]
fn a_mark_that_was_not_committed_does_not_count() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let deadline = now_ms() + HOUR;
    world.put_until(b"k", b"v", Some(deadline))?;
    world.commit()?;
    world.store.saw_expired(deadline);
    let world = world.reopen(folder.path())?;
    assert_eq!(world.value(b"k")?, Some(b"v".to_vec()));
    world.store.saw_expired(deadline);
    world.store.close()?;
    let world = world.reopen(folder.path())?;
    assert_eq!(world.value(b"k")?, None);
    Ok(())
}

#[test]
fn new_records_have_higher_numbers_than_every_mark() -> Result {
    let folder = folder()?;
    let mut world = World::open(folder.path())?;
    let deadline = now_ms() + HOUR;
    for n in 0..100 {
        world.put_until(&key(n), b"v", Some(deadline))?;
    }
    world.store.saw_expired(deadline);
    // The records with the highest numbers are not there after the restart, but the mark is.
    world.store.expired.store(&world.store.metadata);
    world = world.reopen(folder.path())?;
    world.put_until(b"new", b"v", Some(deadline))?;
    world.commit()?;
    world = world.reopen(folder.path())?;
    assert_eq!(world.value(b"new")?, Some(b"v".to_vec()));
    Ok(())
}

/// The record that expired hides an older one; when its segment is compacted, a tombstone has to.
#[test]
fn the_compaction_does_not_bring_an_older_value_back() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let deadline = now_ms() + HOUR;
    let capacity = world.store.space.capacity();
    world.put(b"k", b"old")?;
    // A segment that stays, with the old record in it.
    for n in 0..capacity / 1_000 {
        world.put(&key(n), &bytes(n, 1_000))?;
    }
    world.commit()?;
    world.put_until(b"k", b"new", Some(deadline))?;
    for n in 1_000..1_000 + 3 * capacity / 1_000 {
        world.put(&key(n), &bytes(n, 1_000))?;
    }
    world.commit()?;
    let from = world.location(b"k").map(Spot::from).ok_or("not there")?;
    // Seen, moved by the compaction, and removed only then.
    world.store.saw_expired(deadline);
    world.store.move_all(&world.index, from.segment)?;
    world.store.give_back_for_test(from.segment)?;
    world.commit()?;
    let mut world = world.reopen(folder.path())?;
    assert_eq!(world.value(b"k")?, None);
    world.put_until(b"k", b"newer", Some(deadline))?;
    for n in 5_000..5_000 + 2 * capacity / 1_000 {
        world.put(&key(n), &bytes(n, 1_000))?;
    }
    world.commit()?;
    let from = world.location(b"k").map(Spot::from).ok_or("not there")?;
    forget(&world, b"k", deadline)?;
    world.store.move_all(&world.index, from.segment)?;
    world.store.give_back_for_test(from.segment)?;
    world.commit()?;
    world = world.reopen(folder.path())?;
    assert_eq!(world.value(b"k")?, None);
    Ok(())
}

#[test]
fn a_damaged_note_is_refused_and_the_repair_passes_over_it() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let deadline = now_ms() + HOUR;
    world.put_until(b"k", b"v", Some(deadline))?;
    world.store.saw_expired(deadline);
    world.commit()?;
    let Metadata::Pool(pool) = &world.store.metadata else {
        return Err("no pool".into());
    };
    pool.set_word(58, pool.word(58) ^ 1);
    drop(world);
    let refused = World::open(folder.path())
        .map(drop)
        .map_err(|error| error.to_string());
    assert!(refused.is_err_and(|why| why.contains("what has expired")));
    let world = World::open_generation(folder.path(), 0, true)?;
    assert_eq!(world.value(b"k")?, Some(b"v".to_vec()));
    world.store.saw_expired(deadline);
    world.commit()?;
    let world = world.reopen(folder.path())?;
    assert_eq!(world.value(b"k")?, None);
    Ok(())
}
