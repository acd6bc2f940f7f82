//! Any body of a stream decodes or is refused, in each of the three forms, and what was decoded is the same after DUMP.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pmemkv_server::serialised::{Object, Release, Stream, decode, encode_for, fuzzing};

/// The numbers of the forms of Redis 5, 7.0 and 7.2.
const FORMS: [u8; 3] = [15, 19, 21];

fuzz_target!(|bytes: &[u8]| {
    let Some((which, rest)) = bytes.split_first() else {
        return;
    };
    let mut body = vec![FORMS[usize::from(*which) % FORMS.len()]];
    body.extend_from_slice(rest);
    let Ok(Object::Stream(stream)) = decode(&fuzzing::closed(&body)) else {
        return;
    };
    check(&stream);
    let payload = encode_for(&Object::Stream(stream.clone()), Release::Redis72);
    assert_eq!(decode(&payload), Ok(Object::Stream(stream)));
});

/// What every reader of a stream relies on.
fn check(stream: &Stream) {
    assert!(stream.entries.is_sorted_by(|a, b| a.id < b.id));
    for entry in &stream.entries {
        assert!(entry.id <= stream.last_id);
        assert!(!entry.names.is_empty() && entry.names.len() == entry.values.len());
    }
    for group in &stream.groups {
        assert!(group.pending.is_sorted_by(|a, b| a.id < b.id));
        for pending in &group.pending {
            assert!(pending.consumer < group.consumers.len());
        }
        assert!(group.entries_read.is_none_or(|read| i64::try_from(read).is_ok()));
    }
}
