//! The tolerated differences of COMMAND INFO and COMMAND DOCS from the installed redis-server, which is 7.0, while this
//! server follows 7.2. Each has its reason.

/// Commands that the installed server may lack: ours, and those that came with Redis 7.2 and later, and with Valkey 9.
pub fn may_be_unknown(name: &str) -> bool {
    name.starts_with("pmemkv.")
        || [
            "client|setinfo",
            "client|no-touch",
            "waitaof",
            "client|capa",
            "commandlog",
            "commandlog|get",
            "commandlog|help",
            "commandlog|len",
            "commandlog|reset",
            "delex",
            "delifeq",
            "digest",
            "hexpire",
            "hexpireat",
            "hexpiretime",
            "hgetdel",
            "hgetex",
            "hpersist",
            "hpexpire",
            "hpexpireat",
            "hpexpiretime",
            "hpttl",
            "hsetex",
            "httl",
            "msetex",
            "xackdel",
            "xdelex",
        ]
        .contains(&name)
}

/// Fields of COMMAND INFO and COMMAND DOCS that differ from the installed server's: command, field, reason.
pub const METADATA: &[(&str, &str, &str)] = &[
    ("hscan", "arguments", "Redis 7.4 takes NOVALUES"),
    ("migrate", "flags", "it is not for scripts here"),
    (
        "migrate",
        "arguments",
        "Redis 7.2 gives other names to some arguments than 7.0",
    ),
    (
        "migrate",
        "complexity",
        "that of the other commands, in short",
    ),
    (
        "bitop",
        "arguments",
        "Redis 7.2 names the operations, 8.2 has four more",
    ),
    ("bitop", "history", "Redis 8.2 has four more operations"),
    ("client|kill", "history", "Redis 7.4 takes MAXAGE"),
    (
        "client|list",
        "history",
        "Redis 7.2 and 7.4 have more fields",
    ),
    (
        "set",
        "arguments",
        "Redis 8.4 takes IFEQ, IFNE, IFDEQ and IFDNE",
    ),
    (
        "set",
        "history",
        "Redis 8.4 takes IFEQ, IFNE, IFDEQ and IFDNE",
    ),
    (
        "set",
        "key specifications",
        "Redis 8.4 says that comparisons read too",
    ),
    (
        "xadd",
        "arguments",
        "Redis 8.2 takes KEEPREF, DELREF and ACKED, 7.0 did not",
    ),
    (
        "xtrim",
        "arguments",
        "Redis 8.2 takes KEEPREF, DELREF and ACKED, 7.0 did not",
    ),
    (
        "xsetid",
        "arguments",
        "Redis 7.2 gives other names to some arguments than 7.0",
    ),
    (
        "xgroup|create",
        "arguments",
        "Redis 7.2 gives other names to some arguments than 7.0",
    ),
    (
        "xgroup|createconsumer",
        "arguments",
        "Redis 7.2 gives other names to some arguments than 7.0",
    ),
    (
        "xgroup|delconsumer",
        "arguments",
        "Redis 7.2 gives other names to some arguments than 7.0",
    ),
    (
        "xgroup|destroy",
        "arguments",
        "Redis 7.2 gives other names to some arguments than 7.0",
    ),
    (
        "xgroup|setid",
        "arguments",
        "Redis 7.2 gives other names to some arguments than 7.0",
    ),
    (
        "xclaim",
        "arguments",
        "Redis 7.2 gives other names to some arguments than 7.0",
    ),
    (
        "xinfo|consumers",
        "arguments",
        "Redis 7.2 gives other names to some arguments than 7.0",
    ),
    (
        "xinfo|stream",
        "arguments",
        "Redis 7.2 names FULL as an argument of its own, 7.0 did not",
    ),
    (
        "xinfo|stream",
        "history",
        "Redis 7.2 tells more of consumers than 7.0",
    ),
    (
        "xinfo|consumers",
        "history",
        "Redis 7.2 tells more of consumers than 7.0",
    ),
    ("append", "complexity", "a value is written anew as a whole"),
    (
        "setrange",
        "complexity",
        "a value is written anew as a whole",
    ),
    (
        "mset",
        "arguments",
        "Redis 7.2 calls the block data, 7.0 called it key_value",
    ),
    (
        "msetnx",
        "arguments",
        "Redis 7.2 calls the block data, 7.0 called it key_value",
    ),
    (
        "lcs",
        "arguments",
        "Redis 7.2 calls the number min-match-len, 7.0 called it len",
    ),
    (
        "client|list",
        "arguments",
        "Redis 7.2 describes ID's numbers as one argument, 7.0 as a block",
    ),
    (
        "client|kill",
        "arguments",
        "Redis 7.2 names old-format so, 7.0 named it ip:port",
    ),
    (
        "command|getkeys",
        "arity",
        "Redis 7.2 takes a single word, 7.0 wanted two",
    ),
    (
        "command|getkeysandflags",
        "arity",
        "Redis 7.2 takes a single word, 7.0 wanted two",
    ),
    (
        "sort",
        "arguments",
        "Redis names the key specification of patterns",
    ),
    (
        "sort_ro",
        "arguments",
        "Redis names the key specification of patterns",
    ),
    (
        "pfmerge",
        "arguments",
        "Redis 7.2 says that there may be no source, 7.0 did not",
    ),
    ("zrank", "arity", "Redis 7.2 takes WITHSCORE, 7.0 did not"),
    (
        "zrank",
        "arguments",
        "Redis 7.2 takes WITHSCORE, 7.0 did not",
    ),
    (
        "zrevrank",
        "arity",
        "Redis 7.2 takes WITHSCORE, 7.0 did not",
    ),
    (
        "zrevrank",
        "arguments",
        "Redis 7.2 takes WITHSCORE, 7.0 did not",
    ),
    (
        "blpop",
        "flags",
        "Redis 7.2 has it answer at once in scripts, 7.0 kept it from them",
    ),
    (
        "brpop",
        "flags",
        "Redis 7.2 has it answer at once in scripts, 7.0 kept it from them",
    ),
    (
        "blmove",
        "flags",
        "Redis 7.2 has it answer at once in scripts, 7.0 kept it from them",
    ),
    (
        "brpoplpush",
        "flags",
        "Redis 7.2 has it answer at once in scripts, 7.0 kept it from them",
    ),
    (
        "bzpopmin",
        "flags",
        "Redis 7.2 has it answer at once in scripts, 7.0 kept it from them",
    ),
    (
        "bzpopmax",
        "flags",
        "Redis 7.2 has it answer at once in scripts, 7.0 kept it from them",
    ),
    (
        "wait",
        "flags",
        "Redis 7.2 has it block where scripts may not, 7.0 kept it from scripts",
    ),
    (
        "wait",
        "ACL categories",
        "Redis 7.2 counts it among the blocking commands, 7.0 did not",
    ),
    (
        "client|pause",
        "since",
        "Redis 7.2 names the stable version, 7.0 named an unstable one",
    ),
    (
        "save",
        "complexity",
        "everything acknowledged is durable already: there is nothing to write",
    ),
    ("command|getkeys", "arguments", "Redis 7.0 described none"),
    (
        "command|getkeysandflags",
        "arguments",
        "Redis 7.0 described none",
    ),
    (
        "config|get",
        "arguments",
        "Redis 7.0 described a block of one word",
    ),
    (
        "acl|deluser",
        "tips",
        "Redis 7.2 tells proxies of it, 7.0 did not",
    ),
    (
        "acl|save",
        "tips",
        "Redis 7.2 tells proxies of it, 7.0 did not",
    ),
    (
        "acl|setuser",
        "tips",
        "Redis 7.2 tells proxies of it, 7.0 did not",
    ),
    (
        "client|setname",
        "tips",
        "Redis 7.2 tells proxies of it, 7.0 did not",
    ),
    (
        "config|resetstat",
        "tips",
        "Redis 7.2 tells proxies of it, 7.0 did not",
    ),
    (
        "config|rewrite",
        "tips",
        "Redis 7.2 tells proxies of it, 7.0 did not",
    ),
    (
        "latency|reset",
        "tips",
        "Redis 7.2 adds the numbers up, 7.0 only looked for errors",
    ),
    (
        "msetnx",
        "tips",
        "Redis 7.2 has it split no longer: it is all or nothing",
    ),
    (
        "randomkey",
        "tips",
        "Redis 7.2 says that the replies of shards cannot simply be put together",
    ),
    (
        "scan",
        "tips",
        "Redis 7.2 says that the replies of shards cannot simply be put together",
    ),
    ("acl|log", "history", "a change of 7.2"),
    ("zrank", "history", "a change of 7.2"),
    ("zrevrank", "history", "a change of 7.2"),
    (
        "georadius_ro",
        "history",
        "Redis 7.2 tells what 7.0 had left out",
    ),
    (
        "georadiusbymember",
        "history",
        "Redis 7.2 tells what 7.0 had left out",
    ),
    (
        "georadiusbymember_ro",
        "history",
        "Redis 7.2 tells what 7.0 had left out",
    ),
    (
        "setnx",
        "doc_flags",
        "Redis 7.2 calls it deprecated, 7.0 did not",
    ),
    (
        "setnx",
        "deprecated_since",
        "Redis 7.2 calls it deprecated, 7.0 did not",
    ),
    (
        "setnx",
        "replaced_by",
        "Redis 7.2 calls it deprecated, 7.0 did not",
    ),
    (
        "setex",
        "doc_flags",
        "Redis 7.2 calls it deprecated, 7.0 did not",
    ),
    (
        "setex",
        "deprecated_since",
        "Redis 7.2 calls it deprecated, 7.0 did not",
    ),
    (
        "setex",
        "replaced_by",
        "Redis 7.2 calls it deprecated, 7.0 did not",
    ),
    (
        "psetex",
        "doc_flags",
        "Redis 7.2 calls it deprecated, 7.0 did not",
    ),
    (
        "psetex",
        "deprecated_since",
        "Redis 7.2 calls it deprecated, 7.0 did not",
    ),
    (
        "psetex",
        "replaced_by",
        "Redis 7.2 calls it deprecated, 7.0 did not",
    ),
    (
        "quit",
        "doc_flags",
        "Redis 7.2 calls it deprecated, 7.0 did not",
    ),
    (
        "quit",
        "deprecated_since",
        "Redis 7.2 calls it deprecated, 7.0 did not",
    ),
    (
        "quit",
        "replaced_by",
        "Redis 7.2 calls it deprecated, 7.0 did not",
    ),
];

/// Whether a difference in `field` of `command` is a known one.
pub fn metadata_may_differ(command: &str, field: &str) -> bool {
    METADATA
        .iter()
        .any(|&(name, known, _)| name == command && known == field)
}
