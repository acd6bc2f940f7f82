//! Random calls on the connection itself, and calls of unknown commands.

use super::{Call, Random};

/// One call, sometimes a bad one.
pub fn call(random: &mut Random) -> Call {
    let call = match random.below(12) {
        0 => Call::new(["PING"]),
        1 => Call::new(["ping"]).arg(random.value()),
        2 => Call::new(["ECHO"]).arg(random.value()),
        3 => Call::new(["CLIENT", "SETNAME"]).arg(name(random)),
        4 => Call::new(["client", "getname"]),
        5 => return hello(random),
        6 => Call::new(["SELECT"]).arg(random.number()),
        7 => Call::new(["GET"]).arg(random.key()),
        8 => Call::new(["SET"]).arg(random.key()).arg(random.value()),
        9 => unknown(random),
        10 => getkeys(random),
        _ => return Call::line(random.pick(FIXED)),
    };
    random.spoil(call)
}

/// Calls whose reply never depends on earlier calls.
const FIXED: &[&str] = &[
    "PING a b",
    "ECHO",
    "ECHO a b",
    "RESET",
    "RESET x",
    "CLIENT",
    "CLIENT nonsense",
    "CLIENT ID x",
    "CLIENT GETNAME x",
    "CLIENT REPLY nonsense",
    "CLIENT REPLY ON",
    "CLIENT NO-EVICT ON",
    "CLIENT NO-EVICT off",
    "CLIENT NO-EVICT maybe",
    "CLIENT KILL ID x",
    "CLIENT KILL 1.1.1.1:1",
    "CLIENT KILL TYPE nonsense",
    "CLIENT KILL SKIPME maybe",
    "CLIENT LIST TYPE nonsense",
    "CLIENT LIST ID x",
    "AUTH",
    "AUTH secret",
    "AUTH default secret",
    "AUTH a b c",
    "HELLO 1",
    "HELLO 4",
    "HELLO x",
    "HELLO 2 AUTH",
    "HELLO 2 AUTH default",
    "HELLO 2 SETNAME",
    "HELLO 2 nonsense",
    "COMMAND nonsense",
    "COMMAND COUNT x",
    "COMMAND INFO nonsense",
    "COMMAND DOCS nonsense",
    "COMMAND GETKEYS",
    "COMMAND LIST FILTERBY nonsense x",
    "CONFIG",
    "CONFIG nonsense",
    "CONFIG GET",
    "CONFIG GET nonsense",
    "CONFIG GET maxmemory-policy",
    "CONFIG SET nonsense 1",
    "CONFIG SET maxmemory",
    "DEBUG",
    "SLOWLOG",
    "SLOWLOG nonsense",
    "SLOWLOG GET x",
    "SLOWLOG GET -2",
    "SLOWLOG GET 0",
    "SLOWLOG GET 1 2",
    "SLOWLOG LEN x",
    "SLOWLOG RESET",
    "LATENCY",
    "LATENCY nonsense",
    "LATENCY HISTORY",
    "LATENCY HISTORY nonsense",
    "LATENCY GRAPH nonsense",
    "LATENCY LATEST",
    "LATENCY RESET",
    "LATENCY RESET nonsense",
    "LATENCY HISTOGRAM nonsense",
    "CLIENT PAUSE",
    "CLIENT PAUSE x",
    "CLIENT PAUSE -1",
    "CLIENT PAUSE 1 nonsense",
    "CLIENT PAUSE 1 write x",
    "CLIENT UNPAUSE",
    "CLIENT UNPAUSE x",
    "CLIENT UNBLOCK x",
    "CLIENT UNBLOCK 99999999",
    "CLIENT UNBLOCK 99999999 ERROR",
    "CLIENT UNBLOCK 99999999 nonsense",
    "CLIENT UNBLOCK 1 TIMEOUT x",
    "MONITOR x",
    "WAIT 0 0",
    "WAIT x 1",
    "WAIT 0 x",
    "WAIT 0 -1",
    "WAIT -1 0",
    "ROLE",
    "REPLICAOF NO ONE",
    "REPLICAOF x",
    "REPLICAOF a b",
    "SLAVEOF no one",
    "FAILOVER",
    "FAILOVER ABORT",
    "FAILOVER nonsense",
    "CLUSTER",
    "CLUSTER INFO",
    "CLUSTER info x",
    "CLUSTER KEYSLOT",
    "CLUSTER MEET localhost",
    "CLUSTER nonsense",
    "READONLY",
    "READWRITE",
    "ASKING",
    "MEMORY PURGE",
    "MEMORY DOCTOR x",
    "LOLWUT VERSION x",
    "SAVE x",
    "BGSAVE x",
    "BGREWRITEAOF x",
    "LASTSAVE x",
];

fn name(random: &mut Random) -> &'static str {
    random.pick(&["worker", "", "two words", "a\nb", "x-1", "caf\u{e9}"])
}

/// Only good ones: Redis 7.2 does not set a name before a bad option, 7.0 did.
fn hello(random: &mut Random) -> Call {
    let call = Call::new([random.any_case("hello")]).arg(random.pick(&["2", "3", "3"]));
    if random.one_in(3) {
        return call.arg(random.any_case("setname")).arg(name(random));
    }
    call
}

fn unknown(random: &mut Random) -> Call {
    let name = random.pick(&[
        "nonsense",
        "GETT",
        "foo|bar",
        "client|list",
        "",
        "a\r\nb",
        "a-very-long-name-that-no-command-of-any-server-has-and-that-goes-on-for-more-than-one-hundred-and-twenty-eight-bytes-in-the-message",
    ]);
    let words: Vec<Vec<u8>> = (0..random.below(5)).map(|_| random.value()).collect();
    Call::new([name]).args(words)
}

fn getkeys(random: &mut Random) -> Call {
    Call::line(random.pick(&[
        "COMMAND GETKEYS GET a",
        "COMMAND GETKEYS get a b",
        "COMMAND GETKEYS MSET a 1 b 2",
        "COMMAND GETKEYS MSET a",
        "COMMAND GETKEYS DEL a b c",
        "COMMAND GETKEYS COPY a b DB 1",
        "COMMAND GETKEYS OBJECT ENCODING a",
        "COMMAND GETKEYS PING",
        "COMMAND GETKEYS nonsense a",
        "COMMAND GETKEYSANDFLAGS SET a 1",
        "COMMAND GETKEYSANDFLAGS SET a 1 GET",
        "COMMAND GETKEYSANDFLAGS RENAME a b",
        "COMMAND GETKEYSANDFLAGS LCS a b",
    ]))
}
