//! put, get, exists, remove and in-place overwrites.

use std::panic::{self, AssertUnwindSafe};

use pmemkv::{Database, Engine, Error, Status, engines};

use crate::common::{Fixture, MIB, TestResult, on_each};

/// Keys that would break code which expects C strings, text or certain sizes.
fn awkward() -> Vec<Vec<u8>> {
    let every_byte: Vec<u8> = (0..=255).collect();
    vec![
        b"plain".to_vec(),
        Vec::new(),
        b"\0".to_vec(),
        b"\0\0".to_vec(),
        b"nul\0inside".to_vec(),
        b"nul\0inside\0too".to_vec(),
        b"\xff\xfe\x80 not text".to_vec(),
        every_byte,
        vec![7; 63],
        vec![7; 64],
        vec![0; 64 << 10],
    ]
}

#[test]
fn awkward_keys_and_values_come_back() -> TestResult {
    on_each(64 * MIB, |fixture| {
        let db = &fixture.db;
        let keys = awkward();
        for key in &keys {
            assert!(!db.exists(key)?);
            assert_eq!(db.get(key)?, None);
            assert!(!db.remove(key)?);
            for value in awkward() {
                db.put(key, &value)?;
                assert_eq!(db.get(key)?.as_ref(), Some(&value));
            }
            assert!(db.exists(key)?);
        }
        assert_eq!(db.count_all()?, keys.len());
        for key in &keys {
            assert!(db.remove(key)?);
            assert!(!db.exists(key)?);
            assert!(!db.remove(key)?);
        }
        assert_eq!(db.count_all()?, 0);
        Ok(())
    })
}

#[test]
fn sixteen_mebibytes_fit_as_key_and_as_value() -> TestResult {
    on_each(128 * MIB, |fixture| {
        let db = &fixture.db;
        let large = b"sixteen\0mebibyte".repeat(1 << 20);
        db.put(b"small", &large)?;
        assert_eq!(db.get_with(b"small", |value| value == large)?, Some(true));
        db.put(&large, b"small")?;
        assert_eq!(db.get(&large)?.as_deref(), Some(&b"small"[..]));
        assert!(db.remove(&large)?);
        db.put(b"small", b"")?;
        assert_eq!(db.get(b"small")?, Some(Vec::new()));
        Ok(())
    })
}

#[test]
fn what_a_pool_keeps_is_there_after_a_reopen() -> TestResult {
    for engine in engines::available() {
        if !engine.persistent {
            continue;
        }
        let fixture = Fixture::open(engine, 32 * MIB)?;
        for number in 0..500_u32 {
            fixture
                .db
                .put(&number.to_be_bytes(), &number.to_le_bytes())?;
        }
        let fixture = fixture.reopen(None)?;
        for number in 0..500_u32 {
            let value = fixture.db.get(&number.to_be_bytes())?;
            assert_eq!(value.as_deref(), Some(&number.to_le_bytes()[..]));
        }
        assert_eq!(fixture.db.count_all()?, 500, "{}", engine.name);
    }
    Ok(())
}

#[test]
fn blackhole_takes_everything_and_keeps_nothing() -> TestResult {
    let Some(engine) = Engine::by_name("blackhole").filter(|_| engines::is_available("blackhole"))
    else {
        return Ok(());
    };
    let Fixture { db, .. } = Fixture::open(engine, 0)?;
    db.put(b"key", b"value")?;
    assert_eq!(db.get(b"key")?, None);
    assert!(!db.exists(b"key")?);
    assert!(db.remove(b"key")?);
    assert_eq!(db.count_all()?, 0);
    assert!(
        db.get_all(|_, _| panic!("there is nothing to visit"))?
            .is_continue()
    );
    Ok(())
}

#[test]
fn overwriting_in_place_is_exact_or_refused() -> TestResult {
    on_each(32 * MIB, |fixture| {
        let db = &fixture.db;
        db.put(b"log\0key", &[b'.'; 4096])?;
        match db.write_range(b"log\0key", 100, b"written") {
            Err(Error::NotSupported(_)) => {
                assert!(["vcmap", "vsmap"].contains(&fixture.engine.name));
                return Ok(());
            }
            result => assert!(result?),
        }
        let mut expected = vec![b'.'; 4096];
        expected[100..107].copy_from_slice(b"written");
        assert_eq!(db.get(b"log\0key")?.as_ref(), Some(&expected));
        assert_eq!(
            db.read_range(b"log\0key", 99, 9)?.as_deref(),
            Some(&b".written."[..])
        );
        assert_eq!(db.read_range(b"log\0key", 4095, 9)?, Some(vec![b'.']));
        assert_eq!(db.read_range(b"log\0key", 5000, 9)?, Some(Vec::new()));

        assert!(!db.write_range(b"absent", 0, b"x")?);
        assert_eq!(db.read_range(b"absent", 0, 1)?, None);
        for (offset, bytes) in [(4090, &b"too long"[..]), (4097, b"x"), (usize::MAX, b"x")] {
            let refused = db.write_range(b"log\0key", offset, bytes);
            assert!(
                matches!(refused, Err(Error::InvalidArgument(_))),
                "{offset}: {refused:?}"
            );
        }
        assert_eq!(db.get(b"log\0key")?.as_ref(), Some(&expected));
        // The item's lock is free again, even after a refusal.
        db.put(b"log\0key", b"short")?;
        assert!(db.write_range(b"log\0key", 0, b"SHORT")?);
        assert!(db.write_range(b"log\0key", 5, b"")?);
        assert_eq!(db.get(b"log\0key")?.as_deref(), Some(&b"SHORT"[..]));
        Ok(())
    })
}

#[test]
fn a_panic_in_a_closure_comes_back_and_leaves_the_database_usable() -> TestResult {
    on_each(16 * MIB, |fixture| {
        let db = &fixture.db;
        db.put(b"key", b"value")?;
        let caught = panic::catch_unwind(AssertUnwindSafe(|| {
            let _ = db.get_with(b"key", |_| panic!("from get"));
        }));
        let text = caught.expect_err("the panic was swallowed");
        assert_eq!(text.downcast_ref::<&str>(), Some(&"from get"));
        db.put(b"key", b"another")?;
        assert!(db.remove(b"key")?);
        Ok(())
    })
}

#[test]
fn a_closure_cannot_call_into_its_own_database() -> TestResult {
    on_each(16 * MIB, |fixture| {
        let db = &fixture.db;
        db.put(b"key", b"value")?;
        let inside = db.get_with(b"key", |_| {
            [
                db.put(b"key", b"x"),
                db.get(b"key").map(|_| ()),
                db.remove(b"other").map(|_| ()),
                db.count_all().map(|_| ()),
                db.get_all(|_, _| std::ops::ControlFlow::Continue(()))
                    .map(|_| ()),
            ]
        })?;
        let inside = inside.expect("the key is there");
        assert!(inside.iter().all(|result| *result == Err(Error::Reentrant)));
        assert_eq!(Error::Reentrant.status(), None);
        // A closure may call another database.
        let other = Fixture::open(fixture.engine, 16 * MIB)?;
        db.get_with(b"key", |value| other.db.put(b"copy", value))?
            .expect("the key is there")?;
        assert_eq!(other.db.get(b"copy")?.as_deref(), Some(&b"value"[..]));
        Ok(())
    })
}

#[test]
fn an_unknown_engine_is_named_as_such() -> TestResult {
    let error = Database::open("no such engine", pmemkv::Config::new()?).expect_err("it opened");
    assert_eq!(error.status(), Some(Status::WrongEngineName));
    assert!(error.to_string().contains("no such engine"), "{error}");
    // A status without a message does not repeat the message of the earlier failure.
    let Fixture { db, .. } = Fixture::open(Engine::by_name("cmap").ok_or("no cmap")?, 16 * MIB)?;
    let error = db.count_above(b"key").expect_err("cmap has no order");
    assert!(!error.to_string().contains("no such engine"), "{error}");
    assert!(!engines::is_available("no such engine"));
    assert!(engines::is_available("cmap"));
    Ok(())
}

#[test]
fn defragmentation_is_done_or_refused_by_name() -> TestResult {
    on_each(32 * MIB, |fixture| {
        let db = &fixture.db;
        for number in 0..200_u32 {
            db.put(&number.to_be_bytes(), &[1; 1000])?;
        }
        match db.defrag(0.0, 100.0) {
            Ok(()) => assert_eq!(fixture.engine.name, "cmap"),
            Err(Error::NotSupported(_)) => assert_ne!(fixture.engine.name, "cmap"),
            Err(error) => return Err(error.into()),
        }
        if fixture.engine.name == "cmap" {
            let refused = db.defrag(50.0, 101.0);
            assert!(
                matches!(refused, Err(Error::InvalidArgument(_))),
                "{refused:?}"
            );
        }
        assert_eq!(db.get(&7_u32.to_be_bytes())?, Some(vec![1; 1000]));
        Ok(())
    })
}
