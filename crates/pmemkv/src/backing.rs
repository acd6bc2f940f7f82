//! The kind of memory or disk under a pool's file, and the settings that libpmem needs for it.

use std::fs;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::ptr;

use nix::libc;
use nix::sys::statfs::statfs;

/// The kind of memory or disk under a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backing {
    /// Persistent memory: a DAX file system or device. CPU flushes make data durable.
    Dax,
    /// Memory of this boot: /dev/shm and the like.
    Tmpfs,
    /// Memory of this boot, in huge pages.
    Hugetlbfs,
    /// Anything else: the page cache over a disk.
    Ordinary,
}

/// What a write has to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// The most that the backing gives at memory speed.
    #[default]
    Auto,
    /// Power loss, at the price of an msync on ordinary file systems.
    Power,
    /// The process's death.
    Process,
}

// Numbers of statfs(2).
const TMPFS_MAGIC: i128 = 0x0102_1994;
const RAMFS_MAGIC: i128 = 0x8584_58f6;
const HUGETLBFS_MAGIC: i128 = 0x9584_58f6;

/// The backing of the pool at `path`, or of one to be made there; [`Backing::Ordinary`] if the system does not tell.
pub fn backing(path: impl AsRef<Path>) -> Backing {
    let path = path.as_ref();
    if fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_char_device()) {
        return Backing::Dax;
    }
    let directory = match path.parent() {
        _ if path.is_dir() => path,
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // A link may lead to another file system, so ask about the file itself if it exists.
    let place = if path.exists() { path } else { directory };
    if let Ok(status) = statfs(place) {
        match i128::from(status.filesystem_type().0) & 0xffff_ffff {
            TMPFS_MAGIC | RAMFS_MAGIC => return Backing::Tmpfs,
            HUGETLBFS_MAGIC => return Backing::Hugetlbfs,
            _ => {}
        }
    }
    let directory = fs::canonicalize(place).unwrap_or_else(|_| directory.to_owned());
    let directory = if directory.is_dir() {
        directory
    } else {
        directory.parent().unwrap_or(Path::new("/")).to_owned()
    };
    if maps_sync(&directory) {
        Backing::Dax
    } else {
        Backing::Ordinary
    }
}

/// Whether files of the directory can be mapped with `MAP_SYNC`, which only DAX file systems allow.
fn maps_sync(directory: &Path) -> bool {
    const BYTES: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
    // A file without a name leaves nothing behind.
    let Ok(file) = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .mode(0o600)
        .open(directory)
    else {
        return false;
    };
    if file.set_len(BYTES.get() as u64).is_err() {
        return false;
    }
    // SAFETY: a new mapping of a file that is ours, at an address of the kernel's choice.
    let address = unsafe {
        libc::mmap(
            ptr::null_mut(),
            BYTES.get(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED_VALIDATE | libc::MAP_SYNC,
            file.as_raw_fd(),
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return false;
    }
    // SAFETY: the mapping made above, which nothing uses.
    unsafe { libc::munmap(address, BYTES.get()) };
    true
}

/// The environment variables that make a pool on `backing` as durable as `durability` says.
///
/// libpmem reads them when it is loaded: see [`load`](super::load()). They switch msync and CPU flushes off where these gain
/// nothing: on memory that a power loss empties anyway, and on an ordinary file system whose data need not survive a power
/// loss. There the stores are in the page cache, which outlives the process.
pub fn durability_environment(
    backing: Backing,
    durability: Durability,
) -> Vec<(&'static str, &'static str)> {
    match (backing, durability) {
        (Backing::Dax, Durability::Auto | Durability::Power)
        | (Backing::Ordinary, Durability::Power) => Vec::new(),
        (Backing::Tmpfs | Backing::Hugetlbfs, _)
        | (Backing::Ordinary, Durability::Auto | Durability::Process)
        | (Backing::Dax, Durability::Process) => vec![
            ("PMEM_IS_PMEM_FORCE", "1"),
            ("PMEM_NO_FLUSH", "1"),
            ("PMEM_NO_MOVNT", "1"),
        ],
    }
}
