//! Keyspaces over a real pool that end as by SIGKILL, one after the other, and take over the index each time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::*;
use crate::Access;
use store::testing::folder;
use store::{LayoutChoice, Options};

type Tested<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn access() -> Access {
    Access {
        now: 0,
        touch: true,
        client: 0,
        serves: false,
        patient: true,
    }
}

/// A keyspace over the pool in a folder, and the index beside it. Says whether it has taken an index over.
fn begin(folder: &Path) -> Tested<(Keyspace, bool)> {
    let pool = folder.join("pool");
    let options = Options {
        engine: "cmap".to_owned(),
        engine_config: None,
        pool_path: pool.clone(),
        pool_size_bytes: 32 << 20,
        layout: LayoutChoice::Packed,
        repair: false,
        every_second: false,
    };
    let (engine, options) = options.resolve()?;
    let mut keyspace = Keyspace::new(store::open(engine, &options)?);
    keyspace.keep_index(&folder.join("index"), &pool, false)?;
    keyspace.loading().read_all(1)?;
    let has_left = keyspace.has_left_index();
    Ok((keyspace, has_left))
}

/// Ends a keyspace: the pool and the index keep what they have at this moment.
fn kill(keyspace: Keyspace) {
    if let Some(kept) = &keyspace.kept {
        kept.arena.release();
    }
    drop(keyspace);
}

fn publish(keyspace: &Keyspace) -> Tested {
    let kept = keyspace.kept.as_ref().ok_or("there is no index")?;
    assert!(keyspace.publish(kept, true)?, "a mark is published");
    Ok(())
}

fn put(keyspace: &Keyspace, key: &[u8], value: &[u8]) -> Result<(), KeyspaceError> {
    keyspace.update(0, key, access(), |slot| {
        slot.put(crate::Kind::String, value, None)
    })
}

fn get(keyspace: &Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, KeyspaceError> {
    keyspace.read(0, key, access(), |value| value.bytes.to_vec())
}

#[allow(clippy::redundant_closure_for_method_calls)] // The method's lifetimes do not fit the call.
fn remove(keyspace: &Keyspace, key: &[u8]) -> Result<bool, KeyspaceError> {
    keyspace.update(0, key, access(), |slot| slot.remove())
}

fn in_transaction(keyspace: &Keyspace, change: impl FnOnce() -> Tested) -> Tested {
    let _alone = keyspace.gate.enter_alone(true).map_err(|_| "not alone")?;
    let mut change = Some(change);
    let mut done = Ok(());
    keyspace.atomically(&[], &mut || {
        if let Some(change) = change.take() {
            done = change();
        }
    })?;
    done
}

/// The transaction takes segments and empties them again, so the pool does not know their serial numbers. The published place
/// is behind them.
#[test]
fn what_is_written_after_a_transaction_that_has_removed_all_it_wrote_is_kept() -> Tested {
    let folder = folder()?;
    let (keyspace, _) = begin(folder.path())?;
    put(&keyspace, b"first", b"1")?;
    keyspace.commit()?;
    in_transaction(&keyspace, || {
        let value = vec![7; 60_000];
        for n in 0..20 {
            put(&keyspace, format!("large {n}").as_bytes(), &value)?;
        }
        for n in (0..20).rev() {
            remove(&keyspace, format!("large {n}").as_bytes())?;
        }
        Ok(())
    })?;
    keyspace.commit()?;
    publish(&keyspace)?;
    kill(keyspace);
    for n in 0..3 {
        let (keyspace, has_left) = begin(folder.path())?;
        assert!(has_left, "start {n} takes the index over");
        for before in 0..n {
            let key = format!("after {before}");
            assert_eq!(
                get(&keyspace, key.as_bytes())?,
                Some(b"2".to_vec()),
                "{key}"
            );
        }
        put(&keyspace, format!("after {n}").as_bytes(), b"2")?;
        keyspace.commit()?;
        kill(keyspace);
    }
    Ok(())
}

/// A transaction that was not committed has flushed a database, and its keys were in the index.
#[test]
fn a_flush_after_one_that_was_not_committed_has_an_index_of_its_own() -> Tested {
    let folder = folder()?;
    let (keyspace, _) = begin(folder.path())?;
    put(&keyspace, b"first", b"1")?;
    keyspace.commit()?;
    publish(&keyspace)?;
    let ended = catch_unwind(AssertUnwindSafe(|| {
        in_transaction(&keyspace, || {
            keyspace.databases().flush(0)?;
            for n in 0..100 {
                put(&keyspace, format!("undone {n}").as_bytes(), b"2")?;
            }
            panic!("the process dies here");
        })
    }));
    assert!(ended.is_err());
    kill(keyspace);

    let (keyspace, has_left) = begin(folder.path())?;
    assert!(has_left);
    assert_eq!(get(&keyspace, b"first")?, Some(b"1".to_vec()));
    keyspace.databases().flush(0)?;
    for n in 0..100 {
        put(&keyspace, format!("kept {n}").as_bytes(), b"3")?;
    }
    keyspace.commit()?;
    publish(&keyspace)?;
    kill(keyspace);

    let (keyspace, has_left) = begin(folder.path())?;
    assert!(has_left);
    assert_eq!(keyspace.databases().len(0)?, 100);
    for n in 0..100 {
        let found = get(&keyspace, format!("kept {n}").as_bytes())?;
        assert_eq!(found, Some(b"3".to_vec()), "{n}");
    }
    Ok(())
}

/// An import that flushes gives the database a number that the pool did not know. A later import must not get the same.
#[test]
fn keys_of_an_import_that_was_cut_short_stay_away() -> Tested {
    let folder = folder()?;
    let (keyspace, _) = begin(folder.path())?;
    keyspace.databases().hide()?;
    keyspace.databases().flush(0)?;
    put(&keyspace, b"of the first import", b"1")?;
    keyspace.commit()?;
    kill(keyspace);

    let (keyspace, _) = begin(folder.path())?;
    assert!(keyspace.databases().is_empty(0)?);
    keyspace.databases().hide()?;
    put(&keyspace, b"key", b"2")?;
    keyspace.commit()?;
    {
        let _alone = keyspace.gate.enter_alone(true).map_err(|_| "not alone")?;
        keyspace.databases().show()?;
    }
    kill(keyspace);

    std::fs::remove_file(folder.path().join("index"))?;
    let (keyspace, has_left) = begin(folder.path())?;
    assert!(!has_left);
    assert_eq!(get(&keyspace, b"key")?, Some(b"2".to_vec()));
    assert_eq!(get(&keyspace, b"of the first import")?, None);
    Ok(())
}

/// The published index has no key that was removed for its deadline, so the pool must know that the deadline has passed: a
/// start that reads the pool, by a clock that went back, would find the key again.
#[test]
fn an_expired_key_that_the_published_index_lacks_stays_away_from_a_start_that_reads_the_pool()
-> Tested {
    let folder = folder()?;
    let (keyspace, _) = begin(folder.path())?;
    keyspace.update(0, b"brief", access(), |slot| {
        slot.put(crate::Kind::String, b"1", Some(1_000))
    })?;
    keyspace.commit()?;
    assert_eq!(keyspace.expiry().remove_all_due(2_000)?, 1);
    publish(&keyspace)?;
    kill(keyspace);

    let (keyspace, has_left) = begin(folder.path())?;
    assert!(has_left);
    assert_eq!(get(&keyspace, b"brief")?, None);
    kill(keyspace);

    std::fs::remove_file(folder.path().join("index"))?;
    let (keyspace, has_left) = begin(folder.path())?;
    assert!(!has_left);
    assert_eq!(get(&keyspace, b"brief")?, None);
    Ok(())
}
