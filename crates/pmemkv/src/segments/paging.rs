//! What the kernel is told of how a pool on a disk is used, so that a pool larger than memory reads what is asked for and no more.
//!
//! Where a page of a mapped file is missing, the kernel reads its neighbours too (128 KiB, on some systems 8 MiB), which pays for
//! walks. A record that a command asks for lies alone: its neighbours would only drive out of memory what other commands need.
//!
//! A thread waits for each missing page that it touches, and a disk is fast only where many reads are under way. So the records of
//! commands that wait are asked for together, before the first of them runs. That costs a system call for each record, also where it
//! is in memory: it is done only while the process reads pages, and while enough of what was asked for had to be read.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::libc;
use nix::sys::resource::{UsageWho, getrusage};
use parking_lot::Mutex;

use super::{SEGMENT_HEADER_BYTES, Segments};
use crate::backing::{Backing, backing};
use crate::persist::PAGE_BYTES;

/// How many pages the process reads from disks between two looks where asking ahead may pay: to wait for each of them takes a
/// thread some hundredth of the time between two looks.
const PAGES_READ_MIN: u64 = 32;

/// Asking for a record that is in memory takes about the hundredth part of the time that a page takes which is not asked for.
const ASKED_PER_PAGE_MAX: u64 = 64;

/// After asking did not pay, it is not tried again for this many looks.
const LOOKS_WITHOUT: u32 = 10;

/// Blocks of `getrusage` in a page.
const BLOCKS_PER_PAGE: u64 = PAGE_BYTES as u64 / 512;

/// What is known of the pages that have to be read.
#[derive(Debug, Default)]
pub(super) struct Paging {
    /// Whether the pool lies on a disk; known once somebody has asked.
    on_disk: OnceLock<bool>,
    /// Whether records are asked for before the commands that use them run.
    asks_ahead: AtomicBool,
    /// How many were asked for so far.
    asked: AtomicU64,
    looks: Mutex<Looks>,
}

#[derive(Debug, Default)]
struct Looks {
    /// What the process had read from disks at the last look, in blocks of 512 bytes.
    blocks_read: u64,
    /// How many records had been asked for by then.
    asked: u64,
    /// How many looks have to pass before asking is tried again.
    without: u32,
}

impl Looks {
    /// Whether to ask ahead until the next look. Both figures are those since the start; `was_asking` tells of the time since the
    /// last look.
    fn decide(&mut self, blocks_read: u64, asked: u64, was_asking: bool) -> bool {
        let pages = blocks_read.saturating_sub(self.blocks_read) / BLOCKS_PER_PAGE;
        let asked_now = asked.saturating_sub(self.asked);
        (self.blocks_read, self.asked) = (blocks_read, asked);
        let reads = pages >= PAGES_READ_MIN;
        if was_asking {
            let pays = reads && asked_now <= pages * ASKED_PER_PAGE_MAX;
            self.without = if pays { 0 } else { LOOKS_WITHOUT };
            return pays;
        }
        if self.without > 0 {
            self.without -= 1;
            return false;
        }
        reads
    }
}

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

    /// Whether commands wait for pages of a disk, so that their records should be [asked for](Self::ask) before they run.
    #[inline]
    pub fn asks_ahead(&self) -> bool {
        self.paging.asks_ahead.load(Ordering::Relaxed)
    }

    /// Looks at what the process has read from disks since the last look, and decides [whether to ask
    /// ahead](Self::asks_ahead). The caller calls it every tenth of a second.
    pub fn look_at_reads(&self) {
        if !self.is_paged() {
            return;
        }
        let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
            return;
        };
        let paging = &self.paging;
        let asked = paging.asked.load(Ordering::Relaxed);
        let blocks_read = u64::try_from(usage.block_reads()).unwrap_or(0);
        let asks_ahead = paging
            .looks
            .lock()
            .decide(blocks_read, asked, self.asks_ahead());
        paging.asks_ahead.store(asks_ahead, Ordering::Relaxed);
    }

    /// How many ranges were [asked for](Self::ask) so far.
    pub fn asked(&self) -> u64 {
        self.paging.asked.load(Ordering::Relaxed)
    }

    /// Has the kernel begin to read the pages of a range of a segment that are not in memory, if the pool lies on a disk and the
    /// segment exists. Nobody waits for them here.
    #[cold]
    pub fn ask(&self, number: u32, offset: usize, length: usize) {
        let Some(segment) = self.slots.get(number as usize).and_then(OnceLock::get) else {
            return;
        };
        if !self.is_paged() {
            return;
        }
        self.paging.asked.fetch_add(1, Ordering::Relaxed);
        let start = segment.start.0.addr();
        let end = start + self.segment_bytes;
        let from = start.saturating_add(SEGMENT_HEADER_BYTES.saturating_add(offset));
        let to = from.saturating_add(length).min(end);
        let first = from / PAGE_BYTES * PAGE_BYTES;
        if from < to {
            advise(first, to - first, libc::MADV_WILLNEED);
        }
    }

    /// Whether the pool's pages may have to be read from a disk.
    fn is_paged(&self) -> bool {
        let is_paged = || {
            let path = self.database.pool().map(|(path, _)| path);
            path.is_some_and(|path| backing(path) == Backing::Ordinary)
        };
        *self.paging.on_disk.get_or_init(is_paged)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_while_pages_are_read_and_while_that_pays() {
        let mut looks = Looks::default();
        let (mut blocks, mut asked, mut asks) = (0, 0, false);
        let mut look = |pages: u64, more: u64| {
            blocks += pages * BLOCKS_PER_PAGE;
            asked += more;
            asks = looks.decide(blocks, asked, asks);
            asks
        };
        assert!(!look(PAGES_READ_MIN - 1, 0));
        assert!(look(PAGES_READ_MIN, 0));
        assert!(look(1000, 1000));
        assert!(look(1000, 1000 * ASKED_PER_PAGE_MAX));
        assert!(!look(1000, 1000 * ASKED_PER_PAGE_MAX + 1));
        for _ in 0..LOOKS_WITHOUT {
            // Long records are asked for at any time.
            assert!(!look(1000, 5));
        }
        assert!(look(1000, 0));
        assert!(!look(0, 0));
    }
}
