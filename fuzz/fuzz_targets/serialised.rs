//! Any payload of RESTORE decodes or is refused, and what was decoded is the same after DUMP.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pmemkv_server::serialised::{Object, Release, SerialisedError, decode, encode_for, fuzzing};

fuzz_target!(|bytes: &[u8]| {
    // A right checksum is not found by chance.
    if let Ok(object) = decode(bytes) {
        assert_eq!(decode(&encode_for(&object, Release::Redis72)), Ok(object));
    }
    match decode(&fuzzing::closed(bytes)) {
        Ok(object) => {
            assert!(match &object {
                Object::String(_) | Object::Stream(_) => true,
                Object::List(elements) | Object::Set(elements) => !elements.is_empty(),
                Object::Hash(fields) => !fields.is_empty(),
                Object::ExpiringHash(fields) => {
                    fields.iter().any(|field| field.expires_at.is_some())
                }
                Object::SortedSet(members) => {
                    !members.is_empty() && members.iter().all(|(_, score)| !score.is_nan())
                }
            });
            assert_eq!(decode(&encode_for(&object, Release::Redis72)), Ok(object));
        }
        Err(error) => assert_eq!(error, SerialisedError::Format),
    }
});
