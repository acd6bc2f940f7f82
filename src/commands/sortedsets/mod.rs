//! Sorted sets: members in the order of their scores.

pub(super) mod add;
pub(super) mod algebra;
mod bounds;
pub(super) mod members;
pub(super) mod pop;
pub(super) mod ranges;
pub(super) mod removals;
mod weighted;

pub(super) use add::{AddOptions, add_members};

use crate::keyspace::{KeyspaceError, NewCollection};
use crate::protocol::{Protocol, ReplyBuffer};

/// Writes members, with their scores if `with_scores`: behind each member in RESP2, in pairs in RESP3.
fn write_members<'m>(
    out: &mut ReplyBuffer,
    members: impl ExactSizeIterator<Item = (&'m [u8], f64)>,
    with_scores: bool,
) {
    let paired = with_scores && out.protocol == Protocol::Resp3;
    let flat = with_scores && !paired;
    out.array_header(members.len() * (1 + usize::from(flat)));
    for (member, score) in members {
        if out.is_overflown() {
            break;
        }
        if paired {
            out.array_header(2);
        }
        out.bulk(member);
        if with_scores {
            out.double(score);
        }
    }
}

/// Fills a new sorted set.
fn store_members(
    new: &mut NewCollection<'_>,
    members: &[(&[u8], f64)],
) -> Result<(), KeyspaceError> {
    let longest = members.iter().map(|(member, _)| member.len()).max();
    for &(member, score) in members {
        let score = new.kept_score(score, members.len(), longest.unwrap_or(0));
        new.scored(member, score)?;
    }
    Ok(())
}
