//! Any bytes that a pool may hold decode or are refused, and what was decoded encodes to the same bytes again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pmemkv_server::store::RecordKind;
use pmemkv_server::store::pairs::fuzzing::{
    decode_journal, decode_key, decode_value, encode_journal, encode_key, encode_value,
    verify_value,
};

fuzz_target!(|stored: &[u8]| {
    if let Some((generation, key)) = decode_key(stored) {
        assert_eq!(encode_key(generation, key).as_slice(), stored);
    }
    let _ = decode_value(stored);
    let key = encode_key(0, b"key");
    let _ = verify_value(&key, stored, true);
    if let Ok(value) = verify_value(&key, stored, false) {
        let kind = RecordKind {
            kind: value.kind,
            form: value.form,
        };
        let encoded = encode_value(&key, kind, value.expires_at, value.bytes);
        assert_eq!(encoded.as_slice(), stored);
    }
    if let Ok(before) = decode_journal(stored) {
        // A slot is longer than its journal where an earlier one was longer.
        assert!(stored.starts_with(&encode_journal(&before)));
    }
});
