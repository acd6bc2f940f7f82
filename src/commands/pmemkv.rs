//! pmemkv's own view of the data: ranges of keys in byte order, the engine, its statistics, defragmentation.
//!
//! `PMEMKV.GETABOVE` is pmemkv's `get_above`, `PMEMKV.COUNTBETWEEN` its `count_between`, and so on: three things to
//! ask for in six shapes of range. The rows are made from those two lists.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{Command, CommandError, CommandResult, Context, Outcome, table};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group};
use crate::commands::row::{Handler, Row};
use crate::keyspace::{Keyspace, Millis, Range};
use crate::numbers::{parse_float, parse_i64};
use crate::protocol::{Args, Protocol, Reply};
use crate::state::Session;

const SINCE: &str = "0.1.0";

const LIMIT: Argument = Argument::new("limit", ArgumentKind::Integer)
    .with_token("LIMIT")
    .optional();
const BOUND: Argument = Argument::new("key", ArgumentKind::String);
const BOUNDS: [Argument; 2] = [
    Argument::new("key1", ArgumentKind::String),
    Argument::new("key2", ArgumentKind::String),
];

/// A shape of range: the end of the command's name and the number of its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    All,
    Above,
    EqualAbove,
    Below,
    EqualBelow,
    Between,
}

/// Longer ends come before those that they end with.
const SHAPES: &[(&str, Shape)] = &[
    ("equalabove", Shape::EqualAbove),
    ("equalbelow", Shape::EqualBelow),
    ("above", Shape::Above),
    ("below", Shape::Below),
    ("between", Shape::Between),
    ("all", Shape::All),
];

impl Shape {
    /// The shape that the name of a command of ours ends with. It is the command's own name: the configuration may give
    /// it another.
    fn of(command: &str) -> Shape {
        SHAPES
            .iter()
            .find_map(|&(end, shape)| command.ends_with(end).then_some(shape))
            .expect("every range command's name ends with a shape")
    }

    /// How many bounds it has.
    const fn bounds(self) -> usize {
        match self {
            Shape::All => 0,
            Shape::Between => 2,
            _ => 1,
        }
    }

    /// The range between the bounds, which stand from word 1 on.
    fn range(self, args: Args<'_>) -> Range<'_> {
        let bound = |index| args.get(index).unwrap_or_default();
        match self {
            Shape::All => Range::All,
            Shape::Above => Range::Above(bound(1)),
            Shape::EqualAbove => Range::EqualAbove(bound(1)),
            Shape::Below => Range::Below(bound(1)),
            Shape::EqualBelow => Range::EqualBelow(bound(1)),
            Shape::Between => Range::Between(bound(1), bound(2)),
        }
    }

    /// The arguments of a command of this shape.
    const fn arguments(self, limited: bool) -> &'static [Argument] {
        match (self.bounds(), limited) {
            (0, true) => &[LIMIT],
            (0, false) => &[],
            (1, true) => &[BOUND, LIMIT],
            (1, false) => &[BOUND],
            (_, true) => &[BOUNDS[0], BOUNDS[1], LIMIT],
            (_, false) => &BOUNDS,
        }
    }
}

const fn row(name: &'static str, summary: &'static str, handler: Handler) -> Row {
    Row::new(name, Arity::Exactly(1), handler)
        .group(Group::Pmemkv, SINCE)
        .summary(summary)
        .complexity("O(1)")
}

/// A command that walks a range. With `limited` it takes LIMIT.
///
/// It names none of the keys that it meets: the handlers leave out those that the user's patterns do not cover.
const fn walk(
    name: &'static str,
    shape: Shape,
    limited: bool,
    summary: &'static str,
    handler: Handler,
) -> Row {
    let words = 1 + shape.bounds();
    let arity = if limited {
        Arity::AtLeast(words)
    } else {
        Arity::Exactly(words)
    };
    row(name, summary, handler)
        .arity(arity)
        .flags(Flags::READONLY.union(Flags::SLOW))
        .categories(Categories::KEYSPACE.union(Categories::DANGEROUS))
        .complexity(
            "O(log(N)+M) with N keys in the database and M in the range; the first range of a \
             database on an engine without order is O(N*log(N))",
        )
        .arguments(shape.arguments(limited))
}

const fn get(name: &'static str, shape: Shape, summary: &'static str) -> Row {
    walk(name, shape, true, summary, get_range)
}

const fn keys(name: &'static str, shape: Shape, summary: &'static str) -> Row {
    walk(name, shape, true, summary, keys_range)
}

const fn count(name: &'static str, shape: Shape, summary: &'static str) -> Row {
    walk(name, shape, false, summary, count_range)
}

#[rustfmt::skip] // A table.
pub(super) static COMMANDS: &[Row] = &[
    get("pmemkv.getall", Shape::All, "Keys and values of the database, in byte order."),
    get("pmemkv.getabove", Shape::Above, "Keys greater than the bound, and their values."),
    get("pmemkv.getequalabove", Shape::EqualAbove, "Keys not less than the bound, and their values."),
    get("pmemkv.getbelow", Shape::Below, "Keys less than the bound, and their values."),
    get("pmemkv.getequalbelow", Shape::EqualBelow, "Keys not greater than the bound, and their values."),
    get("pmemkv.getbetween", Shape::Between, "Keys between the bounds, both excluded, and their values."),
    keys("pmemkv.keysall", Shape::All, "Keys of the database, in byte order."),
    keys("pmemkv.keysabove", Shape::Above, "Keys greater than the bound."),
    keys("pmemkv.keysequalabove", Shape::EqualAbove, "Keys not less than the bound."),
    keys("pmemkv.keysbelow", Shape::Below, "Keys less than the bound."),
    keys("pmemkv.keysequalbelow", Shape::EqualBelow, "Keys not greater than the bound."),
    keys("pmemkv.keysbetween", Shape::Between, "Keys between the bounds, both excluded."),
    count("pmemkv.countall", Shape::All, "How many strings the database has."),
    count("pmemkv.countabove", Shape::Above, "How many keys are greater than the bound."),
    count("pmemkv.countequalabove", Shape::EqualAbove, "How many keys are not less than the bound."),
    count("pmemkv.countbelow", Shape::Below, "How many keys are less than the bound."),
    count("pmemkv.countequalbelow", Shape::EqualBelow, "How many keys are not greater than the bound."),
    count("pmemkv.countbetween", Shape::Between, "How many keys are between the bounds, both excluded."),
    row("pmemkv.engine", "The name of the pmemkv engine that keeps the data.", engine),
    // As INFO, whose figures these are.
    row("pmemkv.stats", "What the pool and the index occupy.", stats).categories(Categories::DANGEROUS),
    row("pmemkv.defrag", "Defragments the pool, or a part of it, where the engine can.", defrag)
        .arity(Arity::AtLeast(1))
        .flags(Flags::WRITE.union(Flags::ADMIN).union(Flags::SLOW))
        .complexity("O(N) with N records in the part of the pool")
        .arguments(&[Argument::new(
            "part",
            ArgumentKind::Block(&[
                Argument::new("start-percent", ArgumentKind::Double),
                Argument::new("amount-percent", ArgumentKind::Double),
            ]),
        )
        .optional()]),
];

/// What follows the bounds: nothing, or `LIMIT n`.
fn parse_limit(args: Args<'_>, shape: Shape) -> Result<usize, CommandError> {
    let mut words = args.from(1 + shape.bounds());
    match (words.next(), words.next(), words.next()) {
        (None, ..) => Ok(usize::MAX),
        (Some(word), Some(limit), None) if word.eq_ignore_ascii_case(b"limit") => {
            let limit = parse_i64(limit).ok_or(CommandError::NotAnInteger)?;
            usize::try_from(limit).map_err(|_| CommandError::text("ERR LIMIT can't be negative"))
        }
        _ => Err(CommandError::Syntax),
    }
}

/// Writes the items that `walk` appends to the output, and afterwards the head that says how many they are.
///
/// The number is known only at the end, and the items may be large: they are written once, at their place, and moved
/// by the length of the head. On an error nothing of them stays.
fn write_counted(
    ctx: &mut Context<'_>,
    kind: u8,
    walk: impl FnOnce(&mut Context<'_>) -> Result<usize, CommandError>,
) -> CommandResult {
    let start = ctx.out.len();
    let count = match walk(ctx) {
        Ok(count) => count,
        Err(error) => {
            ctx.out.truncate(start);
            return Err(error);
        }
    };
    let head = format!("{}{count}\r\n", char::from(kind));
    let items = ctx.out.split_off(start);
    ctx.out.put(head.as_bytes());
    ctx.out.append(items);
    Ok(Outcome::Written)
}

/// Goes on until `met` keys are as many as asked for.
fn until(met: usize, limit: usize) -> ControlFlow<()> {
    if met < limit {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}

/// The command of a call, which dispatch has found.
fn command(args: Args<'_>) -> &'static Command {
    let found = table().find(&args[0]);
    found.expect("dispatch found the command by the same word")
}

fn get_range(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let command = command(args);
    let shape = Shape::of(command.full_name);
    let limit = parse_limit(args, shape)?;
    // A map's head counts pairs, an array's counts items.
    let (kind, per_pair) = match ctx.out.protocol {
        Protocol::Resp3 => (b'%', 1),
        Protocol::Resp2 => (b'*', 2),
    };
    write_counted(ctx, kind, |ctx| {
        let mut met = 0;
        if limit > 0 {
            let (db, now) = (ctx.session.db, ctx.access.now);
            let reach = ctx.session.identity.rules().reach(command, args.get(1));
            let reads_all = reach.reads_all();
            let may_read = |key: &[u8]| reads_all || reach.reads(key);
            let out = &mut *ctx.out;
            ctx.keyspace.walk().range(
                db,
                shape.range(args),
                now,
                &may_read,
                &mut |key, value| {
                    out.bulk(key);
                    out.bulk(value.bytes);
                    met += 1;
                    until(met, limit)
                },
            )?;
        }
        Ok(met * per_pair)
    })
}

/// Visits the keys of a range that the user may know of.
fn known_keys(
    keyspace: &Keyspace,
    session: &Session,
    range: Range<'_>,
    now: Millis,
    args: Args<'_>,
    visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), CommandError> {
    let rules = session.identity.rules();
    let reach = rules.reach(command(args), args.get(1));
    let reads_all = reach.reads_all();
    keyspace
        .walk()
        .range_keys(session.db, range, now, &mut |key| {
            if reads_all || reach.knows(key) {
                visit(key)
            } else {
                ControlFlow::Continue(())
            }
        })?;
    Ok(())
}

fn keys_range(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let shape = Shape::of(command(args).full_name);
    let limit = parse_limit(args, shape)?;
    write_counted(ctx, b'*', |ctx| {
        let mut met = 0;
        if limit > 0 {
            let (keyspace, now) = (ctx.keyspace, ctx.access.now);
            let out = &mut *ctx.out;
            let range = shape.range(args);
            known_keys(keyspace, ctx.session, range, now, args, &mut |key| {
                out.bulk(key);
                met += 1;
                until(met, limit)
            })?;
        }
        Ok(met)
    })
}

fn count_range(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let command = command(args);
    let range = Shape::of(command.full_name).range(args);
    let now = ctx.access.now;
    let rules = ctx.session.identity.rules();
    let count = if rules.reach(command, args.get(1)).reads_all() {
        ctx.keyspace
            .walk()
            .range_count(ctx.session.db, range, now)?
    } else {
        let mut count = 0;
        known_keys(ctx.keyspace, ctx.session, range, now, args, &mut |_| {
            count += 1;
            ControlFlow::Continue(())
        })?;
        count
    };
    Ok(integer(count).into())
}

fn integer(value: u64) -> Reply {
    Reply::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

fn engine(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Ok(Reply::bulk(ctx.keyspace.stats()?.engine).into())
}

fn stats(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let stats = ctx.keyspace.stats()?;
    let path = match &stats.pool_path {
        Some(path) => Reply::Bulk(Bytes::from(path.to_string_lossy().into_owned())),
        None => Reply::Null,
    };
    let free = stats.pool_bytes.saturating_sub(stats.allocated_bytes);
    let pairs = [
        ("engine", Reply::bulk(&stats.engine)),
        ("layout", Reply::text(stats.layout)),
        ("pool-path", path),
        ("pool-bytes", integer(stats.pool_bytes)),
        ("allocated-bytes", integer(stats.allocated_bytes)),
        ("free-bytes", integer(free)),
        ("partitions", Reply::count(stats.partitions)),
        ("partitions-indexed", Reply::count(stats.partitions_indexed)),
        ("records", integer(stats.records)),
        ("index-bytes", integer(stats.index_bytes)),
        ("ordered-view-bytes", integer(stats.ordered_view_bytes)),
        ("expired-keys", integer(stats.expired_keys)),
        ("expired-fields", integer(stats.expired_fields)),
        (
            "hashes-with-deadlines",
            integer(stats.hashes_with_deadlines),
        ),
        ("pending-removals", integer(stats.pending_removals)),
    ];
    // The layout's own figures have INFO's names, with dashes as all names here.
    let details = stats.details.iter().map(|&(name, value)| {
        let name = name.replace('_', "-");
        (Reply::bulk(&name), integer(value))
    });
    Ok(Reply::Map(
        pairs
            .into_iter()
            .map(|(name, value)| (Reply::text(name), value))
            .chain(details)
            .collect(),
    )
    .into())
}

/// The part of the pool to defragment: where it begins and how much it is, percent.
fn parse_part(args: Args<'_>) -> Result<(f64, f64), CommandError> {
    const OUTSIDE: CommandError = CommandError::text(
        "ERR start-percent and amount-percent must be numbers from 0 to 100, \
             and together not more than 100",
    );
    let (start, amount) = match (args.get(1), args.get(2), args.len()) {
        (None, ..) => return Ok((0.0, 100.0)),
        (Some(start), Some(amount), 3) => (start, amount),
        _ => return Err(CommandError::Syntax),
    };
    let (Some(start), Some(amount)) = (parse_float(start), parse_float(amount)) else {
        return Err(OUTSIDE);
    };
    let percent = 0.0..=100.0;
    if !percent.contains(&start) || !percent.contains(&amount) || start + amount > 100.0 {
        return Err(OUTSIDE);
    }
    Ok((start, amount))
}

fn defrag(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (start, amount) = parse_part(args)?;
    ctx.keyspace.defrag(start, amount)?;
    Ok(Reply::Ok.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    #[test]
    fn every_row_s_shape_fits_its_arity() {
        let walks = COMMANDS
            .iter()
            .map(|row| &row.spec)
            .filter(|row| row.flags.contains(Flags::SLOW) && row.name != "pmemkv.defrag");
        let mut seen = 0;
        for row in walks {
            let bounds = Shape::of(row.name).bounds();
            let (Arity::Exactly(words) | Arity::AtLeast(words)) = row.arity;
            assert_eq!(words, 1 + bounds, "{}", row.name);
            seen += 1;
        }
        assert_eq!(seen, 18);
    }

    #[test]
    fn names_give_shapes() {
        assert_eq!(Shape::of("pmemkv.getall"), Shape::All);
        assert_eq!(Shape::of("pmemkv.getequalabove"), Shape::EqualAbove);
        assert_eq!(Shape::of("pmemkv.countbelow"), Shape::Below);
        assert_eq!(Shape::of("pmemkv.keysbetween"), Shape::Between);
    }

    #[test]
    fn limits() {
        let limit = |words: &[&str]| {
            let words = OwnedArgs::new(std::iter::once(&"pmemkv.getabove").chain(words));
            parse_limit(words.args(), Shape::Above).map_err(|error| error.to_string())
        };
        assert_eq!(limit(&["a"]), Ok(usize::MAX));
        assert_eq!(limit(&["a", "limit", "3"]), Ok(3));
        assert_eq!(limit(&["a", "LIMIT", "0"]), Ok(0));
        let texts = [
            (&["a", "LIMIT", "-1"][..], "ERR LIMIT can't be negative"),
            (
                &["a", "LIMIT", "x"],
                "ERR value is not an integer or out of range",
            ),
            (&["a", "LIMIT"], "ERR syntax error"),
            (&["a", "b", "3"], "ERR syntax error"),
            (&["a", "LIMIT", "1", "2"], "ERR syntax error"),
        ];
        for (words, text) in texts {
            assert_eq!(limit(words), Err(text.to_owned()), "{words:?}");
        }
    }

    #[test]
    fn parts_of_the_pool() {
        let part = |words: &[&str]| {
            let words = OwnedArgs::new(std::iter::once(&"pmemkv.defrag").chain(words));
            parse_part(words.args()).ok()
        };
        assert_eq!(part(&[]), Some((0.0, 100.0)));
        assert_eq!(part(&["10", "20.5"]), Some((10.0, 20.5)));
        for bad in [
            &["10"][..],
            &["-1", "5"],
            &["5", "101"],
            &["60", "50"],
            &["x", "1"],
            &["1", "2", "3"],
        ] {
            assert_eq!(part(bad), None, "{bad:?}");
        }
    }
}
