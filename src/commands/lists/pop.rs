//! Elements taken from an end: LPOP, RPOP, LMPOP.

use std::ops::{ControlFlow, Range};

use bytes::Bytes;

use super::{ENDS, list_of, parse_at_least, parse_end, pop_effect, pop_event};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Database, Outcome};
use crate::keyspace::{End, EventClass, KeyspaceError, Kind, List, OneUpdate, Update, View};
use crate::protocol::{Args, Reply};

const KEYS: &[KeySpec] = &[KeySpec::first(&["RW", "access", "delete"])];
const ARGUMENTS: &[Argument] = &[
    Argument::key(),
    Argument::new("count", ArgumentKind::Integer)
        .optional()
        .since("6.2.0"),
];

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("lpop", Arity::AtLeast(2), lpop)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::LIST)
        .keys(KEYS)
        .group(Group::List, "1.0.0")
        .summary("Takes a list's first elements and returns them")
        .complexity("O(N) for N elements taken")
        .arguments(ARGUMENTS)
        .history(&[("6.2.0", "Added the `count` argument.")]),
    Row::new("rpop", Arity::AtLeast(2), rpop)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::LIST)
        .keys(KEYS)
        .group(Group::List, "1.0.0")
        .summary("Takes a list's last elements and returns them, the last one first")
        .complexity("O(N) for N elements taken")
        .arguments(ARGUMENTS)
        .history(&[("6.2.0", "Added the `count` argument.")]),
    Row::new("lmpop", Arity::AtLeast(4), lmpop)
        .flags(Flags::WRITE.union(Flags::MOVABLEKEYS))
        .categories(Categories::LIST)
        .keys(&[KeySpec::counted(&["RW", "access", "delete"], 1)])
        .group(Group::List, "7.0.0")
        .summary("Takes elements from the first of several keys that has a list")
        .complexity("O(N+M) for N keys and M elements taken")
        .arguments(&[
            Argument::new("numkeys", ArgumentKind::Integer),
            Argument::key().multiple(),
            Argument::new("where", ArgumentKind::OneOf(ENDS)),
            Argument::new("count", ArgumentKind::Integer)
                .with_token("COUNT")
                .optional(),
        ]),
];

fn lpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop_command(ctx, args, End::Head, "lpop")
}

fn rpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop_command(ctx, args, End::Tail, "rpop")
}

fn pop_command(ctx: &mut Context<'_>, args: Args<'_>, end: End, name: &str) -> CommandResult {
    const NEGATIVE: &str = "ERR value is out of range, must be positive";
    if args.len() > 3 {
        return Err(CommandError::WrongArity(name.to_owned()));
    }
    let count = args
        .get(2)
        .map(|argument| parse_at_least(0, argument, NEGATIVE))
        .transpose()?;
    let taken = ctx.database().change_element(
        &args[1],
        Kind::List,
        &mut *ctx.out,
        |out, list| {
            if count.is_some() {
                return Ok(None);
            }
            let taken = list.pop(end, |element| out.bulk(element))?;
            if taken.is_some() {
                list.tell(EventClass::LIST, pop_event(end), 1);
            }
            Ok(taken.map(Some))
        },
        |out, keys| {
            take_one(keys, end, count.unwrap_or(1), |list, range| {
                if count.is_some() {
                    out.array_header(range.len());
                }
                list.for_range(range, end == End::Tail, |element| {
                    out.bulk(element);
                    ControlFlow::Continue(())
                })
            })
        },
    )?;
    Ok(match (taken, count) {
        (Some(()), _) => Outcome::Written,
        (None, None) => Reply::Null.into(),
        (None, Some(_)) => Reply::NullArray.into(),
    })
}

fn lmpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let MpopArgs {
        keys: names,
        end,
        count,
    } = MpopArgs::parse(args, 1)?;
    let database = ctx.database();
    let found = database.update_many(names.iter().copied(), |keys| {
        let out = &mut *ctx.out;
        for (i, name) in names.iter().enumerate() {
            let taken = take(keys, i, end, count, |list, range| {
                pop_effect(database, name, end, range.len());
                out.array_header(2);
                out.bulk(name);
                out.array_header(range.len());
                list.for_range(range, end == End::Tail, |element| {
                    out.bulk(element);
                    ControlFlow::Continue(())
                })
            })?;
            if taken.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    })?;
    Ok(if found {
        Outcome::Written
    } else {
        Reply::NullArray.into()
    })
}

/// The arguments of LMPOP and BLMPOP.
#[derive(Debug)]
pub(in crate::commands) struct MpopArgs<'a> {
    pub keys: Vec<&'a [u8]>,
    pub end: End,
    pub count: usize,
}

impl<'a> MpopArgs<'a> {
    /// Reads `numkeys key [key ...] LEFT|RIGHT [COUNT count]`, where `numkeys` is argument `at`.
    pub(in crate::commands) fn parse(args: Args<'a>, at: usize) -> Result<Self, CommandError> {
        let numkeys = args.get(at).ok_or(CommandError::Syntax)?;
        let numkeys = parse_at_least(1, numkeys, "ERR numkeys should be greater than 0")?;
        let where_at = numkeys.saturating_add(at + 1);
        let end = parse_end(args.get(where_at).ok_or(CommandError::Syntax)?)?;
        let count = match (args.get(where_at + 1), args.get(where_at + 2)) {
            (None, _) => 1,
            (Some(option), Some(count)) if option.eq_ignore_ascii_case(b"count") => {
                let count = parse_at_least(1, count, "ERR count should be greater than 0")?;
                // Nothing may follow.
                if args.len() > where_at + 3 {
                    return Err(CommandError::Syntax);
                }
                count
            }
            _ => return Err(CommandError::Syntax),
        };
        let keys = args.from(at + 1).take(numkeys).collect();
        Ok(Self { keys, end, count })
    }
}

/// Takes the element at an end of a key's list, for the reply; `None` where the key is missing.
pub(in crate::commands) fn pop(
    database: Database<'_>,
    key: &[u8],
    end: End,
) -> Result<Option<Reply>, CommandError> {
    let taken = database.update_one(key, Kind::List, |keys| {
        take_one(keys, end, 1, |list, range| {
            pop_effect(database, key, end, range.len());
            list.get(range.start, |element| Reply::bulk(element))
        })
    })?;
    Ok(taken.flatten())
}

/// Takes up to `count` elements from an end of the first list among the keys: the reply names that key and
/// them; `None` if all keys are missing.
pub(in crate::commands) fn mpop(
    database: Database<'_>,
    names: &[&[u8]],
    end: End,
    count: usize,
) -> Result<Option<Reply>, CommandError> {
    database.update_many(names.iter().copied(), |keys| {
        for (i, name) in names.iter().enumerate() {
            let mut elements = Vec::new();
            let taken = take(keys, i, end, count, |list, range| {
                pop_effect(database, name, end, range.len());
                list.for_range(range, end == End::Tail, |element| {
                    elements.push(Reply::Bulk(Bytes::copy_from_slice(element)));
                    ControlFlow::Continue(())
                })
            })?;
            if taken.is_some() {
                let reply = vec![Reply::bulk(name), Reply::Array(elements)];
                return Ok(Some(Reply::Array(reply)));
            }
        }
        Ok(None)
    })
}

/// Takes up to `count` elements from an end of the list of key `i`, after `f` has read the list at their positions;
/// `None` if the key is missing.
fn take<R>(
    keys: &mut Update<'_>,
    i: usize,
    end: End,
    count: usize,
    f: impl FnOnce(List<'_>, Range<usize>) -> Result<R, KeyspaceError>,
) -> Result<Option<R>, CommandError> {
    let Some(list) = list_of(keys, i)? else {
        return Ok(None);
    };
    let len = list.len();
    let taken = count.min(len);
    let met = f(list, at_end(end, taken, len))?;
    if taken > 0 {
        keys.list(i)?.pop(end, taken);
        keys.set_dirty(taken);
        keys.event(i, EventClass::LIST, pop_event(end));
        if taken == len {
            keys.event(i, EventClass::GENERIC, "del");
        }
    }
    Ok(Some(met))
}

/// As [`take`], for the one key of a call.
fn take_one<R>(
    keys: &mut OneUpdate<'_, '_>,
    end: End,
    count: usize,
    f: impl FnOnce(List<'_>, Range<usize>) -> Result<R, KeyspaceError>,
) -> Result<Option<R>, CommandError> {
    let Some(list) = keys.view().map(View::list).transpose()? else {
        return Ok(None);
    };
    let len = list.len();
    let taken = count.min(len);
    let met = f(list, at_end(end, taken, len))?;
    if taken > 0 {
        keys.list()?.pop(end, taken);
        keys.set_dirty(taken);
        keys.event(EventClass::LIST, pop_event(end));
        if taken == len {
            keys.event(EventClass::GENERIC, "del");
        }
    }
    Ok(Some(met))
}

/// The positions of `taken` elements at an end of `len` elements.
fn at_end(end: End, taken: usize, len: usize) -> Range<usize> {
    match end {
        End::Head => 0..taken,
        End::Tail => len - taken..len,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    fn parse(arguments: &str) -> Result<(Vec<String>, End, usize), String> {
        let arguments = OwnedArgs::new(arguments.split(' '));
        let parsed = MpopArgs::parse(arguments.args(), 1).map_err(|error| error.to_string())?;
        let keys = parsed.keys.iter();
        let keys = keys.map(|key| String::from_utf8_lossy(key).into_owned());
        Ok((keys.collect(), parsed.end, parsed.count))
    }

    #[test]
    fn reads_the_arguments_of_lmpop() {
        let keys = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(parse("lmpop 1 a LEFT"), Ok((keys(&["a"]), End::Head, 1)));
        assert_eq!(
            parse("lmpop 2 a b right count 7"),
            Ok((keys(&["a", "b"]), End::Tail, 7))
        );
        // A key may be named like an option.
        assert_eq!(
            parse("lmpop 2 left count right"),
            Ok((keys(&["left", "count"]), End::Tail, 1))
        );
    }

    #[test]
    fn refuses_what_redis_refuses_of_lmpop() {
        const SYNTAX: &str = "ERR syntax error";
        const NUMKEYS: &str = "ERR numkeys should be greater than 0";
        const COUNT: &str = "ERR count should be greater than 0";
        for (arguments, text) in [
            ("lmpop 0 a left", NUMKEYS),
            ("lmpop -1 a left", NUMKEYS),
            ("lmpop x a left", NUMKEYS),
            ("lmpop 2 a left", SYNTAX),
            ("lmpop 9223372036854775807 a left", SYNTAX),
            ("lmpop 1 a middle", SYNTAX),
            ("lmpop 1 a left count", SYNTAX),
            ("lmpop 1 a left nonsense 1", SYNTAX),
            ("lmpop 1 a left count 0", COUNT),
            ("lmpop 1 a left count x", COUNT),
            ("lmpop 1 a left count 1 count 1", SYNTAX),
            ("lmpop 1 a left count 0 nonsense", COUNT),
        ] {
            assert_eq!(parse(arguments), Err(text.to_owned()), "{arguments}");
        }
    }
}
