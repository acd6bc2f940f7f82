//! Compact collections: the same as collections with elements, in the same order and in the same forms of Redis.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::collections::{load, open_pool, sweep};
use super::*;
use crate::collection::Anchor;
use crate::{FormLimits, OneUpdate};
use store::testing::folder;
use store::{LayoutChoice, Location, RecordKey, Store, Write};

const KINDS: [Kind; 4] = [Kind::Hash, Kind::Set, Kind::List, Kind::SortedSet];

/// All elements with their values in order, and Redis's form.
pub(super) type Shown = Option<(Encoding, Vec<(Vec<u8>, Vec<u8>)>)>;

pub(super) fn shown(keyspace: &Keyspace, key: &[u8]) -> Result<Shown> {
    keyspace.view(0, key, at(0), |view| {
        let mut all = Vec::new();
        let encoding = match view {
            None => return Ok(None),
            Some(View::Hash(fields) | View::Set(fields)) => {
                fields.for_each(|name, value| all.push((name.to_vec(), value.to_vec())))?;
                let names = fields.names()?.map(|name| Ok(name?.into_vec()));
                let names = names.collect::<Result<Vec<_>>>()?;
                assert!(names.iter().eq(all.iter().map(|(name, _)| name)));
                for (name, value) in &all {
                    assert!(fields.contains(name)?);
                    assert_eq!(fields.get(name, <[u8]>::to_vec)?.as_ref(), Some(value));
                }
                let drawn = fields.draw()?.unwrap_or_default();
                assert!(fields.contains(&drawn)?);
                if fields.encoding() == Encoding::Full {
                    all.sort();
                }
                fields.encoding()
            }
            Some(View::List(list)) => {
                list.for_range(0..list.len(), false, |value| {
                    all.push((value.to_vec(), Vec::new()));
                    ControlFlow::Continue(())
                })?;
                let mut back = Vec::new();
                list.for_range(1..list.len(), true, |value| {
                    back.push(value.to_vec());
                    ControlFlow::Continue(())
                })?;
                back.reverse();
                assert!(back.iter().eq(all.iter().skip(1).map(|(value, _)| value)));
                for (position, (value, _)) in all.iter().enumerate() {
                    assert_eq!(list.get(position, <[u8]>::to_vec)?.as_ref(), Some(value));
                }
                list.encoding()?
            }
            Some(View::SortedSet(scores)) => {
                for (rank, (member, score)) in scores.range(0..scores.len()).enumerate() {
                    assert_eq!(scores.score(member)?, Some(score));
                    assert_eq!(scores.rank(score, member), rank);
                    let before =
                        scores.partition_point(|other, name| (other, name) < (score, member));
                    assert_eq!(before, rank);
                    all.push((member.to_vec(), score.to_le_bytes().to_vec()));
                }
                let back: Vec<_> = scores.range(1..scores.len()).rev().collect();
                assert_eq!(back.len(), scores.len() - 1);
                scores.encoding()
            }
            Some(_) => return Err(KeyspaceError::WrongKind),
        };
        assert!(!all.is_empty());
        Ok(Some((encoding, all)))
    })?
}

/// Integers that a set keeps in more than two bytes, or just not, and two words that only look like some.
const WORDS: [&str; 12] = [
    "-1",
    "32767",
    "32768",
    "-32768",
    "-32769",
    "2147483647",
    "-2147483649",
    "9223372036854775807",
    "-9223372036854775808",
    "70000",
    "007",
    "-0",
];

/// One call of up to `words` elements.
fn change(keyspace: &Keyspace, key: &[u8], kind: Kind, seed: u64) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let words = random.random_range(1..12);
    let adds = random.random_bool(0.6);
    let long = random.random_range(0..60) == 0;
    let integers = random.random_bool(0.7);
    let word = |random: &mut StdRng| {
        let number: i64 = random.random_range(0..200);
        let mut word = number.to_string().into_bytes();
        if random.random_range(0..40) == 0 {
            // Integers of all widths, and what is nearly one.
            let other = WORDS[random.random_range(0..WORDS.len())];
            word = other.as_bytes().to_vec();
        }
        if !integers && random.random_bool(0.2) {
            word.resize(word.len() + 10, b'x');
        }
        if long {
            word.resize(70, b'y');
        }
        word
    };
    let in_place = random.random_bool(0.7);
    // A call may run twice, and does the same both times.
    let all = |keys: &mut OneUpdate<'_, '_>| {
        let mut random = random.clone();
        match kind {
            Kind::Hash | Kind::Set => {
                let mut edit = keys.fields()?;
                for _ in 0..words {
                    let name = word(&mut random);
                    if adds && kind == Kind::Hash {
                        edit.put(&name, &word(&mut random))?;
                    } else if adds {
                        edit.add(&name)?;
                    } else {
                        edit.remove(&name)?;
                    }
                }
            }
            Kind::SortedSet => {
                let mut edit = keys.scores()?;
                for _ in 0..words {
                    let name = word(&mut random);
                    let score = match random.random_range(0..6) {
                        0 => -0.0,
                        1 => 0.5,
                        2 => 1e300,
                        3 => 70_000.0,
                        _ => f64::from(random.random_range(-300..300)),
                    };
                    if adds {
                        edit.set(&name, score)?;
                    } else {
                        edit.remove(&name)?;
                    }
                }
            }
            _ => {
                let mut edit = keys.list()?;
                let len = edit.len();
                let at = random.random_range(0..=len);
                match random.random_range(0..8) {
                    0 if at < len => edit.set(at, &word(&mut random)),
                    1 => edit.insert(at, &word(&mut random)),
                    2 => edit.remove((0..len).filter(|_| random.random_bool(0.2)).collect()),
                    3 => {
                        edit.pop(End::Head, at / 2);
                        edit.pop(End::Tail, (len - at) / 2);
                        edit.push(End::Head, &word(&mut random));
                    }
                    way => {
                        let end = if way % 2 == 0 { End::Head } else { End::Tail };
                        (0..words * 3).for_each(|_| edit.push(end, &word(&mut random)));
                    }
                }
            }
        }
        Ok::<_, KeyspaceError>(())
    };
    if in_place {
        keyspace.update_one(0, key, at(0), kind, all)
    } else {
        keyspace.update_many(&[(0, key)], at(0), |slots| {
            all(&mut OneUpdate::Staged(slots, kind))
        })
    }
}

fn limits(random: &mut StdRng) -> FormLimits {
    let mut some = |numbers: &[usize]| numbers[random.random_range(0..numbers.len())];
    FormLimits {
        hash_entries: some(&[0, 1, 20, 60, 512]),
        hash_value_bytes: some(&[12, 64]),
        set_integers: some(&[0, 5, 40, 512]),
        set_entries: some(&[0, 3, 50, 128]),
        set_value_bytes: some(&[12, 64]),
        zset_entries: some(&[0, 4, 30, 128]),
        zset_value_bytes: some(&[12, 64]),
        list_size: [-2, -1, 3, 30][some(&[0, 1, 2, 3])],
        compact_bytes_max: 0,
    }
}

/// Without a restart, what clients see does not depend on whether a collection is compact.
#[test]
fn compact_collections_do_what_those_with_elements_do() -> Result<()> {
    // More with PMEMKV_ROUNDS: three take some seconds.
    let rounds = std::env::var("PMEMKV_ROUNDS").map_or(3, |rounds| {
        rounds.parse().expect("PMEMKV_ROUNDS is a number")
    });
    for seed in 0..rounds {
        let mut random = StdRng::seed_from_u64(seed);
        let (compact, store) = fresh(false);
        let (elements, _) = fresh(false);
        let all = limits(&mut random);
        elements.forms.set(&all);
        for compact_bytes_max in [60, 300, 1024, 16_384] {
            compact.forms.set(&FormLimits {
                compact_bytes_max,
                ..all
            });
            for step in 0..50 {
                let kind = KINDS[random.random_range(0..4)];
                let key = format!("{} {}", kind.name(), random.random_range(0..2));
                let one: u64 = random.random();
                change(&compact, key.as_bytes(), kind, one)?;
                change(&elements, key.as_bytes(), kind, one)?;
                let found = shown(&compact, key.as_bytes())?;
                let expected = shown(&elements, key.as_bytes())?;
                assert_eq!(found, expected, "seed {seed} step {step} {key} {all:?}");
                let copy = format!("copy of {key}");
                for keyspace in [&compact, &elements] {
                    let keys = [(0, key.as_bytes()), (0, copy.as_bytes())];
                    keyspace.update_many(&keys, at(0), |slots| slots.copy_value(0, 1))?;
                }
                if found.is_some() {
                    assert_eq!(
                        shown(&compact, copy.as_bytes())?,
                        found,
                        "the copy of {key}"
                    );
                }
            }
            let mut before = Vec::new();
            for kind in KINDS {
                for number in 0..2 {
                    let key = format!("{} {number}", kind.name());
                    before.push((shown(&compact, key.as_bytes())?, key));
                }
            }
            // A restart keeps Redis's forms, and the order of what is compact.
            let again = over(&store);
            load(&again)?;
            for (expected, key) in &before {
                let mut found = shown(&again, key.as_bytes())?;
                let mut expected = expected.clone();
                if !is_compact(&again, key.as_bytes()) {
                    sort(&mut found);
                    sort(&mut expected);
                }
                assert_eq!(found, expected, "seed {seed}, {key} after a restart");
            }
        }
    }
    Ok(())
}

pub(super) fn sort(shown: &mut Shown) {
    if let Some((_, all)) = shown {
        all.sort();
    }
}

fn is_compact(keyspace: &Keyspace, key: &[u8]) -> bool {
    let bytes = keyspace.view(0, key, at(0), |view| view?.compact_bytes());
    bytes.is_ok_and(|bytes| bytes.is_some())
}

/// A small collection is one record, and stays one under another key.
#[test]
fn a_small_collection_is_one_record() -> Result<()> {
    for kind in KINDS {
        let (keyspace, store) = fresh(false);
        for seed in 100..103 {
            change(&keyspace, b"key", kind, seed)?;
        }
        if shown(&keyspace, b"key")?.is_none() {
            continue;
        }
        assert_eq!(store.records(), 1, "{kind:?}");
        let expected = shown(&keyspace, b"key")?;
        let keys: [(usize, &[u8]); 2] = [(0, b"key"), (0, b"other")];
        keyspace.update(0, b"key", at(0), |key| key.set_expiry(Some(1_000)))?;
        keyspace.update_many(&keys, at(0), |slots| slots.move_value(0, 1))?;
        assert_eq!(store.records(), 1, "{kind:?}");
        assert_eq!(shown(&keyspace, b"other")?, expected);
        // A change keeps the deadline.
        change(&keyspace, b"other", kind, 100)?;
        let info = keyspace.info(0, b"other", at(0))?;
        assert_eq!(info.and_then(|info| info.expires_at), Some(1_000));
        assert_eq!(info.map(|info| info.kind), Some(kind));
        remove(&keyspace, 0, b"other", at(0))?;
        assert_eq!(store.records(), 0);
        assert!(!keyspace.registry.any());
    }
    Ok(())
}

/// What servers wrote before there were compact collections: an anchor that holds an id alone, and elements.
fn write_of_before(
    store: &Arc<MemoryStore>,
    keyspace: &Keyspace,
    key: &[u8],
    kind: Kind,
) -> Result<()> {
    let id: u64 = 77;
    let put = |record, kind: Kind, value| Write::Put {
        record,
        previous: None,
        kind: kind.into(),
        expires_at: None,
        value,
    };
    let hash = keyspace.hashing.hash(key);
    let mut anchor = Vec::new();
    Anchor { id, encoding: None }.encode(&mut anchor);
    let partition = keyspace.collections().partition_of(id);
    let elements: Vec<(Vec<u8>, Vec<u8>)> = (0..5u8)
        .map(|n| {
            let name = match kind {
                Kind::List => (u64::from(n) << 20 | 1 << 63).to_be_bytes().to_vec(),
                _ => format!("{n}").into_bytes(),
            };
            let value = match kind {
                Kind::Set => Vec::new(),
                Kind::SortedSet => f64::from(n).to_le_bytes().to_vec(),
                _ => format!("value {n}").into_bytes(),
            };
            ([&id.to_le_bytes()[..], &name].concat(), value)
        })
        .collect();
    let mut writes = vec![put(
        keyspace.hashing.record(hash, 0, key),
        kind,
        &anchor[..],
    )];
    for (name, value) in &elements {
        let record = RecordKey {
            partition,
            generation: crate::collection::ELEMENTS,
            key: name,
        };
        writes.push(put(record, kind, value));
    }
    let mut locations = vec![Location::default(); writes.len()];
    Ok(store.write(&writes, &mut locations)?)
}

/// Old collections open, and become compact with the first change.
#[test]
fn collections_of_before_open_and_are_converted_as_they_are_written() -> Result<()> {
    for (kind, compact_bytes_max) in KINDS.iter().flat_map(|&kind| [(kind, 1024), (kind, 0)]) {
        let (keyspace, store) = fresh(false);
        write_of_before(&store, &keyspace, b"key", kind)?;
        let keyspace = over(&store);
        keyspace.forms.set(&FormLimits {
            compact_bytes_max,
            ..FormLimits::default()
        });
        load(&keyspace)?;
        let before = shown(&keyspace, b"key")?
            .map(|(_, all)| all)
            .unwrap_or_default();
        assert_eq!(before.len(), 5);
        assert!(!is_compact(&keyspace, b"key"));
        keyspace.update(0, b"key", at(0), |key| key.set_expiry(Some(1_000)))?;
        keyspace.update_many(&[(0, b"key")], at(0), |slots| {
            match kind {
                Kind::List => slots.list(0)?.push(End::Tail, b"9"),
                Kind::SortedSet => drop(slots.scores(0)?.set(b"9", 9.0)?),
                _ => drop(slots.fields(0, kind)?.put(b"9", b"")?),
            }
            Ok::<_, KeyspaceError>(())
        })?;
        sweep(&keyspace);
        // One that may not be compact gets an anchor that tells Redis's form.
        let fits = compact_bytes_max > 0;
        assert_eq!(is_compact(&keyspace, b"key"), fits, "{kind:?}");
        assert_eq!(store.records(), if fits { 1 } else { 7 }, "{kind:?}");
        assert_eq!(keyspace.registry.memory_bytes() == 0, fits);
        let info = keyspace.info(0, b"key", at(0))?;
        assert_eq!(info.and_then(|info| info.expires_at), Some(1_000));
        for keyspace in [keyspace, over(&store)] {
            load(&keyspace)?;
            let (encoding, after) = shown(&keyspace, b"key")?.expect("the key is there");
            if fits {
                assert_eq!(after[..5], before[..], "{kind:?}");
            }
            assert_eq!(after.len(), 6, "{kind:?}");
            assert!(before.iter().all(|one| after.contains(one)), "{kind:?}");
            let expected = match kind {
                Kind::Set => Encoding::Integers,
                _ => Encoding::Compact,
            };
            assert_eq!(encoding, expected, "{kind:?}");
        }
    }
    Ok(())
}

/// Sets of integers that are texts show the same as those of numbers, and become such with the first change.
#[test]
fn texts_of_integers_open_and_are_converted_as_they_are_written() -> Result<()> {
    const TEXTS: &[u8] = b"\x01\x02\x03\0\x02-7\x011\x0570000";
    const NUMBERS: &[u8] = b"\x01\x0a\x03\0\xf9\xff\xff\xff\x01\0\0\0\x70\x11\x01\0";
    type Change = fn(&Keyspace) -> Result<()>;
    let changes: [(&[u8], Change); 6] = [
        (b"key", |keyspace| {
            let add = |keys: &mut OneUpdate<'_, '_>| keys.fields()?.add(b"0").map(drop);
            keyspace.update_one(0, b"key", at(0), Kind::Set, add)
        }),
        (b"key", |keyspace| {
            let remove = |keys: &mut OneUpdate<'_, '_>| keys.fields()?.remove(b"1").map(drop);
            keyspace.update_one(0, b"key", at(0), Kind::Set, remove)
        }),
        (b"key", |keyspace| {
            keyspace.update_many(&[(0, b"key")], at(0), |keys| {
                keys.fields(0, Kind::Set)?.add(b"0").map(drop)
            })
        }),
        (b"key", |keyspace| {
            keyspace.update_many(&[(0, b"key")], at(0), |keys| {
                keys.fields(0, Kind::Set)?.remove(b"1").map(drop)
            })
        }),
        (b"other", |keyspace| {
            let keys: [(usize, &[u8]); 2] = [(0, b"key"), (0, b"other")];
            keyspace.update_many(&keys, at(0), |slots| slots.move_value(0, 1).map(drop))
        }),
        (b"other", |keyspace| {
            let keys: [(usize, &[u8]); 2] = [(0, b"key"), (0, b"other")];
            keyspace.update_many(&keys, at(0), |slots| slots.copy_value(0, 1).map(drop))
        }),
    ];
    for (case, (key, change)) in changes.into_iter().enumerate() {
        let mut found = Vec::new();
        for record in [TEXTS, NUMBERS] {
            let (keyspace, store) = fresh(false);
            keyspace.update(0, b"key", at(0), |key| {
                key.put(Kind::CompactSet, record, None)
            })?;
            let keyspace = over(&store);
            load(&keyspace)?;
            let before = shown(&keyspace, b"key")?.expect("the key is there");
            assert_eq!(before.0, Encoding::Integers);
            let names = before.1.iter().map(|(name, _)| &name[..]);
            assert!(names.eq([&b"-7"[..], b"1", b"70000"]));
            change(&keyspace)?;
            assert_eq!(store.records(), 1 + usize::from(case == 5));
            let after = over(&store);
            load(&after)?;
            assert_eq!(shown(&after, key)?, shown(&keyspace, key)?);
            let bytes = keyspace.view(0, key, at(0), |view| view?.compact_bytes())?;
            found.push((shown(&keyspace, key)?, bytes));
        }
        assert_eq!(found[0], found[1], "case {case}");
        assert_eq!(found[0].1.unwrap_or(0) % 4, 0, "case {case}");
    }
    Ok(())
}

/// A change can have the elements get records of their own.
#[test]
fn a_collection_leaves_the_compact_form_when_it_has_to() -> Result<()> {
    let (keyspace, store) = fresh(false);
    let leave = || {
        keyspace.update_many(&[(0, b"key")], at(0), |slots| {
            slots.fields(0, Kind::Hash)?.leave_compact();
            Ok::<_, KeyspaceError>(())
        })
    };
    leave()?;
    assert_eq!(store.records(), 0, "an absent key stays absent");
    for name in [b"b", b"a", b"c"] {
        keyspace.update_many(&[(0, b"key")], at(0), |slots| {
            slots.fields(0, Kind::Hash)?.put(name, b"value")
        })?;
    }
    let before = shown(&keyspace, b"key")?;
    assert_eq!(store.records(), 1);
    for _ in 0..2 {
        leave()?;
        assert!(!is_compact(&keyspace, b"key"));
        assert_eq!(store.records(), 4);
        assert_eq!(shown(&keyspace, b"key")?, before);
    }
    Ok(())
}

/// The start refuses a record that no server writes.
#[test]
fn a_damaged_record_is_refused() -> Result<()> {
    for (kind, value) in [
        (Kind::CompactHash, &b"\x01\0\x02\0\x01a\x01b"[..]),
        (Kind::CompactHash, b"\x02\0\x01\0\x01a\x01b"),
        (Kind::CompactHash, b"\x01\x01\x01\0\x01a\x01b"),
        (Kind::CompactHash, b"x"),
        (Kind::CompactHash, b"\x01\x06\x01\0\x01\0"),
        (Kind::CompactSet, b"\x01\x06\x02\0\x01\0"),
        (Kind::CompactSet, b"\x01\x06\x02\0\x02\0\x01\0"),
        (Kind::CompactSet, b"\x01\x0a\x01\0\x01\0\0\0"),
        (Kind::CompactSet, b"\x01\x16\x01\0\x01\0"),
    ] {
        let (keyspace, store) = fresh(false);
        keyspace.update(0, b"key", at(0), |key| key.put(kind, value, None))?;
        assert!(load(&over(&store)).is_err(), "{value:?}");
    }
    Ok(())
}

/// A compact collection grows out of its form, and the compaction moves either form.
#[test]
fn collections_leave_the_compact_form_in_one_step_in_real_pools() -> Result<()> {
    for layout in [LayoutChoice::Packed, LayoutChoice::Pairs] {
        let folder = folder()
            .map_err(|error| KeyspaceError::from(store::StoreError::Engine(error.to_string())))?;
        let mut keyspace = open_pool(folder.path(), layout)?;
        for round in 0..3u64 {
            for kind in KINDS {
                for seed in 0..60 {
                    let key = format!("{} {}", kind.name(), seed % 7);
                    change(&keyspace, key.as_bytes(), kind, round * 1_000 + seed)?;
                }
            }
            let mut before = Vec::new();
            for kind in KINDS {
                for number in 0..7 {
                    let key = format!("{} {number}", kind.name());
                    before.push((shown(&keyspace, key.as_bytes())?, key));
                }
            }
            keyspace.close()?;
            drop(keyspace);
            keyspace = open_pool(folder.path(), layout)?;
            if layout == LayoutChoice::Pairs {
                load(&keyspace)?;
            }
            for (mut expected, key) in before {
                let mut found = shown(&keyspace, key.as_bytes())?;
                if !is_compact(&keyspace, key.as_bytes()) {
                    sort(&mut found);
                    sort(&mut expected);
                }
                assert_eq!(found, expected, "{key}, {layout:?}");
            }
        }
    }
    Ok(())
}
