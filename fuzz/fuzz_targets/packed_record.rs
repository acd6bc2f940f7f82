//! Any bytes that a segment may hold decode or are refused, and what was decoded encodes to bytes that mean the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pmemkv_server::pmemkv::SEGMENT_HEADER_BYTES;
use pmemkv_server::store::packed::fuzzing::{Binding, Form, Header, Parts, Record, bind};

fuzz_target!(|stored: &[u8]| {
    const HERE: Binding = Binding {
        serial: 7,
        offset: 64,
    };
    const ELSEWHERE: Binding = Binding {
        offset: 72,
        ..HERE
    };
    if let Some(bytes) = stored.first_chunk::<SEGMENT_HEADER_BYTES>()
        && let Ok((header, _)) = Header::decode(bytes)
    {
        // The bytes may hold an older entry too, which a header that is written anew does not have.
        assert_eq!(Header::decode(&header.encode()), Ok((header, 0)));
    }
    if let Ok(parts) = Parts::decode(stored) {
        assert_eq!(parts.encode(), stored);
    }
    let _ = Record::verify(HERE, stored);
    let Some(record) = Record::decode(stored) else {
        return;
    };
    if matches!(record.form, Form::Large(_)) {
        let _ = Parts::decode(record.body);
    }
    let mut encoded = Vec::new();
    record.encode(&mut encoded);
    assert_eq!(encoded.len(), record.padded_bytes());
    bind(&mut encoded, HERE);
    assert_eq!(Record::verify(HERE, &encoded), Ok(record));
    assert!(Record::verify(ELSEWHERE, &encoded).is_err());
});
