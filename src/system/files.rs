//! The limit of open files. It bounds how many clients there can be.

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// File descriptors that the server itself needs: pool, log, listening sockets, one event loop. Redis's number.
const RESERVED: u64 = 32;

/// File descriptors of each further worker's event loop: its epoll, its waker, and the pair that brings signals.
const PER_WORKER: u64 = 4;

/// The process cannot have files for as many clients as the operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "The operating system is not able to handle the specified number of clients, try with {possible}"
)]
pub struct TooMany {
    /// For how many clients there are files; 0 if there are too few even for the server itself.
    pub possible: u64,
    /// The limit of open files.
    pub files: u64,
}

/// How many files are reserved for the server itself.
pub fn reserved(workers: usize) -> u64 {
    RESERVED + PER_WORKER * (workers as u64).saturating_sub(1)
}

/// Raises the limit of open files to `clients` and the `reserved` ones together, as far as the operating system allows.
pub fn raise_limit(clients: usize, reserved: u64) -> Result<(), TooMany> {
    let wanted = clients as u64 + reserved;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        // The limit is unknown, so assume that it is high enough.
        return Ok(());
    };
    if soft >= wanted {
        return Ok(());
    }
    // Only a privileged process may go beyond the hard limit.
    let tries: [(rlim_t, rlim_t); 2] = [(wanted, hard.max(wanted)), (hard.min(wanted), hard)];
    let mut raised = Ok(());
    for (soft, hard) in tries {
        raised = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
        if raised.is_ok() && soft == wanted {
            return Ok(());
        }
    }
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(soft, |(soft, _)| soft);
    let possible = files.saturating_sub(reserved);
    tracing::warn!(
        "You requested maxclients of {clients} requiring at least {wanted} max file descriptors."
    );
    let error = raised.err().unwrap_or(nix::errno::Errno::EPERM).desc();
    tracing::warn!("Server can't set maximum open files to {wanted} because of OS error: {error}.");
    Err(TooMany { possible, files })
}
