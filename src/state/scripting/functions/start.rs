//! Loads the libraries that the pool holds, before the server serves the first command.

use std::time::Duration;

use super::{Change, Functions};
use crate::keyspace::{Keyspace, KeyspaceError};
use crate::store::StoreError;

/// How long a library may run: it was faster when a client loaded it.
const LOAD_TIME_MAX: Duration = Duration::from_secs(60);

impl Functions {
    /// Loads what the pool holds. `repair`: a library that does not load is dropped with a line in the log.
    pub fn start(&mut self, keyspace: &Keyspace, repair: bool) -> Result<(), KeyspaceError> {
        let read = keyspace.libraries().read();
        let payload = match read {
            Ok(Some(payload)) => payload,
            Ok(None) => return Ok(()),
            Err(error) if repair => {
                tracing::warn!(%error, "repair: dropped all libraries of functions");
                return keyspace.libraries().store(None);
            }
            Err(error) => return Err(error),
        };
        let mut change = Change::default();
        let loaded = self.compile_all(&payload, LOAD_TIME_MAX, &mut change, repair);
        if repair {
            if let Err(error) = loaded {
                tracing::warn!(%error, "repair: dropped the rest of the libraries of functions");
            }
            return self
                .commit(keyspace, change)
                .map_err(|error| StoreError::Damaged(error.to_string()).into());
        }
        if let Err(error) = loaded {
            self.discard(change);
            return Err(StoreError::Damaged(format!(
                "a stored library of functions does not load: {error}. Start once with --repair yes, which drops it"
            ))
            .into());
        }
        self.apply(change);
        let (libraries, functions) = (self.library_count(), self.function_count());
        tracing::info!(
            libraries,
            functions,
            "the libraries of functions are loaded"
        );
        Ok(())
    }
}
