//! Commands that compare a key's string: DELEX and DIGEST of Redis 8.4, DELIFEQ of Valkey 9.

use super::comparison::{Comparison, digest, show_digest};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, Kind};
use crate::protocol::{Args, Reply};

/// The comparisons that SET and DELEX take.
pub(super) const COMPARISONS: [Argument; 4] = [
    comparison("ifeq-value", "IFEQ"),
    comparison("ifne-value", "IFNE"),
    comparison("ifdeq-digest", "IFDEQ"),
    comparison("ifdne-digest", "IFDNE"),
];

const fn comparison(name: &'static str, token: &'static str) -> Argument {
    Argument::new(name, ArgumentKind::String)
        .with_token(token)
        .since("8.4.0")
}

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("delex", Arity::AtLeast(2), delex)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::STRING)
        .keys(&[KeySpec::first(&["RW", "delete", "variable_flags"])])
        .group(Group::String, "8.4.0")
        .summary("Removes a key if its string equals a value or has a digest, or if it does not")
        .complexity(
            "O(1) for IFEQ/IFNE, O(N) for IFDEQ/IFDNE where N is the length of the string value.",
        )
        .arguments(&[
            Argument::key(),
            Argument::new("condition", ArgumentKind::OneOf(&COMPARISONS)).optional(),
        ]),
    Row::new("delifeq", Arity::Exactly(3), delifeq)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::STRING)
        .keys(&[KeySpec::first(&["RM", "access", "delete"])])
        .group(Group::String, "9.0.0")
        .summary("Removes a key if its string equals a value")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("value", ArgumentKind::String),
        ]),
    Row::new("digest", Arity::Exactly(2), digest_command)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::STRING)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::String, "8.4.0")
        .summary("Returns the XXH3 digest of a key's string")
        .complexity("O(N) where N is the length of the string value.")
        .arguments(&[Argument::key()]),
];

fn delex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let comparison = match args.len() {
        2 => None,
        4 => {
            let comparison = Comparison::of_option(&args[2], &args[3]).ok_or(
                CommandError::text("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE"),
            )?;
            comparison.check()?;
            Some(comparison)
        }
        _ => return Err(CommandError::WrongArity("delex".into())),
    };
    let no_string =
        CommandError::text("ERR Key should be of string type if conditions are specified");
    remove_if(ctx, &args[1], comparison, no_string)
}

fn delifeq(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let comparison = Comparison::equals(&args[2]);
    remove_if(ctx, &args[1], Some(comparison), CommandError::WrongType)
}

/// Removes a key where `comparison` holds for its string, and answers whether it did. A missing key is not removed,
/// whatever the comparison says. `no_string` is the error for a value of another type, where the call compares.
fn remove_if(
    ctx: &mut Context<'_>,
    key: &[u8],
    comparison: Option<Comparison<'_>>,
    no_string: CommandError,
) -> CommandResult {
    let removed = ctx.update(key, |key| {
        let Some(info) = key.info() else {
            return Ok(false);
        };
        if let Some(comparison) = comparison {
            if info.kind != Kind::String {
                return Err(no_string);
            }
            let holds = key.read_string(|string| comparison.holds_for(string))?;
            if !holds.transpose()?.unwrap_or(false) {
                return Ok(false);
            }
        }
        key.remove()?;
        key.event(EventClass::GENERIC, "del");
        Ok(true)
    })?;
    // Older servers do not know the call.
    ctx.effects_are_removals();
    Ok(Reply::Integer(i64::from(removed)).into())
}

fn digest_command(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let read = ctx.read_string(&args[1], |string, _| digest(string))?;
    match read {
        Some(digest) => ctx.out.bulk(show_digest(digest).as_bytes()),
        None => ctx.out.null(),
    }
    Ok(Outcome::Written)
}
