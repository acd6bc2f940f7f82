//! HRANDFIELD.

use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::draw::{Draw, draw_names};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::protocol::{Args, Protocol};

pub(in crate::commands) static COMMANDS: &[Row] =
    &[Row::new("hrandfield", Arity::AtLeast(2), hrandfield)
        .flags(Flags::READONLY)
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Hash, "6.2.0")
        .summary("Returns fields drawn at random")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "options",
                ArgumentKind::Block(&[
                    Argument::new("count", ArgumentKind::Integer),
                    Argument::token("withvalues", "WITHVALUES").optional(),
                ]),
            )
            .optional(),
        ])
        .tips(&["nondeterministic_output"])];

fn hrandfield(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let Some(count) = args.get(2) else {
        ctx.hash(&args[1], |hash, out| {
            match hash.map(|hash| hash.draw()).transpose()?.flatten() {
                Some(name) => out.bulk(&name),
                None => out.null(),
            }
            Ok(())
        })?;
        return Ok(Outcome::Written);
    };
    let draw = Draw::parse(count)?;
    let with_values = match args.get(3) {
        None => false,
        Some(argument) if args.len() == 4 && argument.eq_ignore_ascii_case(b"withvalues") => true,
        Some(_) => return Err(CommandError::Syntax),
    };
    if with_values {
        draw.check_pairs()?;
    }
    ctx.hash(&args[1], |hash, out| {
        let Some(hash) = hash else {
            out.array_header(0);
            return Ok(());
        };
        let (count, names) = draw_names(hash, draw)?;
        let paired = with_values && out.protocol == Protocol::Resp3;
        let flat = with_values && !paired;
        out.array_header(count * (1 + usize::from(flat)));
        for name in names {
            if out.is_overflown() {
                break;
            }
            if paired {
                out.array_header(2);
            }
            let name = name?;
            out.bulk(&name);
            if with_values {
                hash.get(&name, |value| out.bulk(value))?;
            }
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}
