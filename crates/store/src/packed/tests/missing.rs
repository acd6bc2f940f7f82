//! Segments that are missing, or from an earlier time: their own headers cannot tell.

use std::fs;

use pmemkv::SEGMENT_HEADER_BYTES;

use super::*;

/// Several full segments and one that is being filled, as a crash leaves them; then the pool's bytes.
fn filled(folder: &Path) -> Result<Vec<u8>> {
    let world = World::open(folder)?;
    for n in 0..1_500 {
        world.put(&key(n), &bytes(n, 500))?;
        world.commit()?;
    }
    world.store.space.make_spares();
    drop(world);
    Ok(fs::read(folder.join("pool"))?)
}

/// The headers of all segments. In front of the heap are copies of some, in libpmemobj's logs.
fn headers(pool: &[u8]) -> Vec<(usize, header::Header)> {
    const HEAP: usize = 3 << 20;
    memchr::memmem::find_iter(pool, b"pmkvseg\x03")
        .filter(|&at| at > HEAP)
        .filter_map(|at| {
            let bytes = pool[at..].first_chunk::<SEGMENT_HEADER_BYTES>()?;
            Some((at, header::Header::decode(bytes).ok()?.0))
        })
        .collect()
}

/// Refused with these words; repaired with a word about it, and sound from then on.
fn is_refused(folder: &Path, pool: &[u8], what: &str) -> Result {
    fs::write(folder.join("pool"), pool)?;
    let Err(refused) = World::open(folder) else {
        return Err(format!("opened: {what}").into());
    };
    let refused = refused.to_string();
    assert!(refused.contains(what), "{refused}");
    assert!(refused.contains("--repair yes"), "{refused}");
    let repaired = World::open_generation(folder, 0, true)?;
    assert!(repaired.store.damage.segments() > 0);
    let keys = repaired.index.0.lock().len();
    let again = repaired.reopen(folder)?;
    assert_eq!(again.index.0.lock().len(), keys);
    Ok(())
}

#[test]
fn a_header_that_is_zeroed_or_stale_is_refused() -> Result {
    let folder = folder()?;
    let pool = filled(folder.path())?;
    let used: Vec<_> = headers(&pool)
        .into_iter()
        .filter(|(_, header)| header.serial != 0)
        .collect();
    assert!(used.len() > 3, "{used:?}");
    for &(at, header) in &used {
        let mut zeroed = pool.clone();
        zeroed[at..at + SEGMENT_HEADER_BYTES].fill(0);
        is_refused(folder.path(), &zeroed, "zeros")?;

        let with = |header: header::Header| {
            let mut changed = pool.clone();
            changed[at..at + SEGMENT_HEADER_BYTES].copy_from_slice(&header.encode());
            changed
        };
        // The last one is being filled, and only the hint knows how far.
        let is_last = used.iter().all(|(_, other)| other.serial <= header.serial);
        let said = if is_last { "had" } else { "missing" };
        is_refused(folder.path(), &with(header::Header::FREE), said)?;
        let shorter = header::Header {
            committed: 0,
            begun: 0,
            ..header
        };
        let said = if is_last { "had" } else { "earlier time" };
        is_refused(folder.path(), &with(shorter), said)?;
    }
    // An earlier life.
    let (at, free) = headers(&pool)
        .into_iter()
        .find(|(_, header)| header.serial == 0)
        .ok_or("no free segment")?;
    assert_eq!(free, header::Header::FREE);
    let mut back = pool.clone();
    let header = header::Header {
        serial: 1_000,
        ..header::Header::FREE
    };
    back[at..at + SEGMENT_HEADER_BYTES].copy_from_slice(&header.encode());
    is_refused(folder.path(), &back, "1000 is from an earlier time")
}

#[test]
fn a_segment_that_the_engine_has_lost_is_refused() -> Result {
    let folder = folder()?;
    filled(folder.path())?;
    {
        let pool = pmemkv::Pool::open(folder.path().join("pool"))?;
        assert!(pool.open_partition(0)?.remove(&1u32.to_be_bytes())?);
    }
    let pool = fs::read(folder.path().join("pool"))?;
    is_refused(folder.path(), &pool, "segment 1 of")
}

/// The open stores the roll as it is afterwards, then the headers, then takes the guard away.
#[test]
fn an_open_that_undoes_a_commit_may_be_cut_short() -> Result {
    let folder = folder()?;
    let world = World::open(folder.path())?;
    for n in 0..600 {
        world.put(&key(n), b"old")?;
    }
    world.commit()?;
    let changes: Vec<_> = (0..600).map(|n| (key(n), Some(bytes(n, 1_000)))).collect();
    world.batch(&changes)?;
    world.store.space.segments().appends_left.set(Some(2));
    assert!(world.commit().is_err());
    drop(world);
    let path = folder.path().join("pool");
    let before = fs::read(&path)?;
    let guard = pmemkv::Pool::open(&path)?.words(WORD_GUARDS, 2);
    assert_ne!(guard[0], 0);
    drop(World::open(folder.path())?);
    let after = fs::read(&path)?;
    let undone: Vec<_> = headers(&before)
        .into_iter()
        .filter(|(at, header)| after[*at..*at + SEGMENT_HEADER_BYTES] != header.encode())
        .collect();
    assert!(undone.len() > 1, "{undone:?}");
    // The guard is still there, and one of the headers is as the commit left it.
    for (at, header) in undone {
        let mut pool = after.clone();
        pool[at..at + SEGMENT_HEADER_BYTES].copy_from_slice(&header.encode());
        fs::write(&path, pool)?;
        pmemkv::Pool::open(&path)?.set_words(WORD_GUARDS, &guard);
        let world = World::open(folder.path())?;
        for n in 0..600 {
            assert_eq!(world.value(&key(n))?, Some(b"old".to_vec()), "{n}");
        }
    }
    Ok(())
}
