//! Members drawn at random: SPOP, SRANDMEMBER.

use super::write_members;
use crate::commands::draw::{Draw, draw_names};
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, Kind, View};
use crate::numbers::parse_i64;
use crate::protocol::Args;

pub(super) fn srandmember(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let draw = args.get(2).map(Draw::parse).transpose()?;
    ctx.view(&args[1], |view, out| {
        let set = view.map(View::set).transpose()?;
        match (set, draw) {
            (None, None) => out.null(),
            (None, Some(_)) => out.array_header(0),
            (Some(set), None) => match set.draw() {
                Some(member) => out.bulk(member),
                None => out.null(),
            },
            (Some(set), Some(draw)) => {
                let members = draw_names(set, draw);
                out.array_header(members.len());
                for member in members {
                    out.bulk(member);
                }
            }
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

pub(super) fn spop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let count = match args.get(2) {
        None => None,
        Some(word) => {
            let count = parse_i64(word).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(CommandError::text(
                "ERR value is out of range, must be positive",
            ))?)
        }
    };
    let key = [(ctx.session.db, &args[1])];
    let out = &mut *ctx.out;
    let mark = out.len();
    let popped = ctx.keyspace.update_many(&key, ctx.access, |slots| {
        let Some(set) = slots.view(0).map(View::set).transpose()? else {
            match count {
                None => out.null(),
                Some(_) => out.set_header(0),
            }
            return Ok::<_, CommandError>(false);
        };
        let len = set.len();
        let whole = count.is_some_and(|count| count >= len);
        if whole {
            write_members(set, out);
            slots.remove(0);
        } else {
            let drawn = draw_names(set, Draw::Different(count.unwrap_or(1)));
            if count.is_some() {
                out.set_header(drawn.len());
            }
            let drawn: Vec<Vec<u8>> = drawn.into_iter().map(<[u8]>::to_vec).collect();
            let mut set = slots.fields(0, Kind::Set)?;
            for member in &drawn {
                out.bulk(member);
                set.remove(member)?;
            }
            if drawn.is_empty() {
                return Ok(true);
            }
        }
        let is_empty = whole || slots.fields(0, Kind::Set)?.is_empty();
        slots.set_dirty(count.unwrap_or(1).min(len));
        slots.event(0, EventClass::SET, "spop");
        if is_empty {
            slots.event(0, EventClass::GENERIC, "del");
        }
        Ok(true)
    });
    match popped {
        Ok(found) => {
            ctx.count_lookup(found);
            Ok(Outcome::Written)
        }
        Err(error) => {
            // What is written was not taken out.
            ctx.out.truncate(mark);
            Err(error)
        }
    }
}
