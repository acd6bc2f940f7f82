//! COMMAND GETKEYS: the keys among a command's arguments.

use crate::catalog::spec::{Find, Flags, FoundKey, KeySpec};
use crate::catalog::{bitfield_only_reads, delex_reads, set_reads, table};
use crate::commands::CommandError;
use crate::protocol::Args;

/// One key of a command.
#[derive(Debug)]
pub(super) struct Key<'a> {
    pub(super) name: &'a [u8],
    pub(super) flags: &'static [&'static str],
}

/// The keys of the command that begins at argument 2.
pub(super) fn find(args: Args<'_>) -> Result<Vec<Key<'_>>, CommandError> {
    const SHIFT: usize = 2;
    let len = args.len() - SHIFT;
    let container = args
        .get(SHIFT)
        .and_then(|name| table().find(name))
        .ok_or(CommandError::text("ERR Invalid command specified"))?;
    let command = match args.get(SHIFT + 1) {
        Some(sub) if container.is_container() => table()
            .find_subcommand(container, sub)
            .ok_or(CommandError::text("ERR Invalid command specified"))?,
        _ => container,
    };
    let specs = command.spec.keys;
    let are_keys = |spec: &KeySpec| !spec.flags.contains(&"not_key");
    if !specs.iter().any(are_keys) {
        return Err(CommandError::text("ERR The command has no key arguments"));
    }
    if !command.spec.arity.accepts(len) {
        return Err(CommandError::text(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let call = args.tail(SHIFT);
    let found = command.spec.find_keys(call);
    // As Redis does, refuses even calls that rightly leave out keys (PFMERGE without a source).
    let is_empty = |(number, spec): (usize, &KeySpec)| {
        let of_spec = |key: &FoundKey| key.spec == Some(number);
        spec.find == Find::Range && are_keys(spec) && !found.iter().any(of_spec)
    };
    if found.is_empty() && command.spec.flags.contains(Flags::NO_MANDATORY_KEYS) {
        return Ok(Vec::new());
    }
    let is_known = found.iter().all(|key| key.spec.is_some());
    if found.is_empty() || (is_known && specs.iter().enumerate().any(is_empty)) {
        return Err(CommandError::text(
            "ERR Invalid arguments specified for command",
        ));
    }
    let keys = found.into_iter().map(|key| Key {
        name: call.get(key.argument).unwrap_or_default(),
        flags: key.spec.map_or(&[], |number| {
            flags_of_call(command.spec.name, &specs[number], call)
        }),
    });
    Ok(keys.collect())
}

/// What a call does to its keys, which may depend on its arguments: SET and DELEX may read too, and BITFIELD may only read.
fn flags_of_call(name: &str, spec: &KeySpec, call: Args<'_>) -> &'static [&'static str] {
    if !spec.flags.contains(&"variable_flags") {
        return spec.flags;
    }
    if name == "bitfield" {
        return if bitfield_only_reads(call) {
            &["RO", "access"]
        } else {
            &["RW", "access", "update"]
        };
    }
    if name == "delex" {
        return if delex_reads(call) {
            &["RW", "access", "delete"]
        } else {
            &["RM", "delete"]
        };
    }
    if set_reads(call) {
        &["RW", "access", "update"]
    } else {
        &["OW", "update"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    fn keys(arguments: &str) -> Result<Vec<(String, String)>, String> {
        let arguments = ["command", "getkeysandflags"]
            .into_iter()
            .chain(arguments.split(' '));
        let arguments = OwnedArgs::new(arguments);
        let keys = find(arguments.args()).map_err(|error| error.to_string())?;
        Ok(keys
            .into_iter()
            .map(|key| {
                let name = String::from_utf8_lossy(key.name).into_owned();
                (name, key.flags.join(" "))
            })
            .collect())
    }

    fn key(name: &str, flags: &str) -> (String, String) {
        (name.to_owned(), flags.to_owned())
    }

    #[test]
    fn finds_keys_as_redis_does() {
        assert_eq!(keys("get a"), Ok(vec![key("a", "RO access")]));
        assert_eq!(keys("set a b"), Ok(vec![key("a", "OW update")]));
        assert_eq!(keys("SET a b get"), Ok(vec![key("a", "RW access update")]));
        assert_eq!(
            keys("mset a 1 c 2"),
            Ok(vec![key("a", "OW update"), key("c", "OW update")])
        );
        assert_eq!(keys("bitfield a get u8 0"), Ok(vec![key("a", "RO access")]));
        assert_eq!(
            keys("bitfield a get u8 0 set u8 0 1"),
            Ok(vec![key("a", "RW access update")])
        );
        assert_eq!(keys("memory usage k"), Ok(vec![key("k", "RO")]));
    }

    #[test]
    fn refuses_as_redis_does() {
        for (arguments, text) in [
            ("nosuch a", "ERR Invalid command specified"),
            ("client nosuch", "ERR Invalid command specified"),
            ("client id", "ERR The command has no key arguments"),
            ("client", "ERR The command has no key arguments"),
            ("ping", "ERR The command has no key arguments"),
            (
                "get a b",
                "ERR Invalid number of arguments specified for command",
            ),
            (
                "zunion 3 a b",
                "ERR Invalid arguments specified for command",
            ),
            (
                "lmpop 0 a left",
                "ERR Invalid arguments specified for command",
            ),
            ("pfmerge d", "ERR Invalid arguments specified for command"),
        ] {
            assert_eq!(keys(arguments), Err(text.to_owned()), "{arguments}");
        }
    }
}
