//! The requests of a batch are read ahead, so that their keys can be fetched into the cache together.

use std::cell::Cell;

use super::Connection;
use crate::config::Settings;
use crate::keyspace::{Ahead, Hashes, Keyspace, PREFETCHED, Presence};
use crate::protocol::{Lookahead, REQUESTS_AHEAD, RequestLimits};
use crate::state::{Server, Session};

const _: () = assert!(
    REQUESTS_AHEAD <= PREFETCHED,
    "all of them are fetched together"
);

thread_local! {
    /// A thread runs one batch at a time, so that its connections share the memory.
    static AHEAD: Cell<Lookahead> = const { Cell::new(Lookahead::new()) };
}

/// The thread's place for requests that are read ahead, empty.
pub(super) fn borrow() -> Lookahead {
    AHEAD.take()
}

/// Forgets the requests, and gives the place back.
pub(super) fn give_back(mut ahead: Lookahead) {
    ahead.clear();
    AHEAD.set(ahead);
}

/// What the requests of a session may be like.
#[inline]
pub(super) fn limits(session: &Session, server: &Server, settings: &Settings) -> RequestLimits {
    RequestLimits {
        bulk_bytes_max: settings.proto_max_bulk_len,
        authenticated: session.authenticated || server.acl.is_open(),
    }
}

/// Prefetches the keys of the requests that were read ahead. Returns their hashes: one for each request with an argument.
pub(super) fn fetch(keyspace: &Keyspace, db: usize, input: &[u8], ahead: &Lookahead) -> Hashes {
    let keys = ahead.names_and_keys(input).map(|(name, key)| Ahead {
        db,
        key,
        value: !name.eq_ignore_ascii_case(b"set"),
    });
    keyspace.prefetch(keys)
}

impl Connection {
    /// Has the kernel begin to read what the next requests will wait for. If it returns `true`, the worker's other connections should
    /// do the same before these requests run: then a disk reads for all of them at the same time.
    #[cold]
    pub(super) fn ask_for_pages(&mut self) -> bool {
        let limits = limits(&self.session, &self.server, &self.settings);
        if !limits.authenticated || !self.parser.is_between_requests() {
            return false;
        }
        let presence = Presence::of_worker(self.keyspace.gate(), self.worker);
        let mut ahead = borrow();
        if presence.is_inside() {
            ahead.read(&self.input, 0, limits.bulk_bytes_max);
        }
        self.has_asked = !ahead.is_empty();
        if self.has_asked {
            fetch(&self.keyspace, self.session.db, &self.input, &ahead);
        }
        give_back(ahead);
        self.has_asked
    }
}
