//! An index in an arena is after a kill what it was at the last published mark, whichever store the kill has come before.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arena::{Arena, Identity, Opening, Owner, Point, testing};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::records::{Records, Table};
use super::*;

const OWNER: Owner = Owner {
    shard: 5,
    generation: 7,
};

const BYTES_MAX: usize = 64 << 20;

const IDENTITY: Identity = Identity {
    layout: LAYOUT,
    seed: 1,
    file: [2, 3],
    opens: 4,
    boot: [5, 6],
};

/// What an index holds: for each key its location and its deadline.
type Contents = BTreeMap<Vec<u8>, (u64, Option<Millis>)>;

fn mixed_hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key) >> SKIP_BITS | (5 << (64 - SKIP_BITS))
}

fn fresh(path: &Path) -> &'static Arena {
    let (arena, opening) = Arena::open(path, BYTES_MAX, &IDENTITY).expect("it can be made");
    assert!(matches!(opening, Opening::Fresh(_)));
    arena
}

fn empty(hasher: &'static dyn Fn(&[u8]) -> u64) -> Table<'static> {
    let mut table = Table::new(SKIP_BITS, Naming::InRecords, hasher);
    table.keeps_records = true;
    table
}

/// The index that a killed process has left, or why it cannot be used.
fn reopened(
    path: &Path,
    hasher: &'static dyn Fn(&[u8]) -> u64,
) -> Result<(&'static Arena, Table<'static>), String> {
    let (arena, opening) =
        Arena::open(path, BYTES_MAX, &IDENTITY).map_err(|error| error.to_string())?;
    let (_, mut left) = match opening {
        Opening::Left(point, left) => (point, left),
        Opening::Fresh(why) => {
            arena.release();
            return Err(why);
        }
    };
    let one = left.pop().ok_or("no region")?;
    assert!(left.is_empty() && one.owner == OWNER);
    let index = Index::reopen(SKIP_BITS, arena, one).inspect_err(|_| arena.release())?;
    let mut table = empty(hasher);
    table.index = index;
    Ok((arena, table))
}

/// A key, and where its record lies and its deadline then; `None` for no key.
type Later = (Vec<u8>, Option<(u64, Option<Millis>)>);

/// What a script has done.
#[derive(Default)]
struct Done {
    /// What the index held at the last published mark.
    published: Contents,
    /// What each key got later, `None` for nothing.
    later: Vec<Later>,
}

/// Runs a script of changes, with marks between them.
fn run(arena: &'static Arena, table: &mut Table<'_>, seed: u64, done: &mut Done) {
    let Done { published, later } = done;
    later.clear();
    let mut random = SmallRng::seed_from_u64(seed);
    let mut contents = published.clone();
    let first = contents.values().map(|one| one.0).max().unwrap_or(0) + 1;
    for (step, next) in (0..150u32).zip(first..) {
        // First it grows, then it shrinks, and at the end it is empty.
        let key = random.random_range(0..110u32).to_be_bytes();
        let expires_at = random.random_bool(0.3).then_some(Millis::from(step));
        let removes = random.random_bool(if step < 100 { 0.05 } else { 0.7 });
        match (contents.contains_key(&key[..]), removes) {
            (true, true) => {
                later.push((key.to_vec(), None));
                table.remove(&key);
                contents.remove(&key[..]);
            }
            (true, false) => {
                later.push((key.to_vec(), Some((next, expires_at))));
                assert!(table.replace(&key, next, expires_at));
                contents.insert(key.to_vec(), (next, expires_at));
            }
            (false, false) => {
                later.push((key.to_vec(), Some((next, expires_at))));
                table.insert(&key, next, expires_at);
                contents.insert(key.to_vec(), (next, expires_at));
            }
            (false, true) => {}
        }
        if step == 140 {
            for key in std::mem::take(&mut contents).into_keys() {
                later.push((key.clone(), None));
                table.remove(&key);
            }
        }
        if step % 24 == 23 {
            let mark = arena.begin_mark();
            table.index.note_mark(mark);
            // A process may die between the two.
            let at_mark = contents.clone();
            let before = later.len();
            if step % 48 == 23 {
                arena.publish(mark, Point::default());
                *published = at_mark;
                later.drain(..before);
            }
        }
    }
}

/// What the index holds, as the records say it. All look-ups must agree.
fn held(table: &Table<'_>) -> Contents {
    let mut contents = Contents::new();
    for named in table.index.walk(&table.records) {
        let named = named.expect("its record can be read");
        let one = (named.location.0, named.expires_at);
        contents.insert(named.key.to_vec(), one);
    }
    assert_eq!(contents.len(), table.index.len());
    let expiring = contents.values().filter(|one| one.1.is_some()).count();
    assert_eq!(expiring, table.index.expiring());
    for (key, one) in &contents {
        let located = table.located(key).expect("a walk has met it");
        assert_eq!((located.location.0, located.expires_at), *one);
    }
    contents
}

#[test]
fn a_kill_before_any_store_leaves_what_was_published() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("index");
    let hasher: &'static dyn Fn(&[u8]) -> u64 = &mixed_hash;
    let stop = || std::panic::panic_any("killed");
    std::panic::set_hook(Box::new(|_| {}));
    let mut all = 0;
    let mut n = 1;
    loop {
        let _ = std::fs::remove_file(&path);
        let arena = fresh(&path);
        let mut table = empty(hasher);
        table.index = Index::in_arena(SKIP_BITS, arena, OWNER, arena.mark(), 0);
        let mark = arena.begin_mark();
        table.index.note_mark(mark);
        arena.publish(mark, Point::default());
        let mut done = Done::default();
        testing::stop_at(n, stop);
        let ended = catch_unwind(AssertUnwindSafe(|| run(arena, &mut table, 1, &mut done)));
        all = testing::go_on().max(all);
        arena.release();
        let records = std::mem::replace(&mut table.records, Records::new(hasher));
        let (again, mut left) = reopened(&path, hasher).expect("it was published");
        left.records = records;
        assert_eq!(held(&left), done.published, "killed before store {n}");
        // What is taken back can be killed too, and the changes after it.
        if n % 7 == 0 {
            testing::stop_at(n % 1_001 + 1, stop);
            let _ = catch_unwind(AssertUnwindSafe(|| run(again, &mut left, n, &mut done)));
            testing::go_on();
            again.release();
            let records = std::mem::replace(&mut left.records, Records::new(hasher));
            let (last, mut left) = reopened(&path, hasher).expect("it was published");
            left.records = records;
            assert_eq!(
                held(&left),
                done.published,
                "killed twice, first before store {n}"
            );
            last.release();
        } else {
            again.release();
        }
        if ended.is_ok() {
            break;
        }
        n += 1;
    }
    let _ = std::panic::take_hook();
    assert!(all > 1_500, "the script made only {all} stores");
}

#[test]
fn a_changed_or_missing_byte_is_noticed_or_does_no_harm() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("index");
    let hasher: &'static dyn Fn(&[u8]) -> u64 = &mixed_hash;
    let arena = fresh(&path);
    let mut table = empty(hasher);
    table.index = Index::in_arena(SKIP_BITS, arena, OWNER, arena.mark(), 0);
    let mark = arena.begin_mark();
    table.index.note_mark(mark);
    arena.publish(mark, Point::default());
    let mut done = Done::default();
    testing::stop_at(3_000, || std::panic::panic_any("killed"));
    let _ = catch_unwind(AssertUnwindSafe(|| run(arena, &mut table, 1, &mut done)));
    testing::go_on();
    arena.release();
    let Done { published, later } = done;
    assert!(published.len() > 30, "{}", published.len());
    let records = std::mem::take(&mut table.records.by_location);
    let whole = std::fs::read(&path).expect("it can be read");
    let used: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] != 0).collect();
    let mut random = SmallRng::seed_from_u64(3);
    let (mut refused, mut harmless) = (0, 0);
    for round in 0..500 {
        let mut bytes = whole.clone();
        if round % 10 == 9 {
            bytes.truncate(random.random_range(0..whole.len()));
        } else {
            let at = used[random.random_range(0..used.len())];
            bytes[at] ^= 1 << random.random_range(0..8);
        }
        std::fs::write(&path, bytes).expect("it can be written");
        match reopened(&path, hasher) {
            Err(_) => refused += 1,
            Ok((arena, mut left)) => {
                left.records.by_location = records.clone();
                // What was not taken back may be there, if it is whole: the log says which changes count.
                let held = held(&left);
                for key in held.keys().chain(published.keys()) {
                    let found = held.get(key).copied();
                    let is_later = later.iter().any(|one| one.0 == *key && one.1 == found);
                    assert!(
                        is_later || found == published.get(key).copied(),
                        "round {round}: {key:?} is {found:?}"
                    );
                }
                arena.release();
                harmless += 1;
            }
        }
    }
    assert!(
        refused > 80 && harmless > 0,
        "{refused} refused, {harmless} harmless"
    );
}

#[test]
fn an_arena_of_something_else_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("index");
    let arena = fresh(&path);
    // Another process has it.
    let other = Arena::open(&path, BYTES_MAX, &IDENTITY).expect_err("it is locked");
    assert_eq!(other.kind(), std::io::ErrorKind::WouldBlock);
    arena.release();
    let others = [
        (
            Identity {
                layout: LAYOUT + 1,
                ..IDENTITY
            },
            "another version",
        ),
        (
            Identity {
                seed: 9,
                ..IDENTITY
            },
            "another pool",
        ),
        (
            Identity {
                file: [2, 9],
                ..IDENTITY
            },
            "another pool's file",
        ),
        (
            Identity {
                opens: 9,
                ..IDENTITY
            },
            "last process",
        ),
        (
            Identity {
                boot: [9, 6],
                ..IDENTITY
            },
            "another boot",
        ),
    ];
    for (identity, why) in others {
        let arena = fresh(&path);
        arena.publish(arena.begin_mark(), Point::default());
        arena.release();
        let (arena, opening) =
            Arena::open(&path, BYTES_MAX, &identity).expect("it can be made anew");
        match opening {
            Opening::Fresh(said) => assert!(said.contains(why), "{said}"),
            Opening::Left(..) => panic!("it was taken over: {why}"),
        }
        arena.release();
        std::fs::remove_file(&path).expect("it can be removed");
    }
    // A crash, and a change that nothing takes back.
    for harm in [Arena::poison, Arena::risk] {
        let arena = fresh(&path);
        arena.publish(arena.begin_mark(), Point::default());
        harm(arena);
        arena.release();
        let (arena, opening) =
            Arena::open(&path, BYTES_MAX, &IDENTITY).expect("it can be made anew");
        assert!(matches!(opening, Opening::Fresh(_)), "{opening:?}");
        arena.release();
        std::fs::remove_file(&path).expect("it can be removed");
    }
}
