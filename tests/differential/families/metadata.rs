//! What COMMAND INFO and COMMAND DOCS say of each of our commands, against the real server.

use std::collections::{BTreeMap, BTreeSet};

use super::differences::{may_be_unknown, metadata_may_differ};
use common::{RawClient, RedisServer, Server, TestResult, Value};

/// Fields of one command or subcommand, made comparable.
type Fields = BTreeMap<String, String>;
/// Commands and subcommands by full name.
type Commands = BTreeMap<String, Fields>;

/// Arity, flags, key positions, key specifications and ACL categories.
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

/// Group, version, complexity and the tree of arguments.
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

struct Both {
    ours: RawClient,
    real: RawClient,
    names: Vec<String>,
    /// They run as long as this lives.
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
                // Remarks for people.
                "notes" => {}
                "flags" => fields.push(format!("flags {:?}", as_set(value))),
                _ => fields.push(format!("{name} {value:?}")),
            }
        }
        fields.join(", ")
    });
    specs.collect::<Vec<_>>().join("; ")
}

/// The flat map of COMMAND DOCS; subcommands are such a map again.
fn add_docs(reply: &Value, commands: &mut Commands) {
    for (name, docs) in pairs(reply) {
        let mut fields = Fields::new();
        for (field, value) in pairs(docs) {
            match field.as_str() {
                "since" | "group" => {
                    fields.insert(field, format!("{value:?}"));
                }
                "complexity" => {
                    fields.insert(field, order(value));
                }
                "arguments" => {
                    fields.insert(field, arguments(value));
                }
                "subcommands" => add_docs(value, commands),
                // The summary is in our own words; history and deprecation are Redis's.
                _ => {}
            }
        }
        commands.insert(name, fields);
    }
}

/// The first O(...) of a complexity; what follows explains it in words.
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
        // Redis 7.2 gave groups of arguments other names than 7.0.
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
