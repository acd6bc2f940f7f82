//! What a handler works with: the keys of the selected database, the session, the output.
//!
//! A handler looks at keys by [`Context::hash`] and its like, and changes them by [`Context::update`],
//! [`Context::update_many`] and [`Context::change_hash`] and its like. A closure that needs the context itself, for
//! its output, takes the way through [`Context::database`], which borrows nothing of the context.

use smallvec::SmallVec;

use super::CommandError;
use crate::keyspace::{
    Access, ElementChange, EventClass, Fields, KeyInfo, KeyUpdate, Keyspace, KeyspaceError, Kind,
    List, OneUpdate, Scores, Stream, StringView, Update, Use, Value, View,
};
use crate::protocol::ReplyBuffer;
use crate::state::{Lookups, Server, Session};

/// Look-ups of elements in the engine that a call makes on a worker: some 4 us each.
const ELEMENTS_AT_ONCE: usize = 2_000;

/// What a handler works with.
pub struct Context<'a> {
    /// The data.
    pub keyspace: &'a Keyspace,
    /// What all connections share: settings, clients, statistics.
    pub server: &'a Server,
    /// This connection's state.
    pub session: &'a mut Session,
    /// This connection's output, for replies that are written without a copy.
    pub out: &'a mut ReplyBuffer,
    /// Now, and whether accesses count.
    pub access: Access,
    /// Keyspace hits and misses of this batch.
    pub lookups: &'a mut Lookups,
}

/// The selected database, as one call sees it. It counts no hits and misses.
#[derive(Clone, Copy)]
pub struct Database<'a> {
    /// The data of all databases.
    pub keyspace: &'a Keyspace,
    /// Which database it is.
    pub number: usize,
    /// Now, and whether accesses count.
    pub access: Access,
}

/// The keys of a call, each with its database.
type Keys<'k> = SmallVec<[(usize, &'k [u8]); 4]>;

impl Database<'_> {
    /// The same database, where looking at a key counts as no use of it.
    #[must_use]
    pub fn untouched(mut self) -> Self {
        self.access.touch = false;
        self
    }

    /// What the index knows of a key.
    pub fn info(self, key: &[u8]) -> Result<Option<KeyInfo>, KeyspaceError> {
        self.keyspace.info(self.number, key, self.access)
    }

    /// Makes a key count as used so, where the policy keeps such uses.
    pub fn set_use(self, key: &[u8], used: Use) -> Result<(), KeyspaceError> {
        self.keyspace.set_use(self.number, key, used, self.access)
    }

    /// Runs `f` on the live value of `key`, of whatever type.
    #[inline]
    pub fn view<R>(
        self,
        key: &[u8],
        f: impl FnOnce(Option<View<'_>>) -> R,
    ) -> Result<R, KeyspaceError> {
        self.keyspace.view(self.number, key, self.access, f)
    }

    /// Runs `f` on the live values of several keys, as they are at one moment.
    pub fn view_many<'k, R>(
        self,
        keys: impl IntoIterator<Item = &'k [u8]>,
        f: impl FnOnce(&[Option<View<'_>>]) -> R,
    ) -> Result<R, KeyspaceError> {
        self.keyspace.view_many(&self.keys(keys), self.access, f)
    }

    /// Locks `key` and runs `f` on it. Each of its changes happens at once.
    #[inline]
    pub fn update<R>(
        self,
        key: &[u8],
        f: impl FnOnce(&mut KeyUpdate<'_>) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        self.keyspace.update(self.number, key, self.access, f)
    }

    /// Locks several keys and runs `f` on them; it names each by its position. Its changes happen together, as one
    /// step, when it returns `Ok`.
    #[inline]
    pub fn update_many<'k, R>(
        self,
        keys: impl IntoIterator<Item = &'k [u8]>,
        f: impl FnOnce(&mut Update<'_>) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        self.keyspace.update_many(&self.keys(keys), self.access, f)
    }

    /// As [`update_many`](Self::update_many), of one key, which is at position 0.
    #[inline]
    pub fn update_collection<R>(
        self,
        key: &[u8],
        f: impl FnOnce(&mut Update<'_>) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        self.keyspace
            .update_many(&[(self.number, key)], self.access, f)
    }

    /// Locks `key` and has `f` change its collection, which is of type `kind`. Its changes happen together when it returns `Ok`.
    ///
    /// `f` may run twice: so it changes nothing but the collection unless it only removes elements.
    #[inline]
    pub fn update_one<R>(
        self,
        key: &[u8],
        kind: Kind,
        f: impl FnMut(&mut OneUpdate<'_, '_>) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        self.keyspace
            .update_one(self.number, key, self.access, kind, f)
    }

    /// As [`update_one`](Self::update_one), for a call that mostly changes one element: it runs `one` where that may be all,
    /// and `all` where `one` returned `None` or did not run. Both get `with`. See [`Keyspace::change_element`].
    #[inline]
    pub fn change_element<S, R>(
        self,
        key: &[u8],
        kind: Kind,
        with: &mut S,
        one: impl FnOnce(&mut S, &mut ElementChange<'_>) -> Result<Option<R>, CommandError>,
        all: impl FnMut(&mut S, &mut OneUpdate<'_, '_>) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        let key = (self.number, key);
        self.keyspace
            .change_element(key, self.access, kind, with, one, all)
    }

    /// Sets several keys to strings, if that takes no more than their writes; see [`Keyspace::put_strings`].
    pub fn put_strings<'k>(
        self,
        keys: impl IntoIterator<Item = &'k [u8]>,
        values: impl Iterator<Item = &'k [u8]>,
        event: &'static str,
    ) -> Result<bool, CommandError> {
        let keys = self.keys(keys);
        Ok(self
            .keyspace
            .put_strings(&keys, values, self.access, event)?)
    }

    fn keys<'k>(self, keys: impl IntoIterator<Item = &'k [u8]>) -> Keys<'k> {
        let keys = keys.into_iter();
        keys.map(|key| (self.number, key)).collect()
    }
}

impl<'a> Context<'a> {
    /// The selected database, for closures that need the context too.
    #[inline]
    pub fn database(&self) -> Database<'a> {
        Database {
            keyspace: self.keyspace,
            number: self.session.db,
            access: self.access,
        }
    }
}

/// Looking at keys. What a closure writes into the output is the reply, unless the closure fails.
impl Context<'_> {
    /// Runs `f` on the live value of `key`, and counts a hit or a miss.
    #[inline]
    pub fn read<R>(
        &mut self,
        key: &[u8],
        f: impl FnOnce(Value<'_>, &mut ReplyBuffer) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        let out = &mut *self.out;
        let result = self
            .keyspace
            .read(self.session.db, key, self.access, |value| f(value, out))?;
        self.looked_up(key, result.is_some());
        Ok(result)
    }

    /// Runs `f` on the live string of `key`, and counts a hit or a miss.
    pub fn read_string<R>(
        &mut self,
        key: &[u8],
        f: impl FnOnce(StringView<'_>, &mut ReplyBuffer) -> Result<R, CommandError>,
    ) -> Result<Option<R>, CommandError> {
        let mark = self.out.len();
        let out = &mut *self.out;
        let read = self
            .keyspace
            .read_string(self.session.db, key, self.access, |string| f(string, out));
        match &read {
            Ok(read) => self.looked_up(key, read.is_some()),
            Err(KeyspaceError::WrongKind) => self.looked_up(key, true),
            Err(_) => {}
        }
        let result = read?.transpose();
        if result.is_err() {
            self.out.truncate(mark);
        }
        result
    }

    /// Runs `f` on the live value of `key`, of whatever type, and counts a hit or a miss.
    #[inline]
    pub fn view<R>(
        &mut self,
        key: &[u8],
        f: impl FnOnce(Option<View<'_>>, &mut ReplyBuffer) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        let mark = self.out.len();
        let out = &mut *self.out;
        let mut found = false;
        let result = self
            .keyspace
            .view(self.session.db, key, self.access, |view| {
                found = view.is_some();
                f(view, out)
            })?;
        if result.is_err() {
            self.out.truncate(mark);
        }
        self.looked_up(key, found);
        result
    }

    /// Runs `f` on the hash of `key`; `None` where the key is missing.
    #[inline]
    pub fn hash<R>(
        &mut self,
        key: &[u8],
        f: impl FnOnce(Option<Fields<'_>>, &mut ReplyBuffer) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        self.view(key, |view, out| f(view.map(View::hash).transpose()?, out))
    }

    /// Runs `f` on the set of `key`; `None` where the key is missing.
    #[inline]
    pub fn set<R>(
        &mut self,
        key: &[u8],
        f: impl FnOnce(Option<Fields<'_>>, &mut ReplyBuffer) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        self.view(key, |view, out| f(view.map(View::set).transpose()?, out))
    }

    /// How many elements a call may read here: where each of them is a look-up in the engine, more take long, and the call
    /// answers [`CommandError::TakesLong`], so that it runs on a thread without other clients.
    pub fn elements_max(&self) -> usize {
        if self.access.patient || !self.keyspace.looks_elements_up() {
            usize::MAX
        } else {
            ELEMENTS_AT_ONCE
        }
    }

    /// Runs `f` on the list of `key`; `None` where the key is missing.
    #[inline]
    pub fn list<R>(
        &mut self,
        key: &[u8],
        f: impl FnOnce(Option<List<'_>>, &mut ReplyBuffer) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        self.view(key, |view, out| f(view.map(View::list).transpose()?, out))
    }

    /// Runs `f` on the sorted set of `key`; `None` where the key is missing.
    #[inline]
    pub fn sorted_set<R>(
        &mut self,
        key: &[u8],
        f: impl FnOnce(Option<Scores<'_>>, &mut ReplyBuffer) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        self.view(key, |view, out| {
            f(view.map(View::sorted_set).transpose()?, out)
        })
    }

    /// Runs `f` on the stream of `key`; `None` where the key is missing.
    #[inline]
    pub fn stream<R>(
        &mut self,
        key: &[u8],
        f: impl FnOnce(Option<Stream<'_>>, &mut ReplyBuffer) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        self.view(key, |view, out| f(view.map(View::stream).transpose()?, out))
    }

    /// Runs `f` on the live values of several keys, as they are at one moment. Counts hits and misses, up to the first
    /// key that holds no source: Redis does not look up the keys behind it.
    pub fn view_many<'k, R>(
        &mut self,
        keys: impl IntoIterator<Item = &'k [u8]>,
        is_source: fn(View<'_>) -> bool,
        f: impl FnOnce(&[Option<View<'_>>], &mut ReplyBuffer) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        let keys = self.database().keys(keys);
        let mut found = Vec::new();
        let out = &mut *self.out;
        let result = self.keyspace.view_many(&keys, self.access, |views| {
            found = super::sources::lookups(views, is_source);
            f(views, out)
        })?;
        for (found, (_, key)) in found.into_iter().zip(keys) {
            self.looked_up(key, found);
        }
        result
    }

    /// Counts a key that a read command looked up. Emits the event of a missing one.
    pub fn looked_up(&mut self, key: &[u8], found: bool) {
        self.count_lookup(found);
        if !found && !self.lookups.is_again {
            self.keyspace
                .events()
                .emit(EventClass::KEY_MISS, "keymiss", self.session.db, key);
        }
    }

    /// Counts the sources of a command, which has emitted the events of missing ones itself.
    pub fn count_lookups(&mut self, found: Vec<bool>) {
        for found in found {
            self.count_lookup(found);
        }
    }

    /// Counts a key that a read command looked up.
    pub fn count_lookup(&mut self, found: bool) {
        if found {
            self.lookups.hits += 1;
        } else {
            self.lookups.misses += 1;
        }
    }
}

/// Changing keys.
impl Context<'_> {
    /// Locks `key` and runs `f` on it. Each of its changes happens at once.
    #[inline]
    pub fn update<R>(
        &mut self,
        key: &[u8],
        f: impl FnOnce(&mut KeyUpdate<'_>) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        self.database().update(key, f)
    }

    /// As [`update`](Self::update), for a call that first reads the key's string: `f` gets what `read` makes of it, or `None` if
    /// the key is missing.
    #[inline]
    pub fn update_string<P, R>(
        &mut self,
        key: &[u8],
        read: impl FnMut(StringView<'_>) -> P,
        f: impl FnOnce(&mut KeyUpdate<'_>, Option<P>) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        self.keyspace
            .update_string(self.session.db, key, self.access, read, f)
    }

    /// Locks several keys and runs `f` on them; it names each by its position. Its changes happen together, as one
    /// step, when it returns `Ok`.
    #[inline]
    pub fn update_many<'k, R>(
        &mut self,
        keys: impl IntoIterator<Item = &'k [u8]>,
        f: impl FnOnce(&mut Update<'_>) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        self.database().update_many(keys, f)
    }

    /// As [`update_many`](Self::update_many), of one key, which is at position 0. For what the helpers below do not fit:
    /// a change that first looks at the elements, or removes them all.
    #[inline]
    pub fn update_collection<R>(
        &mut self,
        key: &[u8],
        f: impl FnOnce(&mut Update<'_>) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        self.database().update_collection(key, f)
    }
}
