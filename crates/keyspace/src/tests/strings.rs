//! Strings of every length, changed in parts, over a store in memory and over both layouts.

use proptest::test_runner::{Config, TestRunner};

use super::collections::open_pool;
use super::*;
use store::LayoutChoice;
use store::change::changed;
use store::testing::folder;

const KEYS: usize = 3;

#[derive(Clone, Debug)]
enum Edit {
    /// A new value of this many bytes.
    Put(usize),
    /// Changes, each with a position and a length.
    Change(Vec<(usize, usize)>),
    /// Appends this many bytes.
    Append(usize),
    Remove,
    Expire(bool),
    /// Reads these bytes.
    Look(usize, usize),
}

/// Positions near the ends of parts (the tests' pool has parts of 16 KiB) and elsewhere.
fn place() -> impl Strategy<Value = usize> {
    prop_oneof![
        0..400_000usize,
        (0..22usize, 0..12usize).prop_map(|(part, back)| (part * 16_288).saturating_sub(back)),
    ]
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..40usize, 1 => 0..70_000usize]
}

fn edit() -> impl Strategy<Value = (usize, Edit)> {
    let edit = prop_oneof![
        2 => place().prop_map(Edit::Put),
        6 => proptest::collection::vec((place(), length()), 0..4).prop_map(Edit::Change),
        3 => length().prop_map(Edit::Append),
        1 => Just(Edit::Remove),
        1 => any::<bool>().prop_map(Edit::Expire),
        4 => (place(), place()).prop_map(|(a, b)| Edit::Look(a, b)),
    ];
    (0..KEYS, edit)
}

fn bytes(salt: usize, length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from((at * 31 + salt * 7) % 251).unwrap_or(0))
        .collect()
}

type Model = BTreeMap<usize, (Vec<u8>, Option<Millis>)>;

fn run(
    keyspace: &Keyspace,
    model: &mut Model,
    number: usize,
    salt: usize,
    edit: &Edit,
) -> Result<()> {
    const FAR: Millis = 1 << 50;
    let key = format!("key {number}").into_bytes();
    let old = model.get(&number).cloned();
    let len = old.as_ref().map_or(0, |(old, _)| old.len());
    match edit {
        Edit::Put(length) => {
            let value = bytes(salt, *length);
            put(keyspace, 0, &key, &value)?;
            model.insert(number, (value, None));
        }
        Edit::Remove => {
            assert_eq!(remove(keyspace, 0, &key, at(0))?, old.is_some());
            model.remove(&number);
        }
        Edit::Expire(on) => {
            let deadline = on.then_some(FAR);
            keyspace.update(0, &key, at(0), |slot| slot.set_expiry(deadline))?;
            if let Some((_, expires_at)) = model.get_mut(&number) {
                *expires_at = deadline;
            }
        }
        Edit::Look(from, to) => {
            let range = *from.min(to)..*from.max(to);
            let found = keyspace.read_string(0, &key, at(0), |string| {
                assert_eq!(string.len_bytes()?, len);
                assert_eq!(
                    string.expires_at,
                    old.as_ref().and_then(|(_, expires_at)| *expires_at)
                );
                let byte = string.byte(range.start)?;
                let bytes = string.bytes(range.clone())?.into_owned();
                Ok::<_, KeyspaceError>((byte, bytes))
            })?;
            let within = range.start.min(len)..range.end.min(len);
            let expected =
                old.map(|(old, _)| (old.get(range.start).copied(), old[within].to_vec()));
            assert!(found.transpose()? == expected, "{range:?} of {len}");
        }
        Edit::Append(_) | Edit::Change(_) => {
            let places = match edit {
                Edit::Change(places) => places.clone(),
                Edit::Append(length) => vec![(len, *length)],
                _ => Vec::new(),
            };
            let changes: StringChanges<'_> = places
                .iter()
                .map(|&(offset, length)| Change {
                    offset,
                    bytes: bytes(salt + offset, length).into(),
                })
                .collect();
            let new = changed(old.as_ref().map_or(&[], |(old, _)| old), &changes);
            let told = keyspace.update(0, &key, at(0), |slot| {
                slot.edit_string(|string| {
                    Ok::<_, KeyspaceError>((string.len_bytes()?, StringEdit::change(changes)))
                })
            })?;
            assert_eq!(told, len);
            model.insert(number, (new, old.and_then(|(_, expires_at)| expires_at)));
        }
    }
    Ok(())
}

fn check(keyspace: &Keyspace, model: &Model) -> Result<()> {
    for number in 0..KEYS {
        let key = format!("key {number}").into_bytes();
        let found = keyspace.read(0, &key, at(0), |value| {
            (value.bytes.to_vec(), value.expires_at)
        })?;
        assert!(found.as_ref() == model.get(&number), "key {number}");
    }
    Ok(())
}

/// Makes random edits of a few keys. The keyspace that `reopen` makes must have the same strings.
fn edits_do_what_a_model_does(cases: u32, open: &dyn Fn() -> (Keyspace, Reopen)) {
    let mut runner = TestRunner::new(Config {
        cases,
        ..Config::default()
    });
    let edits = proptest::collection::vec(edit(), 1..40);
    let done = runner.run(&edits, |edits| {
        let (keyspace, reopen) = open();
        let mut model = Model::new();
        for (salt, (number, edit)) in edits.iter().enumerate() {
            run(&keyspace, &mut model, *number, salt, edit)?;
            if salt % 3 == 0 {
                keyspace.commit()?;
            }
        }
        check(&keyspace, &model)?;
        keyspace.commit()?;
        drop(keyspace);
        check(&reopen()?, &model)?;
        Ok(())
    });
    if let Err(failure) = done {
        panic!("{failure}");
    }
}

type Reopen = Box<dyn FnOnce() -> Result<Keyspace>>;

#[test]
fn strings_change_in_parts_in_memory() {
    edits_do_what_a_model_does(60, &|| {
        let (keyspace, store) = fresh(false);
        (keyspace, Box::new(move || Ok(over(&store))))
    });
}

fn in_a_pool(layout: LayoutChoice) {
    edits_do_what_a_model_does(25, &|| {
        let folder = folder().expect("a folder");
        let keyspace = open_pool(folder.path(), layout).expect("a new pool");
        (keyspace, Box::new(move || open_pool(folder.path(), layout)))
    });
}

#[test]
fn strings_change_in_parts_in_the_packed_layout() {
    in_a_pool(LayoutChoice::Packed);
}

#[test]
fn strings_change_in_parts_in_the_pairs_layout() {
    in_a_pool(LayoutChoice::Pairs);
}
