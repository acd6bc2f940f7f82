//! Commands on strings.

pub(super) mod compared;
mod comparison;
pub(super) mod counters;
pub(super) mod lcs;
pub(super) mod msetex;
mod options;
pub(super) mod ranges;
pub(super) mod set;
pub(super) mod values;

use super::{CommandError, Context};
use crate::keyspace::{Kind, Value};
use crate::protocol::ReplyBuffer;

/// The longest string that a command may make, bytes.
pub(super) fn string_bytes_max(ctx: &Context<'_>) -> usize {
    ctx.server.config.settings().proto_max_bulk_len
}

/// The bytes of a string; another type is an error.
pub(super) fn string(value: Value<'_>) -> Result<&[u8], CommandError> {
    if value.kind == Kind::String {
        Ok(value.bytes)
    } else {
        Err(CommandError::WrongType)
    }
}

/// Writes a string as one reply; writes nothing if the value has another type.
fn write_string(value: Value<'_>, out: &mut ReplyBuffer) -> Result<(), CommandError> {
    out.bulk(string(value)?);
    Ok(())
}
