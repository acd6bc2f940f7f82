//! Pools that get their blocks later.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use pmemkv::{Backing, Blocks, Error as EngineError, Pool, probe};

use super::{MIB, TestResult, directory, header};

const POOL_BYTES: u64 = 96 * MIB;

fn given(path: &Path) -> std::io::Result<u64> {
    Ok(fs::metadata(path)?.blocks() * 512)
}

/// Fills a pool with values of 1 MiB; returns how many it holds.
fn fill(pool: &Pool, is_to_reserve: bool) -> Result<u32, Box<dyn std::error::Error>> {
    let database = pool.open_partition(0)?;
    let value = vec![7; 1 << 20];
    for number in 0..1000_u32 {
        if is_to_reserve {
            pool.reserve_to(pool.stats()?.allocated_bytes + 8 * MIB)?;
        }
        match database.put(&number.to_be_bytes(), &value) {
            Ok(()) => {}
            Err(EngineError::OutOfMemory(_)) => return Ok(number),
            Err(error) => return Err(error.into()),
        }
    }
    Err("the pool takes everything".into())
}

#[test]
fn a_pool_that_gets_its_blocks_later_holds_as_much() -> TestResult {
    let directory = directory()?;
    let at = |name: &str| directory.path().join(name);
    let header = header("cmap", 1);
    let now = Pool::create(at("now"), POOL_BYTES, &header)?;
    let later = Pool::create_with(at("later"), POOL_BYTES, &header, Blocks::Later)?;
    let is_later = pmemkv::backing(directory.path()) == Backing::Tmpfs;
    assert_eq!(now.stats()?, later.stats()?);
    assert!(given(&at("now"))? >= POOL_BYTES);
    assert_eq!(given(&at("later"))? < POOL_BYTES / 4, is_later);
    assert!(!now.reserve_some()?);

    let count = fill(&now, false)?;
    assert!(count > 60, "{count}");
    assert_eq!(fill(&later, true)?, count);
    while later.reserve_some()? {}
    assert!(given(&at("later"))? >= POOL_BYTES);
    later.reserve_to(u64::MAX)?;
    drop((now, later));
    probe(at("later"), "cmap")?;

    let later = Pool::open(at("later"))?;
    let database = later.open_partition(0)?;
    assert_eq!(database.count_all()?, count as usize);
    for number in 0..count {
        let value = database.get(&number.to_be_bytes())?;
        assert!(value.is_some_and(|value| value == vec![7; 1 << 20]));
    }
    Ok(())
}

#[test]
fn a_pool_whose_process_died_gets_the_rest_of_its_blocks_later() -> TestResult {
    let directory = directory()?;
    let path = directory.path().join("data.pool");
    drop(Pool::create_with(
        &path,
        POOL_BYTES,
        &header("cmap", 1),
        Blocks::Later,
    )?);
    let is_later = pmemkv::backing(directory.path()) == Backing::Tmpfs;
    let pool = Pool::open_with(&path, Blocks::Later)?;
    assert_eq!(given(&path)? < POOL_BYTES / 4, is_later);
    if is_later {
        pool.reserve_to(40 * MIB)?;
        assert!((40 * MIB..POOL_BYTES).contains(&given(&path)?));
        assert!(pool.reserve_some()?);
    }
    drop(pool);
    // Who does not see to the blocks gets all of them.
    let pool = Pool::open(&path)?;
    assert!(given(&path)? >= POOL_BYTES);
    assert!(!pool.reserve_some()?);
    Ok(())
}
