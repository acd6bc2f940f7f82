//! Sorted sets: members in the order of their scores.

mod add;
mod algebra;
pub(super) mod algebra_rows;
mod bounds;
mod members;
pub(super) mod pop;
pub(super) mod range_rows;
mod ranges;
mod removals;
pub(super) mod rows;

pub(super) use add::{AddOptions, add_members};

use super::{CommandError, Context};
use crate::keyspace::{KeyspaceError, NewCollection, Scores, View};
use crate::protocol::{Args, Protocol, ReplyBuffer};

/// Redis keeps a sorted set of so many members at most, none of them longer, in a form of its own.
const SMALL_LEN_MAX: usize = 128;
const SMALL_BYTES_MAX: usize = 64;

/// Runs `f` on the sorted set that word 1 names, if there is one.
fn read<R>(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    f: impl FnOnce(Option<Scores<'_>>, &mut ReplyBuffer) -> Result<R, CommandError>,
) -> Result<R, CommandError> {
    ctx.view(&args[1], |view, out| {
        f(view.map(View::sorted_set).transpose()?, out)
    })
}

/// Adds the members of a result to what is to be stored.
fn add_all(new: &mut NewCollection<'_>, members: &[(&[u8], f64)]) -> Result<(), KeyspaceError> {
    // Redis keeps no sign of a zero in small sorted sets.
    let small = members.len() <= SMALL_LEN_MAX
        && members
            .iter()
            .all(|(name, _)| name.len() <= SMALL_BYTES_MAX);
    members.iter().try_for_each(|&(member, score)| {
        new.scored(member, if small { score + 0.0 } else { score })
    })
}

/// Writes members, with their scores where that is wanted: behind each member in RESP2, in pairs in RESP3.
fn write_members<'m>(
    out: &mut ReplyBuffer,
    members: impl ExactSizeIterator<Item = (&'m [u8], f64)>,
    with_scores: bool,
) {
    let paired = with_scores && out.protocol == Protocol::Resp3;
    let flat = with_scores && !paired;
    out.array_header(members.len() * (1 + usize::from(flat)));
    for (member, score) in members {
        if paired {
            out.array_header(2);
        }
        out.bulk(member);
        if with_scores {
            out.double(score);
        }
    }
}
