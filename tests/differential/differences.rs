//! What may differ between this server, which follows Redis 7.2, and the redis-server that is installed.
//!
//! Every tolerated difference stands here, with its reason, and nowhere else.

use super::Call;
use crate::common::Value;

/// Whether a difference explains these two replies, ours first.
type Explains = fn(&Call, &Value, &Value) -> bool;

/// All tolerated differences of replies, each with its reason.
pub const REPLIES: &[(&str, Explains)] = &[
    (
        "HELLO names the server's version and the connection's number",
        |call, ours, real| {
            call.words[0].eq_ignore_ascii_case(b"hello")
                && hello_fields(ours).is_some()
                && hello_fields(ours) == hello_fields(real)
        },
    ),
    (
        "errors are UTF-8 here: other bytes of a quoted word are replaced",
        |_, ours, real| match (ours, real) {
            (Value::Error(ours), Value::Error(real)) => {
                String::from_utf8_lossy(ours) == String::from_utf8_lossy(real)
            }
            _ => false,
        },
    ),
    (
        "Redis shares the objects of small integers, but COPY makes one of its own; here nothing is shared",
        |call, ours, real| {
            call.words[0].eq_ignore_ascii_case(b"object")
                && *ours == Value::Integer(i64::from(i32::MAX))
                && *real == Value::Integer(1)
        },
    ),
    (
        "Redis 7.2 takes COMMAND GETKEYS and GETKEYSANDFLAGS of a single word, 7.0 wants two",
        |call, _, real| {
            call.words.len() == 3
                && call.words[0].eq_ignore_ascii_case(b"command")
                && matches!(real, Value::Error(text) if text.starts_with(b"ERR wrong number of arguments for 'command|getkeys"))
        },
    ),
];

/// The fields of HELLO's map that must be equal: all but the version and the connection's number.
fn hello_fields(reply: &Value) -> Option<Vec<(Value, Value)>> {
    let pairs: Vec<(Value, Value)> = match reply {
        Value::Map(pairs) => pairs.clone(),
        Value::Array(flat) => flat
            .chunks_exact(2)
            .map(|pair| (pair[0].clone(), pair[1].clone()))
            .collect(),
        _ => return None,
    };
    let own = |name: &Value| matches!(name.bytes(), Some(b"version" | b"id"));
    Some(pairs.into_iter().filter(|(name, _)| !own(name)).collect())
}

/// Commands that the installed server may lack: ours, and those that came with Redis 7.2.
pub fn may_be_unknown(name: &str) -> bool {
    name.starts_with("pmemkv.") || ["client|setinfo", "client|no-touch"].contains(&name)
}

/// Fields of COMMAND INFO and COMMAND DOCS that differ from the installed server's: command, field, reason.
pub const METADATA: &[(&str, &str, &str)] = &[
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
        "append",
        "complexity",
        "the whole value is written anew, so that the store replaces it in one step",
    ),
    (
        "setrange",
        "complexity",
        "the whole value is written anew, so that the store replaces it in one step",
    ),
    (
        "swapdb",
        "complexity",
        "nobody watches or blocks on keys, so that a swap takes constant time",
    ),
    (
        "lcs",
        "arguments",
        "Redis 7.2 names min-match-len so, 7.0 named it len",
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
];

/// Whether a difference in `field` of `command` is a known one.
pub fn metadata_may_differ(command: &str, field: &str) -> bool {
    METADATA
        .iter()
        .any(|&(name, known, _)| name == command && known == field)
}
