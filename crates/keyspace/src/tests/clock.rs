//! The clock is set back, and then the server restarts: keys that were seen to be gone stay gone.

use super::faults::{Over, Tested, open};
use super::*;
use store::testing::folder;

const HOUR: Millis = 3_600_000;

/// Looks for a key in one of the ways in which a client can see that it is gone.
type Look = fn(&Keyspace, &[u8], Millis) -> Result<bool>;

const LOOKS: [(&str, Look); 5] = [
    ("read", |keyspace, key, now| {
        Ok(get(keyspace, 0, key, now)?.is_some())
    }),
    ("info", |keyspace, key, now| {
        Ok(keyspace.info(0, key, at(now))?.is_some())
    }),
    ("update", |keyspace, key, now| {
        keyspace.update(0, key, at(now), |slot| {
            slot.read(|_| ()).map(|found| found.is_some())
        })
    }),
    ("scan", |keyspace, key, now| {
        Ok(scan_all(keyspace, 0, 10, now)?.contains(&key.to_vec()))
    }),
    ("cycle", |keyspace, _, now| {
        keyspace.expiry().remove_all_due(now)?;
        Ok(false)
    }),
];

#[test]
fn a_key_that_was_seen_to_be_gone_stays_gone() -> Tested {
    for over in [Over::Packed, Over::Pairs] {
        for (name, look) in LOOKS {
            let folder = folder()?;
            let now = now_ms();
            let keyspace = Keyspace::new(Box::new(open(over, folder.path())?));
            put(&keyspace, 0, b"k", b"older")?;
            put_until(&keyspace, 0, b"k", now + HOUR)?;
            put_until(&keyspace, 0, b"later", now + 2 * HOUR)?;
            keyspace.commit()?;
            assert!(!look(&keyspace, b"k", now + HOUR)?, "{over:?}, {name}");
            if over == Over::Pairs {
                // There the removal is a write of its own, which the background makes at once.
                keyspace.expiry().remove_all_due(now + HOUR)?;
            }
            keyspace.commit()?;
            // The clock is an hour back, and a client goes by it.
            put_until(&keyspace, 0, b"by the old clock", now + HOUR)?;
            keyspace.commit()?;
            drop(keyspace);
            for _ in 0..2 {
                let keyspace = Keyspace::new(Box::new(open(over, folder.path())?));
                assert_eq!(get(&keyspace, 0, b"k", now)?, None, "{over:?}, {name}");
                let kept = [&b"later"[..], b"by the old clock"];
                for key in kept {
                    assert!(get(&keyspace, 0, key, now)?.is_some(), "{over:?}, {name}");
                }
                assert_eq!(keyspace.databases().len(0)?, 2, "{over:?}, {name}");
            }
        }
    }
    Ok(())
}
