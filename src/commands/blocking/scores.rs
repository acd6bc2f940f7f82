//! BZPOPMIN, BZPOPMAX, BZMPOP.

use super::{Call, KEYS_AND_TIMEOUT, POPPED, TIMEOUT, attempt, keys_before_timeout, parse_timeout};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::{Handler, Row};
use crate::commands::sortedsets::pop::{EXTREME, Extreme, parse_mpop};
use crate::commands::{CommandResult, Context};
use crate::protocol::Args;

/// A row; the parameters are what differs between the rows.
const fn row(
    name: &'static str,
    arity: Arity,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
    complexity: &'static str,
    handler: Handler,
) -> Row {
    Row::new(name, arity, handler)
        .flags(Flags::WRITE.union(Flags::BLOCKING).union(flags))
        .categories(Categories::SORTEDSET)
        .keys(POPPED)
        .group(Group::SortedSet, since)
        .summary(summary)
        .complexity(complexity)
        .arguments(KEYS_AND_TIMEOUT)
}

pub(in crate::commands) static COMMANDS: &[Row] = &[
    row(
        "bzpopmin",
        Arity::AtLeast(3),
        Flags::FAST,
        "5.0.0",
        "Takes the member with the lowest score from the first sorted set \
             that has any, and waits for one where all are empty",
        "O(log(N)) for N members",
        bzpopmin,
    )
    .history(&[(
        "6.0.0",
        "`timeout` is interpreted as a double instead of an integer.",
    )]),
    row(
        "bzpopmax",
        Arity::AtLeast(3),
        Flags::FAST,
        "5.0.0",
        "Takes the member with the highest score from the first sorted set \
             that has any, and waits for one where all are empty",
        "O(log(N)) for N members",
        bzpopmax,
    )
    .history(&[(
        "6.0.0",
        "`timeout` is interpreted as a double instead of an integer.",
    )]),
    row(
        "bzmpop",
        Arity::AtLeast(5),
        Flags::MOVABLEKEYS,
        "7.0.0",
        "Takes members from an end of the first sorted set that has any, and \
             waits for some where all are empty",
        "O(K) + O(M*log(N)) for K keys, N members and M taken",
        bzmpop,
    )
    .keys(&[KeySpec::counted(&["RW", "access", "delete"], 2)])
    .arguments(&[
        TIMEOUT,
        Argument::new("numkeys", ArgumentKind::Integer),
        Argument::key().multiple(),
        EXTREME,
        Argument::new("count", ArgumentKind::Integer)
            .with_token("COUNT")
            .optional(),
    ]),
];

fn bzpopmin(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop(ctx, args, Extreme::Min)
}

fn bzpopmax(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop(ctx, args, Extreme::Max)
}

fn pop(ctx: &mut Context<'_>, args: Args<'_>, end: Extreme) -> CommandResult {
    let deadline = parse_timeout(&args[args.len() - 1])?;
    let keys = keys_before_timeout(args);
    attempt(ctx, Call::ScorePop { keys, end }, deadline)
}

fn bzmpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (keys, end, count) = parse_mpop(args, 2)?;
    let deadline = parse_timeout(&args[1])?;
    let keys = keys.keys(args).map(<[u8]>::to_vec).collect();
    attempt(ctx, Call::ScoreMpop { keys, end, count }, deadline)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::commands::CommandError;
    use crate::keyspace::{Access, Keyspace, Kind};
    use crate::protocol::Reply;
    use crate::state::BlockedCall;
    use crate::store::memory::MemoryStore;

    #[test]
    fn takes_from_either_end_of_the_first_key_that_has_any() -> Result<(), CommandError> {
        let keyspace = Keyspace::new(Box::new(Arc::new(MemoryStore::new(1, false))));
        let access = Access::by_server(0);
        keyspace.update_many(&[(0, b"k".as_slice())], access, |keys| {
            let mut scores = keys.scores(0)?;
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
        assert_eq!(pop(Extreme::Min)?, Some(popped("one", 1.0)));
        let highest = mpopped(&[("four", 4.5), ("two", 2.0)]);
        assert_eq!(mpop(Extreme::Max, 2)?, Some(highest));
        assert_eq!(mpop(Extreme::Min, 9)?, Some(mpopped(&[("also", 2.0)])));
        assert_eq!(pop(Extreme::Max)?, None);
        assert!(keyspace.info(0, b"k", access)?.is_none());
        keyspace.update(0, b"absent", access, |key| {
            key.put(Kind::String, b"v", None)
        })?;
        assert!(matches!(pop(Extreme::Min), Err(CommandError::WrongType)));
        Ok(())
    }
}
