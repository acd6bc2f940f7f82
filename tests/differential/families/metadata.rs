//! COMMAND INFO and COMMAND DOCS must describe each of our commands as the real server does.

use std::collections::{BTreeMap, BTreeSet};

use super::descriptions::{may_be_unknown, metadata_may_differ};
use common::{RawClient, RedisServer, Server, TestResult, Value};

/// Fields of one command or subcommand, made comparable.
type Fields = BTreeMap<String, String>;
/// Commands and subcommands by full name.
type Commands = BTreeMap<String, Fields>;

/// Arity, flags, key positions, key specifications, ACL categories and tips.
pub fn compare_info() -> TestResult {
    let mut both = Both::start()?;
    let mut differences = Vec::new();
    for name in &both.names {
        let of = |client: &mut RawClient| -> TestResult<Commands> {
            let reply = client.call(&["COMMAND", "INFO", name])?;
            let mut commands = Commands::new();
            for entry in reply.items().unwrap_or_default() {
                add_info(entry, &mut commands);
            }
            Ok(commands)
        };
        compare(&of(&mut both.ours)?, &of(&mut both.real)?, &mut differences);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

/// Group, version, complexity, history, deprecation and the tree of arguments.
pub fn compare_docs() -> TestResult {
    let mut both = Both::start()?;
    let mut differences = Vec::new();
    for name in &both.names {
        let of = |client: &mut RawClient| -> TestResult<Commands> {
            let reply = client.call(&["COMMAND", "DOCS", name])?;
            let mut commands = Commands::new();
            add_docs(&reply, &mut commands);
            Ok(commands)
        };
        compare(&of(&mut both.ours)?, &of(&mut both.real)?, &mut differences);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

/// Calls of commands with a number of keys; the number replaces `#`.
const COUNTED: &[&str] = &[
    "ZUNION # a1 a2 b",
    "ZINTER # a1 a2 b",
    "ZDIFF # a1 a2 b WITHSCORES",
    "ZINTERCARD # a1 b LIMIT 1",
    "SINTERCARD # a1 b",
    "ZUNIONSTORE a # a1 b WEIGHTS 1 2",
    "ZUNIONSTORE b # a1 a2",
    "ZINTERSTORE a # a1 a2",
    "ZDIFFSTORE a # b a1",
    "LMPOP # a1 b LEFT COUNT 2",
    "ZMPOP # a1 MIN",
    "BLMPOP 1 # a1 b RIGHT",
    "BZMPOP 0 # b MAX",
];

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "-1",
    "-2",
    "-4294967294",
    "2147483647",
    "2147483648",
    "4294967298",
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999999999",
    "-99999999999999999999",
    "4294967298x",
    "x",
    "",
    "2x",
    "+2",
    "02",
    "-0",
    "1.5",
    "0x2",
];

/// Calls whose keys follow options, or may be missing.
const OTHERS: &[&str] = &[
    "SORT a1 STORE",
    "SORT a1 STORE b",
    "SORT b STORE a2",
    "SORT a1 STORE b STORE a2",
    "SORT a1 GET STORE b",
    "SORT a1 BY STORE b",
    "SORT a1 STORE b GET store",
    "SORT a1 STORE b BY store",
    "SORT a1 STORE STORE",
    "SORT a1 LIMIT 0 1 STORE b",
    "SORT_RO b GET STORE",
    "GEORADIUS a1 0 0 1 m STORE",
    "GEORADIUS a1 0 0 1 m STORE b STOREDIST a2",
    "GEORADIUS a1 0 0 1 m STORE STORE",
    "GEORADIUSBYMEMBER a1 m 1 m STOREDIST b",
    "GEORADIUS_RO b 0 0 1 m",
    "OBJECT FREQ b",
    "MEMORY USAGE b",
    "OBJECT HELP",
    "XX a1",
    "PING a1",
    "GET a1 b",
    "GET b",
    "MSET a1 v b v",
    "MSET a1 v a2",
    "BLPOP a1 b 0",
    "BITOP NOT a1 b",
    "SET b v GET",
    "SET a1 v XX get",
    "BITFIELD b GET u8 0",
    "BITFIELD a1 SET u8 0 1 GET u8 0",
    "SPUBLISH b m",
    "SSUBSCRIBE b",
    "ZRANGESTORE a1 b 0 1",
    "PFMERGE a1 b",
];

/// The keys of good and bad calls, and whether a user may make the calls.
pub fn compare_keys() -> TestResult {
    let mut both = Both::start()?;
    for client in [&mut both.ours, &mut both.real] {
        client.line("ACL SETUSER u on nopass %R~a* %W~a* ~a %R~c +@all")?;
    }
    let calls = COUNTED.iter().flat_map(|call| {
        NUMBERS
            .iter()
            .map(|number| {
                call.split(' ')
                    .map(|word| if word == "#" { *number } else { word })
            })
            .map(Iterator::collect)
    });
    let others = OTHERS.iter().map(|call| call.split(' ').collect());
    let mut differences = Vec::new();
    // In Redis, users cannot merge into keys that they may not write.
    let pfmerge = std::iter::once(vec!["PFMERGE", "a1"]);
    for call in calls.chain(others).chain(pfmerge) {
        let call: Vec<&str> = call;
        for asking in [
            &["COMMAND", "GETKEYS"][..],
            &["COMMAND", "GETKEYSANDFLAGS"],
            &["ACL", "DRYRUN", "u"],
        ] {
            let words = [asking, call.as_slice()].concat();
            let (ours, real) = (both.ours.call(&words)?, both.real.call(&words)?);
            if ours != real && (said(&ours).is_none() || said(&ours) != said(&real)) {
                differences.push(format!(
                    "{words:?}\n  ours         {ours:?}\n  redis-server {real:?}"
                ));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

/// A refusal without the user's name, which 7.0 does not show.
fn said(reply: &Value) -> Option<String> {
    let text = reply.text()?;
    let (_, rest) = text.split_once(" has no permissions to ")?;
    Some(rest.to_owned())
}

struct Both {
    ours: RawClient,
    real: RawClient,
    names: Vec<String>,
    /// The servers run as long as this exists.
    _servers: (Server, RedisServer),
}

impl Both {
    fn start() -> TestResult<Self> {
        let servers = (Server::start("vcmap")?, RedisServer::start()?);
        let mut ours = servers.0.raw()?;
        let all = ours.call(&["COMMAND"])?;
        let names = all.items().ok_or("COMMAND answers no array")?.iter();
        let names: Vec<_> = names
            .filter_map(|entry| entry.items()?.first()?.text())
            .collect();
        assert!(!names.is_empty(), "COMMAND lists no command");
        Ok(Self {
            ours,
            real: servers.1.raw()?,
            names,
            _servers: servers,
        })
    }
}

fn compare(ours: &Commands, real: &Commands, differences: &mut Vec<String>) {
    for (command, fields) in ours {
        let Some(real) = real.get(command) else {
            if !may_be_unknown(command) {
                differences.push(format!("{command}: unknown to redis-server"));
            }
            continue;
        };
        let names: BTreeSet<_> = fields.keys().chain(real.keys()).collect();
        for field in names {
            let (ours, real) = (fields.get(field), real.get(field));
            if ours != real && !metadata_may_differ(command, field) {
                differences.push(format!(
                    "{command}: {field}\n  ours         {}\n  redis-server {}",
                    ours.map_or("none", String::as_str),
                    real.map_or("none", String::as_str),
                ));
            }
        }
    }
}

/// One entry of COMMAND INFO; subcommands follow in its last field.
fn add_info(entry: &Value, commands: &mut Commands) {
    const NAMED: &[(usize, &str)] = &[
        (1, "arity"),
        (2, "flags"),
        (3, "first key"),
        (4, "last key"),
        (5, "step"),
        (6, "ACL categories"),
        (7, "tips"),
        (8, "key specifications"),
    ];
    let Some(entry) = entry.items() else {
        return;
    };
    let Some(name) = entry.first().and_then(Value::text) else {
        return;
    };
    let fields = NAMED.iter().map(|&(place, field)| {
        let text = match (field, entry.get(place)) {
            (_, None) => String::new(),
            ("flags" | "ACL categories", Some(set)) => format!("{:?}", as_set(set)),
            ("key specifications", Some(specs)) => key_specs(specs),
            (_, Some(value)) => format!("{value:?}"),
        };
        (field.to_owned(), text)
    });
    commands.insert(name, fields.collect());
    for sub in entry.get(9).and_then(Value::items).unwrap_or_default() {
        add_info(sub, commands);
    }
}

fn key_specs(specs: &Value) -> String {
    let specs = specs.items().unwrap_or_default().iter().map(|spec| {
        let mut fields = Vec::new();
        for (name, value) in pairs(spec) {
            match name.as_str() {
                "flags" => fields.push(format!("flags {:?}", as_set(value))),
                _ => fields.push(format!("{name} {value:?}")),
            }
        }
        fields.join(", ")
    });
    specs.collect::<Vec<_>>().join("; ")
}

/// The flat map of COMMAND DOCS; the subcommands are another such map.
fn add_docs(reply: &Value, commands: &mut Commands) {
    for (name, docs) in pairs(reply) {
        let mut fields = Fields::new();
        for (field, value) in pairs(docs) {
            match field.as_str() {
                "complexity" => {
                    fields.insert(field, order(value));
                }
                "arguments" => {
                    fields.insert(field, arguments(value));
                }
                "subcommands" => add_docs(value, commands),
                // The summary has words of our own.
                "summary" => {}
                _ => {
                    fields.insert(field, format!("{value:?}"));
                }
            }
        }
        commands.insert(name, fields);
    }
}

/// The first O(...) of a complexity; the rest explains it in words.
fn order(complexity: &Value) -> String {
    let text = complexity.text().unwrap_or_default();
    text.split_inclusive(')')
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn arguments(list: &Value) -> String {
    let items = list.items().unwrap_or_default().iter().map(|argument| {
        let mut fields = BTreeMap::new();
        // Redis 7.2 renamed groups of arguments.
        let is_group = pairs(argument).any(|(field, _)| field == "arguments");
        for (field, value) in pairs(argument) {
            let text = match field.as_str() {
                "arguments" => arguments(value),
                "flags" => format!("{:?}", as_set(value)),
                // Redis 7.2 adds it to every argument.
                "display_text" => continue,
                "name" if is_group => continue,
                _ => format!("{value:?}"),
            };
            fields.insert(field, text);
        }
        format!("{fields:?}")
    });
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn as_set(list: &Value) -> BTreeSet<&Value> {
    list.items().unwrap_or_default().iter().collect()
}

/// A flat map's fields, in their order.
fn pairs(map: &Value) -> impl Iterator<Item = (String, &Value)> {
    map.items()
        .unwrap_or_default()
        .chunks_exact(2)
        .filter_map(|pair| Some((pair[0].text()?, &pair[1])))
}
