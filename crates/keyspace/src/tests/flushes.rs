//! Flushes after which no key is left: the store stops counting all records in one go.

use super::faults::{Over, Tested, open};
use super::*;
use std::path::Path;
use store::testing::folder;

const LIBRARY: &[u8] = b"a library";

fn begin(folder: &Path) -> Tested<Keyspace> {
    let keyspace = Keyspace::new(Box::new(open(Over::Packed, folder)?));
    keyspace.forms.set(&crate::FormLimits {
        compact_bytes_max: 64,
        ..crate::FormLimits::default()
    });
    keyspace.loading().read_all(2)?;
    Ok(keyspace)
}

/// Short and long strings, small and large hashes, in this database.
fn fill(keyspace: &Keyspace, db: usize) -> Tested {
    for n in 0..400_u32 {
        let key = format!("string {n}");
        let long = vec![b'x'; if n % 100 == 7 { 200_000 } else { 40 }];
        put(keyspace, db, key.as_bytes(), &long)?;
    }
    for (key, fields) in [("small", 2_u32), ("large", 300), ("removed", 300)] {
        keyspace.update_many(&[(db, key.as_bytes())], at(0), |keys| {
            let mut hash = keys.fields(0, Kind::Hash)?;
            (0..fields).try_for_each(|field| hash.put(&field.to_be_bytes(), b"value").map(drop))
        })?;
    }
    // What its elements take waits for the background.
    remove(keyspace, db, b"removed", at(0))?;
    Ok(())
}

fn bytes(keyspace: &Keyspace) -> u64 {
    keyspace.store.fill().bytes
}

/// Frees all memory, and compacts until there is nothing to do.
fn settle(keyspace: &Keyspace) -> Result<()> {
    while keyspace.garbage().remove(100) > 0 {}
    for _ in 0..200 {
        keyspace
            .store
            .work(keyspace, std::time::Duration::from_millis(1))?;
        keyspace.store.work_when_idle(keyspace);
    }
    Ok(())
}

#[test]
fn a_flush_that_leaves_no_key_counts_nothing() -> Tested {
    for (databases, flush_one) in [(&[0][..], true), (&[0, 3, 15], false)] {
        let folder = folder()?;
        let of_library = {
            let keyspace = begin(folder.path())?;
            let empty = bytes(&keyspace);
            keyspace.libraries().store(Some(LIBRARY))?;
            let of_library = bytes(&keyspace);
            assert!(of_library > empty);
            for &db in databases {
                fill(&keyspace, db)?;
            }
            if flush_one {
                keyspace.databases().flush(0)?;
            } else {
                keyspace.databases().flush_all()?;
            }
            assert_eq!(bytes(&keyspace), of_library, "before any work behind it");
            // What comes now counts, and what waited does not count twice.
            fill(&keyspace, 0)?;
            settle(&keyspace)?;
            assert_eq!(keyspace.stats()?.pending_removals, 0);
            assert_eq!(keyspace.libraries().read()?.as_deref(), Some(LIBRARY));
            assert_eq!(keyspace.databases().len(0)?, 402);
            keyspace.close()?;
            (of_library, bytes(&keyspace))
        };
        // A start counts the same.
        let keyspace = begin(folder.path())?;
        assert_eq!(bytes(&keyspace), of_library.1);
        assert_eq!(keyspace.libraries().read()?.as_deref(), Some(LIBRARY));
        assert_eq!(
            get(&keyspace, 0, b"string 7", 0)?,
            Some(vec![b'x'; 200_000])
        );
        let len = keyspace.view(0, b"large", at(0), |view| view.map(|view| view.len()))?;
        assert_eq!(len, Some(300));
        keyspace.databases().flush_all()?;
        assert_eq!(bytes(&keyspace), of_library.0);
    }
    Ok(())
}

#[test]
fn a_flush_that_leaves_keys_leaves_the_rest_to_the_background() -> Tested {
    let folder = folder()?;
    let keyspace = begin(folder.path())?;
    put(&keyspace, 3, b"key", b"value")?;
    let of_key = bytes(&keyspace);
    fill(&keyspace, 0)?;
    keyspace.databases().flush(0)?;
    assert!(bytes(&keyspace) > of_key);
    while keyspace.garbage().remove(100) > 0 {}
    assert_eq!(bytes(&keyspace), of_key);
    assert_eq!(get(&keyspace, 3, b"key", 0)?, Some(b"value".to_vec()));
    keyspace.databases().flush(3)?;
    assert_eq!(bytes(&keyspace), 0);
    Ok(())
}
