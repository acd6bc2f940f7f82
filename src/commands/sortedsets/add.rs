//! ZADD, ZINCRBY.

use smallvec::SmallVec;

use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::numbers::parse_float;
use crate::protocol::{Args, Reply};

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("zadd", Arity::AtLeast(4), zadd)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RW", "update"])])
        .group(Group::SortedSet, "1.2.0")
        .summary("Gives members of a sorted set scores; makes the set where it is missing")
        .complexity("O(log(N))")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "condition",
                ArgumentKind::OneOf(&[Argument::token("nx", "NX"), Argument::token("xx", "XX")]),
            )
            .optional()
            .since("3.0.2"),
            Argument::new(
                "comparison",
                ArgumentKind::OneOf(&[Argument::token("gt", "GT"), Argument::token("lt", "LT")]),
            )
            .optional()
            .since("6.2.0"),
            Argument::token("change", "CH").optional().since("3.0.2"),
            Argument::token("increment", "INCR")
                .optional()
                .since("3.0.2"),
            Argument::new(
                "score_member",
                ArgumentKind::Block(&[
                    Argument::new("score", ArgumentKind::Double),
                    Argument::new("member", ArgumentKind::String),
                ]),
            )
            .multiple(),
        ])
        .history(&[
            ("2.4.0", "Accepts multiple elements."),
            ("3.0.2", "Added the `XX`, `NX`, `CH` and `INCR` options."),
            ("6.2.0", "Added the `GT` and `LT` options."),
        ]),
    Row::new("zincrby", Arity::Exactly(4), zincrby)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RW", "access", "update"])])
        .group(Group::SortedSet, "1.2.0")
        .summary("Adds a number to a member's score")
        .complexity("O(log(N))")
        .arguments(&[
            Argument::key(),
            Argument::new("increment", ArgumentKind::Integer),
            Argument::new("member", ArgumentKind::String),
        ]),
];

/// ZADD's options.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // Each is an argument of the call.
pub(in crate::commands) struct AddOptions {
    pub(in crate::commands) only_new: bool,
    pub(in crate::commands) only_present: bool,
    only_greater: bool,
    only_less: bool,
    pub(in crate::commands) count_changed: bool,
    increment: bool,
}

impl AddOptions {
    /// Reads the arguments from 2 on; returns where the first score stands.
    fn parse(args: Args<'_>) -> (Self, usize) {
        let mut options = Self::default();
        let mut at = 2;
        for argument in args.from(2) {
            let is = |name: &[u8]| argument.eq_ignore_ascii_case(name);
            let option = if is(b"nx") {
                &mut options.only_new
            } else if is(b"xx") {
                &mut options.only_present
            } else if is(b"gt") {
                &mut options.only_greater
            } else if is(b"lt") {
                &mut options.only_less
            } else if is(b"ch") {
                &mut options.count_changed
            } else if is(b"incr") {
                &mut options.increment
            } else {
                break;
            };
            *option = true;
            at += 1;
        }
        (options, at)
    }

    fn check(self, pairs: usize) -> Result<(), CommandError> {
        if self.only_new && self.only_present {
            return Err(CommandError::text(
                "ERR XX and NX options at the same time are not compatible",
            ));
        }
        if (self.only_greater || self.only_less) && self.only_new
            || self.only_greater && self.only_less
        {
            return Err(CommandError::text(
                "ERR GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if self.increment && pairs > 1 {
            return Err(CommandError::text(
                "ERR INCR option supports a single increment-element pair",
            ));
        }
        Ok(())
    }
}

/// What happened to a member.
enum Change {
    Added(f64),
    Updated(f64),
    Same(f64),
    /// The options forbid it.
    Not,
}

impl Change {
    /// How many members are new, how many have another score, and the score after the change, if the options allow one.
    fn counts(self) -> (usize, usize, Option<f64>) {
        match self {
            Change::Added(score) => (1, 0, Some(score)),
            Change::Updated(score) => (0, 1, Some(score)),
            Change::Same(score) => (0, 0, Some(score)),
            Change::Not => (0, 0, None),
        }
    }
}

/// What happens to a member by its score, if it has one, and the score that it gets.
fn change(
    score: f64,
    options: AddOptions,
) -> impl Fn(Option<f64>) -> Result<(Change, Option<f64>), CommandError> {
    move |current| {
        let Some(current) = current else {
            if options.only_present {
                return Ok((Change::Not, None));
            }
            return Ok((Change::Added(score), Some(score)));
        };
        if options.only_new {
            return Ok((Change::Not, None));
        }
        let new = if options.increment {
            current + score
        } else {
            score
        };
        if new.is_nan() {
            return Err(CommandError::text(
                "ERR resulting score is not a number (NaN)",
            ));
        }
        if options.only_less && new >= current || options.only_greater && new <= current {
            return Ok((Change::Not, None));
        }
        #[allow(clippy::float_cmp)] // Whether it is the very same number.
        if new == current {
            return Ok((Change::Same(new), None));
        }
        Ok((Change::Updated(new), Some(new)))
    }
}

fn zadd(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (options, at) = AddOptions::parse(args);
    add(ctx, args, at, options)
}

fn zincrby(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    // Redis takes ZADD's options here too. Too few arguments are left behind them.
    let (mut options, at) = AddOptions::parse(args);
    options.increment = true;
    add(ctx, args, at, options)
}

fn add(ctx: &mut Context<'_>, args: Args<'_>, at: usize, options: AddOptions) -> CommandResult {
    let left = args.len() - at;
    if left == 0 || !left.is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    options.check(left / 2)?;
    let mut pairs: SmallVec<[(&[u8], f64); 4]> = SmallVec::with_capacity(left / 2);
    let mut rest = args.from(at);
    while let (Some(score), Some(member)) = (rest.next(), rest.next()) {
        let score = parse_float(score).ok_or(CommandError::NotAFloat)?;
        pairs.push((member, score));
    }
    add_members(ctx, &args[1], &pairs, options)
}

/// Gives members scores and answers as ZADD does.
pub(in crate::commands) fn add_members(
    ctx: &mut Context<'_>,
    key: &[u8],
    pairs: &[(&[u8], f64)],
    options: AddOptions,
) -> CommandResult {
    let event = if options.increment { "zincr" } else { "zadd" };
    let (added, updated, last) = ctx.change_in_sorted_set(
        key,
        event,
        |scores| {
            let &[(member, score)] = pairs else {
                return Ok(None);
            };
            let changed = scores.change_score(member, change(score, options))?;
            Ok(changed.map(|changed| {
                let (added, updated, last) = changed.counts();
                ((added, updated, last), added + updated)
            }))
        },
        |scores| {
            let (mut added, mut updated, mut last) = (0, 0, None);
            for &(member, score) in pairs {
                let changed = scores.change(member, change(score, options))?;
                let (is_new, is_updated, score) = changed.counts();
                added += is_new;
                updated += is_updated;
                last = score;
            }
            Ok(((added, updated, last), added + updated))
        },
    )?;
    if options.increment {
        match last {
            Some(score) => ctx.out.double(score),
            None => ctx.out.null(),
        }
        return Ok(Outcome::Written);
    }
    let changed = if options.count_changed { updated } else { 0 };
    Ok(Reply::count(added + changed).into())
}
