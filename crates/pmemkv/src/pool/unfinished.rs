//! A pool that is being made: it has a temporary name in the directory where it is going to be, so that a crash leaves no
//! half-made pool at its path, and what a crash has left can be told by its name and removed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::fcntl::{Flock, FlockArg};

use super::create::free_bytes;
use super::{PoolError, file};

const TEMPORARY_END: &str = ".new";

/// A pool's file under its temporary name. Dropping this removes the name; a pool that has appeared at its path stays.
#[derive(Debug)]
pub struct Unfinished {
    path: PathBuf,
    temporary: PathBuf,
}

impl Unfinished {
    /// Finds a temporary name for a pool of so many bytes, where nothing is at `path` and the file system has room, and
    /// removes what crashed makers of this pool have left.
    pub(super) fn prepare(path: &Path, size_bytes: u64) -> Result<Self, PoolError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let directory = file::directory_of(path)?;
        if fs::symlink_metadata(path).is_ok() {
            return Err(PoolError::AlreadyExists(path.to_owned()));
        }
        let start = temporary_start(path);
        remove(directory, |name| {
            name.strip_prefix(start.as_encoded_bytes())
        });
        let bytes_free = free_bytes(directory);
        if size_bytes > bytes_free {
            return Err(PoolError::FileSystemFull {
                path: path.to_owned(),
                bytes: size_bytes,
                bytes_free,
            });
        }
        let mut name = start;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        name.push(format!("{}.{number}{TEMPORARY_END}", process::id()));
        Ok(Self {
            path: path.to_owned(),
            temporary: directory.join(name),
        })
    }

    /// Whether a pool of so many bytes could be made at a path now.
    ///
    /// # Errors
    /// Those of [`Pool::create`](super::Pool::create) that can be told beforehand.
    pub fn check(path: &Path, size_bytes: u64) -> Result<(), PoolError> {
        Self::prepare(path, size_bytes).map(drop)
    }

    /// The temporary name.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Removes all that crashed makers of pools have left in a directory. A living one holds libpmemobj's lock on its
    /// file.
    pub fn remove_leftovers(directory: &Path) {
        remove(directory, |name| {
            let name = name.strip_prefix(b".")?;
            // The name of the pool ends two dots before the end.
            let rest = name.strip_suffix(TEMPORARY_END.as_bytes())?;
            let mut dots = rest
                .iter()
                .enumerate()
                .rev()
                .filter(|(_, byte)| **byte == b'.');
            let (at, _) = dots.nth(1).filter(|(at, _)| *at > 0)?;
            Some(&name[at + 1..])
        });
    }

    /// Has the operating system write out what the file has so far.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn sync(&self) -> Result<(), PoolError> {
        let file = self.open()?;
        file.sync_data().map_err(|error| self.io(&error))
    }

    /// Makes the file durable and gives it its name. The pool is closed.
    ///
    /// # Errors
    /// [`PoolError::AlreadyExists`] where something has appeared at the path meanwhile, and what the operating system says.
    pub fn finish(self) -> Result<(), PoolError> {
        // Who removes leftovers takes a file that nobody has locked for one.
        let locked = Flock::lock(self.open()?, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, errno)| self.io(&errno.into()))?;
        let inode = |metadata: io::Result<fs::Metadata>| metadata.map(|metadata| metadata.ino());
        let ours = inode(locked.metadata()).map_err(|error| self.io(&error))?;
        if inode(fs::metadata(&self.temporary)).ok() != Some(ours) {
            return Err(self.io(&io::Error::other("somebody has removed the file")));
        }
        locked.sync_all().map_err(|error| self.io(&error))?;
        let path = self.path.clone();
        match self.appear()?.sync_all() {
            // A file system that cannot sync a directory: there a sync would gain nothing.
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
                Err(PoolError::from_io(&path, &error))
            }
            _ => Ok(()),
        }
    }

    /// Gives the file its name; returns the directory.
    pub(super) fn appear(self) -> Result<File, PoolError> {
        let directory = File::open(file::directory_of(&self.path)?);
        // A link fails if something has appeared at `path` meanwhile; a rename would replace it.
        fs::hard_link(&self.temporary, &self.path).map_err(|error| self.io(&error))?;
        directory.map_err(|error| self.io(&error))
    }

    fn open(&self) -> Result<File, PoolError> {
        let opened = File::options().read(true).write(true).open(&self.temporary);
        opened.map_err(|error| self.io(&error))
    }

    fn io(&self, error: &io::Error) -> PoolError {
        PoolError::from_io(&self.path, error)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // The file may never have been made.
        let _ = fs::remove_file(&self.temporary);
    }
}

fn temporary_start(path: &Path) -> OsString {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".");
    name
}

/// Removes the temporary files of which `numbers` finds what follows the pool's name, and which nobody has locked.
fn remove(directory: &Path, numbers: impl Fn(&[u8]) -> Option<&[u8]>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let middle = numbers(name.as_encoded_bytes())
            .and_then(|rest| rest.strip_suffix(TEMPORARY_END.as_bytes()));
        let ours = middle.is_some_and(|middle| {
            !middle.is_empty()
                && middle
                    .iter()
                    .all(|byte| byte.is_ascii_digit() || *byte == b'.')
        });
        let regular = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !ours || !regular {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else {
            continue;
        };
        if let Ok(_locked) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            // A file that cannot be removed only takes space, and the size check will report that.
            let _ = fs::remove_file(entry.path());
        }
    }
}
