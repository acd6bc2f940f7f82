//! Appends to segments, and their ends: stores beside the engine, with one barrier each.

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Entry, SEGMENT_ENTRY_BYTES, SEGMENT_HEADER_BYTES, Segment, Segments};
use crate::error::Error;

/// Where the entries begin.
const ENTRIES_AT: usize = 8;

/// Words of an entry, which reach the memory one by one.
const ENTRY_WORDS: usize = SEGMENT_ENTRY_BYTES / size_of::<u64>();

impl Segments {
    /// Says which entry of a segment the next append writes, where an earlier process has written the header.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where there is no such segment.
    pub fn go_on_with(&self, number: u32, entry: usize) -> Result<(), Error> {
        *self.segment(number)?.writer.lock() = entry % 2;
        Ok(())
    }

    /// Appends to the readable bytes, and writes the header's next entry. On return both are durable, if the engine is.
    /// After a loss of power before that, any of them may be.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the bytes do not fit the segment, and [`Error::Io`] where the operating system could not
    /// write. Then the same append may be tried again.
    pub fn append(&self, number: u32, bytes: &[u8], entry: &Entry) -> Result<(), Error> {
        #[cfg(any(test, feature = "testing"))]
        self.appends_left.take()?;
        let segment = self.segment(number)?;
        let mut next = segment.writer.lock();
        let readable = segment.readable.load(Ordering::Relaxed);
        let start = SEGMENT_HEADER_BYTES + readable;
        if bytes.len() > self.segment_bytes - start {
            return Err(Error::InvalidArgument(format!(
                "{} bytes at {start} reach beyond segment {number}",
                bytes.len()
            )));
        }
        let place = segment.start.0.wrapping_add(start);
        match self.persist.get() {
            // SAFETY: the range was checked; the thread holds `writer`, and no thread reads beyond `readable`.
            Some(persist) => unsafe { persist.copy(place, bytes) },
            // SAFETY: as above; `bytes` is not part of a segment's unreadable rest.
            None => unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) },
        }
        self.enter(segment, *next, entry, start + bytes.len())?;
        *next = 1 - *next;
        segment
            .readable
            .store(readable + bytes.len(), Ordering::Release);
        Ok(())
    }

    /// Empties a segment, and writes the header's next entry. On return it is durable, if the engine is. Waits for the readers
    /// of all segments, so a closure that reads must not call it.
    ///
    /// # Errors
    /// [`Error::Io`] where the operating system could not write: nothing has changed for readers then.
    pub fn end(&self, number: u32, entry: &Entry) -> Result<(), Error> {
        let segment = self.segment(number)?;
        let mut next = segment.writer.lock();
        self.enter(segment, *next, entry, SEGMENT_HEADER_BYTES)?;
        *next = 1 - *next;
        self.empty(segment);
        Ok(())
    }

    /// Writes an entry, and makes the first `bytes` of the segment durable.
    fn enter(
        &self,
        segment: &Segment,
        number: usize,
        entry: &Entry,
        bytes: usize,
    ) -> Result<(), Error> {
        let place = segment
            .start
            .0
            .wrapping_add(ENTRIES_AT + number * SEGMENT_ENTRY_BYTES);
        let Some(persist) = self.persist.get() else {
            // SAFETY: the entry lies in the header, and the caller holds `writer`.
            unsafe { ptr::copy_nonoverlapping(entry.as_ptr(), place, entry.len()) };
            return Ok(());
        };
        // SAFETY: as above; the place is aligned, since `find` has checked the segment's; all that is stored is words.
        #[allow(clippy::cast_ptr_alignment)]
        let words = unsafe { &*place.cast::<[AtomicU64; ENTRY_WORDS]>() };
        let (values, _) = entry.as_chunks();
        // After the bytes, and the checksum at its end last: the process may be killed anywhere in between.
        for (word, value) in words.iter().zip(values) {
            word.store(u64::from_le_bytes(*value), Ordering::Release);
        }
        persist.flush(place, entry.len());
        persist
            .finish(segment.start.0, bytes)
            .map_err(|error| Error::Io(error.to_string()))
    }
}
