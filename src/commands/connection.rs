//! Commands on the connection itself: PING, ECHO, QUIT, RESET, HELLO, AUTH.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

use super::{CommandError, CommandResult, Context, Outcome, permission};
use crate::acl::DEFAULT_USER;
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group};
use crate::commands::row::Row;
use crate::error::shown;
use crate::numbers::parse_i64;
use crate::protocol::{Args, Protocol, Reply};
use crate::state::redis_version;

/// What a command that begins or ends a connection may always do.
const ALWAYS: Flags = Flags::NOSCRIPT
    .union(Flags::LOADING)
    .union(Flags::STALE)
    .union(Flags::FAST)
    .union(Flags::NO_AUTH)
    .union(Flags::ALLOW_BUSY);

pub(super) static COMMANDS: &[Row] = &[
    Row::new("ping", Arity::AtLeast(1), ping)
        .flags(Flags::FAST.union(Flags::WHILE_SUBSCRIBED))
        .categories(Categories::CONNECTION)
        .group(Group::Connection, "1.0.0")
        .summary("Answers PONG, or the message given.")
        .complexity("O(1)")
        .arguments(&[Argument::new("message", ArgumentKind::String).optional()])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    Row::new("echo", Arity::Exactly(2), echo)
        .flags(Flags::LOADING.union(Flags::STALE).union(Flags::FAST))
        .categories(Categories::CONNECTION)
        .group(Group::Connection, "1.0.0")
        .summary("Answers the message given.")
        .complexity("O(1)")
        .arguments(&[Argument::new("message", ArgumentKind::String)]),
    Row::new("quit", Arity::AtLeast(1), quit)
        .flags(ALWAYS.union(Flags::UNQUEUED).union(Flags::WHILE_SUBSCRIBED))
        .categories(Categories::CONNECTION)
        .group(Group::Connection, "1.0.0")
        .summary("Closes the connection after what came before is answered.")
        .complexity("O(1)")
        .deprecated("7.2.0", "just closing the connection"),
    Row::new("reset", Arity::Exactly(1), reset)
        .flags(ALWAYS.union(Flags::UNQUEUED).union(Flags::WHILE_SUBSCRIBED))
        .categories(Categories::CONNECTION)
        .group(Group::Connection, "6.2.0")
        .summary("Puts the connection back into the state of a new one.")
        .complexity("O(1)"),
    Row::new("hello", Arity::AtLeast(1), hello)
        .flags(ALWAYS)
        .categories(Categories::CONNECTION)
        .group(Group::Connection, "6.0.0")
        .summary("Chooses the protocol, and can authenticate and name the connection.")
        .complexity("O(1)")
        .arguments(HELLO_ARGUMENTS)
        .history(&[(
            "6.2.0",
            "`protover` made optional; when called without arguments the command \
             reports the current connection's context.",
        )]),
    Row::new("auth", Arity::AtLeast(2), auth)
        .flags(ALWAYS)
        .categories(Categories::CONNECTION)
        .group(Group::Connection, "1.0.0")
        .summary("Authenticates the connection.")
        .complexity("O(N) where N is the number of passwords defined for the user")
        .arguments(&[
            Argument::new("username", ArgumentKind::String)
                .optional()
                .since("6.0.0"),
            Argument::new("password", ArgumentKind::String),
        ])
        .history(&[("6.0.0", "Added ACL style (username and password).")]),
];

const HELLO_ARGUMENTS: &[Argument] = &[Argument::new(
    "arguments",
    ArgumentKind::Block(&[
        Argument::new("protover", ArgumentKind::Integer),
        Argument::new(
            "auth",
            ArgumentKind::Block(&[
                Argument::new("username", ArgumentKind::String),
                Argument::new("password", ArgumentKind::String),
            ]),
        )
        .with_token("AUTH")
        .optional(),
        Argument::new("clientname", ArgumentKind::String)
            .with_token("SETNAME")
            .optional(),
    ]),
)
.optional()];

fn ping(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if args.len() > 2 {
        return Err(CommandError::WrongArity("ping".into()));
    }
    let message = args.get(1);
    let is_message = ctx.out.protocol == Protocol::Resp2 && ctx.session.handle.is_subscriber();
    match message {
        // A subscribed client gets the reply as a message.
        _ if is_message => {
            ctx.out.array_header(2);
            ctx.out.bulk(b"pong");
            ctx.out.bulk(message.unwrap_or_default());
        }
        Some(message) => ctx.out.bulk(message),
        None => ctx.out.simple("PONG"),
    }
    Ok(Outcome::Written)
}

fn echo(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.out.bulk(&args[1]);
    Ok(Outcome::Written)
}

fn quit(_: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Ok(Outcome::ReplyAndClose(Reply::Ok))
}

fn reset(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.session.withdraw(ctx.server, ctx.keyspace);
    // Earlier messages are still in the old protocol.
    ctx.session.handle.mailbox.take_into(ctx.out);
    ctx.session.reset(&ctx.server.acl, ctx.keyspace);
    ctx.server.monitors.remove(&ctx.session.handle);
    ctx.out.protocol = Protocol::Resp2;
    Ok(Reply::Simple("RESET").into())
}

/// HELLO's arguments.
#[derive(Debug, Default)]
struct Hello<'a> {
    protocol: Option<Protocol>,
    credentials: Option<(&'a [u8], &'a [u8])>,
    name: Option<String>,
}

impl<'a> Hello<'a> {
    fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let mut hello = Hello::default();
        let mut rest = args.from(1);
        if let Some(version) = rest.next() {
            hello.protocol = Some(match parse_i64(version) {
                Some(2) => Protocol::Resp2,
                Some(3) => Protocol::Resp3,
                Some(_) => {
                    return Err(CommandError::text("NOPROTO unsupported protocol version"));
                }
                None => {
                    return Err(CommandError::text(
                        "ERR Protocol version is not an integer or out of range",
                    ));
                }
            });
        }
        while let Some(option) = rest.next() {
            if option.eq_ignore_ascii_case(b"auth") && rest.len() >= 2 {
                hello.credentials = rest.next().zip(rest.next());
            } else if option.eq_ignore_ascii_case(b"setname") && rest.len() >= 1 {
                hello.name = rest.next().map(parse_client_name).transpose()?;
            } else {
                let option = shown(option, usize::MAX);
                return Err(CommandError::Text(
                    format!("ERR Syntax error in HELLO option '{option}'").into(),
                ));
            }
        }
        Ok(hello)
    }
}

fn hello(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let hello = Hello::parse(args)?;
    if let Some((user, password)) = hello.credentials {
        permission::authenticate(ctx, args, user, password)?;
    }
    if !ctx.session.authenticated {
        return Err(CommandError::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version at \
             the same time",
        ));
    }
    if let Some(name) = hello.name {
        *ctx.session.handle.name.lock() = name;
    }
    if let Some(protocol) = hello.protocol {
        let changes = protocol != ctx.out.protocol;
        ctx.out.protocol = protocol;
        ctx.session.note_protocol(protocol);
        if changes {
            // Messages in the old protocol come before the reply in the new one.
            ctx.server.pubsub.settle();
            ctx.server.tracking.settle();
            ctx.session.handle.mailbox.take_into(ctx.out);
        }
    }
    let role = if ctx.server.replication.is_replica() {
        "replica"
    } else {
        "master"
    };
    let id = i64::try_from(ctx.session.handle.id).unwrap_or(i64::MAX);
    Ok(Reply::Map(vec![
        // Clients check this name to learn whether they know the server.
        (Reply::text("server"), Reply::text("redis")),
        (Reply::text("version"), Reply::text(redis_version())),
        (
            Reply::text("proto"),
            Reply::Integer(ctx.out.protocol.number()),
        ),
        (Reply::text("id"), Reply::Integer(id)),
        (Reply::text("mode"), Reply::text("standalone")),
        (Reply::text("role"), Reply::text(role)),
        (Reply::text("modules"), Reply::Array(Vec::new())),
    ])
    .into())
}

fn auth(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (user, password) = match args.len() {
        2 if ctx.server.acl.default_user().rules().takes_any_password() => {
            return Err(CommandError::text(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure \
                 your configuration is correct?",
            ));
        }
        2 => (DEFAULT_USER, &args[1]),
        3 => (&args[1], &args[2]),
        _ => return Err(CommandError::Syntax),
    };
    permission::authenticate(ctx, args, user, password)?;
    Ok(Reply::Ok.into())
}

/// A connection's name: printable ASCII without spaces, since CLIENT LIST separates its fields with them.
pub(super) fn parse_client_name(name: &[u8]) -> Result<String, CommandError> {
    printable(name).ok_or(CommandError::text(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))
}

/// `argument` as text when all of it is printable ASCII without spaces.
pub(super) fn printable(argument: &[u8]) -> Option<String> {
    if argument.iter().all(u8::is_ascii_graphic) {
        String::from_utf8(argument.to_vec()).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    #[test]
    fn parses_hello() -> Result<(), CommandError> {
        let arguments = OwnedArgs::new(["hello", "3", "setname", "a", "AUTH", "u", "p"]);
        let hello = Hello::parse(arguments.args())?;
        assert_eq!(hello.protocol, Some(Protocol::Resp3));
        assert_eq!(hello.name.as_deref(), Some("a"));
        assert_eq!(hello.credentials, Some((&b"u"[..], &b"p"[..])));
        Ok(())
    }

    #[test]
    fn refuses_bad_hellos() {
        for (arguments, text) in [
            (vec!["hello", "4"], "NOPROTO unsupported protocol version"),
            (
                vec!["hello", "x"],
                "ERR Protocol version is not an integer or out of range",
            ),
            (
                vec!["hello", "3", "AUTH", "x"],
                "ERR Syntax error in HELLO option 'AUTH'",
            ),
            (
                vec!["hello", "3", "setname", "a b"],
                "ERR Client names cannot contain spaces, newlines or special characters.",
            ),
        ] {
            let arguments = OwnedArgs::new(arguments);
            let error = Hello::parse(arguments.args()).expect_err("must be refused");
            assert_eq!(error.to_string(), text);
        }
    }
}
