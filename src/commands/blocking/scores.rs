//! BZPOPMIN, BZPOPMAX, BZMPOP.

use super::super::numkeys::{Counted, parse_count};
use super::super::spec::{
    Argument, ArgumentKind, Arity, Categories, CommandSpec, Flags, Group, Handler, KeySpec,
};
use super::super::{CommandError, CommandResult, Context};
use super::{Call, KEYS_AND_TIMEOUT, POPPED, TIMEOUT, attempt, keys_before_timeout, parse_timeout};
use crate::keyspace::{Access, End, EventClass, Keyspace};
use crate::protocol::Args;

/// A row; what differs between them is in the arguments.
const fn row(
    name: &'static str,
    arity: Arity,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
    complexity: &'static str,
    handler: Handler,
) -> CommandSpec {
    CommandSpec {
        name,
        arity,
        flags: Flags::WRITE.union(Flags::BLOCKING).union(flags),
        categories: Categories::SORTEDSET,
        keys: POPPED,
        group: Group::SortedSet,
        since,
        summary,
        complexity,
        arguments: KEYS_AND_TIMEOUT,
        subcommands: &[],
        handler,
    }
}

pub(in crate::commands) static COMMANDS: &[CommandSpec] = &[
    row(
        "bzpopmin",
        Arity::AtLeast(3),
        Flags::FAST,
        "5.0.0",
        "Takes the member with the lowest score from the first sorted set that has any, and waits for one where all are empty",
        "O(log(N)) for N members",
        bzpopmin,
    ),
    row(
        "bzpopmax",
        Arity::AtLeast(3),
        Flags::FAST,
        "5.0.0",
        "Takes the member with the highest score from the first sorted set that has any, and waits for one where all are empty",
        "O(log(N)) for N members",
        bzpopmax,
    ),
    CommandSpec {
        keys: &[KeySpec::counted(&["RW", "access", "delete"], 2)],
        arguments: &[
            TIMEOUT,
            Argument::new("numkeys", ArgumentKind::Integer),
            Argument::key().multiple(),
            Argument::new(
                "where",
                ArgumentKind::OneOf(&[
                    Argument::token("min", "MIN"),
                    Argument::token("max", "MAX"),
                ]),
            ),
            Argument::new("count", ArgumentKind::Integer)
                .with_token("COUNT")
                .optional(),
        ],
        ..row(
            "bzmpop",
            Arity::AtLeast(5),
            Flags::MOVABLEKEYS,
            "7.0.0",
            "Takes members from an end of the first sorted set that has any, and waits for some where all are empty",
            "O(K) + O(M*log(N)) for K keys, N members and M taken",
            bzmpop,
        )
    },
];

fn bzpopmin(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop(ctx, args, End::Head)
}

fn bzpopmax(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop(ctx, args, End::Tail)
}

fn pop(ctx: &mut Context<'_>, args: Args<'_>, end: End) -> CommandResult {
    let deadline = parse_timeout(&args[args.len() - 1])?;
    let keys = keys_before_timeout(args);
    attempt(ctx, Call::ScorePop { keys, end }, deadline)
}

fn bzmpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let keys = Counted::parse(args, 2, "ERR numkeys should be greater than 0")?;
    let end = match args.get(keys.end()) {
        Some(word) if word.eq_ignore_ascii_case(b"min") => End::Head,
        Some(word) if word.eq_ignore_ascii_case(b"max") => End::Tail,
        _ => return Err(CommandError::Syntax),
    };
    let count = parse_count(args, keys.end() + 1)?;
    let deadline = parse_timeout(&args[1])?;
    let keys = keys.words(args).map(<[u8]>::to_vec).collect();
    attempt(ctx, Call::ScoreMpop { keys, end, count }, deadline)
}

/// Members with their scores.
pub(super) type Scored = Vec<(Vec<u8>, f64)>;

/// Takes up to `count` members from an end of the first sorted set among the keys, by score: with the position of its
/// key; `None` where all keys are missing.
pub(super) fn take(
    keyspace: &Keyspace,
    db: usize,
    access: Access,
    keys: &[&[u8]],
    end: End,
    count: usize,
) -> Result<Option<(usize, Scored)>, CommandError> {
    let named: Vec<_> = keys.iter().map(|&key| (db, key)).collect();
    keyspace.update_many(&named, access, |slots| {
        for i in 0..keys.len() {
            let Some(view) = slots.view(i) else {
                continue;
            };
            let scores = view.sorted_set()?;
            let len = scores.len();
            let taken = count.min(len);
            let copied = |(member, score): (&[u8], f64)| (member.to_vec(), score);
            let (members, name): (Scored, _) = match end {
                End::Head => (scores.range(0..taken).map(copied).collect(), "zpopmin"),
                End::Tail => {
                    let last = scores.range(len - taken..len).rev();
                    (last.map(copied).collect(), "zpopmax")
                }
            };
            let mut edit = slots.scores(i)?;
            for (member, _) in &members {
                edit.remove(member)?;
            }
            slots.event(i, EventClass::ZSET, name);
            if taken == len {
                slots.event(i, EventClass::GENERIC, "del");
            }
            return Ok(Some((i, members)));
        }
        Ok(None)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::keyspace::Kind;
    use crate::protocol::Reply;
    use crate::store::memory::MemoryStore;

    #[test]
    fn takes_from_either_end_of_the_first_key_that_has_any() -> Result<(), CommandError> {
        let keyspace = Keyspace::new(Box::new(Arc::new(MemoryStore::new(1, false))));
        let access = Access::by_server(0);
        keyspace.update_many(&[(0, b"k".as_slice())], access, |slots| {
            let mut scores = slots.scores(0)?;
            for (member, score) in [("one", 1.0), ("two", 2.0), ("also", 2.0), ("four", 4.5)] {
                scores.set(member.as_bytes(), score)?;
            }
            Ok::<_, CommandError>(())
        })?;
        let keys = || vec![b"absent".to_vec(), b"k".to_vec()];
        let pop = |end| Call::ScorePop { keys: keys(), end }.attempt(&keyspace, 0, access);
        let mpop = |end, count| {
            let keys = keys();
            Call::ScoreMpop { keys, end, count }.attempt(&keyspace, 0, access)
        };
        let popped = |member: &'static str, score| {
            let member = [Reply::text(member), Reply::Double(score)];
            Reply::Array([vec![Reply::text("k")], member.to_vec()].concat())
        };
        let mpopped = |members: &[(&'static str, f64)]| {
            let pair = |&(member, score): &(&'static str, f64)| {
                Reply::Array(vec![Reply::text(member), Reply::Double(score)])
            };
            let members = members.iter().map(pair).collect();
            Reply::Array(vec![Reply::text("k"), Reply::Array(members)])
        };
        assert_eq!(pop(End::Head)?, Some(popped("one", 1.0)));
        let highest = mpopped(&[("four", 4.5), ("two", 2.0)]);
        assert_eq!(mpop(End::Tail, 2)?, Some(highest));
        assert_eq!(mpop(End::Head, 9)?, Some(mpopped(&[("also", 2.0)])));
        assert_eq!(pop(End::Tail)?, None);
        assert!(keyspace.info(0, b"k", access)?.is_none());
        keyspace.update(0, b"absent", access, |slot| {
            slot.put(Kind::String, b"v", None)
        })?;
        assert!(matches!(pop(End::Head), Err(CommandError::WrongType)));
        Ok(())
    }
}
