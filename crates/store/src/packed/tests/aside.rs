//! Values that repeat others: they go to the compaction's log, and the segments of the others become free.

use super::*;

impl World {
    /// Has one value take the place of those under the keys; it has the first key. Returns whether the store took it.
    fn repeat(&self, keys: &[Vec<u8>], value: &[u8]) -> Result<bool, StoreError> {
        let record = self.record(&keys[0]);
        let Some(location) = self.store.put_aside(record, Kind::String.into(), value)? else {
            return Ok(false);
        };
        for key in keys {
            let old = self.index.0.lock().remove(&self.name(key));
            self.store.release(old.expect("it is there"))?;
        }
        self.index.0.lock().insert(self.name(&keys[0]), location);
        Ok(true)
    }
}

fn group(number: usize) -> Vec<Vec<u8>> {
    (number * 20..(number + 1) * 20).map(key).collect()
}

fn used(world: &World) -> u32 {
    world.figures().segments - world.figures().segments_free
}

#[test]
fn what_was_repeated_leaves_whole_segments_and_a_crash_loses_nothing() -> Result {
    const GROUPS: usize = 1_000;
    let folder = folder()?;
    let world = World::open(folder.path())?;
    for number in 0..GROUPS {
        for key in group(number) {
            world.put(&key, &bytes(number, 400))?;
        }
        // Not committed yet: the store does so first.
        assert!(world.repeat(&group(number), &bytes(number, 1_000))?);
        assert_eq!(world.store.front.pending_bytes(), 0);
        assert_eq!(world.store.compaction.log().pending_bytes(), 0);
        world.work()?;
    }
    let figures = world.figures();
    assert!(
        u64::from(used(&world)) <= figures.live_bytes / figures.segment_bytes + 3,
        "{figures:?}"
    );
    assert_eq!(world.store.compaction.figures().moved_bytes, 0);
    // Nothing else counts as live: a record has the value, 24 bytes and a key.
    assert!(figures.live_bytes <= GROUPS as u64 * 1_040, "{figures:?}");

    let world = world.reopen(folder.path())?;
    for number in 0..GROUPS {
        let first = &group(number)[0];
        assert!(
            world.value(first)? == Some(bytes(number, 1_000)),
            "{number}"
        );
    }
    Ok(())
}

#[test]
fn a_step_or_a_value_in_parts_or_a_store_short_of_room_puts_nothing_aside() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    world.put(&key(0), b"v")?;
    let keys = [key(0)];
    world.store.atomically(&[], &mut || {
        assert!(!world.store.puts_aside());
        assert!(matches!(world.repeat(&keys, b"w"), Ok(false)));
    })?;
    assert!(!world.repeat(&keys, &bytes(1, 100_000))?);
    assert!(world.repeat(&keys, b"w")?);
    let mut filled = 0;
    while world.store.puts_aside() {
        // Overwritten again and again: there is no room, though little counts as live.
        world.put(&key(1 + filled % 50), &bytes(filled, 10_000))?;
        world.commit()?;
        filled += 1;
    }
    assert!(!world.repeat(&keys, b"x")?);
    assert!(world.figures().segments_free + world.store.space.possible() >= 3);
    assert_eq!(world.value(&key(0))?, Some(b"w".to_vec()));
    Ok(())
}

/// Another thread commits, and may wait for a key that the caller holds.
#[test]
fn a_commit_under_way_is_not_waited_for() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    world.put(&key(0), b"v")?;
    std::thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let store = &world.store;
        scope.spawn(move || {
            store.atomically(&[], &mut || {
                let _ = tell.send(());
                let _ = ended.recv_timeout(Duration::from_secs(20));
            })
        });
        told.recv_timeout(Duration::from_secs(20))
            .expect("it begins");
        assert!(matches!(world.repeat(&[key(0)], b"w"), Ok(false)));
        drop(end);
    });
    assert!(world.repeat(&[key(0)], b"w")?);
    Ok(())
}
