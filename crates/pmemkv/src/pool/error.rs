//! Why a pool cannot be made or opened, and what can be done about it.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::error::Error as EngineError;

/// Why a pool cannot be made or opened. Every text says what can be done.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The directory that should hold the pool is not there.
    #[error("{}: no such directory; create it or choose another path", .0.display())]
    NoSuchDirectory(PathBuf),
    /// There is no pool at the path.
    #[error("{}: there is no pool here; create one or check the path", .0.display())]
    NoSuchPool(PathBuf),
    /// The size asked for cannot hold an empty pool.
    #[error(
        "a pool of {bytes} bytes is too small: it takes at least {bytes_min} bytes for {partitions} partition(s)"
    )]
    TooSmall {
        /// The size asked for.
        bytes: u64,
        /// The smallest size that works.
        bytes_min: u64,
        /// The partitions asked for.
        partitions: u32,
    },
    /// More partitions than a pool can have, or none.
    #[error("a pool has 1 to {max} partitions, not {asked}")]
    Partitions {
        /// The partitions asked for.
        asked: u32,
        /// The most a pool can have.
        max: u32,
    },
    /// A name of the header is empty or longer than its place.
    #[error("{what} \"{name}\" does not fit the pool's header: it takes 1 to {bytes_max} bytes")]
    Name {
        /// Which name.
        what: &'static str,
        /// The name.
        name: String,
        /// The most bytes that it may have.
        bytes_max: usize,
    },
    /// The file system has too little space.
    #[error("{}: the file system has no space for a pool of {bytes} bytes ({bytes_free} are free); choose a smaller size or free some space", path.display())]
    FileSystemFull {
        /// The pool's path.
        path: PathBuf,
        /// The size asked for.
        bytes: u64,
        /// What the file system says is free.
        bytes_free: u64,
    },
    /// Something is at the path already; it is left as it is.
    #[error("{}: something exists here already, and stays unchanged; open it, remove it or choose another path", .0.display())]
    AlreadyExists(PathBuf),
    /// The file is no pool, or a pool of another program.
    #[error("{}: this file is not a pool of this server ({why}); choose another path", path.display())]
    NotAPool {
        /// The file's path.
        path: PathBuf,
        /// What gives it away.
        why: String,
    },
    /// The pool's bytes are not what was written.
    #[error("{}: the pool is damaged ({why}); restore a copy of it, or move it away and start with a new one", path.display())]
    Damaged {
        /// The pool's path.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// The file is shorter than the pool that it holds.
    #[error("{}: the pool was cut off: it needs {bytes_expected} bytes and the file has {bytes}; restore a complete copy", path.display())]
    Truncated {
        /// The pool's path.
        path: PathBuf,
        /// The file's length.
        bytes: u64,
        /// The pool's size.
        bytes_expected: u64,
    },
    /// The pool belongs to another engine.
    #[error(
        "the pool was made for engine {found}, not {expected}; start with engine {found} or choose another path"
    )]
    OtherEngine {
        /// The engine in the pool's header.
        found: String,
        /// The engine asked for.
        expected: String,
    },
    /// The pool's records are laid out in another way.
    #[error(
        "the pool was made with layout {found}, not {expected}; start with layout {found} or choose another path"
    )]
    OtherLayout {
        /// The layout in the pool's header.
        found: String,
        /// The layout asked for.
        expected: String,
    },
    /// The pool was written by a newer version.
    #[error("{}: the pool has format {found} and this version knows formats up to {known}; use a newer version", path.display())]
    NewerFormat {
        /// The pool's path.
        path: PathBuf,
        /// The pool's format.
        found: u32,
        /// The newest format of this version.
        known: u32,
    },
    /// Another process, or this one, has the pool open.
    #[error("{}: the pool is open in another process; stop that one first", .0.display())]
    Busy(PathBuf),
    /// The path may not be read, written or entered.
    #[error("{}: no permission; run as the pool's owner, or change the owner of file and directory", .0.display())]
    NoPermission(PathBuf),
    /// A partition's engine did not open.
    #[error("{}: partition {index} cannot be opened: {source}", path.display())]
    Partition {
        /// The pool's path.
        path: PathBuf,
        /// The partition.
        index: u32,
        /// What the engine said.
        source: EngineError,
    },
    /// The operating system refused for another reason.
    #[error("{}: {source}", path.display())]
    Io {
        /// The pool's path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// libpmemobj refused for another reason.
    #[error("{}: {what}", path.display())]
    Other {
        /// The pool's path.
        path: PathBuf,
        /// What was said.
        what: String,
    },
}

impl PoolError {
    /// The error for a failed system call on the pool's file or directory.
    pub fn from_io(path: &std::path::Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound => Self::NoSuchPool(path),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NoPermission(path)
            }
            io::ErrorKind::WouldBlock => Self::Busy(path),
            io::ErrorKind::AlreadyExists => Self::AlreadyExists(path),
            _ => Self::Io {
                path,
                source: copy(error),
            },
        }
    }
}

/// A copy of an error, which has no `Clone`: by its code, or with its kind and text.
fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(
        || io::Error::new(error.kind(), error.to_string()),
        io::Error::from_raw_os_error,
    )
}
