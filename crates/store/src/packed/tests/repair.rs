//! The store refuses damage and names a way out; the repair keeps whatever is readable.

use std::fs;
use std::io;

use super::*;

/// Changes bytes of the pool's file, from `at` bytes after the start of the first `needle`.
fn change(folder: &Path, needle: &[u8], at: usize, change: impl Fn(u8) -> u8) -> Result {
    let path = folder.join("pool");
    let mut pool = fs::read(&path)?;
    let place = memchr::memmem::find(&pool, needle).ok_or("the bytes are not in the pool")?;
    pool[place + at] = change(pool[place + at]);
    fs::write(&path, pool)?;
    Ok(())
}

fn refusal(folder: &Path) -> Result<String> {
    match World::open(folder) {
        Ok(_) => Err(io::Error::other("opened").into()),
        Err(error) => Ok(error.to_string()),
    }
}

/// Opens with repair, then without, and checks that both find the same keys.
fn repaired(folder: &Path) -> Result<World> {
    let world = World::open_generation(folder, 0, true)?;
    assert!(world.store.damage.segments() > 0);
    let mut kept: Vec<Name> = world.index.0.lock().keys().cloned().collect();
    for (_, key) in &kept {
        assert!(world.get(key)?.is_some());
    }
    let accounts = world.accounts();
    let world = world.reopen(folder)?;
    assert_eq!(world.accounts(), accounts);
    let mut found: Vec<Name> = world.index.0.lock().keys().cloned().collect();
    kept.sort();
    found.sort();
    assert_eq!(found, kept);
    for (_, key) in &found {
        assert!(world.get(key)?.is_some(), "{}", key.escape_ascii());
    }
    Ok(world)
}

fn filled(folder: &Path) -> Result {
    let world = World::open(folder)?;
    for n in 0..1_000 {
        world.put(&key(n), &bytes(n, 500))?;
    }
    world.put(b"large", &bytes(7_777, 600_000))?;
    for n in 0..1_000 {
        world.put(&key(1_000 + n), &bytes(1_000 + n, 500))?;
    }
    world.store.close()?;
    Ok(())
}

#[test]
fn a_changed_byte_is_refused_and_repaired() -> Result {
    let folder = folder()?;
    filled(folder.path())?;
    change(folder.path(), &bytes(77, 500), 250, |byte| byte ^ 0x10)?;
    let refused = refusal(folder.path())?;
    assert!(refused.contains("--repair yes"), "{refused}");
    assert!(refused.contains("checksum"), "{refused}");
    let world = repaired(folder.path())?;
    for n in 0..2_000 {
        let expected = (n != 77).then(|| bytes(n, 500));
        assert!(world.value(&key(n))? == expected, "{n}");
    }
    assert!(world.value(b"large")? == Some(bytes(7_777, 600_000)));
    Ok(())
}

#[test]
fn a_changed_length_is_refused_and_repaired() -> Result {
    let folder = folder()?;
    filled(folder.path())?;
    // Changes the key's length in the first record, the record's length in the second.
    for (needle, at) in [(key(77), 20), (key(1_234), 4)] {
        let mut record = Vec::new();
        let number = if at == 20 { 77 } else { 1_234 };
        record.extend_from_slice(&needle);
        record.extend_from_slice(&bytes(number, 500));
        let path = folder.path().join("pool");
        let mut pool = fs::read(&path)?;
        let place = memchr::memmem::find(&pool, &record).ok_or("not in the pool")?;
        pool[place - record::HEADER_BYTES + at + 3] = 0xff;
        fs::write(&path, pool)?;
    }
    assert!(refusal(folder.path())?.contains("--repair yes"));
    let world = repaired(folder.path())?;
    for n in 0..2_000 {
        let expected = (n != 77 && n != 1_234).then(|| bytes(n, 500));
        assert!(world.value(&key(n))? == expected, "{n}");
    }
    Ok(())
}

#[test]
fn a_large_value_with_a_lost_part_goes_whole() -> Result {
    let folder = folder()?;
    filled(folder.path())?;
    let value = bytes(7_777, 600_000);
    change(folder.path(), &value[..64], 20, |byte| !byte)?;
    assert!(refusal(folder.path())?.contains("--repair yes"));
    let world = repaired(folder.path())?;
    assert!(world.location(b"large").is_none());
    for n in 0..2_000 {
        assert!(world.value(&key(n))? == Some(bytes(n, 500)), "{n}");
    }
    // Its space is free, and the pool takes new records.
    world.put(b"large", &value)?;
    world.commit()?;
    let world = world.reopen(folder.path())?;
    assert!(world.value(b"large")? == Some(value));
    Ok(())
}

#[test]
fn a_segment_with_a_damaged_header_goes_whole() -> Result {
    let folder = folder()?;
    filled(folder.path())?;
    // The first segment's serial number, in both entries.
    for entry in 0..2 {
        change(folder.path(), b"pmkvseg\x03", 8 + 24 * entry, |byte| {
            byte ^ 0x40
        })?;
    }
    let refused = refusal(folder.path())?;
    assert!(refused.contains("--repair yes"), "{refused}");
    let world = repaired(folder.path())?;
    let kept = world.index.0.lock().len();
    assert!((1_000..2_001).contains(&kept), "{kept}");
    Ok(())
}

#[test]
fn another_version_is_refused_also_by_the_repair() -> Result {
    let folder = folder()?;
    filled(folder.path())?;
    let path = folder.path().join("pool");
    let mut pool = fs::read(&path)?;
    let place = memchr::memmem::find(&pool, b"pmkvseg\x03").ok_or("no header")?;
    let end = place + pmemkv::SEGMENT_HEADER_BYTES;
    pool[place + 7] = 4;
    pool[place + 8..end].fill(9);
    fs::write(&path, pool)?;
    for repair in [false, true] {
        let Err(refused) = World::open_generation(folder.path(), 0, repair) else {
            return Err("opened".into());
        };
        assert!(refused.to_string().contains("version 4"), "{refused}");
    }
    Ok(())
}

#[test]
fn a_header_that_claims_too_much_is_refused() -> Result {
    let folder = folder()?;
    filled(folder.path())?;
    let path = folder.path().join("pool");
    let mut pool = fs::read(&path)?;
    let place = memchr::memmem::find(&pool, b"pmkvseg\x03").ok_or("no header")?;
    let header = header::Header {
        version: header::VERSION,
        which: Which::Front,
        serial: 1,
        committed: 1 << 30,
        begun: 0,
    };
    pool[place..place + pmemkv::SEGMENT_HEADER_BYTES].copy_from_slice(&header.encode());
    fs::write(&path, pool)?;
    assert!(refusal(folder.path())?.contains("--repair yes"));
    repaired(folder.path())?;
    Ok(())
}

#[test]
fn what_was_replaced_long_ago_is_no_damage() -> Result {
    let folder = folder()?;
    let mut world = World::open(folder.path())?;
    let mut spots = Vec::new();
    // No database has the generation of the last value.
    for (name, generation) in [(&b"replaced"[..], 0), (b"removed", 0), (b"flushed", 99)] {
        world.generation = generation;
        world.put(name, &bytes(1, 700_000))?;
        spots.extend(world.location(name).map(Spot::from));
    }
    world.generation = 0;
    let mut segments: Vec<u32> = Vec::new();
    for spot in &spots {
        segments.extend(
            world
                .store
                .parts_of(*spot)?
                .spots
                .iter()
                .map(|part| part.segment),
        );
    }
    segments.retain(|segment| spots.iter().all(|spot| spot.segment != *segment));
    segments.sort_unstable();
    segments.dedup();
    assert!(segments.len() > 1);
    world.put(b"replaced", b"new")?;
    world.remove(b"removed")?;
    world.put(b"stays", b"here")?;
    world.index.0.lock().remove(&(99, b"flushed".to_vec()));
    // Frees the segments of the parts. The records that name them stay.
    world.commit()?;
    for segment in segments {
        world.store.move_all(&world.index, segment)?;
        world.store.give_back_for_test(segment)?;
    }
    world.store.close()?;
    drop(world);
    let world = World::open_generation(folder.path(), 0, true)?;
    let told = (world.store.damage.segments(), world.store.damage.bytes());
    assert_eq!(told, (0, 0));
    assert_eq!(world.value(b"replaced")?, Some(b"new".to_vec()));
    assert_eq!(world.value(b"stays")?, Some(b"here".to_vec()));
    assert!(world.location(b"removed").is_none());
    Ok(())
}

#[test]
fn a_damaged_guard_takes_nothing_back() -> Result {
    let folder = folder()?;
    filled(folder.path())?;
    {
        let world = World::open(folder.path())?;
        let Metadata::Pool(pool) = &world.store.metadata else {
            return Err("no pool".into());
        };
        // With the right checksum, these words would be a guard before the second segment.
        pool.set_words(WORD_GUARDS, &[2, 64]);
    }
    let refused = refusal(folder.path())?;
    assert!(refused.contains("--repair yes"), "{refused}");
    let world = repaired(folder.path())?;
    for n in 0..2_000 {
        assert!(world.value(&key(n))? == Some(bytes(n, 500)), "{n}");
    }
    Ok(())
}
