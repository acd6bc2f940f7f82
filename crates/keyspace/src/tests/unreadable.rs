//! Records whose names cannot be read. The index keeps no names in the packed layout, so every look-up may fail.

use super::eviction::settings;
use super::faults::{Over, Tested, open};
use super::*;
use store::testing::folder;

const FAR: Millis = 1 << 50;

type Call<'c> = &'c dyn Fn(&Keyspace) -> Result<()>;

fn hash<R>(keyspace: &Keyspace, f: impl FnOnce(FieldsEdit<'_>) -> Result<R>) -> Result<R> {
    keyspace.update_many(
        &[(0, b"hash")],
        at(0),
        |keys| f(keys.fields(0, Kind::Hash)?),
    )
}

fn fields<R>(keyspace: &Keyspace, f: impl FnOnce(Fields<'_>) -> Result<R>) -> Result<R> {
    keyspace.view(0, b"hash", at(0), |view| match view {
        Some(view) => f(view.hash()?),
        None => Err(KeyspaceError::Failed("the hash is missing")),
    })?
}

/// All that clients could see, by names that the test knows.
fn seen(keyspace: &Keyspace) -> Result<Vec<Option<Vec<u8>>>> {
    let mut all = vec![
        get(keyspace, 0, b"string", 0)?,
        get(keyspace, 0, b"new", 0)?,
    ];
    let deadline = keyspace.info(0, b"string", at(0))?;
    all.push(deadline.map(|info| format!("{:?}", info.expires_at).into_bytes()));
    for field in [b"a", b"b", b"c"] {
        all.push(fields(keyspace, |hash| hash.get(field, <[u8]>::to_vec))?);
    }
    Ok(all)
}

/// A key whose record cannot be read is no absent key: the call fails and changes nothing.
#[test]
fn a_call_that_needs_them_fails_and_changes_nothing() -> Tested {
    let folder = folder()?;
    let store = open(Over::Packed, folder.path())?;
    let keyspace = Keyspace::new(Box::new(Arc::clone(&store)));
    // The elements of a compact collection have no names of their own.
    keyspace.forms.set(&crate::FormLimits {
        compact_bytes_max: 0,
        ..crate::FormLimits::default()
    });
    put_until(&keyspace, 0, b"string", FAR)?;
    hash(&keyspace, |mut hash| {
        hash.put(b"a", b"1")?;
        hash.put(b"b", b"2")?;
        Ok(())
    })?;
    keyspace.commit()?;
    let before = seen(&keyspace)?;
    let calls: &[(&str, usize, Call<'_>)] = &[
        ("read", 1, &|k| get(k, 0, b"string", 0).map(drop)),
        ("read_string", 1, &|k| {
            k.read_string(0, b"string", at(0), |_| ()).map(drop)
        }),
        ("info", 1, &|k| k.info(0, b"string", at(0)).map(drop)),
        ("put", 1, &|k| put(k, 0, b"string", b"other")),
        ("set_expiry", 1, &|k| {
            k.update(0, b"string", at(0), |slot| slot.set_expiry(None))
        }),
        ("remove", 1, &|k| remove(k, 0, b"string", at(0)).map(drop)),
        ("move", 1, &|k| {
            k.update_many(&[(0, b"string"), (0, b"new")], at(0), |keys| {
                keys.move_value(0, 1).map(drop)
            })
        }),
        ("watch", 1, &|k| {
            k.watching().watch(&mut Watches::default(), 0, b"string", 0)
        }),
        ("scan", 1, &|k| scan_all(k, 0, 10, 0).map(drop)),
        ("random_key", 1, &|k| k.walk().random_key(0, 0).map(drop)),
        ("range", 1, &|k| range_all(k, Range::All, 0).map(drop)),
        ("expiry", 1, &|k| k.expiry().remove_all_due(FAR).map(drop)),
        ("stored_bytes", 1, &|k| {
            k.memory_check()
                .stored_bytes(0, b"string", false, 0)
                .map(drop)
        }),
        ("view of a hash", 1, &|k| fields(k, |_| Ok(()))),
        // The first name is that of the hash, the next one that of an element.
        ("contains", 2, &|k| {
            fields(k, |hash| hash.contains(b"a")).map(drop)
        }),
        ("get", 2, &|k| {
            fields(k, |hash| hash.get(b"a", |_| ())).map(drop)
        }),
        ("names", 2, &|k| {
            fields(k, |hash| hash.names()?.collect::<Result<Vec<_>>>()).map(drop)
        }),
        ("second name", 3, &|k| {
            fields(k, |hash| hash.names()?.collect::<Result<Vec<_>>>()).map(drop)
        }),
        ("for_each", 2, &|k| {
            fields(k, |hash| hash.for_each(|_, _| ()))
        }),
        ("draw", 2, &|k| fields(k, |hash| hash.draw()).map(drop)),
        ("hash put", 2, &|k| {
            hash(k, |mut hash| hash.put(b"a", b"9")).map(drop)
        }),
        ("hash remove", 2, &|k| {
            hash(k, |mut hash| hash.remove(b"b")).map(drop)
        }),
        ("hash second put", 3, &|k| {
            hash(k, |mut hash| {
                hash.put(b"c", b"3")?;
                hash.put(b"a", b"9")?;
                hash.put(b"b", b"9")
            })
            .map(drop)
        }),
    ];
    for (name, nth, call) in calls {
        store.failing_name.store(*nth as u64, Ordering::Relaxed);
        let result = call(&keyspace);
        assert_eq!(store.failing_name.load(Ordering::Relaxed), 0, "{name}");
        assert!(
            matches!(result, Err(KeyspaceError::Store(_))),
            "{name}: {result:?}"
        );
        keyspace.commit()?;
        assert_eq!(seen(&keyspace)?, before, "{name}");
    }
    Ok(())
}

/// Eviction fails too, where it needs a name, and evicts nothing.
#[test]
fn nothing_is_evicted_without_its_name() -> Tested {
    let folder = folder()?;
    let store = open(Over::Packed, folder.path())?;
    let keyspace = Keyspace::new(Box::new(Arc::clone(&store)));
    for n in 0..50u32 {
        put(&keyspace, 0, &n.to_be_bytes(), &[0; 1_000])?;
    }
    keyspace.eviction().configure(&settings(&[
        ("maxmemory", "20kb"),
        ("maxmemory-policy", "allkeys-random"),
    ]));
    store.failing_name.store(1, Ordering::Relaxed);
    let checked = keyspace.memory_check().check(100, 0);
    assert!(
        matches!(checked, Err(KeyspaceError::Store(_))),
        "{checked:?}"
    );
    assert_eq!(keyspace.databases().len(0)?, 50);
    keyspace.memory_check().check(100, 0)?;
    assert!(keyspace.databases().len(0)? < 50);
    Ok(())
}
