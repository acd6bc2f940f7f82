//! Helpers that the tests of stores share.

use std::path::Path;

/// Makes a folder, in memory if possible: pools on a disk are slow, and a test leaves nothing that must survive a
/// reboot.
pub fn folder() -> std::io::Result<tempfile::TempDir> {
    let shm = Path::new("/dev/shm");
    let base = if shm.is_dir() {
        shm.to_owned()
    } else {
        std::env::temp_dir()
    };
    tempfile::Builder::new()
        .prefix("pmemkv-store-")
        .tempdir_in(base)
}
