//! What the kernel is told of pools on a disk.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
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
        for (number, length) in [(0, 5), (0, usize::MAX), (7, 5), (u32::MAX, 5)] {
            segments.ask(number, 0, length);
            segments.ask(number, usize::MAX, length);
        }
        assert_eq!(segments.asked() > 0, is_disk);
        let read = segments.read(0, 0, 5, <[u8]>::to_vec);
        assert_eq!(read.as_deref(), Some(&b"hello"[..]));
    }
    Ok(())
}

/// How much of a file the kernel has in memory.
fn cached_bytes(path: &Path) -> Result<usize, Box<dyn std::error::Error>> {
    let arguments = ["--bytes", "--noheadings", "--output", "RES"];
    let told = Command::new("fincore").args(arguments).arg(path).output()?;
    Ok(String::from_utf8(told.stdout)?.trim().parse()?)
}

#[test]
fn what_is_asked_for_is_read_behind_the_callers_back() -> TestResult {
    const LARGE_SEGMENT_BYTES: usize = 4 << 20;
    const ASKED_BYTES: usize = 3 << 20;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let path = folder.path().join("data.pool");
    if backing(folder.path()) != Backing::Ordinary {
        return Ok(());
    }
    let pool = Pool::create(&path, 64 * MIB, &header("cmap", 1))?;
    let segments = Segments::open(pool.open_partition(0)?, LARGE_SEGMENT_BYTES, 0, 8, None)?;
    for _ in 0..8 {
        segments.add(&[0; SEGMENT_HEADER_BYTES])?;
    }
    drop((segments, pool));
    let file = File::open(&path)?;
    file.sync_all()?;
    let pool = Pool::open(&path)?;
    let segments = Segments::open(pool.open_partition(0)?, LARGE_SEGMENT_BYTES, 8, 8, None)?;
    segments.expect_random_reads();
    // Pages that the open has read ahead go. Those that it has used stay.
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    let before = cached_bytes(&path)?;
    segments.ask(5, 0, ASKED_BYTES);
    let until = Instant::now() + Duration::from_secs(20);
    while cached_bytes(&path)? < before + ASKED_BYTES / 2 {
        let found = cached_bytes(&path)?;
        assert!(Instant::now() < until, "{found} bytes, {before} before");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
