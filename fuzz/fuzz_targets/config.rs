//! Any text loads or is refused; what loaded can be shown, set again to what it shows, and stays the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pmemkv_server::config::{Config, DIRECTIVES};

fuzz_target!(|text: &[u8]| {
    // Files are not what this target is about.
    if text
        .windows(7)
        .any(|word| word.eq_ignore_ascii_case(b"include"))
    {
        return;
    }
    let Ok(loaded) = Config::from_text(text) else {
        return;
    };
    let config = loaded.config;
    for directive in DIRECTIVES {
        if directive.immutable || directive.protected {
            continue;
        }
        let shown = config.get(&[directive.name.as_bytes()]);
        let changed = config.set(&[(directive.name.as_bytes(), &shown[0].1)]);
        // What such a directive names may have changed: to set it is to read that anew.
        let expected = if directive.reloads {
            vec![directive.name]
        } else {
            Vec::new()
        };
        assert_eq!(changed, Ok(expected), "{}", directive.name);
    }
});
