//! Any pattern against any string ends, soon and without a panic, and some laws hold.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pmemkv_server::glob::matches;

fuzz_target!(|input: (&[u8], &[u8])| {
    let (pattern, string) = input;
    let found = matches(pattern, string, false);
    if found {
        let mut longer = pattern.to_vec();
        // An unclosed set or a backslash at the end would swallow the star, and not even stars match an empty string.
        if !string.is_empty() && !pattern.iter().any(|byte| b"[\\".contains(byte)) {
            longer.push(b'*');
            assert!(matches(&longer, string, false));
            assert!(matches(pattern, string, true));
        }
    }
    if !string.iter().any(|byte| b"*?[\\".contains(byte)) {
        assert!(matches(string, string, false));
    }
});
