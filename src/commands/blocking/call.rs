//! A blocking command as data, so that the server can try it again and again.

use crate::commands::lists::moving::move_element;
use crate::commands::lists::pop::{mpop, pop};
use crate::commands::sortedsets::pop::{Extreme, pop_first, pop_members};
use crate::commands::streams::serve::ReadCall;
use crate::commands::{CommandError, Database};
use crate::keyspace::{Access, End, Keyspace, Kind};
use crate::protocol::Reply;
use crate::state::BlockedCall;

/// A call that waits for elements.
#[derive(Debug)]
pub(in crate::commands) enum Call {
    /// BLPOP and BRPOP: one element, from the first key that has any.
    ListPop {
        /// Where elements may be.
        keys: Vec<Vec<u8>>,
        /// The end that gives it.
        end: End,
    },
    /// BLMPOP: up to `count` elements, from the first key that has any.
    ListMpop {
        /// Where elements may be.
        keys: Vec<Vec<u8>>,
        /// The end that gives them.
        end: End,
        /// The most that are taken.
        count: usize,
    },
    /// BLMOVE and BRPOPLPUSH: one element, from one list to another.
    ListMove {
        /// Where it comes from.
        source: Vec<u8>,
        /// Where it goes.
        destination: Vec<u8>,
        /// The end of the source.
        from: End,
        /// The end of the destination.
        to: End,
    },
    /// BZPOPMIN and BZPOPMAX: one member, from the first key that has any.
    ScorePop {
        /// Where members may be.
        keys: Vec<Vec<u8>>,
        /// The end of the scores that gives it.
        end: Extreme,
    },
    /// BZMPOP: up to `count` members, from the first key that has any.
    ScoreMpop {
        /// Where members may be.
        keys: Vec<Vec<u8>>,
        /// The end of the scores that gives it.
        end: Extreme,
        /// The most that are taken.
        count: usize,
    },
    /// XREAD and XREADGROUP: entries of the streams that have new ones.
    Read(ReadCall),
}

impl Call {
    /// The reply inside a transaction if no key has an element.
    pub fn nothing(&self) -> Reply {
        match self {
            Call::ListMove { .. } => Reply::Null,
            _ => Reply::NullArray,
        }
    }
}

impl BlockedCall for Call {
    fn kind(&self) -> Kind {
        match self {
            Call::ListPop { .. } | Call::ListMpop { .. } | Call::ListMove { .. } => Kind::List,
            Call::ScorePop { .. } | Call::ScoreMpop { .. } => Kind::SortedSet,
            Call::Read(_) => Kind::Stream,
        }
    }

    fn needs_value(&self) -> bool {
        matches!(self, Call::Read(read) if read.by_group())
    }

    fn keys(&self) -> Vec<&[u8]> {
        match self {
            Call::ListPop { keys, .. }
            | Call::ListMpop { keys, .. }
            | Call::ScorePop { keys, .. }
            | Call::ScoreMpop { keys, .. } => names(keys),
            Call::ListMove { source, .. } => vec![source],
            Call::Read(read) => read.keys(),
        }
    }

    fn attempt(
        &self,
        keyspace: &Keyspace,
        db: usize,
        access: Access,
    ) -> Result<Option<Reply>, CommandError> {
        let database = Database {
            keyspace,
            number: db,
            access,
        };
        match self {
            Call::ListPop { keys, end } => {
                for key in keys {
                    if let Some(element) = pop(database, key, *end)? {
                        return Ok(Some(Reply::Array(vec![Reply::bulk(key), element])));
                    }
                }
                Ok(None)
            }
            Call::ListMpop { keys, end, count } => mpop(database, &names(keys), *end, *count),
            Call::ListMove {
                source,
                destination,
                from,
                to,
            } => move_element(database, source, destination, *from, *to),
            Call::ScorePop { keys, end } => {
                for key in keys {
                    if let Some(members) = pop_members(database, key, *end, 1)? {
                        let mut reply = vec![Reply::bulk(key)];
                        for (member, score) in members {
                            reply.extend([Reply::Bulk(member.into()), Reply::Double(score)]);
                        }
                        return Ok(Some(Reply::Array(reply)));
                    }
                }
                Ok(None)
            }
            Call::ScoreMpop { keys, end, count } => pop_first(database, &names(keys), *end, *count),
            Call::Read(read) => read.attempt(database),
        }
    }
}

fn names(keys: &[Vec<u8>]) -> Vec<&[u8]> {
    keys.iter().map(Vec::as_slice).collect()
}
