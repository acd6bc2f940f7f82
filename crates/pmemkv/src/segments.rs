//! Values of one size that grow by appends only. Readers read them in place.
//!
//! An engine's `get` looks the key up, takes the item's lock and calls back: some 0.3 us, most of a small read. But a
//! value of cmap or vcmap keeps its address until it is put anew, removed or defragmented (measured, and so in
//! libpmemkv's source: the item is a node of a concurrent hash map and keeps its string). [`Segments`] owns its
//! database and does none of the three, so it asks for each value's address once, and from then on reads without a
//! call.
//!
//! A segment begins with [`SEGMENT_HEADER_BYTES`] that each append rewrites. Appended bytes do not change until
//! [`reset`](Segments::reset), which waits for all readers.

use std::collections::BTreeMap;
use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use pmemkv_sys as sys;

use super::callback::slice;
use super::database::{Access, Database};
use super::error::{Error, Status};
use super::prefetch::prefetch;
use super::readers::{Readers, Reading};

/// Bytes of a segment's header, at its start.
pub const SEGMENT_HEADER_BYTES: usize = 64;

/// How many bytes a processor fetches at a time.
const CACHE_LINE_BYTES: usize = 64;

/// How many lines a prefetch asks for. The processor itself fetches the next ones when the reading goes on.
const PREFETCHED_LINES: usize = 4;

/// A header.
pub type Header = [u8; SEGMENT_HEADER_BYTES];

/// Values of one size in one engine, by number.
#[derive(Debug)]
pub struct Segments {
    slots: Box<[OnceLock<Segment>]>,
    made: Mutex<Made>,
    readers: Readers,
    segment_bytes: usize,
    /// Whether the engine's data outlive the process. Such an engine has write iterators.
    durable: bool,
    database: Database,
    /// Lets tests make the engine fail.
    #[cfg(any(test, feature = "testing"))]
    pub appends_left: AppendsLeft,
}

/// How many appends succeed before one fails; `None` if none fails.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug, Default)]
pub struct AppendsLeft(Mutex<Option<usize>>);

#[cfg(any(test, feature = "testing"))]
impl AppendsLeft {
    /// Sets the number.
    pub fn set(&self, left: Option<usize>) {
        *self.0.lock() = left;
    }

    fn take(&self) -> Result<(), Error> {
        match &mut *self.0.lock() {
            None => Ok(()),
            Some(0) => Err(Error::Unknown("the test lets it fail".to_owned())),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

/// The segments there are.
#[derive(Debug, Default)]
struct Made {
    /// How many; the next one's number.
    count: u32,
    /// Their first bytes, with their numbers.
    starts: BTreeMap<usize, u32>,
}

/// One value.
#[derive(Debug)]
struct Segment {
    /// The address of its first byte, valid as long as the database is open.
    start: Place,
    /// Its first `readable` bytes after the header do not change.
    readable: AtomicUsize,
    /// The thread that writes to the segment holds it.
    writer: Mutex<()>,
}

/// Reads segments. No segment is emptied while it lives.
pub struct Reader<'a> {
    slots: &'a [OnceLock<Segment>],
    _reading: Reading<'a>,
}

impl Reader<'_> {
    /// Lends `length` bytes of a segment from `offset` after its header on; `None` where not all of them can be read.
    #[inline]
    pub fn read(&self, number: u32, offset: usize, length: usize) -> Option<&[u8]> {
        let segment = self.slots.get(number as usize)?.get()?;
        // Loaded after this reader has entered, so that either a reset waits for the reader or the reader sees the
        // reset.
        let readable = segment.readable.load(Ordering::SeqCst);
        if length > readable || offset > readable - length {
            return None;
        }
        let start = segment.start.0.wrapping_add(SEGMENT_HEADER_BYTES + offset);
        // SAFETY: the value stays in place as long as the database, which lives as long as what `self` borrows from, is
        // open and does none of the calls that move it. The bytes are below `readable`: appends write behind them, and
        // a reset, which lets them be overwritten, waits until `_reading` is dropped.
        Some(unsafe { slice(start.cast(), length) })
    }
}

#[derive(Debug)]
struct Place(*mut u8);

// SAFETY: the value belongs to no thread, and `Segment` keeps reads and writes of it apart.
unsafe impl Send for Place {}
// SAFETY: as for Send.
unsafe impl Sync for Place {}

impl Segments {
    /// Takes over a database of segments of `segment_bytes` each, or an empty one. At most `count_max` can exist.
    ///
    /// Nothing is readable before the caller calls [`set_readable`](Self::set_readable).
    ///
    /// # Errors
    /// [`Error::NotSupported`] where the engine is neither cmap nor vcmap, [`Error::InvalidArgument`] where a segment is
    /// missing, has another size, or lies where no segment can.
    pub fn open(
        database: Database,
        segment_bytes: usize,
        count: u32,
        count_max: u32,
        mut remade: Option<&mut dyn FnMut(u32) -> Header>,
    ) -> Result<Self, Error> {
        let durable = match database.engine() {
            "cmap" => true,
            "vcmap" => false,
            other => {
                return Err(Error::NotSupported(format!(
                    "engine {other} does not keep its values in place"
                )));
            }
        };
        let segments = Self {
            slots: (0..count_max).map(|_| OnceLock::new()).collect(),
            made: Mutex::default(),
            readers: Readers::new(),
            segment_bytes,
            durable,
            database,
            #[cfg(any(test, feature = "testing"))]
            appends_left: AppendsLeft::default(),
        };
        {
            let mut made = segments.made.lock();
            while made.count < count_max {
                if !segments.find(&mut made)? {
                    if made.count >= count {
                        break;
                    }
                    let number = made.count;
                    let Some(header) = &mut remade else {
                        return Err(Error::InvalidArgument(format!(
                            "segment {number} of {count} is missing"
                        )));
                    };
                    segments.put(number, &header(number))?;
                    continue;
                }
                made.count += 1;
            }
        }
        Ok(segments)
    }

    /// How many segments there are.
    pub fn count(&self) -> u32 {
        self.made.lock().count
    }

    /// Bytes of one segment, its header included.
    pub fn segment_bytes(&self) -> usize {
        self.segment_bytes
    }

    /// Makes one more segment, zeros behind its header, and returns its number.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] where the pool, or `count_max`, has no room.
    pub fn add(&self, header: &Header) -> Result<u32, Error> {
        let mut made = self.made.lock();
        let number = made.count;
        if number as usize >= self.slots.len() {
            return Err(Error::OutOfMemory("no more segments".to_owned()));
        }
        self.put(number, header)?;
        if !self.find(&mut made)? {
            return Err(Error::Unknown("a new segment is not there".to_owned()));
        }
        made.count += 1;
        Ok(number)
    }

    fn put(&self, number: u32, header: &Header) -> Result<(), Error> {
        let mut value = vec![0; self.segment_bytes];
        value[..header.len()].copy_from_slice(header);
        self.database.put(&number.to_be_bytes(), &value)
    }

    /// A segment's header.
    pub fn header(&self, number: u32) -> Result<Header, Error> {
        let segment = self.segment(number)?;
        let _writer = segment.writer.lock();
        let mut header = [0; SEGMENT_HEADER_BYTES];
        // SAFETY: the segment is at least as long as its header, and every write to it needs the lock held here.
        unsafe { ptr::copy_nonoverlapping(segment.start.0, header.as_mut_ptr(), header.len()) };
        Ok(header)
    }

    /// Stores a segment's header as it is: the engine goes through all that a write takes.
    pub fn touch(&self, number: u32) -> Result<(), Error> {
        let header = self.header(number)?;
        let segment = self.segment(number)?;
        let _writer = segment.writer.lock();
        self.write(number, segment, &[(0, &header)])
    }

    /// How many bytes after the header can be read.
    #[inline]
    pub fn readable(&self, number: u32) -> usize {
        self.slots
            .get(number as usize)
            .and_then(OnceLock::get)
            .map_or(0, |segment| segment.readable.load(Ordering::Acquire))
    }

    /// Makes the first `bytes` after the header readable: an earlier process has written them.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the segment is shorter, or more bytes are readable already.
    pub fn set_readable(&self, number: u32, bytes: usize) -> Result<(), Error> {
        let segment = self.segment(number)?;
        let _writer = segment.writer.lock();
        let readable = segment.readable.load(Ordering::Relaxed);
        if bytes < readable || bytes > self.segment_bytes - SEGMENT_HEADER_BYTES {
            return Err(Error::InvalidArgument(format!(
                "{bytes} readable bytes of segment {number}"
            )));
        }
        segment.readable.store(bytes, Ordering::Release);
        Ok(())
    }

    /// Appends to the readable bytes and replaces the header, in one step. On return it is durable, if the engine is.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the bytes do not fit the segment, and any error of the engine. Nothing has changed
    /// then.
    pub fn append(&self, number: u32, bytes: &[u8], header: &Header) -> Result<(), Error> {
        #[cfg(any(test, feature = "testing"))]
        self.appends_left.take()?;
        let segment = self.segment(number)?;
        let _writer = segment.writer.lock();
        let readable = segment.readable.load(Ordering::Relaxed);
        let start = SEGMENT_HEADER_BYTES + readable;
        if bytes.len() > self.segment_bytes - start {
            return Err(Error::InvalidArgument(format!(
                "{} bytes at {start} reach beyond segment {number}",
                bytes.len()
            )));
        }
        self.write(number, segment, &[(start, bytes), (0, header)])?;
        segment
            .readable
            .store(readable + bytes.len(), Ordering::Release);
        Ok(())
    }

    /// Empties a segment and gives it a new header. On return it is durable, if the engine is. Waits for the readers of
    /// all segments, so a closure that reads must not call it.
    pub fn reset(&self, number: u32, header: &Header) -> Result<(), Error> {
        let segment = self.segment(number)?;
        let _writer = segment.writer.lock();
        self.write(number, segment, &[(0, header)])?;
        // From here on no reader begins to read this segment. The next append may overwrite the bytes only after the
        // present readers have ended.
        segment.readable.store(0, Ordering::SeqCst);
        self.readers.wait();
        Ok(())
    }

    /// Lends `length` bytes of a segment from `offset` after its header on; `None` where not all of them can be read.
    #[inline]
    pub fn read<R>(
        &self,
        number: u32,
        offset: usize,
        length: usize,
        read: impl FnOnce(&[u8]) -> R,
    ) -> Option<R> {
        self.reader().read(number, offset, length).map(read)
    }

    /// A reader for several reads. While it lives, no segment is emptied.
    #[inline]
    pub fn reader(&self) -> Reader<'_> {
        Reader {
            slots: &self.slots,
            _reading: self.readers.enter(),
        }
    }

    /// Asks the processor to fetch the first bytes of a range of a segment, if the segment exists.
    #[inline]
    pub fn prefetch(&self, number: u32, offset: usize, length: usize) {
        let Some(segment) = self.slots.get(number as usize).and_then(OnceLock::get) else {
            return;
        };
        let start = segment.start.0.wrapping_add(SEGMENT_HEADER_BYTES + offset);
        for line in 0..length.div_ceil(CACHE_LINE_BYTES).min(PREFETCHED_LINES) {
            prefetch(start.wrapping_add(line * CACHE_LINE_BYTES));
        }
    }

    /// The same of a few bytes, in no more lines than these touch: a processor waits where too many are under way.
    #[inline]
    pub fn prefetch_few(&self, number: u32, offset: usize, length: usize) {
        let Some(segment) = self.slots.get(number as usize).and_then(OnceLock::get) else {
            return;
        };
        let start = segment.start.0.wrapping_add(SEGMENT_HEADER_BYTES + offset);
        prefetch(start);
        if start.addr() % CACHE_LINE_BYTES + length > CACHE_LINE_BYTES {
            prefetch(start.wrapping_add(CACHE_LINE_BYTES));
        }
    }

    fn segment(&self, number: u32) -> Result<&Segment, Error> {
        self.slots
            .get(number as usize)
            .and_then(OnceLock::get)
            .ok_or_else(|| Error::InvalidArgument(format!("there is no segment {number}")))
    }

    /// Writes ranges of a segment that no thread reads.
    fn write(
        &self,
        number: u32,
        segment: &Segment,
        ranges: &[(usize, &[u8])],
    ) -> Result<(), Error> {
        if self.durable {
            if !self.database.write_ranges(&number.to_be_bytes(), ranges)? {
                return Err(Error::Unknown(format!("segment {number} is gone")));
            }
            return Ok(());
        }
        // vcmap has no write iterators. Its values are plain memory that only this process sees: a plain copy will do.
        for &(start, bytes) in ranges {
            let place = segment.start.0.wrapping_add(start);
            // SAFETY: the caller has checked the range and holds `writer`; the range is the header or lies beyond
            // `readable`, so no thread reads it; `bytes` is not part of a segment's unreadable rest.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
        }
        Ok(())
    }

    /// Asks the engine where the next segment lies; `false` where it doesn't exist.
    fn find(&self, made: &mut Made) -> Result<bool, Error> {
        let number = made.count;
        let mut found = Found {
            start: ptr::null_mut(),
            bytes: 0,
        };
        let key = number.to_be_bytes();
        let _running = self.database.enter(Access::Read)?;
        // SAFETY: the database is open and held; the callback is the one for a `Found`, which outlives the call.
        let status = unsafe {
            sys::pmemkv_get(
                self.database.raw(),
                key.as_ptr().cast(),
                key.len(),
                Some(Found::note),
                (&raw mut found).cast(),
            )
        };
        match Status::from_raw(status) {
            Status::NotFound => return Ok(false),
            status => status.into_result()?,
        }
        let refused = |why: String| Err(Error::InvalidArgument(format!("segment {number} {why}")));
        if found.bytes != self.segment_bytes || found.start.is_null() {
            return refused(format!(
                "has {} bytes, not {}",
                found.bytes, self.segment_bytes
            ));
        }
        // What the engine says follows from bytes of the pool, which may be damaged.
        let start = found.start as usize;
        let end = start.saturating_add(self.segment_bytes);
        if let Some(pool) = self.database.mapped()
            && (start < pool.start || end > pool.end)
        {
            return refused("lies outside of the pool".to_owned());
        }
        let before = made.starts.range(..end).next_back();
        if let Some((&other, other_number)) = before
            && other + self.segment_bytes > start
        {
            return refused(format!("lies where segment {other_number} is"));
        }
        let segment = Segment {
            start: Place(found.start),
            readable: AtomicUsize::new(0),
            writer: Mutex::new(()),
        };
        made.starts.insert(start, number);
        // The caller holds `made`: the slot is empty.
        let _ = self.slots[number as usize].set(segment);
        Ok(true)
    }
}

/// The address and length of a value.
struct Found {
    start: *mut u8,
    bytes: usize,
}

impl Found {
    unsafe extern "C" fn note(value: *const c_char, value_bytes: usize, arg: *mut c_void) {
        // SAFETY: `arg` is the `Found` whose owner is waiting inside pmemkv_get on this thread.
        let found = unsafe { &mut *arg.cast::<Self>() };
        found.start = value.cast_mut().cast();
        found.bytes = value_bytes;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::super::{Config, Error};
    use super::*;

    const BYTES: usize = 4096;

    fn open(engine: &str, directory: &std::path::Path, create: bool) -> Result<Segments, Error> {
        let mut config = Config::new()?;
        if engine == "cmap" {
            config.put_path(directory.join("segments.pool"))?;
        } else {
            config.put_path(directory)?;
        }
        config.put_size(64 << 20)?;
        if create && engine == "cmap" {
            config.put_force_create(true)?;
        }
        Segments::open(Database::open(engine, config)?, BYTES, 0, 8, None)
    }

    fn text(segments: &Segments, number: u32, offset: usize, length: usize) -> Option<Vec<u8>> {
        segments.read(number, offset, length, <[u8]>::to_vec)
    }

    #[test]
    fn appends_are_read_where_they_lie() -> Result<(), Error> {
        for engine in ["cmap", "vcmap"] {
            let directory = tempfile::tempdir().expect("a directory");
            let segments = open(engine, directory.path(), true)?;
            assert_eq!(segments.count(), 0);
            assert_eq!((segments.add(&[0; 64])?, segments.add(&[0; 64])?), (0, 1));
            assert_eq!(text(&segments, 0, 0, 1), None);
            segments.append(0, b"hello ", &[1; 64])?;
            segments.append(0, b"world", &[2; 64])?;
            assert_eq!(
                text(&segments, 0, 0, 11).as_deref(),
                Some(&b"hello world"[..])
            );
            assert_eq!(text(&segments, 0, 6, 5).as_deref(), Some(&b"world"[..]));
            assert_eq!(text(&segments, 0, 6, 6), None);
            assert_eq!(text(&segments, 0, usize::MAX, 2), None);
            assert_eq!(text(&segments, 1, 0, 1), None);
            assert_eq!(text(&segments, 7, 0, 0), None);
            assert_eq!(segments.header(0)?, [2; 64]);
            let rest = vec![7; BYTES - SEGMENT_HEADER_BYTES - 11];
            segments.append(0, &rest, &[3; 64])?;
            assert!(segments.append(0, b"x", &[4; 64]).is_err());
            segments.reset(0, &[0; 64])?;
            assert_eq!(text(&segments, 0, 0, 1), None);
            segments.append(0, b"again", &[5; 64])?;
            assert_eq!(text(&segments, 0, 0, 5).as_deref(), Some(&b"again"[..]));
        }
        Ok(())
    }

    #[test]
    fn are_found_again() -> Result<(), Error> {
        let directory = tempfile::tempdir().expect("a directory");
        let segments = open("cmap", directory.path(), true)?;
        segments.add(&[0; 64])?;
        segments.append(0, b"kept", &[9; 64])?;
        drop(segments);
        let segments = open("cmap", directory.path(), false)?;
        assert_eq!((segments.count(), segments.header(0)?), (1, [9; 64]));
        assert_eq!(text(&segments, 0, 0, 4), None);
        segments.set_readable(0, 4)?;
        assert_eq!(text(&segments, 0, 0, 4).as_deref(), Some(&b"kept"[..]));
        assert!(segments.set_readable(0, 3).is_err());
        assert!(segments.set_readable(0, BYTES).is_err());
        Ok(())
    }

    #[test]
    fn has_a_limit_and_says_what_it_cannot_use() -> Result<(), Error> {
        let directory = tempfile::tempdir().expect("a directory");
        let segments = open("vcmap", directory.path(), true)?;
        for _ in 0..8 {
            segments.add(&[0; 64])?;
        }
        assert!(matches!(segments.add(&[0; 64]), Err(Error::OutOfMemory(_))));
        assert!(matches!(
            open("vsmap", directory.path(), true),
            Err(Error::NotSupported(_))
        ));
        Ok(())
    }

    /// A reader that began before a reset never sees bytes from after it.
    #[test]
    fn readers_beside_resets_see_whole_lives() -> Result<(), Error> {
        let directory = tempfile::tempdir().expect("a directory");
        let segments = Arc::new(open("vcmap", directory.path(), true)?);
        segments.add(&[0; 64])?;
        let stop = Arc::new(AtomicBool::new(false));
        let reader = std::thread::spawn({
            let (segments, stop) = (Arc::clone(&segments), Arc::clone(&stop));
            move || {
                let mut met = 0;
                while !stop.load(Ordering::Relaxed) {
                    let same = segments.read(0, 0, 1000, |bytes| {
                        bytes.iter().all(|byte| *byte == bytes[0])
                    });
                    assert_ne!(same, Some(false));
                    met += usize::from(same.is_some());
                }
                met
            }
        });
        for life in 0..2_000u32 {
            let byte = life.to_le_bytes()[0];
            segments.append(0, &[byte; 1000], &[0; 64])?;
            segments.reset(0, &[0; 64])?;
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().expect("the reader saw nothing torn");
        Ok(())
    }
}
