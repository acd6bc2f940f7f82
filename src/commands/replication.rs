//! Replication: ROLE, REPLICAOF; and what Redis answers of the cluster, from a server that has none: CLUSTER and what belongs to
//! it.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

use super::{CommandError, CommandResult, Context};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group};
use crate::commands::row::{Handler, Row};
use crate::config::Master;
use crate::error::shown;
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};
use crate::state::Feed;
use crate::state::replication::Link;

/// The longest name of a master's host.
const HOST_BYTES_MAX: usize = 255;

const STALE: Flags = Flags::NOSCRIPT.union(Flags::STALE);
const ADMIN: Flags = STALE.union(Flags::ADMIN);
/// It runs alone, so that no write of a client is under way when the server's role changes.
const DECIDES: Flags = ADMIN
    .union(Flags::NO_ASYNC_LOADING)
    .union(Flags::SLOW)
    .union(Flags::ALONE);
const QUICK: Flags = Flags::LOADING.union(Flags::STALE).union(Flags::FAST);

const HOST_PORT: &[Argument] = &[
    Argument::new("host", ArgumentKind::String),
    Argument::new("port", ArgumentKind::Integer),
];

const MASTER: &[Argument] = &[Argument::new(
    "args",
    ArgumentKind::OneOf(&[
        Argument::new("host-port", ArgumentKind::Block(HOST_PORT)),
        Argument::new(
            "no-one",
            ArgumentKind::Block(&[Argument::token("no", "NO"), Argument::token("one", "ONE")]),
        ),
    ]),
)];

const fn row(
    name: &'static str,
    arity: Arity,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
    arguments: &'static [Argument],
    handler: Handler,
) -> Row {
    Row::new(name, arity, handler)
        .flags(flags)
        .group(Group::Server, since)
        .summary(summary)
        .complexity("O(1)")
        .arguments(arguments)
}

const fn of_cluster(name: &'static str, flags: Flags, summary: &'static str) -> Row {
    row(
        name,
        Arity::Exactly(1),
        flags,
        "3.0.0",
        summary,
        &[],
        no_cluster,
    )
    .categories(Categories::CONNECTION)
    .group(Group::Cluster, "3.0.0")
}

pub(super) static COMMANDS: &[Row] = &[
    row(
        "role",
        Arity::Exactly(1),
        QUICK.union(Flags::NOSCRIPT),
        "2.8.12",
        "Answers the server's role in replication: a master and its replicas, or a replica and its link.",
        &[],
        role,
    )
    .categories(Categories::ADMIN.union(Categories::DANGEROUS)),
    row(
        "replicaof",
        Arity::Exactly(3),
        DECIDES,
        "5.0.0",
        "Follows a master, or with NO ONE no master any more.",
        MASTER,
        replicaof,
    ),
    row(
        "slaveof",
        Arity::Exactly(3),
        DECIDES,
        "1.0.0",
        "Follows a master, or with NO ONE no master any more.",
        MASTER,
        replicaof,
    )
    .deprecated("5.0.0", "`REPLICAOF`"),
    row(
        "cluster",
        Arity::AtLeast(2),
        Flags::NONE,
        "3.0.0",
        "Is refused: there is no cluster.",
        &[],
        cluster,
    )
    .group(Group::Cluster, "3.0.0")
    .complexity("Depends on subcommand."),
    of_cluster("readonly", QUICK, "Is refused: there is no cluster."),
    of_cluster("readwrite", QUICK, "Is refused: there is no cluster."),
    of_cluster("asking", Flags::FAST, "Is refused: there is no cluster."),
];

fn role(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let Some(following) = ctx.server.replication.following() else {
        return Ok(master_role(&ctx.server.feed).into());
    };
    let offset = following.place.filter(|_| following.link == Link::Up);
    let offset = offset.map_or(-1, |place| place.offset.cast_signed());
    Ok(Reply::Array(vec![
        Reply::text("slave"),
        Reply::bulk(following.master.host.as_bytes()),
        Reply::Integer(following.master.port.into()),
        Reply::text(following.link.word()),
        Reply::Integer(offset),
    ])
    .into())
}

/// ROLE of a master.
fn master_role(feed: &Feed) -> Reply {
    let replicas = feed.replicas().into_iter().filter(|one| one.is_online());
    let replicas = replicas.map(|replica| {
        let figures = [
            replica.ip(),
            replica.announced.port.to_string(),
            replica.acknowledged(false).to_string(),
        ];
        Reply::Array(figures.map(Reply::bulk).to_vec())
    });
    Reply::Array(vec![
        Reply::text("master"),
        Reply::Integer(i64::try_from(feed.state().end).unwrap_or(i64::MAX)),
        Reply::Array(replicas.collect()),
    ])
}

/// REPLICAOF and SLAVEOF. The caller is alone in the gate: no write of a client is under way, and the link applies nothing.
fn replicaof(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (server, keyspace) = (ctx.server, ctx.keyspace);
    if server.failover.is_on() {
        return Err(CommandError::text(
            "ERR REPLICAOF not allowed while failing over.",
        ));
    }
    if args[1].eq_ignore_ascii_case(b"no") && args[2].eq_ignore_ascii_case(b"one") {
        if server.promote(keyspace)? {
            tracing::info!(client = %ctx.session.handle.addr, "this server is a master now: REPLICAOF NO ONE");
        }
        return Ok(Reply::Ok.into());
    }
    let port = parse_i64(&args[2]).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or(CommandError::text("ERR Invalid master port"))?;
    let host = str::from_utf8(&args[1]).ok().filter(|host| {
        !host.is_empty() && host.len() <= HOST_BYTES_MAX && !host.contains(char::is_whitespace)
    });
    let host = host.ok_or(CommandError::text("ERR Invalid master host"))?;
    let master = Master {
        host: host.to_owned(),
        port,
    };
    let following = server.replication.following();
    if following.is_some_and(|following| following.master == master) {
        return Ok(Reply::Simple("OK Already connected to specified master").into());
    }
    server.follow_master(keyspace, master)?;
    tracing::info!(client = %ctx.session.handle.addr, master = format!("{host} {port}"), "this server follows a master now: REPLICAOF");
    Ok(Reply::Ok.into())
}

fn no_cluster(_: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Err(CommandError::text(
        "ERR This instance has cluster support disabled",
    ))
}

/// The subcommands of Redis 7.2, and how many arguments each takes.
const OF_CLUSTER: &[(&str, Arity)] = &[
    ("addslots", Arity::AtLeast(3)),
    ("addslotsrange", Arity::AtLeast(4)),
    ("bumpepoch", Arity::Exactly(2)),
    ("count-failure-reports", Arity::Exactly(3)),
    ("countkeysinslot", Arity::Exactly(3)),
    ("delslots", Arity::AtLeast(3)),
    ("delslotsrange", Arity::AtLeast(4)),
    ("failover", Arity::AtLeast(2)),
    ("flushslots", Arity::Exactly(2)),
    ("forget", Arity::Exactly(3)),
    ("getkeysinslot", Arity::Exactly(4)),
    ("help", Arity::Exactly(2)),
    ("info", Arity::Exactly(2)),
    ("keyslot", Arity::Exactly(3)),
    ("links", Arity::Exactly(2)),
    ("meet", Arity::AtLeast(4)),
    ("myid", Arity::Exactly(2)),
    ("myshardid", Arity::Exactly(2)),
    ("nodes", Arity::Exactly(2)),
    ("replicas", Arity::Exactly(3)),
    ("replicate", Arity::Exactly(3)),
    ("reset", Arity::AtLeast(2)),
    ("saveconfig", Arity::Exactly(2)),
    ("set-config-epoch", Arity::Exactly(3)),
    ("setslot", Arity::AtLeast(4)),
    ("shards", Arity::Exactly(2)),
    ("slaves", Arity::Exactly(3)),
    ("slots", Arity::Exactly(2)),
];

fn cluster(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let argument = &args[1];
    let known = OF_CLUSTER
        .iter()
        .find(|(name, _)| argument.eq_ignore_ascii_case(name.as_bytes()));
    match known {
        Some((_, arity)) if arity.accepts(args.len()) => no_cluster(ctx, args),
        Some((name, _)) => Err(CommandError::WrongArity(format!("cluster|{name}"))),
        None => {
            let argument = shown(argument, 128);
            let text = format!("ERR unknown subcommand '{argument}'. Try CLUSTER HELP.");
            Err(CommandError::Text(text.into()))
        }
    }
}
