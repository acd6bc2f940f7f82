//! Members drawn at random: SPOP, SRANDMEMBER.

use smallvec::SmallVec;

use super::write_members;
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::draw::{Draw, draw_different, draw_names};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{ElementChange, EventClass, IndexKey, Kind, View};
use crate::numbers::parse_i64;
use crate::protocol::{Args, ReplyBuffer};

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("spop", Arity::AtLeast(2), spop)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::SET)
        .keys(&[KeySpec::first(&["RW", "access", "delete"])])
        .group(Group::Set, "1.0.0")
        .summary("Removes members drawn at random and returns them")
        .complexity("Without the count argument O(1), otherwise O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new("count", ArgumentKind::Integer)
                .optional()
                .since("3.2.0"),
        ])
        .tips(&["nondeterministic_output"])
        .history(&[("3.2.0", "Added the `count` argument.")]),
    Row::new("srandmember", Arity::AtLeast(2), srandmember)
        .flags(Flags::READONLY)
        .categories(Categories::SET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Set, "1.0.0")
        .summary("Returns members drawn at random")
        .complexity("Without the count argument O(1), otherwise O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new("count", ArgumentKind::Integer)
                .optional()
                .since("2.6.0"),
        ])
        .tips(&["nondeterministic_output"])
        .history(&[("2.6.0", "Added the optional `count` argument.")]),
];

fn srandmember(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let draw = args.get(2).map(Draw::parse).transpose()?;
    ctx.set(&args[1], |set, out| {
        match (set, draw) {
            (None, None) => out.null(),
            (None, Some(_)) => out.array_header(0),
            (Some(set), None) => match set.draw()? {
                Some(member) => out.bulk(&member),
                None => out.null(),
            },
            (Some(set), Some(draw)) => {
                let (count, members) = draw_names(set, draw)?;
                out.array_header(count);
                for member in members {
                    if out.is_overflown() {
                        break;
                    }
                    out.bulk(&member?);
                }
            }
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn spop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let count = match args.get(2) {
        None => None,
        Some(argument) => {
            let count = parse_i64(argument).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(CommandError::text(
                "ERR value is out of range, must be positive",
            ))?)
        }
    };
    // Dispatch removes what a failed call has written, since nothing was popped.
    let database = ctx.database();
    let one = |out: &mut ReplyBuffer, set: &mut ElementChange<'_>| {
        if count.is_some() {
            return Ok(None);
        }
        let taken = set.take_drawn(|member| out.bulk(member))?;
        if taken.is_some() {
            set.tell(EventClass::SET, "spop", 1);
        }
        Ok(taken.map(|()| true))
    };
    let found = database.change_element(&args[1], Kind::Set, &mut *ctx.out, one, |out, keys| {
        let Some(set) = keys.view().map(View::set).transpose()? else {
            match count {
                None => out.null(),
                Some(_) => out.set_header(0),
            }
            return Ok(false);
        };
        let len = set.len();
        let whole = count.is_some_and(|count| count >= len);
        let is_empty = if whole {
            write_members(set, out)?;
            keys.remove();
            database.effect(&[b"DEL", &args[1]]);
            true
        } else {
            let drawn: SmallVec<[IndexKey; 1]> = match count {
                None | Some(1) => set.draw()?.into_iter().collect(),
                Some(count) => draw_different(set, count)?.into(),
            };
            if count.is_some() {
                out.set_header(drawn.len());
            }
            if database.is_followed() {
                let mut words = vec![&b"SREM"[..], &args[1]];
                words.extend(drawn.iter().map(|member| &member[..]));
                database.effect(&words);
            }
            let mut set = keys.fields()?;
            for member in &drawn {
                out.bulk(member);
                set.remove(member)?;
            }
            if drawn.is_empty() {
                return Ok(true);
            }
            set.is_empty()
        };
        keys.set_dirty(count.unwrap_or(1).min(len));
        keys.event(EventClass::SET, "spop");
        if is_empty {
            keys.event(EventClass::GENERIC, "del");
        }
        Ok(true)
    })?;
    ctx.count_lookup(found);
    Ok(Outcome::Written)
}
