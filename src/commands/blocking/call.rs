//! What a command that waits is to do, as data: it can be tried again and again.

use super::super::CommandError;
use crate::keyspace::{Access, Keyspace, Kind};
use crate::protocol::Reply;

/// A call that waits for elements.
#[derive(Debug)]
pub enum Call {
    /// BLPOP, BRPOP.
    ListPop {
        /// The first of them that has elements gives one.
        keys: Vec<Vec<u8>>,
    },
}

impl Call {
    /// The type of value that it waits for.
    pub fn kind(&self) -> Kind {
        Kind::List
    }

    /// The keys that it waits for.
    pub fn keys(&self) -> Vec<&[u8]> {
        match self {
            Call::ListPop { keys } => keys.iter().map(Vec::as_slice).collect(),
        }
    }

    /// Does what it is to do; `None` where there is nothing to be had.
    pub fn attempt(
        &self,
        keyspace: &Keyspace,
        db: usize,
        access: Access,
    ) -> Result<Option<Reply>, CommandError> {
        let _ = (keyspace, db, access);
        Ok(None)
    }
}
