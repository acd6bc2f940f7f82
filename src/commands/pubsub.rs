//! Pub/sub: channels, patterns, shard channels, and messages to their subscribers.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

use super::{CommandError, CommandResult, Context, Outcome, help};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, Group, KeySpec};
use crate::commands::row::{Handler, Row};
use crate::protocol::{Args, Reply, ReplyBuffer};
use crate::state::Topic;

/// What they all may do.
const PUBSUB: Flags = Flags::PUBSUB.union(Flags::LOADING).union(Flags::STALE);

/// (Un)subscribing.
const LISTENING: Flags = PUBSUB
    .union(Flags::NOSCRIPT)
    .union(Flags::WHILE_SUBSCRIBED)
    .union(Flags::PUSHES);

const CHANNEL: Argument = Argument::new("channel", ArgumentKind::String);
const SHARD_CHANNEL: Argument = Argument::new("shardchannel", ArgumentKind::String);
const PATTERN: Argument = Argument::new("pattern", ArgumentKind::Pattern);
const MESSAGE: Argument = Argument::new("message", ArgumentKind::String);

/// Shard channels count as keys here: clients of a cluster find the node by them.
const SHARD_CHANNELS: &[KeySpec] = &[KeySpec::range(&["not_key"], 1, -1, 1)];

/// A row; the parameters are what differs between the rows.
#[allow(clippy::too_many_arguments)] // One for each field of a row that differs.
const fn row(
    name: &'static str,
    arity: Arity,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
    complexity: &'static str,
    arguments: &'static [Argument],
    handler: Handler,
) -> Row {
    Row::new(name, arity, handler)
        .flags(flags)
        .group(Group::Pubsub, since)
        .summary(summary)
        .complexity(complexity)
        .arguments(arguments)
}

pub(super) static COMMANDS: &[Row] = &[
    row(
        "subscribe",
        Arity::AtLeast(2),
        LISTENING,
        "2.0.0",
        "Has the client get the messages of channels.",
        "O(N) for N channels",
        &[CHANNEL.multiple()],
        subscribe,
    ),
    row(
        "unsubscribe",
        Arity::AtLeast(1),
        LISTENING,
        "2.0.0",
        "Has the client get the messages of channels, or of any, no longer.",
        "O(N) for N listeners of a channel",
        &[CHANNEL.optional().multiple()],
        unsubscribe,
    ),
    row(
        "psubscribe",
        Arity::AtLeast(2),
        LISTENING,
        "2.0.0",
        "Has the client get the messages of channels that fit patterns.",
        "O(N) for N patterns",
        &[Argument::new("pattern", ArgumentKind::Block(&[PATTERN])).multiple()],
        psubscribe,
    ),
    row(
        "punsubscribe",
        Arity::AtLeast(1),
        LISTENING,
        "2.0.0",
        "Has the client get the messages of patterns, or of any, no longer.",
        "O(N+M) for N patterns of the client and M of all clients",
        &[PATTERN.optional().multiple()],
        punsubscribe,
    ),
    row(
        "publish",
        Arity::Exactly(3),
        PUBSUB.union(Flags::FAST),
        "2.0.0",
        "Sends a message to who listens to a channel.",
        "O(N+M) for N listeners of the channel and M patterns of any client",
        &[CHANNEL, MESSAGE],
        publish,
    ),
    row(
        "ssubscribe",
        Arity::AtLeast(2),
        LISTENING,
        "7.0.0",
        "Has the client get the messages of shard channels.",
        "O(N) for N shard channels",
        &[SHARD_CHANNEL.multiple()],
        ssubscribe,
    )
    .keys(SHARD_CHANNELS),
    row(
        "sunsubscribe",
        Arity::AtLeast(1),
        LISTENING,
        "7.0.0",
        "Has the client get the messages of shard channels, or of any, no longer.",
        "O(N) for N listeners of a shard channel",
        &[SHARD_CHANNEL.optional().multiple()],
        sunsubscribe,
    )
    .keys(SHARD_CHANNELS),
    row(
        "spublish",
        Arity::Exactly(3),
        PUBSUB.union(Flags::FAST),
        "7.0.0",
        "Sends a message to who listens to a shard channel.",
        "O(N) for N listeners of the shard channel",
        &[SHARD_CHANNEL, MESSAGE],
        spublish,
    )
    .keys(&[KeySpec::first(&["not_key"])]),
    row(
        "pubsub",
        Arity::AtLeast(2),
        Flags::NONE,
        "2.8.0",
        "Commands on who listens to what.",
        "Depends on subcommand.",
        &[],
        help,
    )
    .subcommands(SUBCOMMANDS),
];

static SUBCOMMANDS: &[Row] = &[
    row(
        "channels",
        Arity::AtLeast(2),
        PUBSUB,
        "2.8.0",
        "Lists the channels that somebody listens to.",
        "O(N) for N channels",
        &[PATTERN.optional()],
        channels,
    ),
    row(
        "numsub",
        Arity::AtLeast(2),
        PUBSUB,
        "2.8.0",
        "Counts the listeners of channels.",
        "O(N) for N channels",
        &[CHANNEL.optional().multiple()],
        numsub,
    ),
    row(
        "numpat",
        Arity::Exactly(2),
        PUBSUB,
        "2.8.0",
        "Counts the patterns that somebody listens to.",
        "O(1)",
        &[],
        numpat,
    ),
    row(
        "shardchannels",
        Arity::AtLeast(2),
        PUBSUB,
        "7.0.0",
        "Lists the shard channels that somebody listens to.",
        "O(N) for N shard channels",
        &[PATTERN.optional()],
        shardchannels,
    ),
    row(
        "shardnumsub",
        Arity::AtLeast(2),
        PUBSUB,
        "7.0.0",
        "Counts the listeners of shard channels.",
        "O(N) for N shard channels",
        &[SHARD_CHANNEL.optional().multiple()],
        shardnumsub,
    ),
    row(
        "help",
        Arity::Exactly(2),
        Flags::LOADING.union(Flags::STALE),
        "6.2.0",
        "Lists the subcommands.",
        "O(1)",
        &[],
        help,
    ),
];

fn subscribe(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    listen(ctx, args, Topic::Channel, b"subscribe")
}

fn psubscribe(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    listen(ctx, args, Topic::Pattern, b"psubscribe")
}

fn ssubscribe(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if ctx.session.in_exec {
        return Err(CommandError::text(
            "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client",
        ));
    }
    listen(ctx, args, Topic::Shard, b"ssubscribe")
}

/// Subscribes to each name and answers each with a message.
fn listen(ctx: &mut Context<'_>, args: Args<'_>, topic: Topic, kind: &[u8]) -> CommandResult {
    let session = &mut *ctx.session;
    for name in args.from(1) {
        let own = &mut session.subscriptions;
        let pubsub = &ctx.server.pubsub;
        pubsub.subscribe(topic, name, own, &session.handle);
        let count = own.count(topic);
        answer(ctx.out, kind, Some(name), count);
    }
    // ACL SETUSER may have taken channels from the user meanwhile, and have missed the new subscription.
    let is_pattern = topic == Topic::Pattern;
    if !session.identity.is_unrestricted() {
        let rules = session.identity.rules();
        if args
            .from(1)
            .any(|name| !rules.allows_channel(name, is_pattern))
        {
            session.handle.kill();
        }
    }
    Ok(Outcome::Written)
}

fn unsubscribe(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    unlisten(ctx, args, Topic::Channel, b"unsubscribe")
}

fn punsubscribe(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    unlisten(ctx, args, Topic::Pattern, b"punsubscribe")
}

fn sunsubscribe(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    unlisten(ctx, args, Topic::Shard, b"sunsubscribe")
}

/// Ends the subscription to each name, or to all, and answers each with a message, or with a null if there was none.
fn unlisten(ctx: &mut Context<'_>, args: Args<'_>, topic: Topic, kind: &[u8]) -> CommandResult {
    let session = &mut *ctx.session;
    let own = &mut session.subscriptions;
    let all: Vec<bytes::Bytes> = if args.len() == 1 {
        own.of(topic).iter().cloned().collect()
    } else {
        Vec::new()
    };
    let names = all.iter().map(|name| &name[..]).chain(args.from(1));
    let mut is_answered = false;
    for name in names {
        is_answered = true;
        let pubsub = &ctx.server.pubsub;
        let listened = pubsub.unsubscribe(topic, name, own, &session.handle);
        if listened && !session.in_exec {
            // No message of this channel may follow the answer.
            session.handle.mailbox.take_into(ctx.out);
        }
        answer(ctx.out, kind, Some(name), own.count(topic));
    }
    if !is_answered {
        answer(ctx.out, kind, None, own.count(topic));
    }
    Ok(Outcome::Written)
}

fn answer(out: &mut ReplyBuffer, kind: &[u8], name: Option<&[u8]>, count: usize) {
    out.push_header(3);
    out.bulk(kind);
    match name {
        Some(name) => out.bulk(name),
        None => out.null(),
    }
    out.reply(&Reply::count(count));
}

fn publish(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.effect_beside_keys();
    let count = ctx.server.pubsub.publish(ctx.server, &args[1], &args[2]);
    Ok(Reply::count(count).into())
}

fn spublish(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.effect_beside_keys();
    let pubsub = &ctx.server.pubsub;
    let count = pubsub.publish_to_shard(ctx.server, &args[1], &args[2]);
    Ok(Reply::count(count).into())
}

fn channels(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    list(ctx, args, Topic::Channel)
}

fn shardchannels(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    list(ctx, args, Topic::Shard)
}

fn list(ctx: &mut Context<'_>, args: Args<'_>, topic: Topic) -> CommandResult {
    if args.len() > 3 {
        return Err(wrong_arguments(&args[1]));
    }
    let names = ctx.server.pubsub.names(topic, args.get(2));
    let names = names.into_iter().map(Reply::Bulk).collect();
    Ok(Reply::Array(names).into())
}

fn wrong_arguments(name: &[u8]) -> CommandError {
    let name = crate::error::shown(name, 128);
    CommandError::Text(
        format!(
            "ERR unknown subcommand or wrong number of arguments for '{name}'. Try PUBSUB HELP."
        )
        .into(),
    )
}

fn numsub(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    count(ctx, args, Topic::Channel)
}

fn shardnumsub(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    count(ctx, args, Topic::Shard)
}

fn count(ctx: &mut Context<'_>, args: Args<'_>, topic: Topic) -> CommandResult {
    let pubsub = &ctx.server.pubsub;
    let pairs = args.from(2).flat_map(|name| {
        let count = Reply::count(pubsub.listeners(topic, name));
        [Reply::bulk(name), count]
    });
    Ok(Reply::Array(pairs.collect()).into())
}

fn numpat(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Ok(Reply::count(ctx.server.pubsub.count(Topic::Pattern)).into())
}

fn help(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    const LINES: &[&str] = &[
        "CHANNELS [<pattern>]",
        "    The channels that somebody listens to.",
        "NUMPAT",
        "    How many patterns somebody listens to.",
        "NUMSUB [<channel> ...]",
        "    How many listen to the channels.",
        "SHARDCHANNELS [<pattern>]",
        "    The shard channels that somebody listens to.",
        "SHARDNUMSUB [<shardchannel> ...]",
        "    How many listen to the shard channels.",
    ];
    help::reply(ctx, "PUBSUB", LINES)
}
