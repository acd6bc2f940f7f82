//! Any list of rules makes a user or is refused; a user's description makes the same user, and describes it again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pmemkv_server::acl::Rules;
use pmemkv_server::commands;

fuzz_target!(|text: &[u8]| {
    commands::install();
    let mut rules = Rules::new(false);
    // What comes before a rule that is refused has been applied.
    let words: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    let _ = rules.apply_all(&words);

    let description = rules.describe();
    let words: Vec<&[u8]> = description.split(|&byte| byte == b' ').collect();
    let mut again = Rules::new(false);
    assert_eq!(
        again.apply_all(&words),
        Ok(()),
        "{}",
        description.escape_ascii()
    );
    assert_eq!(again.describe(), description);
    // The text of `%RW~*` is that of a pattern, and what is allowed is the same: descriptions say all.
    assert_eq!(again, rules, "{}", description.escape_ascii());
});
