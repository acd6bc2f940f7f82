//! Comparators decide the order of keys.

use std::ops::ControlFlow::Continue;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pmemkv::{Comparator, Database, Error, Status, engines};

use crate::common::{Fixture, MIB, TestResult, config, directory};

fn backwards() -> Result<Comparator, Error> {
    Comparator::new("backwards", |a, b| b.cmp(a))
}

fn keys(db: &Database) -> Result<Vec<Vec<u8>>, Error> {
    let mut keys = Vec::new();
    let _ = db.get_keys_all(|key| {
        keys.push(key.to_vec());
        Continue(())
    })?;
    Ok(keys)
}

#[test]
fn a_sorted_engine_keeps_the_order_it_is_given() -> TestResult {
    for engine in engines::available() {
        // radix knows byte order only.
        if !engine.sorted || engine.name == "radix" {
            continue;
        }
        let mut fixture = Fixture::open_ordered(engine, 16 * MIB, Some(backwards()?))?;
        for key in [&b"b"[..], b"", b"c", b"a\0", b"a"] {
            fixture.db.put(key, b"")?;
        }
        if engine.persistent {
            fixture = fixture.reopen(Some(backwards()?))?;
        }
        let expected: [&[u8]; 5] = [b"c", b"b", b"a\0", b"a", b""];
        assert_eq!(keys(&fixture.db)?, expected, "{}", engine.name);
        assert_eq!(fixture.db.count_above(b"b")?, 3);
        assert!(fixture.db.remove(b"a\0")?);
    }
    Ok(())
}

#[test]
fn data_ordered_otherwise_are_refused() -> TestResult {
    for engine in engines::available() {
        if !engine.sorted || !engine.persistent || engine.name == "radix" {
            continue;
        }
        let directory = directory()?;
        let open = |create, comparator| -> Result<Database, Box<dyn std::error::Error>> {
            let config = config(engine, directory.path(), 16 * MIB, create, comparator)?;
            Ok(Database::open(engine.name, config)?)
        };
        open(true, Some(backwards()?))?.put(b"key", b"value")?;
        for other in [None, Some(Comparator::new("sideways", Ord::cmp)?)] {
            let error = open(false, other).expect_err("it opened");
            let status = error.downcast::<Error>()?.status();
            assert_eq!(status, Some(Status::ComparatorMismatch), "{}", engine.name);
        }
        let db = open(false, Some(backwards()?))?;
        assert_eq!(db.get(b"key")?.as_deref(), Some(&b"value"[..]));
    }
    Ok(())
}

#[test]
fn a_panic_in_a_comparator_comes_back_and_overwrites_nothing() -> TestResult {
    for engine in engines::available() {
        if !engine.sorted || engine.name == "radix" {
            continue;
        }
        let broken = Arc::new(AtomicBool::new(false));
        let switch = Arc::clone(&broken);
        let comparator = Comparator::new("breaks", move |a, b| {
            assert!(!switch.load(Ordering::Relaxed), "broken order");
            a.cmp(b)
        })?;
        let fixture = Fixture::open_ordered(engine, 16 * MIB, Some(comparator))?;
        let db = &fixture.db;
        for key in [b"a", b"c", b"e"] {
            db.put(key, key)?;
        }
        broken.store(true, Ordering::Relaxed);
        for call in [
            &(|| db.put(b"d", b"d")) as &dyn Fn() -> Result<(), Error>,
            &|| db.get(b"c").map(|_| ()),
            &|| db.exists(b"c").map(|_| ()),
            &|| db.count_above(b"b").map(|_| ()),
            &|| db.get_above(b"b", |_, _| Continue(())).map(|_| ()),
        ] {
            panic::catch_unwind(AssertUnwindSafe(|| {
                let _ = call();
            }))
            .expect_err("the panic was swallowed");
        }
        broken.store(false, Ordering::Relaxed);
        for key in [b"a", b"c", b"e"] {
            assert_eq!(db.get(key)?.as_deref(), Some(&key[..]), "{}", engine.name);
        }
    }
    Ok(())
}

#[test]
fn a_comparators_name_is_a_c_string() {
    let refused = Comparator::new("a\0b", Ord::cmp).map(|_| ());
    assert_eq!(refused, Err(Error::Nul("a comparator's name")));
}
