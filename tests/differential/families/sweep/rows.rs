//! The sweep's rows: for each command that writes, the states of its keys and the calls.

/// What a key holds before a call: the calls that bring it about, `@` for the key, `;` between them. Nothing for an
/// absent key.
pub type States = &'static [&'static str];

/// The calls of one command.
pub struct Row {
    pub command: &'static str,
    /// States of the keys `k`, `d`, and of `k` in database 1 (written `k1` here). A key that no call of the row names
    /// has its first state only.
    pub k: States,
    pub d: States,
    pub k1: States,
    /// Arguments of the calls, as a shell would split them but for quotes: `''` is an empty word.
    pub calls: &'static [&'static str],
    /// Whether what it answers, and what it leaves of more than one element, is left to chance.
    pub draws: bool,
}

const ABSENT: States = &[""];
const FEW: States = &["", "SET @ 10", "RPUSH @ a"];
const STRINGS_ONLY: States = &["", "SET @ 10", "SET @ abc"];
const ANY: States = &[
    "",
    "SET @ 10",
    "SET @ abc",
    "APPEND @ a;APPEND @ b",
    "HSET @ f 1",
    "RPUSH @ a b",
    "SADD @ a",
    "ZADD @ 1 a 2 b",
];
const STRINGS: States = &[
    "",
    "SET @ ''",
    "SET @ 10",
    "SET @ 5000000000",
    "SET @ abc",
    "SET @ 3.5",
    "SET @ aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "SET @ aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "SET @ 1;APPEND @ 0",
    "SETRANGE @ 0 abc",
    "SETBIT @ 7 1",
    "INCRBYFLOAT @ 3",
    "INCRBYFLOAT @ 3.5",
    "RPUSH @ a",
];
const SHORT: States = &["", "SET @ 10", "SET @ abc", "SETRANGE @ 0 abc", "RPUSH @ a"];
const HASHES: States = &[
    "",
    "HSET @ f 1",
    "HSET @ f 1 g 2.5",
    "HSET @ f x g y h z",
    "SET @ 10",
];
const LISTS: States = &[
    "",
    "RPUSH @ a",
    "RPUSH @ a b",
    "RPUSH @ a b a c",
    "SET @ 10",
];
const LISTS_D: States = &["", "RPUSH @ a", "SET @ 10"];
const SETS: States = &[
    "",
    "SADD @ a",
    "SADD @ 1",
    "SADD @ a b",
    "SADD @ b c 1",
    "SET @ 10",
];
// Without an order that servers choose.
const SINGLE: States = &["", "SADD @ a", "ZADD @ 1 a", "SET @ 10"];
const SETS_D: States = &["", "SADD @ a", "SADD @ a b", "ZADD @ 1 a", "SET @ 10"];
const ZSETS: States = &[
    "",
    "ZADD @ 1 a",
    "ZADD @ 1 a 2 b",
    "ZADD @ 1 a 2 b 3 c",
    "SET @ 10",
];
const ZSETS_D: States = &["", "ZADD @ 1 a", "ZADD @ 1 a 2 b", "SADD @ a", "SET @ 10"];
const PLACES: States = &[
    "",
    "GEOADD @ 13 38 p",
    "GEOADD @ 13 38 p 15 37 q",
    "ZADD @ 1 a",
    "SET @ 10",
];
const SKETCHES: States = &[
    "",
    "PFADD @",
    "PFADD @ a",
    "PFADD @ a b c",
    "SET @ SKETCH",
    "SET @ 10",
    "RPUSH @ a",
];

const fn one(command: &'static str, k: States, calls: &'static [&'static str]) -> Row {
    two(command, k, ABSENT, calls)
}

const fn two(command: &'static str, k: States, d: States, calls: &'static [&'static str]) -> Row {
    Row {
        command,
        k,
        d,
        k1: ABSENT,
        calls,
        draws: false,
    }
}

/// Commands that write, but that the real server does not know.
pub const OURS: &[&str] = &["pmemkv.defrag"];

pub const ROWS: &[Row] = &[
    // Strings.
    one("append", STRINGS, &["k x", "k ''", "k 1"]),
    one(
        "set",
        STRINGS,
        &[
            "k 10",
            "k abc",
            "k ''",
            "k x NX",
            "k x XX",
            "k x GET",
            "k x NX GET",
            "k x XX GET",
            "k x EX 1000",
            "k x PXAT 1",
            "k x PX 1000000 XX",
            "k x KEEPTTL",
            "k 10 KEEPTTL",
            "k x EX 0",
        ],
    ),
    one("setnx", STRINGS, &["k x", "k 10"]),
    one("setex", SHORT, &["k 1000 x", "k 0 x"]),
    one("psetex", SHORT, &["k 1000000 x", "k -1 x"]),
    one("getset", STRINGS, &["k x", "k 10"]),
    one("getdel", STRINGS, &["k"]),
    one(
        "getex",
        STRINGS,
        &[
            "k",
            "k PERSIST",
            "k EX 1000",
            "k PXAT 1",
            "k EXAT 1",
            "k EX 0",
        ],
    ),
    one(
        "mset",
        SHORT,
        &["k x", "k 10", "k x k y", "d 1 k 2", "k x d"],
    ),
    two(
        "msetnx",
        FEW,
        FEW,
        &["k x", "k x d y", "k 1 k 2", "d x k y"],
    ),
    one("incr", STRINGS, &["k"]),
    one("decr", STRINGS, &["k"]),
    one("incrby", STRINGS, &["k 1", "k 0", "k 9223372036854775807"]),
    one("decrby", STRINGS, &["k 1", "k 0", "k -9223372036854775807"]),
    one(
        "incrbyfloat",
        STRINGS,
        &["k 0", "k 1.5", "k 1", "k nan", "k 1e400"],
    ),
    one(
        "setrange",
        STRINGS,
        &["k 0 ''", "k 0 x", "k 0 abc", "k 5 x", "k 5 ''", "k -1 x"],
    ),
    one(
        "setbit",
        STRINGS,
        &["k 0 0", "k 0 1", "k 7 1", "k 7 0", "k 1 1", "k 100 0"],
    ),
    one(
        "bitfield",
        STRINGS,
        &[
            "k",
            "k GET u8 0",
            "k SET u8 0 0",
            "k SET u8 0 97",
            "k SET u8 100 0",
            "k INCRBY u8 0 0",
            "k INCRBY u8 0 1",
            "k OVERFLOW FAIL INCRBY u8 0 300",
            "k GET u8 0 SET u8 0 49",
            "k SET u8 0 97 INCRBY u8 8 0",
        ],
    ),
    two(
        "bitop",
        SHORT,
        SHORT,
        &[
            "AND d k",
            "OR d k e",
            "NOT d k",
            "XOR d k k",
            "AND k k d",
            "NOT d e",
        ],
    ),
    // Sketches.
    one("pfadd", SKETCHES, &["k", "k a", "k a b", "k z"]),
    two(
        "pfmerge",
        SKETCHES,
        SKETCHES,
        &["d k", "d", "d k k", "k k", "d d k", "d e"],
    ),
    // Not among the commands that write, but it stores what it has counted.
    two("pfcount", SKETCHES, SKETCHES, &["k", "k d"]),
    // Keys.
    two("del", ANY, FEW, &["k", "k k", "k d", "d k", "e k"]),
    two("unlink", ANY, FEW, &["k", "k k", "k d", "d k"]),
    one(
        "expire",
        ANY,
        &[
            "k 1000",
            "k 100 NX",
            "k 100 XX",
            "k 100 GT",
            "k 100 LT",
            "k 9000 GT",
            "k 9000 LT",
            "k 0",
            "k -1",
            "k -1 GT",
            "k -1 XX",
        ],
    ),
    one("pexpire", FEW, &["k 1000000", "k -1", "k 1000 NX"]),
    one(
        "expireat",
        FEW,
        &["k 9999999999", "k 1", "k 1 NX", "k 1 GT", "k 9999999999 LT"],
    ),
    one("pexpireat", FEW, &["k 9999999999999", "k 1", "k 1 XX"]),
    one("persist", ANY, &["k"]),
    two("rename", ANY, ANY, &["k d", "k k", "e d"]),
    two("renamenx", ANY, ANY, &["k d", "k k", "e d"]),
    Row {
        command: "move",
        k: ANY,
        d: ABSENT,
        k1: FEW,
        calls: &["k 1", "k 0", "k 16"],
        draws: false,
    },
    Row {
        command: "copy",
        k: ANY,
        d: FEW,
        k1: FEW,
        calls: &[
            "k d",
            "k d REPLACE",
            "k k",
            "k k DB 1",
            "k k DB 1 REPLACE",
            "e d",
            "e d REPLACE",
        ],
        draws: false,
    },
    one(
        "restore",
        FEW,
        &[
            "k 0 10-DUMP",
            "k 0 ab-DUMP REPLACE",
            "k 0 10-DUMP REPLACE",
            "k 1000000 ab-DUMP REPLACE",
            "k 1 ab-DUMP ABSTTL",
            "k 1 ab-DUMP REPLACE ABSTTL",
            "k 0 nonsense REPLACE",
        ],
    ),
    two(
        "sort",
        LISTS,
        FEW,
        &[
            "k ALPHA",
            "k ALPHA STORE d",
            "k ALPHA STORE k",
            "k STORE d",
            "k ALPHA LIMIT 5 1 STORE d",
            "e STORE d",
            "k BY nosort STORE d",
        ],
    ),
    Row {
        command: "swapdb",
        k: FEW,
        d: ABSENT,
        k1: FEW,
        calls: &["0 1", "1 1", "0 2", "0 16"],
        draws: false,
    },
    Row {
        command: "flushdb",
        k: FEW,
        d: ABSENT,
        k1: FEW,
        calls: &["", "ASYNC", "SYNC", "nonsense"],
        draws: false,
    },
    Row {
        command: "flushall",
        k: FEW,
        d: ABSENT,
        k1: FEW,
        calls: &["", "ASYNC"],
        draws: false,
    },
    // Hashes.
    one(
        "hset",
        HASHES,
        &["k f 1", "k f x", "k n 1", "k f 1 g 2.5", "k n 1 n 2", "k f"],
    ),
    one("hmset", HASHES, &["k f 1", "k n 1"]),
    one("hsetnx", HASHES, &["k f x", "k n x"]),
    one("hdel", HASHES, &["k f", "k n", "k f g", "k f f", "k g f n"]),
    one("hincrby", HASHES, &["k f 0", "k f 1", "k n 0", "k n 5"]),
    one("hincrbyfloat", HASHES, &["k f 0", "k g 1.5", "k n 0"]),
    // Lists.
    one("lpush", LISTS, &["k a", "k a b"]),
    one("rpush", LISTS, &["k a", "k a b"]),
    one("lpushx", LISTS, &["k a", "k a b"]),
    one("rpushx", LISTS, &["k a", "k a b"]),
    one("lpop", LISTS, &["k", "k 0", "k 1", "k 2", "k 10", "k -1"]),
    one("rpop", LISTS, &["k", "k 0", "k 1", "k 2", "k 10"]),
    two(
        "lmpop",
        LISTS,
        LISTS_D,
        &[
            "1 k LEFT",
            "2 k d RIGHT",
            "2 d k LEFT COUNT 10",
            "2 k k LEFT COUNT 2",
            "1 e LEFT",
        ],
    ),
    two(
        "blmpop",
        LISTS,
        LISTS_D,
        &["0.01 1 k LEFT", "0.01 2 d k RIGHT COUNT 3"],
    ),
    two("blpop", LISTS, LISTS_D, &["k 0.01", "k d 0.01", "d k 0.01"]),
    two("brpop", LISTS, LISTS_D, &["k 0.01", "d k 0.01"]),
    two(
        "lmove",
        LISTS,
        LISTS_D,
        &[
            "k d LEFT RIGHT",
            "k d RIGHT LEFT",
            "k k LEFT RIGHT",
            "k k LEFT LEFT",
            "e d LEFT LEFT",
        ],
    ),
    two(
        "blmove",
        LISTS,
        LISTS_D,
        &["k d LEFT RIGHT 0.01", "k k RIGHT LEFT 0.01"],
    ),
    two("rpoplpush", LISTS, LISTS_D, &["k d", "k k", "e d"]),
    two("brpoplpush", LISTS, LISTS_D, &["k d 0.01", "k k 0.01"]),
    one("linsert", LISTS, &["k BEFORE a x", "k AFTER n x"]),
    one(
        "lrem",
        LISTS,
        &["k 0 a", "k 1 a", "k -1 a", "k 0 n", "k 0 b"],
    ),
    one("lset", LISTS, &["k 0 a", "k 0 x", "k -1 x", "k 9 x"]),
    one(
        "ltrim",
        LISTS,
        &["k 0 -1", "k 0 0", "k 1 -1", "k 5 9", "k 1 0", "k 0 100"],
    ),
    // Sets.
    one("sadd", SETS, &["k a", "k a b", "k n", "k 1", "k n n"]),
    one("srem", SETS, &["k a", "k a b", "k n", "k a n a"]),
    Row {
        command: "spop",
        k: SETS,
        d: ABSENT,
        k1: ABSENT,
        calls: &["k", "k 0", "k 1", "k 2", "k 10", "k -1"],
        draws: true,
    },
    two(
        "smove",
        SETS,
        SETS_D,
        &["k d a", "k d n", "k k a", "k k n", "e d a", "k d 1"],
    ),
    two(
        "sinterstore",
        SETS,
        SETS_D,
        &["d k", "d k e", "d d k", "k k d", "k k", "d e"],
    ),
    two(
        "sunionstore",
        SETS,
        SETS_D,
        &["d k", "d k e", "d d k", "k k", "d e"],
    ),
    two(
        "sdiffstore",
        SETS,
        SETS_D,
        &["d k", "d k k", "d d k", "k k e", "d e"],
    ),
    // Sorted sets.
    one(
        "zadd",
        ZSETS,
        &[
            "k 1 a",
            "k 2 a",
            "k 1 n",
            "k NX 5 a",
            "k XX 1 a",
            "k XX 5 a",
            "k XX 5 n",
            "k GT 0 a",
            "k LT 0 a",
            "k CH 1 a",
            "k INCR 0 a",
            "k INCR 1 a",
            "k NX INCR 1 a",
            "k XX INCR 1 n",
            "k GT INCR -1 a",
            "k 1 a 2 b 3 n",
            "k x a",
        ],
    ),
    one("zincrby", ZSETS, &["k 0 a", "k 1 a", "k 0 n"]),
    one("zrem", ZSETS, &["k a", "k n", "k a b", "k a a", "k a b c"]),
    one(
        "zremrangebyrank",
        ZSETS,
        &["k 0 0", "k 0 -1", "k 5 9", "k 1 0"],
    ),
    one(
        "zremrangebyscore",
        ZSETS,
        &["k 1 1", "k -inf inf", "k 5 9", "k (1 (2", "k x y"],
    ),
    one(
        "zremrangebylex",
        ZSETS,
        &["k [a [a", "k - +", "k [x [z", "k + -"],
    ),
    one("zpopmin", ZSETS, &["k", "k 0", "k 2", "k 10"]),
    one("zpopmax", ZSETS, &["k", "k 0", "k 2", "k 10"]),
    two(
        "zmpop",
        ZSETS,
        ZSETS_D,
        &["1 k MIN", "2 k d MAX COUNT 10", "2 d k MIN COUNT 2"],
    ),
    two(
        "bzmpop",
        ZSETS,
        ZSETS_D,
        &["0.01 1 k MIN", "0.01 2 d k MAX COUNT 5"],
    ),
    two("bzpopmin", ZSETS, ZSETS_D, &["k 0.01", "d k 0.01"]),
    two("bzpopmax", ZSETS, ZSETS_D, &["k 0.01", "k d 0.01"]),
    two(
        "zunionstore",
        ZSETS,
        ZSETS_D,
        &["d 1 k", "d 2 k e", "d 2 d k", "k 1 k", "d 1 e"],
    ),
    two(
        "zinterstore",
        ZSETS,
        ZSETS_D,
        &["d 1 k", "d 2 k e", "d 2 d k", "k 2 k d"],
    ),
    two(
        "zdiffstore",
        ZSETS,
        ZSETS_D,
        &["d 1 k", "d 2 k k", "d 2 d k", "k 1 k"],
    ),
    two(
        "zrangestore",
        ZSETS,
        ZSETS_D,
        &["d k 0 -1", "d k 5 9", "k k 0 0", "d e 0 -1"],
    ),
    // Places.
    one(
        "geoadd",
        PLACES,
        &[
            "k 13 38 p",
            "k 14 38 p",
            "k 13 38 n",
            "k NX 14 38 p",
            "k XX 14 38 n",
            "k CH 13 38 p",
        ],
    ),
    two(
        "geosearchstore",
        PLACES,
        ZSETS_D,
        &[
            "d k FROMLONLAT 13 38 BYRADIUS 1 km",
            "d k FROMLONLAT 0 0 BYRADIUS 1 km",
            "k k FROMLONLAT 13 38 BYRADIUS 1 km STOREDIST",
            "d e FROMLONLAT 13 38 BYRADIUS 1 km",
        ],
    ),
    two(
        "georadius",
        PLACES,
        ZSETS_D,
        &[
            "k 13 38 1 km",
            "k 13 38 1 km STORE d",
            "k 0 0 1 km STORE d",
            "k 13 38 1 km STORE k",
            "e 13 38 1 km STOREDIST d",
        ],
    ),
    two(
        "georadiusbymember",
        PLACES,
        ZSETS_D,
        &[
            "k p 1 km STORE d",
            "k n 1 km STORE d",
            "k p 1000 km STOREDIST k",
            "e p 1 km STORE d",
        ],
    ),
    // Commands that only look: a miss is an event, an access is none.
    one("get", FEW, &["k"]),
    two("mget", FEW, FEW, &["k d"]),
    one("exists", FEW, &["k"]),
    one("touch", FEW, &["k"]),
    one("type", FEW, &["k"]),
    one("ttl", FEW, &["k"]),
    one("dump", STRINGS_ONLY, &["k"]),
    one("object", STRINGS_ONLY, &["ENCODING k", "REFCOUNT k"]),
    one("strlen", FEW, &["k"]),
    one("getrange", FEW, &["k 0 1"]),
    one("getbit", FEW, &["k 0"]),
    one("bitcount", FEW, &["k"]),
    one("bitpos", FEW, &["k 0"]),
    two("lcs", FEW, FEW, &["k d"]),
    one("hget", HASHES, &["k f"]),
    one("hgetall", HASHES, &["k"]),
    one("lrange", LISTS, &["k 0 -1"]),
    one("llen", LISTS, &["k"]),
    one("smembers", SINGLE, &["k"]),
    two("sinter", SINGLE, SINGLE, &["k d"]),
    two("sunion", SINGLE, SINGLE, &["k d"]),
    two("sintercard", SETS_D, SETS_D, &["2 k d"]),
    one("zrange", ZSETS, &["k 0 -1"]),
    one("zscore", ZSETS, &["k a"]),
    two("zunion", ZSETS_D, ZSETS_D, &["2 k d"]),
    two("zdiff", ZSETS_D, ZSETS_D, &["2 k d"]),
    one("geopos", PLACES, &["k p"]),
];
