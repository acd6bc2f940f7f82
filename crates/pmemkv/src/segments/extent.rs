//! Extents: values of many segments. To make a value takes some sixty barriers, whatever its length. Where each is a write to
//! a disk, many segments are made as one value.
//!
//! An extent's key is a letter and the number of its first segment, so that no segment has it. Segments of an extent have the
//! numbers from there on.

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Found, Header, Made, Segments};
use crate::error::Error;

/// Before the number of the first segment.
const LETTER: u8 = b'x';

/// The most bytes of an extent: longer ones gain nothing more, and writing one takes longer.
const EXTENT_BYTES_MAX: usize = 64 << 20;

/// An extent takes at most one of this many shares of all segments that there can be.
const EXTENT_SHARE: usize = 8;

/// Where the engine keeps a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Home {
    key: [u8; 5],
    key_bytes: usize,
    /// Where the segment begins in the value.
    pub(super) offset: usize,
}

impl Home {
    /// A value of its own.
    pub(super) fn own(number: u32) -> Self {
        let [a, b, c, d] = number.to_be_bytes();
        Self {
            key: [a, b, c, d, 0],
            key_bytes: 4,
            offset: 0,
        }
    }

    /// An extent that begins with segment `first`.
    fn extent(first: u32, offset: usize) -> Self {
        let [a, b, c, d] = first.to_be_bytes();
        Self {
            key: [LETTER, a, b, c, d],
            key_bytes: 5,
            offset,
        }
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key[..self.key_bytes]
    }
}

impl Segments {
    /// How many segments are best made at once: more than one where each barrier is a write to a disk.
    pub fn made_at_once(&self) -> u32 {
        let waits_for_disk = self.persist.get().is_some_and(|persist| persist.is_disk());
        let most = (self.slots.len() / EXTENT_SHARE).min(EXTENT_BYTES_MAX / self.segment_bytes);
        if waits_for_disk {
            u32::try_from(most).unwrap_or(u32::MAX).max(1)
        } else {
            1
        }
    }

    /// Makes `count` segments as one value, and returns the number of the first.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] where the pool, or the limit of segments, has no room for all of them.
    pub fn add_extent(&self, count: u32, header: &Header) -> Result<u32, Error> {
        let mut made = self.made.lock();
        let first = made.count;
        let count = count as usize;
        if first as usize + count > self.slots.len() {
            return Err(Error::OutOfMemory("no more segments".to_owned()));
        }
        let mut value = vec![0; count * self.segment_bytes];
        for segment in value.chunks_exact_mut(self.segment_bytes) {
            segment[..header.len()].copy_from_slice(header);
        }
        self.database.put(Home::extent(first, 0).key(), &value)?;
        if !self.find_extent(&mut made)? {
            return Err(Error::Unknown("a new extent is not there".to_owned()));
        }
        Ok(first)
    }

    /// Stores a segment's first bytes, its header among them, where nobody uses the segment yet. Durable once the file is synced.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the bytes do not fit the segment.
    pub fn fill(&self, number: u32, bytes: &[u8]) -> Result<(), Error> {
        let segment = self.segment(number)?;
        let _writer = segment.writer.lock();
        if bytes.len() > self.segment_bytes || segment.readable.load(Ordering::Acquire) > 0 {
            return Err(Error::InvalidArgument(format!(
                "{} bytes for segment {number}",
                bytes.len()
            )));
        }
        // SAFETY: the bytes fit; the thread holds `writer`, and no thread reads a segment of which nothing is readable.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), segment.start.0, bytes.len()) };
        Ok(())
    }

    /// Asks the engine for the extent that begins with the next segment; `false` where there is none.
    pub(super) fn find_extent(&self, made: &mut Made) -> Result<bool, Error> {
        let first = made.count;
        let Some(found) = Found::of(&self.database, Home::extent(first, 0).key())? else {
            return Ok(false);
        };
        let count = found.bytes / self.segment_bytes;
        let is_whole = count > 0 && found.bytes.is_multiple_of(self.segment_bytes);
        if !is_whole
            || !self.segment_bytes.is_multiple_of(align_of::<AtomicU64>())
            || first as usize + count > self.slots.len()
        {
            return Err(Error::InvalidArgument(format!(
                "the extent of segment {first} has {} bytes",
                found.bytes
            )));
        }
        for n in 0..count {
            let offset = n * self.segment_bytes;
            let start = found.start.wrapping_add(offset);
            self.enter_found(made, start, Home::extent(first, offset))?;
        }
        Ok(true)
    }
}
