//! The tolerated differences of replies between this server, which follows Redis 7.2, and the installed redis-server.
//!
//! Each difference has its reason. [`super::descriptions`] lists the differences of the commands' descriptions.

use pmemkv_server::serialised::decode;

use super::Call;
use common::Value;

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
        "Redis compresses long strings that it dumps, here nothing is compressed",
        |call, ours, real| match (ours.bytes(), real.bytes()) {
            (Some(ours), Some(real)) if call.words[0].eq_ignore_ascii_case(b"dump") => {
                real.len() < ours.len() && decode(real).is_ok() && decode(real) == decode(ours)
            }
            _ => false,
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
    (
        "Redis 7.2 writes doubles with as few digits as tell them apart, 7.0 with up to 17",
        |call, ours, real| {
            let name = call.words[0].to_ascii_lowercase();
            let scored = [b"z".as_slice(), b"bz", b"geo", b"exec", b"eval"];
            scored.iter().any(|start| name.starts_with(start)) && same_numbers(ours, real)
        },
    ),
    (
        "Redis 7.2 takes a fourth word for ZRANK and ZREVRANK, 7.0 refuses it",
        |call, _, real| {
            let name = call.words[0].to_ascii_lowercase();
            call.words.len() == 4
                && [b"zrank".as_slice(), b"zrevrank"].contains(&name.as_slice())
                && matches!(real, Value::Error(text) if text.starts_with(b"ERR wrong number"))
        },
    ),
    (
        "Redis 7.2 names the command where the list of streams is unbalanced, 7.0 always XREAD",
        |_, ours, real| match (ours, real) {
            (Value::Error(ours), Value::Error(real)) => {
                let (ours, real) = (String::from_utf8_lossy(ours), String::from_utf8_lossy(real));
                let unquoted = ours
                    .replace("'xread'", "XREAD")
                    .replace("'xreadgroup'", "XREAD")
                    .replace("'>'", "'$'");
                real.contains("Unbalanced XREAD") && unquoted == real
            }
            _ => false,
        },
    ),
    (
        "of users Redis 7.2 tells more than 7.0, and it words denials otherwise; of the log, clients and times differ",
        |call, ours, real| match call.words[0].to_ascii_lowercase().as_slice() {
            b"exec" => match (ours.items(), real.items()) {
                (Some(ours), Some(real)) if ours.len() == real.len() => {
                    ours.iter().zip(real).all(|(ours, real)| {
                        let hello = hello_fields(ours);
                        ours == real
                            || told_alike(ours, real)
                            || (hello.is_some() && hello == hello_fields(real))
                    })
                }
                // The server denied EXEC itself.
                _ => told_alike(ours, real),
            },
            _ => told_alike(ours, real),
        },
    ),
];

/// The differences that the sweep tolerates for calls on expired keys, with reasons.
pub const EXPIRY: &[&str] = &[
    "all such keys of a call go before it runs, in Redis each one when the command looks it up: so the order of `expired` \
     among the other events, and that of its invalidations, may differ",
    "Redis does not look up the destination of some commands (BITOP, the STORE forms) and calls its end `del`, here it \
     is `expired`",
    "a key past its deadline that RESTORE replaces is told of as `expired` here, Redis says nothing of its end; where it \
     was past its deadline already when WATCH came, the new value counts as a modification here, Redis overlooks it",
];

/// Whether two replies are equal except for how they write doubles.
pub fn same_numbers(ours: &Value, real: &Value) -> bool {
    match (ours, real) {
        (Value::Array(ours), Value::Array(real)) | (Value::Set(ours), Value::Set(real)) => {
            ours.len() == real.len() && ours.iter().zip(real).all(|(a, b)| same_numbers(a, b))
        }
        (Value::Map(ours), Value::Map(real)) => {
            ours.len() == real.len()
                && ours
                    .iter()
                    .zip(real)
                    .all(|(a, b)| same_numbers(&a.0, &b.0) && same_numbers(&a.1, &b.1))
        }
        _ => same_number(ours, real),
    }
}

/// Whether two values are equal, or doubles with 17 and with fewer digits that mean the same number.
pub fn same_number(ours: &Value, real: &Value) -> bool {
    const DIGITS: usize = 17;
    let parsed = |text: &[u8]| -> Option<u64> {
        let text = std::str::from_utf8(text).ok()?;
        Some(text.parse::<f64>().ok()?.to_bits())
    };
    // Small sorted sets do not keep the sign of a zero, and servers differ in which sets are small.
    let zero = |text: &[u8]| text == b"0" || text == b"-0";
    let long = |text: &[u8]| text.len() >= DIGITS || text.contains(&b'e');
    let whole = |text: &[u8]| !text.iter().any(|byte| b".e".contains(byte));
    match (ours, real) {
        (Value::Bulk(ours), Value::Bulk(real)) | (Value::Double(ours), Value::Double(real)) => {
            ours == real
                || (zero(ours) && zero(real))
                || ((long(ours) || long(real))
                    && !(whole(ours) && whole(real))
                    && parsed(ours).is_some()
                    && parsed(ours) == parsed(real))
        }
        _ => ours == real,
    }
}

/// Whether a server may use this name for an encoding of Redis 7.2: either it is the name, or 7.0 uses another one.
pub fn is_encoding(name: &str, real: &Value) -> bool {
    let real = real.text().unwrap_or_default();
    // 7.0 has one encoding of lists, and no set encoding between small integer sets and all others.
    real == name || (name == "listpack" && ["quicklist", "hashtable"].contains(&real.as_str()))
}

/// Whether two replies on users, or two denials, are equal except for what Redis 7.0 does not show.
fn told_alike(ours: &Value, real: &Value) -> bool {
    let first = |reply: &Value| match reply {
        Value::Map(pairs) => pairs.first().map(|(name, _)| name.clone()),
        other => other.items()?.first().cloned(),
    };
    if let Some(denial) = denial(ours) {
        return Some(denial) == self::denial(real);
    }
    match first(ours) {
        Some(name) if name.bytes() == Some(b"flags") => {
            without_commands(ours) == without_commands(real)
        }
        Some(line) if line.bytes().is_some_and(|line| line.starts_with(b"user ")) => {
            names_of_list(ours) == names_of_list(real)
        }
        Some(entry) if pairs(&entry).len() >= 7 => logged(ours) == logged(real),
        _ => false,
    }
}

/// What a reply says was denied: a command's full name, `key`, `channel`.
fn denial(reply: &Value) -> Option<String> {
    const ABORTED: &[u8] = b"EXECABORT Transaction discarded because of: ";
    let text = match reply {
        Value::Error(text) => {
            let text = text.strip_prefix(ABORTED).unwrap_or(text);
            String::from_utf8_lossy(text.strip_prefix(b"NOPERM ")?)
        }
        other => String::from_utf8_lossy(other.bytes()?),
    };
    let (_, what) = text
        .split_once(" has no permissions to ")
        .or_else(|| text.split_once("No permissions to "))?;
    Some(match what {
        "access one of the keys used as arguments" => "access a key".to_owned(),
        "access one of the channels used as arguments" => "access a channel".to_owned(),
        other => other.to_owned(),
    })
}

/// The pairs of a map, in either protocol.
fn pairs(reply: &Value) -> Vec<(Value, Value)> {
    match reply {
        Value::Map(pairs) => pairs.clone(),
        other => other
            .items()
            .unwrap_or_default()
            .chunks_exact(2)
            .map(|pair| (pair[0].clone(), pair[1].clone()))
            .collect(),
    }
}

/// GETUSER's fields, without the rules on commands, which 7.0 rebuilds from the allowed ones, and without the flag that
/// 7.0 shows only if it was given.
fn without_commands(reply: &Value) -> Vec<String> {
    let mut shown = Vec::new();
    for (name, value) in pairs(reply) {
        match name.bytes() {
            Some(b"commands") => {}
            Some(b"selectors") => {
                let selectors = value.items().unwrap_or_default();
                shown.extend(selectors.iter().flat_map(without_commands));
            }
            Some(b"flags") => {
                let mut flags = value.items().unwrap_or_default().to_vec();
                flags.retain(|flag| flag.bytes() != Some(b"sanitize-payload"));
                shown.push(format!("{flags:?}"));
            }
            _ => shown.push(format!("{name:?} {value:?}")),
        }
    }
    shown
}

/// The users that LIST names.
fn names_of_list(reply: &Value) -> Option<Vec<String>> {
    let lines = reply.items()?.iter();
    let name = |line: &Value| Some(line.text()?.splitn(3, ' ').take(2).collect());
    lines.map(name).collect()
}

/// The fields of each entry of LOG, except times and clients.
fn logged(reply: &Value) -> Vec<Vec<(Value, Value)>> {
    let told: [&[u8]; 5] = [b"count", b"reason", b"context", b"object", b"username"];
    let entries = reply.items().unwrap_or_default().iter();
    entries
        .map(|entry| {
            let mut pairs = pairs(entry);
            pairs.retain(|(name, _)| name.bytes().is_some_and(|name| told.contains(&name)));
            pairs
        })
        .collect()
}

/// The fields of HELLO's map that must be equal: all except the version, the connection's number and
/// the modules.
fn hello_fields(reply: &Value) -> Option<Vec<(Value, Value)>> {
    let pairs: Vec<(Value, Value)> = match reply {
        Value::Map(pairs) => pairs.clone(),
        Value::Array(flat) => flat
            .chunks_exact(2)
            .map(|pair| (pair[0].clone(), pair[1].clone()))
            .collect(),
        _ => return None,
    };
    // Later versions have their languages as modules.
    let own = |name: &Value| matches!(name.bytes(), Some(b"version" | b"id" | b"modules"));
    Some(pairs.into_iter().filter(|(name, _)| !own(name)).collect())
}
