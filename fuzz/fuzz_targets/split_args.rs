//! Any line splits or is refused, and what was split reads back after quoting.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pmemkv_server::quoting::{quote, split_args};

fuzz_target!(|line: &[u8]| {
    if let Some(args) = split_args(line) {
        let quoted: Vec<Vec<u8>> = args.iter().map(|arg| quote(arg)).collect();
        assert_eq!(split_args(&quoted.join(&b' ')), Some(args));
    }
});
