//! The requests of a batch are read ahead, so that their keys can be fetched into the cache together.

use std::cell::Cell;

use crate::keyspace::{Ahead, Hashes, Keyspace, PREFETCHED};
use crate::protocol::{Lookahead, REQUESTS_AHEAD};

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

/// Prefetches the keys of the requests that were read ahead. Returns their hashes: one for each request with an argument.
pub(super) fn fetch(keyspace: &Keyspace, db: usize, input: &[u8], ahead: &Lookahead) -> Hashes {
    let keys = ahead.names_and_keys(input).map(|(name, key)| Ahead {
        db,
        key,
        value: !name.eq_ignore_ascii_case(b"set"),
    });
    keyspace.prefetch(keys)
}
