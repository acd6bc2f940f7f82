//! The options of CLIENT KILL and CLIENT LIST.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Argument, ArgumentKind, ClientHandle, CommandError, parse_i64};
use crate::acl::{Acl, User};
use crate::error::shown;
use crate::protocol::Args;

/// What kinds of clients Redis tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Normal,
    Master,
    Replica,
    Pubsub,
}

impl Type {
    /// That of a client.
    pub(super) fn of(client: &ClientHandle) -> Self {
        if client.is_replica.load(Ordering::Relaxed) {
            Type::Replica
        } else if client.is_master.load(Ordering::Relaxed) {
            Type::Master
        } else if client.is_subscriber() {
            Type::Pubsub
        } else {
            Type::Normal
        }
    }
}

const TYPES_OF_LIST: &[Argument] = &[
    Argument::token("normal", "NORMAL"),
    Argument::token("master", "MASTER"),
    Argument::token("replica", "REPLICA"),
    Argument::token("pubsub", "PUBSUB"),
];

const TYPES_OF_KILL: &[Argument] = &[
    Argument::token("normal", "NORMAL"),
    Argument::token("master", "MASTER").since("3.2.0"),
    Argument::token("slave", "SLAVE"),
    Argument::token("replica", "REPLICA").since("5.0.0"),
    Argument::token("pubsub", "PUBSUB"),
];

pub(super) const LIST_ARGUMENTS: &[Argument] = &[
    Argument::new("client-type", ArgumentKind::OneOf(TYPES_OF_LIST))
        .with_token("TYPE")
        .optional()
        .since("5.0.0"),
    Argument::new("client-id", ArgumentKind::Integer)
        .with_token("ID")
        .optional()
        .multiple()
        .since("6.2.0"),
];

pub(super) const KILL_ARGUMENTS: &[Argument] = &[Argument::new(
    "filter",
    ArgumentKind::OneOf(&[
        Argument::new("old-format", ArgumentKind::String)
            .shown_as("ip:port")
            .deprecated_since("2.8.12"),
        Argument::new("new-format", ArgumentKind::OneOf(KILL_FILTERS)).multiple(),
    ]),
)];

const KILL_FILTERS: &[Argument] = &[
    Argument::new("client-id", ArgumentKind::Integer)
        .with_token("ID")
        .optional()
        .since("2.8.12"),
    Argument::new("client-type", ArgumentKind::OneOf(TYPES_OF_KILL))
        .with_token("TYPE")
        .optional()
        .since("2.8.12"),
    Argument::new("username", ArgumentKind::String)
        .with_token("USER")
        .optional(),
    Argument::new("addr", ArgumentKind::String)
        .shown_as("ip:port")
        .with_token("ADDR")
        .optional(),
    Argument::new("laddr", ArgumentKind::String)
        .shown_as("ip:port")
        .with_token("LADDR")
        .optional()
        .since("6.2.0"),
    Argument::new(
        "skipme",
        ArgumentKind::OneOf(&[Argument::token("yes", "YES"), Argument::token("no", "NO")]),
    )
    .with_token("SKIPME")
    .optional(),
];

/// A client type's name.
pub(super) fn parse_type(argument: &[u8]) -> Result<Type, CommandError> {
    let types: [(&[u8], Type); 5] = [
        (b"normal", Type::Normal),
        (b"slave", Type::Replica),
        (b"replica", Type::Replica),
        (b"pubsub", Type::Pubsub),
        (b"master", Type::Master),
    ];
    types
        .into_iter()
        .find_map(|(name, kind)| argument.eq_ignore_ascii_case(name).then_some(kind))
        .ok_or_else(|| {
            let argument = shown(argument, usize::MAX);
            CommandError::Text(format!("ERR Unknown client type '{argument}'").into())
        })
}

/// Which clients CLIENT KILL means.
#[derive(Debug)]
pub(super) struct Filter<'a> {
    /// `CLIENT KILL addr`: answers OK or an error, not a number.
    pub(super) old_form: bool,
    id: Option<u64>,
    kind: Option<Type>,
    user: Option<Arc<User>>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    skip_me: bool,
}

impl<'a> Filter<'a> {
    pub(super) fn parse(args: Args<'a>, acl: &Acl) -> Result<Self, CommandError> {
        let mut rest = args.from(2);
        let mut filter = Filter {
            old_form: args.len() == 3,
            id: None,
            kind: None,
            user: None,
            addr: None,
            laddr: None,
            skip_me: args.len() != 3,
        };
        if filter.old_form {
            filter.addr = rest.next();
            return Ok(filter);
        }
        while let Some(option) = rest.next() {
            let value = rest.next().ok_or(CommandError::Syntax)?;
            match option.to_ascii_lowercase().as_slice() {
                b"id" => filter.id = Some(parse_id(value)?),
                b"type" => filter.kind = Some(parse_type(value)?),
                b"addr" => filter.addr = Some(value),
                b"laddr" => filter.laddr = Some(value),
                b"user" => {
                    let unknown = || {
                        let user = shown(value, usize::MAX);
                        CommandError::Text(format!("ERR No such user '{user}'").into())
                    };
                    filter.user = Some(acl.get(value).ok_or_else(unknown)?);
                }
                b"skipme" if value.eq_ignore_ascii_case(b"yes") => filter.skip_me = true,
                b"skipme" if value.eq_ignore_ascii_case(b"no") => filter.skip_me = false,
                _ => return Err(CommandError::Syntax),
            }
        }
        Ok(filter)
    }

    /// Whether the client is meant, when `own` asks.
    pub(super) fn fits(&self, client: &ClientHandle, own: u64) -> bool {
        self.id.is_none_or(|id| client.id == id)
            && self.kind.is_none_or(|kind| kind == Type::of(client))
            && self
                .user
                .as_ref()
                .is_none_or(|user| Arc::ptr_eq(&client.user.lock(), user))
            && self.addr.is_none_or(|addr| client.addr.as_bytes() == addr)
            && self
                .laddr
                .is_none_or(|laddr| client.laddr.as_bytes() == laddr)
            && !(self.skip_me && client.id == own)
    }
}

fn parse_id(value: &[u8]) -> Result<u64, CommandError> {
    parse_i64(value)
        .and_then(|id| u64::try_from(id).ok())
        .filter(|&id| id > 0)
        .ok_or(CommandError::text("ERR client-id should be greater than 0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    fn nobody() -> Acl {
        Acl::new(None, false, None)
    }

    fn error(arguments: &[&str]) -> String {
        let arguments = OwnedArgs::new(["client", "kill"].iter().chain(arguments));
        let error = Filter::parse(arguments.args(), &nobody()).expect_err("must be refused");
        error.to_string()
    }

    #[test]
    fn refuses_as_redis_does() {
        assert_eq!(
            error(&["ID", "x"]),
            "ERR client-id should be greater than 0"
        );
        assert_eq!(
            error(&["ID", "0"]),
            "ERR client-id should be greater than 0"
        );
        assert_eq!(error(&["TYPE", "x"]), "ERR Unknown client type 'x'");
        assert_eq!(error(&["USER", "x"]), "ERR No such user 'x'");
        assert_eq!(error(&["SKIPME", "x"]), "ERR syntax error");
        assert_eq!(error(&["ID", "1", "ADDR"]), "ERR syntax error");
        assert_eq!(error(&["FOO", "1"]), "ERR syntax error");
    }

    #[test]
    fn one_word_is_an_address_and_may_be_ones_own() -> Result<(), CommandError> {
        let arguments = OwnedArgs::new(["client", "kill", "127.0.0.1:1"]);
        let filter = Filter::parse(arguments.args(), &nobody())?;
        assert!(filter.old_form && !filter.skip_me);
        assert_eq!(filter.addr, Some(&b"127.0.0.1:1"[..]));
        let arguments = OwnedArgs::new(["client", "kill", "id", "7", "skipme", "No"]);
        let filter = Filter::parse(arguments.args(), &nobody())?;
        assert_eq!((filter.old_form, filter.id), (false, Some(7)));
        assert!(!filter.skip_me);
        Ok(())
    }
}
