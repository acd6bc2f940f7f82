//! Calls and their replies, in order, on an empty database. The replies are those of redis-server, save for two errors:
//! Redis 7.2 names the command in the one of unbalanced streams, and compares XSETID's id with the highest deleted one.

pub const SCRIPT: &[(&str, &str)] = &[
    // Adding
    ("XADD s 1-1 f v", "1-1"),
    ("XADD s 1-* g w h x", "1-2"),
    ("XADD s 2 f v", "2-0"),
    (
        "XADD s 2-0 f v",
        "-ERR The ID specified in XADD is equal or smaller than the target stream top item",
    ),
    (
        "XADD s 1-* f v",
        "-ERR The ID specified in XADD is equal or smaller than the target stream top item",
    ),
    (
        "XADD s 0-0 f v",
        "-ERR The ID specified in XADD must be greater than 0-0",
    ),
    (
        "XADD s x f v",
        "-ERR Invalid stream ID specified as stream command argument",
    ),
    (
        "XADD s 3-1 f",
        "-ERR wrong number of arguments for 'xadd' command",
    ),
    ("XADD s NOMKSTREAM 3-1 f v", "3-1"),
    ("XADD none NOMKSTREAM 3-1 f v", "nil"),
    ("XADD s MAXLEN 3 3-2 f v", "3-2"),
    ("XADD s MINID = 2 3-3 f v", "3-3"),
    (
        "XADD s MAXLEN -1 * f v",
        "-ERR The MAXLEN argument must be >= 0.",
    ),
    (
        "XADD s MAXLEN 1 MINID 1 * f v",
        "-ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
    ),
    (
        "XADD s LIMIT 5 * f v",
        "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
    ),
    (
        "XADD s MAXLEN 9 LIMIT 5 * f v",
        "-ERR syntax error, LIMIT cannot be used without the special ~ option",
    ),
    (
        "XADD s MAXLEN ~ 9 LIMIT -5 * f v",
        "-ERR The LIMIT argument must be >= 0.",
    ),
    (
        "XADD full 18446744073709551615-18446744073709551615 f v",
        "18446744073709551615-18446744073709551615",
    ),
    (
        "XADD full * f v",
        "-ERR The stream has exhausted the last possible ID, unable to add more items",
    ),
    (
        "XADD full 18446744073709551615-* f v",
        "-ERR The stream has exhausted the last possible ID, unable to add more items",
    ),
    ("TYPE s", "+stream"),
    ("OBJECT ENCODING s", "stream"),
    ("EXISTS none", ":0"),
    // Looking
    ("XLEN s", ":4"),
    ("XLEN none", ":0"),
    (
        "XRANGE s - +",
        "[[2-0 [f v]] [3-1 [f v]] [3-2 [f v]] [3-3 [f v]]]",
    ),
    ("XREVRANGE s + - COUNT 2", "[[3-3 [f v]] [3-2 [f v]]]"),
    ("XRANGE s (2-0 3-2", "[[3-1 [f v]] [3-2 [f v]]]"),
    ("XRANGE s 3 3", "[[3-1 [f v]] [3-2 [f v]] [3-3 [f v]]]"),
    ("XRANGE s 3-3 (3-3", "[]"),
    ("XRANGE s (3-3 +", "[]"),
    ("XRANGE s - + COUNT 0", "nil-array"),
    ("XRANGE none - + COUNT 0", "[]"),
    ("XRANGE none - +", "[]"),
    (
        "XRANGE s - + COUNT x",
        "-ERR value is not an integer or out of range",
    ),
    ("XRANGE s - + LIMIT 1", "-ERR syntax error"),
    (
        "XRANGE s (- +",
        "-ERR Invalid stream ID specified as stream command argument",
    ),
    (
        "XRANGE s (18446744073709551615-18446744073709551615 +",
        "-ERR invalid start ID for the interval",
    ),
    ("XREVRANGE s (0-0 -", "-ERR invalid end ID for the interval"),
    ("XREAD COUNT 1 STREAMS s none 2 0", "[[s [[3-1 [f v]]]]]"),
    ("XREAD STREAMS s 3-3", "nil-array"),
    ("XREAD STREAMS s $", "nil-array"),
    ("XREAD BLOCK 1 STREAMS s none $ $", "nil-array"),
    (
        "XREAD STREAMS s none 0",
        "-ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified.",
    ),
    (
        "XREAD STREAMS s >",
        "-ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
    ),
    (
        "XREAD NOACK STREAMS s 0",
        "-ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
    ),
    (
        "XREAD GROUP g c STREAMS s 0",
        "-ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
    ),
    ("XREAD BLOCK -1 STREAMS s 0", "-ERR timeout is negative"),
    (
        "XREAD BLOCK x STREAMS s 0",
        "-ERR timeout is not an integer or out of range",
    ),
    ("XREAD COUNT 1 s 0", "-ERR syntax error"),
    // Removing
    ("XADD d 1-1 a 1", "1-1"),
    ("XADD d 2-1 a 2", "2-1"),
    ("XADD d 3-1 a 3", "3-1"),
    ("XADD d 4-1 a 4", "4-1"),
    ("XADD d 5-1 a 5", "5-1"),
    ("XDEL d 2-1 2-1 9-9", ":1"),
    (
        "XDEL d x",
        "-ERR Invalid stream ID specified as stream command argument",
    ),
    ("XDEL none x", ":0"),
    ("XDEL none 1-1", ":0"),
    ("XDEL d 1-1", ":1"),
    ("XTRIM d MAXLEN ~ 1", ":0"),
    ("XTRIM d MAXLEN 2", ":1"),
    ("XRANGE d - +", "[[4-1 [a 4]] [5-1 [a 5]]]"),
    ("XTRIM d MINID 5", ":1"),
    ("XTRIM d MINID 5", ":0"),
    ("XTRIM none MAXLEN 0", ":0"),
    (
        "XTRIM d MAXLEN",
        "-ERR wrong number of arguments for 'xtrim' command",
    ),
    ("XTRIM d LENGTH 1", "-ERR syntax error"),
    ("XDEL d 5-1", ":1"),
    ("XLEN d", ":0"),
    ("EXISTS d", ":1"),
    (
        "XADD d 5-1 a 6",
        "-ERR The ID specified in XADD is equal or smaller than the target stream top item",
    ),
    ("XADD d 5-2 a 6", "5-2"),
    ("XSETID d 9-1 ENTRIESADDED 20 MAXDELETEDID 8-1", "+OK"),
    (
        "XSETID d 5-1",
        "-ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
    ),
    (
        "XSETID d 9-1 ENTRIESADDED -1",
        "-ERR entries_added must be positive",
    ),
    (
        "XSETID d 9-1 MAXDELETEDID 9-2",
        "-ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
    ),
    ("XSETID d 9-1 MORE", "-ERR syntax error"),
    ("XSETID none 1-1", "-ERR no such key"),
    (
        "XADD d 9-1 a 7",
        "-ERR The ID specified in XADD is equal or smaller than the target stream top item",
    ),
    ("XTRIM d MAXLEN 0", ":1"),
    (
        "XINFO STREAM d",
        "[length :0 radix-tree-keys :0 radix-tree-nodes :1 last-generated-id 9-1 max-deleted-entry-id 8-1 entries-added :20 recorded-first-entry-id 0-0 groups :0 first-entry nil last-entry nil]",
    ),
    // Groups
    (
        "XGROUP CREATE q g $",
        "-ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
    ),
    ("XGROUP CREATE q g $ MKSTREAM", "+OK"),
    (
        "XGROUP CREATE q g 0",
        "-BUSYGROUP Consumer Group name already exists",
    ),
    (
        "XGROUP CREATE q h 0 ENTRIESREAD -2",
        "-ERR value for ENTRIESREAD must be positive or -1",
    ),
    ("XGROUP CREATE q h 0 ENTRIESREAD 0", "+OK"),
    (
        "XGROUP CREATE q i x",
        "-ERR Invalid stream ID specified as stream command argument",
    ),
    (
        "XGROUP CREATE q i 0 NONSENSE",
        "-ERR unknown subcommand or wrong number of arguments for 'CREATE'. Try XGROUP HELP.",
    ),
    ("XADD q 1-1 a 1", "1-1"),
    ("XADD q 2-1 a 2", "2-1"),
    ("XADD q 3-1 a 3", "3-1"),
    (
        "XREADGROUP GROUP g alice COUNT 2 STREAMS q >",
        "[[q [[1-1 [a 1]] [2-1 [a 2]]]]]",
    ),
    ("XREADGROUP GROUP g bob STREAMS q >", "[[q [[3-1 [a 3]]]]]"),
    ("XREADGROUP GROUP g bob STREAMS q >", "nil-array"),
    (
        "XREADGROUP GROUP g alice STREAMS q 0",
        "[[q [[1-1 [a 1]] [2-1 [a 2]]]]]",
    ),
    (
        "XREADGROUP GROUP g alice STREAMS q 1-1",
        "[[q [[2-1 [a 2]]]]]",
    ),
    (
        "XREADGROUP GROUP h alice NOACK STREAMS q >",
        "[[q [[1-1 [a 1]] [2-1 [a 2]] [3-1 [a 3]]]]]",
    ),
    (
        "XREADGROUP GROUP none alice STREAMS q >",
        "-NOGROUP No such key 'q' or consumer group 'none' in XREADGROUP with GROUP option",
    ),
    (
        "XREADGROUP GROUP g alice STREAMS none >",
        "-NOGROUP No such key 'none' or consumer group 'g' in XREADGROUP with GROUP option",
    ),
    (
        "XREADGROUP GROUP g alice STREAMS q $",
        "-ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
    ),
    (
        "XREADGROUP GROUP g alice STREAMS q",
        "-ERR wrong number of arguments for 'xreadgroup' command",
    ),
    (
        "XREADGROUP COUNT 1 NOACK STREAMS q >",
        "-ERR Missing GROUP option for XREADGROUP",
    ),
    ("XPENDING q g", "[:3 1-1 3-1 [[alice 2] [bob 1]]]"),
    ("XPENDING q h", "[:0 nil nil nil-array]"),
    (
        "XPENDING q none",
        "-NOGROUP No such key 'q' or consumer group 'none'",
    ),
    ("XPENDING q g - + 10 carol", "[]"),
    ("XPENDING q g IDLE 100000 - + 10", "[]"),
    ("XPENDING q g - +", "-ERR syntax error"),
    ("XACK q g 1-1 1-1 9-9", ":1"),
    ("XACK q none 1-1", ":0"),
    ("XACK none g 1-1", ":0"),
    (
        "XACK q g x",
        "-ERR Invalid stream ID specified as stream command argument",
    ),
    ("XCLAIM q g bob 0 2-1", "[[2-1 [a 2]]]"),
    ("XCLAIM q g bob 0 2-1 JUSTID", "[2-1]"),
    ("XCLAIM q g bob 100000 2-1", "[]"),
    ("XCLAIM q g carol 0 1-1", "[]"),
    ("XCLAIM q g carol 0 1-1 FORCE RETRYCOUNT 7", "[[1-1 [a 1]]]"),
    ("XCLAIM q g carol 0 9-9 FORCE", "[]"),
    (
        "XCLAIM q g carol x 1-1",
        "-ERR Invalid min-idle-time argument for XCLAIM",
    ),
    (
        "XCLAIM q g carol 0 1-1 NONSENSE",
        "-ERR Unrecognized XCLAIM option 'NONSENSE'",
    ),
    (
        "XCLAIM q none carol 0 1-1",
        "-NOGROUP No such key 'q' or consumer group 'none'",
    ),
    ("XDEL q 2-1", ":1"),
    (
        "XREADGROUP GROUP g bob STREAMS q 0",
        "[[q [[2-1 nil-array] [3-1 [a 3]]]]]",
    ),
    ("XAUTOCLAIM q g dave 0 - COUNT 1", "[2-1 [[1-1 [a 1]]] []]"),
    ("XAUTOCLAIM q g dave 0 1-2", "[0-0 [[3-1 [a 3]]] [2-1]]"),
    ("XAUTOCLAIM q g dave 0 0 JUSTID", "[0-0 [1-1 3-1] []]"),
    ("XAUTOCLAIM q g dave 0 0 COUNT 0", "-ERR COUNT must be > 0"),
    (
        "XAUTOCLAIM q g dave 0 x",
        "-ERR Invalid stream ID specified as stream command argument",
    ),
    (
        "XAUTOCLAIM q g dave x 0",
        "-ERR Invalid min-idle-time argument for XAUTOCLAIM",
    ),
    (
        "XAUTOCLAIM q none dave 0 0",
        "-NOGROUP No such key 'q' or consumer group 'none'",
    ),
    ("XGROUP SETID q g 1", "+OK"),
    (
        "XREADGROUP GROUP g alice STREAMS q >",
        "[[q [[1-1 [a 1]] [3-1 [a 3]]]]]",
    ),
    ("XGROUP CREATECONSUMER q g eve", ":1"),
    ("XGROUP CREATECONSUMER q g eve", ":0"),
    ("XGROUP DELCONSUMER q g alice", ":2"),
    ("XGROUP DELCONSUMER q g alice", ":0"),
    (
        "XGROUP SETID q none 0",
        "-NOGROUP No such consumer group 'none' for key name 'q'",
    ),
    ("XGROUP DESTROY q h", ":1"),
    ("XGROUP DESTROY q h", ":0"),
    (
        "XGROUP DESTROY none h",
        "-ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
    ),
    (
        "XGROUP NONSENSE q",
        "-ERR unknown subcommand 'NONSENSE'. Try XGROUP HELP.",
    ),
    ("XINFO GROUPS none", "-ERR no such key"),
    (
        "XINFO CONSUMERS q none",
        "-NOGROUP No such consumer group 'none' for key name 'q'",
    ),
    (
        "XINFO STREAM q NONSENSE",
        "-ERR unknown subcommand or wrong number of arguments for 'STREAM'. Try XINFO HELP.",
    ),
    // Whole values
    ("COPY q r", ":1"),
    ("XPENDING r g", "[:0 nil nil nil-array]"),
    ("RENAME r p", "+OK"),
    ("XRANGE p - +", "[[1-1 [a 1]] [3-1 [a 3]]]"),
    ("SET text v", "+OK"),
    (
        "XADD text * f v",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "XLEN text",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "XRANGE text - +",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "XDEL text 1-1",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "XTRIM text MAXLEN 1",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "XREAD STREAMS text 0",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "XREADGROUP GROUP g c STREAMS text >",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "XACK text g 1-1",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "XPENDING text g",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "XCLAIM text g c 0 1-1",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "XAUTOCLAIM text g c 0 0",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "XGROUP CREATE text g 0",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "XINFO STREAM text",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "XSETID text 1-1",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "GET q",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "LPUSH q x",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
];
