//! SORT and `SORT_RO`.

mod pattern;

use std::cmp::Ordering;
use std::ops::{ControlFlow, Range};

use super::sources::{self, DESTINATION};
use super::{CommandError, CommandResult, Context, Outcome, table};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::keyspace::{EventClass, Kind, View};
use crate::numbers::{parse_float, parse_i64};
use crate::protocol::{Args, Reply};
use pattern::Pattern;

const PATTERNS: &str = "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the \
                        content of the key we sort";

/// The options that have operands.
const OPTIONS: &[(&str, usize)] = &[("LIMIT", 2), ("GET", 1), ("BY", 1), ("STORE", 1)];

const CATEGORIES: Categories = Categories::SET
    .union(Categories::SORTEDSET)
    .union(Categories::LIST)
    .union(Categories::DANGEROUS);

/// The arguments of SORT; those of `SORT_RO` are all but the last one, STORE.
const ARGUMENTS: &[Argument] = &[
    Argument::key(),
    Argument::new("pattern", ArgumentKind::Pattern)
        .with_token("BY")
        .optional(),
    Argument::new(
        "offset_count",
        ArgumentKind::Block(&[
            Argument::new("offset", ArgumentKind::Integer),
            Argument::new("count", ArgumentKind::Integer),
        ]),
    )
    .with_token("LIMIT")
    .optional(),
    Argument::new("pattern", ArgumentKind::Pattern)
        .with_token("GET")
        .optional()
        .multiple()
        .repeated_token(),
    Argument::new(
        "order",
        ArgumentKind::OneOf(&[
            Argument::token("asc", "ASC"),
            Argument::token("desc", "DESC"),
        ]),
    )
    .optional(),
    Argument::token("sorting", "ALPHA").optional(),
    Argument::new("destination", ArgumentKind::Key(2))
        .with_token("STORE")
        .optional(),
];

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("sort", Arity::AtLeast(2), sort)
        .flags(
            Flags::WRITE
                .union(Flags::DENYOOM)
                .union(Flags::MOVABLEKEYS)
                .union(Flags::COPIES),
        )
        .categories(CATEGORIES)
        .keys(&[
            KeySpec::first(&["RO", "access"]),
            KeySpec::unknown(&["RO", "access"]).with_notes(PATTERNS),
            KeySpec::hidden_after(&["OW", "update"], "STORE", 2, OPTIONS).with_notes(
                "For the optional STORE keyword. It is marked 'unknown' because the \
             keyword can appear anywhere in the argument array",
            ),
        ])
        .group(Group::Generic, "1.0.0")
        .summary("Sorts the elements of a list, a set or a sorted set; may store the result")
        .complexity("O(N+M*log(M))")
        .arguments(ARGUMENTS),
    Row::new("sort_ro", Arity::AtLeast(2), sort_ro)
        .flags(Flags::READONLY.union(Flags::MOVABLEKEYS))
        .categories(CATEGORIES)
        .keys(&[
            KeySpec::first(&["RO", "access"]),
            KeySpec::unknown(&["RO", "access"]).with_notes(PATTERNS),
        ])
        .group(Group::Generic, "7.0.0")
        .summary("Sorts the elements of a list, a set or a sorted set")
        .complexity("O(N+M*log(M))")
        .arguments(ARGUMENTS.split_at(ARGUMENTS.len() - 1).0),
];

/// A call, parsed.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // Each is an argument of the call.
struct Wanted<'a> {
    by: Option<Pattern<'a>>,
    get: Vec<Pattern<'a>>,
    offset: i64,
    count: i64,
    reversed: bool,
    alphabetic: bool,
    destination: Option<&'a [u8]>,
}

impl<'a> Wanted<'a> {
    fn parse(ctx: &Context<'_>, args: Args<'a>, may_store: bool) -> Result<Self, CommandError> {
        let mut wanted = Self {
            by: None,
            get: Vec::new(),
            offset: 0,
            count: -1,
            reversed: false,
            alphabetic: false,
            destination: None,
        };
        let mut rest = args.from(2);
        while let Some(argument) = rest.next() {
            let is = |name: &[u8]| argument.eq_ignore_ascii_case(name);
            let left = rest.len();
            let mut next = || rest.next().unwrap_or_default();
            if is(b"asc") {
                wanted.reversed = false;
            } else if is(b"desc") {
                wanted.reversed = true;
            } else if is(b"alpha") {
                wanted.alphabetic = true;
            } else if is(b"limit") && left >= 2 {
                let number = |argument| parse_i64(argument).ok_or(CommandError::NotAnInteger);
                wanted.offset = number(next())?;
                wanted.count = number(next())?;
            } else if may_store && is(b"store") && left >= 1 {
                wanted.destination = Some(next());
            } else if is(b"by") && left >= 1 {
                let by = Pattern::by(next());
                if by != Pattern::Nothing {
                    may_read_any_key(ctx, args, "BY")?;
                }
                // After a BY that keeps the order, another BY changes nothing.
                if !wanted.keeps_order() {
                    wanted.by = Some(by);
                }
            } else if is(b"get") && left >= 1 {
                may_read_any_key(ctx, args, "GET")?;
                wanted.get.push(Pattern::parse(next()));
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(wanted)
    }

    fn keeps_order(&self) -> bool {
        self.by == Some(Pattern::Nothing)
    }

    /// The part of `len` elements that LIMIT leaves.
    fn limits(&self, len: usize) -> Range<usize> {
        let start = usize::try_from(self.offset.max(0)).unwrap_or(usize::MAX);
        let start = start.min(len);
        match usize::try_from(self.count) {
            Ok(count) => start..start.saturating_add(count).min(len),
            Err(_) => start..len,
        }
    }
}

/// The elements decide which keys BY and GET read. So only a user that may read all keys may use them.
fn may_read_any_key(ctx: &Context<'_>, args: Args<'_>, option: &str) -> Result<(), CommandError> {
    let rules = ctx.session.identity.rules();
    if table()
        .find(&args[0])
        .is_some_and(|command| rules.allows_reading_all(command, args))
    {
        return Ok(());
    }
    let text = format!("ERR {option} option of SORT denied due to insufficient ACL permissions.");
    Err(CommandError::Text(text.into()))
}

fn sort(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    run(ctx, args, true)
}

fn sort_ro(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    run(ctx, args, false)
}

fn run(ctx: &mut Context<'_>, args: Args<'_>, may_store: bool) -> CommandResult {
    let mut wanted = Wanted::parse(ctx, args, may_store)?;
    let (kind, elements) = read_elements(ctx, &args[1])?;
    if wanted.keeps_order() && kind == Kind::Set && wanted.destination.is_some() {
        // The stored list must not depend on the random order of a set.
        wanted.by = None;
        wanted.alphabetic = true;
    }
    let elements = arrange(ctx, &wanted, kind, elements)?;
    match wanted.destination {
        None => reply(ctx, &wanted, elements),
        Some(destination) => store(ctx, &wanted, destination, elements),
    }
}

/// The elements in their own order, and the type of their collection.
fn read_elements(ctx: &mut Context<'_>, key: &[u8]) -> Result<(Kind, Vec<Vec<u8>>), CommandError> {
    ctx.view(key, |view, _| {
        let Some(view) = view else {
            return Ok((Kind::List, Vec::new()));
        };
        let mut elements = Vec::with_capacity(view.len());
        match view {
            View::List(list) => list.for_range(0..list.len(), false, |element| {
                elements.push(element.to_vec());
                ControlFlow::Continue(())
            })?,
            View::Set(set) => {
                for member in set.names()? {
                    elements.push(member?.into_vec());
                }
            }
            View::SortedSet(scores) => {
                let members = scores.range(0..scores.len());
                elements.extend(members.map(|(member, _)| member.to_vec()));
            }
            View::String(_) | View::Hash(_) | View::Stream(_) => {
                return Err(CommandError::WrongType);
            }
        }
        Ok((view.kind(), elements))
    })
}

/// What an element is sorted by.
enum SortKey {
    Number(f64),
    /// `None` comes first.
    Text(Option<Vec<u8>>),
}

impl SortKey {
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (SortKey::Number(a), SortKey::Number(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
            (SortKey::Text(a), SortKey::Text(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }
}

/// A number as SORT reads it: nothing is 0, and spaces may come first.
fn parse_number(text: &[u8]) -> Result<f64, CommandError> {
    if text.is_empty() {
        return Ok(0.0);
    }
    parse_float(text.trim_ascii_start()).ok_or(CommandError::text(
        "ERR One or more scores can't be converted into double",
    ))
}

fn sort_key(
    ctx: &mut Context<'_>,
    wanted: &Wanted<'_>,
    element: &[u8],
) -> Result<SortKey, CommandError> {
    let text = match wanted.by {
        None => Some(element.to_vec()),
        Some(by) => by.value(ctx, element)?,
    };
    Ok(if wanted.alphabetic {
        SortKey::Text(text)
    } else {
        SortKey::Number(text.map_or(Ok(0.0), |text| parse_number(&text))?)
    })
}

/// Sorts the elements as the call says, and cuts them to its limits.
fn arrange(
    ctx: &mut Context<'_>,
    wanted: &Wanted<'_>,
    kind: Kind,
    mut elements: Vec<Vec<u8>>,
) -> Result<Vec<Vec<u8>>, CommandError> {
    let limits = wanted.limits(elements.len());
    if wanted.keeps_order() {
        if wanted.reversed && kind != Kind::Set {
            elements.reverse();
        }
    } else {
        let mut keyed = elements
            .into_iter()
            .map(|element| Ok((sort_key(ctx, wanted, &element)?, element)))
            .collect::<Result<Vec<_>, CommandError>>()?;
        keyed.sort_by(|a, b| {
            let mut order = a.0.compare(&b.0);
            if !wanted.alphabetic {
                order = order.then_with(|| a.1.cmp(&b.1));
            }
            if wanted.reversed {
                order.reverse()
            } else {
                order
            }
        });
        elements = keyed.into_iter().map(|(_, element)| element).collect();
    }
    elements.truncate(limits.end);
    elements.drain(..limits.start);
    Ok(elements)
}

/// The results of a call: the elements, or the values that GET names for each of them.
fn results(
    ctx: &mut Context<'_>,
    wanted: &Wanted<'_>,
    elements: Vec<Vec<u8>>,
) -> Result<Vec<Option<Vec<u8>>>, CommandError> {
    if wanted.get.is_empty() {
        return Ok(elements.into_iter().map(Some).collect());
    }
    let mut results = Vec::with_capacity(elements.len() * wanted.get.len());
    for element in &elements {
        for pattern in &wanted.get {
            results.push(pattern.value(ctx, element)?);
        }
    }
    Ok(results)
}

fn reply(ctx: &mut Context<'_>, wanted: &Wanted<'_>, elements: Vec<Vec<u8>>) -> CommandResult {
    // Writes elements one by one, since only the output knows how large the reply may become.
    if wanted.get.is_empty() {
        ctx.out.array_header(elements.len());
        for element in elements {
            ctx.out.bulk(&element);
        }
        return Ok(Outcome::Written);
    }
    ctx.out.array_header(elements.len() * wanted.get.len());
    for element in elements {
        for pattern in &wanted.get {
            match pattern.value(ctx, &element)? {
                Some(value) => ctx.out.bulk(&value),
                None => ctx.out.null(),
            }
        }
    }
    Ok(Outcome::Written)
}

fn store(
    ctx: &mut Context<'_>,
    wanted: &Wanted<'_>,
    destination: &[u8],
    elements: Vec<Vec<u8>>,
) -> CommandResult {
    let results = results(ctx, wanted, elements)?;
    ctx.update_collection(destination, |keys| {
        let mut list = keys.build(DESTINATION, Kind::List);
        for element in &results {
            list.element(element.as_deref().unwrap_or_default())?;
        }
        if !results.is_empty() {
            keys.set_dirty(results.len());
        }
        sources::store(keys, list, EventClass::LIST, "sortstore")?;
        Ok(())
    })?;
    // The elements were read before the destination was locked.
    ctx.effect_is_key(destination)?;
    Ok(Reply::count(results.len()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let of = |offset, count| {
            let wanted = Wanted {
                by: None,
                get: Vec::new(),
                offset,
                count,
                reversed: false,
                alphabetic: false,
                destination: None,
            };
            wanted.limits(5)
        };
        for (offset, count, expected) in [
            (0, -1, 0..5),
            (1, 2, 1..3),
            (-3, 2, 0..2),
            (4, 9, 4..5),
            (9, 1, 5..5),
            (2, 0, 2..2),
            (i64::MAX, i64::MAX, 5..5),
        ] {
            assert_eq!(of(offset, count), expected, "{offset} {count}");
        }
    }
}
