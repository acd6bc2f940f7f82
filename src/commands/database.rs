//! Commands on whole databases: SELECT, SWAPDB, FLUSHDB and FLUSHALL.

use std::sync::atomic::Ordering;

use super::{CommandError, CommandResult, Context};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group};
use crate::commands::row::Row;
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

const FLUSH_MODE: &[Argument] = &[Argument::new(
    "flush-type",
    ArgumentKind::OneOf(&[
        Argument::token("async", "ASYNC").since("4.0.0"),
        Argument::token("sync", "SYNC").since("6.2.0"),
    ]),
)
.optional()];

/// Nobody else is in the gate: where no key is left, the store stops counting all records in one go.
const FLUSHES: Flags = Flags::WRITE.union(Flags::SLOW).union(Flags::ALONE);

pub(super) static COMMANDS: &[Row] = &[
    Row::new("select", Arity::Exactly(2), select)
        .flags(Flags::LOADING.union(Flags::STALE).union(Flags::FAST))
        .categories(Categories::CONNECTION)
        .group(Group::Connection, "1.0.0")
        .summary("Chooses the database of this connection.")
        .complexity("O(1)")
        .arguments(&[Argument::new("index", ArgumentKind::Integer)]),
    Row::new("swapdb", Arity::Exactly(3), swapdb)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::KEYSPACE.union(Categories::DANGEROUS))
        .group(Group::Server, "4.0.0")
        .summary("Swaps two databases, for all connections at once.")
        .complexity("O(N) for N clients that watch or wait for keys of both databases")
        .arguments(&[
            Argument::new("index1", ArgumentKind::Integer),
            Argument::new("index2", ArgumentKind::Integer),
        ]),
    Row::new("flushdb", Arity::AtLeast(1), flushdb)
        .flags(FLUSHES)
        .categories(Categories::KEYSPACE.union(Categories::DANGEROUS))
        .group(Group::Server, "1.0.0")
        .summary("Removes all keys of the database.")
        .complexity("O(N) where N is the number of keys in the database.")
        .arguments(FLUSH_MODE)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .history(&[
            ("4.0.0", "Added the `ASYNC` flushing mode modifier."),
            ("6.2.0", "Added the `SYNC` flushing mode modifier."),
        ]),
    Row::new("flushall", Arity::AtLeast(1), flushall)
        .flags(FLUSHES)
        .categories(Categories::KEYSPACE.union(Categories::DANGEROUS))
        .group(Group::Server, "1.0.0")
        .summary("Removes all keys of all databases.")
        .complexity("O(N) where N is the number of keys in all databases.")
        .arguments(FLUSH_MODE)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .history(&[
            ("4.0.0", "Added the `ASYNC` flushing mode modifier."),
            ("6.2.0", "Added the `SYNC` flushing mode modifier."),
        ]),
];

/// How many databases this server has: the directive `databases`.
pub(super) fn databases(ctx: &Context<'_>) -> usize {
    ctx.server.config.settings().databases
}

/// A database number, as SELECT, MOVE and COPY read it: a 32-bit integer first, then one of `databases`.
pub(super) fn parse_database(argument: &[u8], databases: usize) -> Result<usize, CommandError> {
    let number = parse_i64(argument).ok_or(CommandError::NotAnInteger)?;
    let number = i32::try_from(number).map_err(|_| {
        CommandError::text(
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        )
    })?;
    within_range(number, databases)
}

fn within_range(number: i32, databases: usize) -> Result<usize, CommandError> {
    usize::try_from(number)
        .ok()
        .filter(|&db| db < databases)
        .ok_or(CommandError::DatabaseOutOfRange)
}

fn parse_i32(argument: &[u8]) -> Option<i32> {
    parse_i64(argument).and_then(|number| i32::try_from(number).ok())
}

fn select(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let db = parse_database(&args[1], databases(ctx))?;
    ctx.session.db = db;
    ctx.session.handle.db.store(db, Ordering::Relaxed);
    Ok(Reply::Ok.into())
}

fn swapdb(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let a = parse_i32(&args[1]).ok_or(CommandError::text("ERR invalid first DB index"))?;
    let b = parse_i32(&args[2]).ok_or(CommandError::text("ERR invalid second DB index"))?;
    let databases = databases(ctx);
    let (a, b) = (within_range(a, databases)?, within_range(b, databases)?);
    ctx.keyspace.databases().swap(a, b)?;
    Ok(Reply::Ok.into())
}

/// In Redis ASYNC and SYNC decide which thread frees the memory. Here both forget the keys in one durable step and
/// sweep the space in the background, so the handler only checks that the mode is valid.
fn check_flush_mode(args: Args<'_>) -> Result<(), CommandError> {
    let known = |argument: &[u8]| {
        argument.eq_ignore_ascii_case(b"async") || argument.eq_ignore_ascii_case(b"sync")
    };
    if args.len() <= 2 && args.from(1).all(known) {
        Ok(())
    } else {
        Err(CommandError::Syntax)
    }
}

fn flushdb(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    check_flush_mode(args)?;
    ctx.keyspace.databases().flush(ctx.session.db)?;
    Ok(Reply::Ok.into())
}

fn flushall(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    check_flush_mode(args)?;
    ctx.keyspace.databases().flush_all()?;
    Ok(Reply::Ok.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    #[test]
    fn database_numbers() {
        let error = |argument: &str| {
            parse_database(argument.as_bytes(), 16)
                .expect_err("must be refused")
                .to_string()
        };
        assert_eq!(parse_database(b"0", 16).ok(), Some(0));
        assert_eq!(parse_database(b"15", 16).ok(), Some(15));
        assert_eq!(parse_database(b"4", 4).ok(), None);
        assert_eq!(error("16"), "ERR DB index is out of range");
        assert_eq!(error("-1"), "ERR DB index is out of range");
        assert_eq!(error("x"), "ERR value is not an integer or out of range");
        assert_eq!(
            error("2147483648"),
            "ERR value is out of range, value must between -2147483648 and 2147483647"
        );
    }

    #[test]
    fn flush_modes() {
        let check = |arguments: &[&str]| check_flush_mode(OwnedArgs::new(arguments).args()).is_ok();
        assert!(check(&["flushall"]));
        assert!(check(&["flushall", "Async"]));
        assert!(check(&["flushall", "SYNC"]));
        assert!(!check(&["flushall", "later"]));
        assert!(!check(&["flushall", "sync", "sync"]));
    }
}
