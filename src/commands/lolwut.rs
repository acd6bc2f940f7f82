//! LOLWUT: the server's name and version, in one line.

use super::{CommandError, CommandResult, Context};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, Group};
use crate::commands::row::Row;
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};
use crate::state::redis_version;

pub(super) static COMMANDS: &[Row] = &[Row::new("lolwut", Arity::AtLeast(1), lolwut)
    .flags(Flags::READONLY.union(Flags::FAST))
    .group(Group::Server, "5.0.0")
    .summary("Answers the server's version.")
    .arguments(&[Argument::new("version", ArgumentKind::Integer)
        .with_token("VERSION")
        .optional()])];

fn lolwut(_: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let is_version = |argument: &[u8]| argument.eq_ignore_ascii_case(b"version");
    if args.len() >= 3 && args.get(1).is_some_and(is_version) {
        parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?;
    }
    let own = env!("CARGO_PKG_VERSION");
    let text = format!("Redis ver. {}, pmemkv-server {own}\n", redis_version());
    Ok(Reply::Verbatim(text.into()).into())
}
