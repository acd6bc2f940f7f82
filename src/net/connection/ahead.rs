//! The requests of a batch are read ahead, so that their keys can be fetched into the cache together.

use std::cell::Cell;

use super::Connection;
use crate::config::Settings;
use crate::keyspace::{Ahead, AheadHashes, Hashes, Keyspace, Known, PREFETCHED, Presence};
use crate::protocol::{Args, Lookahead, REQUESTS_AHEAD, RequestLimits};
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

/// Prefetches the keys of the requests that were read ahead, and elements of collections that they name. Returns the hashes: for
/// each request with an argument.
pub(super) fn fetch(keyspace: &Keyspace, db: usize, input: &[u8], ahead: &Lookahead) -> Hashes {
    let calls = || ahead.calls().map(|arguments| Args::new(input, arguments));
    let keys = calls().filter_map(|args| {
        Some(Ahead {
            db,
            key: args.get(1)?,
            value: !args.get(0)?.eq_ignore_ascii_case(b"set"),
        })
    });
    keyspace.prefetch_with(keys, || calls().map(element))
}

/// The argument that most likely is the element that a call is about, by the letters that the commands on hashes, sets and
/// sorted sets begin with.
#[inline]
fn element(args: Args<'_>) -> Option<&[u8]> {
    let &[first, second, ..] = args.get(0)? else {
        return None;
    };
    let at = match first.to_ascii_lowercase() {
        // SET and its like have values there.
        b's' if second.eq_ignore_ascii_case(&b'e') => return None,
        // ZADD and ZINCRBY name the score first.
        b'z' if args.len() > 3 => 3,
        b'h' | b's' | b'z' => 2,
        _ => return None,
    };
    args.get(at)
}

/// The words of a call of which [`fetch`] has returned the hashes.
#[inline]
pub(super) fn known<'a>(args: Args<'a>, hashes: &AheadHashes) -> Option<Known<'a>> {
    let of_element = |hash| Some((element(args)?, hash));
    Some(Known {
        key: (args.get(1)?, hashes.key),
        element: hashes.element.and_then(of_element),
    })
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
