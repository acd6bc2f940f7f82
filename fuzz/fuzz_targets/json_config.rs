//! Any document becomes a config of pmemkv or a typed error, and an object of strings and numbers always a config.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pmemkv_server::pmemkv::{Config, Error};

fuzz_target!(|document: &str| {
    match Config::from_json(document) {
        Ok(_)
        | Err(
            Error::Json(_)
            | Error::JsonNotObject
            | Error::JsonUnsupported { .. }
            // pmemkv's names and strings are C's.
            | Error::Nul(_),
        ) => {}
        Err(other) => panic!("{other:?}"),
    }
    let document = serde_json::json!({ "a": document.replace('\0', ""), "size": document.len() });
    assert!(Config::from_json(&document.to_string()).is_ok());
});
