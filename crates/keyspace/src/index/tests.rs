//! Tests of the index.

mod cursors;
mod kept;
pub(super) mod records;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use proptest::prelude::*;

use super::*;
use records::{HashKey, Table};

const SKIP_BITS: u32 = 8;

const NAMINGS: [Naming; 2] = [Naming::InRecords, Naming::Beside];

/// A hash within shard 5. All keys of one index share the shard's bits.
fn hash(state: &RandomState, key: &[u8]) -> u64 {
    (state.hash_one(key) >> SKIP_BITS) | (5 << (64 - SKIP_BITS))
}

fn filled(keys: u32, naming: Naming, hasher: HashKey<'_>) -> Table<'_> {
    let mut table = Table::new(SKIP_BITS, naming, hasher);
    for n in 0..keys {
        let expires_at = (n % 3 == 0).then_some(Millis::from(n));
        table.insert(&n.to_be_bytes(), n.into(), expires_at);
    }
    table
}

#[test]
fn keeps_what_it_is_given_across_splits() {
    let state = RandomState::new();
    for naming in NAMINGS {
        let hasher = |key: &[u8]| hash(&state, key);
        let mut table = filled(20_000, naming, &hasher);
        assert_eq!((table.index.len(), table.index.expiring()), (20_000, 6_667));
        for n in 0..20_000u32 {
            let key = n.to_be_bytes();
            let located = table.located(&key).expect("inserted");
            assert_eq!(located.location, Location(n.into()));
        }
        assert_eq!(table.index.walk(&table.records).count(), 20_000);
        for n in 0..20_000u32 {
            assert!(table.remove(&n.to_be_bytes()).is_some());
        }
        assert_eq!((table.index.len(), table.index.expiring()), (0, 0));
    }
}

#[test]
fn scan_meets_each_key_once_in_hash_order() {
    let state = RandomState::new();
    let hasher = |key: &[u8]| hash(&state, key);
    for (keys, count) in [
        (0, 10),
        (1, 10),
        (32, 1),
        (33, 10),
        (449, 10),
        (9_000, 10),
        (9_000, 5_000),
    ] {
        let table = filled(keys, NAMINGS[keys as usize % 2], &hasher);
        let mut met = BTreeMap::new();
        let mut last = 0;
        let mut from = Some(Cursor::at(5 << (64 - SKIP_BITS)));
        let mut steps = 0;
        while let Some(cursor) = from {
            let mut here = 0;
            from = table.scan(cursor, count, &mut |found| {
                let hash = hasher(found.key);
                assert!(hash >= last && hash >= cursor.first_hash());
                last = hash;
                *met.entry(found.key.to_vec()).or_insert(0) += 1;
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
    let state = RandomState::new();
    let hasher = |key: &[u8]| hash(&state, key);
    let mut table = filled(3_000, Naming::InRecords, &hasher);
    assert!(!table.index.may_have_expired(-1));
    assert!(table.expired(-1, 10).is_empty());
    let mut due = 0;
    loop {
        let keys = table.expired(1_499, 100);
        if keys.is_empty() {
            break;
        }
        for key in keys {
            let located = table.remove(&key).expect("there");
            assert!(located.is_expired(1_499));
            due += 1;
        }
    }
    assert_eq!(due, 500);
    assert!(!table.index.may_have_expired(1_499));
}

#[test]
fn replace_keeps_the_count_of_deadlines() {
    let state = RandomState::new();
    let hasher = |key: &[u8]| hash(&state, key);
    for naming in NAMINGS {
        let mut table = filled(10, naming, &hasher);
        let key = 0u32.to_be_bytes();
        assert!(table.replace(&key, 100, None));
        assert_eq!(table.index.expiring(), 3);
        assert!(table.replace(&key, 101, Some(5)));
        assert_eq!(table.index.expiring(), 4);
        assert!(!table.replace(b"no", 102, None));
    }
}

/// The index is told where a record lies. What lies there in truth must never count as the key's value.
#[test]
fn a_record_at_a_wrong_place_is_an_error() {
    // The last byte does not count: two keys that differ in nothing else have one hash.
    let hasher = |key: &[u8]| mixed(&key[..3]);
    let mut table = filled(0, Naming::InRecords, &hasher);
    table.insert(b"key1", 7, None);
    let sound = table.records.by_location[&7].clone();
    assert!(table.get(b"key1").is_ok_and(|found| found.is_some()));
    // Another key with the same hash, which the index does not have.
    assert!(table.get(b"key2").is_ok_and(|found| found.is_none()));
    for wrong in [
        None,
        Some((IndexKey::from_slice(b"xyz1"), None)),
        Some((IndexKey::from_slice(b"key1"), Some(1_000))),
    ] {
        table.records.by_location.clear();
        table
            .records
            .by_location
            .extend(wrong.map(|wrong| (7, wrong)));
        assert!(table.get(b"key1").is_err());
        let start = Cursor::at(5 << (64 - SKIP_BITS));
        let scan = table
            .index
            .scan(start, 10, &table.records, &mut |_| panic!("a wrong key"));
        assert!(scan.is_err());
        assert!(table.index.walk(&table.records).all(|named| named.is_err()));
    }
    table.records.by_location.insert(7, sound);
    assert!(table.get(b"key1").is_ok_and(|found| found.is_some()));
}

/// Keys whose hashes differ only where an entry keeps no bits.
#[test]
fn keys_of_one_hash_are_kept_apart() {
    let hasher = |key: &[u8]| (5 << (64 - SKIP_BITS)) | u64::from(key[0] & 1) << 12;
    for naming in NAMINGS {
        let mut table = Table::new(SKIP_BITS, naming, &hasher);
        for key in 0..100u8 {
            table.insert(&[key], key.into(), None);
        }
        for key in 0..100u8 {
            let located = table.located(&[key]).expect("inserted");
            assert_eq!(located.location, Location(key.into()));
        }
        assert!(table.located(&[100]).is_none());
        for key in (0..100u8).rev() {
            let located = table.remove(&[key]).expect("inserted");
            assert_eq!(located.location, Location(key.into()));
            assert!(table.located(&[key]).is_none());
        }
    }
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

fn behaves_as_a_map(
    steps: &[Step],
    naming: Naming,
    hasher: HashKey<'_>,
) -> Result<(), TestCaseError> {
    let mut table = Table::new(SKIP_BITS, naming, hasher);
    let mut map: BTreeMap<Vec<u8>, (u64, Option<Millis>)> = BTreeMap::new();
    for (number, &step) in (0u64..).zip(steps) {
        match step {
            Step::Put(key, deadline) => {
                let key = long_or_short(key);
                let replaced = table.replace(&key, number, deadline);
                prop_assert_eq!(replaced, map.contains_key(&key));
                if !replaced {
                    table.insert(&key, number, deadline);
                }
                map.insert(key, (number, deadline));
            }
            Step::Remove(key) => {
                let key = long_or_short(key);
                let removed = table.remove(&key);
                let removed = removed.map(|located| (located.location.0, located.expires_at));
                prop_assert_eq!(removed, map.remove(&key));
            }
            Step::Expire(now) => {
                let due = |map: &BTreeMap<_, (_, Option<Millis>)>| {
                    let is_due = |deadline: Option<Millis>| deadline.is_some_and(|at| at <= now);
                    map.values().filter(|(_, at)| is_due(*at)).count()
                };
                while due(&map) > 0 {
                    prop_assert!(table.index.may_have_expired(now));
                    let expired = table.expired(now, 7);
                    prop_assert_eq!(expired.len(), due(&map).min(7));
                    for key in expired {
                        prop_assert!(table.remove(&key).is_some());
                        prop_assert!(map.remove(key.as_slice()).is_some());
                    }
                }
                prop_assert!(table.expired(now, 7).is_empty());
                prop_assert!(!table.index.may_have_expired(now));
            }
            Step::Scan(count) => {
                let mut met = Vec::new();
                let mut from = Some(Cursor::at(5 << (64 - SKIP_BITS)));
                while let Some(cursor) = from {
                    from = table.scan(cursor, count, &mut |found| {
                        met.push(found.key.to_vec());
                    });
                }
                met.sort_unstable();
                prop_assert!(met.iter().eq(map.keys()));
            }
        }
        let expiring = map.values().filter(|(_, at)| at.is_some()).count();
        let index = &table.index;
        prop_assert_eq!((index.len(), index.expiring()), (map.len(), expiring));
    }
    prop_assert_eq!(table.index.iter().count(), map.len());
    for (key, (number, deadline)) in &map {
        let located = table.located(key);
        let found = located.map(|located| (located.location.0, located.expires_at));
        prop_assert_eq!(found, Some((*number, *deadline)));
    }
    prop_assert_eq!(table.index.take(usize::MAX).len(), map.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_behaves_as_a_map(steps in prop::collection::vec(step(), 1..1_500)) {
        let state = RandomState::new();
        for naming in NAMINGS {
            behaves_as_a_map(&steps, naming, &|key| hash(&state, key))?;
        }
    }

    #[test]
    fn leaves_that_cannot_split_behave_as_a_map(steps in prop::collection::vec(step(), 1..500)) {
        for naming in NAMINGS {
            behaves_as_a_map(&steps, naming, &broken_hash)?;
        }
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

fn long_lived(number: u32) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    key[12..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The shard's share of 10 thousand to 10 million keys, without the names and with them.
#[test]
fn a_key_takes_few_bytes_on_average() {
    for (naming, bytes_max, mean_max) in [
        (Naming::InRecords, 26.0, 22.5),
        (Naming::Beside, 72.0, 66.0),
    ] {
        let mut table = Table::new(SKIP_BITS, naming, &mixed);
        let (mut next, mut sizes, mut sum) = (39u32, 0u32, 0.0);
        for number in 0..40_000u32 {
            table.insert(&long_lived(number), number.into(), None);
            if number + 1 == next {
                #[allow(clippy::cast_precision_loss)] // A few MB.
                let bytes = table.index.memory_bytes() as f64 / f64::from(next);
                let few = next < 1_000;
                assert!(
                    few || bytes <= bytes_max,
                    "{bytes} bytes a key at {next} keys"
                );
                sum += if few { 0.0 } else { bytes };
                sizes += u32::from(!few);
                next += 1 + next / 25;
            }
        }
        let mean = sum / f64::from(sizes);
        assert!(
            mean <= mean_max,
            "{mean} bytes a key on average: {naming:?}"
        );
    }
}

#[test]
fn memory_comes_back_after_deletes() {
    for naming in NAMINGS {
        let mut table = Table::new(SKIP_BITS, naming, &mixed);
        let empty = table.index.memory_bytes();
        for number in 0..20_000u32 {
            table.insert(&long_lived(number), number.into(), None);
        }
        let full = table.index.memory_bytes();
        for number in (0..20_000u32).filter(|number| number % 20 != 0) {
            assert!(table.remove(&long_lived(number)).is_some());
        }
        let rest = table.index.memory_bytes();
        assert!(rest * 2 < full, "{rest} of {full} bytes are left");
        for number in (0..20_000u32).step_by(20) {
            assert!(table.remove(&long_lived(number)).is_some());
        }
        assert_eq!((table.index.len(), table.index.memory_bytes()), (0, empty));
    }
}

/// Deadlines far ahead cost nothing. Once the first deadlines of overwritten keys have passed, one search over them is
/// enough.
#[test]
fn overwritten_deadlines_are_looked_at_once() {
    let mut table = Table::new(SKIP_BITS, Naming::InRecords, &mixed);
    for number in 0..2_000u32 {
        table.insert(&long_lived(number), number.into(), Some(1_000));
    }
    for number in 0..2_000u32 {
        assert!(table.replace(&long_lived(number), u64::from(number) + 10_000, Some(9_000)));
    }
    assert!(!table.index.may_have_expired(999));
    assert!(table.index.may_have_expired(1_000));
    assert!(table.expired(1_000, 20).is_empty());
    assert!(!table.index.may_have_expired(8_999));
    assert!(table.index.may_have_expired(9_000));
}
