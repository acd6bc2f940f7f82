//! A patch of a large value changes only the parts that it must, and loses or mixes nothing.

use std::fs;

use super::partial::put_in_older_parts;
use super::*;
use crate::change::changed;

/// A stored value, and what it must read as.
struct Patched {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Patched {
    fn put(world: &World, key: &[u8], number: usize, length: usize) -> Result<Self> {
        let value = bytes(number, length);
        world.put_until(key, &value, Some(FAR))?;
        Ok(Self {
            key: key.to_vec(),
            value,
        })
    }

    fn patch(&mut self, world: &World, changes: &[(usize, &[u8])]) -> Result {
        world.patch(&self.key, changes)?;
        let changes: Vec<Change<'_>> = changes
            .iter()
            .map(|&(offset, bytes)| Change {
                offset,
                bytes: bytes.into(),
            })
            .collect();
        self.value = changed(&self.value, &changes);
        self.check(world)
    }

    fn check(&self, world: &World) -> Result {
        let found = world.get(&self.key)?.ok_or("not there")?;
        assert!(found.0 == self.value, "{} bytes", self.value.len());
        assert_eq!(found.1, Some(FAR));
        Ok(())
    }
}

fn spots(world: &World, key: &[u8]) -> Result<Vec<Spot>> {
    let spot = world.location(key).map(Spot::from).ok_or("not there")?;
    Ok(world.store.parts_of(spot)?.spots)
}

#[test]
fn every_boundary_may_change() -> Result {
    let folder = folder()?;
    let mut world = World::open(folder.path())?;
    let long_key = vec![b'k'; world.store.key_bytes_max()];
    for (number, key) in [&b"k"[..], &[b'l'; 9_000], &long_key]
        .into_iter()
        .enumerate()
    {
        let part = world.store.part_bytes(key);
        let mut value = Patched::put(&world, key, number, 5 * part + 17)?;
        for place in [0, part, 2 * part, 5 * part, 5 * part + 17] {
            for (before, length) in [(0, 1), (1, 1), (1, 2), (7, 30), (0, part), (3, 2 * part)] {
                let patch = bytes(place + length, length);
                value.patch(&world, &[(place.saturating_sub(before), &patch)])?;
            }
            world.commit()?;
            value.check(&world)?;
        }
        // Patches after the end, up to the end of a part, over several parts, and without any bytes.
        let end = value.value.len();
        let full = end.next_multiple_of(part);
        value.patch(&world, &[(end, b"tail")])?;
        value.patch(&world, &[(full - 3, b"end")])?;
        assert_eq!(value.value.len(), full);
        value.patch(&world, &[(full, b"x")])?;
        value.patch(&world, &[(full + 3 * part - 1, b"y")])?;
        value.patch(&world, &[(full + 4 * part, b"")])?;
        value.patch(&world, &[(2, b"")])?;
        value.patch(&world, &[])?;
        // Several changes in one patch: later ones overwrite earlier ones.
        value.patch(
            &world,
            &[
                (part - 2, b"abcd"),
                (9, b"e"),
                (part - 1, b"XY"),
                (8 * part, b"z"),
            ],
        )?;
        world.store.commit_all()?;
        let accounts = world.accounts();
        world = world.reopen(folder.path())?;
        assert_eq!(world.accounts(), accounts);
        value.check(&world)?;
    }
    Ok(())
}

#[test]
fn what_does_not_change_stays_where_it_is() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let empty = world.figures().live_bytes;
    let part = world.store.part_bytes(b"k");
    let mut value = Patched::put(&world, b"k", 1, 10 * part)?;
    let before = spots(&world, b"k")?;
    let live = world.figures().live_bytes;
    value.patch(&world, &[(3 * part + 5, b"changed")])?;
    value.patch(&world, &[(3 * part - 1, b"ab")])?;
    let after = spots(&world, b"k")?;
    let moved: Vec<usize> = (0..10).filter(|&i| before[i] != after[i]).collect();
    assert_eq!(moved, [2, 3]);
    assert_eq!(world.figures().live_bytes, live);
    world.remove(b"k")?;
    assert_eq!(world.figures().live_bytes, empty);
    Ok(())
}

#[test]
fn a_patch_counts_from_its_commit_on() -> Result {
    let mut whole = 0;
    for steps in 0.. {
        let folder = folder()?;
        let world = World::open(folder.path())?;
        let part = world.store.part_bytes(b"k");
        let mut value = Patched::put(&world, b"k", 1, 20 * part)?;
        world.commit()?;
        let old = value.value.clone();
        let accounts = world.accounts();
        let patch = bytes(2, 15 * part);
        value.patch(&world, &[(part / 2, &patch)])?;
        value.patch(&world, &[(20 * part, b"tail")])?;
        world.store.space.segments().appends_left.set(Some(steps));
        let committed = world.commit();
        world.store.space.segments().appends_left.set(None);
        let world = world.reopen(folder.path())?;
        if committed.is_ok() {
            value.check(&world)?;
            whole = steps;
            break;
        }
        value.value = old;
        value.check(&world)?;
        assert_eq!(world.accounts(), accounts, "{steps}");
        // The old value can be patched as if nothing had happened.
        value.patch(&world, &[(3 * part, b"again")])?;
        world.commit()?;
        value.check(&world.reopen(folder.path())?)?;
    }
    assert!(whole > 1, "{whole} steps");
    Ok(())
}

#[test]
fn patched_values_move() -> Result {
    const VALUES: usize = 6;
    let folder = folder()?;
    let mut world = World::open(folder.path())?;
    let mut values = Vec::new();
    let mut moved_bytes = 0;
    for n in 0..VALUES {
        values.push(Patched::put(&world, &key(n), n, 500_000)?);
    }
    for round in 0..1_500 {
        let value = &mut values[round % VALUES];
        let offset = round * 7_919 % (value.value.len() - 20);
        value.patch(&world, &[(offset, &bytes(round, 20))])?;
        // These records stay, so that no segment becomes empty without the compaction.
        world.put(format!("stays:{round}").as_bytes(), &bytes(round, 5_000))?;
        if round % 50 == 0 {
            value.patch(&world, &[(value.value.len(), b"a longer tail")])?;
            world.expire(&value.key, Some(FAR))?;
        }
        world.commit_and_help()?;
        if round % 400 == 399 {
            world.store.commit_all()?;
            let accounts = world.accounts();
            moved_bytes += world.store.compaction.figures().moved_bytes;
            world = world.reopen(folder.path())?;
            assert_eq!(world.accounts(), accounts);
        }
        for value in &values {
            assert!(round % 100 > 0 || world.value(&value.key)?.as_ref() == Some(&value.value));
        }
    }
    assert!(moved_bytes > 1 << 20, "{moved_bytes}");
    for value in &values {
        value.check(&world)?;
    }
    Ok(())
}

#[test]
fn a_part_that_the_compaction_has_staged_may_be_named() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let mut value = Patched::put(&world, b"k", 1, 600_000)?;
    world.store.commit_all()?;
    let first = spots(&world, b"k")?[0];
    world.store.move_all(&world.index, first.segment)?;
    value.patch(&world, &[(400_000, b"patch")])?;
    world.commit()?;
    value.check(&world.reopen(folder.path())?)
}

#[test]
fn parts_of_another_length_are_patched_too() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let empty = world.figures().live_bytes;
    for length in [world.store.record_bytes_max + 1, 300_000] {
        let mut expected = bytes(1, length);
        put_in_older_parts(&world, b"k", &expected)?;
        world.patch(b"k", &[(length - 2, b"tail")])?;
        expected.truncate(length - 2);
        expected.extend_from_slice(b"tail");
        assert!(world.value(b"k")? == Some(expected));
        world.remove(b"k")?;
        assert_eq!(world.figures().live_bytes, empty);
    }
    Ok(())
}

#[test]
fn a_small_value_may_become_a_large_one() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let mut value = Patched::put(&world, b"k", 1, 100)?;
    value.patch(&world, &[(50, b"ab")])?;
    let longest = world.store.record_bytes_max;
    value.patch(&world, &[(longest, b"tail")])?;
    assert!(
        world
            .location(b"k")
            .map(Spot::from)
            .is_some_and(|spot| spot.large)
    );
    value.patch(&world, &[(longest + 4, b"tail")])?;
    world.store.commit_all()?;
    let accounts = world.accounts();
    let world = world.reopen(folder.path())?;
    assert_eq!(world.accounts(), accounts);
    value.check(&world)
}

#[test]
fn a_refused_patch_changes_nothing() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let value = Patched::put(&world, b"k", 1, 500_000)?;
    world.commit()?;
    let mut filled = 0;
    while world.put(&key(filled), &bytes(filled, 200_000)).is_ok() {
        world.commit_and_help()?;
        filled += 1;
    }
    let live = world.figures().live_bytes;
    let refused = world.patch(b"k", &[(3_000_000, b"x")]);
    assert!(
        matches!(refused, Err(StoreError::OutOfMemory)),
        "{refused:?}"
    );
    let list_max = world.store.parts_max() * world.store.part_bytes(b"k");
    let refused = world.patch(b"k", &[(list_max, b"x")]);
    assert!(matches!(refused, Err(StoreError::TooLarge)), "{refused:?}");
    assert_eq!(world.figures().live_bytes, live);
    value.check(&world)?;
    // A patch that does not make the value longer works in a full pool too.
    world.work()?;
    let mut value = value;
    value.patch(&world, &[(250_000, b"changed")])?;
    world.commit_and_help()?;
    value.check(&world.reopen(folder.path())?)
}

/// The repair takes an older record of a value only with the parts that it was written for.
#[test]
fn the_repair_mixes_no_two_versions() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let part = world.store.part_bytes(b"k");
    let per_segment = world.store.space.capacity() / world.store.record_bytes_max;
    let fill = |first: usize, count: usize| -> Result {
        for n in first..first + count {
            // The record is as long as a part.
            world.put(&[b'k', u8::try_from(n)?], &bytes(n, part - 1))?;
        }
        Ok(())
    };
    // The last part is the first record of a segment, and the value's last record lies in a later segment.
    let mut value = Patched::put(&world, b"k", 1, (per_segment + 1) * part)?;
    fill(0, per_segment - 1)?;
    value.patch(&world, &[])?;
    world.store.commit_all()?;
    let old = spots(&world, b"k")?;
    let victim = old[per_segment].segment;
    let head = world.location(b"k").map(Spot::from).ok_or("not there")?;
    assert!(old[per_segment].offset == 0 && head.segment != victim);
    let first = world.store.with_record(head, |record| {
        let mut first = Vec::new();
        record.encode(&mut first);
        first
    })?;
    // The compaction moves the part away, and a later part takes its place.
    world.store.move_all(&world.index, victim)?;
    world.store.give_back_for_test(victim)?;
    fill(100, per_segment - 2)?;
    let before = value.value.clone();
    value.patch(&world, &[(per_segment * part, b"later")])?;
    assert_eq!(spots(&world, b"k")?[per_segment], old[per_segment]);
    world.store.close()?;
    drop(world);
    // Damages all of the value's records but the first. All of them have the same key and begin with the same length.
    let path = folder.path().join("pool");
    let mut pool = fs::read(&path)?;
    let sequence = &first[8..16];
    let mut name = vec![b'k'];
    name.extend_from_slice(&(before.len() as u64).to_le_bytes());
    let at = first
        .windows(9)
        .position(|bytes| bytes == name)
        .ok_or("no name")?;
    let places: Vec<usize> = memchr::memmem::find_iter(&pool, &name).collect();
    let (kept, damaged): (Vec<usize>, Vec<usize>) = places
        .into_iter()
        .partition(|&place| pool[place - at..][8..16] == *sequence);
    assert_eq!((kept.len(), damaged.len() > 1), (1, true));
    for place in damaged {
        pool[place] ^= 0x40;
    }
    fs::write(&path, pool)?;
    let world = World::open_generation(folder.path(), 0, true)?;
    let found = world.value(b"k")?;
    assert!(found.is_none() || found == Some(before), "a mixture");
    Ok(())
}
