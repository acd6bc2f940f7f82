//! Fixed conversations of clients that wait for entries of streams.

use super::scripts;
use common::{RedisServer, Subject, TestResult};

/// Plays the scripts on both servers, each on empty ones, and compares all that comes back. `l` waits a moment, so that
/// the clients before it wait too.
pub fn compare(names: &[(&str, &str)]) -> TestResult {
    let (ours, real) = (Subject::start("cmap")?, RedisServer::start()?);
    for (name, script) in names {
        for mut client in [ours.raw()?, real.raw()?] {
            client.line("FLUSHALL")?;
            client.line("CONFIG SET notify-keyspace-events EA")?;
        }
        let of_ours = scripts::play(ours.port(), script)?;
        let of_real = scripts::play(real.port(), script)?;
        for ((line, ours), (_, real)) in of_ours.iter().zip(&of_real) {
            assert_eq!(ours, real, "{name}: ours, redis-server, at: {line}");
        }
        assert_eq!(of_ours.len(), of_real.len(), "{name}");
    }
    Ok(())
}

/// What every version since Redis 7.0 does.
pub const WAITING: &[(&str, &str)] = &[
    ("entries that come", ENTRIES),
    ("groups", GROUPS),
    ("who comes first", FAIRNESS),
    ("transactions and scripts", INSIDE),
    ("groups that go", GROUPS_THAT_GO),
    ("keys that come", KEYS),
];

const ENTRIES: &str = "
    w: XADD s 5-1 a b | 1
    b: XREAD BLOCK 0 STREAMS s t $ 0 | 0
    l: BLPOP nosuch 0.05 | 1
    w: XADD s 5-2 c d | 1
    b: | 1
    b: XREAD BLOCK 0 COUNT 1 STREAMS s t $ 0 | 0
    l: BLPOP nosuch 0.05 | 1
    w: XADD t 1-1 e f | 1
    b: | 1
    b: XREAD BLOCK 0 STREAMS s 9-9 | 0
    l: BLPOP nosuch 0.05 | 1
    w: XADD s 6-1 a b | 1
    w: XADD s 9-9 a b | 1
    w: XADD s 9-10 a b | 1
    b: | 1
    b: XREAD BLOCK 20 STREAMS s $ | 1
    b: XREAD BLOCK 20 STREAMS nokey $ | 1
    b: XREAD BLOCK 0 STREAMS s 0 | 1
    b: HELLO 3 | 1
    b: XREAD BLOCK 20 STREAMS s $ | 1
    b: XREAD BLOCK 0 STREAMS s $ | 0
    l: BLPOP nosuch 0.05 | 1
    w: XADD s NOMKSTREAM MAXLEN 1 11-* k v | 1
    b: | 1
    b: XREAD BLOCK 0 STREAMS s $ | 0
    l: BLPOP nosuch 0.05 | 1
    w: XDEL s 11-0 | 1
    w: XSETID s 12-0 | 1
    w: XTRIM s MAXLEN 0 | 1
    w: XADD s 12-1 k v | 1
    b: | 1
";

const GROUPS: &str = "
    w: XGROUP CREATE s g $ MKSTREAM | 1
    b: XREADGROUP GROUP g alice BLOCK 0 STREAMS s > | 0
    l: BLPOP nosuch 0.05 | 1
    w: XADD s 1-1 a b | 1
    b: | 1
    w: XPENDING s g | 1
    b: XREADGROUP GROUP g alice BLOCK 0 STREAMS s 0 | 1
    b: XREADGROUP GROUP g alice BLOCK 20 STREAMS s > | 1
    b: XREADGROUP GROUP g alice NOACK BLOCK 0 COUNT 5 STREAMS s > | 0
    l: BLPOP nosuch 0.05 | 1
    w: XADD s 2-1 a b | 1
    b: | 1
    w: XPENDING s g | 1
    b: XREADGROUP GROUP nosuch alice BLOCK 0 STREAMS s > | 1
    b: XREADGROUP GROUP g alice BLOCK 0 STREAMS s nokey > > | 1
    w: XGROUP CREATE t g $ MKSTREAM | 1
    b: XREADGROUP GROUP g bob BLOCK 0 STREAMS s t > > | 0
    l: BLPOP nosuch 0.05 | 1
    w: XADD t 5-5 a b | 1
    b: | 1
    b: XREADGROUP GROUP g bob BLOCK 0 STREAMS s t > > | 0
    l: BLPOP nosuch 0.05 | 1
    w: MULTI | 1
    w: XADD s 6-1 a b | 1
    w: XADD s 6-2 a b | 1
    w: EXEC | 1
    b: | 1
    w: XPENDING s g - + 10 nosuch | 1
    w: XACK s g 1-1 6-1 6-2 | 1
    w: XPENDING s g | 1
    b: XREADGROUP GROUP g bob BLOCK 0 STREAMS s > | 0
    l: BLPOP nosuch 0.05 | 1
    w: XGROUP SETID s g 0 | 1
    w: XADD s 7-1 late x | 1
    b: | 1
";

const FAIRNESS: &str = "
    w: XGROUP CREATE s g $ MKSTREAM | 1
    w: XGROUP CREATE s h $ | 1
    a: XREADGROUP GROUP g alice BLOCK 0 COUNT 1 STREAMS s > | 0
    l: BLPOP nosuch 0.05 | 1
    b: XREADGROUP GROUP g bob BLOCK 0 COUNT 1 STREAMS s > | 0
    l: BLPOP nosuch 0.05 | 1
    c: XREADGROUP GROUP h carol BLOCK 0 STREAMS s > | 0
    l: BLPOP nosuch 0.05 | 1
    d: XREAD BLOCK 0 STREAMS s $ | 0
    l: BLPOP nosuch 0.05 | 1
    w: XADD s 1-1 first x | 1
    a: | 1
    c: | 1
    d: | 1
    w: XADD s 2-1 second x | 1
    b: | 1
    a: XREADGROUP GROUP g alice BLOCK 0 STREAMS s > | 0
    l: BLPOP nosuch 0.05 | 1
    b: XREADGROUP GROUP g bob BLOCK 0 STREAMS s > | 0
    l: BLPOP nosuch 0.05 | 1
    w: MULTI | 1
    w: XADD s 3-1 third x | 1
    w: XADD s 4-1 fourth x | 1
    w: EXEC | 1
    a: | 1
    w: XADD s 5-1 fifth x | 1
    b: | 1
    w: XPENDING s g | 1
    w: XPENDING s h | 1
";

const INSIDE: &str = "
    w: XADD s 1-1 a b | 1
    w: XGROUP CREATE s g $ | 1
    w: MULTI | 1
    w: XREAD BLOCK 0 STREAMS s $ | 1
    w: XREADGROUP GROUP g a BLOCK 0 STREAMS s > | 1
    w: EXEC | 1
    w: EVAL return(redis.call('xread','block','0','streams','s','$')) 0 | 1
    w: EVAL return(redis.call('xreadgroup','group','g','a','block','0','streams','s','>')) 0 | 1
    b: XREAD BLOCK 0 STREAMS s $ | 0
    l: BLPOP nosuch 0.05 | 1
    w: EVAL redis.call('xadd','s','2-1','a','b');redis.call('xadd','s','3-1','a','b') 0 | 1
    b: | 1
";

const GROUPS_THAT_GO: &str = "
    w: XGROUP CREATE s g $ MKSTREAM | 1
    b: XREADGROUP GROUP g alice BLOCK 0 STREAMS s > | 0
    l: BLPOP nosuch 0.05 | 1
    w: XGROUP DELCONSUMER s g alice | 1
    w: XADD s 1-1 a b | 1
    b: | 1
    w: XINFO GROUPS s | 1
    b: XREADGROUP GROUP g alice BLOCK 0 STREAMS s > | 0
    l: BLPOP nosuch 0.05 | 1
    w: XGROUP CREATE s other 0 | 1
    w: XGROUP DESTROY s other | 1
    w: XADD s 2-1 a b | 1
    b: | 1
";

const KEYS: &str = "
    b: XREAD BLOCK 0 STREAMS s 0 | 0
    l: BLPOP nosuch 0.05 | 1
    w: XADD x 1-1 a b | 1
    w: RENAME x s | 1
    b: | 1
    b: XREAD BLOCK 0 STREAMS d 0 | 0
    l: BLPOP nosuch 0.05 | 1
    w: COPY s d | 1
    b: | 1
    w: SELECT 1 | 1
    w: XADD m 1-1 a b | 1
    b: XREAD BLOCK 0 STREAMS m 0 | 0
    l: BLPOP nosuch 0.05 | 1
    w: MOVE m 0 | 1
    w: SELECT 0 | 1
    b: | 1
    b: XREAD BLOCK 0 STREAMS z 0 | 0
    l: BLPOP nosuch 0.05 | 1
    w: LPUSH z x | 1
    w: DEL z | 1
    w: XADD z 1-1 a b | 1
    b: | 1
    b: XREAD BLOCK 0 STREAMS z $ | 0
    l: BLPOP nosuch 0.05 | 1
    w: DEL z | 1
    w: XADD z 1-2 a b | 1
    b: | 1
";

/// What Redis 7.0 does in another way, with the replies of Valkey 9.1 and Redis 8.2, which are those of Redis 7.2.
pub fn compare_newer() -> TestResult {
    check(SINCE_7_2)
}

/// What came with Redis 8.2, with its replies.
pub fn compare_newest() -> TestResult {
    check(SINCE_8_2)
}

/// Plays a script, and compares each reply with the one behind its `=>`.
fn check(script: &str) -> TestResult {
    let server = Subject::start("cmap")?;
    let lines = script.lines();
    let script: Vec<(&str, &str)> = lines
        .clone()
        .filter_map(|line| line.split_once(" => "))
        .map(|(call, reply)| (call.trim(), reply))
        .collect();
    let calls: Vec<&str> = lines
        .map(|line| line.split(" => ").next().unwrap_or_default())
        .collect();
    let told = scripts::play(server.port(), &calls.join("\n"))?;
    let told = told
        .iter()
        .filter(|(line, _)| !line.ends_with("PING end | 1"));
    let told: Vec<(&str, String)> = told
        .map(|(line, value)| (line.as_str(), common::show(value)))
        .collect();
    for ((call, wanted), (line, reply)) in script.iter().zip(&told) {
        assert_eq!((call, &wanted.to_string()), (line, reply));
    }
    assert_eq!(script.len(), told.len());
    Ok(())
}

/// A call, and its reply behind `=>`.
const SINCE_7_2: &str = "
    w: XGROUP CREATE s g $ MKSTREAM | 1 => +OK
    b: XREADGROUP GROUP g alice BLOCK 0 STREAMS s > | 0
    l: BLPOP nosuch 0.05 | 1 => nil-array
    w: XGROUP DESTROY s g | 1 => :1
    b: | 1 => -NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option
    w: XGROUP CREATE s g $ | 1 => +OK
    w: XGROUP CREATE t g $ MKSTREAM | 1 => +OK
    b: XREADGROUP GROUP g alice BLOCK 0 STREAMS t s > > | 0
    l: BLPOP nosuch 0.05 | 1 => nil-array
    w: XGROUP DESTROY s g | 1 => :1
    b: | 1 => -NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option
    w: XGROUP CREATE s g $ | 1 => +OK
    w: FLUSHALL | 1 => +OK
    c: XREAD BLOCK 0 STREAMS m $ | 0
    l: BLPOP nosuch 0.05 | 1 => nil-array
    w: XADD m MAXLEN 0 1-1 gone at-once | 1 => 1-1
    w: XADD m 2-1 k v | 1 => 2-1
    c: | 1 => [[m [[2-1 [k v]]]]]
    c: XREAD BLOCK 0 STREAMS m $ | 0
    l: BLPOP nosuch 0.05 | 1 => nil-array
    w: MULTI | 1 => +OK
    w: XADD m 4-1 a b | 1 => +QUEUED
    w: XDEL m 4-1 | 1 => +QUEUED
    w: EXEC | 1 => [4-1 :1]
    w: XADD m 5-1 a b | 1 => 5-1
    c: | 1 => [[m [[5-1 [a b]]]]]
    w: XGROUP CREATE s g $ MKSTREAM | 1 => +OK
    w: XGROUP CREATE t g $ MKSTREAM | 1 => +OK
    b: XREADGROUP GROUP g bob BLOCK 0 STREAMS s t > > | 0
    l: BLPOP nosuch 0.05 | 1 => nil-array
    w: XINFO GROUPS t | 1 => [[name g consumers :1 pending :0 last-delivered-id 0-0 entries-read nil lag :0]]
    w: MULTI | 1 => +OK
    w: XADD s 6-1 a b | 1 => +QUEUED
    w: XADD t 6-1 a b | 1 => +QUEUED
    w: EXEC | 1 => [6-1 6-1]
    b: | 1 => [[s [[6-1 [a b]]]] [t [[6-1 [a b]]]]]
    b: XREADGROUP GROUP g alice BLOCK 0 STREAMS s > | 0
    l: BLPOP nosuch 0.05 | 1 => nil-array
    w: DEL s | 1 => :1
    b: | 1 => -NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option
    w: XGROUP CREATE s g $ MKSTREAM | 1 => +OK
    b: XREADGROUP GROUP g alice BLOCK 0 STREAMS s > | 0
    l: BLPOP nosuch 0.05 | 1 => nil-array
    w: SET s x | 1 => +OK
    b: | 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
    w: DEL s | 1 => :1
    w: XGROUP CREATE s g $ MKSTREAM | 1 => +OK
    b: XREADGROUP GROUP g alice BLOCK 0 STREAMS s > | 0
    l: BLPOP nosuch 0.05 | 1 => nil-array
    w: MULTI | 1 => +OK
    w: DEL s | 1 => +QUEUED
    w: XGROUP CREATE s g $ MKSTREAM | 1 => +QUEUED
    w: EXEC | 1 => [:1 +OK]
    w: XADD s 1-1 a b | 1 => 1-1
    b: | 1 => [[s [[1-1 [a b]]]]]
    b: XREADGROUP GROUP g alice BLOCK 0 STREAMS s > | 0
    l: BLPOP nosuch 0.05 | 1 => nil-array
    w: FLUSHALL | 1 => +OK
    b: | 1 => -NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option
    w: XGROUP CREATE s g $ MKSTREAM | 1 => +OK
    b: XREADGROUP GROUP g alice BLOCK 0 STREAMS s > | 0
    l: BLPOP nosuch 0.05 | 1 => nil-array
    w: RENAME s other | 1 => +OK
    b: | 1 => -NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option
    w: XGROUP CREATE s g $ MKSTREAM | 1 => +OK
    b: XREADGROUP GROUP g alice BLOCK 0 STREAMS s > | 0
    l: BLPOP nosuch 0.05 | 1 => nil-array
    w: SWAPDB 0 1 | 1 => +OK
    b: | 1 => -NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option
    w: XADD c 1-1 a b | 1 => 1-1
    w: XGROUP CREATE c g $ | 1 => +OK
    w: XREADGROUP GROUP g idle STREAMS c > | 1 => nil-array
    w: XCLAIM c g claimer 0 1-1 | 1 => []
    w: XAUTOCLAIM c g auto 0 0 | 1 => [0-0 [] []]
    w: XINFO GROUPS c | 1 => [[name g consumers :3 pending :0 last-delivered-id 1-1 entries-read nil lag :0]]
";

const SINCE_8_2: &str = "
    w: XADD s 1-1 a 1 | 1 => 1-1
    w: XADD s 2-1 a 2 | 1 => 2-1
    w: XADD s 3-1 a 3 | 1 => 3-1
    w: XADD s 4-1 a 4 | 1 => 4-1
    w: XADD s 5-1 a 5 | 1 => 5-1
    w: XADD s 6-1 a 6 | 1 => 6-1
    w: XADD s 7-1 a 7 | 1 => 7-1
    w: XADD s 8-1 a 8 | 1 => 8-1
    w: XADD s 9-1 a 9 | 1 => 9-1
    w: XGROUP CREATE s g 0 | 1 => +OK
    w: XGROUP CREATE s h 0 | 1 => +OK
    w: XREADGROUP GROUP g alice COUNT 6 STREAMS s > | 1 => [[s [[1-1 [a 1]] [2-1 [a 2]] [3-1 [a 3]] [4-1 [a 4]] [5-1 [a 5]] [6-1 [a 6]]]]]
    w: XREADGROUP GROUP h bob COUNT 4 STREAMS s > | 1 => [[s [[1-1 [a 1]] [2-1 [a 2]] [3-1 [a 3]] [4-1 [a 4]]]]]
    w: XACKDEL s g IDS 2 1-1 77-1 | 1 => [:1 :-1]
    w: XPENDING s g | 1 => [:5 2-1 6-1 [[alice 5]]]
    w: XPENDING s h | 1 => [:4 1-1 4-1 [[bob 4]]]
    w: XLEN s | 1 => :8
    w: XACKDEL s g KEEPREF IDS 1 2-1 | 1 => [:1]
    w: XPENDING s h - + 10 nobody | 1 => []
    w: XPENDING s h | 1 => [:4 1-1 4-1 [[bob 4]]]
    w: XACKDEL s g DELREF IDS 1 3-1 | 1 => [:1]
    w: XPENDING s h | 1 => [:3 1-1 4-1 [[bob 3]]]
    w: XACKDEL s g ACKED IDS 2 4-1 5-1 | 1 => [:2 :2]
    w: XPENDING s g | 1 => [:1 6-1 6-1 [[alice 1]]]
    w: XPENDING s h | 1 => [:3 1-1 4-1 [[bob 3]]]
    w: XRANGE s - + | 1 => [[4-1 [a 4]] [5-1 [a 5]] [6-1 [a 6]] [7-1 [a 7]] [8-1 [a 8]] [9-1 [a 9]]]
    w: XACK s h 4-1 | 1 => :1
    w: XDELEX s ACKED IDS 3 4-1 6-1 9-1 | 1 => [:1 :2 :2]
    w: XRANGE s - + | 1 => [[5-1 [a 5]] [6-1 [a 6]] [7-1 [a 7]] [8-1 [a 8]] [9-1 [a 9]]]
    w: XDELEX s IDS 1 6-1 | 1 => [:1]
    w: XPENDING s g | 1 => [:1 6-1 6-1 [[alice 1]]]
    w: XDELEX s DELREF IDS 2 6-1 7-1 | 1 => [:-1 :1]
    w: XPENDING s g | 1 => [:0 nil nil nil-array]
    w: XDELEX s KEEPREF IDS 1 500-1 | 1 => [:-1]
    w: XDELEX nokey IDS 1 1-1 | 1 => [:-1]
    w: XACKDEL nokey g IDS 1 1-1 | 1 => [:-1]
    w: XACKDEL s nogroup IDS 1 1-1 | 1 => [:-1]
    w: XDELEX s IDS 0 | 1 => -ERR wrong number of arguments for 'xdelex' command
    w: XDELEX s IDS 2 1-1 | 1 => -ERR The `numids` parameter must match the number of arguments
    w: XDELEX s IDS x 1-1 | 1 => -ERR Number of IDs must be a positive integer
    w: XDELEX s 1-1 | 1 => -ERR wrong number of arguments for 'xdelex' command
    w: XDELEX s KEEPREF DELREF IDS 1 1-1 | 1 => -ERR syntax error
    w: XDELEX s NONSENSE IDS 1 1-1 | 1 => -ERR syntax error
    w: XDELEX s IDS 1 x | 1 => -ERR Invalid stream ID specified as stream command argument
    w: XACKDEL s g | 1 => -ERR wrong number of arguments for 'xackdel' command
    w: XACKDEL s g IDS -1 1-1 | 1 => -ERR Number of IDs must be a positive integer
    w: DEL s | 1 => :1
    w: XADD s 1-1 a 1 | 1 => 1-1
    w: XADD s 2-1 a 2 | 1 => 2-1
    w: XADD s 3-1 a 3 | 1 => 3-1
    w: XADD s 4-1 a 4 | 1 => 4-1
    w: XADD s 5-1 a 5 | 1 => 5-1
    w: XADD s 6-1 a 6 | 1 => 6-1
    w: XGROUP CREATE s g 0 | 1 => +OK
    w: XREADGROUP GROUP g alice COUNT 3 STREAMS s > | 1 => [[s [[1-1 [a 1]] [2-1 [a 2]] [3-1 [a 3]]]]]
    w: XTRIM s MAXLEN 4 ACKED | 1 => :0
    w: XRANGE s - + COUNT 2 | 1 => [[1-1 [a 1]] [2-1 [a 2]]]
    w: XACK s g 1-1 | 1 => :1
    w: XTRIM s MAXLEN 4 ACKED | 1 => :1
    w: XLEN s | 1 => :5
    w: XTRIM s MAXLEN 4 KEEPREF | 1 => :1
    w: XPENDING s g | 1 => [:2 2-1 3-1 [[alice 2]]]
    w: XTRIM s MAXLEN 3 DELREF | 1 => :1
    w: XPENDING s g | 1 => [:1 2-1 2-1 [[alice 1]]]
    w: XTRIM s MINID 6 DELREF | 1 => :2
    w: XLEN s | 1 => :1
    w: XPENDING s g | 1 => [:1 2-1 2-1 [[alice 1]]]
    w: XADD s KEEPREF MAXLEN 1 8-1 a b | 1 => 8-1
    w: XADD s MAXLEN 1 DELREF 9-1 a b | 1 => 9-1
    w: XADD s ACKED MAXLEN 1 10-1 a b | 1 => 10-1
    w: XLEN s | 1 => :2
    w: XTRIM s MAXLEN 0 KEEPREF ACKED | 1 => -ERR syntax error
    w: XADD s KEEPREF DELREF 11-1 a b | 1 => -ERR Invalid stream ID specified as stream command argument
    w: XADD s DELREF 12-1 a b | 1 => 12-1
    w: XLEN s | 1 => :3
    w: DEL s | 1 => :1
    w: XADD s 1-1 a 1 | 1 => 1-1
    w: XADD s 2-1 a 2 | 1 => 2-1
    w: XREAD STREAMS s + | 1 => [[s [[2-1 [a 2]]]]]
    w: XREAD STREAMS nokey + | 1 => nil-array
    w: XDEL s 2-1 | 1 => :1
    w: XREAD COUNT 5 STREAMS s + | 1 => [[s [[1-1 [a 1]]]]]
    w: XREVRANGE s + - COUNT 1 | 1 => [[1-1 [a 1]]]
";
