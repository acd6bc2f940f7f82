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
