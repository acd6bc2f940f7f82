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

#[test]
fn replies_nest_as_deep_as_they_may() {
    let mut subject = Subject::new();
    for depth in 1..=64 {
        // Each array has another one before a number, so all of them lie on Lua's stack at once.
        let script = format!(
            r"local reply = redis.call('raw', string.rep('*2\r\n', {depth}) .. '+OK\r\n' .. string.rep(':7\r\n', {depth}))
             local found = 0
             while reply.ok == nil do
                 assert(#reply == 2 and reply[2] == 7)
                 found, reply = found + 1, reply[1]
             end
             return found"
        );
        assert_eq!(subject.eval(&script), format!(":{depth}\r\n"));
    }
    let script = r"return redis.call('raw', string.rep('*1\r\n', 65) .. '+OK\r\n')";
    let reply = subject.eval(script);
    assert!(reply.starts_with(UNREADABLE), "{reply}");
}

/// What a script hears where the server has a fault.
const UNREADABLE: &str = "-ERR the server cannot read the reply of its own command";

#[test]
fn whole_numbers_of_replies_are_read_to_their_limits() {
    let mut subject = Subject::new();
    let mut eval = |text: &str| {
        subject.eval(&format!(
            r"return string.format('%.0f', redis.call('raw', ':{text}\r\n'))"
        ))
    };
    for text in [
        "0",
        "-1",
        "99999999999999999",
        "-9999999999999999",
        "999999999999999999",
        "-99999999999999999",
        "1000000000000000000",
        "9223372036854775807",
        "-9223372036854775808",
    ] {
        let number: i64 = text.parse().expect("it is a number");
        #[allow(clippy::cast_precision_loss)] // Lua's numbers are doubles.
        let text = format!("{:.0}", number as f64);
        let length = text.len();
        assert_eq!(
            eval(&number.to_string()),
            format!("${length}\r\n{text}\r\n")
        );
    }
    for text in [
        "",
        "-",
        "1x",
        "1:",
        "12345678901234567/",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999",
        "000000000000000000001",
    ] {
        let reply = eval(text);
        assert!(reply.starts_with(UNREADABLE), "{text}: {reply}");
    }
}
