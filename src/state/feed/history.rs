//! When the history is kept beside the pool ([`Kept`]), and how the next process goes on with it.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use super::kept::{Found, Intent, Kept, Subject, owner_of};
use super::{Feed, Stream, recording};
use crate::config::Settings;
use crate::keyspace::{Keyspace, KeyspaceError};

/// The version of the record that holds the secret. A place and a history that lie in the pool have others.
const VERSION: u8 = 3;

/// The secret that ties a pool to the file beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secret(u64);

impl Secret {
    fn new() -> Self {
        Self(
            RandomState::new()
                .hash_one((SystemTime::now(), std::process::id()))
                .max(1),
        )
    }

    fn encode(self) -> [u8; 9] {
        let mut bytes = [VERSION; 9];
        bytes[1..].copy_from_slice(&self.0.to_le_bytes());
        bytes
    }

    /// Reads a record; `None` if it is another one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[version], rest) = bytes.split_first_chunk()?;
        let number = u64::from_le_bytes(rest.try_into().ok()?);
        (version == VERSION && number != 0).then_some(Self(number))
    }
}

/// The file beside a pool.
fn file_beside(pool: &Path) -> PathBuf {
    let mut path = pool.as_os_str().to_owned();
    path.push(".backlog");
    path.into()
}

/// Whether a process may have left a history beside a pool.
pub fn leaves_history(pool: &Path) -> bool {
    file_beside(pool).exists()
}

/// A file that is not in use yet. Dropping it removes the file.
#[derive(Debug)]
pub struct Prepared<'f> {
    feed: &'f Feed,
    kept: Option<Kept>,
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        if let Some(kept) = self.kept.take() {
            kept.discard();
        }
        if !self.feed.is_kept() {
            self.feed.has_file.store(false, Ordering::Release);
        }
    }
}

impl Stream {
    /// Goes on with the history of a process that has died.
    fn restore(&mut self, found: Found) {
        self.forget(true);
        (self.id, self.former, self.end) = (found.id, found.former, found.end);
        self.bytes.extend(&found.bytes);
        self.ends.clear();
        self.await_replicas();
    }

    /// Counts in the file what has been appended.
    pub(super) fn seal(&self) {
        if let Some(kept) = &self.kept {
            kept.seal(self.end);
        }
    }
}

impl Feed {
    /// Says which pool a history lies beside, if it is kept. Without a pool it is not.
    pub fn keep_beside(&self, pool: Option<PathBuf>) {
        // The server says it once.
        let _ = self.pool.set(pool);
    }

    fn pool(&self) -> Option<&Path> {
        self.pool.get()?.as_deref()
    }

    /// The time up to which keys past their deadlines were told to be gone, by the file that a process has left.
    pub fn expired_through(&self) -> Option<i64> {
        Kept::expired_through(&file_beside(self.pool()?))
    }

    /// Whether changes are named before they happen.
    #[inline]
    pub fn is_kept(&self) -> bool {
        self.named_in.load(Ordering::Relaxed) != 0
    }

    /// Makes the file for [`keep_in`](Self::keep_in), which takes some milliseconds. `None` where there is one, or none is to be.
    pub fn prepare_file(&self, settings: &Settings) -> Option<Prepared<'_>> {
        let pool = self.pool()?;
        // Two copies may begin at once, and there is one file.
        if !settings.feed.outlives_crash || self.has_file.swap(true, Ordering::AcqRel) {
            return None;
        }
        let mut prepared = Prepared {
            feed: self,
            kept: None,
        };
        let path = file_beside(pool);
        let owner = owner_of(pool)?;
        match Kept::create(&path, owner, settings.feed.backlog_bytes) {
            Ok(kept) => {
                prepared.kept = Some(kept);
                Some(prepared)
            }
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "no file for the backlog: after a crash replicas will get copies");
                None
            }
        }
    }

    /// Keeps the history in this file from now on. The caller is alone in the gate.
    pub fn keep_in(&self, keyspace: &Keyspace, mut prepared: Prepared<'_>, settings: &Settings) {
        let Some(kept) = &prepared.kept else {
            return;
        };
        // Changes of before are named nowhere.
        let given = if self.settle(keyspace, settings) {
            Self::give_secret(keyspace, kept)
        } else {
            Err(KeyspaceError::Failed("effects are under way"))
        };
        if let Err(error) = given {
            tracing::warn!(%error, "the backlog is not kept in a file: after a crash replicas will get copies");
            return;
        }
        if let Some(kept) = prepared.kept.take() {
            self.put_in_use(Arc::new(kept), true);
        }
    }

    fn put_in_use(&self, kept: Arc<Kept>, is_new: bool) {
        let mut stream = self.stream.lock();
        if is_new {
            kept.begin(&stream);
        }
        stream.kept = Some(Arc::clone(&kept));
        drop(stream);
        let number = kept.number;
        *self.kept.write() = Some(kept);
        self.named_in.store(number, Ordering::Release);
    }

    /// Gives the pool another secret, durably.
    fn give_secret(keyspace: &Keyspace, kept: &Kept) -> Result<(), KeyspaceError> {
        let secret = Secret::new();
        kept.expect(secret.0);
        keyspace.place().store(Some(&secret.encode()))?;
        keyspace.commit()?;
        kept.is_expected(secret.0);
        Ok(())
    }

    /// A copy of the pool was made, which must not match the file later. The caller is alone in the gate.
    pub fn change_secret(&self, keyspace: &Keyspace) -> Result<(), KeyspaceError> {
        let kept = self.kept.read().clone();
        kept.map_or(Ok(()), |kept| Self::give_secret(keyspace, &kept))
    }

    /// Does not keep the history any more. The caller is alone in the gate, and replaces or removes the record in the pool.
    pub fn drop_file(&self) {
        self.named_in.store(0, Ordering::Relaxed);
        self.stream.lock().kept = None;
        if let Some(kept) = self.kept.write().take() {
            kept.discard();
            self.has_file.store(false, Ordering::Release);
        }
    }

    /// Does not keep the history any more, since its directive says so. The feed's thread calls this, and holds nothing.
    pub(super) fn stop_file(&self, keyspace: &Keyspace) {
        // While a script runs for long, another look comes later.
        let Ok(alone) = keyspace.gate().enter_alone(true) else {
            return;
        };
        // Another thread may have come first, and the record be a replica's place.
        if self.is_kept() {
            self.drop_file();
            if let Err(error) = keyspace.place().store(None) {
                tracing::warn!(%error, "the pool keeps a note of the former backlog");
            }
        }
        drop(alone);
    }

    /// Goes on with the history that a process which has died left beside the pool. `expired` are keys that are gone by their
    /// deadlines, of which replicas may not know. Returns whether there was one. No command runs.
    ///
    /// # Errors
    /// Those of the store.
    pub fn recover(
        &self,
        keyspace: &Keyspace,
        secret: Secret,
        expired: Option<Vec<(usize, Vec<u8>)>>,
        settings: &Settings,
    ) -> Result<bool, KeyspaceError> {
        let (Some(pool), true) = (self.pool(), settings.feed.outlives_crash) else {
            return Ok(false);
        };
        let path = file_beside(pool);
        let opened = owner_of(pool)
            .ok_or_else(|| std::io::ErrorKind::Unsupported.into())
            .and_then(|owner| Kept::open(&path, owner, secret.0));
        let (Ok((kept, mut found)), Some(expired)) = (
            opened.inspect_err(|error| {
                tracing::info!(%error, path = %path.display(), "the backlog of the last process is of no use");
            }),
            expired,
        ) else {
            return Ok(false);
        };
        let named = kept.adopt_log();
        self.has_file.store(true, Ordering::Release);
        let mut keys = std::mem::take(&mut found.keys);
        let end = found.end;
        self.stream.lock().restore(found);
        Self::give_secret(keyspace, &kept)?;
        self.put_in_use(Arc::new(kept), false);
        keyspace.events().follow(true);
        keys.extend(expired);
        keys.sort_unstable();
        keys.dedup();
        let mut last = 0;
        for (db, key) in &keys {
            let loading = keyspace.loading();
            if loading.lacks_elements_of(*db, key)? {
                // No command runs yet, so nobody else waits for this.
                loading.gather_elements()?;
            }
            let filled = self.restated(keyspace, *db, key);
            last = filled
                .iter()
                .map(|(ticket, _)| *ticket)
                .fold(last, u64::max);
            recording::add_filled(filled);
            self.flush();
        }
        if !self.settle_to(keyspace, last, settings) {
            tracing::warn!("what had changed last could not be told in time");
            self.forget_left(keyspace)?;
            return Ok(false);
        }
        if let Some(kept) = &*self.kept.read() {
            kept.end(named, 0);
        }
        *self.alone_since.lock() = Some(Instant::now());
        tracing::info!(
            offset = end,
            restated = keys.len(),
            "replicas of the last process go on without a copy"
        );
        Ok(true)
    }

    /// A call is about to change this, and holds what orders such changes.
    #[inline]
    pub fn intend(&self, subject: Subject<'_>) {
        let file = self.named_in.load(Ordering::Acquire);
        if file == 0 {
            return;
        }
        recording::with_intent(|intent| {
            if !intent
                .as_ref()
                .is_some_and(|intent| intent.add(file, subject))
            {
                let kept = self.kept.read().clone();
                *intent = kept.map(|kept| Intent::begin(kept, subject));
            }
        });
    }

    /// All keys whose deadlines are not after `time` were removed, and told to be gone.
    pub fn has_expired(&self, time: i64) {
        if self.is_kept()
            && let Some(kept) = &*self.kept.read()
        {
            kept.has_expired(time, self.next_ticket());
        }
    }

    /// The stream has, sealed, all effects below this ticket.
    pub(super) fn release_intents(&self, next_ticket: u64) {
        if self.is_kept()
            && let Some(kept) = &*self.kept.read()
        {
            kept.release(next_ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_back_and_other_records_do_not() {
        let secret = Secret::new();
        let bytes = secret.encode();
        assert_eq!(Secret::decode(&bytes), Some(secret));
        assert_eq!(Secret::decode(&bytes[..8]), None);
        assert_eq!(Secret::decode(&[&bytes[..], b"0"].concat()), None);
        let mut other = bytes;
        other[0] = 2;
        assert_eq!(Secret::decode(&other), None);
        assert_eq!(Secret::decode(&[VERSION, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_ne!(Secret::new(), secret);
    }
}
