//! Other contents for all databases, written beside the present ones, which clients read meanwhile. One durable step then
//! gives them to the databases.
//!
//! They are tables of generations that no database has. A crash leaves such records as garbage, and so does a
//! [replacement that is given up](Replacement::abandon).

use super::databases::INCOMING;
use super::{DATABASES, Keyspace, KeyspaceError};

/// Other contents for all databases; see [`Keyspace::replacement`].
#[derive(Clone, Copy, Debug)]
pub struct Replacement<'k> {
    pub(super) keyspace: &'k Keyspace,
}

impl Replacement<'_> {
    /// Begins with empty contents, with one durable store. Nobody else makes a replacement meanwhile. The caller is inside the
    /// gate and holds no key.
    pub fn begin(self) -> Result<(), KeyspaceError> {
        self.abandon();
        self.keyspace.databases().begin_incoming()
    }

    /// The number under which [`Keyspace::update_many`] reaches the coming contents of a database. Nobody is told of what
    /// happens there.
    pub fn database(self, db: usize) -> usize {
        INCOMING + db
    }

    /// Gives the databases the contents that were written, instead of theirs. Watchers, waiting and caching clients learn
    /// of it as of a FLUSHALL. The caller has [begun](Self::begin) and is alone in the gate; within a
    /// [step](Keyspace::atomically) it is a part of that.
    pub fn adopt(self) -> Result<(), KeyspaceError> {
        let all: [usize; DATABASES] = std::array::from_fn(|db| db);
        self.keyspace.databases().renew(&all, true)
    }

    /// Drops what was written, if anything was. The caller is inside the gate and holds no key.
    pub fn abandon(self) {
        self.keyspace.databases().drop_incoming();
    }
}
