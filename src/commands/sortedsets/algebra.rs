//! Several sorted sets together: ZUNION, ZINTER, ZDIFF, their STORE forms, ZINTERCARD. Sets count as sorted sets whose
//! scores are 1.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::{store_members, write_members};
use crate::commands::sets::parse_limit;
use crate::commands::sources::{self, DESTINATION};
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, Fields, KeyspaceError, Kind, Scores, View};
use crate::numbers::{parse_float, parse_i64};
use crate::protocol::{Args, Reply};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What becomes of several scores of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Aggregate::Sum => number(a + b),
            // Of 0 and -0, which compare as equal, the first stays.
            Aggregate::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            Aggregate::Max => {
                if b > a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

/// Opposite infinities make 0.
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// One of the sources; `None` where its key is missing.
#[derive(Clone, Copy)]
struct Source<'a> {
    members: Option<Members<'a>>,
    weight: f64,
}

#[derive(Clone, Copy)]
enum Members<'a> {
    Set(Fields<'a>),
    Scored(Scores<'a>),
}

impl<'a> Source<'a> {
    fn len(&self) -> usize {
        match self.members {
            None => 0,
            Some(Members::Set(set)) => set.len(),
            Some(Members::Scored(scores)) => scores.len(),
        }
    }

    /// A member's score, weighted.
    fn score(&self, member: &[u8]) -> Result<Option<f64>, KeyspaceError> {
        let score = match self.members {
            None => None,
            Some(Members::Set(set)) => set.contains(member).then_some(1.0),
            Some(Members::Scored(scores)) => scores.score(member)?,
        };
        Ok(score.map(|score| number(score * self.weight)))
    }

    fn for_each(&self, mut f: impl FnMut(&'a [u8], f64)) {
        match self.members {
            None => {}
            Some(Members::Set(set)) => {
                for member in set.names() {
                    f(member, number(self.weight));
                }
            }
            Some(Members::Scored(scores)) => {
                for (member, score) in scores.range(0..scores.len()) {
                    f(member, number(score * self.weight));
                }
            }
        }
    }
}

/// The keys of a call.
#[derive(Clone, Copy)]
struct Keys {
    first: usize,
    count: usize,
}

impl Keys {
    /// The number of keys is word `at`.
    fn parse(args: Args<'_>, at: usize) -> Result<Self, CommandError> {
        let count = parse_i64(&args[at]).ok_or(CommandError::NotAnInteger)?;
        if count < 1 {
            let name = String::from_utf8_lossy(&args[0]).to_lowercase();
            let text = format!("ERR at least 1 input key is needed for '{name}' command");
            return Err(CommandError::Text(text.into()));
        }
        match usize::try_from(count) {
            Ok(count) if count < args.len() - at => Ok(Self {
                first: at + 1,
                count,
            }),
            _ => Err(CommandError::Syntax),
        }
    }

    /// The word after the last key.
    fn end(self) -> usize {
        self.first + self.count
    }

    fn names(self, args: Args<'_>) -> impl Iterator<Item = &[u8]> {
        args.from(self.first).take(self.count)
    }
}

/// What is to be done with the sources.
struct Wanted {
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
}

impl Wanted {
    /// Reads the words behind the keys. `stores` where there is no WITHSCORES.
    fn parse(
        args: Args<'_>,
        keys: Keys,
        operation: Operation,
        stores: bool,
    ) -> Result<Self, CommandError> {
        let mut wanted = Self {
            weights: vec![1.0; keys.count],
            aggregate: Aggregate::Sum,
            with_scores: false,
        };
        let weighs = operation != Operation::Difference;
        let mut words = args.from(keys.end());
        while let Some(word) = words.next() {
            if weighs && word.eq_ignore_ascii_case(b"weights") && words.len() >= keys.count {
                for weight in &mut wanted.weights {
                    let word = words.next().unwrap_or_default();
                    *weight = parse_float(word)
                        .ok_or(CommandError::text("ERR weight value is not a float"))?;
                }
            } else if weighs && word.eq_ignore_ascii_case(b"aggregate") {
                let word = words.next().unwrap_or_default().to_ascii_lowercase();
                wanted.aggregate = match word.as_slice() {
                    b"sum" => Aggregate::Sum,
                    b"min" => Aggregate::Min,
                    b"max" => Aggregate::Max,
                    _ => return Err(CommandError::Syntax),
                };
            } else if !stores && word.eq_ignore_ascii_case(b"withscores") {
                wanted.with_scores = true;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(wanted)
    }

    /// The result's members in the order of their scores.
    fn run(
        self,
        operation: Operation,
        mut sources: Vec<Source<'_>>,
    ) -> Result<Vec<(&[u8], f64)>, CommandError> {
        for (source, weight) in sources.iter_mut().zip(self.weights) {
            source.weight = weight;
        }
        if operation != Operation::Difference {
            sources.sort_by_key(Source::len);
        }
        let mut result: Vec<(&[u8], f64)> = Vec::new();
        match operation {
            Operation::Union => {
                let mut all: HashMap<&[u8], f64, FixedState> = HashMap::default();
                for source in &sources {
                    source.for_each(|member, score| {
                        all.entry(member)
                            .and_modify(|sum| *sum = self.aggregate.of(*sum, score))
                            .or_insert(score);
                    });
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
                first.for_each(|member, score| result.push((member, score)));
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
            by_score.then_with(|| a.0.cmp(b.0))
        });
        Ok(result)
    }
}

/// The sources, of weight 1. Their kinds are looked at before the words behind the keys.
fn weighable<'a>(views: &[Option<View<'a>>]) -> Result<Vec<Source<'a>>, CommandError> {
    let sources = views.iter().map(|view| {
        let members = match view {
            None => None,
            Some(View::Set(set)) => Some(Members::Set(*set)),
            Some(View::SortedSet(scores)) => Some(Members::Scored(*scores)),
            Some(_) => return Err(CommandError::WrongType),
        };
        Ok(Source {
            members,
            weight: 1.0,
        })
    });
    sources.collect()
}

fn is_source(view: View<'_>) -> bool {
    matches!(view, View::Set(_) | View::SortedSet(_))
}

/// The members that all sources have, the smallest of which comes first, until `each` has enough.
fn each_common<'a>(
    sources: &[Source<'a>],
    aggregate: Aggregate,
    mut each: impl FnMut(&'a [u8], f64) -> bool,
) -> Result<(), CommandError> {
    let Some((smallest, others)) = sources.split_first() else {
        return Ok(());
    };
    let mut candidates = Vec::with_capacity(smallest.len());
    smallest.for_each(|member, score| candidates.push((member, score)));
    'members: for (member, mut score) in candidates {
        for other in others {
            let Some(theirs) = other.score(member)? else {
                continue 'members;
            };
            score = aggregate.of(score, theirs);
        }
        if !each(member, score) {
            break;
        }
    }
    Ok(())
}

fn reply(ctx: &mut Context<'_>, args: Args<'_>, operation: Operation) -> CommandResult {
    let keys = Keys::parse(args, 1)?;
    ctx.view_many(keys.names(args), is_source, |views, out| {
        let sources = weighable(views)?;
        let wanted = Wanted::parse(args, keys, operation, false)?;
        let with_scores = wanted.with_scores;
        let members = wanted.run(operation, sources)?;
        write_members(out, members.into_iter(), with_scores);
        Ok(())
    })?;
    Ok(Outcome::Written)
}

pub(super) fn zunion(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    reply(ctx, args, Operation::Union)
}

pub(super) fn zinter(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    reply(ctx, args, Operation::Intersection)
}

pub(super) fn zdiff(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    reply(ctx, args, Operation::Difference)
}

pub(super) fn zintercard(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let keys = Keys::parse(args, 1)?;
    let count = ctx.view_many(keys.names(args), is_source, |views, _| {
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
    let source_keys = Keys::parse(args, 2)?;
    let names = std::iter::once(&args[1]).chain(source_keys.names(args));
    let mut found = Vec::new();
    let stored = ctx.update_many(names, |keys| {
        found = sources::look_up(keys, is_source);
        let mut new = keys.build(DESTINATION, Kind::SortedSet);
        let sources = weighable(&sources::views(keys))?;
        let wanted = Wanted::parse(args, source_keys, operation, true)?;
        store_members(&mut new, &wanted.run(operation, sources)?)?;
        Ok(sources::store(keys, new, EventClass::ZSET, event)?)
    });
    ctx.count_lookups(found);
    Ok(Reply::count(stored?).into())
}

pub(super) fn zunionstore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    store(ctx, args, Operation::Union, "zunionstore")
}

pub(super) fn zinterstore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    store(ctx, args, Operation::Intersection, "zinterstore")
}

pub(super) fn zdiffstore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    store(ctx, args, Operation::Difference, "zdiffstore")
}
