//! An engine that fails: staged records stay staged, and a later commit writes each of them once.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

#[test]
fn a_failed_commit_is_made_up_for() -> Result {
    for steps in 0..5 {
        let folder = folder()?;
        let world = World::open(folder.path())?;
        for n in 0..700 {
            world.put(&key(n), &bytes(n, 1_000))?;
        }
        let hook = &world.store.space.segments().appends_left;
        hook.set(Some(steps));
        let failed = world.commit();
        assert!(steps > 2 || failed.is_err(), "{steps}");
        hook.set(Some(0));
        // Meanwhile other writes stage, replace and remove records, and reads see them.
        for n in 700..800 {
            world.put(&key(n), &bytes(n, 1_000))?;
        }
        world.remove(&key(0))?;
        world.put(&key(1), b"new")?;
        assert!(world.commit().is_err(), "{steps}");
        let value = |n| (n > 1).then(|| bytes(n, 1_000));
        for n in 2..800 {
            assert!(world.value(&key(n))? == value(n), "{steps}: {n}");
        }
        hook.set(None);
        world.commit()?;
        assert!(!world.commit()?);
        let mut written = 0;
        for segment in 0..world.store.space.segments().count() {
            written += world.store.space.segments().readable(segment);
        }
        let world = world.reopen(folder.path())?;
        let (mut met, mut found) = (0, 0);
        for part in 0..world.store.parts() {
            found += world.store.space.segments().readable(u32::try_from(part)?);
            world.store.visit_segment(part, &mut |_| met += 1)?;
        }
        assert_eq!((met, found), (802, written), "each record once");
        for n in 2..800 {
            assert!(world.value(&key(n))? == value(n), "{steps}: {n}");
        }
        assert_eq!(world.value(&key(0))?, None);
        assert_eq!(world.value(&key(1))?, Some(b"new".to_vec()));
    }
    Ok(())
}

#[test]
fn a_failed_compaction_is_made_up_for() -> Result {
    const KEYS: usize = 13_000;
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let hook = &world.store.space.segments().appends_left;
    let mut failures = 0;
    let mut last = vec![0; KEYS];
    let mut rng = StdRng::seed_from_u64(1);
    for n in 1..50_000 {
        let at = rng.random_range(0..KEYS);
        world.put(&key(at), &bytes(n, 1_000))?;
        last[at] = n;
        world.commit()?;
        if world.store.upkeep() >= Upkeep::Urgent {
            for steps in 0..3 {
                hook.set(Some(steps));
                let worked = world.store.work(&world.index, Duration::from_millis(1));
                failures += usize::from(worked.is_err());
                hook.set(None);
            }
            world.work()?;
        }
    }
    assert!(failures > 10, "{failures}");
    world.store.commit_all()?;
    let accounts = world.accounts();
    let world = world.reopen(folder.path())?;
    for (at, &n) in last.iter().enumerate() {
        let expected = (n > 0).then(|| bytes(n, 1_000));
        assert!(world.value(&key(at))? == expected, "{at}");
    }
    assert_eq!(world.accounts(), accounts);
    Ok(())
}

#[test]
fn a_large_value_that_cannot_be_committed_on_its_way_leaves_nothing() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    world.put(b"k", b"old")?;
    world.commit()?;
    let accounts = world.accounts();
    let hook = &world.store.space.segments().appends_left;
    hook.set(Some(3));
    assert!(world.put(b"k", &bytes(1, 9 << 20)).is_err());
    assert_eq!(world.accounts(), accounts);
    assert_eq!(world.value(b"k")?, Some(b"old".to_vec()));
    hook.set(None);
    world.put(b"k", &bytes(1, 9 << 20))?;
    world.commit()?;
    let world = world.reopen(folder.path())?;
    assert!(world.value(b"k")? == Some(bytes(1, 9 << 20)));
    Ok(())
}
