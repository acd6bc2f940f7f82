//! Any bytes that a compact collection's record may hold are refused, or decode and encode to the same bytes again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pmemkv_server::keyspace::Kind;
use pmemkv_server::keyspace::fuzzing::copied_compact;

fuzz_target!(|input: &[u8]| {
    let Some((&number, record)) = input.split_first() else {
        return;
    };
    let kind = Kind::from_number(9 + number % 4).expect("kinds 9 to 12 are compact");
    if let Some(copy) = copied_compact(kind, record) {
        assert_eq!(copy, record);
    }
});
