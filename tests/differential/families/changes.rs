//! Each write must count in `rdb_changes_since_last_save` as it does on the real server.

use std::collections::BTreeSet;

use common::{RawClient, RedisServer, Server, TestResult, Value};

/// Calls that prepare, separated by semicolons, and the call whose changes are counted. `EMPTY` is an empty word,
/// `DUMP` the payload of the key `s`.
#[rustfmt::skip]
const CASES: &[(&str, &str)] = &[
    ("SET k v", "SET k v"),
    ("SET k v", "SET k w XX"),
    ("SET k v", "SET k w NX"),
    ("SET k v", "SETNX k w"),
    ("", "SETNX k w"),
    ("", "SETEX k 10 v"),
    ("", "GETSET k v"),
    ("", "GETDEL k"),
    ("SET k v", "GETDEL k"),
    ("SET k v", "GETEX k EX 10"),
    ("SET k v", "GETEX k"),
    ("SET k v", "GETEX k PERSIST"),
    ("SET k v EX 10", "GETEX k PERSIST"),
    ("", "MSET a 1 b 2 a 3"),
    ("", "MSETNX a 1 b 2"),
    ("SET a 1", "MSETNX a 1 b 2"),
    ("", "APPEND k x"),
    ("SET k v", "APPEND k EMPTY"),
    ("", "SETRANGE k 0 x"),
    ("", "SETRANGE k 0 EMPTY"),
    ("", "INCR k"),
    ("", "INCRBYFLOAT k 1.5"),
    ("", "SETBIT k 0 0"),
    ("SETBIT k 0 1", "SETBIT k 0 1"),
    ("SETBIT k 0 1", "SETBIT k 0 0"),
    ("SETBIT k 0 1", "SETBIT k 100 0"),
    ("", "BITFIELD k SET u8 0 0 INCRBY u8 8 1"),
    ("", "BITFIELD k GET u8 0"),
    ("SET k 1", "BITFIELD k SET u8 0 49"),
    ("SET a x", "BITOP NOT k a"),
    ("SET k x", "BITOP NOT k nokey"),
    ("", "BITOP NOT k nokey"),
    ("", "PFADD k"),
    ("", "PFADD k a b"),
    ("PFADD k a", "PFADD k a"),
    ("", "PFMERGE k"),
    ("PFADD a x", "PFMERGE k a"),
    ("PFADD k x", "PFCOUNT k"),
    ("PFADD k x", "PFCOUNT k k"),
    ("", "DEL k"),
    ("SET a 1;SET b 1", "DEL a b c"),
    ("SET a 1;SET b 1", "UNLINK a b c"),
    ("SET k v", "EXPIRE k 10"),
    ("SET k v", "EXPIRE k -1"),
    ("SET k v", "PERSIST k"),
    ("SET k v EX 10", "PERSIST k"),
    ("SET k v EX 10", "EXPIRE k 10 NX"),
    ("SET k v", "RENAME k l"),
    ("SET k v", "RENAME k k"),
    ("SET k v;SET l v", "RENAMENX k l"),
    ("SET k v", "RENAMENX k k"),
    ("SET k v", "COPY k l"),
    ("SET k v;SET l v", "COPY k l"),
    ("SET k v", "MOVE k 1"),
    ("", "MOVE k 1"),
    ("", "SWAPDB 0 1"),
    ("", "SWAPDB 0 0"),
    ("", "FLUSHDB"),
    ("SET k v;SET l v", "FLUSHDB"),
    ("SET k v;SET l v", "FLUSHALL"),
    ("", "FLUSHALL"),
    ("", "RPUSH k a b c"),
    ("RPUSH k a", "RPUSH k a b"),
    ("", "LPUSHX k a"),
    ("RPUSH k a", "LPUSHX k a b"),
    ("RPUSH k a b c", "LPOP k"),
    ("RPUSH k a b c", "LPOP k 2"),
    ("RPUSH k a b c", "LPOP k 0"),
    ("RPUSH k a b c", "LPOP k 5"),
    ("", "LPOP k"),
    ("RPUSH k a b c", "LSET k 0 a"),
    ("RPUSH k a b c", "LREM k 0 x"),
    ("RPUSH k a b a", "LREM k 0 a"),
    ("RPUSH k a b c", "LTRIM k 0 -1"),
    ("RPUSH k a b c", "LTRIM k 1 1"),
    ("RPUSH k a b c", "LTRIM k 5 6"),
    ("", "LTRIM k 0 1"),
    ("RPUSH k a b c", "LINSERT k BEFORE b x"),
    ("RPUSH k a b c", "LINSERT k BEFORE y x"),
    ("RPUSH k a b c", "LMOVE k k LEFT RIGHT"),
    ("RPUSH k a", "RPOPLPUSH k l"),
    ("RPUSH k a b c", "LMPOP 1 k LEFT COUNT 2"),
    ("RPUSH k a b c", "LMPOP 1 k LEFT COUNT 9"),
    ("RPUSH k a b c", "BLPOP k 0"),
    ("RPUSH k a b c", "BLMPOP 0 1 k LEFT COUNT 2"),
    ("RPUSH k a b c", "BLMOVE k l LEFT RIGHT 0"),
    ("", "SADD k a b a"),
    ("SADD k a", "SADD k a"),
    ("SADD k a b", "SREM k a b c"),
    ("SADD k a b", "SREM k c"),
    ("SADD k a", "SMOVE k l a"),
    ("SADD k a;SADD l a", "SMOVE k l a"),
    ("SADD k a", "SMOVE k k a"),
    ("SADD k a b c", "SPOP k"),
    ("SADD k a b c", "SPOP k 2"),
    ("SADD k a b c", "SPOP k 9"),
    ("SADD k a b c", "SPOP k 0"),
    ("SADD k a b c", "SINTERSTORE l k"),
    ("", "SINTERSTORE l k"),
    ("SADD l a", "SINTERSTORE l k"),
    ("SADD k a b c", "SUNIONSTORE l k"),
    ("SADD k a b c", "SDIFFSTORE l k"),
    ("", "HSET k f v g w"),
    ("HSET k f v", "HSET k f v"),
    ("HSET k f v", "HSETNX k f v"),
    ("", "HSETNX k f v"),
    ("", "HMSET k f v g w"),
    ("", "HINCRBY k f 1"),
    ("", "HINCRBY k f 0"),
    ("", "HINCRBYFLOAT k f 1"),
    ("HSET k f v g w", "HDEL k f g h"),
    ("HSET k f v", "HDEL k x"),
    ("", "ZADD k 1 a 2 b"),
    ("ZADD k 1 a", "ZADD k 1 a"),
    ("ZADD k 1 a", "ZADD k 2 a 3 b"),
    ("ZADD k 1 a", "ZADD k NX 2 a"),
    ("", "ZINCRBY k 1 a"),
    ("ZADD k 1 a", "ZINCRBY k 0 a"),
    ("ZADD k 1 a 2 b", "ZREM k a b c"),
    ("ZADD k 1 a 2 b", "ZREM k c"),
    ("ZADD k 1 a 2 b", "ZREMRANGEBYSCORE k 0 9"),
    ("ZADD k 1 a 2 b", "ZREMRANGEBYSCORE k 5 9"),
    ("ZADD k 1 a 2 b", "ZREMRANGEBYRANK k 0 0"),
    ("ZADD k 1 a 2 b 3 c", "ZPOPMIN k"),
    ("ZADD k 1 a 2 b 3 c", "ZPOPMIN k 2"),
    ("ZADD k 1 a 2 b 3 c", "ZPOPMIN k 9"),
    ("ZADD k 1 a 2 b 3 c", "ZMPOP 1 k MIN COUNT 2"),
    ("ZADD k 1 a 2 b 3 c", "BZPOPMIN k 0"),
    ("ZADD k 1 a 2 b 3 c", "BZMPOP 0 1 k MIN COUNT 2"),
    ("ZADD k 1 a 2 b 3 c", "ZRANGESTORE l k 0 -1"),
    ("", "ZRANGESTORE l k 0 -1"),
    ("ZADD l 1 a", "ZRANGESTORE l k 0 -1"),
    ("ZADD k 1 a 2 b 3 c", "ZUNIONSTORE l 1 k"),
    ("", "ZUNIONSTORE l 1 k"),
    ("ZADD l 1 a", "ZUNIONSTORE l 1 k"),
    ("ZADD k 1 a 2 b 3 c", "ZINTERSTORE l 1 k"),
    ("ZADD k 1 a 2 b 3 c", "ZDIFFSTORE l 1 k"),
    ("", "GEOADD k 1 1 a 2 2 b"),
    ("GEOADD k 1 1 a", "GEOADD k 1 1 a"),
    ("GEOADD k 1 1 a", "GEORADIUS k 1 1 10 m STORE l"),
    ("GEOADD k 1 1 a", "GEORADIUS k 50 1 10 m STORE l"),
    ("GEOADD k 1 1 a;SET l x", "GEORADIUS k 50 1 10 m STORE l"),
    ("GEOADD k 1 1 a 1.0001 1 b", "GEOSEARCHSTORE l k FROMLONLAT 1 1 BYRADIUS 100 km"),
    ("RPUSH k 3 1 2", "SORT k STORE l"),
    ("", "SORT k STORE l"),
    ("RPUSH l 1", "SORT k STORE l"),
    ("", "PSETEX k 10000 v"),
    ("", "INCRBY k 5"),
    ("", "DECR k"),
    ("", "DECRBY k 5"),
    ("SET k v", "PEXPIRE k 10000"),
    ("SET k v", "EXPIREAT k 99999999999"),
    ("SET k v", "PEXPIREAT k 1"),
    ("", "EXPIRE k 10"),
    ("RPUSH k a b c", "RPOP k 2"),
    ("RPUSH k a", "RPUSHX k a b"),
    ("", "LPUSH k a b"),
    ("RPUSH k a b c", "BRPOP k 0"),
    ("RPUSH k a b c", "BRPOPLPUSH k l 0"),
    ("ZADD k 1 a 2 b 3 c", "ZPOPMAX k 2"),
    ("ZADD k 1 a 2 b 3 c", "BZPOPMAX k 0"),
    ("ZADD k 0 a 0 b 0 c", "ZREMRANGEBYLEX k [a [b"),
    ("GEOADD k 1 1 a", "GEORADIUSBYMEMBER k a 10 m STORE l"),
    ("SET s v", "RESTORE k 0 DUMP"),
    ("SET s v;SET k w", "RESTORE k 0 DUMP REPLACE"),
    ("SET k v;SET s w", "RESTORE k 0 DUMP"),
    ("RPUSH k a b c", "LMPOP 1 l LEFT"),
    ("", "SET k v EX 100"),
    ("", "SET k v PXAT 1"),
    ("SET k v", "SET k v GET"),
    ("RPUSH k a", "RENAME k l"),
    ("HSET k f v", "HSET k f 1 f 2"),
    ("", "XADD s 1-1 a b"),
    ("XADD s 1-1 a b", "XADD s 1-1 a b"),
    ("", "XADD s NOMKSTREAM 1-1 a b"),
    ("XADD s 1-1 a b;XADD s 2-1 a b", "XADD s MAXLEN 1 3-1 a b"),
    ("XADD s 1-1 a b;XADD s 2-1 a b", "XADD s MINID 2 3-1 a b"),
    ("", "XADD s MAXLEN 0 1-1 a b"),
    ("XADD s 1-1 a b;XADD s 2-1 a b", "XDEL s 1-1"),
    ("XADD s 1-1 a b;XADD s 2-1 a b", "XDEL s 1-1 2-1 3-1"),
    ("XADD s 1-1 a b", "XDEL s 7-1"),
    ("", "XDEL s 1-1"),
    ("XADD s 1-1 a b;XADD s 2-1 a b;XADD s 3-1 a b", "XTRIM s MAXLEN 1"),
    ("XADD s 1-1 a b;XADD s 2-1 a b", "XTRIM s MAXLEN 5"),
    ("XADD s 1-1 a b;XADD s 2-1 a b", "XTRIM s MINID 2"),
    ("", "XTRIM s MAXLEN 1"),
    ("XADD s 1-1 a b", "XSETID s 5-1"),
    ("XADD s 1-1 a b", "XSETID s 1-1"),
    ("XADD s 1-1 a b", "XSETID s 0-1"),
    ("", "XGROUP CREATE s g 0 MKSTREAM"),
    ("XADD s 1-1 a b", "XGROUP CREATE s g $"),
    ("XGROUP CREATE s g 0 MKSTREAM", "XGROUP CREATE s g 0 MKSTREAM"),
    ("XGROUP CREATE s g 0 MKSTREAM", "XGROUP SETID s g 0"),
    ("XGROUP CREATE s g 0 MKSTREAM", "XGROUP DESTROY s g"),
    ("XGROUP CREATE s g 0 MKSTREAM", "XGROUP DESTROY s h"),
    ("XGROUP CREATE s g 0 MKSTREAM", "XGROUP CREATECONSUMER s g c"),
    ("XGROUP CREATE s g 0 MKSTREAM;XGROUP CREATECONSUMER s g c", "XGROUP CREATECONSUMER s g c"),
    ("XGROUP CREATE s g 0 MKSTREAM;XGROUP CREATECONSUMER s g c", "XGROUP DELCONSUMER s g c"),
    ("XGROUP CREATE s g 0 MKSTREAM", "XGROUP DELCONSUMER s g c"),
    ("XADD s 1-1 a b;XADD s 2-1 a b;XGROUP CREATE s g 0 MKSTREAM", "XREADGROUP GROUP g c STREAMS s >"),
    ("XADD s 1-1 a b;XADD s 2-1 a b;XGROUP CREATE s g 0 MKSTREAM;XGROUP CREATECONSUMER s g c", "XREADGROUP GROUP g c STREAMS s >"),
    ("XADD s 1-1 a b;XADD s 2-1 a b;XGROUP CREATE s g 0 MKSTREAM", "XREADGROUP GROUP g c COUNT 1 STREAMS s >"),
    ("XADD s 1-1 a b;XADD s 2-1 a b;XGROUP CREATE s g 0 MKSTREAM", "XREADGROUP GROUP g c NOACK STREAMS s >"),
    ("XGROUP CREATE s g 0 MKSTREAM;XGROUP CREATECONSUMER s g c", "XREADGROUP GROUP g c STREAMS s >"),
    ("XADD s 1-1 a b;XGROUP CREATE s g 0 MKSTREAM;XREADGROUP GROUP g c STREAMS s >", "XREADGROUP GROUP g c STREAMS s 0"),
    ("XADD s 1-1 a b;XADD s 2-1 a b;XGROUP CREATE s g 0 MKSTREAM;XREADGROUP GROUP g c STREAMS s >", "XACK s g 1-1"),
    ("XADD s 1-1 a b;XADD s 2-1 a b;XGROUP CREATE s g 0 MKSTREAM;XREADGROUP GROUP g c STREAMS s >", "XACK s g 1-1 2-1 3-1"),
    ("XADD s 1-1 a b;XGROUP CREATE s g 0 MKSTREAM;XREADGROUP GROUP g c STREAMS s >", "XACK s g 7-1"),
    ("XADD s 1-1 a b;XGROUP CREATE s g 0 MKSTREAM;XREADGROUP GROUP g c STREAMS s >", "XCLAIM s g c 0 1-1"),
    ("XADD s 1-1 a b;XGROUP CREATE s g 0 MKSTREAM;XREADGROUP GROUP g c STREAMS s >", "XCLAIM s g d 0 1-1 JUSTID"),
    ("XADD s 1-1 a b;XGROUP CREATE s g 0 MKSTREAM;XREADGROUP GROUP g c STREAMS s >", "XCLAIM s g c 1000000 1-1"),
    ("XADD s 1-1 a b;XADD s 2-1 a b;XGROUP CREATE s g 0 MKSTREAM;XREADGROUP GROUP g c STREAMS s >", "XCLAIM s g c 0 1-1 2-1"),
    ("XADD s 1-1 a b;XGROUP CREATE s g 0 MKSTREAM;XREADGROUP GROUP g c STREAMS s >;XDEL s 1-1", "XCLAIM s g c 0 1-1"),
    ("XADD s 1-1 a b;XADD s 2-1 a b;XGROUP CREATE s g 0 MKSTREAM;XREADGROUP GROUP g c STREAMS s >", "XAUTOCLAIM s g c 0 0"),
    ("XADD s 1-1 a b;XADD s 2-1 a b;XGROUP CREATE s g 0 MKSTREAM;XREADGROUP GROUP g c STREAMS s >", "XAUTOCLAIM s g d 0 0 JUSTID"),
    ("XADD s 1-1 a b;XGROUP CREATE s g 0 MKSTREAM;XREADGROUP GROUP g c STREAMS s >;XDEL s 1-1", "XAUTOCLAIM s g c 0 0"),
    ("XADD s 1-1 a b;XGROUP CREATE s g 0 MKSTREAM;XGROUP CREATECONSUMER s g c", "XAUTOCLAIM s g c 0 0"),
];

/// Commands of later versions than the compared server.
const LATER: &[&str] = &[
    "delex",
    "delifeq",
    "hexpire",
    "hexpireat",
    "hgetdel",
    "hgetex",
    "hpersist",
    "hpexpire",
    "hpexpireat",
    "hsetex",
    // It writes to another server too.
    "migrate",
    "msetex",
    "xackdel",
    "xdelex",
];

fn changes(client: &mut RawClient) -> TestResult<u64> {
    let info = client.line("INFO persistence")?.text().unwrap_or_default();
    let mut lines = info.lines();
    let count = lines.find_map(|line| line.strip_prefix("rdb_changes_since_last_save:"));
    Ok(count.ok_or("no count")?.parse()?)
}

/// How many changes the call of a case counts as.
fn counted(client: &mut RawClient, before: &str, call: &str) -> TestResult<u64> {
    client.line("FLUSHALL")?;
    for line in before.split(';').filter(|line| !line.is_empty()) {
        assert!(!client.line(line)?.is_error(), "{line}");
    }
    let payload = client.line("DUMP s")?;
    let words: Vec<&[u8]> = call
        .split(' ')
        .map(|word| match word {
            "EMPTY" => b"",
            "DUMP" => payload.bytes().unwrap_or_default(),
            word => word.as_bytes(),
        })
        .collect();
    let start = changes(client)?;
    client.call(&words)?;
    Ok(changes(client)? - start)
}

/// The names of the commands that write; redis-server has them too.
fn writing(client: &mut RawClient) -> TestResult<BTreeSet<String>> {
    let all = client.line("COMMAND")?;
    let writes = |command: &&Value| -> Option<bool> {
        let flags = command.items()?.get(2)?.items()?;
        Some(flags.contains(&Value::Simple(b"write".to_vec())))
    };
    let commands = all.items().unwrap_or_default().iter();
    let names = commands.filter(|command| writes(command) == Some(true));
    let names = names.filter_map(|command| command.items()?.first()?.text());
    Ok(names.filter(|name| !name.starts_with("pmemkv.")).collect())
}

/// Every command that writes, in a case with a change and in one without.
pub fn compare() -> TestResult {
    let (ours, real) = (Server::start("vcmap")?, RedisServer::start()?);
    let (mut ours, mut real) = (ours.raw()?, real.raw()?);
    let mut differences = Vec::new();
    for &(before, call) in CASES {
        let (here, there) = (
            counted(&mut ours, before, call)?,
            counted(&mut real, before, call)?,
        );
        if here != there {
            differences.push(format!("{before} | {call}: {here}, redis-server {there}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let name = |call: &str| call.split(' ').next().map(str::to_ascii_lowercase);
    let tried: BTreeSet<String> = CASES.iter().filter_map(|(_, call)| name(call)).collect();
    let mut missing = writing(&mut ours)?;
    missing.retain(|name| !tried.contains(name) && !LATER.contains(&name.as_str()));
    assert!(missing.is_empty(), "no case of {missing:?}");
    Ok(())
}

/// A transaction counts the changes of its commands, a refused or failed call counts nothing, and CONFIG RESETSTAT
/// keeps the count.
pub fn compare_around() -> TestResult {
    let (ours, real) = (Server::start("vcmap")?, RedisServer::start()?);
    let (mut ours, mut real) = (ours.raw()?, real.raw()?);
    let transaction = b"MULTI\r\nSET a 1\r\nRPUSH b 1 2\r\nRPUSH a 1\r\nEXEC\r\n";
    for client in [&mut ours, &mut real] {
        client.send_bytes(transaction)?;
        for _ in 0..5 {
            client.read()?;
        }
    }
    assert_eq!(changes(&mut ours)?, 3);
    for line in [
        "RPUSH a 1",
        "HSET a f v",
        "SET a",
        "CONFIG RESETSTAT",
        "GET a",
        "GET missing",
        "PERSIST missing",
        "FLUSHALL",
    ] {
        ours.line(line)?;
        real.line(line)?;
        assert_eq!(changes(&mut ours)?, changes(&mut real)?, "{line}");
    }
    Ok(())
}
