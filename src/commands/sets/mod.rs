//! Sets: members without order.

pub(super) mod algebra;
pub(super) mod draw;
pub(super) mod members;

pub(super) use algebra::parse_limit;

use crate::keyspace::{Fields, KeyspaceError};
use crate::protocol::ReplyBuffer;

/// Writes all members, as a set.
fn write_members(members: Fields<'_>, out: &mut ReplyBuffer) -> Result<(), KeyspaceError> {
    out.set_header(members.len());
    members.for_names(|member| out.bulk(member))
}
