//! Crashes at the worst moments lose nothing and bring nothing back.

use super::*;

/// Changes that fill several segments, so that their commit takes several steps.
fn changes(salt: usize) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    (0..800)
        .map(|n| (key(n), (n % 5 > 0).then(|| bytes(n + salt, 1_000))))
        .collect()
}

#[test]
fn a_commit_that_was_cut_short_is_undone() -> Result {
    let mut whole = 0;
    for steps in 0.. {
        let folder = folder()?;
        let world = World::open(folder.path())?;
        for n in 0..800 {
            world.put(&key(n), b"old")?;
        }
        world.commit()?;
        let accounts = world.accounts();
        world.batch(&changes(1))?;
        world.store.space.segments().appends_left.set(Some(steps));
        let committed = world.commit();
        world.store.space.segments().appends_left.set(None);
        if committed.is_ok() {
            whole = steps;
            break;
        }
        // The crash comes when the guard is set and some of the steps are done.
        let world = world.reopen(folder.path())?;
        for n in 0..800 {
            let value = world.value(&key(n))?;
            assert_eq!(value, Some(b"old".to_vec()), "{steps}: {n}");
        }
        assert_eq!(world.accounts(), accounts);
        // New records go to the same place.
        world.batch(&changes(2))?;
        world.commit()?;
        let world = world.reopen(folder.path())?;
        for (key, value) in changes(2) {
            assert!(world.value(&key)? == value, "{steps}");
        }
    }
    assert!(whole > 2, "{whole} steps");
    Ok(())
}

#[test]
fn a_commit_that_is_guarded_still_is_undone_whole() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    world.put(b"kept", b"v")?;
    world.commit()?;
    let end = world.location(b"kept").map(Spot::from).ok_or("not there")?;
    let serial = world.store.space.serial(end.segment);
    let Metadata::Pool(_) = &world.store.metadata else {
        return Err("no pool".into());
    };
    world
        .store
        .metadata
        .set(Which::Front, serial, end.offset + end.length);
    world.put(b"later", b"v")?;
    world.commit()?;
    let world = world.reopen(folder.path())?;
    assert_eq!(world.value(b"kept")?, Some(b"v".to_vec()));
    assert_eq!(world.value(b"later")?, None);
    // The open has undone the commit once. Later records count.
    world.put(b"later", b"again")?;
    world.commit()?;
    let world = world.reopen(folder.path())?;
    assert_eq!(world.value(b"later")?, Some(b"again".to_vec()));
    Ok(())
}

#[test]
fn the_compaction_may_end_anywhere() -> Result {
    let mut ended = false;
    for steps in 0..400 {
        let folder = folder()?;
        let world = World::open(folder.path())?;
        // Fills four segments. Most of their records are superseded later, some by tombstones.
        for n in 0..900 {
            world.put(&key(n), &bytes(n, 1_000))?;
        }
        world.put(b"large", &bytes(5, 300_000))?;
        for n in 0..900 {
            if n % 3 == 0 {
                world.remove(&key(n))?;
            } else if n % 3 == 1 {
                world.put(&key(n), &bytes(n + 1, 10))?;
            }
        }
        world.commit()?;
        world.store.space.segments().appends_left.set(Some(steps));
        let count = world.store.space.segments().count();
        let moved = (0..count).try_for_each(|segment| {
            if world.store.space.sealed_bound(segment) == 0 {
                return Ok(());
            }
            world.store.move_all(&world.index, segment)?;
            world.store.commit_all()?;
            world.store.give_back_for_test(segment)
        });
        let world = world.reopen(folder.path())?;
        for n in 0..900 {
            let expected = match n % 3 {
                0 => None,
                1 => Some(bytes(n + 1, 10)),
                _ => Some(bytes(n, 1_000)),
            };
            assert!(world.value(&key(n))? == expected, "{steps}: {n}");
        }
        assert!(world.value(b"large")? == Some(bytes(5, 300_000)), "{steps}");
        if moved.is_ok() {
            ended = true;
            break;
        }
    }
    assert!(ended);
    Ok(())
}

/// Changes bytes of the pool's file, and says how far the hint of the front log claims to know.
fn spoil(folder: &Path, what: &[u8], hint: Option<u64>) -> Result {
    let path = folder.join("pool");
    let mut pool = std::fs::read(&path)?;
    let places: Vec<usize> = memchr::memmem::find_iter(&pool, what).collect();
    assert!(!places.is_empty());
    for place in places {
        pool[place] ^= 1;
    }
    std::fs::write(&path, pool)?;
    if let Some(hint) = hint {
        pmemkv::Pool::open(&path)?.set_cell(0, hint);
    }
    Ok(())
}

/// One barrier makes a commit's records and its header durable: a loss of power may keep the header alone.
#[test]
fn a_last_commit_whose_records_were_lost_is_undone() -> Result {
    for before in [0, 1, 300] {
        let folder = folder()?;
        let world = World::open(folder.path())?;
        for n in 0..before {
            world.put(&key(n), b"kept")?;
            world.commit()?;
        }
        world.put(b"other", b"lost")?;
        world.put(b"torn", b"a value that is lost")?;
        world.put(b"third", b"lost")?;
        let Metadata::Pool(pool) = &world.store.metadata else {
            return Err("no pool".into());
        };
        let hint = pool.cell(0);
        world.commit()?;
        drop(world);
        spoil(folder.path(), b"a value that is lost", Some(hint))?;
        let mut world = World::open(folder.path())?;
        for _ in 0..2 {
            assert_eq!(world.index.0.lock().len(), before, "{before}");
            for n in 0..before {
                assert_eq!(world.value(&key(n))?, Some(b"kept".to_vec()));
            }
            // What is undone stays undone, also where another commit comes.
            world = world.reopen(folder.path())?;
        }
        world.put(b"torn", b"again")?;
        world.commit()?;
        let world = world.reopen(folder.path())?;
        assert_eq!(world.value(b"torn")?, Some(b"again".to_vec()));
        assert_eq!(world.index.0.lock().len(), before + 1);
    }
    Ok(())
}

#[test]
fn a_damaged_record_of_an_acknowledged_commit_is_refused() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    world.put(b"kept", b"v")?;
    world.commit()?;
    world.put(b"torn", b"a value that is lost")?;
    world.commit()?;
    drop(world);
    spoil(folder.path(), b"a value that is lost", None)?;
    let Err(refused) = World::open(folder.path()) else {
        return Err("opened".into());
    };
    assert!(refused.to_string().contains("--repair yes"), "{refused}");
    Ok(())
}

/// Generations as after SWAPDB 0 1.
fn swapped(world: &World) -> Generations {
    let mut generations = world.store.generations();
    generations.of_database.swap(0, 1);
    generations
}

#[test]
fn generations_do_not_overtake_what_was_staged_before_them() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    world.put(b"before", b"v")?;
    let generations = swapped(&world);
    world.store.set_generations(&generations)?;
    world.put(b"after", b"v")?;
    let world = world.reopen(folder.path())?;
    assert_eq!(world.store.generations(), generations);
    assert_eq!(world.value(b"before")?, Some(b"v".to_vec()));
    assert_eq!(world.value(b"after")?, None);
    Ok(())
}

#[test]
fn generations_stay_where_what_was_staged_before_them_cannot_be_committed() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let before = world.store.generations();
    world.put(b"before", b"v")?;
    world.store.space.segments().appends_left.set(Some(0));
    assert!(world.store.set_generations(&swapped(&world)).is_err());
    assert_eq!(world.store.generations(), before);
    world.store.space.segments().appends_left.set(None);
    world.commit()?;
    let world = world.reopen(folder.path())?;
    assert_eq!(world.store.generations(), before);
    assert_eq!(world.value(b"before")?, Some(b"v".to_vec()));
    Ok(())
}
