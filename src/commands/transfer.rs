//! Commands that carry a value from one key to another: RENAME, RENAMENX, COPY and MOVE.
//!
//! Each is one atomic step for both keys, and the deadline goes along.

use super::database::{databases, parse_database};
use super::{CommandError, CommandResult, Context};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::keyspace::EventClass;
use crate::protocol::{Args, Reply};

/// Source and destination of RENAME and RENAMENX.
const KEY_NEWKEY: &[Argument] = &[
    Argument::key(),
    Argument::new("newkey", ArgumentKind::Key(1)),
];

const SAME_OBJECT: CommandError =
    CommandError::text("ERR source and destination objects are the same");

pub(super) static COMMANDS: &[Row] = &[
    Row::new("rename", Arity::Exactly(3), rename)
        .flags(Flags::WRITE.union(Flags::REWRITES))
        .categories(Categories::KEYSPACE)
        .keys(&[
            KeySpec::first(&["RW", "access", "delete"]),
            KeySpec::range(&["OW", "update"], 2, 0, 1),
        ])
        .group(Group::Generic, "1.0.0")
        .summary("Gives a key another name, over whatever has that name.")
        .complexity("O(1)")
        .arguments(KEY_NEWKEY),
    Row::new("renamenx", Arity::Exactly(3), renamenx)
        .flags(Flags::WRITE.union(Flags::FAST).union(Flags::REWRITES))
        .categories(Categories::KEYSPACE)
        .keys(&[
            KeySpec::first(&["RW", "access", "delete"]),
            KeySpec::range(&["OW", "insert"], 2, 0, 1),
        ])
        .group(Group::Generic, "1.0.0")
        .summary("Gives a key another name, unless that name is taken.")
        .complexity("O(1)")
        .arguments(KEY_NEWKEY)
        .history(&[(
            "3.2.0",
            "The command no longer returns an error when source and \
             destination names are the same.",
        )]),
    Row::new("copy", Arity::AtLeast(3), copy)
        .flags(
            Flags::WRITE
                .union(Flags::DENYOOM)
                .union(Flags::CROSS_DB)
                .union(Flags::COPIES),
        )
        .categories(Categories::KEYSPACE)
        .keys(&[
            KeySpec::first(&["RO", "access"]),
            KeySpec::range(&["OW", "update"], 2, 0, 1),
        ])
        .group(Group::Generic, "6.2.0")
        .summary("Copies a value and its deadline to another key.")
        .complexity("O(N) in the value's size.")
        .arguments(&[
            Argument::new("source", ArgumentKind::Key(0)),
            Argument::new("destination", ArgumentKind::Key(1)),
            Argument::new("destination-db", ArgumentKind::Integer)
                .with_token("DB")
                .optional(),
            Argument::token("replace", "REPLACE").optional(),
        ]),
    Row::new("move", Arity::Exactly(3), move_key)
        .flags(
            Flags::WRITE
                .union(Flags::FAST)
                .union(Flags::CROSS_DB)
                .union(Flags::REWRITES),
        )
        .categories(Categories::KEYSPACE)
        .keys(&[KeySpec::first(&["RW", "access", "update"])])
        .group(Group::Generic, "1.0.0")
        .summary("Moves a key to another database.")
        .complexity("O(1)")
        .arguments(&[Argument::key(), Argument::new("db", ArgumentKind::Integer)]),
];

/// Positions of the two keys in an [`Update`].
const SOURCE: usize = 0;
const DESTINATION: usize = 1;

fn rename(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    rename_to(ctx, args, true)?;
    Ok(Reply::Ok.into())
}

fn renamenx(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let renamed = rename_to(ctx, args, false)?;
    Ok(Reply::Integer(i64::from(renamed)).into())
}

/// Renames a key. Returns false if the name is taken and `replace` is not set.
fn rename_to(ctx: &mut Context<'_>, args: Args<'_>, replace: bool) -> Result<bool, CommandError> {
    let same = args[1] == args[2];
    ctx.update_many([&args[1], &args[2]], |keys| {
        if keys.info(SOURCE).is_none() {
            return Err(CommandError::NoSuchKey);
        }
        if !replace && keys.info(DESTINATION).is_some() {
            return Ok(false);
        }
        if !same {
            keys.move_value(SOURCE, DESTINATION)?;
            keys.event(SOURCE, EventClass::GENERIC, "rename_from");
            keys.event(DESTINATION, EventClass::GENERIC, "rename_to");
        }
        Ok(true)
    })
}

struct CopyOptions {
    db: usize,
    replace: bool,
}

impl CopyOptions {
    fn parse(args: Args<'_>, current_db: usize, databases: usize) -> Result<Self, CommandError> {
        let mut options = Self {
            db: current_db,
            replace: false,
        };
        let mut rest = args.from(3);
        while let Some(argument) = rest.next() {
            if argument.eq_ignore_ascii_case(b"replace") {
                options.replace = true;
            } else if argument.eq_ignore_ascii_case(b"db") {
                let number = rest.next().ok_or(CommandError::Syntax)?;
                options.db = parse_database(number, databases)?;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

fn copy(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let db = ctx.session.db;
    let options = CopyOptions::parse(args, db, databases(ctx))?;
    if options.db == db && args[1] == args[2] {
        return Err(SAME_OBJECT);
    }
    let keys = [(db, &args[1]), (options.db, &args[2])];
    let (found, copied) = ctx.keyspace.update_many(&keys, ctx.access, |keys| {
        let found = keys.info(SOURCE).is_some();
        let free = options.replace || keys.info(DESTINATION).is_none();
        let copied = found && free && keys.copy_value(SOURCE, DESTINATION)?;
        if copied {
            keys.event(DESTINATION, EventClass::GENERIC, "copy_to");
        }
        if !found {
            keys.event(SOURCE, EventClass::KEY_MISS, "keymiss");
        }
        Ok::<_, CommandError>((found, copied))
    })?;
    ctx.count_lookup(found);
    Ok(Reply::Integer(i64::from(copied)).into())
}

fn move_key(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let db = ctx.session.db;
    let to = parse_database(&args[2], databases(ctx))?;
    if to == db {
        return Err(SAME_OBJECT);
    }
    let keys = [(db, &args[1]), (to, &args[1])];
    let moved = ctx.keyspace.update_many(&keys, ctx.access, |keys| {
        let free = keys.info(DESTINATION).is_none();
        let moved = free && keys.move_value(SOURCE, DESTINATION)?;
        if moved {
            keys.event(SOURCE, EventClass::GENERIC, "move_from");
            keys.event(DESTINATION, EventClass::GENERIC, "move_to");
        }
        Ok::<_, CommandError>(moved)
    })?;
    Ok(Reply::Integer(i64::from(moved)).into())
}
