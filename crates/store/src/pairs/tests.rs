//! Tests of the layout over real pools, on every engine that keeps data.

use std::ops::ControlFlow;
use std::path::Path;

use super::journal::{Before, Journal};
use super::*;
use crate::model::{Kind, Millis};
use crate::open::{Opened, open_layout};
use crate::testing::folder;
use crate::{Change, LayoutChoice, Options};
use pmemkv::{Pool, PoolHeader, engines};

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

pub(super) fn options(folder: &Path, engine: &str, pool_size_bytes: u64) -> Options {
    Options {
        engine: engine.to_owned(),
        engine_config: None,
        pool_path: folder.join("pool"),
        pool_size_bytes,
        layout: LayoutChoice::Pairs,
        repair: false,
        every_second: false,
    }
}

pub(super) fn open_at(folder: &Path, engine: &str, pool_size_bytes: u64) -> Result<Pairs> {
    let (engine, options) = options(folder, engine, pool_size_bytes).resolve()?;
    open_pairs(engine, &options)
}

fn open_pairs(engine: Engine, options: &Options) -> Result<Pairs> {
    match open_layout(engine, options)? {
        Opened::Pairs(store) => Ok(store),
        Opened::Packed(_) => Err("the other layout".into()),
    }
}

pub(super) fn key_in(store: &Pairs, key: &'static [u8]) -> RecordKey<'static> {
    RecordKey {
        partition: usize::from(key.last().copied().unwrap_or(0)) % store.partitions(),
        generation: 3,
        key,
    }
}

pub(super) fn put<'a>(
    record: RecordKey<'a>,
    previous: Option<Location>,
    value: &'a [u8],
) -> Write<'a> {
    Write::Put {
        record,
        previous,
        kind: Kind::String.into(),
        expires_at: None,
        value,
    }
}

pub(super) fn write(store: &Pairs, write: Write<'_>) -> Result<Location, StoreError> {
    let mut location = [Location::default()];
    store.write(&[write], &mut location)?;
    let [location] = location;
    Ok(location)
}

fn read(store: &Pairs, record: RecordKey<'_>) -> Result<Option<(Vec<u8>, Option<Millis>)>> {
    let mut found = None;
    store.read(record, Location::default(), &mut |value| {
        found = Some((value.bytes.to_vec(), value.expires_at));
    })?;
    Ok(found)
}

pub(super) fn visit_all(store: &Pairs) -> Result<Vec<Vec<u8>>> {
    let mut met = Vec::new();
    for partition in 0..store.partitions() {
        store.visit(partition, &mut |record| met.push(record.key.to_vec()))?;
    }
    Ok(met)
}

fn kept_engines() -> Vec<&'static str> {
    let kept = engines::available()
        .into_iter()
        .filter(|engine| engine.retains);
    kept.map(|engine| engine.name).collect()
}

#[test]
fn values_of_any_length_replace_one_another() -> Result {
    for engine in kept_engines() {
        let folder = folder()?;
        let store = open_at(folder.path(), engine, 64 << 20)?;
        let record = key_in(&store, b"k\0\xff");
        let mut previous = None;
        let large = vec![7; IN_PLACE_BYTES_MAX + 1];
        for value in [&b"one"[..], b"two", b"", b"longer", &large, &large, b"x"] {
            previous = Some(write(&store, put(record, previous, value))?);
            assert_eq!(
                read(&store, record)?,
                Some((value.to_vec(), None)),
                "{engine}"
            );
        }
        let mut location = previous.unwrap_or_default();
        for expires_at in [Some(99), Some(-1), None] {
            let change = Write::SetExpiry {
                record,
                location,
                expires_at,
            };
            let changed = write(&store, change)?;
            assert_eq!(length_of(changed), length_of(location));
            location = changed;
            assert_eq!(read(&store, record)?, Some((b"x".to_vec(), expires_at)));
        }
        write(&store, Write::Remove { record, location })?;
        assert_eq!(read(&store, record)?, None);
    }
    Ok(())
}

#[test]
fn ranges_keep_to_their_generation_and_bounds() -> Result {
    for engine in ["stree", "vsmap"] {
        let folder = folder()?;
        let store = open_at(folder.path(), engine, 64 << 20)?;
        let keys: [&[u8]; 6] = [b"", b"a", b"a\0", b"b", b"b\xff", b"c"];
        for generation in [2, 3, 4] {
            for key in keys {
                let record = RecordKey {
                    partition: 0,
                    generation,
                    key,
                };
                write(&store, put(record, None, b"v"))?;
            }
        }
        let cases: [(Range<'_>, &[&[u8]]); 9] = [
            (Range::All, &keys),
            (Range::Above(b""), &keys[1..]),
            (Range::EqualAbove(b""), &keys),
            (Range::EqualAbove(b"b"), &keys[3..]),
            (Range::Below(b"b"), &keys[..3]),
            (Range::EqualBelow(b"b"), &keys[..4]),
            (Range::EqualBelow(b"zz"), &keys),
            (Range::Between(b"a", b"c"), &keys[2..5]),
            (Range::Between(b"c", b"a"), &[]),
        ];
        for (range, expected) in cases {
            let mut met = Vec::new();
            store.range(3, range, &mut |key, _| {
                met.push(key.to_vec());
                ControlFlow::Continue(())
            })?;
            assert_eq!(met, expected, "{engine} {range:?}");
            assert_eq!(
                store.range_count(3, range)?,
                expected.len() as u64,
                "{range:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_change_that_was_cut_short_is_undone_at_the_next_open() -> Result {
    for engine in ["cmap", "stree"] {
        let folder = folder()?;
        let store = open_at(folder.path(), engine, 64 << 20)?;
        let (a, b) = (key_in(&store, b"a"), key_in(&store, b"b"));
        let old = write(&store, put(a, None, b"old"))?;
        let before = store.before(
            [put(a, None, b"new"), put(b, None, b"new")]
                .iter()
                .map(Write::record),
        )?;
        // The process dies after the first of two puts.
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let put_journal =
                |first: &Table, key: &[u8], value: &[u8]| store.put(first, key, value);
            store.journal.guard(
                &store.tables,
                &store.sums,
                &before,
                &put_journal,
                &mut || {
                    write(&store, put(a, Some(old), b"new"))?;
                    panic!("here");
                },
            )
        }));
        assert!(died.is_err());
        assert_eq!(read(&store, a)?, Some((b"new".to_vec(), None)));
        drop(store);
        let store = open_at(folder.path(), engine, 64 << 20)?;
        assert_eq!(read(&store, a)?, Some((b"old".to_vec(), None)), "{engine}");
        assert_eq!(read(&store, b)?, None);
        assert_eq!(visit_all(&store)?, [b"a"], "a journal is no record");
    }
    Ok(())
}

#[test]
fn a_journal_that_is_done_is_not_undone() -> Result {
    let folder = folder()?;
    let store = open_at(folder.path(), "cmap", 64 << 20)?;
    let (a, b) = (key_in(&store, b"a"), key_in(&store, b"b"));
    let large = vec![1; 100_000];
    for value in [&b"one"[..], b"two", &large, b"three"] {
        let writes = [put(a, None, value), put(b, None, value)];
        store.write(&writes, &mut [Location::default(); 2])?;
    }
    drop(store);
    let store = open_at(folder.path(), "cmap", 64 << 20)?;
    assert_eq!(read(&store, a)?, Some((b"three".to_vec(), None)));
    assert_eq!(read(&store, b)?, Some((b"three".to_vec(), None)));
    let undone = Journal::recover(&store.tables, &store.sums, &|_| {})?.1;
    assert_eq!(undone, 0);
    Ok(())
}

#[test]
fn a_journal_naming_a_missing_partition_is_damage() -> Result {
    let folder = folder()?;
    let store = open_at(folder.path(), "cmap", 64 << 20)?;
    let before = Before {
        partition: 10_000,
        key: b"k".to_vec(),
        value: None,
    };
    assert!(matches!(
        before.restore(&store.tables, &store.sums),
        Err(StoreError::Damaged(_))
    ));
    Ok(())
}

#[test]
fn a_full_pool_keeps_what_it_has_and_lets_go() -> Result {
    for engine in ["cmap", "stree"] {
        let folder = folder()?;
        let store = open_at(folder.path(), engine, 16 << 20)?;
        let value = vec![5; 1000];
        let names: Vec<Vec<u8>> = (0..40_000u32).map(|n| n.to_be_bytes().to_vec()).collect();
        let record = |n: usize| RecordKey {
            partition: n % store.partitions(),
            generation: 0,
            key: &names[n],
        };
        let stored = (0..names.len())
            .take_while(|&n| write(&store, put(record(n), None, &value)).is_ok())
            .count();
        assert!(stored > 3_000 && stored < names.len(), "{engine}: {stored}");
        let full = write(&store, put(record(stored), None, &value));
        assert!(
            matches!(full, Err(StoreError::OutOfMemory)),
            "{engine}: {full:?}"
        );
        // Of two puts in one write neither happens, and the first key keeps its old value.
        let changed = vec![6; 200_000];
        let writes = [
            put(record(0), None, b"new"),
            put(record(stored), None, &changed),
        ];
        let both = store.write(&writes, &mut [Location::default(); 2]);
        assert!(both.is_err(), "{engine}");
        for n in 0..stored {
            assert_eq!(
                read(&store, record(n))?,
                Some((value.clone(), None)),
                "{engine}"
            );
        }
        // Removals work one by one and together, and make room.
        let remove = |n| Write::Remove {
            record: record(n),
            location: Location::default(),
        };
        for n in (0..stored / 2).step_by(2) {
            store.write(&[remove(n), remove(n + 1)], &mut [Location::default(); 2])?;
        }
        write(&store, put(record(stored), None, &value))?;
    }
    Ok(())
}

#[test]
fn journals_do_not_fill_an_engine_that_must_not_run_full() -> Result {
    let folder = folder()?;
    let store = open_at(folder.path(), "stree", 16 << 20)?;
    let large = vec![7; 4_000];
    let record = |key: &'static [u8]| key_in(&store, key);
    for key in [&b"a"[..], b"b"] {
        write(&store, put(record(key), None, &large))?;
    }
    let names: Vec<Vec<u8>> = (0..40_000u32).map(|n| n.to_be_bytes().to_vec()).collect();
    let filled = names.iter().any(|name| {
        let record = RecordKey {
            partition: 0,
            generation: 0,
            key: name,
        };
        write(&store, put(record, None, &[5; 1000])).is_err()
    });
    assert!(filled);
    // The journal of such a change would hold both present values, and it would stay in the pool.
    let allocated = store.usage()?.allocated_bytes;
    let expire = |key| Write::SetExpiry {
        record: record(key),
        location: Location::default(),
        expires_at: Some(1),
    };
    let refused = store.write(&[expire(b"a"), expire(b"b")], &mut [Location::default(); 2]);
    assert!(
        matches!(refused, Err(StoreError::OutOfMemory)),
        "{refused:?}"
    );
    assert_eq!(store.usage()?.allocated_bytes, allocated);
    assert_eq!(read(&store, record(b"a"))?, Some((large, None)));
    Ok(())
}

#[test]
fn a_pool_of_another_engine_is_refused() -> Result {
    let folder = folder()?;
    open_at(folder.path(), "cmap", 16 << 20)?.close()?;
    let Err(refused) = open_at(folder.path(), "stree", 16 << 20) else {
        panic!("opened");
    };
    assert!(refused.to_string().contains("cmap"), "{refused}");
    Ok(())
}

#[test]
fn the_engines_own_configuration_names_the_pool() -> Result {
    let folder = folder()?;
    let mut options = options(folder.path(), "cmap", 1 << 30);
    let path = folder.path().join("elsewhere");
    let json = |text: String| Some(text);
    options.engine_config = json(format!(
        r#"{{"path": {:?}, "size": 16777216}}"#,
        path.display().to_string()
    ));
    let (engine, resolved) = options.resolve()?;
    let store = open_pairs(engine, &resolved)?;
    assert_eq!(store.usage()?.pool_path, Some(path));
    assert_eq!(store.usage()?.pool_bytes, 16 << 20);
    for wrong in [
        "",
        "[]",
        r#"{"path": 1}"#,
        r#"{"size": "x"}"#,
        r#"{"force_create": 1}"#,
    ] {
        options.engine_config = json(wrong.to_owned());
        assert!(options.resolve().is_err(), "{wrong}");
    }
    Ok(())
}

#[test]
fn generations_are_kept() -> Result {
    for engine in kept_engines() {
        let folder = folder()?;
        let store = open_at(folder.path(), engine, 16 << 20)?;
        let mut generations = store.generations();
        assert_eq!(generations, Generations::default());
        generations.of_database.reverse();
        generations.next = u32::MAX;
        store.set_generations(&generations)?;
        assert_eq!(store.generations(), generations);
        if store.abilities().persistent {
            drop(store);
            let store = open_at(folder.path(), engine, 16 << 20)?;
            assert_eq!(store.generations(), generations);
        }
    }
    Ok(())
}

/// A pool of the former format, whose values have no checksum.
fn make_former(folder: &Path, partitions: u32) -> Result {
    let header = PoolHeader {
        format_version: 1,
        engine: "cmap".to_owned(),
        layout: LAYOUT.to_owned(),
        partitions,
        hash_seed: 7,
    };
    let pool = Pool::create(folder.join("pool"), 64 << 20, &header)?;
    for partition in 0..partitions {
        let database = pool.open_partition(partition)?;
        for n in 0..20u8 {
            let key = [b'k', n, u8::try_from(partition)?];
            let value = record::encode_unchecked(Kind::String.into(), Some(5), &[n; 30]);
            database.put(&record::encode_key(3, &key), &value)?;
        }
    }
    Ok(())
}

#[test]
fn a_pool_of_the_former_format_is_read_and_upgraded_value_by_value() -> Result {
    let folder = folder()?;
    make_former(folder.path(), 2)?;
    let mut store = open_at(folder.path(), "cmap", 64 << 20)?;
    let key = [b'k', 4, 1];
    let record = RecordKey {
        partition: 1,
        generation: 3,
        key: &key,
    };
    for change in 0..5 {
        let mut location = None;
        assert_eq!(visit_all(&store)?.len(), 40);
        store.visit(1, &mut |met| {
            if met.key == key {
                location = Some(met.location);
            }
        })?;
        let location = location.ok_or("not there")?;
        assert_eq!(check_in(location) != 0, change > 0, "{change}");
        let expected = match change {
            0 => (vec![4; 30], Some(5)),
            1 => (vec![4; 30], Some(9)),
            2 => (vec![5; 38], None),
            3 => (vec![6; 30], None),
            _ => (b"66a666".to_vec(), None),
        };
        assert_eq!(read(&store, record)?, Some(expected), "{change}");
        let six = [Change {
            offset: 2,
            bytes: b"a".into(),
        }];
        match change {
            0 => {
                let write_expiry = Write::SetExpiry {
                    record,
                    location,
                    expires_at: Some(9),
                };
                write(&store, write_expiry)?;
            }
            // As long as a former value of 8 bytes more.
            1 => drop(write(&store, put(record, Some(location), &[5; 38]))?),
            2 => drop(write(&store, put(record, Some(location), &[6; 30]))?),
            _ => {
                let location = write(&store, put(record, Some(location), b"666666"))?;
                write(
                    &store,
                    Write::Patch {
                        record,
                        location,
                        changes: &six,
                    },
                )?;
            }
        }
        drop(store);
        store = open_at(folder.path(), "cmap", 64 << 20)?;
    }
    // A value without a checksum, in a pool that began without such ones, is damage.
    let fresh = crate::testing::folder()?;
    let store = open_at(fresh.path(), "cmap", 64 << 20)?;
    let value = record::encode_unchecked(Kind::String.into(), None, b"v");
    store.table(0).put(&record::encode_key(3, b"k"), &value)?;
    assert!(store.visit(0, &mut |_| ()).is_err());
    Ok(())
}

#[test]
fn a_partition_that_has_lost_a_record_or_has_an_older_one_back_is_damaged() -> Result {
    let folder = folder()?;
    let store = open_at(folder.path(), "cmap", 64 << 20)?;
    let record = key_in(&store, b"k");
    let other = RecordKey {
        key: b"other k",
        ..record
    };
    write(&store, put(other, None, b"stays"))?;
    let location = write(&store, put(record, None, b"old"))?;
    let key = key_of(&record);
    let table = store.table(record.partition);
    let old = table.get(&key)?.ok_or("not there")?;
    write(&store, put(record, Some(location), b"new"))?;
    let new = table.get(&key)?.ok_or("not there")?;
    store.visit(record.partition, &mut |_| ())?;
    for damaged in [Some(old), None] {
        match damaged {
            Some(old) => table.put(&key, &old)?,
            None => drop(table.remove(&key)?),
        }
        let visited = store.visit(record.partition, &mut |_| ());
        assert!(
            matches!(visited, Err(StoreError::Damaged(_))),
            "{visited:?}"
        );
        table.put(&key, &new)?;
        store.visit(record.partition, &mut |_| ())?;
    }
    Ok(())
}
