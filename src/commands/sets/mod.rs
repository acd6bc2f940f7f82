//! Sets: members without order.

mod algebra;
mod draw;
mod members;
pub(super) mod rows;

pub(super) use algebra::parse_limit;

use crate::keyspace::Fields;
use crate::protocol::ReplyBuffer;

/// Writes all members, as a set.
fn write_members(members: Fields<'_>, out: &mut ReplyBuffer) {
    out.set_header(members.len());
    for member in members.names() {
        out.bulk(member);
    }
}
