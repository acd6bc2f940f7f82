//! The keyspace over a store in memory.

mod clock;
mod collections;
mod compact;
mod eviction;
mod expiry;
mod faults;
mod fields;
mod flushes;
mod gathering;
mod images;
mod one_element;
mod replacement;
mod streams;
mod strings;
mod unreadable;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::*;
use store::memory::MemoryStore;

type Result<T, E = KeyspaceError> = std::result::Result<T, E>;

fn at(now: Millis) -> Access {
    Access {
        now,
        touch: true,
        client: 0,
        serves: false,
        patient: true,
    }
}

fn over(store: &Arc<MemoryStore>) -> Keyspace {
    store.opens.fetch_add(1, Ordering::Relaxed);
    Keyspace::new(Box::new(Arc::clone(store)))
}

fn fresh(sorted: bool) -> (Keyspace, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new(if sorted { 1 } else { 16 }, sorted));
    (over(&store), store)
}

fn put(keyspace: &Keyspace, db: usize, key: &[u8], value: &[u8]) -> Result<()> {
    keyspace.update(db, key, at(0), |slot| slot.put(Kind::String, value, None))
}

fn put_until(keyspace: &Keyspace, db: usize, key: &[u8], expires_at: Millis) -> Result<()> {
    keyspace.update(db, key, at(0), |slot| {
        slot.put(Kind::String, b"v", Some(expires_at))
    })
}

fn get(keyspace: &Keyspace, db: usize, key: &[u8], now: Millis) -> Result<Option<Vec<u8>>> {
    keyspace.read(db, key, at(now), |value| value.bytes.to_vec())
}

#[allow(clippy::redundant_closure_for_method_calls)] // The method's lifetimes do not fit the call.
fn remove(keyspace: &Keyspace, db: usize, key: &[u8], access: Access) -> Result<bool> {
    keyspace.update(db, key, access, |slot| slot.remove())
}

fn scan_all(keyspace: &Keyspace, db: usize, count: usize, now: Millis) -> Result<Vec<Vec<u8>>> {
    let mut keys = Vec::new();
    let mut cursor = Cursor::START;
    for _ in 0..100_000 {
        let next = keyspace
            .walk()
            .scan(db, cursor, count, now, &mut |key, _| {
                keys.push(key.to_vec());
            })?;
        match next {
            Some(next) => cursor = next.carried(),
            None => return Ok(keys),
        }
    }
    panic!("a scan did not end");
}

fn range_all(keyspace: &Keyspace, range: Range<'_>, now: Millis) -> Result<Vec<Vec<u8>>> {
    let mut keys = Vec::new();
    keyspace.walk().range_keys(0, range, now, &mut |key| {
        keys.push(key.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(keys)
}

#[test]
fn a_key_past_its_deadline_is_absent_everywhere() -> Result<()> {
    for sorted in [false, true] {
        let (keyspace, store) = fresh(sorted);
        put_until(&keyspace, 0, b"gone", 100)?;
        put_until(&keyspace, 0, b"kept", 300)?;
        assert_eq!(get(&keyspace, 0, b"gone", 99)?, Some(b"v".to_vec()));
        assert_eq!(get(&keyspace, 0, b"gone", 100)?, None);
        assert_eq!(keyspace.info(0, b"gone", at(100))?, None);
        assert_eq!(scan_all(&keyspace, 0, 10, 100)?, [b"kept"]);
        assert_eq!(range_all(&keyspace, Range::All, 100)?, [b"kept"]);
        assert_eq!(keyspace.walk().range_count(0, Range::All, 100)?, 1);
        assert_eq!(keyspace.walk().random_key(0, 100)?, Some(b"kept".to_vec()));
        let removed = remove(&keyspace, 0, b"gone", at(100))?;
        assert!(!removed, "an expired key was not there to be removed");
        assert_eq!(store.records(), 1);
        assert_eq!(keyspace.expiry().remove_all_due(300)?, 1);
        assert_eq!((store.records(), keyspace.databases().len(0)?), (0, 0));
        assert_eq!(keyspace.stats()?.expired_keys, 2);
    }
    Ok(())
}

#[test]
fn several_writes_happen_together_or_not_at_all() -> Result<()> {
    let (keyspace, store) = fresh(false);
    put(&keyspace, 0, b"a", b"old")?;
    let keys: [(usize, &[u8]); 4] = [(0, b"a"), (1, b"b"), (0, b"a"), (0, b"c")];
    let refused: Result<()> = keyspace.update_many(&keys, at(0), |slots| {
        slots.put(0, Kind::String, b"new", None);
        Err(KeyspaceError::TooLarge)
    });
    assert!(refused.is_err());
    assert_eq!(get(&keyspace, 0, b"a", 0)?, Some(b"old".to_vec()));

    store.writes_left.store(0, Ordering::Relaxed);
    let full: Result<()> = keyspace.update_many(&keys, at(0), |slots| {
        slots.put(1, Kind::String, b"new", None);
        slots.remove(0);
        Ok(())
    });
    assert!(matches!(full, Err(KeyspaceError::OutOfMemory)));
    assert_eq!(get(&keyspace, 0, b"a", 0)?, Some(b"old".to_vec()));
    assert_eq!(get(&keyspace, 1, b"b", 0)?, None);

    store.writes_left.store(u64::MAX, Ordering::Relaxed);
    keyspace.update_many::<_, KeyspaceError>(&keys, at(0), |slots| {
        slots.put(0, Kind::String, b"first", None);
        slots.put(1, Kind::String, b"b", Some(50));
        slots.put(2, Kind::String, b"last", None);
        slots.remove(3);
        Ok(())
    })?;
    assert_eq!(get(&keyspace, 0, b"a", 0)?, Some(b"last".to_vec()));
    assert_eq!(get(&keyspace, 1, b"b", 49)?, Some(b"b".to_vec()));
    let mut read = Vec::new();
    keyspace.read_many(&keys, at(50), |value| {
        read.push(value.map(|value| value.bytes.to_vec()));
    })?;
    let last = Some(b"last".to_vec());
    assert_eq!(read, [last.clone(), None, last, None]);
    Ok(())
}

#[test]
fn a_write_to_a_full_store_changes_nothing() -> Result<()> {
    let (keyspace, store) = fresh(false);
    put_until(&keyspace, 0, b"a", 100)?;
    store.writes_left.store(0, Ordering::Relaxed);
    assert!(matches!(
        put(&keyspace, 0, b"a", b"x"),
        Err(KeyspaceError::OutOfMemory)
    ));
    assert!(matches!(
        put(&keyspace, 0, b"b", b"x"),
        Err(KeyspaceError::OutOfMemory)
    ));
    let expire: Result<()> = keyspace.update(0, b"a", at(0), |slot| slot.set_expiry(None));
    assert!(expire.is_err());
    assert_eq!(keyspace.databases().len(0)?, 1);
    let info = keyspace.info(0, b"a", at(0))?.expect("still there");
    assert_eq!(info.expires_at, Some(100));
    Ok(())
}

#[test]
fn a_flush_is_at_once_and_survives_a_restart() -> Result<()> {
    let (keyspace, store) = fresh(false);
    for n in 0..1_000u32 {
        put(&keyspace, 0, &n.to_be_bytes(), b"v")?;
        put(&keyspace, 3, &n.to_be_bytes(), b"w")?;
    }
    keyspace.databases().flush(0)?;
    assert_eq!(
        (keyspace.databases().len(0)?, keyspace.databases().len(3)?),
        (0, 1_000)
    );
    assert_eq!(keyspace.stats()?.pending_removals, 1_000);
    put(&keyspace, 0, b"new", b"v")?;
    // The process dies before the records are removed.
    let keyspace = over(&store);
    assert_eq!(
        (keyspace.databases().len(0)?, keyspace.databases().len(3)?),
        (1, 1_000)
    );
    assert_eq!(keyspace.stats()?.pending_removals, 1_000);
    while keyspace.garbage().remove(64) > 0 {}
    assert_eq!(store.records(), 1_001);
    assert_eq!(keyspace.stats()?.pending_removals, 0);
    keyspace.databases().flush_all()?;
    while keyspace.garbage().remove(64) > 0 {}
    assert_eq!(store.records(), 0);
    Ok(())
}

#[test]
fn nothing_is_written_after_the_close() -> Result<()> {
    let (keyspace, _store) = fresh(false);
    put(&keyspace, 0, b"k", b"v")?;
    keyspace.close()?;
    let keyspace = Arc::new(keyspace);
    let (sender, written) = std::sync::mpsc::channel();
    // The thread waits for ever, and ends with the process.
    std::thread::spawn(move || sender.send(put(&keyspace, 0, b"k", b"late")));
    let waited = written.recv_timeout(std::time::Duration::from_millis(200));
    assert!(
        matches!(waited, Err(std::sync::mpsc::RecvTimeoutError::Timeout)),
        "{waited:?}"
    );
    Ok(())
}

#[test]
fn swapped_databases_stay_swapped() -> Result<()> {
    let (keyspace, store) = fresh(false);
    put(&keyspace, 0, b"k", b"zero")?;
    put(&keyspace, 5, b"k", b"five")?;
    keyspace.databases().swap(0, 5)?;
    for keyspace in [keyspace, over(&store)] {
        assert_eq!(get(&keyspace, 0, b"k", 0)?, Some(b"five".to_vec()));
        assert_eq!(get(&keyspace, 5, b"k", 0)?, Some(b"zero".to_vec()));
    }
    Ok(())
}

#[test]
fn a_scan_visits_keys_that_stay_across_changes_and_a_restart() -> Result<()> {
    let (mut keyspace, store) = fresh(false);
    let stays: BTreeSet<Vec<u8>> = (0..3_000u32).map(|n| n.to_be_bytes().to_vec()).collect();
    for key in &stays {
        put(&keyspace, 0, key, b"v")?;
    }
    let mut met: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let mut cursor = Cursor::START;
    for step in 0..3_000u32 {
        let next = keyspace.walk().scan(0, cursor, 50, 0, &mut |key, _| {
            *met.entry(key.to_vec()).or_default() += 1;
        })?;
        match next {
            Some(next) => cursor = next.carried(),
            None => break,
        }
        for n in 0..30 {
            let other = format!("other {step} {n}");
            put(&keyspace, 0, other.as_bytes(), b"v")?;
        }
        let gone = format!("other {} 7", step / 2);
        remove(&keyspace, 0, gone.as_bytes(), at(0))?;
        if step % 20 == 10 {
            keyspace = over(&store);
        }
    }
    assert!(stays.iter().all(|key| met.get(key) == Some(&1)));
    Ok(())
}

#[test]
fn ranges_are_ordered_and_follow_changes() -> Result<()> {
    for sorted in [false, true] {
        let (keyspace, _store) = fresh(sorted);
        for n in (0..1_000u16).rev() {
            put(&keyspace, 0, &n.to_be_bytes(), b"v")?;
        }
        let key = |n: u16| n.to_be_bytes().to_vec();
        let keys = |from: u16, to: u16| (from..to).map(key).collect::<Vec<_>>();
        let (low, high) = (key(100), key(900));
        let cases = [
            (Range::All, keys(0, 1_000)),
            (Range::Above(&low), keys(101, 1_000)),
            (Range::EqualAbove(&low), keys(100, 1_000)),
            (Range::Below(&high), keys(0, 900)),
            (Range::EqualBelow(&high), keys(0, 901)),
            (Range::Between(&low, &high), keys(101, 900)),
            (Range::Between(&high, &low), vec![]),
        ];
        for (range, expected) in cases {
            assert_eq!(range_all(&keyspace, range, 0)?, expected, "{range:?}");
            assert_eq!(
                keyspace.walk().range_count(0, range, 0)?,
                expected.len() as u64
            );
        }
        put(&keyspace, 0, b"\x00\x64\x00", b"v")?;
        remove(&keyspace, 0, &key(101), at(0))?;
        let first = range_all(&keyspace, Range::Above(&low), 0)?;
        assert_eq!(first[..2], [b"\x00\x64\x00".to_vec(), key(102)]);
        keyspace.databases().flush(0)?;
        put(&keyspace, 0, b"one", b"v")?;
        assert_eq!(range_all(&keyspace, Range::All, 0)?, [b"one"]);
    }
    Ok(())
}

#[test]
fn random_key_draws_every_key() -> Result<()> {
    let (keyspace, _store) = fresh(false);
    assert_eq!(keyspace.walk().random_key(0, 0)?, None);
    for key in [b"a", b"b", b"c"] {
        put(&keyspace, 0, key, b"v")?;
    }
    let drawn: BTreeSet<_> = (0..300)
        .map(|_| keyspace.walk().random_key(0, 0))
        .collect::<Result<_>>()?;
    assert_eq!(drawn.len(), 3);
    Ok(())
}

#[test]
fn touching_sets_the_idle_time_back() -> Result<()> {
    let (keyspace, _store) = fresh(false);
    put(&keyspace, 0, b"k", b"v")?;
    let idle = |now, touch| {
        let info = keyspace.info(0, b"k", Access { touch, ..at(now) })?;
        Ok::<_, KeyspaceError>(info.and_then(|info| info.idle_s))
    };
    assert_eq!(idle(9_000, false)?, Some(9));
    assert_eq!(idle(9_000, true)?, Some(9));
    assert_eq!(idle(10_000, false)?, Some(1));
    Ok(())
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize, u8, Option<Millis>),
    Remove(usize, u8),
    Expire(usize, u8, Option<Millis>),
    Move(usize, u8, usize, u8),
    Flush(usize),
    Swap(usize, usize),
    RemoveExpired,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let db = 0..3usize;
    let deadline = proptest::option::of(0..200i64);
    prop_oneof![
        8 => (db.clone(), any::<u8>(), deadline.clone()).prop_map(|(d, k, e)| Step::Put(d, k % 20, e)),
        3 => (db.clone(), any::<u8>()).prop_map(|(d, k)| Step::Remove(d, k % 20)),
        3 => (db.clone(), any::<u8>(), deadline).prop_map(|(d, k, e)| Step::Expire(d, k % 20, e)),
        3 => (db.clone(), any::<u8>(), db.clone(), any::<u8>())
            .prop_map(|(d, k, e, l)| Step::Move(d, k % 20, e, l % 20)),
        1 => db.clone().prop_map(Step::Flush),
        1 => (db.clone(), db).prop_map(|(a, b)| Step::Swap(a, b)),
        1 => Just(Step::RemoveExpired),
        1 => Just(Step::Reopen),
    ]
}

/// The time advances by one at each step.
type Model = [BTreeMap<u8, (Vec<u8>, Option<Millis>)>; 3];

fn run_step(keyspace: &Keyspace, model: &mut Model, step: &Step, now: Millis) -> Result<()> {
    let access = at(now);
    for db in model.iter_mut() {
        db.retain(|_, (_, deadline)| deadline.is_none_or(|deadline| deadline > now));
    }
    match *step {
        Step::Put(db, key, deadline) => {
            let value = format!("{db} {key} {now}").into_bytes();
            keyspace.update(db, &[key], access, |slot| {
                slot.put(Kind::String, &value, deadline)
            })?;
            model[db].insert(key, (value, deadline));
        }
        Step::Remove(db, key) => {
            let removed = remove(keyspace, db, &[key], access)?;
            assert_eq!(removed, model[db].remove(&key).is_some());
        }
        Step::Expire(db, key, deadline) => {
            keyspace.update(db, &[key], access, |slot| slot.set_expiry(deadline))?;
            if let Some(entry) = model[db].get_mut(&key) {
                entry.1 = deadline;
            }
        }
        Step::Move(db, key, to, name) => {
            let keys: [(usize, &[u8]); 2] = [(db, &[key]), (to, &[name])];
            keyspace.update_many::<_, KeyspaceError>(&keys, access, |slots| {
                let read = slots.read(0, |value| (value.bytes.to_vec(), value.expires_at))?;
                if let Some((value, deadline)) = read {
                    slots.remove(0);
                    slots.put(1, Kind::String, &value, deadline);
                }
                Ok(())
            })?;
            if let Some(entry) = model[db].remove(&key) {
                model[to].insert(name, entry);
            }
        }
        Step::Flush(db) => {
            keyspace.databases().flush(db)?;
            model[db].clear();
        }
        Step::Swap(a, b) => {
            keyspace.databases().swap(a, b)?;
            model.swap(a, b);
        }
        Step::RemoveExpired => {
            keyspace.expiry().remove_all_due(now)?;
        }
        Step::Reopen => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn behaves_like_a_map(steps in proptest::collection::vec(step(), 1..120), sorted: bool) {
        let store = Arc::new(MemoryStore::new(if sorted { 1 } else { 4 }, sorted));
        let mut keyspace = over(&store);
        let mut model = Model::default();
        for (now, step) in (0..).zip(&steps) {
            if matches!(step, Step::Reopen) {
                keyspace = over(&store);
            }
            run_step(&keyspace, &mut model, step, now).expect("the store does not fail");
        }
        let now = Millis::try_from(steps.len()).expect("few steps");
        for (db, expected) in model.iter().enumerate() {
            let live: BTreeMap<_, _> = expected
                .iter()
                .filter(|(_, (_, deadline))| deadline.is_none_or(|deadline| deadline > now))
                .map(|(&key, (value, deadline))| (vec![key], (value.clone(), *deadline)))
                .collect();
            let mut met = BTreeMap::new();
            keyspace
                .walk().range(db, Range::All, now, &|_| true, &mut |key, value| {
                    met.insert(key.to_vec(), (value.bytes.to_vec(), value.expires_at));
                    ControlFlow::Continue(())
                })
                .expect("the store does not fail");
            prop_assert_eq!(&met, &live);
            let mut scanned = scan_all(&keyspace, db, 3, now).expect("the store does not fail");
            scanned.sort();
            prop_assert_eq!(scanned, live.into_keys().collect::<Vec<_>>());
        }
    }
}
