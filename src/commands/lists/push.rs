//! Elements added at an end: LPUSH, RPUSH, LPUSHX, RPUSHX.

use super::push_event;
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandResult, Context};
use crate::keyspace::End;
use crate::protocol::{Args, Reply};

const FLAGS: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST);
const KEYS: &[KeySpec] = &[KeySpec::first(&["RW", "insert"])];
const COMPLEXITY: &str = "O(1) for each element; N elements are O(N)";
const ARGUMENTS: &[Argument] = &[
    Argument::key(),
    Argument::new("element", ArgumentKind::String).multiple(),
];

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("lpush", Arity::AtLeast(3), lpush)
        .flags(FLAGS)
        .categories(Categories::LIST)
        .keys(KEYS)
        .group(Group::List, "1.0.0")
        .summary(
            "Puts elements before a list's first one, each before the last; \
             makes the list where it is missing",
        )
        .complexity(COMPLEXITY)
        .arguments(ARGUMENTS)
        .history(&[("2.4.0", "Accepts multiple `element` arguments.")]),
    Row::new("rpush", Arity::AtLeast(3), rpush)
        .flags(FLAGS)
        .categories(Categories::LIST)
        .keys(KEYS)
        .group(Group::List, "1.0.0")
        .summary("Puts elements behind a list's last one; makes the list where it is missing")
        .complexity(COMPLEXITY)
        .arguments(ARGUMENTS)
        .history(&[("2.4.0", "Accepts multiple `element` arguments.")]),
    Row::new("lpushx", Arity::AtLeast(3), lpushx)
        .flags(FLAGS)
        .categories(Categories::LIST)
        .keys(KEYS)
        .group(Group::List, "2.2.0")
        .summary("Puts elements before a list's first one, where there is a list")
        .complexity(COMPLEXITY)
        .arguments(ARGUMENTS)
        .history(&[("4.0.0", "Accepts multiple `element` arguments.")]),
    Row::new("rpushx", Arity::AtLeast(3), rpushx)
        .flags(FLAGS)
        .categories(Categories::LIST)
        .keys(KEYS)
        .group(Group::List, "2.2.0")
        .summary("Puts elements behind a list's last one, where there is a list")
        .complexity(COMPLEXITY)
        .arguments(ARGUMENTS)
        .history(&[("4.0.0", "Accepts multiple `element` arguments.")]),
];

fn lpush(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    push(ctx, args, End::Head, false)
}

fn rpush(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    push(ctx, args, End::Tail, false)
}

fn lpushx(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    push(ctx, args, End::Head, true)
}

fn rpushx(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    push(ctx, args, End::Tail, true)
}

fn push(ctx: &mut Context<'_>, args: Args<'_>, end: End, must_exist: bool) -> CommandResult {
    let len = ctx.change_in_list(
        &args[1],
        push_event(end),
        |list| {
            if args.len() > 3 {
                return Ok(None);
            }
            Ok(list.push(end, &args[2])?.map(|len| (len, 1)))
        },
        |list| {
            if must_exist && list.is_empty() {
                return Ok((0, 0));
            }
            for element in args.from(2) {
                list.push(end, element);
            }
            Ok((list.len(), args.len() - 2))
        },
    )?;
    Ok(Reply::count(len).into())
}
