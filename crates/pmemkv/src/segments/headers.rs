//! Segments read from the pool's file: to have the system map pages costs more than what is in them, if they are read once.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::{Header, SEGMENT_HEADER_BYTES, Segments};
use crate::error::Error;

impl Segments {
    /// The headers of all segments, in their order, as they are before this process writes to any.
    ///
    /// Each lies in a page of its own. The system maps a page together with those around it, which takes some 6 us; to read
    /// 64 bytes of the file takes a tenth. So they are read from the file where the pool is one.
    ///
    /// # Errors
    /// As [`header`](Self::header).
    pub fn headers(&self) -> Result<Vec<Header>, Error> {
        if let Some(headers) = self.headers_of_file() {
            return Ok(headers);
        }
        (0..self.count())
            .map(|number| self.header(number))
            .collect()
    }

    /// A copy of the first `bytes` bytes after a segment's header, read from the pool's file: so its pages are not mapped, which would
    /// make the process larger and its end longer. `None` where the pool is no file or cannot be read. The file at the pool's path may
    /// be another one by now, and the segment may be emptied and written meanwhile, so the copy can only tell that all is well.
    pub fn copy_of_file(&self, number: u32, bytes: usize) -> Option<Vec<u8>> {
        let (path, mapped) = self.database.pool()?;
        let start = self.segment(number).ok()?.start.0.addr();
        let at = start.checked_sub(mapped.start)? + SEGMENT_HEADER_BYTES;
        let mut copy = vec![0; bytes];
        let file = File::open(path).ok()?;
        file.read_exact_at(&mut copy, at as u64).ok()?;
        Some(copy)
    }

    /// `None` where the pool is no file, where it cannot be read, or where it is no longer the one that is mapped.
    fn headers_of_file(&self) -> Option<Vec<Header>> {
        let count = self.count();
        let (path, mapped) = self.database.pool()?;
        let file = File::open(path).ok()?;
        let mut headers = Vec::with_capacity(count as usize);
        for number in 0..count {
            let start = self.segment(number).ok()?.start.0.addr();
            let at = start.checked_sub(mapped.start)?;
            let mut header = [0; SEGMENT_HEADER_BYTES];
            file.read_exact_at(&mut header, at as u64).ok()?;
            headers.push(header);
        }
        let is_mapped = |number: u32| {
            let header = self.header(number).ok();
            header.as_ref() == headers.get(number as usize)
        };
        (count == 0 || (is_mapped(0) && is_mapped(count - 1))).then_some(headers)
    }
}
