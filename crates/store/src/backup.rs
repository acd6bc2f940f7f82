//! A backup: a copy of the pool as it is at one moment, made while the server goes on.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::StoreError;
use pmemkv::{PoolError, Unfinished};

/// A backup under way, for the thread that makes it and for those that look at it or end it.
#[derive(Debug, Default)]
pub struct BackupJob {
    cancelled: Mutex<bool>,
    bell: Condvar,
    total_bytes: AtomicU64,
    copied_bytes: AtomicU64,
    hold_micros: AtomicU64,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The layout or the engine has none.
    #[error("{0}")]
    NotSupported(&'static str),
    /// Somebody has ended it.
    #[error("the server ended it")]
    Cancelled,
    /// The server needed the space of the segments that the backup had still to copy.
    #[error("the pool ran short of space, and the backup held what the clients' writes needed")]
    PoolShort,
    /// The copy could not be made, filled or named.
    #[error(transparent)]
    Copy(#[from] PoolError),
    /// The copy's engine refused.
    #[error("the copy: {0}")]
    Engine(#[from] pmemkv::Error),
    /// The running pool could not be read.
    #[error("the running pool: {0}")]
    Store(#[from] StoreError),
}

impl BackupJob {
    /// Ends the backup at its next step.
    pub fn cancel(&self) {
        *self.cancelled.lock() = true;
        self.bell.notify_all();
    }

    /// Bytes copied so far, and bytes to copy in all.
    pub fn progress(&self) -> (u64, u64) {
        let load = |bytes: &AtomicU64| bytes.load(Ordering::Relaxed);
        (load(&self.copied_bytes), load(&self.total_bytes))
    }

    /// For how long commits waited for the backup to note its moment.
    pub fn hold_micros(&self) -> u64 {
        self.hold_micros.load(Ordering::Relaxed)
    }

    pub(crate) fn expect(&self, bytes: u64) {
        self.total_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn note_copied(&self, bytes: u64) {
        self.copied_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn note_hold(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.hold_micros.store(micros, Ordering::Relaxed);
    }

    /// Rests, or returns at once with an error where the backup is to end.
    pub(crate) fn rest(&self, time: Duration) -> Result<(), BackupError> {
        let mut cancelled = self.cancelled.lock();
        if !*cancelled && !time.is_zero() {
            self.bell.wait_for(&mut cancelled, time);
        }
        if *cancelled {
            return Err(BackupError::Cancelled);
        }
        Ok(())
    }
}

/// Removes what backups that were cut short have left in a directory.
pub fn remove_unfinished_backups(directory: &Path) {
    Unfinished::remove_leftovers(directory);
}
