//! In a full pool, put reports truly whether it has stored the pair.

use std::collections::BTreeMap;

use pmemkv::Error;

use crate::common::{MIB, TestResult, on_each};

#[test]
fn out_of_memory_is_said_exactly_where_a_pair_is_not_stored() -> TestResult {
    for value_bytes in [200, 20_000] {
        on_each(16 * MIB, |fixture| {
            let db = &fixture.db;
            let mut stored = BTreeMap::new();
            let mut refused = 0;
            // After a refusal, small pairs: they may still fit.
            for number in 0..200_000_u32 {
                let key = format!("a key that is longer {number}").into_bytes();
                let length = if refused % 2 == 0 { value_bytes } else { 8 };
                let value = vec![u8::try_from(number % 256)?; length];
                match db.put(&key, &value) {
                    Ok(()) => {
                        stored.insert(key, value);
                    }
                    Err(Error::OutOfMemory(_)) => {
                        refused += 1;
                        // stree may lose pairs to later puts once one has run out of memory.
                        if refused > 50 || fixture.engine.name == "stree" {
                            assert!(!db.exists(&key)?);
                            break;
                        }
                        assert_eq!(db.get(&key)?, None, "{} {number}", fixture.engine.name);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            assert!(refused > 0, "the pool never got full");
            assert_eq!(db.count_all()?, stored.len());
            for (key, value) in &stored {
                assert_eq!(db.get_with(key, |stored| stored == value)?, Some(true));
            }
            // Removals work in a full pool and make room.
            if fixture.engine.name != "stree" {
                for key in stored.keys() {
                    assert!(db.remove(key)?);
                }
                db.put(b"after", b"the flood")?;
                assert_eq!(db.count_all()?, 1);
            }
            Ok(())
        })?;
    }
    Ok(())
}
