//! Pools of former formats, made here as these wrote them. Of the first: no roll, no second copy of the words, free segments
//! all zeros, records bound to their segment alone. Of the second: headers of one value.

use pmemkv::{Pool, PoolHeader, SEGMENT_HEADER_BYTES};

use super::super::header::{Header, VERSION_WITHOUT_PLACE};
use super::super::record::{Binding, bind};
use super::*;

const FORMER_FORMAT: u32 = 1;
const SEGMENT_BYTES: usize = (256 << 10) - (1 << 10);

/// A segment with records, and its header, as a version wrote them.
fn segment(version: u8, serial: u64, which: Which, records: &[Record<'_>]) -> Vec<u8> {
    let mut bytes = vec![0; SEGMENT_HEADER_BYTES];
    for record in records {
        let start = bytes.len();
        record.encode(&mut bytes);
        let offset = if version == VERSION_WITHOUT_PLACE {
            0
        } else {
            start - SEGMENT_HEADER_BYTES
        };
        bind(&mut bytes[start..], Binding { serial, offset });
    }
    let header = Header {
        version,
        which,
        serial,
        committed: (bytes.len() - SEGMENT_HEADER_BYTES) as u64,
        begun: 0,
    };
    bytes[..SEGMENT_HEADER_BYTES].copy_from_slice(&header.encode());
    bytes.resize(SEGMENT_BYTES, 0);
    bytes
}

fn record<'a>(sequence: u64, key: &'a [u8], body: &'a [u8]) -> Record<'a> {
    Record {
        sequence,
        form: Form::Value(Kind::String.into()),
        generation: 0,
        expires_at: None,
        key,
        body,
    }
}

/// A pool as a server of a former format left it.
fn make(folder: &Path, version: u8) -> Result {
    let is_first = version == VERSION_WITHOUT_PLACE;
    let header = PoolHeader {
        format_version: if is_first {
            FORMER_FORMAT
        } else {
            pmemkv::FORMAT_VERSION
        },
        engine: "cmap".to_owned(),
        layout: LAYOUT.to_owned(),
        partitions: 1,
        hash_seed: 7,
    };
    let pool = Pool::create(folder.join("pool"), POOL_BYTES, &header)?;
    metadata::check(&pool)?;
    metadata::count_open(&pool);
    pool.set_word(WORD_SEGMENT_BYTES, SEGMENT_BYTES as u64);
    let database = pool.open_partition(0)?;
    let (keys, values): (Vec<_>, Vec<_>) = (0..200).map(|n| (key(n), bytes(n, 500))).unzip();
    let first: Vec<Record<'_>> = (0..200)
        .map(|n| record(n as u64 + 1, &keys[n], &values[n]))
        .collect();
    let newer = [record(300, &keys[3], b"newer")];
    let segments = [
        segment(version, 1, Which::Front, &first),
        segment(version, 2, Which::Compaction, &newer),
        if is_first {
            vec![0; SEGMENT_BYTES]
        } else {
            segment(version, 0, Which::Front, &[])
        },
    ];
    let used: Vec<_> = (0u32..2)
        .zip(&segments)
        .filter_map(|(number, bytes)| Some((number, Header::decode(bytes.first_chunk()?).ok()?.0)))
        .collect();
    assert_eq!(used.len(), 2);
    if !is_first {
        roll::Roll::of_copy(&pool, 3, 3, &used);
    }
    for (number, bytes) in (0u32..).zip(segments) {
        database.put(&number.to_be_bytes(), &bytes)?;
    }
    Ok(())
}

fn check(world: &World, replaced: usize) -> Result {
    for n in 0..200 {
        let expected = match n {
            3 => b"newer".to_vec(),
            _ if n < replaced => b"again".to_vec(),
            _ => bytes(n, 500),
        };
        assert!(world.value(&key(n))? == Some(expected), "{n}");
    }
    Ok(())
}

#[test]
fn pools_of_former_formats_are_read_and_upgraded() -> Result {
    for version in [VERSION_WITHOUT_PLACE, VERSION_WITHOUT_PLACE + 1] {
        is_upgraded(version)?;
    }
    Ok(())
}

fn is_upgraded(version: u8) -> Result {
    let folder = folder()?;
    make(folder.path(), version)?;
    let mut world = World::open(folder.path())?;
    let after = Pool::read_header(folder.path().join("pool"))?;
    assert_eq!(after.format_version, pmemkv::FORMAT_VERSION);
    check(&world, 0)?;
    let version_of = |world: &World, segment| -> Result<u8> {
        Ok(world.store.space.segments().header(segment)?[7])
    };
    let versions = [0, 1, 2].map(|segment| version_of(&world, segment).ok());
    assert_eq!(
        versions,
        [Some(version), Some(version), Some(header::VERSION)]
    );
    for replaced in [0, 3] {
        for n in 0..replaced {
            world.put(&key(n), b"again")?;
        }
        world.commit()?;
        world = world.reopen(folder.path())?;
        check(&world, replaced)?;
    }
    // The old segments go like all others.
    let old: Vec<u32> = (0..3)
        .filter(|&segment| world.store.space.serial(segment) == 1)
        .collect();
    assert_eq!(old.len(), 1);
    for segment in old {
        world.store.move_all(&world.index, segment)?;
        world.store.give_back_for_test(segment)?;
        assert_eq!(version_of(&world, segment)?, header::VERSION);
    }
    check(&world, 3)?;
    let world = world.reopen(folder.path())?;
    check(&world, 3)?;
    world.store.close()?;
    Ok(())
}

#[test]
fn damage_in_a_pool_of_the_former_format_is_refused() -> Result {
    let folder = folder()?;
    make(folder.path(), VERSION_WITHOUT_PLACE)?;
    let path = folder.path().join("pool");
    let mut pool = std::fs::read(&path)?;
    let place = memchr::memmem::find(&pool, b"pmkvseg\x01").ok_or("no header")?;
    pool[place + SEGMENT_HEADER_BYTES + 40] ^= 1;
    std::fs::write(&path, pool)?;
    assert!(World::open(folder.path()).is_err());
    Ok(())
}
