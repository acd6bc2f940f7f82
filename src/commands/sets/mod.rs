//! Sets: members without order.

mod algebra;
mod draw;
mod members;
pub(super) mod rows;

pub(super) use algebra::parse_limit;

use super::numbers::parse_i64;
use crate::keyspace::{Encoding, Fields};
use crate::protocol::ReplyBuffer;

/// Writes all members, as a set. Few integers come in ascending order, which Redis keeps them in.
fn write_members(members: Fields<'_>, out: &mut ReplyBuffer) {
    out.set_header(members.len());
    if members.encoding() == Encoding::Integers {
        let mut numbers: Vec<i64> = members.names().filter_map(parse_i64).collect();
        numbers.sort_unstable();
        for number in numbers {
            out.bulk(itoa::Buffer::new().format(number).as_bytes());
        }
        return;
    }
    for member in members.names() {
        out.bulk(member);
    }
}
