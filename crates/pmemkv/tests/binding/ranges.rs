//! Walks and counts against a `BTreeMap` that holds the same pairs.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::ops::ControlFlow::{Break, Continue};
use std::panic::{self, AssertUnwindSafe};

use pmemkv::{Database, Error, Range};

use crate::common::{MIB, TestResult, on_each, on_each_sorted};

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn fill(db: &Database) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
    let mut model = BTreeMap::new();
    let mut keys: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"\0".to_vec(),
        b"\0\0".to_vec(),
        b"a\0b".to_vec(),
        b"\x7f".to_vec(),
        b"\x80".to_vec(),
        b"\xff\xff".to_vec(),
    ];
    keys.extend((0..300_u32).map(|number| format!("key{:03}", number * 7 % 300).into_bytes()));
    for key in keys {
        let value = [key.as_slice(), b" value"].concat();
        db.put(&key, &value)?;
        model.insert(key, value);
    }
    Ok(model)
}

fn ranges() -> Vec<(Vec<u8>, Vec<u8>)> {
    let bounds: [&[u8]; 9] = [
        b"",
        b"\0",
        b"a",
        b"key000",
        b"key150",
        b"key150x",
        b"zz",
        b"\x80",
        b"\xff\xff\xff",
    ];
    bounds
        .iter()
        .flat_map(|low| bounds.map(|high| (low.to_vec(), high.to_vec())))
        .collect()
}

fn walk(db: &Database, range: Range<'_>) -> Result<Pairs, Error> {
    let mut pairs = Pairs::new();
    let flow = db.get_range(range, |key, value| {
        pairs.push((key.to_vec(), value.to_vec()));
        Continue(())
    })?;
    assert!(flow.is_continue());
    Ok(pairs)
}

#[test]
fn every_range_is_the_models() -> TestResult {
    on_each_sorted(32 * MIB, |fixture| {
        let db = &fixture.db;
        let model = fill(db)?;
        for (low, high) in ranges() {
            let cases = [
                (Range::All, (Unbounded, Unbounded)),
                (Range::Above(&low), (Excluded(&low), Unbounded)),
                (Range::EqualAbove(&low), (Included(&low), Unbounded)),
                (Range::Below(&high), (Unbounded, Excluded(&high))),
                (Range::EqualBelow(&high), (Unbounded, Included(&high))),
                (
                    Range::Between(&low, &high),
                    (Excluded(&low), Excluded(&high)),
                ),
            ];
            for (range, bounds) in cases {
                // A BTreeMap panics where the bounds cross; pmemkv finds nothing.
                let crossed = matches!(range, Range::Between(low, high) if low >= high);
                let expected: Pairs = if crossed {
                    Pairs::new()
                } else {
                    model
                        .range::<Vec<u8>, _>(bounds)
                        .map(|(key, value)| (key.clone(), value.clone()))
                        .collect()
                };
                assert_eq!(walk(db, range)?, expected, "{range:?}");
                assert_eq!(db.count_range(range)?, expected.len(), "{range:?}");
            }
        }
        Ok(())
    })
}

#[test]
fn the_named_calls_are_the_six_shapes() -> TestResult {
    on_each_sorted(16 * MIB, |fixture| {
        let db = &fixture.db;
        for key in [b"a", b"b", b"c", b"d"] {
            db.put(key, key)?;
        }
        let mut seen = String::new();
        let mut note = |key: &[u8]| {
            seen.push_str(&String::from_utf8_lossy(key));
            Continue(())
        };
        let _ = db.get_keys_all(&mut note)?;
        let _ = db.get_keys_above(b"b", &mut note)?;
        let _ = db.get_keys_equal_above(b"b", &mut note)?;
        let _ = db.get_keys_below(b"b", &mut note)?;
        let _ = db.get_keys_equal_below(b"b", &mut note)?;
        let _ = db.get_keys_between(b"a", b"d", &mut note)?;
        assert_eq!(seen, "abcd cd bcd a ab bc".replace(' ', ""));
        seen.clear();
        let mut note = |key: &[u8], value: &[u8]| {
            assert_eq!(key, value);
            seen.push_str(&String::from_utf8_lossy(key));
            Continue(())
        };
        let _ = db.get_all(&mut note)?;
        let _ = db.get_above(b"b", &mut note)?;
        let _ = db.get_equal_above(b"b", &mut note)?;
        let _ = db.get_below(b"b", &mut note)?;
        let _ = db.get_equal_below(b"b", &mut note)?;
        let _ = db.get_between(b"a", b"d", &mut note)?;
        assert_eq!(seen, "abcd cd bcd a ab bc".replace(' ', ""));
        let counts = [
            db.count_all()?,
            db.count_above(b"b")?,
            db.count_equal_above(b"b")?,
            db.count_below(b"b")?,
            db.count_equal_below(b"b")?,
            db.count_between(b"a", b"d")?,
        ];
        assert_eq!(counts, [4, 2, 3, 1, 2, 2]);
        Ok(())
    })
}

#[test]
fn an_unsorted_engine_walks_everything_and_refuses_ranges() -> TestResult {
    on_each(32 * MIB, |fixture| {
        if fixture.engine.sorted {
            return Ok(());
        }
        let db = &fixture.db;
        let model = fill(db)?;
        let all: BTreeMap<_, _> = walk(db, Range::All)?.into_iter().collect();
        assert_eq!(all, model);
        assert_eq!(db.count_all()?, model.len());
        for range in [
            Range::Above(b"a"),
            Range::EqualAbove(b"a"),
            Range::Below(b"a"),
            Range::EqualBelow(b"a"),
            Range::Between(b"a", b"b"),
        ] {
            let walked = walk(db, range);
            assert!(matches!(walked, Err(Error::NotSupported(_))), "{range:?}");
            let counted = db.count_range(range);
            assert!(matches!(counted, Err(Error::NotSupported(_))), "{range:?}");
        }
        Ok(())
    })
}

#[test]
fn a_walk_stops_when_told_to() -> TestResult {
    on_each(16 * MIB, |fixture| {
        let db = &fixture.db;
        fill(db)?;
        for limit in [1, 2, 100] {
            let mut visited = 0;
            let flow = db.get_all(|_, _| {
                visited += 1;
                if visited == limit {
                    Break(())
                } else {
                    Continue(())
                }
            })?;
            assert!(flow.is_break());
            assert_eq!(visited, limit);
        }
        Ok(())
    })
}

#[test]
fn a_panic_in_a_walk_comes_back_and_leaves_the_database_usable() -> TestResult {
    on_each(16 * MIB, |fixture| {
        let db = &fixture.db;
        let model = fill(db)?;
        let caught = panic::catch_unwind(AssertUnwindSafe(|| {
            let _ = db.get_all(|_, _| panic!("from a walk"));
        }));
        let text = caught.expect_err("the panic was swallowed");
        assert_eq!(text.downcast_ref::<&str>(), Some(&"from a walk"));
        db.put(b"after", b"it")?;
        assert_eq!(walk(db, Range::All)?.len(), model.len() + 1);
        Ok(())
    })
}

#[test]
fn a_walk_cannot_change_what_it_walks() -> TestResult {
    on_each(16 * MIB, |fixture| {
        let db = &fixture.db;
        fill(db)?;
        let _ = db.get_all(|key, _| {
            assert_eq!(db.remove(key), Err(Error::Reentrant));
            Break(())
        })?;
        Ok(())
    })
}

#[test]
fn a_closure_may_read_the_tree_that_it_walks() -> TestResult {
    on_each_sorted(16 * MIB, |fixture| {
        let db = &fixture.db;
        let model = fill(db)?;
        assert!(!db.is_inside());
        let mut met = 0;
        let flow = db.get_all(|key, value| {
            assert!(db.is_inside());
            assert_eq!(db.get(key).expect("a read").as_deref(), Some(value));
            assert_eq!(db.exists(b"no such key"), Ok(false));
            assert_eq!(db.count_all(), Ok(model.len()));
            let mut within = 0;
            let inner = db.get_keys_all(|_| {
                assert_eq!(db.put(b"new", b"x"), Err(Error::Reentrant));
                within += 1;
                Continue(())
            });
            assert_eq!(inner, Ok(Continue(())));
            assert_eq!(within, model.len());
            // The inner calls have not taken the walk's mark away.
            assert_eq!(db.remove(key), Err(Error::Reentrant));
            met += 1;
            Continue(())
        })?;
        assert_eq!((flow, met), (Continue(()), model.len()));
        db.put(b"after", b"it")?;
        Ok(())
    })
}

#[test]
fn a_closure_cannot_read_the_hash_table_that_it_walks() -> TestResult {
    on_each(16 * MIB, |fixture| {
        if fixture.engine.sorted {
            return Ok(());
        }
        let db = &fixture.db;
        fill(db)?;
        let _ = db.get_all(|key, _| {
            assert_eq!(db.get(key), Err(Error::Reentrant));
            assert_eq!(db.count_all(), Err(Error::Reentrant));
            Break(())
        })?;
        Ok(())
    })
}

#[test]
fn a_frozen_database_is_walked_but_not_changed() -> TestResult {
    on_each(16 * MIB, |fixture| {
        let db = &fixture.db;
        let model = fill(db)?;
        std::thread::scope(|scope| -> TestResult {
            let writer = db.freeze(|| -> Result<_, Box<dyn std::error::Error>> {
                let writer = scope.spawn(|| db.put(b"new", b"x"));
                assert_eq!(walk(db, Range::All)?.len(), model.len());
                std::thread::sleep(std::time::Duration::from_millis(20));
                if fixture.engine.reads_in_walks() {
                    assert!(!db.exists(b"new")?);
                } else {
                    assert_eq!(db.exists(b"new"), Err(Error::Reentrant));
                }
                assert_eq!(db.put(b"new", b"y"), Err(Error::Reentrant));
                Ok(writer)
            })??;
            writer.join().expect("the writer ends")?;
            assert_eq!(db.get(b"new")?.as_deref(), Some(&b"x"[..]));
            Ok(())
        })
    })
}
