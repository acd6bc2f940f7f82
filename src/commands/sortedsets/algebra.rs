//! Several sorted sets together: ZUNION, ZINTER, ZDIFF, their STORE forms, ZINTERCARD. Sets count as sorted sets whose
//! scores are 1.

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::weighted::{Aggregate, Source, each_common, is_source, weighable};
use super::{store_members, write_members};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::numkeys::Counted;
use crate::commands::row::Row;
use crate::commands::sets::parse_limit;
use crate::commands::sources::{self, DESTINATION};
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, Kind};
use crate::numbers::{parse_float, parse_i64};
use crate::protocol::{Args, Reply};

/// A member of the result, with its score.
type Member<'a> = (Cow<'a, [u8]>, f64);

const READS: Flags = Flags::READONLY.union(Flags::MOVABLEKEYS);
const STORES: Flags = Flags::WRITE
    .union(Flags::DENYOOM)
    .union(Flags::MOVABLEKEYS)
    .union(Flags::COPIES);

const SOURCES: &[KeySpec] = &[KeySpec::counted(&["RO", "access"], 1)];
const DESTINATION_AND_SOURCES: &[KeySpec] = &[
    KeySpec::first(&["OW", "update"]),
    KeySpec::counted(&["RO", "access"], 2),
];

const WEIGHTS: Argument = Argument::new("weight", ArgumentKind::Integer)
    .with_token("WEIGHTS")
    .optional()
    .multiple();
const AGGREGATE: Argument = Argument::new(
    "aggregate",
    ArgumentKind::OneOf(&[
        Argument::token("sum", "SUM"),
        Argument::token("min", "MIN"),
        Argument::token("max", "MAX"),
    ]),
)
.with_token("AGGREGATE")
.optional();
/// The arguments of ZUNION and ZINTER.
const WEIGHED: &[Argument] = &[
    Argument::new("numkeys", ArgumentKind::Integer),
    Argument::key().multiple(),
    WEIGHTS,
    AGGREGATE,
    Argument::token("withscores", "WITHSCORES").optional(),
];
/// The arguments of ZUNIONSTORE and ZINTERSTORE.
const STORED_WEIGHED: &[Argument] = &[
    Argument::new("destination", ArgumentKind::Key(0)),
    Argument::new("numkeys", ArgumentKind::Integer),
    Argument::new("key", ArgumentKind::Key(1)).multiple(),
    WEIGHTS,
    AGGREGATE,
];

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("zunion", Arity::AtLeast(3), zunion)
        .flags(READS)
        .categories(Categories::SORTEDSET)
        .keys(SOURCES)
        .group(Group::SortedSet, "6.2.0")
        .summary("Returns the members that any of several sorted sets has")
        .complexity("O(N)+O(M*log(M))")
        .arguments(WEIGHED),
    Row::new("zinter", Arity::AtLeast(3), zinter)
        .flags(READS)
        .categories(Categories::SORTEDSET)
        .keys(SOURCES)
        .group(Group::SortedSet, "6.2.0")
        .summary("Returns the members that all of several sorted sets have")
        .complexity("O(N*K)+O(M*log(M)) worst case")
        .arguments(WEIGHED),
    Row::new("zdiff", Arity::AtLeast(3), zdiff)
        .flags(READS)
        .categories(Categories::SORTEDSET)
        .keys(SOURCES)
        .group(Group::SortedSet, "6.2.0")
        .summary("Returns the members of the first sorted set that none of the others has")
        .complexity("O(L + (N-K)log(N)) worst case")
        .arguments(&[
            Argument::new("numkeys", ArgumentKind::Integer),
            Argument::key().multiple(),
            Argument::token("withscores", "WITHSCORES").optional(),
        ]),
    Row::new("zintercard", Arity::AtLeast(3), zintercard)
        .flags(READS)
        .categories(Categories::SORTEDSET)
        .keys(SOURCES)
        .group(Group::SortedSet, "7.0.0")
        .summary("Counts the members that all of several sorted sets have")
        .complexity("O(N*K) worst case")
        .arguments(&[
            Argument::new("numkeys", ArgumentKind::Integer),
            Argument::key().multiple(),
            Argument::new("limit", ArgumentKind::Integer)
                .with_token("LIMIT")
                .optional(),
        ]),
    Row::new("zunionstore", Arity::AtLeast(4), zunionstore)
        .flags(STORES)
        .categories(Categories::SORTEDSET)
        .keys(DESTINATION_AND_SOURCES)
        .group(Group::SortedSet, "2.0.0")
        .summary("Stores the members that any of several sorted sets has")
        .complexity("O(N)+O(M log(M))")
        .arguments(STORED_WEIGHED),
    Row::new("zinterstore", Arity::AtLeast(4), zinterstore)
        .flags(STORES)
        .categories(Categories::SORTEDSET)
        .keys(DESTINATION_AND_SOURCES)
        .group(Group::SortedSet, "2.0.0")
        .summary("Stores the members that all of several sorted sets have")
        .complexity("O(N*K)+O(M*log(M)) worst case")
        .arguments(STORED_WEIGHED),
    Row::new("zdiffstore", Arity::AtLeast(4), zdiffstore)
        .flags(STORES)
        .categories(Categories::SORTEDSET)
        .keys(DESTINATION_AND_SOURCES)
        .group(Group::SortedSet, "6.2.0")
        .summary("Stores the members of the first sorted set that none of the others has")
        .complexity("O(L + (N-K)log(N)) worst case")
        .arguments(&[
            Argument::new("destination", ArgumentKind::Key(0)),
            Argument::new("numkeys", ArgumentKind::Integer),
            Argument::new("key", ArgumentKind::Key(1)).multiple(),
        ]),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// The keys of a call, whose number is argument `at`.
fn parse_keys(args: Args<'_>, at: usize) -> Result<Counted, CommandError> {
    let count = parse_i64(&args[at]).ok_or(CommandError::NotAnInteger)?;
    if count < 1 {
        let name = String::from_utf8_lossy(&args[0]).to_lowercase();
        let text = format!("ERR at least 1 input key is needed for '{name}' command");
        return Err(CommandError::Text(text.into()));
    }
    Counted::after(args, at, count)
}

/// What to do with the sources.
struct Wanted {
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
}

impl Wanted {
    /// Reads the arguments behind the keys. A call that `stores` has no WITHSCORES.
    fn parse(
        args: Args<'_>,
        keys: Counted,
        operation: Operation,
        stores: bool,
    ) -> Result<Self, CommandError> {
        let mut wanted = Self {
            weights: vec![1.0; keys.count],
            aggregate: Aggregate::Sum,
            with_scores: false,
        };
        let weighs = operation != Operation::Difference;
        let mut rest = args.from(keys.end());
        while let Some(argument) = rest.next() {
            if weighs && argument.eq_ignore_ascii_case(b"weights") && rest.len() >= keys.count {
                for weight in &mut wanted.weights {
                    let argument = rest.next().unwrap_or_default();
                    *weight = parse_float(argument)
                        .ok_or(CommandError::text("ERR weight value is not a float"))?;
                }
            } else if weighs && argument.eq_ignore_ascii_case(b"aggregate") {
                let argument = rest.next().unwrap_or_default().to_ascii_lowercase();
                wanted.aggregate = match argument.as_slice() {
                    b"sum" => Aggregate::Sum,
                    b"min" => Aggregate::Min,
                    b"max" => Aggregate::Max,
                    _ => return Err(CommandError::Syntax),
                };
            } else if !stores && argument.eq_ignore_ascii_case(b"withscores") {
                wanted.with_scores = true;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(wanted)
    }

    /// The result's members in the order of their scores.
    fn run<'a>(
        self,
        operation: Operation,
        mut sources: Vec<Source<'a>>,
    ) -> Result<Vec<Member<'a>>, CommandError> {
        for (source, weight) in sources.iter_mut().zip(self.weights) {
            source.weight = weight;
        }
        if operation != Operation::Difference {
            sources.sort_by_key(Source::len);
        }
        let mut result: Vec<Member<'a>> = Vec::new();
        match operation {
            Operation::Union => {
                let mut all: HashMap<Cow<'a, [u8]>, f64, FixedState> = HashMap::default();
                for source in &sources {
                    source.for_each(|member, score| {
                        all.entry(member)
                            .and_modify(|sum| *sum = self.aggregate.of(*sum, score))
                            .or_insert(score);
                    })?;
                }
                result.extend(all);
            }
            Operation::Intersection => {
                each_common(&sources, self.aggregate, |member, score| {
                    result.push((member, score));
                    true
                })?;
            }
            Operation::Difference => {
                let Some((first, others)) = sources.split_first() else {
                    return Ok(result);
                };
                first.for_each(|member, score| result.push((member, score)))?;
                let mut failed = Ok(());
                result.retain(|(member, _)| {
                    others.iter().all(|other| match other.score(member) {
                        Ok(score) => score.is_none(),
                        Err(error) => {
                            failed = Err(error);
                            true
                        }
                    })
                });
                failed?;
            }
        }
        result.sort_unstable_by(|a, b| {
            let by_score = a.1.partial_cmp(&b.1).unwrap_or(std::cmp::Ordering::Equal);
            by_score.then_with(|| a.0.cmp(&b.0))
        });
        Ok(result)
    }
}

fn reply(ctx: &mut Context<'_>, args: Args<'_>, operation: Operation) -> CommandResult {
    let keys = parse_keys(args, 1)?;
    ctx.view_many(keys.keys(args), is_source, |views, out| {
        let sources = weighable(views)?;
        let wanted = Wanted::parse(args, keys, operation, false)?;
        let with_scores = wanted.with_scores;
        let members = wanted.run(operation, sources)?;
        let members = members.iter().map(|(member, score)| (&**member, *score));
        write_members(out, members, with_scores);
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn zunion(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    reply(ctx, args, Operation::Union)
}

fn zinter(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    reply(ctx, args, Operation::Intersection)
}

fn zdiff(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    reply(ctx, args, Operation::Difference)
}

fn zintercard(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let keys = parse_keys(args, 1)?;
    let count = ctx.view_many(keys.keys(args), is_source, |views, _| {
        let mut sources = weighable(views)?;
        let limit = parse_limit(args, keys.end())?;
        sources.sort_by_key(Source::len);
        let mut count = 0;
        each_common(&sources, Aggregate::Sum, |_, _| {
            count += 1;
            count < limit
        })?;
        Ok(count)
    })?;
    Ok(Reply::count(count).into())
}

fn store(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    operation: Operation,
    event: &'static str,
) -> CommandResult {
    let source_keys = parse_keys(args, 2)?;
    let names = std::iter::once(&args[1]).chain(source_keys.keys(args));
    let mut found = Vec::new();
    let stored = ctx.update_many(names, |keys| {
        found = sources::look_up(keys, is_source);
        let mut new = keys.build(DESTINATION, Kind::SortedSet);
        let sources = weighable(&sources::views(keys))?;
        let wanted = Wanted::parse(args, source_keys, operation, true)?;
        let members = wanted.run(operation, sources)?;
        let members: Vec<(&[u8], f64)> = members
            .iter()
            .map(|(member, score)| (&**member, *score))
            .collect();
        store_members(&mut new, &members)?;
        Ok(sources::store(keys, new, EventClass::ZSET, event)?)
    });
    ctx.count_lookups(found);
    Ok(Reply::count(stored?).into())
}

fn zunionstore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    store(ctx, args, Operation::Union, "zunionstore")
}

fn zinterstore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    store(ctx, args, Operation::Intersection, "zinterstore")
}

fn zdiffstore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    store(ctx, args, Operation::Difference, "zdiffstore")
}
