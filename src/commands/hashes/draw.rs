//! HRANDFIELD.

use crate::commands::draw::{Draw, draw_names};
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::protocol::{Args, Protocol};

pub(super) fn hrandfield(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let Some(count) = args.get(2) else {
        ctx.hash(&args[1], |fields, out| {
            match fields.and_then(|fields| fields.draw()) {
                Some(name) => out.bulk(name),
                None => out.null(),
            }
            Ok(())
        })?;
        return Ok(Outcome::Written);
    };
    let draw = Draw::parse(count)?;
    let with_values = match args.get(3) {
        None => false,
        Some(word) if args.len() == 4 && word.eq_ignore_ascii_case(b"withvalues") => true,
        Some(_) => return Err(CommandError::Syntax),
    };
    if with_values {
        draw.check_pairs()?;
    }
    ctx.hash(&args[1], |fields, out| {
        let Some(fields) = fields else {
            out.array_header(0);
            return Ok(());
        };
        let names = draw_names(fields, draw);
        let paired = with_values && out.protocol == Protocol::Resp3;
        let flat = with_values && !paired;
        out.array_header(names.len() * (1 + usize::from(flat)));
        for name in names {
            if paired {
                out.array_header(2);
            }
            out.bulk(name);
            if with_values {
                fields.get(name, |value| out.bulk(value))?;
            }
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}
