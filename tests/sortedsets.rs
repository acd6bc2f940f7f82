//! The sorted-set commands over TCP, on every engine. The replies are those of a real server of the protocol.

mod common;

use common::{Options, RawClient, Server, TestResult, Value};

/// Calls and their replies, in order, on an empty database.
const SCRIPT: &[(&str, &str)] = &[
    // Adding
    ("ZADD a 1 one 2 two 3 three", ":3"),
    ("ZADD a 1 one 5 two 4 four", ":1"),
    ("ZADD a CH 1 one 2 two 4.5 four 6 six", ":3"),
    ("ZADD a NX 9 one 9 nine", ":1"),
    ("ZADD a XX 8 nine 8 eight", ":0"),
    ("ZADD a XX CH 9 nine 8 eight", ":1"),
    ("ZADD a GT CH 1 two 3 two", ":1"),
    ("ZADD a LT CH 5 two 2 two", ":1"),
    ("ZADD a GT CH 1 ten", ":1"),
    ("ZADD a INCR 2.5 one", "3.5"),
    ("ZADD a NX INCR 2.5 one", "nil"),
    ("ZADD a XX INCR 2.5 none", "nil"),
    ("ZADD a GT INCR -1 one", "nil"),
    ("ZADD none XX 1 a", ":0"),
    ("EXISTS none", ":0"),
    (
        "ZADD a NX XX 1 a",
        "-ERR XX and NX options at the same time are not compatible",
    ),
    (
        "ZADD a NX GT 1 a",
        "-ERR GT, LT, and/or NX options at the same time are not compatible",
    ),
    (
        "ZADD a GT LT 1 a",
        "-ERR GT, LT, and/or NX options at the same time are not compatible",
    ),
    (
        "ZADD a INCR 1 a 2 b",
        "-ERR INCR option supports a single increment-element pair",
    ),
    ("ZADD a 1 a 2", SYNTAX),
    ("ZADD a NX XX", SYNTAX),
    ("ZADD a x a", NOT_A_FLOAT),
    ("ZADD a nan a", NOT_A_FLOAT),
    ("ZADD a 1 a nan b", NOT_A_FLOAT),
    ("ZSCORE a a", "nil"),
    ("TYPE a", "+zset"),
    ("OBJECT ENCODING a", "listpack"),
    ("ZINCRBY a -1.5 one", "2"),
    ("ZINCRBY new 3 m", "3"),
    ("ZADD new inf i", ":1"),
    (
        "ZINCRBY new -inf i",
        "-ERR resulting score is not a number (NaN)",
    ),
    (
        "ZADD new INCR -inf i",
        "-ERR resulting score is not a number (NaN)",
    ),
    ("ZINCRBY new x m", NOT_A_FLOAT),
    (
        "ZRANGE a 0 -1 WITHSCORES",
        "[ten 1 one 2 two 2 three 3 four 4.5 six 6 nine 9]",
    ),
    // Numbers
    (
        "ZADD n 0.1 a 3.0 b 1e21 c 1e-7 d -1.5e300 e +inf f -inf g 123456789012345678 h 0x10 i",
        ":9",
    ),
    (
        "ZRANGE n 0 -1 WITHSCORES",
        "[g -inf e -1.5e+300 d 1e-7 a 0.1 b 3 i 16 h 123456789012345680 c 1e+21 f inf]",
    ),
    ("ZADD small -0 m", ":1"),
    ("ZSCORE small m", "0"),
    ("ZADD small INCR -0 o", "-0"),
    ("ZRANGE small 0 -1 WITHSCORES", "[m 0 o 0]"),
    // Members
    ("ZCARD a", ":7"),
    ("ZCARD none", ":0"),
    ("ZSCORE a two", "2"),
    ("ZSCORE a none", "nil"),
    ("ZSCORE none a", "nil"),
    ("ZMSCORE a one none two", "[2 nil 2]"),
    ("ZMSCORE none a b", "[nil nil]"),
    ("ZRANK a one", ":1"),
    ("ZREVRANK a one", ":5"),
    ("ZRANK a one WITHSCORE", "[:1 2]"),
    ("ZREVRANK a one withscore", "[:5 2]"),
    ("ZRANK a none", "nil"),
    ("ZRANK a none WITHSCORE", "nil-array"),
    ("ZRANK none one WITHSCORE", "nil-array"),
    ("ZRANK a one SCORE", SYNTAX),
    (
        "ZRANK a one WITHSCORE WITHSCORE",
        "-ERR wrong number of arguments for 'zrank' command",
    ),
    ("ZREM a ten none nine", ":2"),
    ("ZREM none a", ":0"),
    ("ZADD gone 1 a 2 b", ":2"),
    ("ZREM gone a b c", ":2"),
    ("EXISTS gone", ":0"),
    // Ranges by rank
    ("DEL a", ":1"),
    ("ZADD a 1 a 2 b 2 c 3 d 4 e", ":5"),
    ("ZRANGE a 1 2", "[b c]"),
    ("ZRANGE a -2 100", "[d e]"),
    ("ZRANGE a 3 2", "[]"),
    ("ZRANGE a 0 1 REV", "[e d]"),
    ("ZRANGE a 0 1 REV WITHSCORES", "[e 4 d 3]"),
    ("ZREVRANGE a 0 1 WITHSCORES", "[e 4 d 3]"),
    ("ZREVRANGE a -1 -1", "[a]"),
    ("ZRANGE none 0 -1", "[]"),
    ("ZRANGE a x 1", NOT_AN_INTEGER),
    (
        "ZRANGE a 0 1 LIMIT 0 1",
        "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
    ),
    ("ZRANGE a 0 1 LIMIT 5 -1", "[a b]"),
    ("ZREVRANGE a 0 1 REV", SYNTAX),
    // Ranges by score
    ("ZRANGE a 2 3 BYSCORE", "[b c d]"),
    ("ZRANGE a (2 +inf BYSCORE WITHSCORES", "[d 3 e 4]"),
    ("ZRANGE a 3 2 BYSCORE REV", "[d c b]"),
    ("ZRANGE a 3 2 BYSCORE", "[]"),
    ("ZRANGE a -inf inf BYSCORE LIMIT 1 2", "[b c]"),
    ("ZRANGE a -inf inf BYSCORE LIMIT -1 2", "[]"),
    ("ZRANGE a -inf inf BYSCORE LIMIT 3 -5", "[d e]"),
    ("ZRANGE a inf -inf REV BYSCORE LIMIT 1 2", "[d c]"),
    ("ZRANGEBYSCORE a (1 (3", "[b c]"),
    ("ZRANGEBYSCORE a 1 2 WITHSCORES LIMIT 1 1", "[b 2]"),
    ("ZREVRANGEBYSCORE a 3 (1", "[d c b]"),
    ("ZRANGEBYSCORE a (x 1", NO_RANGE),
    ("ZRANGEBYSCORE a nan 1", NO_RANGE),
    ("ZRANGEBYSCORE a 0 1 LIMIT 0", SYNTAX),
    ("ZRANGEBYSCORE a 0 1 LIMIT x 1", NOT_AN_INTEGER),
    ("ZRANGEBYSCORE a 0 1 BYLEX", SYNTAX),
    ("ZCOUNT a 2 3", ":3"),
    ("ZCOUNT a (2 (3", ":0"),
    ("ZCOUNT none 0 1", ":0"),
    ("ZCOUNT a x 1", NO_RANGE),
    // Ranges by name
    ("ZADD l 0 a 0 b 0 c 0 d 0 bb", ":5"),
    ("ZRANGE l - + BYLEX", "[a b bb c d]"),
    ("ZRANGE l [b (c BYLEX", "[b bb]"),
    ("ZRANGE l + [b BYLEX REV LIMIT 1 2", "[c bb]"),
    ("ZRANGEBYLEX l (b + LIMIT 0 2", "[bb c]"),
    ("ZREVRANGEBYLEX l (c -", "[bb b a]"),
    ("ZRANGEBYLEX l + -", "[]"),
    ("ZRANGEBYLEX l b c", NO_NAMES),
    (
        "ZRANGE l - + BYLEX WITHSCORES",
        "-ERR syntax error, WITHSCORES not supported in combination with BYLEX",
    ),
    ("ZLEXCOUNT l [b [c", ":3"),
    ("ZLEXCOUNT l - (bb", ":2"),
    ("ZLEXCOUNT none - +", ":0"),
    ("ZLEXCOUNT l b c", NO_NAMES),
    // Storing ranges
    ("ZRANGESTORE to a 1 2", ":2"),
    ("ZRANGE to 0 -1 WITHSCORES", "[b 2 c 2]"),
    ("ZRANGESTORE to a (2 inf BYSCORE", ":2"),
    ("ZRANGE to 0 -1 WITHSCORES", "[d 3 e 4]"),
    ("ZRANGESTORE to l [c [d BYLEX REV", ":0"),
    ("EXISTS to", ":0"),
    ("ZRANGESTORE a a 0 3", ":4"),
    ("ZRANGE a 0 -1", "[a b c d]"),
    ("ZRANGESTORE to a 0 1 WITHSCORES", SYNTAX),
    // Removing ranges
    ("ZREMRANGEBYRANK a 0 0", ":1"),
    ("ZREMRANGEBYRANK a 5 9", ":0"),
    ("ZREMRANGEBYRANK a x 9", NOT_AN_INTEGER),
    ("ZREMRANGEBYSCORE a (2 3", ":1"),
    ("ZREMRANGEBYSCORE a 7 9", ":0"),
    ("ZREMRANGEBYSCORE a y 9", NO_RANGE),
    ("ZREMRANGEBYLEX l [b [bb", ":2"),
    ("ZREMRANGEBYLEX l b c", NO_NAMES),
    ("ZRANGE l 0 -1", "[a c d]"),
    ("ZREMRANGEBYLEX l - +", ":3"),
    ("EXISTS l", ":0"),
    ("ZREMRANGEBYRANK none 0 -1", ":0"),
    // Popping
    ("DEL a", ":1"),
    ("ZADD a 1 a 2 b 3 c 4 d 5 e", ":5"),
    ("ZPOPMIN a", "[a 1]"),
    ("ZPOPMAX a", "[e 5]"),
    ("ZPOPMAX a 2", "[d 4 c 3]"),
    ("ZPOPMIN a 0", "[]"),
    ("ZPOPMIN a -1", NOT_POSITIVE),
    ("ZPOPMIN a x", NOT_POSITIVE),
    ("ZPOPMIN a 1 2", SYNTAX),
    ("ZPOPMIN none", "[]"),
    ("ZPOPMIN none 2", "[]"),
    ("ZPOPMIN a 9", "[b 2]"),
    ("EXISTS a", ":0"),
    ("ZADD a 1 a 2 b 3 c", ":3"),
    ("ZMPOP 2 none a MIN", "[a [[a 1]]]"),
    ("ZMPOP 2 none a MAX COUNT 5", "[a [[c 3] [b 2]]]"),
    ("ZMPOP 1 a MIN", "nil-array"),
    ("ZMPOP 0 a MIN", "-ERR numkeys should be greater than 0"),
    ("ZMPOP x a MIN", "-ERR numkeys should be greater than 0"),
    ("ZMPOP 2 a MIN", SYNTAX),
    ("ZMPOP 1 a MIDDLE", SYNTAX),
    (
        "ZMPOP 1 a MIN COUNT 0",
        "-ERR count should be greater than 0",
    ),
    ("ZMPOP 1 a MIN COUNT 1 COUNT 1", SYNTAX),
    // Several
    ("ZADD x 1 a 2 b 3 c", ":3"),
    ("ZADD y 10 b 20 c 30 d", ":3"),
    ("SADD s b d", ":2"),
    ("ZUNION 2 x y", "[a b c d]"),
    ("ZUNION 2 x y WITHSCORES", "[a 1 b 12 c 23 d 30]"),
    (
        "ZUNION 3 x y s WITHSCORES WEIGHTS 1 2 3 AGGREGATE MAX",
        "[a 1 b 20 c 40 d 60]",
    ),
    ("ZINTER 2 x y WITHSCORES AGGREGATE MIN", "[b 2 c 3]"),
    ("ZINTER 2 x y WEIGHTS 2 0.5 WITHSCORES", "[b 9 c 16]"),
    ("ZINTER 2 x s WITHSCORES", "[b 3]"),
    ("ZDIFF 2 x y WITHSCORES", "[a 1]"),
    ("ZDIFF 2 x s", "[a c]"),
    ("ZDIFF 2 none x", "[]"),
    ("ZINTERCARD 2 x y", ":2"),
    ("ZINTERCARD 2 x y LIMIT 1", ":1"),
    ("ZINTERCARD 2 x y LIMIT 0", ":2"),
    ("ZINTERCARD 2 x y LIMIT -1", "-ERR LIMIT can't be negative"),
    ("ZINTERCARD 2 x none", ":0"),
    ("ZUNIONSTORE to 2 x s", ":4"),
    ("ZRANGE to 0 -1 WITHSCORES", "[a 1 d 1 b 3 c 3]"),
    ("ZINTERSTORE to 2 x y WEIGHTS 1 -1", ":2"),
    ("ZRANGE to 0 -1 WITHSCORES", "[c -17 b -8]"),
    ("ZDIFFSTORE to 2 x y", ":1"),
    ("ZRANGE to 0 -1 WITHSCORES", "[a 1]"),
    ("ZDIFFSTORE to 2 x x", ":0"),
    ("EXISTS to", ":0"),
    ("ZUNIONSTORE x 2 x x", ":3"),
    ("ZRANGE x 0 -1 WITHSCORES", "[a 2 b 4 c 6]"),
    ("ZADD plus inf a", ":1"),
    ("ZADD minus -inf a", ":1"),
    ("ZUNION 2 plus minus WITHSCORES", "[a 0]"),
    ("ZUNION 1 plus WEIGHTS 0 WITHSCORES", "[a 0]"),
    (
        "ZUNION 0 x",
        "-ERR at least 1 input key is needed for 'zunion' command",
    ),
    ("ZUNION x x", NOT_AN_INTEGER),
    ("ZUNION 2 x", SYNTAX),
    ("ZUNION 1 x WEIGHTS", SYNTAX),
    ("ZUNION 1 x WEIGHTS y", "-ERR weight value is not a float"),
    ("ZUNION 1 x AGGREGATE AVG", SYNTAX),
    ("ZDIFF 1 x WEIGHTS 1", SYNTAX),
    ("ZUNIONSTORE to 1 x WITHSCORES", SYNTAX),
    (
        "ZINTERCARD 0 x",
        "-ERR at least 1 input key is needed for 'zintercard' command",
    ),
    // Random members and walks
    ("ZADD one 1.5 a", ":1"),
    ("ZRANDMEMBER one", "a"),
    ("ZRANDMEMBER none", "nil"),
    ("ZRANDMEMBER none 2", "[]"),
    ("ZRANDMEMBER one 3", "[a]"),
    ("ZRANDMEMBER one -3", "[a a a]"),
    ("ZRANDMEMBER one -2 WITHSCORES", "[a 1.5 a 1.5]"),
    ("ZRANDMEMBER one 0", "[]"),
    ("ZRANDMEMBER one 1 SCORES", SYNTAX),
    ("ZRANDMEMBER one x", NOT_AN_INTEGER),
    (
        "ZRANDMEMBER one 4611686018427387904 WITHSCORES",
        "-ERR value is out of range",
    ),
    ("ZRANDMEMBER one 4611686018427387903 WITHSCORES", "[a 1.5]"),
    (
        "ZRANDMEMBER one -9223372036854775808",
        "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
    ),
    ("ZSCAN one 0", "[0 [a 1.5]]"),
    ("ZSCAN one 0 MATCH b*", "[0 []]"),
    ("ZSCAN none 0", "[0 []]"),
    ("ZSCAN one x", "-ERR invalid cursor"),
    ("ZSCAN one 0 COUNT 0", SYNTAX),
    // Other types
    ("SET str v", "+OK"),
    ("ZADD str 1 a", WRONG_TYPE),
    ("ZADD str x a", NOT_A_FLOAT),
    ("ZINCRBY str 1 a", WRONG_TYPE),
    ("ZREM str a", WRONG_TYPE),
    ("ZCARD str", WRONG_TYPE),
    ("ZSCORE str a", WRONG_TYPE),
    ("ZMSCORE str a", WRONG_TYPE),
    ("ZRANK str a", WRONG_TYPE),
    ("ZRANGE str 0 -1", WRONG_TYPE),
    ("ZRANGE str x -1", NOT_AN_INTEGER),
    ("ZRANGESTORE to str 0 -1", WRONG_TYPE),
    ("ZCOUNT str 0 1", WRONG_TYPE),
    ("ZLEXCOUNT str - +", WRONG_TYPE),
    ("ZREMRANGEBYRANK str 0 1", WRONG_TYPE),
    ("ZPOPMIN str", WRONG_TYPE),
    ("ZPOPMIN str 0", WRONG_TYPE),
    ("ZMPOP 2 none str MIN", WRONG_TYPE),
    ("ZMPOP 2 x str MIN", "[x [[a 2]]]"),
    ("ZUNION 2 none str", WRONG_TYPE),
    ("ZUNION 1 str BAD", WRONG_TYPE),
    ("ZUNIONSTORE to 1 str WEIGHTS", WRONG_TYPE),
    ("ZINTERCARD 1 str LIMIT -1", WRONG_TYPE),
    ("ZDIFF 2 x str", WRONG_TYPE),
    ("ZRANDMEMBER str", WRONG_TYPE),
    ("ZSCAN str 0", WRONG_TYPE),
    ("GET x", WRONG_TYPE),
];

/// The same in RESP3.
const RESP3: &[(&str, &str)] = &[
    ("ZADD y 10 b 20 c 30 d", ":3"),
    ("ZADD one 1.5 a", ":1"),
    ("ZADD a 1 a 2.5 b", ":2"),
    ("ZSCORE a b", ",2.5"),
    ("ZSCORE a none", "null"),
    ("ZINCRBY a 1 b", ",3.5"),
    ("ZADD a XX INCR 1 none", "null"),
    ("ZMSCORE a a none", "[,1 null]"),
    ("ZRANK a b WITHSCORE", "[:1 ,3.5]"),
    ("ZRANK a none WITHSCORE", "null"),
    ("ZRANGE a 0 -1 WITHSCORES", "[[a ,1] [b ,3.5]]"),
    ("ZPOPMIN a", "[a ,1]"),
    ("ZPOPMIN a 1", "[[b ,3.5]]"),
    ("ZPOPMIN a", "[]"),
    ("ZADD a inf a", ":1"),
    ("ZMPOP 1 a MAX", "[a [[a ,inf]]]"),
    ("ZMPOP 1 a MAX", "null"),
    ("ZUNION 1 y WITHSCORES", "[[b ,10] [c ,20] [d ,30]]"),
    ("ZDIFF 1 y WITHSCORES", "[[b ,10] [c ,20] [d ,30]]"),
    ("ZRANDMEMBER one 1 WITHSCORES", "[[a ,1.5]]"),
    ("ZRANDMEMBER none", "null"),
    ("ZSCAN one 0", "[0 [a 1.5]]"),
];

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_AN_INTEGER: &str = "-ERR value is not an integer or out of range";
const NOT_A_FLOAT: &str = "-ERR value is not a valid float";
const SYNTAX: &str = "-ERR syntax error";
const NOT_POSITIVE: &str = "-ERR value is out of range, must be positive";
const NO_RANGE: &str = "-ERR min or max is not a float";
const NO_NAMES: &str = "-ERR min or max not valid string range item";

/// A reply in a short form: strings go without marks.
fn show(value: &Value) -> String {
    let all = |items: &[Value]| items.iter().map(show).collect::<Vec<_>>().join(" ");
    match value {
        Value::Bulk(bytes) => bytes.escape_ascii().to_string(),
        Value::NullBulk => "nil".into(),
        Value::Null => "null".into(),
        Value::NullArray => "nil-array".into(),
        Value::Array(items) => format!("[{}]", all(items)),
        other => format!("{other:?}").replace("\\'", "'"),
    }
}

fn run(client: &mut RawClient, script: &[(&str, &str)]) -> TestResult {
    for (line, expected) in script {
        assert_eq!(show(&client.line(line)?), *expected, "{line}");
    }
    Ok(())
}

fn replies(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    run(&mut client, SCRIPT)?;
    client.line("FLUSHALL")?;
    client.line("HELLO 3")?;
    run(&mut client, RESP3)?;
    client.line("FLUSHALL")?;
    Ok(())
}

/// A large sorted set: ranks, ranges and pops agree with the order that they are expected in.
fn many_members(server: &Server) -> TestResult {
    const MEMBERS: usize = 3000;
    let mut client = server.raw()?;
    // Three members of each score, added in another order.
    for start in (0..MEMBERS).step_by(100) {
        let mut words = vec!["ZADD".to_owned(), "many".to_owned()];
        for n in start..start + 100 {
            let n = n * 1999 % MEMBERS;
            words.extend([(n / 3).to_string(), format!("m{n:04}")]);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(client.call(&words)?, Value::Integer(100));
    }
    run(
        &mut client,
        &[
            ("ZCARD many", ":3000"),
            ("ZRANK many m1234", ":1234"),
            ("ZREVRANK many m1234", ":1765"),
            ("ZRANGE many 1500 1502", "[m1500 m1501 m1502]"),
            ("ZRANGE many 998 998 BYSCORE", "[m2994 m2995 m2996]"),
            ("ZCOUNT many (10 20", ":30"),
            ("ZRANGEBYSCORE many 500 +inf LIMIT 2 2", "[m1502 m1503]"),
            (
                "ZRANGE many 500 -inf BYSCORE REV LIMIT 1 2",
                "[m1501 m1500]",
            ),
            ("ZREMRANGEBYRANK many 10 2989", ":2980"),
            ("ZPOPMAX many 2", "[m2999 999 m2998 999]"),
            (
                "ZPOPMIN many 9",
                "[m0000 0 m0001 0 m0002 0 m0003 1 m0004 1 m0005 1 m0006 2 m0007 2 m0008 2]",
            ),
            (
                "ZRANGE many 0 -1",
                "[m0009 m2990 m2991 m2992 m2993 m2994 m2995 m2996 m2997]",
            ),
            ("ZSCAN many 0 MATCH *9?0", "[0 [m2990 996]]"),
            ("DEL many", ":1"),
        ],
    )?;
    // A large one knows -0, a small one does not.
    let zeros: Vec<String> = (0..129).map(|n| format!("0 {n}")).collect();
    client.line(&format!("ZADD zeros {}", zeros.join(" ")))?;
    run(
        &mut client,
        &[
            ("ZADD zeros -0 m", ":1"),
            ("ZSCORE zeros m", "-0"),
            (
                "ZRANGESTORE few zeros m m BYSCORE",
                "-ERR min or max is not a float",
            ),
            ("ZRANGESTORE few zeros -1 -1", ":1"),
            ("ZRANGE few 0 -1 WITHSCORES", "[m 0]"),
            ("DEL zeros few", ":2"),
        ],
    )
}

/// Draws are members, different ones where they must be, and each member is drawn.
fn random_members(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    client.line("ZADD draw 1 a 2 b 3 c 4 d")?;
    let drawn = |client: &mut RawClient, line: &str| -> TestResult<Vec<String>> {
        let reply = client.line(line)?;
        let items = reply.items().ok_or("no array")?;
        Ok(items.iter().map(show).collect())
    };
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let mut members = drawn(&mut client, "ZRANDMEMBER draw 3")?;
        members.sort_unstable();
        members.dedup();
        assert_eq!(members.len(), 3);
        seen.extend(members);
    }
    // One that is never drawn in 200 times 3 of 4 is no chance.
    assert_eq!(seen.len(), 4);
    assert_eq!(drawn(&mut client, "ZRANDMEMBER draw -50")?.len(), 50);
    let scored = drawn(&mut client, "ZRANDMEMBER draw -50 WITHSCORES")?;
    for pair in scored.chunks(2) {
        let score = "abcd".find(pair[0].as_str()).ok_or("no member")? + 1;
        assert_eq!(pair[1], score.to_string());
    }
    Ok(())
}

/// Deadlines stay with a sorted set and go with it; a transaction sees its own changes.
fn deadlines_and_transactions(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    run(
        &mut client,
        &[
            ("ZADD d 1 a 2 b 3 c", ":3"),
            ("PEXPIREAT d 99999999999999", ":1"),
            ("ZADD d 4 d", ":1"),
            ("ZPOPMIN d", "[a 1]"),
            ("ZREMRANGEBYRANK d 0 0", ":1"),
            ("PEXPIRETIME d", ":99999999999999"),
            ("ZUNIONSTORE d 1 d", ":2"),
            ("PTTL d", ":-1"),
            ("PEXPIREAT d 1", ":1"),
            ("ZCARD d", ":0"),
            ("ZADD d XX 1 c", ":0"),
            ("MULTI", "+OK"),
            ("ZADD t 2 a 1 b", "+QUEUED"),
            ("ZINCRBY t 5 b", "+QUEUED"),
            ("ZRANGE t 0 -1 WITHSCORES", "+QUEUED"),
            ("ZPOPMAX t 5", "+QUEUED"),
            ("ZMPOP 1 t MIN", "+QUEUED"),
            ("ZADD t 3 c", "+QUEUED"),
            ("EXEC", "[:2 6 [a 2 b 6] [b 6 a 2] nil-array :1]"),
        ],
    )?;
    client.line("WATCH t")?;
    server.raw()?.line("ZADD t 4 c")?;
    client.line("MULTI")?;
    client.line("ZPOPMIN t")?;
    assert_eq!(client.line("EXEC")?, Value::NullArray);
    Ok(())
}

/// Hits and misses are counted as Redis counts them: of what is read, also to be stored, not of what is popped.
fn lookups(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    for line in ["FLUSHALL", "ZADD z 1 a", "SET str v", "CONFIG RESETSTAT"] {
        client.line(line)?;
    }
    for (line, hits, misses) in [
        ("ZPOPMIN none", 0, 0),
        ("ZMPOP 1 none MIN", 0, 0),
        ("ZREM none a", 0, 0),
        ("ZADD z 2 b", 0, 0),
        ("ZSCORE z a", 1, 0),
        ("ZCARD none", 0, 1),
        ("ZINTERCARD 2 z none", 1, 1),
        ("ZRANGESTORE d z 0 -1", 1, 0),
        ("ZRANGESTORE d none 0 -1", 0, 1),
        ("ZUNION 3 z str none", 2, 0),
        ("ZUNIONSTORE d 3 z none z", 2, 1),
        ("ZDIFF 2 none z", 1, 1),
    ] {
        let before = figures(&mut client)?;
        client.line(line)?;
        let after = figures(&mut client)?;
        assert_eq!(
            (after.0 - before.0, after.1 - before.1),
            (hits, misses),
            "{line}"
        );
    }
    Ok(())
}

fn figures(client: &mut RawClient) -> TestResult<(u64, u64)> {
    let info = client.line("INFO stats")?.text().ok_or("no text")?;
    let figure = |name: &str| -> TestResult<u64> {
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        Ok(line.ok_or("no figure")?.parse()?)
    };
    Ok((figure("keyspace_hits:")?, figure("keyspace_misses:")?))
}

/// Events in Redis's order.
fn events(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    client.line("CONFIG SET notify-keyspace-events AEn")?;
    let mut listener = server.raw()?;
    listener.line("PSUBSCRIBE __keyevent@0__:*")?;
    for (line, expected) in [
        ("ZADD v 1 a 2 b", "new zadd"),
        ("ZADD v 1 a", ""),
        ("ZADD v XX 5 none", ""),
        ("ZADD v INCR 1 a", "zincr"),
        ("ZINCRBY v 1 c", "zincr"),
        ("ZREM v none", ""),
        ("ZREM v c", "zrem"),
        ("ZREMRANGEBYRANK v 0 0", "zremrangebyrank"),
        ("ZREMRANGEBYSCORE v 5 6", ""),
        ("ZREMRANGEBYSCORE v 0 6", "zremrangebyscore del"),
        ("ZADD v 0 a 0 b 0 c", "new zadd"),
        ("ZREMRANGEBYLEX v - [a", "zremrangebylex"),
        ("ZPOPMIN v", "zpopmin"),
        ("ZPOPMAX v", "zpopmax del"),
        ("ZPOPMAX v", ""),
        ("ZADD v 1 a 2 b", "new zadd"),
        ("ZMPOP 2 none v MAX", "zpopmax"),
        ("ZPOPMIN v 0", ""),
        ("ZRANGESTORE w v 0 -1", "new zrangestore"),
        ("ZRANGESTORE w none 0 -1", "del"),
        ("ZRANGESTORE w none 0 -1", ""),
        ("ZUNIONSTORE w 1 v", "new zunionstore"),
        ("ZINTERSTORE w 1 v", "zinterstore"),
        ("ZDIFFSTORE w 1 v", "zdiffstore"),
        ("ZDIFFSTORE w 2 v v", "del"),
        ("ZUNIONSTORE w 1 none", ""),
    ] {
        client.line(line)?;
        client.line("PUBLISH __keyevent@0__:mark mark")?;
        let mut seen = Vec::new();
        loop {
            let message = listener.read()?;
            let items = message.items().ok_or("no message")?;
            let channel = items[2].text().ok_or("no channel")?;
            let event = channel.trim_start_matches("__keyevent@0__:").to_owned();
            if event == "mark" {
                break;
            }
            seen.push(event);
        }
        assert_eq!(seen.join(" "), expected, "{line}");
    }
    client.line("CONFIG SET notify-keyspace-events \"\"")?;
    Ok(())
}

/// What was acknowledged is there after the process was killed.
fn survives_kill_9(store: &str) -> TestResult {
    let mut server = Server::start_with(Options::new(store))?;
    let mut client = server.raw()?;
    for line in [
        "ZADD k 1 a 2 b 3 c 4 d 5 e 6 f",
        "ZINCRBY k 1.25 a",
        "ZREM k b",
        "ZPOPMIN k",
        "ZPOPMAX k",
        "ZADD k -inf low inf high -2.5 c",
        "ZREMRANGEBYSCORE k 5 5",
        "ZUNIONSTORE u 2 k k WEIGHTS 1 2 AGGREGATE MAX",
        "ZRANGESTORE r k 0 1",
        "ZADD gone 1 a",
        "ZREM gone a",
    ] {
        client.line(line)?;
    }
    server.kill_9()?;
    server.resume()?;
    let mut client = server.raw()?;
    run(
        &mut client,
        &[
            ("ZRANGE k 0 -1 WITHSCORES", "[low -inf c -2.5 d 4 high inf]"),
            ("ZRANGE u 0 -1 WITHSCORES", "[low -inf c -2.5 d 8 high inf]"),
            ("ZRANGE r 0 -1 WITHSCORES", "[low -inf c -2.5]"),
            ("EXISTS gone", ":0"),
            ("ZADD k 3 g", ":1"),
            ("ZRANK k g", ":2"),
            ("ZRANGE k 3 9 BYSCORE", "[g d]"),
        ],
    )
}

fn on(store: &str) -> TestResult {
    let server = Server::start(store)?;
    replies(&server)?;
    many_members(&server)?;
    random_members(&server)?;
    deadlines_and_transactions(&server)?;
    events(&server)?;
    lookups(&server)
}

#[test]
fn cmap() -> TestResult {
    on("cmap")?;
    survives_kill_9("cmap")
}

#[test]
fn cmap_in_pairs() -> TestResult {
    on("cmap/pairs")?;
    survives_kill_9("cmap/pairs")
}

#[test]
fn stree() -> TestResult {
    on("stree")?;
    survives_kill_9("stree")
}

#[test]
fn vcmap() -> TestResult {
    on("vcmap")
}

#[test]
fn vcmap_in_pairs() -> TestResult {
    on("vcmap/pairs")
}

#[test]
fn vsmap() -> TestResult {
    on("vsmap")
}
