//! Refused writes and failed commits: acknowledged writes stay, and every key in the index can be read.

use std::path::Path;

use super::*;
use store::faults::Faults;
use store::testing::folder;
use store::{LayoutChoice, Options};

type Contents = BTreeMap<(usize, Vec<u8>), (Vec<u8>, Option<Millis>)>;
pub(super) type Tested<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const STEPS: usize = 60;
const FAR: Millis = 1 << 50;

/// The store that the steps run over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Memory,
    Packed,
    Pairs,
}

pub(super) fn open(over: Over, folder: &Path) -> Tested<Arc<Faults>> {
    let layout = match over {
        Over::Memory => {
            return Ok(Faults::over(Box::new(Arc::new(MemoryStore::new(4, false)))));
        }
        Over::Packed => LayoutChoice::Packed,
        Over::Pairs => LayoutChoice::Pairs,
    };
    let options = Options {
        engine: "cmap".to_owned(),
        engine_config: None,
        pool_path: folder.join("pool"),
        pool_size_bytes: 32 << 20,
        layout,
        repair: false,
        every_second: false,
    };
    let (engine, options) = options.resolve()?;
    Ok(Faults::over(store::open(engine, &options)?))
}

fn value(step: usize) -> Vec<u8> {
    // Some values are long enough to be stored in parts.
    let length = if step % 7 == 3 { 90_000 } else { 10 * step };
    format!("{step} ").bytes().cycle().take(length).collect()
}

fn name(n: usize) -> Vec<u8> {
    format!("key {}", n % 9).into_bytes()
}

/// One change of keys in databases 0 and 1; it changes the model too if it succeeded.
fn step(keyspace: &Keyspace, model: &mut Contents, step: usize) -> Result<()> {
    let (db, key, bytes) = (step % 2, name(step * step), value(step));
    match step % 6 {
        0..3 => {
            let deadline = (step % 4 == 1).then_some(FAR);
            keyspace.update(db, &key, at(0), |slot| {
                slot.put(Kind::String, &bytes, deadline)
            })?;
            model.insert((db, key), (bytes, deadline));
        }
        3 => {
            remove(keyspace, db, &key, at(0))?;
            model.remove(&(db, key));
        }
        4 => {
            keyspace.update(db, &key, at(0), |slot| slot.set_expiry(Some(FAR + 1)))?;
            if let Some((_, deadline)) = model.get_mut(&(db, key)) {
                *deadline = Some(FAR + 1);
            }
        }
        _ => {
            let other = name(step + 1);
            let keys: [(usize, &[u8]); 2] = [(db, &key), (1 - db, &other)];
            keyspace.update_many::<_, KeyspaceError>(&keys, at(0), |slots| {
                slots.remove(0);
                slots.put(1, Kind::String, &bytes, None);
                Ok(())
            })?;
            model.remove(&(db, key));
            model.insert((1 - db, other), (bytes, None));
        }
    }
    Ok(())
}

/// Reads every key that the index knows.
fn contents(keyspace: &Keyspace) -> Result<Contents> {
    let mut found = Contents::new();
    for db in 0..3 {
        for key in scan_all(keyspace, db, 10, 0)? {
            let read = keyspace.read(db, &key, at(0), |value| {
                (value.bytes.to_vec(), value.expires_at)
            })?;
            let read = read.unwrap_or_else(|| panic!("{} dangles", key.escape_ascii()));
            found.insert((db, key), read);
        }
    }
    Ok(found)
}

fn works(keyspace: &Keyspace) -> Result<()> {
    put(keyspace, 2, b"afterwards", b"works")?;
    keyspace.commit()?;
    assert_eq!(get(keyspace, 2, b"afterwards", 0)?, Some(b"works".to_vec()));
    remove(keyspace, 2, b"afterwards", at(0))?;
    keyspace.commit()
}

#[test]
fn a_refused_write_changes_nothing() -> Tested {
    // In memory every write fails once. A pool costs more to open, so there every third one does.
    for (over, each) in [(Over::Memory, 1), (Over::Packed, 3), (Over::Pairs, 3)] {
        for n in (1..).step_by(each) {
            let folder = folder()?;
            let store = open(over, folder.path())?;
            let keyspace = Keyspace::new(Box::new(Arc::clone(&store)));
            let mut model = Contents::new();
            let mut refused = 0;
            store.failing_write.store(n, Ordering::Relaxed);
            for number in 0..STEPS {
                if let Err(error) = step(&keyspace, &mut model, number) {
                    assert!(matches!(error, KeyspaceError::OutOfMemory), "{error}");
                    refused += 1;
                    assert!(contents(&keyspace)? == model, "{over:?} {n}");
                }
                keyspace.commit()?;
            }
            store.failing_write.store(0, Ordering::Relaxed);
            works(&keyspace)?;
            assert!(contents(&keyspace)? == model, "{over:?} {n}");
            drop((keyspace, store));
            if over != Over::Memory {
                let keyspace = Keyspace::new(Box::new(open(over, folder.path())?));
                assert!(contents(&keyspace)? == model, "{over:?} {n}, reopened");
            }
            if refused == 0 {
                break;
            }
            assert_eq!(refused, 1);
        }
    }
    Ok(())
}

#[test]
fn a_failed_commit_loses_nothing_acknowledged() -> Tested {
    for over in [Over::Memory, Over::Packed] {
        for n in (1..).step_by(3) {
            let folder = folder()?;
            let store = open(over, folder.path())?;
            let keyspace = Keyspace::new(Box::new(Arc::clone(&store)));
            let mut model = Contents::new();
            let mut failed = 0;
            store.failing_commit.store(n, Ordering::Relaxed);
            for number in 0..STEPS {
                let acknowledged = model.clone();
                step(&keyspace, &mut model, number)?;
                if keyspace.commit().is_ok() {
                    continue;
                }
                failed += 1;
                assert!(contents(&keyspace)? == model, "{over:?} {n}");
                if over == Over::Packed && n % 2 == 0 {
                    // The process dies: a write without a reply may be lost.
                    model = acknowledged;
                    break;
                }
            }
            store.failing_commit.store(0, Ordering::Relaxed);
            if failed == 0 || over == Over::Memory || n % 2 == 1 {
                works(&keyspace)?;
                assert!(contents(&keyspace)? == model, "{over:?} {n}");
            }
            drop((keyspace, store));
            if over == Over::Packed {
                let keyspace = Keyspace::new(Box::new(open(over, folder.path())?));
                assert!(contents(&keyspace)? == model, "{n}, reopened");
                works(&keyspace)?;
            }
            if failed == 0 {
                break;
            }
        }
    }
    Ok(())
}

#[test]
fn a_deadline_that_a_key_has_is_told_and_not_written() -> Tested {
    let folder = folder()?;
    let store = open(Over::Memory, folder.path())?;
    let keyspace = Keyspace::new(Box::new(Arc::clone(&store)));
    put(&keyspace, 0, b"key", b"value")?;
    let set = |deadline| -> Result<()> {
        keyspace.update(0, b"key", at(0), |slot| {
            slot.set_expiry(Some(deadline))?;
            slot.event(EventClass::GENERIC, "expire");
            Ok(())
        })
    };
    set(FAR)?;
    let mut watches = Watches::default();
    keyspace.watching().watch(&mut watches, 0, b"key", 0)?;
    let changes = keyspace.dirty();
    store.failing_write.store(1, Ordering::Relaxed);
    set(FAR)?;
    assert!(keyspace.watching().have_changed(&watches, 0)?);
    assert_eq!(keyspace.dirty(), changes + 1);
    // The write that is to fail has not come yet.
    assert!(matches!(set(FAR + 1), Err(KeyspaceError::OutOfMemory)));
    let info = keyspace.info(0, b"key", at(0))?;
    assert_eq!(info.and_then(|info| info.expires_at), Some(FAR));
    Ok(())
}
