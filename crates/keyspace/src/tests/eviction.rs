//! Eviction over a store in memory.

use parking_lot::Mutex;

use super::*;
use config::{Config, Settings};

/// The bytes of a key and its value in the tests' store.
const RECORD_BYTES: u64 = 14;

pub(super) fn settings(directives: &[(&str, &str)]) -> Settings {
    let config = Config::default();
    let pairs: Vec<(&[u8], &[u8])> = directives
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    config.set(&pairs).expect("good values");
    (*config.settings()).clone()
}

fn with_policy(policy: &str) -> (Keyspace, Arc<MemoryStore>) {
    let (keyspace, store) = fresh(false);
    keyspace
        .eviction()
        .configure(&settings(&[("maxmemory-policy", policy)]));
    (keyspace, store)
}

fn name(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

fn fill(keyspace: &Keyspace, keys: std::ops::Range<u32>) -> Result<()> {
    for n in keys {
        put(keyspace, 0, &name(n), b"0123456789")?;
    }
    Ok(())
}

#[test]
fn a_write_to_a_full_store_evicts_and_tries_again() -> Result<()> {
    let (keyspace, store) = with_policy("allkeys-random");
    fill(&keyspace, 0..1_000)?;
    store.most.store(500 * RECORD_BYTES, Ordering::Relaxed);
    put(&keyspace, 0, b"more", b"0123456789")?;
    assert_eq!(get(&keyspace, 0, b"more", 0)?, Some(b"0123456789".to_vec()));
    assert!(keyspace.databases().len(0)? <= 500);
    let evicted = keyspace.eviction().stats(0).evicted_keys;
    assert_eq!(evicted + keyspace.databases().len(0)?, 1_001);
    Ok(())
}

#[test]
fn a_write_evicts_a_bounded_number_of_keys() -> Result<()> {
    let (keyspace, store) = with_policy("allkeys-random");
    fill(&keyspace, 0..5_000)?;
    store.most.store(RECORD_BYTES, Ordering::Relaxed);
    let refused = put(&keyspace, 0, b"more", b"0123456789");
    assert!(matches!(refused, Err(KeyspaceError::OutOfMemory)));
    let evicted = keyspace.eviction().stats(0).evicted_keys;
    assert!((500..=2_000).contains(&evicted), "{evicted}");
    Ok(())
}

#[test]
fn without_a_policy_nothing_is_evicted() -> Result<()> {
    let (keyspace, store) = fresh(false);
    fill(&keyspace, 0..100)?;
    store.most.store(50 * RECORD_BYTES, Ordering::Relaxed);
    assert!(matches!(
        put(&keyspace, 0, b"more", b"0123456789"),
        Err(KeyspaceError::OutOfMemory)
    ));
    assert_eq!(keyspace.databases().len(0)?, 100);
    Ok(())
}

#[test]
fn a_command_evicts_before_it_adds() -> Result<()> {
    let (keyspace, store) = with_policy("allkeys-random");
    fill(&keyspace, 0..1_000)?;
    store
        .evict_above
        .store(900 * RECORD_BYTES, Ordering::Relaxed);
    keyspace.eviction().configure(&settings(&[
        ("maxmemory-policy", "allkeys-random"),
        ("maxmemory-eviction-tenacity", "100"),
    ]));
    keyspace.memory_check().check(100 * RECORD_BYTES, 0)?;
    assert_eq!(keyspace.databases().len(0)?, 800);
    // A write that can never fit evicts only down to the limit.
    keyspace.memory_check().check(1 << 30, 0)?;
    assert_eq!(keyspace.databases().len(0)?, 800);
    Ok(())
}

#[test]
fn the_longest_idle_keys_go_first() -> Result<()> {
    let (keyspace, store) = with_policy("allkeys-lru");
    fill(&keyspace, 0..1_000)?;
    for n in 500..1_000 {
        keyspace.info(0, &name(n), at(60_000))?;
    }
    store
        .evict_above
        .store(700 * RECORD_BYTES, Ordering::Relaxed);
    keyspace.eviction().configure(&settings(&[
        ("maxmemory-policy", "allkeys-lru"),
        ("maxmemory-eviction-tenacity", "100"),
        ("maxmemory-samples", "20"),
    ]));
    keyspace.memory_check().check(0, 60_000)?;
    let mut left = [0; 2];
    for n in 0..1_000u32 {
        if keyspace
            .info(0, &name(n), Access::by_server(60_000))?
            .is_some()
        {
            left[usize::from(n >= 500)] += 1;
        }
    }
    assert_eq!(left[0] + left[1], 700);
    assert!(left[1] >= 495, "{left:?}");
    Ok(())
}

#[test]
fn maxmemory_without_a_policy_refuses() -> Result<()> {
    let (keyspace, _store) = fresh(false);
    fill(&keyspace, 0..10)?;
    keyspace
        .eviction()
        .configure(&settings(&[("maxmemory", "1")]));
    assert!(matches!(
        keyspace.memory_check().check(0, 1_000),
        Err(KeyspaceError::OverMaxmemory)
    ));
    let stats = keyspace.eviction().stats(3_500);
    assert_eq!((stats.exceeded_ms, stats.exceeded_now_ms), (2_500, 2_500));
    keyspace
        .eviction()
        .configure(&settings(&[("maxmemory", "0")]));
    keyspace.memory_check().check(0, 5_000)?;
    Ok(())
}

#[test]
fn evictions_emit_events() -> Result<()> {
    struct Heard(Mutex<Vec<String>>);
    impl Observer for Heard {
        fn modified(&self, db: usize, key: &[u8], client: u64) {
            let key = key.escape_ascii();
            self.0.lock().push(format!("changed {db} {key} {client}"));
        }
        fn flushed(&self, _: Option<usize>) {}
        fn event(&self, _: EventClass, name: &'static str, db: usize, key: &[u8]) {
            let key = key.escape_ascii();
            self.0.lock().push(format!("{name} {db} {key}"));
        }
    }
    let (keyspace, _store) = with_policy("allkeys-random");
    put(&keyspace, 3, b"k", b"v")?;
    let heard = Arc::new(Heard(Mutex::default()));
    keyspace
        .events
        .set_observer(Arc::clone(&heard) as Arc<dyn Observer>);
    keyspace.events.observe_modifications(true);
    keyspace.events.observe(EventClass::EVICTED);
    let mut watches = Watches::default();
    keyspace.watching().watch(&mut watches, 3, b"k", 0)?;
    keyspace.eviction().configure(&settings(&[
        ("maxmemory-policy", "allkeys-random"),
        ("maxmemory", "1"),
    ]));
    assert!(matches!(
        keyspace.memory_check().check(0, 0),
        Err(KeyspaceError::OverMaxmemory)
    ));
    assert_eq!(*heard.0.lock(), ["changed 3 k 0", "evicted 3 k"]);
    assert!(keyspace.watching().have_changed(&watches, 0)?);
    Ok(())
}
