//! Collections whose elements a start has still to gather. What cannot be found is no absent key.

use super::faults::{Over, Tested, open};
use super::*;
use std::sync::atomic::AtomicBool;
use store::faults::Faults;
use store::testing::folder;

const FIELDS: [&[u8]; 3] = [b"a", b"b", b"c"];

/// A keyspace that knows a hash's anchor and none of its elements, as after a start that has taken the index over.
fn lacking(store: &Arc<Faults>, expires_at: Option<Millis>) -> Result<Keyspace> {
    let keyspace = Keyspace::new(Box::new(Arc::clone(store)));
    keyspace.forms.set(&crate::FormLimits {
        compact_bytes_max: 0,
        ..crate::FormLimits::default()
    });
    keyspace.update_many(&[(0, b"hash".as_slice())], at(0), |keys| {
        let mut hash = keys.fields(0, Kind::Hash)?;
        FIELDS
            .iter()
            .try_for_each(|field| hash.put(field, b"value").map(drop))
    })?;
    keyspace.update(0, b"hash", at(0), |slot| slot.set_expiry(expires_at))?;
    keyspace.commit()?;
    let ids = keyspace.registry.ids_from(keyspace.generations.of(0), 0);
    for id in ids {
        keyspace.registry.remove(id);
    }
    keyspace.leave_elements();
    Ok(keyspace)
}

fn gather(keyspace: &Keyspace) -> Result<usize> {
    keyspace.loading().gather_all(2, &AtomicBool::new(false))
}

fn is_there(keyspace: &Keyspace) -> Result<bool> {
    Ok(keyspace.info(0, b"hash", at(0))?.is_some())
}

#[test]
fn a_collection_of_which_nothing_is_found_is_no_empty_one() -> Tested {
    let folder = folder()?;
    let store = open(Over::Packed, folder.path())?;
    let keyspace = lacking(&store, None)?;
    store.hides_unread.store(true, Ordering::Relaxed);
    assert!(gather(&keyspace).is_err());
    assert!(is_there(&keyspace)?, "the hash seems to be absent");
    assert!(keyspace.loading().lacks_elements_of(0, b"hash")?);
    Ok(())
}

/// Elements of a key that is past its deadline may have gone before it.
#[test]
fn a_key_past_its_deadline_goes_where_nothing_of_it_is_found() -> Tested {
    let folder = folder()?;
    let store = open(Over::Packed, folder.path())?;
    let keyspace = lacking(&store, Some(1_000))?;
    store.hides_unread.store(true, Ordering::Relaxed);
    gather(&keyspace)?;
    assert!(!is_there(&keyspace)?);
    Ok(())
}

/// Each reading of a name may fail: then the gathering does, and no key seems to be absent, or to have fewer elements.
#[test]
fn a_name_that_cannot_be_read_ends_the_gathering() -> Tested {
    let mut failed = 0;
    for n in 1.. {
        let folder = folder()?;
        let store = open(Over::Packed, folder.path())?;
        let keyspace = lacking(&store, None)?;
        store.failing_name.store(n, Ordering::Relaxed);
        let gathered = gather(&keyspace);
        let has_failed = store.failing_name.swap(0, Ordering::Relaxed) == 0;
        assert!(is_there(&keyspace)?, "reading {n}");
        if !has_failed {
            assert_eq!(gathered?, 1);
            let len = keyspace.view(0, b"hash", at(0), |view| view.map(|view| view.len()))?;
            assert_eq!(len, Some(FIELDS.len()));
            break;
        }
        assert!(gathered.is_err(), "reading {n}");
        failed += 1;
    }
    assert!(failed > 0);
    Ok(())
}

/// Whether the newest record of a key that the store holds is a tombstone.
fn is_removed(store: &Arc<Faults>, key: &[u8]) -> Result<Option<bool>> {
    let mut newest: Option<(u64, bool)> = None;
    for part in 0..store.parts() {
        store.visit(part, &mut |record| {
            let place = (record.sequence, record.removed);
            if record.key == key && newest.is_none_or(|newest| newest.0 < place.0) {
                newest = Some(place);
            }
        })?;
    }
    Ok(newest.map(|(_, removed)| removed))
}

/// A hash takes a string's key, its fields expire while no server runs, and the next start finds it empty.
#[test]
fn an_emptied_key_stays_gone_when_its_anchor_is_compacted_away() -> Tested {
    let folder = folder()?;
    {
        let keyspace = Keyspace::new(Box::new(open(Over::Packed, folder.path())?));
        keyspace.forms.set(&crate::FormLimits {
            compact_bytes_max: 0,
            ..crate::FormLimits::default()
        });
        keyspace.update(0, b"key", at(0), |slot| {
            slot.put(Kind::String, b"old", None)
        })?;
        keyspace.update_many(&[(0, b"hash".as_slice())], at(0), |keys| {
            let mut hash = keys.fields(0, Kind::Hash)?;
            hash.put_until(b"field", b"value", Some(1_000)).map(drop)
        })?;
        let both = [(0, b"hash".as_slice()), (0, b"key".as_slice())];
        keyspace.update_many(&both, at(0), |keys| keys.move_value(0, 1))?;
        // A client has seen that another key is past its deadline, and nobody has come to this one.
        keyspace.update(0, b"other", at(0), |slot| {
            slot.put(Kind::String, b"", Some(1_000))
        })?;
        assert!(keyspace.info(0, b"other", at(2_000))?.is_none());
        keyspace.commit()?;
    }
    {
        let store = open(Over::Packed, folder.path())?;
        assert_eq!(is_removed(&store, b"key")?, Some(false));
    }
    {
        let keyspace = Keyspace::new(Box::new(open(Over::Packed, folder.path())?));
        keyspace.loading().read_all(1)?;
        assert!(keyspace.info(0, b"key", at(0))?.is_none());
    }
    let store = open(Over::Packed, folder.path())?;
    assert_eq!(is_removed(&store, b"key")?, Some(true));
    Ok(())
}
