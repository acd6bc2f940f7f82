//! Tests of the index.

mod cursors;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use proptest::prelude::*;

use super::*;

const SKIP_BITS: u32 = 8;

/// A hash within shard 5. All keys of one index share the shard's bits.
fn hash(state: &RandomState, key: &[u8]) -> u64 {
    (state.hash_one(key) >> SKIP_BITS) | (5 << (64 - SKIP_BITS))
}

fn filled(keys: u32) -> (Index, RandomState) {
    let state = RandomState::new();
    let mut index = Index::new(SKIP_BITS);
    for n in 0..keys {
        let key = n.to_be_bytes();
        let expires_at = (n % 3 == 0).then_some(Millis::from(n));
        let entry = Entry::new(&key, Kind::String, Location(n.into()), expires_at, 0);
        index.insert(hash(&state, &key), entry, &|key| hash(&state, key));
    }
    (index, state)
}

#[test]
fn keeps_what_it_is_given_across_splits() {
    let (mut index, state) = filled(20_000);
    assert_eq!((index.len(), index.expiring()), (20_000, 6_667));
    for n in 0..20_000u32 {
        let key = n.to_be_bytes();
        let entry = index.get(hash(&state, &key), &key).expect("inserted");
        assert_eq!(entry.location, Location(n.into()));
    }
    for n in 0..20_000u32 {
        let key = n.to_be_bytes();
        assert!(index.remove(hash(&state, &key), &key).is_some());
    }
    assert_eq!((index.len(), index.expiring()), (0, 0));
}

#[test]
fn scan_meets_each_key_once_in_hash_order() {
    for (keys, count) in [
        (0, 10),
        (1, 10),
        (32, 1),
        (33, 10),
        (449, 10),
        (9_000, 10),
        (9_000, 5_000),
    ] {
        let (index, state) = filled(keys);
        let hasher = |key: &[u8]| hash(&state, key);
        let mut met = BTreeMap::new();
        let mut last = 0;
        let mut from = Some(Cursor::at(5 << (64 - SKIP_BITS)));
        let mut steps = 0;
        while let Some(cursor) = from {
            let mut here = 0;
            from = index.scan(cursor, count, &hasher, &mut |entry| {
                let hash = hasher(entry.key());
                assert!(hash >= last && hash >= cursor.first_hash());
                last = hash;
                *met.entry(entry.key().to_vec()).or_insert(0) += 1;
                here += 1;
            });
            assert!(here <= count + 8, "one step met {here} of {count} wanted");
            steps += 1;
            assert!(steps <= 20_000);
        }
        assert_eq!(met.len(), keys as usize);
        assert!(met.values().all(|&times| times == 1));
    }
}

#[test]
fn expired_finds_what_is_due_and_no_more() {
    let (mut index, state) = filled(3_000);
    assert!(!index.may_have_expired(-1));
    assert!(index.expired(-1, 10).is_empty());
    let mut due = 0;
    loop {
        let keys = index.expired(1_499, 100);
        if keys.is_empty() {
            break;
        }
        for key in keys {
            let entry = index.remove(hash(&state, &key), &key).expect("there");
            assert!(entry.is_expired(1_499));
            due += 1;
        }
    }
    assert_eq!(due, 500);
    assert!(!index.may_have_expired(1_499));
}

#[test]
fn replace_keeps_the_count_of_deadlines() {
    let (mut index, state) = filled(10);
    let replace = |index: &mut Index, key: &[u8], expires_at| {
        let hash = hash(&state, key);
        let replaced = index.replace(hash, key, Kind::String, Location(9), expires_at);
        replaced.is_some()
    };
    let key = 0u32.to_be_bytes();
    assert!(replace(&mut index, &key, None));
    assert_eq!(index.expiring(), 3);
    assert!(replace(&mut index, &key, Some(5)));
    assert_eq!(index.expiring(), 4);
    assert!(!replace(&mut index, b"no", None));
}

/// A hash whose upper 32 bits are the same for all keys, so that splitting never helps.
fn broken_hash(key: &[u8]) -> u64 {
    (5 << (64 - SKIP_BITS)) | key.iter().map(|&byte| u64::from(byte)).sum::<u64>()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Put(u16, Option<Millis>),
    Remove(u16),
    Expire(Millis),
    Scan(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let deadline = prop::option::of(0..100i64);
    prop_oneof![
        6 => (0..600u16, deadline).prop_map(|(key, deadline)| Step::Put(key, deadline)),
        4 => (0..600u16).prop_map(Step::Remove),
        1 => (0..100i64).prop_map(Step::Expire),
        1 => (1..50usize).prop_map(Step::Scan),
    ]
}

/// A key of 2 to 30 bytes: a short key lies in its entry, a long one outside.
fn long_or_short(number: u16) -> Vec<u8> {
    let mut key = number.to_be_bytes().to_vec();
    key.resize(2 + usize::from(number) % 29, b'x');
    key
}

fn behaves_as_a_map(steps: &[Step], hasher: HashKey<'_>) -> Result<(), TestCaseError> {
    let mut index = Index::new(SKIP_BITS);
    let mut map: BTreeMap<Vec<u8>, (u64, Option<Millis>)> = BTreeMap::new();
    for (number, &step) in (0u64..).zip(steps) {
        match step {
            Step::Put(key, deadline) => {
                let key = long_or_short(key);
                let hash = hasher(&key);
                let location = Location(number);
                let replaced = index.replace(hash, &key, Kind::String, location, deadline);
                prop_assert_eq!(replaced.is_some(), map.contains_key(&key));
                if replaced.is_none() {
                    let entry = Entry::new(&key, Kind::String, location, deadline, 0);
                    index.insert(hash, entry, hasher);
                }
                map.insert(key, (number, deadline));
            }
            Step::Remove(key) => {
                let key = long_or_short(key);
                let removed = index.remove(hasher(&key), &key);
                let expected = map.remove(&key);
                prop_assert_eq!(
                    removed.map(|entry| (entry.location.0, entry.expires_at())),
                    expected
                );
            }
            Step::Expire(now) => {
                let due = |map: &BTreeMap<_, (_, Option<Millis>)>| {
                    let is_due = |deadline: Option<Millis>| deadline.is_some_and(|at| at <= now);
                    map.values().filter(|(_, at)| is_due(*at)).count()
                };
                while due(&map) > 0 {
                    prop_assert!(index.may_have_expired(now));
                    let expired = index.expired(now, 7);
                    prop_assert_eq!(expired.len(), due(&map).min(7));
                    for key in expired {
                        prop_assert!(index.remove(hasher(&key), &key).is_some());
                        prop_assert!(map.remove(key.as_slice()).is_some());
                    }
                }
                prop_assert!(index.expired(now, 7).is_empty());
                prop_assert!(!index.may_have_expired(now));
            }
            Step::Scan(count) => {
                let mut met = Vec::new();
                let mut from = Some(Cursor::at(5 << (64 - SKIP_BITS)));
                while let Some(cursor) = from {
                    from = index.scan(cursor, count, hasher, &mut |entry| {
                        met.push(entry.key().to_vec());
                    });
                }
                met.sort_unstable();
                prop_assert!(met.iter().eq(map.keys()));
            }
        }
        let expiring = map.values().filter(|(_, at)| at.is_some()).count();
        prop_assert_eq!((index.len(), index.expiring()), (map.len(), expiring));
    }
    prop_assert_eq!(index.iter().count(), map.len());
    for (key, (number, deadline)) in &map {
        let entry = index.get(hasher(key), key);
        let found = entry.map(|entry| (entry.key(), entry.location.0, entry.expires_at()));
        prop_assert_eq!(found, Some((key.as_slice(), *number, *deadline)));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_behaves_as_a_map(steps in prop::collection::vec(step(), 1..1_500)) {
        let state = RandomState::new();
        behaves_as_a_map(&steps, &|key| hash(&state, key))?;
    }

    #[test]
    fn leaves_that_cannot_split_behave_as_a_map(steps in prop::collection::vec(step(), 1..500)) {
        behaves_as_a_map(&steps, &broken_hash)?;
    }
}

/// Spreads numbers as a hash does, in the same way at each run.
fn mixed(key: &[u8]) -> u64 {
    let mut hash = 0x9e37_79b9_7f4a_7c15;
    for &byte in key {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 29;
    }
    (hash >> SKIP_BITS) | (5 << (64 - SKIP_BITS))
}

fn long_lived(number: u32, expires_at: Option<Millis>) -> ([u8; 16], Entry) {
    let mut key = *b"key:000000000000";
    key[12..].copy_from_slice(&number.to_be_bytes());
    let entry = Entry::new(&key, Kind::String, Location(number.into()), expires_at, 0);
    (key, entry)
}

/// The shard's share of 10 thousand to 10 million keys.
#[test]
fn a_key_takes_at_most_60_bytes_on_average() {
    let mut index = Index::new(SKIP_BITS);
    let (mut next, mut sizes, mut sum) = (39u32, 0u32, 0.0);
    for number in 0..40_000u32 {
        let (key, entry) = long_lived(number, None);
        index.insert(mixed(&key), entry, &mixed);
        if number + 1 == next {
            #[allow(clippy::cast_precision_loss)] // A few MB.
            let bytes = index.memory_bytes() as f64 / f64::from(next);
            assert!(bytes <= 64.0, "{bytes} bytes a key at {next} keys");
            sum += bytes;
            sizes += 1;
            next += 1 + next / 25;
        }
    }
    let mean = sum / f64::from(sizes);
    assert!(mean <= 60.0, "{mean} bytes a key on average");
}

#[test]
fn memory_comes_back_after_deletes() {
    let mut index = Index::new(SKIP_BITS);
    let empty = index.memory_bytes();
    for number in 0..20_000u32 {
        let (key, entry) = long_lived(number, None);
        index.insert(mixed(&key), entry, &mixed);
    }
    let full = index.memory_bytes();
    for number in (0..20_000u32).filter(|number| number % 20 != 0) {
        let (key, _) = long_lived(number, None);
        assert!(index.remove(mixed(&key), &key).is_some());
    }
    let rest = index.memory_bytes();
    assert!(rest * 4 < full, "{rest} of {full} bytes are left");
    for number in (0..20_000u32).step_by(20) {
        let (key, _) = long_lived(number, None);
        assert!(index.remove(mixed(&key), &key).is_some());
    }
    assert_eq!((index.len(), index.memory_bytes()), (0, empty));
}

/// Deadlines far ahead cost nothing. Once the first deadlines of overwritten keys have passed, one search over them is
/// enough.
#[test]
fn overwritten_deadlines_are_looked_at_once() {
    let mut index = Index::new(SKIP_BITS);
    for number in 0..2_000u32 {
        let (key, entry) = long_lived(number, Some(1_000));
        index.insert(mixed(&key), entry, &mixed);
    }
    for number in 0..2_000u32 {
        let (key, _) = long_lived(number, None);
        let location = Location(1);
        let replaced = index.replace(mixed(&key), &key, Kind::String, location, Some(9_000));
        assert!(replaced.is_some());
    }
    assert!(!index.may_have_expired(999));
    assert!(index.may_have_expired(1_000));
    assert!(index.expired(1_000, 20).is_empty());
    assert!(!index.may_have_expired(8_999));
    assert!(index.may_have_expired(9_000));
}
