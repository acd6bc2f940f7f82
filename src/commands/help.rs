//! The replies of HELP subcommands.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

use super::{CommandError, CommandResult, Context, Outcome};
use crate::error::shown;
use crate::protocol::Args;

/// Answers the help of `container`: a head, `lines`, and the line on HELP itself.
///
/// Lines are simple strings, as clients that print them expect.
pub(super) fn reply(ctx: &mut Context<'_>, container: &str, lines: &[&str]) -> CommandResult {
    ctx.out.array_header(lines.len() + 3);
    ctx.out.simple(&format!(
        "{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    ));
    for line in lines {
        ctx.out.simple(line);
    }
    ctx.out.simple("HELP");
    ctx.out.simple("    Prints this help.");
    Ok(Outcome::Written)
}

/// The error of a call with more or fewer arguments than a subcommand of `container` takes.
pub(super) fn wrong_arguments(args: Args<'_>, container: &str) -> CommandError {
    let argument = shown(&args[1], 128);
    CommandError::Text(
        format!(
            "ERR unknown subcommand or wrong number of arguments for '{argument}'. Try {container} HELP."
        )
        .into(),
    )
}
