//! The arguments and replies of `redis.call` on their way between Lua and the server.

use crate::host::Subject;

/// Short arguments go another way than long ones. Both must arrive whole, whatever the length.
#[test]
fn arguments_of_all_lengths_arrive() {
    let mut subject = Subject::new();
    for length in (0..64).chain(4000..4200).chain([100_000, 3_000_000]) {
        let script = format!(
            "local text = string.rep('x', {length})
             redis.call('set', {length}, text) redis.call('set', text, {length})
             return {{redis.call('get', '{length}') == text, tonumber(redis.call('get', text)) == {length}}}"
        );
        assert_eq!(subject.eval(&script), "*2\r\n:1\r\n:1\r\n", "{length}");
    }
}

#[test]
fn numbers_become_text_at_their_places() {
    let mut subject = Subject::new();
    for (number, text) in [
        ("7", "7"),
        ("-7", "-7"),
        ("-0", "0"),
        ("0.5", "0.5"),
        ("2^53", "9007199254740992"),
        ("-2^62", "-4611686018427387904"),
        ("2^63", "9223372036854776000"),
        // Less than what mlua takes for a whole number.
        ("1e-17", "1e-17"),
        ("1/0", "inf"),
    ] {
        let script = format!(
            "redis.call('set', {number}, {number}) redis.call('set', 'a', 'b')
             return redis.call('mget', 'a', '{text}', {number}, 'a')"
        );
        let length = text.len();
        let bulk = format!("${length}\r\n{text}\r\n");
        let expected = format!("*4\r\n$1\r\nb\r\n{bulk}{bulk}$1\r\nb\r\n");
        assert_eq!(subject.eval(&script), expected, "{number}");
    }
}

#[test]
fn wrong_arguments_are_errors() {
    let mut subject = Subject::new();
    for arguments in ["{}", "'get', true", "'get', nil", "'get', 'a', print"] {
        let script = format!("local r = redis.pcall({arguments}) return {{type(r), r.err}}");
        let reply = subject.eval(&script);
        assert!(
            reply.ends_with("Lua redis lib command arguments must be strings or integers\r\n")
                || reply.starts_with("-ERR user_script:1: Script attempted to access"),
            "{arguments}: {reply}"
        );
    }
    let reply = subject.eval("return redis.call()");
    assert!(
        reply.starts_with("-ERR Please specify at least one argument for this redis lib call"),
        "{reply}"
    );
}
