//! Other contents beside the present ones, and the place that is stored with them.

use std::sync::atomic::AtomicU64;

use super::faults::{Over, Tested, open};
use super::*;
use store::testing::folder;

/// Counts what it is told.
#[derive(Default)]
struct Told {
    events: AtomicU64,
    flushes: AtomicU64,
}

impl Observer for Told {
    fn modified(&self, _: usize, _: &[u8], _: u64) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    fn flushed(&self, _: Option<usize>) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
    }

    fn event(&self, _: EventClass, _: &'static str, _: usize, _: &[u8]) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }
}

fn loaded(over: Over, folder: &std::path::Path) -> Tested<Keyspace> {
    let keyspace = Keyspace::new(Box::new(open(over, folder)?));
    keyspace.loading().at_end(|_| Ok(()))?;
    keyspace.loading().read_all(2)?;
    Ok(keyspace)
}

/// Keys of both kinds in a database, or in what will replace it.
fn fill(keyspace: &Keyspace, db: usize, text: &[u8]) -> Tested {
    for n in 0..300 {
        put(keyspace, db, &name(n), text)?;
    }
    keyspace.update_many(&[(db, b"hash")], at(0), |keys| {
        let mut new = keys.build(0, Kind::Hash);
        for n in 0..300 {
            new.field(&name(n), text)?;
        }
        keys.replace(new, None)
    })?;
    Ok(())
}

fn name(n: usize) -> Vec<u8> {
    format!("name {n}").into_bytes()
}

fn check(keyspace: &Keyspace, db: usize, text: Option<&[u8]>) -> Tested {
    let wanted = if text.is_some() { 301 } else { 0 };
    assert_eq!(keyspace.databases().len(db)?, wanted, "database {db}");
    for n in [0, 7, 299] {
        let found = get(keyspace, db, &name(n), 1)?;
        assert_eq!(found.as_deref(), text);
        let field = keyspace.view(db, b"hash", at(1), |view| match view {
            Some(View::Hash(fields)) => fields.get(&name(n), <[u8]>::to_vec),
            _ => Ok(None),
        })??;
        assert_eq!(field.as_deref(), text);
    }
    Ok(())
}

fn collect_garbage(keyspace: &Keyspace) -> Tested {
    while keyspace.garbage().remove(1000) > 0 {}
    assert!(!keyspace.garbage().is_pending());
    keyspace.commit()?;
    Ok(())
}

fn tell_all(keyspace: &Keyspace, told: &Arc<Told>) {
    let events = keyspace.events();
    events.set_observer(Arc::clone(told) as _);
    events.observe(EventClass::ALL.union(EventClass::NEW));
    events.observe_modifications(true);
}

#[test]
fn other_contents_come_at_once_and_a_crash_before_leaves_none_of_them() -> Tested {
    for over in [Over::Packed, Over::Pairs] {
        let folder = folder()?;
        let keyspace = loaded(over, folder.path())?;
        fill(&keyspace, 0, b"old")?;
        fill(&keyspace, 5, b"old")?;
        keyspace.place().store(Some(b"first"))?;
        let told = Arc::new(Told::default());
        tell_all(&keyspace, &told);
        let replacement = keyspace.replacement();
        replacement.begin()?;
        fill(&keyspace, replacement.database(0), b"half")?;
        keyspace.commit()?;
        check(&keyspace, 0, Some(b"old"))?;
        // As a crash would leave it.
        drop(keyspace);
        let keyspace = loaded(over, folder.path())?;
        check(&keyspace, 0, Some(b"old"))?;
        check(&keyspace, 5, Some(b"old"))?;
        collect_garbage(&keyspace)?;
        // A number that was given away is not given away again: nothing of the half appears in a flushed database.
        keyspace.databases().flush(3)?;
        check(&keyspace, 3, None)?;
        tell_all(&keyspace, &told);
        let replacement = keyspace.replacement();
        replacement.begin()?;
        fill(&keyspace, replacement.database(0), b"given up")?;
        replacement.abandon();
        collect_garbage(&keyspace)?;
        replacement.begin()?;
        for db in [0, 7] {
            fill(&keyspace, replacement.database(db), b"new")?;
        }
        assert_eq!(told.events.load(Ordering::Relaxed), 0, "nobody is told");
        let mut done = Ok(());
        keyspace.atomically(&[], &mut || {
            done = keyspace
                .place()
                .store(Some(b"second"))
                .and_then(|()| replacement.adopt());
        })?;
        done?;
        keyspace.commit()?;
        assert_eq!(told.flushes.load(Ordering::Relaxed), 1);
        for round in 0..2 {
            check(&keyspace, 0, Some(b"new"))?;
            check(&keyspace, 5, None)?;
            check(&keyspace, 7, Some(b"new"))?;
            assert_eq!(keyspace.place().read()?.as_deref(), Some(&b"second"[..]));
            if round == 0 {
                collect_garbage(&keyspace)?;
                check(&keyspace, 7, Some(b"new"))?;
            }
        }
        drop(keyspace);
        let keyspace = loaded(over, folder.path())?;
        check(&keyspace, 0, Some(b"new"))?;
        check(&keyspace, 5, None)?;
        check(&keyspace, 7, Some(b"new"))?;
        assert_eq!(keyspace.place().read()?.as_deref(), Some(&b"second"[..]));
        keyspace.place().store(None)?;
        keyspace.commit()?;
        drop(keyspace);
        let keyspace = loaded(over, folder.path())?;
        assert_eq!(keyspace.place().read()?, None);
    }
    Ok(())
}

#[test]
fn a_master_decides_what_has_expired() -> Result<()> {
    for sorted in [false, true] {
        let (keyspace, _) = fresh(sorted);
        put_until(&keyspace, 0, b"k", 100)?;
        keyspace.expiry().follow(true);
        assert_eq!(get(&keyspace, 0, b"k", 200)?, None);
        keyspace.expiry().run_cycle(200);
        assert_eq!(keyspace.databases().len(0)?, 1);
        // For the master's commands it is there.
        assert_eq!(
            get(&keyspace, 0, b"k", NO_DEADLINE_PASSES)?,
            Some(b"v".to_vec())
        );
        keyspace.expiry().follow(false);
        keyspace.expiry().run_cycle(200);
        assert_eq!(keyspace.databases().len(0)?, 0);
    }
    Ok(())
}
