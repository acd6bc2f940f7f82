//! Databases after a fork: the child shares the parent's mapped pool, so its writes would corrupt it.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;

static FORKS: AtomicU64 = AtomicU64::new(0);

/// Tells that this process is a child that has just been forked. The package registers it with `os.register_at_fork`.
#[pyfunction]
pub(crate) fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// How many forks lie between the first process and this one. A database belongs to the process in which it was opened,
/// which is the one with the same number.
pub(crate) fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}
