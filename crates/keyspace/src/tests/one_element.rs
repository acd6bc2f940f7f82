//! Calls that change one element: the short way does what a call of several keys does.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::collections::open_pool;
use super::compact::{shown, sort};
use super::*;
use crate::collection::encode_score;
use crate::{ElementChange, FormLimits, OneUpdate};
use store::LayoutChoice;
use store::testing::folder;

const KINDS: [Kind; 4] = [Kind::Hash, Kind::Set, Kind::List, Kind::SortedSet];

/// A change of one element, and what the call answers.
#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, Vec<u8>),
    PutUntil(Vec<u8>, Millis),
    Add(Vec<u8>),
    Remove(Vec<u8>),
    TakeDrawn,
    Push(End, Vec<u8>),
    Pop(End),
    Score(Vec<u8>, f64),
    PopScored(End),
}

impl Step {
    fn random(kind: Kind, grows: bool, random: &mut StdRng) -> Self {
        let name = format!("name {}", random.random_range(0..120));
        let mut name = name.into_bytes();
        if name.len().is_multiple_of(2) {
            // Some are too long for their place in the order of a sorted set.
            name.resize(name.len() + 20, b'x');
        }
        let end = [End::Head, End::Tail][random.random_range(0..2)];
        let adds = random.random_bool(if grows { 0.8 } else { 0.2 });
        match (kind, adds) {
            (Kind::Hash, true) if random.random_range(0..400) == 0 => Self::PutUntil(name, 1_000),
            (Kind::Hash, true) => Self::Put(name.clone(), name),
            (Kind::Set, true) => Self::Add(name),
            (Kind::Set, false) if random.random_bool(0.5) => Self::TakeDrawn,
            (Kind::List, true) => Self::Push(end, name),
            (Kind::List, false) => Self::Pop(end),
            (Kind::SortedSet, true) => {
                let score = f64::from(random.random_range(-9..9));
                Self::Score(name, if score < -8.0 { -0.0 } else { score })
            }
            // Mostly at one end, as a queue is emptied.
            (Kind::SortedSet, false) if random.random_bool(0.9) => Self::PopScored(End::Head),
            (Kind::SortedSet, false) if random.random_bool(0.5) => Self::PopScored(End::Tail),
            _ => Self::Remove(name),
        }
    }

    /// Makes the change the short way, where there is one.
    fn short(&self, element: &mut ElementChange<'_>) -> Result<Option<Vec<u8>>> {
        let mut met = Vec::new();
        let done = match self {
            Self::Put(name, value) => element.put(name, value)?.map(|new| met.push(new.into())),
            Self::Add(name) => element.add(name)?.map(|new| met.push(new.into())),
            Self::Push(end, value) => element
                .push(*end, value)?
                .map(|len| met.extend(len.to_le_bytes())),
            Self::Pop(end) => element.pop(*end, |value| met.extend_from_slice(value))?,
            Self::Score(name, score) => element.change_score(name, |old| {
                met.extend(old.map(encode_score).into_iter().flatten());
                Ok::<_, KeyspaceError>(((), Some(*score)))
            })?,
            Self::PopScored(end) => element.pop_scored(*end, |name, score| {
                met.extend_from_slice(name);
                met.extend(encode_score(score));
            })?,
            Self::TakeDrawn => element.take_drawn(|name| met.extend_from_slice(name))?,
            Self::PutUntil(..) | Self::Remove(_) => None,
        };
        if done.is_some() {
            element.tell(EventClass::GENERIC, "changed", 1);
        }
        Ok(done.map(|()| met))
    }

    /// Makes the change as calls of several keys make it.
    fn long(&self, keys: &mut OneUpdate<'_, '_>) -> Result<Vec<u8>> {
        let mut met = Vec::new();
        match self {
            Self::Put(name, value) => met.push(keys.fields()?.put(name, value)?.into()),
            Self::PutUntil(name, at) => {
                keys.fields()?.put_until(name, b"", Some(*at))?;
            }
            Self::Add(name) => met.push(keys.fields()?.add(name)?.into()),
            Self::Remove(name) if keys.view().is_some_and(|view| view.sorted_set().is_ok()) => {
                keys.scores()?.remove(name)?;
            }
            Self::Remove(name) => {
                keys.fields()?.remove(name)?;
            }
            Self::TakeDrawn => {
                let view = keys.view().map(View::set).transpose()?;
                let drawn = view.map(|set| set.draw()).transpose()?.flatten();
                if let Some(name) = drawn {
                    keys.fields()?.remove(&name)?;
                    met.extend_from_slice(&name);
                }
            }
            Self::Push(end, value) => {
                let mut list = keys.list()?;
                list.push(*end, value);
                met.extend(list.len().to_le_bytes());
            }
            Self::Pop(end) => {
                let view = keys.view().map(View::list).transpose()?;
                if let Some(list) = view {
                    let at = match end {
                        End::Head => 0,
                        End::Tail => list.len() - 1,
                    };
                    list.get(at, |value| met.extend_from_slice(value))?;
                    keys.list()?.pop(*end, 1);
                }
            }
            Self::Score(name, score) => keys.scores()?.change(name, |old| {
                met.extend(old.map(encode_score).into_iter().flatten());
                Ok::<_, KeyspaceError>(((), Some(*score)))
            })?,
            Self::PopScored(end) => {
                let view = keys.view().map(View::sorted_set).transpose()?;
                let taken = view.and_then(|scores| {
                    let at = match end {
                        End::Head => 0,
                        End::Tail => scores.len() - 1,
                    };
                    let mut taken = scores.range(at..at + 1);
                    taken.next().map(|(name, score)| (name.to_vec(), score))
                });
                if let Some((name, score)) = taken {
                    keys.scores()?.remove_scored(&name, score)?;
                    met.extend_from_slice(&name);
                    met.extend(encode_score(score));
                }
            }
        }
        keys.event(EventClass::GENERIC, "changed");
        Ok(met)
    }
}

/// Makes a step the way that the call chooses; counts in `short` the steps of one element.
fn make(
    keyspace: &Keyspace,
    key: &[u8],
    kind: Kind,
    step: &Step,
    short: &mut u32,
) -> Result<Vec<u8>> {
    keyspace.change_element(
        (0, key),
        at(0),
        kind,
        short,
        |short, element| {
            let met = step.short(element)?;
            *short += u32::from(met.is_some());
            Ok(met)
        },
        |_, keys| step.long(keys),
    )
}

/// Makes a step as a call of several keys makes it.
fn make_long(keyspace: &Keyspace, key: &[u8], kind: Kind, step: &Step) -> Result<Vec<u8>> {
    keyspace.update_many(&[(0, key)], at(0), |slots| {
        step.long(&mut OneUpdate::Staged(slots, kind))
    })
}

#[test]
fn the_short_way_does_what_the_long_way_does() -> Result<()> {
    let folder = folder()
        .map_err(|error| KeyspaceError::from(store::StoreError::Engine(error.to_string())))?;
    let one = open_pool(folder.path(), LayoutChoice::Packed)?;
    let (other, _) = fresh(false);
    for keyspace in [&one, &other] {
        keyspace.forms.set(&FormLimits {
            hash_entries: 10,
            set_entries: 10,
            zset_entries: 10,
            list_size: 10,
            compact_bytes_max: 0,
            ..FormLimits::default()
        });
    }
    let (mut steps, mut short) = (0, 0);
    let mut expected = Vec::new();
    for seed in 0..5 {
        let mut random = StdRng::seed_from_u64(seed);
        for kind in KINDS {
            let key = format!("{} {seed}", kind.name()).into_bytes();
            for number in 0..900 {
                let step = Step::random(kind, number % 300 < 150, &mut random);
                let met = make(&one, &key, kind, &step, &mut short)?;
                if matches!(step, Step::TakeDrawn) {
                    // Which member is drawn is by chance.
                    make_long(&other, &key, kind, &Step::Remove(met))?;
                } else {
                    let long = make_long(&other, &key, kind, &step)?;
                    assert_eq!(met, long, "{seed} {number} {step:?}");
                }
                let left = shown(&one, &key)?;
                assert_eq!(left, shown(&other, &key)?, "{seed} {number} {step:?}");
                steps += 1;
            }
            expected.push((shown(&one, &key)?, key));
        }
    }
    assert!(
        short > steps / 2,
        "{short} of {steps} steps went the short way"
    );
    assert_eq!(one.dirty(), other.dirty());
    let noted = one.registry.memory_bytes();
    let held = one.registry.take_all();
    let held: usize = held.iter().map(|(_, one)| one.read().memory_bytes()).sum();
    assert_eq!(noted, held as u64);
    one.close()?;
    drop(one);
    let again = open_pool(folder.path(), LayoutChoice::Packed)?;
    for (mut expected, key) in expected {
        let mut found = shown(&again, &key)?;
        if !key.starts_with(b"list") {
            sort(&mut found);
            sort(&mut expected);
        }
        assert_eq!(found, expected, "{}", key.escape_ascii());
    }
    Ok(())
}

#[test]
fn who_watches_hears_of_a_change_and_a_deadline_of_the_key_counts() -> Result<()> {
    let folder = folder()
        .map_err(|error| KeyspaceError::from(store::StoreError::Engine(error.to_string())))?;
    let keyspace = open_pool(folder.path(), LayoutChoice::Packed)?;
    keyspace.forms.set(&FormLimits {
        set_entries: 1,
        compact_bytes_max: 0,
        ..FormLimits::default()
    });
    let mut short = 0;
    let mut add = |name: &[u8]| {
        let step = Step::Add(name.to_vec());
        make(&keyspace, b"key", Kind::Set, &step, &mut short)?;
        Ok::<_, KeyspaceError>(short)
    };
    add(b"a")?;
    add(b"b")?;
    add(b"x")?;
    let before = add(b"c")?;
    assert!(before > 0);
    let mut watches = Watches::default();
    keyspace.watching().watch(&mut watches, 0, b"key", 0)?;
    assert_eq!(add(b"c")?, before + 1);
    assert!(
        !keyspace.watching().have_changed(&watches, 0)?,
        "it has this member"
    );
    assert_eq!(add(b"d")?, before + 2);
    assert!(keyspace.watching().have_changed(&watches, 0)?);
    keyspace.watching().unwatch(&mut watches);
    keyspace.update(0, b"key", at(0), |key| key.set_expiry(Some(10)))?;
    assert_eq!(add(b"e")?, before + 2, "the deadline stands in the anchor");
    assert!(keyspace.info(0, b"key", at(9))?.is_some());
    assert!(keyspace.info(0, b"key", at(10))?.is_none());
    Ok(())
}
