//! What the kernel is told of how a pool on a disk is used, so that a pool larger than memory reads what is asked for and no more.
//!
//! Where a page of a mapped file is missing, the kernel reads its neighbours too (128 KiB, on some systems 8 MiB), which pays for
//! walks. A record that a command asks for lies alone: its neighbours would only drive out of memory what other commands need.

use nix::libc;

use super::Segments;
use crate::backing::{Backing, backing};
use crate::persist::PAGE_BYTES;

impl Segments {
    /// Tells the kernel that from here on the pool's pages are asked for in no order, if the pool lies on a disk.
    pub fn expect_random_reads(&self) {
        if let Some((_, mapped)) = self.database.pool().filter(|_| self.is_paged()) {
            advise(mapped.start, mapped.len(), libc::MADV_RANDOM);
        }
    }

    /// Has the kernel begin to read all of a segment, if the pool lies on a disk: somebody will soon go through it.
    pub fn fetch(&self, number: u32) {
        if let Some(segment) = self.segment(number).ok().filter(|_| self.is_paged()) {
            let (start, bytes) = self.pages_of(segment);
            advise(start, bytes, libc::MADV_WILLNEED);
        }
    }

    /// Has the system map all pages of a segment for writing, so that the first writes do not wait for it. Where the
    /// kernel cannot (before Linux 5.14), nothing happens.
    pub fn populate(&self, number: u32) {
        self.fetch(number);
        if let Ok(segment) = self.segment(number) {
            let (start, bytes) = self.pages_of(segment);
            advise(start, bytes, libc::MADV_POPULATE_WRITE);
        }
    }

    /// Whether the pool's pages may have to be read from a disk.
    fn is_paged(&self) -> bool {
        let is_paged = || {
            let path = self.database.pool().map(|(path, _)| path);
            path.is_some_and(|path| backing(path) == Backing::Ordinary)
        };
        *self.paged.get_or_init(is_paged)
    }

    /// The address of the first page that lies in a segment, and the bytes of all such pages.
    fn pages_of(&self, segment: &super::Segment) -> (usize, usize) {
        let start = segment.start.0.addr();
        let first = start.next_multiple_of(PAGE_BYTES);
        let end = (start + self.segment_bytes) / PAGE_BYTES * PAGE_BYTES;
        (first, end.saturating_sub(first))
    }
}

/// Tells the kernel something of whole pages of the pool. It is free not to heed it, and then works as without it.
fn advise(start: usize, bytes: usize, advice: libc::c_int) {
    // SAFETY: the pages lie in the pool, which is mapped as long as the database is open; none of the advices above changes a
    // byte of them.
    let failed = unsafe { libc::madvise(start as *mut libc::c_void, bytes, advice) };
    let _ = failed;
}
