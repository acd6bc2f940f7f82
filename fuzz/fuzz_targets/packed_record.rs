//! Any bytes that a segment may hold decode or are refused, and what was decoded encodes to the same bytes again.
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
        && let Ok(header) = Header::decode(bytes)
        && header != Header::FREE
    {
        // Behind the checksum may lie anything.
        assert_eq!(header.encode()[..40], bytes[..40]);
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
