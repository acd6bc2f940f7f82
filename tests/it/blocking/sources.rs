//! Each command that can fill a list or a sorted set wakes the clients that wait for one. Also the sorted sets' own
//! waiting commands.

use super::{Scene, TestResult, next, show};
use redis::Commands;

/// The calls before; the call that fills the list; the reply of a client that waits in BLPOP `k` 0.
const LISTS: &[(&[&str], &str, &str)] = &[
    (&[], "LPUSH k a b", r#"["k", "b"]"#),
    (&[], "RPUSH k a b", r#"["k", "a"]"#),
    (&["RPUSH s a b"], "RENAME s k", r#"["k", "a"]"#),
    (&["RPUSH s a"], "RENAMENX s k", r#"["k", "a"]"#),
    (&["RPUSH s a"], "COPY s k", r#"["k", "a"]"#),
    (&["SELECT 1", "RPUSH s a"], "COPY s k DB 0", r#"["k", "a"]"#),
    (&["SELECT 1", "RPUSH k a"], "MOVE k 0", r#"["k", "a"]"#),
    (&["SELECT 1", "RPUSH k a"], "SWAPDB 0 1", r#"["k", "a"]"#),
    (&["RPUSH s 3 1 2"], "SORT s STORE k", r#"["k", "1"]"#),
    (&["RPUSH s a b"], "RPOPLPUSH s k", r#"["k", "b"]"#),
    (&["RPUSH s a b"], "LMOVE s k LEFT LEFT", r#"["k", "a"]"#),
    (&["RPUSH s a b"], "BLMOVE s k LEFT LEFT 0", r#"["k", "a"]"#),
    (&["RPUSH s a b"], "BRPOPLPUSH s k 0", r#"["k", "b"]"#),
    (
        &["MULTI", "RPUSH k a", "LINSERT k BEFORE a b"],
        "EXEC",
        r#"["k", "b"]"#,
    ),
    (
        &["RPUSH s a", "MULTI", "RENAME s k", "RPUSH k z"],
        "EXEC",
        r#"["k", "a"]"#,
    ),
];

/// The same for BZPOPMIN.
const SORTED_SETS: &[(&[&str], &str, &str)] = &[
    (&[], "ZADD k 2 b 1 a", r#"["k", "a", "1"]"#),
    (&[], "ZADD k INCR 2.5 b", r#"["k", "b", "2.5"]"#),
    (&[], "ZINCRBY k 4 m", r#"["k", "m", "4"]"#),
    (&["ZADD s 1 a"], "RENAME s k", r#"["k", "a", "1"]"#),
    (&["ZADD s 1 a"], "COPY s k", r#"["k", "a", "1"]"#),
    (
        &["SELECT 1", "ZADD k 1 a"],
        "MOVE k 0",
        r#"["k", "a", "1"]"#,
    ),
    (
        &["SELECT 1", "ZADD k 1 a"],
        "SWAPDB 1 0",
        r#"["k", "a", "1"]"#,
    ),
    (
        &["ZADD s 1 a", "SADD t b"],
        "ZUNIONSTORE k 2 s t WEIGHTS 5 1",
        r#"["k", "b", "1"]"#,
    ),
    (
        &["ZADD s 1 a", "SADD t a"],
        "ZINTERSTORE k 2 s t",
        r#"["k", "a", "2"]"#,
    ),
    (
        &["ZADD s 1 a 2 b", "SADD t a"],
        "ZDIFFSTORE k 2 s t",
        r#"["k", "b", "2"]"#,
    ),
    (
        &["ZADD s 1 a 2 b"],
        "ZRANGESTORE k s 1 1",
        r#"["k", "b", "2"]"#,
    ),
    (
        &["MULTI", "ZADD k 5 a", "ZADD k 3 b"],
        "EXEC",
        r#"["k", "b", "3"]"#,
    ),
];

fn woken_by_each(waiting: &str, sources: &[(&[&str], &str, &str)]) -> TestResult {
    let mut scene = Scene::start()?;
    for (before, fill, reply) in sources {
        scene.run("FLUSHALL")?;
        let mut waiter = scene.waiter(waiting)?;
        let mut filler = scene.server.raw()?;
        for line in *before {
            filler.line(line)?;
        }
        let reply_to_it = filler.line(fill)?;
        assert!(!reply_to_it.is_error(), "{fill}: {reply_to_it:?}");
        assert_eq!(next(&mut waiter)?, *reply, "{fill}");
    }
    Ok(())
}

#[test]
fn lists_are_filled_in_many_ways() -> TestResult {
    woken_by_each("BLPOP k 0", LISTS)
}

#[test]
fn sorted_sets_are_filled_in_many_ways() -> TestResult {
    woken_by_each("BZPOPMIN k 0", SORTED_SETS)
}

#[test]
fn woken_by_restored_values() -> TestResult {
    let mut scene = Scene::start()?;
    for (fill, wait, reply) in [
        ("RPUSH s a", "BLPOP k 0", r#"["k", "a"]"#),
        ("ZADD s 1 a", "BZPOPMAX k 0", r#"["k", "a", "1"]"#),
    ] {
        scene.run(fill)?;
        let dump = scene.control.line("DUMP s")?;
        let dump = dump.bytes().ok_or("DUMP answers no string")?.to_vec();
        let mut waiter = scene.waiter(wait)?;
        let words = [b"RESTORE".as_slice(), b"k", b"0", &dump];
        assert_eq!(show(&scene.control.call(&words)?), "+OK");
        assert_eq!(next(&mut waiter)?, reply, "{fill}");
        scene.run("FLUSHALL")?;
    }
    Ok(())
}

#[test]
fn woken_by_places() -> TestResult {
    let mut scene = Scene::start()?;
    scene.run("GEOADD s 13.361389 38.115556 palermo")?;
    for fill in [
        "GEOADD k 13.361389 38.115556 palermo",
        "GEOSEARCHSTORE k s FROMLONLAT 13 38 BYRADIUS 100 km",
        "GEORADIUS s 13 38 100 km STORE k",
    ] {
        let mut waiter = scene.waiter("BZPOPMIN k 0")?;
        scene.run(fill)?;
        assert_eq!(
            next(&mut waiter)?,
            r#"["k", "palermo", "3479099956230698"]"#,
            "{fill}"
        );
    }
    Ok(())
}

#[test]
fn a_call_that_fills_nothing_wakes_no_client() -> TestResult {
    let mut scene = Scene::start()?;
    let mut waiter = scene.waiter("BLPOP k 0")?;
    for line in [
        "LPUSHX k a",
        "RPUSHX k a",
        "LINSERT k BEFORE a b",
        "RPUSH other a",
        "SORT nothing STORE k",
        "LMOVE nothing k LEFT LEFT",
        "FLUSHALL",
        "SWAPDB 0 1",
    ] {
        scene.run(line)?;
    }
    assert_eq!(scene.blocked()?, 1);
    scene.run("RPUSH k at-last")?;
    assert_eq!(next(&mut waiter)?, r#"["k", "at-last"]"#);
    Ok(())
}

#[test]
fn sorted_sets_have_waits_of_their_own() -> TestResult {
    let mut scene = Scene::start()?;
    let mut min = scene.waiter("BZPOPMIN a b 0")?;
    let mut max = scene.waiter("BZPOPMAX b 0")?;
    let mut several = scene.waiter("BZMPOP 0 2 c b MIN COUNT 2")?;
    assert_eq!(scene.run("ZADD b 1 one 2 two 3 three 4 four 5 five")?, ":5");
    assert_eq!(next(&mut min)?, r#"["b", "one", "1"]"#);
    assert_eq!(next(&mut max)?, r#"["b", "five", "5"]"#);
    assert_eq!(
        next(&mut several)?,
        r#"["b", [["two", "2"], ["three", "3"]]]"#
    );
    assert_eq!(scene.run("ZRANGE b 0 -1")?, r#"["four"]"#);
    // An element that is there already is returned at once; also in RESP3.
    let mut client = scene.server.raw()?;
    client.line("HELLO 3")?;
    let reply = client.line("BZPOPMAX nothing b 0")?;
    assert_eq!(show(&reply), r#"["b", "four", ,4]"#);
    assert_eq!(show(&client.line("BZPOPMIN b 0.01")?), "_");
    assert_eq!(show(&client.line("BLMOVE b c LEFT LEFT 0.01")?), "_");
    let mut client = scene.wait_in(client, "BZMPOP 0 1 b MAX")?;
    scene.run("ZADD b 1.5 x")?;
    assert_eq!(next(&mut client)?, r#"["b", [["x", ,1.5]]]"#);
    Ok(())
}

#[test]
fn through_a_client_library() -> TestResult {
    let mut scene = Scene::start()?;
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/", scene.server.port()))?;
    let mut connection = client.get_connection()?;
    let waiting = std::thread::spawn(move || {
        let popped: redis::RedisResult<(String, String)> = connection.blpop("k", 10.0);
        let smallest: redis::RedisResult<(String, String, f64)> = connection.bzpopmin("z", 10.0);
        (popped, smallest)
    });
    scene.await_blocked(1)?;
    scene.run("RPUSH k v")?;
    scene.run("ZADD z 1.25 m")?;
    let (popped, smallest) = waiting.join().expect("the client does not panic");
    assert_eq!(popped?, ("k".to_owned(), "v".to_owned()));
    assert_eq!(smallest?, ("z".to_owned(), "m".to_owned(), 1.25));
    Ok(())
}
