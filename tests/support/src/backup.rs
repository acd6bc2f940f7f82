//! What the tests of PMEMKV.BACKUP share.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{Options, RawClient, Server, TestResult};

/// How long a backup may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder for backups.
pub fn folder() -> TestResult<tempfile::TempDir> {
    Ok(tempfile::Builder::new()
        .prefix("pmemkv-server-backup-")
        .tempdir_in("/dev/shm")?)
}

/// A small server that keeps backups in a folder.
pub fn options(store: &str, folder: &Path) -> Options {
    Options::new(store)
        .pool_size("64mb")
        .directive("backup-dir", &folder.display().to_string())
}

/// A field of INFO persistence; empty where there is none.
pub fn field(client: &mut RawClient, name: &str) -> TestResult<String> {
    let info = client.line("INFO persistence")?;
    let info = info.text().ok_or("no text")?;
    let mut lines = info.lines();
    let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(found.unwrap_or_default().to_owned())
}

/// Waits until no backup is under way, and returns how the last one ended.
pub fn ended(client: &mut RawClient) -> TestResult<String> {
    let deadline = Instant::now() + PATIENCE;
    while field(client, "backup_in_progress")? != "0" {
        assert!(Instant::now() < deadline, "the backup does not end");
        thread::sleep(Duration::from_millis(2));
    }
    field(client, "backup_last_status")
}

/// Waits until a backup has copied something.
pub fn under_way(client: &mut RawClient) -> TestResult {
    let deadline = Instant::now() + PATIENCE;
    while field(client, "backup_copied_bytes")?
        .parse()
        .unwrap_or(0u64)
        == 0
    {
        assert!(Instant::now() < deadline, "the backup does not begin");
        assert_eq!(field(client, "backup_in_progress")?, "1");
    }
    Ok(())
}

/// A server on a copy, which the server takes as its pool. It leaves no other file beside the copy.
pub fn on_copy(copy: &Path) -> TestResult<Server> {
    let options = Options::new("cmap")
        .directive("pool-path", &copy.display().to_string())
        .directive("index-file", "no");
    Server::start_with(options)
}

/// The names of the files in a folder, in their order.
pub fn names(folder: &Path) -> TestResult<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
