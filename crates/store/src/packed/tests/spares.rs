//! Spare segments of an idle store.

use super::*;

/// Fills the pool with values that stay; how many went in.
fn fill(world: &World) -> Result<usize> {
    for number in 0.. {
        match world.put(&key(number), &bytes(number, 10_000)) {
            Ok(()) => world.commit_and_help()?,
            Err(StoreError::OutOfMemory) => return Ok(number),
            Err(error) => return Err(error.into()),
        }
    }
    unreachable!("a pool has an end");
}

#[test]
fn an_idle_store_makes_a_share_of_the_pool_ready_and_stops() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let wanted = (world.figures().segments_max / 16).max(4);
    let mut steps = 0;
    while world.store.work_when_idle(&world.index) {
        steps += 1;
        assert!(steps < 1_000, "it does not end");
    }
    assert_eq!(world.figures().segments_free, wanted);
    world.put(b"k", b"v")?;
    world.commit()?;
    assert_eq!(world.figures().segments_free, wanted - 1);
    assert!(world.store.work_when_idle(&world.index));
    assert_eq!(world.figures().segments_free, wanted);

    // Another process maps what this one has left, and makes no more of it.
    let world = world.reopen(folder.path())?;
    let made = world.figures().segments;
    for _ in 0..wanted {
        assert!(world.store.work_when_idle(&world.index));
    }
    assert!(!world.store.work_when_idle(&world.index));
    assert_eq!(world.figures().segments, made);
    assert_eq!(world.value(b"k")?.as_deref(), Some(&b"v"[..]));
    Ok(())
}

#[test]
fn spares_take_no_room_from_a_small_pool() -> Result {
    let (busy, idle) = (folder()?, folder()?);
    let busy = World::open(busy.path())?;
    let idle = World::open(idle.path())?;
    while idle.store.work_when_idle(&idle.index) {}
    assert!(idle.figures().segments_free > busy.figures().segments_free);
    assert_eq!(idle.store.space.available(), busy.store.space.available());
    assert_eq!(fill(&idle)?, fill(&busy)?);
    Ok(())
}
