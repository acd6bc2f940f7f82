//! Looking at lists: LLEN, LRANGE, LINDEX, LPOS.

use std::ops::ControlFlow;

use super::{parse_at_least, parse_magnitude, position, positions};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{KeyspaceError, List};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("llen", Arity::Exactly(2), llen)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::LIST)
        .keys(&[KeySpec::first(&["RO"])])
        .group(Group::List, "1.0.0")
        .summary("Returns how many elements a list has")
        .complexity("O(1)")
        .arguments(&[Argument::key()]),
    Row::new("lrange", Arity::Exactly(4), lrange)
        .flags(Flags::READONLY)
        .categories(Categories::LIST)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::List, "1.0.0")
        .summary("Returns a range of a list's elements")
        .complexity(
            "O(S+N) for N elements returned and S before them: S is cut to parts of the list",
        )
        .arguments(&[
            Argument::key(),
            Argument::new("start", ArgumentKind::Integer),
            Argument::new("stop", ArgumentKind::Integer),
        ]),
    Row::new("lindex", Arity::Exactly(3), lindex)
        .flags(Flags::READONLY)
        .categories(Categories::LIST)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::List, "1.0.0")
        .summary("Returns a list's element at an index")
        .complexity("O(N) for N elements up to the index, counted in parts of the list")
        .arguments(&[
            Argument::key(),
            Argument::new("index", ArgumentKind::Integer),
        ]),
    Row::new("lpos", Arity::AtLeast(3), lpos)
        .flags(Flags::READONLY)
        .categories(Categories::LIST)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::List, "6.0.6")
        .summary("Returns at which indexes of a list an element stands")
        .complexity("O(N) for N elements that are compared")
        .arguments(&[
            Argument::key(),
            Argument::new("element", ArgumentKind::String),
            Argument::new("rank", ArgumentKind::Integer)
                .with_token("RANK")
                .optional(),
            Argument::new("num-matches", ArgumentKind::Integer)
                .with_token("COUNT")
                .optional(),
            Argument::new("len", ArgumentKind::Integer)
                .with_token("MAXLEN")
                .optional(),
        ]),
];

fn llen(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let len = ctx.list(&args[1], |list, _| Ok(list.map_or(0, |list| list.len())))?;
    Ok(Reply::count(len).into())
}

fn lrange(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let start = parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?;
    let end = parse_i64(&args[3]).ok_or(CommandError::NotAnInteger)?;
    let elements_max = ctx.elements_max();
    ctx.list(&args[1], |list, out| {
        let Some(list) = list else {
            out.array_header(0);
            return Ok(());
        };
        let range = positions(start, end, list.len());
        if range.len() > elements_max {
            return Err(CommandError::TakesLong);
        }
        out.array_header(range.len());
        list.for_range(range, false, |element| {
            out.bulk(element);
            ControlFlow::Continue(())
        })?;
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn lindex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let written = ctx.list(&args[1], |list, out| {
        let Some(list) = list else {
            return Ok(None);
        };
        let index = parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?;
        match position(index, list.len()) {
            Some(position) => Ok(list.get(position, |element| out.bulk(element))?),
            None => Ok(None),
        }
    })?;
    Ok(match written {
        Some(()) => Outcome::Written,
        None => Reply::Null.into(),
    })
}

/// The options of LPOS.
#[derive(Debug, PartialEq, Eq)]
struct Search {
    /// How many matches come before the first that counts.
    skipped: u64,
    /// From the list's end.
    reversed: bool,
    /// How many matches are wanted, 0 for all; `None` for one that is answered alone.
    count: Option<usize>,
    /// How many elements are compared, 0 for all.
    compared_max: usize,
}

impl Search {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut search = Self {
            skipped: 0,
            reversed: false,
            count: None,
            compared_max: 0,
        };
        let mut rest = args.from(3);
        while let Some(option) = rest.next() {
            let number = rest.next().ok_or(CommandError::Syntax)?;
            if option.eq_ignore_ascii_case(b"rank") {
                let rank = rank(number)?;
                search.reversed = rank < 0;
                search.skipped = rank.unsigned_abs() - 1;
            } else if option.eq_ignore_ascii_case(b"count") {
                let count = parse_at_least(0, number, "ERR COUNT can't be negative")?;
                search.count = Some(count);
            } else if option.eq_ignore_ascii_case(b"maxlen") {
                search.compared_max = parse_at_least(0, number, "ERR MAXLEN can't be negative")?;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(search)
    }

    /// The positions of the matches that count.
    ///
    /// It returns at most one more than a reply of `room` bytes can hold.
    fn run(&self, list: List<'_>, wanted: &[u8], room: usize) -> Result<Vec<usize>, KeyspaceError> {
        let len = list.len();
        let compared = match self.compared_max {
            0 => len,
            max => max.min(len),
        };
        let range = if self.reversed {
            len - compared..len
        } else {
            0..compared
        };
        let found_max = match self.count {
            None => 1,
            Some(0) => usize::MAX,
            Some(count) => count,
        };
        let found_max = found_max.min(room / POSITION_BYTES_MIN + 1);
        let mut skipped = 0;
        let mut met = 0;
        let mut found = Vec::new();
        list.for_range(range, self.reversed, |element| {
            if element == wanted {
                if skipped < self.skipped {
                    skipped += 1;
                } else {
                    found.push(if self.reversed { len - 1 - met } else { met });
                }
            }
            met += 1;
            if found.len() < found_max {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        Ok(found)
    }
}

/// The least bytes of an integer in a reply.
const POSITION_BYTES_MIN: usize = b":0\r\n".len();

fn rank(argument: &[u8]) -> Result<i64, CommandError> {
    match parse_magnitude(argument)? {
        0 => Err(CommandError::text(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to \
             start from the end of the list",
        )),
        rank => Ok(rank),
    }
}

fn lpos(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let search = Search::parse(args)?;
    let found = ctx.list(&args[1], |list, out| {
        let found = list.map(|list| search.run(list, &args[2], out.room()));
        Ok(found.transpose()?.unwrap_or_default())
    })?;
    Ok(match search.count {
        Some(_) => {
            if found.len() > ctx.out.room() / POSITION_BYTES_MIN {
                ctx.out.overflow();
            }
            ctx.out.array_header(found.len());
            for position in found {
                ctx.out.integer(i64::try_from(position).unwrap_or(i64::MAX));
            }
            Outcome::Written
        }
        None => found
            .first()
            .map_or(Reply::Null, |&position| Reply::count(position))
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    fn parse(arguments: &str) -> Result<Search, String> {
        let arguments = OwnedArgs::new(arguments.split(' '));
        Search::parse(arguments.args()).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_the_options_of_lpos() {
        assert_eq!(
            parse("lpos k e RANK -2 count 0 MaxLen 10"),
            Ok(Search {
                skipped: 1,
                reversed: true,
                count: Some(0),
                compared_max: 10,
            })
        );
        // Of repeated options the last one counts.
        assert_eq!(
            parse("lpos k e rank 5 rank 1").map(|search| search.skipped),
            Ok(0)
        );
    }

    #[test]
    fn refuses_what_redis_refuses_of_lpos() {
        for (arguments, text) in [
            ("lpos k e rank", "ERR syntax error"),
            ("lpos k e nonsense 1", "ERR syntax error"),
            (
                "lpos k e rank x",
                "ERR value is not an integer or out of range",
            ),
            ("lpos k e count -1", "ERR COUNT can't be negative"),
            ("lpos k e count x", "ERR COUNT can't be negative"),
            ("lpos k e maxlen -1", "ERR MAXLEN can't be negative"),
        ] {
            assert_eq!(parse(arguments), Err(text.to_owned()), "{arguments}");
        }
        for arguments in ["lpos k e rank 0", "lpos k e rank -9223372036854775808"] {
            assert!(parse(arguments).is_err(), "{arguments}");
        }
    }
}
