//! Keys past their deadline, and a clock that goes back.

use super::faults::{Over, Tested, open};
use super::*;
use store::testing::folder;

#[test]
fn a_key_that_was_seen_expired_stays_gone_when_the_clock_goes_back() -> Tested {
    for over in [Over::Packed, Over::Pairs] {
        let folder = folder()?;
        {
            let keyspace = Keyspace::new(Box::new(open(over, folder.path())?));
            for name in [b"seen".as_slice(), b"unseen"] {
                keyspace.update(0, name, at(0), |slot| {
                    slot.put(Kind::String, b"value", Some(1_000))
                })?;
            }
            assert!(keyspace.info(0, b"seen", at(2_000))?.is_none());
            keyspace.commit()?;
            // The process dies before anything is removed in the background.
        }
        let keyspace = Keyspace::new(Box::new(open(over, folder.path())?));
        keyspace.loading().read_all(1)?;
        assert!(keyspace.info(0, b"seen", at(0))?.is_none(), "{over:?}");
        if over == Over::Pairs {
            assert!(keyspace.info(0, b"unseen", at(0))?.is_some());
        }
    }
    Ok(())
}

#[test]
fn a_key_that_a_scan_left_out_stays_gone_when_the_clock_goes_back() -> Tested {
    for over in [Over::Packed, Over::Pairs] {
        let folder = folder()?;
        {
            let keyspace = Keyspace::new(Box::new(open(over, folder.path())?));
            keyspace.update(0, b"key", at(0), |slot| {
                slot.put(Kind::String, b"value", Some(1_000))
            })?;
            let mut shown = 0;
            keyspace
                .walk()
                .scan(0, Cursor::START, 10, 2_000, &mut |_, _| shown += 1)?;
            assert_eq!(shown, 0);
            keyspace.commit()?;
        }
        let keyspace = Keyspace::new(Box::new(open(over, folder.path())?));
        keyspace.loading().read_all(1)?;
        assert!(keyspace.info(0, b"key", at(0))?.is_none(), "{over:?}");
    }
    Ok(())
}

#[test]
fn what_was_seen_expired_is_gone_for_later_commands_too() -> Tested {
    for over in [Over::Packed, Over::Pairs] {
        let folder = folder()?;
        let keyspace = Keyspace::new(Box::new(open(over, folder.path())?));
        for (name, deadline) in [(b"seen".as_slice(), 1_000), (b"later", 3_000)] {
            keyspace.update(0, name, at(0), |slot| {
                slot.put(Kind::String, b"value", Some(deadline))
            })?;
        }
        assert!(keyspace.info(0, b"seen", at(2_000))?.is_none());
        keyspace.expiry().begin_at(0);
        assert!(keyspace.info(0, b"seen", at(0))?.is_none(), "{over:?}");
        assert!(keyspace.info(0, b"later", at(0))?.is_some(), "{over:?}");
        // By the clock that was set back, a new key may end before that.
        keyspace.update(0, b"new", at(0), |slot| {
            slot.put(Kind::String, b"value", Some(500))
        })?;
        keyspace.expiry().begin_at(1);
        assert!(keyspace.info(0, b"new", at(1))?.is_some(), "{over:?}");
    }
    Ok(())
}
