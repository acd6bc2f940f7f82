#![allow(warnings, clippy::all, clippy::pedantic, clippy::todo)]
use super::*;
pub struct Keyspace;
pub struct Slot<'a>(std::marker::PhantomData<&'a ()>);
pub struct Slots<'a>(std::marker::PhantomData<&'a ()>);
#[derive(Clone, Debug, Default)]
pub struct StoreStats {}
use std::ops::ControlFlow;
// The API of crate::keyspace::Keyspace, to be implemented by the lead; write your handlers against it.
impl Keyspace {
    /// Index only, no value read: None when absent or past its deadline. `access.touch` updates the access clock.
    pub fn info(
        &self,
        db: usize,
        key: &[u8],
        access: Access,
    ) -> Result<Option<KeyInfo>, KeyspaceError> {
        todo!()
    }
    /// Runs `f` on the live value without a copy; None when absent/expired. `f` must not call the keyspace.
    pub fn read<R>(
        &self,
        db: usize,
        key: &[u8],
        access: Access,
        f: impl FnOnce(Value<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        todo!()
    }
    /// Locks one key, runs `f`; what the Slot wrote is durable when this returns (or staged until the batch's commit).
    /// An expired key is absent in the slot. On Err from `f`, nothing may have been written by it before (write last).
    pub fn update<R, E: From<KeyspaceError>>(
        &self,
        db: usize,
        key: &[u8],
        access: Access,
        f: impl FnOnce(&mut Slot<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        todo!()
    }
    /// Locks several keys (they may repeat and lie in different databases), runs `f`; its writes become ONE atomic
    /// durable step when `f` returns Ok, and none of them happens when it returns Err. Reads inside `f` see the state before.
    pub fn update_many<R, E: From<KeyspaceError>>(
        &self,
        keys: &[(usize, &[u8])],
        access: Access,
        f: impl FnOnce(&mut Slots<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        todo!()
    }

    /// One step of SCAN. Calls `visit` for about `count` live keys of `db` from `cursor` on; returns the next cursor, 0 at the end.
    pub fn scan(
        &self,
        db: usize,
        cursor: u64,
        count: usize,
        now: Millis,
        visit: &mut dyn FnMut(&[u8], KeyInfo),
    ) -> Result<u64, KeyspaceError> {
        todo!()
    }
    pub fn random_key(&self, db: usize, now: Millis) -> Result<Option<Vec<u8>>, KeyspaceError> {
        todo!()
    }
    pub fn len(&self, db: usize) -> Result<u64, KeyspaceError> {
        todo!()
    } // DBSIZE
    pub fn database_stats(&self, db: usize, now: Millis) -> Result<DatabaseStats, KeyspaceError> {
        todo!()
    } // INFO keyspace
    pub fn flush(&self, db: usize) -> Result<(), KeyspaceError> {
        todo!()
    }
    pub fn flush_all(&self) -> Result<(), KeyspaceError> {
        todo!()
    }
    pub fn swap(&self, a: usize, b: usize) -> Result<(), KeyspaceError> {
        todo!()
    }

    /// Ranges, ascending byte order. `visit` returns Break to stop. Values via range(), keys alone via range_keys().
    pub fn range(
        &self,
        db: usize,
        range: Range<'_>,
        now: Millis,
        visit: &mut dyn FnMut(&[u8], Value<'_>) -> ControlFlow<()>,
    ) -> Result<(), KeyspaceError> {
        todo!()
    }
    pub fn range_keys(
        &self,
        db: usize,
        range: Range<'_>,
        now: Millis,
        visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), KeyspaceError> {
        todo!()
    }
    pub fn range_count(
        &self,
        db: usize,
        range: Range<'_>,
        now: Millis,
    ) -> Result<u64, KeyspaceError> {
        todo!()
    }
    pub fn stats(&self) -> StoreStats {
        todo!()
    } // engine, layout, pool sizes, partitions, records, index bytes, expired counter ...
    pub fn defrag(&self, start_percent: f64, amount_percent: f64) -> Result<(), KeyspaceError> {
        todo!()
    }
}
impl Slot<'_> {
    // one locked key
    pub fn info(&self) -> Option<KeyInfo> {
        todo!()
    }
    pub fn read<R>(&self, f: impl FnOnce(Value<'_>) -> R) -> Result<Option<R>, KeyspaceError> {
        todo!()
    }
    pub fn put(
        &mut self,
        kind: Kind,
        value: &[u8],
        expires_at: Option<Millis>,
    ) -> Result<(), KeyspaceError> {
        todo!()
    }
    pub fn set_expiry(&mut self, expires_at: Option<Millis>) -> Result<(), KeyspaceError> {
        todo!()
    } // key must exist
    pub fn remove(&mut self) -> Result<bool, KeyspaceError> {
        todo!()
    }
}
impl Slots<'_> {
    // several locked keys, by their position in `keys`
    pub fn info(&self, i: usize) -> Option<KeyInfo> {
        todo!()
    }
    pub fn read<R>(
        &self,
        i: usize,
        f: impl FnOnce(Value<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        todo!()
    }
    pub fn put(&mut self, i: usize, kind: Kind, value: &[u8], expires_at: Option<Millis>) {
        todo!()
    } // staged
    pub fn remove(&mut self, i: usize) {
        todo!()
    } // staged
}
