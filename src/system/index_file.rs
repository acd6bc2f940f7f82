//! Where the index is kept for the next start: in shared memory, which outlives the process.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::pmemkv::{Backing, backing};

/// The folder for the files of pools that lie on a disk. There the kernel would write the index back for ever.
const SHARED_MEMORY: &str = "/dev/shm";

/// The file that the directive `index-file` names for a pool; `None` for none.
pub fn index_file(directive: &str, pool: &Path) -> Option<PathBuf> {
    match directive {
        "no" | "" => None,
        "auto" => beside(pool),
        "shm" => beside(pool).or_else(|| in_shared_memory(pool)),
        path => Some(PathBuf::from(path)),
    }
}

/// The file beside a pool that lies in memory.
fn beside(pool: &Path) -> Option<PathBuf> {
    if !matches!(backing(pool), Backing::Tmpfs) {
        return None;
    }
    let mut name = pool.file_name()?.to_owned();
    name.push(".index");
    Some(pool.with_file_name(name))
}

fn in_shared_memory(pool: &Path) -> Option<PathBuf> {
    let device = std::fs::metadata(pool).ok()?.dev();
    let place = std::fs::canonicalize(pool).ok()?;
    // Named by the pool's path, so that a pool that is made anew there takes over the file of the one before.
    let named = [place.as_os_str().as_bytes(), &device.to_le_bytes()].concat();
    let name = format!("pmemkv-{:016x}.index", xxh3_64(&named));
    Some(Path::new(SHARED_MEMORY).join(name))
}
