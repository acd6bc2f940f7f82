//! Values of all sizes, across restarts.

use super::*;

const MIB: usize = 1 << 20;

#[test]
fn a_commit_has_something_to_do_after_a_write_alone() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    world.store.commit()?;
    assert!(!world.store.has_uncommitted());
    world.put(b"key", b"value")?;
    assert!(world.store.has_uncommitted());
    assert!(world.store.commit()?);
    assert!(!world.store.has_uncommitted());
    world.value(b"key")?;
    assert!(!world.store.commit()? && !world.store.has_uncommitted());
    Ok(())
}

#[test]
fn values_of_any_size_survive_restarts() -> Result {
    let folder = folder()?;
    let mut world = World::open(folder.path())?;
    let longest = world.store.record_bytes_max;
    let capacity = world.store.space.capacity();
    let sizes = [
        0,
        1,
        7,
        8,
        1_000,
        longest - 40,
        longest,
        longest + 1,
        capacity,
        3 * capacity + 5,
        8 * MIB,
    ];
    for (number, &size) in sizes.iter().enumerate() {
        world.put_until(b"k", &bytes(number, size), Some(FAR))?;
        let expected = Some((bytes(number, size), Some(FAR)));
        assert!(world.get(b"k")? == expected, "{size}, staged");
        world.commit()?;
        assert!(world.get(b"k")? == expected, "{size}, committed");
        world.expire(b"k", Some(FAR + 1))?;
        world.commit()?;
        world = world.reopen(folder.path())?;
        let expected = Some((bytes(number, size), Some(FAR + 1)));
        assert!(world.get(b"k")? == expected, "{size}, reopened");
        world.expire(b"k", None)?;
        world.commit_and_help()?;
        assert_eq!(world.get(b"k")?.and_then(|(_, deadline)| deadline), None);
    }
    world.remove(b"k")?;
    world.commit()?;
    world = world.reopen(folder.path())?;
    assert!(world.get(b"k")?.is_none());
    assert_eq!(world.figures().live_bytes, 0);
    Ok(())
}

#[test]
fn keys_of_any_size_survive_restarts() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let longest = world.store.key_bytes_max();
    let lengths = [0, 1, 16, 17, 1_000, longest];
    for (number, &length) in lengths.iter().enumerate() {
        world.put(&vec![b'k'; length], &bytes(number, 10 * number))?;
    }
    let large = vec![b'l'; longest];
    world.put(&large, &bytes(9, 200_000))?;
    world.commit()?;
    let too_long = world.put(&vec![b'k'; longest + 1], b"v");
    assert!(
        matches!(too_long, Err(StoreError::TooLarge)),
        "{too_long:?}"
    );
    let world = world.reopen(folder.path())?;
    for (number, &length) in lengths.iter().enumerate() {
        let value = world.value(&vec![b'k'; length])?;
        assert_eq!(value, Some(bytes(number, 10 * number)), "{length}");
    }
    assert!(world.value(&large)? == Some(bytes(9, 200_000)));
    Ok(())
}

#[test]
fn a_value_larger_than_the_pool_changes_nothing() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    world.put(b"k", b"old")?;
    world.commit()?;
    let before = world.accounts();
    let refused = world.put(b"k", &vec![7; 40 * MIB]);
    assert!(
        matches!(refused, Err(StoreError::OutOfMemory)),
        "{refused:?}"
    );
    // The value has more parts than a list can name.
    let refused = world.store.put_parts(0, b"k", &vec![7; 300 * MIB]);
    assert!(matches!(refused, Err(StoreError::TooLarge)), "{refused:?}");
    assert_eq!(world.accounts(), before);
    assert_eq!(world.value(b"k")?, Some(b"old".to_vec()));
    Ok(())
}

#[test]
fn what_was_not_committed_is_gone_and_what_was_is_there() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    world.put(b"a", b"one")?;
    world.put(b"b", b"one")?;
    assert!(world.commit()?);
    assert!(!world.commit()?);
    world.put(b"a", b"two")?;
    world.remove(b"b")?;
    world.put(b"c", &bytes(1, 100_000))?;
    let world = world.reopen(folder.path())?;
    assert_eq!(world.value(b"a")?, Some(b"one".to_vec()));
    assert_eq!(world.value(b"b")?, Some(b"one".to_vec()));
    assert_eq!(world.value(b"c")?, None);
    world.put(b"d", b"staged")?;
    world.store.close()?;
    let world = world.reopen(folder.path())?;
    assert_eq!(world.value(b"d")?, Some(b"staged".to_vec()));
    Ok(())
}

#[test]
fn batches_may_be_longer_than_segments() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    world.put(b"before", &bytes(1, 10_000))?;
    let capacity = world.store.space.capacity();
    let changes: Vec<_> = (0..5 * capacity / 1_000)
        .map(|n| (key(n), Some(bytes(n, 1_000))))
        .collect();
    world.batch(&changes)?;
    world.commit()?;
    let changes: Vec<_> = (0..changes.len())
        .map(|n| (key(n), (n % 3 > 0).then(|| bytes(n + 7, 500))))
        .collect();
    world.batch(&changes)?;
    world.commit()?;
    let accounts = world.accounts();
    let world = world.reopen(folder.path())?;
    for (key, value) in &changes {
        assert!(world.value(key)? == *value);
    }
    assert_eq!(world.accounts(), accounts);
    Ok(())
}

#[test]
fn a_batch_with_no_room_changes_nothing() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    world.put(&key(0), b"old")?;
    world.commit()?;
    let before = world.accounts();
    let changes: Vec<_> = (0..30).map(|n| (key(n), Some(bytes(n, MIB)))).collect();
    let refused = world.batch(&changes);
    assert!(
        matches!(refused, Err(StoreError::OutOfMemory)),
        "{refused:?}"
    );
    assert_eq!(world.accounts(), before);
    assert_eq!(world.value(&key(0))?, Some(b"old".to_vec()));
    // Many small values pass the first check and fail only when they need segments.
    while world.store.space.available() > 4 {
        world.store.space.take(true)?;
    }
    let available = world.store.space.available();
    let changes: Vec<_> = (0..1_000)
        .map(|n| (key(n), Some(bytes(n, 1_000))))
        .collect();
    let refused = world.batch(&changes);
    assert!(
        matches!(refused, Err(StoreError::OutOfMemory)),
        "{refused:?}"
    );
    assert_eq!(world.accounts(), before);
    assert_eq!(world.store.space.available(), available);
    world.put(&key(1), b"fits")?;
    assert_eq!(world.value(&key(0))?, Some(b"old".to_vec()));
    Ok(())
}
