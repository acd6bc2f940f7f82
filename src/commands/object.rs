//! OBJECT: what the server knows of one value.

use super::keys::ONE_KEY;
use super::{CommandError, CommandResult, Context, Outcome};
use crate::catalog::spec::{Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::{Handler, Row};
use crate::keyspace::{Encoding, KeyInfo, KeyspaceError, StringForm, StringView, View};
use crate::numbers::{INTEGER_BYTES_MAX, parse_i64};
use crate::protocol::{Args, Reply};

pub(super) static COMMANDS: &[Row] = &[Row::new("object", Arity::AtLeast(2), object)
    .group(Group::Generic, "2.2.3")
    .summary("A container for commands that describe values.")
    .complexity("Depends on subcommand.")
    .subcommands(SUBCOMMANDS)];

static SUBCOMMANDS: &[Row] = &[
    of_key(
        "encoding",
        "2.2.3",
        "Names the form in which Redis would keep the value.",
        encoding,
    )
    .tips(&["nondeterministic_output"]),
    of_key(
        "freq",
        "4.0.0",
        "Returns how often the key is used, on a logarithmic scale.",
        freq,
    )
    .tips(&["nondeterministic_output"]),
    of_key(
        "idletime",
        "2.2.3",
        "Returns the seconds since the key was last used.",
        idletime,
    )
    .tips(&["nondeterministic_output"]),
    of_key(
        "refcount",
        "2.2.3",
        "Returns how many references the value has.",
        refcount,
    )
    .tips(&["nondeterministic_output"]),
    Row::new("help", Arity::Exactly(2), help)
        .flags(Flags::LOADING.union(Flags::STALE))
        .categories(Categories::KEYSPACE)
        .group(Group::Generic, "6.2.0")
        .summary("Lists the subcommands.")
        .complexity("O(1)"),
];

const SECOND_WORD: &[KeySpec] = &[KeySpec::range(&["RO"], 2, 0, 1)];

/// A subcommand whose one argument is a key.
const fn of_key(
    name: &'static str,
    since: &'static str,
    summary: &'static str,
    handler: Handler,
) -> Row {
    Row::new(name, Arity::Exactly(3), handler)
        .flags(Flags::READONLY)
        .categories(Categories::KEYSPACE)
        .keys(SECOND_WORD)
        .group(Group::Generic, since)
        .summary(summary)
        .complexity("O(1)")
        .arguments(ONE_KEY)
}

/// Longest string that Redis keeps in one piece with its header.
const EMBEDDED_BYTES_MAX: usize = 44;
/// Redis shares the objects of small non-negative integers, and answers this as their count of references.
const SHARED_REFERENCES: i64 = i32::MAX as i64;
/// The first integer that is not shared.
const SHARED_INTEGERS_END: i64 = 10_000;

/// Only reached without a subcommand, which the arity excludes.
fn object(_: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Err(CommandError::WrongArity("object".to_owned()))
}

/// Redis's name for how it would hold a string.
fn encoding_name(string: StringView<'_>) -> Result<&'static str, KeyspaceError> {
    let form = string.form()?;
    if form == StringForm::Raw || string.len_bytes()? > EMBEDDED_BYTES_MAX {
        return Ok("raw");
    }
    let is_integer = form == StringForm::Plain && integer(string)?.is_some();
    Ok(if is_integer { "int" } else { "embstr" })
}

/// The integer that a string stands for.
fn integer(string: StringView<'_>) -> Result<Option<i64>, KeyspaceError> {
    let digits = string.whole_up_to(INTEGER_BYTES_MAX)?;
    Ok(digits.and_then(|digits| parse_i64(&digits)))
}

/// Whether Redis holds a string in a buffer of its own. It moves others into one before it changes bits or registers,
/// even if none of them changes.
pub(super) fn is_in_buffer(string: StringView<'_>) -> Result<bool, KeyspaceError> {
    Ok(encoding_name(string)? == "raw")
}

/// What the index knows of the key that argument 2 names. It counts as no access, and a missing key causes no event.
fn info(ctx: &mut Context<'_>, args: Args<'_>) -> Result<Option<KeyInfo>, KeyspaceError> {
    let info = ctx.database().untouched().info(&args[2])?;
    ctx.count_lookup(info.is_some());
    Ok(info)
}

/// Runs `f` on the value of the key that argument 2 names; null where there is none. Does not count as an access.
fn on_value(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    f: impl FnOnce(View<'_>) -> Result<Reply, KeyspaceError>,
) -> CommandResult {
    let database = ctx.database().untouched();
    let reply = database.view(&args[2], |view| view.map(f).transpose())??;
    ctx.count_lookup(reply.is_some());
    Ok(reply.unwrap_or(Reply::Null).into())
}

fn encoding(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    on_value(ctx, args, |view| {
        let name = match view {
            View::String(string) => encoding_name(string)?,
            View::Hash(fields) => match name_of(fields.encoding(), "hashtable") {
                "listpack" if fields.has_deadlines() => "listpackex",
                name => name,
            },
            View::Set(members) => name_of(members.encoding(), "hashtable"),
            View::SortedSet(scores) => name_of(scores.encoding(), "skiplist"),
            View::List(list) => name_of(list.encoding()?, "quicklist"),
            View::Stream(_) => "stream",
        };
        Ok(Reply::text(name))
    })
}

fn name_of(encoding: Encoding, full: &'static str) -> &'static str {
    match encoding {
        Encoding::Integers => "intset",
        Encoding::Compact => "listpack",
        Encoding::Full => full,
    }
}

fn refcount(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    on_value(ctx, args, |view| {
        let number = match view {
            View::String(string) if encoding_name(string)? == "int" => integer(string)?,
            _ => None,
        };
        let shared = number.is_some_and(|n| (0..SHARED_INTEGERS_END).contains(&n));
        Ok(Reply::Integer(if shared { SHARED_REFERENCES } else { 1 }))
    })
}

fn freq(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let Some(info) = info(ctx, args)? else {
        return Ok(Reply::Null.into());
    };
    let frequency = info.frequency.ok_or(CommandError::text(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. \
         Please note that when switching between policies at runtime LRU and LFU data \
         will take some time to adjust.",
    ))?;
    Ok(Reply::Integer(frequency.into()).into())
}

fn idletime(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let Some(info) = info(ctx, args)? else {
        return Ok(Reply::Null.into());
    };
    let idle_s = info.idle_s.ok_or(CommandError::text(
        "ERR An LFU maxmemory policy is selected, idle time not tracked. \
         Please note that when switching between policies at runtime LRU and LFU data \
         will take some time to adjust.",
    ))?;
    Ok(Reply::Integer(i64::try_from(idle_s).unwrap_or(i64::MAX)).into())
}

#[allow(clippy::unnecessary_wraps)] // Every handler has this shape.
fn help(_: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    const LINES: &[&str] = &[
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    Name the form in which Redis would keep the value of <key>.",
        "FREQ <key>",
        "    Return how often <key> is used, on a logarithmic scale.",
        "IDLETIME <key>",
        "    Return the seconds since <key> was last used.",
        "REFCOUNT <key>",
        "    Return how many references the value of <key> has.",
        "HELP",
        "    Print this text.",
    ];
    let lines = LINES.iter().map(|&line| Reply::Simple(line)).collect();
    Ok(Outcome::Reply(Reply::Array(lines)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::{Kind, Value};

    #[test]
    fn encodings() {
        let named = |form, bytes: &str| {
            let value = Value {
                kind: Kind::String,
                form,
                expires_at: None,
                bytes: bytes.as_bytes(),
            };
            encoding_name(value.into()).ok()
        };
        for (value, name) in [
            ("0", "int"),
            ("-9223372036854775808", "int"),
            ("9223372036854775808", "embstr"),
            ("007", "embstr"),
            ("", "embstr"),
            ("12345678901234567890123456789012345678901234", "embstr"),
            ("123456789012345678901234567890123456789012345", "raw"),
        ] {
            assert_eq!(named(StringForm::Plain, value), Some(name), "{value:?}");
            assert_eq!(named(StringForm::Raw, value), Some("raw"), "{value:?}");
            let as_text = if name == "int" { "embstr" } else { name };
            assert_eq!(named(StringForm::Text, value), Some(as_text), "{value:?}");
        }
    }
}
