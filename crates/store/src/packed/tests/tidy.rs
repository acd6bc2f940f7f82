//! What an idle store does with segments that are mostly garbage.

use super::*;

fn rest(world: &World) -> usize {
    let mut steps = 0;
    while world.store.work_when_idle(&world.index) {
        steps += 1;
        assert!(steps < 10_000, "it does not end");
    }
    steps
}

fn used(world: &World) -> u32 {
    world.figures().segments - world.figures().segments_free
}

#[test]
fn a_quiet_store_empties_segments_that_are_mostly_garbage_and_loses_nothing() -> Result {
    const KEYS: usize = 2_000;
    let folder = folder()?;
    let world = World::open(folder.path())?;
    // Of three writes two are soon garbage.
    for n in 0..KEYS {
        world.put(&key(n), &bytes(n, 1_000))?;
        world.put(b"often", &bytes(n, 1_000))?;
        world.put(b"too", &bytes(n, 1_000))?;
        world.commit()?;
    }
    let before = used(&world);
    // Clients have just written.
    rest(&world);
    assert_eq!(used(&world), before);
    std::thread::sleep(std::time::Duration::from_millis(120));
    rest(&world);
    let figures = world.figures();
    let needed = figures.live_bytes / figures.segment_bytes;
    assert!(u64::from(used(&world)) <= needed + 4, "{figures:?}");
    assert!(u64::from(before) > 2 * needed, "{before}: {figures:?}");
    assert_eq!(world.store.upkeep(), Upkeep::Nothing);

    let world = world.reopen(folder.path())?;
    for n in 0..KEYS {
        assert!(world.value(&key(n))? == Some(bytes(n, 1_000)), "{n}");
    }
    assert!(world.value(b"often")? == Some(bytes(KEYS - 1, 1_000)));
    Ok(())
}

#[test]
fn a_quiet_store_leaves_segments_alone_that_are_mostly_in_use() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    for n in 0..4_000 {
        world.put(&key(n), &bytes(n, 1_000))?;
    }
    for n in (0..4_000).step_by(3) {
        world.remove(&key(n))?;
    }
    world.commit()?;
    let moved = world.store.compaction.figures().moved_bytes;
    rest(&world);
    std::thread::sleep(std::time::Duration::from_millis(120));
    rest(&world);
    assert_eq!(world.store.compaction.figures().moved_bytes, moved);
    Ok(())
}
