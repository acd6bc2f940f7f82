//! Commands on streams.

pub(super) mod add;
pub(super) mod change;
pub(super) mod claim;
pub(super) mod delete;
mod effects;
mod entries;
pub(super) mod groups;
mod ids;
pub(super) mod info;
pub(super) mod object;
pub(super) mod pending;
pub(super) mod range;
pub(super) mod read;
pub(super) mod serve;

use super::{CommandError, Context};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::{Handler, Row};
use crate::config::Settings;
use crate::error::shown;
use crate::keyspace::{NodeLimits, References};

/// A row of this family; the parameters are what all rows have.
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
        .flags(flags)
        .categories(Categories::STREAM)
        .group(Group::Stream, since)
        .summary(summary)
        .complexity(complexity)
}

const READ_KEY: &[KeySpec] = &[KeySpec::first(&["RO", "access"])];

const COUNT: Argument = Argument::new("count", ArgumentKind::Integer)
    .with_token("COUNT")
    .optional();
const GROUP: Argument = Argument::new("group", ArgumentKind::String);
const CONSUMER: Argument = Argument::new("consumer", ArgumentKind::String);
const IDS: Argument = Argument::new("id", ArgumentKind::String).multiple();

/// What becomes of entries that groups refer to: Redis 8.2 has these options.
const REFERENCES: Argument = Argument::new(
    "condition",
    ArgumentKind::OneOf(&[
        Argument::token("keepref", "KEEPREF"),
        Argument::token("delref", "DELREF"),
        Argument::token("acked", "ACKED"),
    ]),
)
.since("8.2.0")
.optional();

/// What an option says about entries that groups refer to; `None` if it is another option.
fn parse_references(option: &[u8]) -> Option<References> {
    match option {
        _ if option.eq_ignore_ascii_case(b"keepref") => Some(References::Keep),
        _ if option.eq_ignore_ascii_case(b"delref") => Some(References::Delete),
        _ if option.eq_ignore_ascii_case(b"acked") => Some(References::Respect),
        _ => None,
    }
}

/// The most bytes of a name that an error shows.
const SHOWN_BYTES_MAX: usize = 128;

/// The error of a missing key or group; `more` goes on after the group's name.
fn no_group(key: &[u8], group: &[u8], more: &str) -> CommandError {
    let (key, group) = (shown(key, SHOWN_BYTES_MAX), shown(group, SHOWN_BYTES_MAX));
    let text = format!("NOGROUP No such key '{key}' or consumer group '{group}'{more}");
    CommandError::Text(text.into())
}

/// When a node of a stream is full.
pub(super) fn node_limits(ctx: &Context<'_>) -> NodeLimits {
    limits_of(&ctx.server.config.settings())
}

/// The limits of a stream's nodes that these settings give.
pub(super) fn limits_of(settings: &Settings) -> NodeLimits {
    NodeLimits {
        bytes: settings.stream_node_max_bytes,
        entries: settings.stream_node_max_entries,
    }
}
