//! A reader gets a range of a value without the rest.

use std::ops::{ControlFlow, Range};

use super::*;

fn range(world: &World, key: &[u8], range: Range<usize>) -> Result<Vec<u8>> {
    let location = world.location(key).ok_or("not there")?;
    let mut bytes = Vec::new();
    world
        .store
        .read_range(world.record(key), location, range, &mut |piece| {
            assert!(!piece.is_empty());
            bytes.extend_from_slice(piece);
            ControlFlow::Continue(())
        })?;
    Ok(bytes)
}

fn check_ranges(world: &World, key: &[u8], value: &[u8], part: usize) -> Result {
    let location = world.location(key).ok_or("not there")?;
    let length = world.store.value_bytes(world.record(key), location)?;
    assert_eq!(length, Some(value.len()));
    let middle = value.len() / part / 2 * part;
    let mut places = vec![0, 1, part - 1, part, part + 1, 2 * part, middle];
    places.extend([value.len() - 1, value.len(), value.len() + 1, usize::MAX]);
    for &start in &places {
        for &end in &places {
            let within = start.min(value.len())..end.min(value.len());
            let expected = value.get(within).unwrap_or_default();
            assert!(
                range(world, key, start..end)? == expected,
                "{start}..{end} of {}",
                value.len()
            );
        }
    }
    Ok(())
}

#[test]
fn ranges_are_read_at_every_boundary() -> Result {
    let folder = folder()?;
    let mut world = World::open(folder.path())?;
    let long_key = vec![b'k'; world.store.key_bytes_max() - 1];
    let mut values = Vec::new();
    for (number, key) in [b"k".to_vec(), vec![b'k'; 9_000], long_key]
        .into_iter()
        .enumerate()
    {
        let part = world.store.part_bytes(&key);
        for (more, length) in [3 * part, 3 * part + 1, 4 * part - 1, part + 40, 300]
            .into_iter()
            .enumerate()
        {
            let mut key = key.clone();
            // The key keeps its length.
            key[0] = b'a' + u8::try_from(more)?;
            let expires_at = (more % 2 == 0).then_some(FAR);
            values.push((key, bytes(10 * number + more, length), part, expires_at));
        }
    }
    for (key, value, part, expires_at) in &values {
        world.put_until(key, value, *expires_at)?;
        check_ranges(&world, key, value, *part)?;
    }
    world.commit()?;
    for (key, value, part, _) in &values {
        check_ranges(&world, key, value, *part)?;
    }
    world = world.reopen(folder.path())?;
    for (key, value, part, _) in &values {
        check_ranges(&world, key, value, *part)?;
    }
    Ok(())
}

#[test]
fn a_break_ends_the_reading() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    world.put(b"k", &bytes(1, 200_000))?;
    let location = world.location(b"k").ok_or("not there")?;
    let mut pieces = 0;
    world
        .store
        .read_range(world.record(b"k"), location, 0..usize::MAX, &mut |_| {
            pieces += 1;
            if pieces == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
    assert_eq!(pieces, 3);
    Ok(())
}

/// Stores a value in parts as the first version did: each as long as a record may be.
pub(super) fn put_in_older_parts(world: &World, key: &[u8], value: &[u8]) -> Result {
    let mut parts = Parts {
        value_bytes: value.len() as u64,
        spots: Vec::new(),
    };
    for body in value.chunks(world.store.record_bytes_max) {
        world
            .store
            .put_part(world.generation, key, body, &mut parts)?;
    }
    let body = parts.encode();
    let head = Record {
        sequence: world.store.next_sequence(),
        form: Form::Large(Kind::String.into()),
        generation: world.generation,
        expires_at: None,
        key,
        body: &body,
    };
    let mut batch = Batch::default();
    batch.push(&head, None);
    let space = &world.store.space;
    let mut location = None;
    world
        .store
        .front
        .stage(space, &mut batch.encoded, &batch.lengths, |_, spot| {
            space.claim(spot);
            location = Some(
                Spot {
                    large: true,
                    ..spot
                }
                .location(),
            );
        })?;
    let location = location.ok_or("staged nowhere")?;
    world.index.0.lock().insert(world.name(key), location);
    Ok(())
}

#[test]
fn parts_of_another_length_are_read_too() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    let part = world.store.record_bytes_max;
    for length in [part + 1, 3 * part, 700_000] {
        let value = bytes(1, length);
        put_in_older_parts(&world, b"k", &value)?;
        check_ranges(&world, b"k", &value, part)?;
        check_ranges(&world, b"k", &value, world.store.part_bytes(b"k"))?;
    }
    Ok(())
}
