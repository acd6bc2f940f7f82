//! Tests of rules, as tables: the user that they define, its description, and what it may do.

use super::{Denial, Rules, RulesError};
use crate::catalog::{Command, table};
use crate::protocol::OwnedArgs;

/// A new user with these rules, separated by spaces.
fn user(rules: &str) -> Rules {
    let mut user = Rules::new(false);
    let words: Vec<&str> = rules.split(' ').collect();
    user.apply_all(&words).expect(rules);
    user
}

fn described(rules: &Rules) -> String {
    String::from_utf8_lossy(&rules.describe()).into_owned()
}

const HASH_OF_X: &str = "#2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";

#[test]
fn descriptions_are_those_of_redis() {
    for (rules, root) in [
        ("", "resetchannels -@all"),
        ("+get", "resetchannels -@all +get"),
        ("+GET +Ping", "resetchannels -@all +get +ping"),
        ("+@all -get +@read", "resetchannels +@all -get +@read"),
        ("+set +@read +set", "resetchannels -@all +@read +set"),
        ("+get +@read -get", "resetchannels -@all +@read -get"),
        ("+@read -@all +get", "resetchannels -@all +get"),
        (
            "+config +config|get",
            "resetchannels -@all +config +config|get",
        ),
        (
            "+config|GET -config|set +config",
            "resetchannels -@all +config",
        ),
        ("+get +getex +get", "resetchannels -@all +getex +get"),
        (
            "+select|0 +select|1 +SELECT|0",
            "resetchannels -@all +select|1 +select|0",
        ),
        ("nocommands allcommands", "resetchannels +@all"),
        ("~a ~b ~a", "~a ~b resetchannels -@all"),
        ("%R~a %w~b %W~a ~", "~a %W~b ~ resetchannels -@all"),
        ("~a allkeys", "~* resetchannels -@all"),
        ("~a allkeys resetkeys ~c", "~c resetchannels -@all"),
        ("%rw~*", "%RW~* resetchannels -@all"),
        ("&a &b &a", "resetchannels &a &b -@all"),
        ("&a allchannels", "&* -@all"),
        ("allchannels resetchannels &c", "resetchannels &c -@all"),
        (
            "(+get ~a* %R~b* &c) ()",
            "resetchannels -@all (~a* %R~b* resetchannels &c -@all +get) (resetchannels -@all)",
        ),
        (
            "(+get) clearselectors (~x)",
            "resetchannels -@all (~x resetchannels -@all)",
        ),
        ("(+get \"~a)", "resetchannels -@all (resetchannels -@all)"),
        // The description quotes words that would end the selector or open a quote.
        (
            r#"(~\x29\x22 "~a)" "~b'" )"#,
            r#"resetchannels -@all (~\x29\x22 "~a)" "~b'" resetchannels -@all)"#,
        ),
        ("+@all ~* &* (+get) reset", "resetchannels -@all"),
    ] {
        assert_eq!(
            described(&user(rules)),
            format!("off sanitize-payload {root}"),
            "{rules}"
        );
    }
}

#[test]
fn flags_and_passwords() {
    for (rules, start) in [
        ("on", "on sanitize-payload"),
        ("ON nopass", "on nopass sanitize-payload"),
        ("skip-sanitize-payload", "off skip-sanitize-payload"),
        (
            "skip-sanitize-payload Sanitize-Payload",
            "off sanitize-payload",
        ),
        (">x >x", &format!("off sanitize-payload {HASH_OF_X}")),
        (HASH_OF_X, &format!("off sanitize-payload {HASH_OF_X}")),
        ("nopass >x", &format!("off sanitize-payload {HASH_OF_X}")),
        (">x nopass", "off nopass sanitize-payload"),
        (">x <x", "off sanitize-payload"),
        (">x resetpass", "off sanitize-payload"),
        ("nopass resetpass", "off sanitize-payload"),
    ] {
        let expected = format!("{start} resetchannels -@all");
        assert_eq!(described(&user(rules)), expected, "{rules}");
    }
}

#[test]
fn lets_in_who_knows_a_password() {
    for (rules, password, expected) in [
        ("on >x >y", "x", true),
        ("on >x >y", "y", true),
        ("on >x >y", "z", false),
        ("on >x", "", false),
        ("on", "", false),
        ("on >", "", true),
        ("on nopass", "anything", true),
        ("off nopass", "anything", false),
        ("off >x", "x", false),
    ] {
        let accepts = user(rules).accepts(password.as_bytes());
        assert_eq!(accepts, expected, "{rules}: {password}");
    }
}

#[test]
fn errors_are_those_of_redis() {
    const UNKNOWN: &str = "Unknown command or category name in ACL";
    const SYNTAX: &str = "Syntax error";
    const BAD_HASH: &str = "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters";
    let long = format!("!{}", "A".repeat(64));
    for (rules, error) in [
        ("nonsense", SYNTAX),
        (")", SYNTAX),
        ("(on)", SYNTAX),
        ("(reset)", SYNTAX),
        ("(allkeys)(~x)", SYNTAX),
        ("(+nosuch)", UNKNOWN),
        ("+nosuch", UNKNOWN),
        ("-nosuch", UNKNOWN),
        ("+", UNKNOWN),
        ("+@", UNKNOWN),
        ("+@nosuch", UNKNOWN),
        ("+config|nosuch", UNKNOWN),
        ("+nosuch|get", UNKNOWN),
        ("-select|0", UNKNOWN),
        ("-config|nosuch", UNKNOWN),
        ("+config|", SYNTAX),
        ("+select|", SYNTAX),
        ("+select|\t", SYNTAX),
        (
            "+config|get|x",
            "Allowing first-arg of a subcommand is not supported",
        ),
        ("+ping|x|y", UNKNOWN),
        ("%~a", SYNTAX),
        ("~a\tb", SYNTAX),
        ("&a\0", SYNTAX),
        (
            "~* ~a",
            "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. \
             Try 'resetkeys' to start with an empty list of patterns",
        ),
        (
            "&* &a",
            "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any \
             effect. Try 'resetchannels' to start with an empty list of channels",
        ),
        (
            "<x",
            "The password you are trying to remove from the user does not exist",
        ),
        ("#abc", BAD_HASH),
        (&long, BAD_HASH),
    ] {
        let words: Vec<&str> = rules.split(' ').collect();
        match Rules::new(false).apply_all(&words) {
            Err(RulesError::Rule(_, reason)) => assert_eq!(reason.to_string(), error, "{rules}"),
            other => panic!("{rules}: {other:?}"),
        }
    }
    for (rules, begins) in [
        ("(", "("),
        ("( +get", "("),
        ("on (+get ~x", "(+get"),
        ("() (+b", "(+b"),
    ] {
        let words: Vec<&str> = rules.split(' ').collect();
        let error = Rules::new(false).apply_all(&words);
        assert_eq!(error, Err(RulesError::Unmatched(begins.into())), "{rules}");
    }
}

/// The command of a call, found as the dispatcher finds it.
fn command(words: &[&str]) -> &'static Command {
    let command = table().find(words[0].as_bytes()).expect("a command");
    words
        .get(1)
        .and_then(|sub| table().find_subcommand(command, sub.as_bytes()))
        .unwrap_or(command)
}

fn check(rules: &str, call: &str) -> Result<(), Denial> {
    let words: Vec<&str> = call.split(' ').collect();
    let args = OwnedArgs::new(&words);
    user(rules).check(command(&words), args.args())
}

#[test]
fn calls_are_checked_as_in_redis() {
    use Denial::{Command, Key};
    for (rules, call, expected) in [
        ("", "get a", Err(Command)),
        ("", "auth x", Ok(())),
        ("+get", "get a", Err(Key(1))),
        ("+get ~a", "get a", Ok(())),
        ("+get ~a", "get b", Err(Key(1))),
        ("+get ~a*", "GET abc", Ok(())),
        ("+@read ~*", "get a", Ok(())),
        ("+@read ~*", "set a b", Err(Command)),
        ("+@all -@dangerous ~*", "flushall", Err(Command)),
        ("+@all -config", "config get x", Err(Command)),
        ("+@all -config|set", "config get x", Ok(())),
        ("+@all -config|set", "config set x y", Err(Command)),
        ("+config|get", "config get x", Ok(())),
        ("+config|get", "config set x y", Err(Command)),
        ("+@all -select +select|0", "select 0", Ok(())),
        ("+@all -select +select|0", "select 1", Err(Command)),
        ("+select|a", "select A", Ok(())),
        ("+select|0 -@connection", "select 0", Err(Command)),
        // A command that only tells a key's type needs any access to the key, not a certain one.
        ("+@all %R~r %W~w ~rw", "get r", Ok(())),
        ("+@all %R~r %W~w ~rw", "get w", Err(Key(1))),
        ("+@all %R~r %W~w ~rw", "set w x", Ok(())),
        ("+@all %R~r %W~w ~rw", "set r x", Err(Key(1))),
        ("+@all %R~r %W~w ~rw", "set w x get", Err(Key(1))),
        ("+@all %R~r %W~w ~rw", "set rw x GET", Ok(())),
        ("+@all %R~r %W~w ~rw", "set w get", Ok(())),
        ("+@all %R~r %W~w ~rw", "exists w", Ok(())),
        ("+@all %R~r %W~w ~rw", "del w", Ok(())),
        ("+@all %R~r %W~w ~rw", "del r", Err(Key(1))),
        ("+@all %R~r %W~w ~rw", "getdel w", Err(Key(1))),
        ("+@all %R~r %W~w ~rw", "incr w", Err(Key(1))),
        ("+@all %R~r %W~w ~rw", "incr rw", Ok(())),
        ("+@all %R~r %W~w ~rw", "append w x", Ok(())),
        ("+@all %R~r %W~w ~rw", "copy r w", Ok(())),
        ("+@all %R~r %W~w ~rw", "copy w r", Err(Key(1))),
        ("+@all %R~r %W~w ~rw", "mset w 1 rw 2 x 3", Err(Key(5))),
        ("+@all %R~r %W~w ~rw", "mget r rw w", Err(Key(3))),
        ("+@all %R~a %W~*", "get a", Ok(())),
        ("+@all %R~a* %W~a*", "incr a", Ok(())),
        ("+@all %R~a* %W~a", "incr a", Err(Key(1))),
        // One selector must allow all of a call.
        ("+get ~a (+set ~b)", "get a", Ok(())),
        ("+get ~a (+set ~b)", "set b x", Ok(())),
        ("+get ~a (+set ~b)", "get b", Err(Key(1))),
        ("+get ~a (+mget ~b ~c)", "mget b c a", Err(Key(3))),
        ("+mget ~a (+mget ~b ~c)", "mget b c a", Err(Key(3))),
        ("+mget ~a (+mget ~b ~c)", "mget a c", Err(Key(2))),
        ("(+@all ~*)", "get a", Ok(())),
    ] {
        assert_eq!(check(rules, call), expected, "{rules}: {call}");
    }
}

#[test]
fn channels_are_matched_and_patterns_compared() {
    for (rules, channel, plain, pattern) in [
        ("", "news:a", false, false),
        ("&news:*", "news:a", true, false),
        ("&news:*", "news:*", true, true),
        ("&news:* (&sport)", "sport", true, true),
        ("&*", "anything", true, true),
    ] {
        let user = user(rules);
        let allows = |is_pattern| user.allows_channel(channel.as_bytes(), is_pattern);
        assert_eq!(
            (allows(false), allows(true)),
            (plain, pattern),
            "{rules}: {channel}"
        );
    }
}

#[test]
fn unrestricted_is_one_selector_with_everything() {
    for (rules, expected) in [
        ("+@all ~* &*", true),
        ("+@all ~* &* -get", false),
        ("+@all ~*", false),
        ("+@all allchannels ~a", false),
        ("(+@all ~* &*)", true),
        ("+@all (~* &*)", false),
    ] {
        assert_eq!(user(rules).is_unrestricted(), expected, "{rules}");
    }
}

#[test]
fn channels_by_default() {
    let mut rules = Rules::new(true);
    assert_eq!(described(&rules), "off sanitize-payload &* -@all");
    rules
        .apply_all(&["resetchannels", "(+get)", "reset"])
        .expect("rules");
    assert_eq!(described(&rules), "off sanitize-payload &* -@all");
    rules.apply_all(&["(~x)"]).expect("rules");
    assert_eq!(
        described(&rules),
        "off sanitize-payload &* -@all (~x &* -@all)"
    );
}
