//! Transactions: MULTI, EXEC, DISCARD, WATCH and UNWATCH. Dispatch queues commands and runs them; see
//! [`dispatch`](super::dispatch).

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

use super::{CommandError, CommandResult, Context};
use crate::catalog::spec::{Argument, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::{Handler, Row};
use crate::protocol::{Args, Reply};
use crate::state::Transaction;

/// What they all may do.
const ALWAYS: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);
const QUICK: Flags = Flags::FAST.union(Flags::ALLOW_BUSY);

/// A row; the parameters are what differs between the rows.
const fn row(
    name: &'static str,
    arity: Arity,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
    complexity: &'static str,
    handler: Handler,
) -> Row {
    Row::new(name, arity, handler)
        .flags(ALWAYS.union(flags))
        .categories(Categories::TRANSACTION)
        .group(Group::Transactions, since)
        .summary(summary)
        .complexity(complexity)
}

pub(super) static COMMANDS: &[Row] = &[
    row(
        "multi",
        Arity::Exactly(1),
        QUICK.union(Flags::UNQUEUED),
        "1.2.0",
        "Begins a transaction: the commands that follow are queued.",
        "O(1)",
        multi,
    ),
    row(
        "exec",
        Arity::Exactly(1),
        Flags::SKIP_SLOWLOG
            .union(Flags::UNQUEUED)
            .union(Flags::EXECUTES),
        "1.2.0",
        "Runs the queued commands as one atomic, durable step.",
        "Depends on commands in the transaction",
        exec,
    ),
    row(
        "discard",
        Arity::Exactly(1),
        QUICK.union(Flags::UNQUEUED),
        "2.0.0",
        "Forgets the queued commands.",
        "O(N) where N is the number of queued commands.",
        discard,
    ),
    row(
        "watch",
        Arity::AtLeast(2),
        QUICK.union(Flags::UNQUEUED),
        "2.2.0",
        "Has the next transaction fail if one of the keys is changed before it.",
        "O(1) for each key.",
        watch,
    )
    .keys(&[KeySpec::range(&["RO"], 1, -1, 1)])
    .arguments(&[Argument::key().multiple()]),
    row(
        "unwatch",
        Arity::Exactly(1),
        QUICK,
        "2.2.0",
        "Forgets the watched keys.",
        "O(1)",
        unwatch,
    ),
];

fn multi(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    if ctx.session.transaction.is_some() {
        return Err(CommandError::text("ERR MULTI calls can not be nested"));
    }
    ctx.session.transaction = Some(Box::new(Transaction::default()));
    ctx.session.note_transaction();
    Ok(Reply::Ok.into())
}

/// Inside a transaction dispatch runs it.
fn exec(_: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Err(CommandError::text("ERR EXEC without MULTI"))
}

fn discard(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    if ctx.session.transaction.is_none() {
        return Err(CommandError::text("ERR DISCARD without MULTI"));
    }
    ctx.session.discard(ctx.keyspace);
    Ok(Reply::Ok.into())
}

fn watch(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if ctx.session.transaction.is_some() {
        return Err(CommandError::text("ERR WATCH inside MULTI is not allowed"));
    }
    for key in args.from(1) {
        let (db, now) = (ctx.session.db, ctx.access.now);
        ctx.keyspace
            .watching()
            .watch(&mut ctx.session.watches, db, key, now)?;
    }
    ctx.session.note_names();
    Ok(Reply::Ok.into())
}

fn unwatch(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.keyspace.watching().unwatch(&mut ctx.session.watches);
    ctx.session.note_names();
    Ok(Reply::Ok.into())
}
