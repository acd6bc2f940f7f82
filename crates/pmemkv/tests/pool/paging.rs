//! What the kernel is told of pools on a disk.

use std::fs;
use std::path::Path;

use pmemkv::{Backing, Pool, SEGMENT_HEADER_BYTES, Segments, backing};

use super::{MIB, TestResult, directory, header};

const SEGMENT_BYTES: usize = 1 << 16;

/// Whether the kernel reads only what is asked for of the mapped file in the folder.
fn reads_alone(folder: &Path) -> Result<bool, Box<dyn std::error::Error>> {
    // A new pool was mapped under another name.
    let folder = format!("{}/", folder.display());
    let mappings = fs::read_to_string("/proc/self/smaps")?;
    let mut lines = mappings.lines().skip_while(|line| !line.contains(&folder));
    let flags = lines
        .find(|line| line.starts_with("VmFlags:"))
        .ok_or("no file of the folder is mapped")?;
    Ok(flags.split_whitespace().any(|flag| flag == "rr"))
}

#[test]
fn a_pool_on_a_disk_is_read_in_no_order_once_it_is_said() -> TestResult {
    let on_disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let in_memory = directory()?;
    for folder in [on_disk.path(), in_memory.path()] {
        let path = folder.join("data.pool");
        let pool = Pool::create(&path, 64 * MIB, &header("cmap", 1))?;
        let database = pool.open_partition(0)?;
        let segments = Segments::open(database, SEGMENT_BYTES, 0, 8, None)?;
        segments.add(&[0; SEGMENT_HEADER_BYTES])?;
        segments.append(0, b"hello", &[1; 24])?;
        assert!(!reads_alone(folder)?);
        segments.expect_random_reads();
        let is_disk = backing(&path) == Backing::Ordinary;
        assert_eq!(reads_alone(folder)?, is_disk, "{}", path.display());
        segments.fetch(0);
        segments.fetch(7);
        segments.populate(0);
        let read = segments.read(0, 0, 5, <[u8]>::to_vec);
        assert_eq!(read.as_deref(), Some(&b"hello"[..]));
    }
    Ok(())
}
