//! Values of one size that grow by appends only. Readers read them in place.
//!
//! An engine's `get` looks the key up, takes the item's lock and calls back: some 0.3 us, most of a small read. But a
//! value of cmap or vcmap keeps its address until it is put anew, removed or defragmented (measured, and so in
//! libpmemkv's source: the item is a node of a concurrent hash map and keeps its string). [`Segments`] owns its
//! database and does none of the three, so it asks for each value's address once, and from then on reads without a
//! call.
//!
//! A segment begins with [`SEGMENT_HEADER_BYTES`]. They have room for two entries, of which each append writes the one that
//! it did not write last. Appended bytes do not change until [`reset`](Segments::reset) or [`end`](Segments::end), which
//! wait for all readers.
//!
//! Appends go to the kept address too, beside the engine: its write iterator copies what it overwrites to an undo log, and
//! takes some eight barriers. The bytes behind the readable ones need no undo, since nothing reads them. One barrier then makes
//! bytes and entry durable, so after a loss of power the entry may be there without all of the bytes: the caller's entries
//! say where an append began, and its bytes tell whether they are whole.

mod append;
mod extent;
mod headers;
mod ledger;
mod paging;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use pmemkv_sys as sys;

use extent::Home;
use ledger::Ledger;

use super::callback::slice;
use super::database::{Access, Database};
use super::error::{Error, Status};
use super::persist::Persist;
use super::prefetch::prefetch;
use super::readers::{Readers, Reading};

/// Bytes of a segment's header, at its start.
pub const SEGMENT_HEADER_BYTES: usize = 64;

/// Bytes of an entry in a segment's header.
pub const SEGMENT_ENTRY_BYTES: usize = 24;

/// How many bytes a processor fetches at a time.
const CACHE_LINE_BYTES: usize = 64;

/// How many lines a prefetch asks for. The processor itself fetches the next ones when the reading goes on.
const PREFETCHED_LINES: usize = 4;

/// An entry.
pub type Entry = [u8; SEGMENT_ENTRY_BYTES];

/// A header.
pub type Header = [u8; SEGMENT_HEADER_BYTES];

/// Values of one size in one engine, by number.
#[derive(Debug)]
pub struct Segments {
    slots: Box<[OnceLock<Segment>]>,
    made: Mutex<Made>,
    readers: Readers,
    segment_bytes: usize,
    ledger: OnceLock<Ledger>,
    /// Whether the engine's data outlive the process. Such an engine has write iterators.
    durable: bool,
    /// Known with the first segment, where the engine's data outlive the process.
    persist: OnceLock<Arc<Persist>>,
    paging: paging::Paging,
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
    home: Home,
    /// Its first `readable` bytes after the header do not change.
    readable: AtomicUsize,
    /// The thread that writes to the segment holds it, and learns which entry is next.
    writer: Mutex<usize>,
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
            ledger: OnceLock::new(),
            durable,
            persist: OnceLock::new(),
            paging: paging::Paging::default(),
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
                }
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
        self.write(number, segment, &header)
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

    /// Empties a segment and gives it a new header, whose first entry counts. On return it is durable, if the engine is. Waits
    /// for the readers of all segments, so a closure that reads must not call it.
    pub fn reset(&self, number: u32, header: &Header) -> Result<(), Error> {
        let segment = self.segment(number)?;
        let mut next = segment.writer.lock();
        self.write(number, segment, header)?;
        *next = 1;
        self.empty(segment);
        Ok(())
    }

    fn empty(&self, segment: &Segment) {
        // From here on no reader begins to read this segment. The next append may overwrite the bytes only after the
        // present readers have ended.
        segment.readable.store(0, Ordering::SeqCst);
        self.readers.wait();
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

    /// Writes a whole header in one step.
    fn write(&self, number: u32, segment: &Segment, header: &Header) -> Result<(), Error> {
        if self.durable {
            let home = segment.home;
            if !self.database.write_range(home.key(), home.offset, header)? {
                return Err(Error::Unknown(format!("segment {number} is gone")));
            }
            return Ok(());
        }
        // vcmap has no write iterators. Its values are plain memory that only this process sees: a plain copy will do.
        // SAFETY: the segment is longer than its header, which no thread reads; the caller holds `writer`.
        unsafe { ptr::copy_nonoverlapping(header.as_ptr(), segment.start.0, header.len()) };
        Ok(())
    }

    /// Asks the engine where the next segment lies, or the next ones; `false` where there is none.
    fn find(&self, made: &mut Made) -> Result<bool, Error> {
        let number = made.count;
        let home = Home::own(number);
        let Some(found) = Found::of(&self.database, home.key())? else {
            return self.find_extent(made);
        };
        if found.bytes != self.segment_bytes || found.start.is_null() {
            return Err(Error::InvalidArgument(format!(
                "segment {number} has {} bytes, not {}",
                found.bytes, self.segment_bytes
            )));
        }
        self.enter_found(made, found.start, home)?;
        Ok(true)
    }

    /// Takes up the next segment, which was found there.
    fn enter_found(&self, made: &mut Made, place: *mut u8, home: Home) -> Result<(), Error> {
        let number = made.count;
        let refused = |why: String| Err(Error::InvalidArgument(format!("segment {number} {why}")));
        // What the engine says follows from bytes of the pool, which may be damaged.
        let start = place as usize;
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
        if self.durable {
            // The words of an entry are stored whole.
            if !start.is_multiple_of(align_of::<AtomicU64>()) {
                return refused("lies at an odd place".to_owned());
            }
            if self.persist.get().is_none() {
                let Some(persist) = self.database.persist(place) else {
                    return refused("lies in no pool".to_owned());
                };
                let _ = self.persist.set(persist);
            }
        }
        let segment = Segment {
            start: Place(place),
            home,
            readable: AtomicUsize::new(0),
            writer: Mutex::new(1),
        };
        made.starts.insert(start, number);
        // The caller holds `made`: the slot is empty.
        let _ = self.slots[number as usize].set(segment);
        made.count += 1;
        Ok(())
    }
}

/// The address and length of a value.
struct Found {
    start: *mut u8,
    bytes: usize,
}

impl Found {
    /// Asks the engine for a value; `None` where there is none.
    fn of(database: &Database, key: &[u8]) -> Result<Option<Self>, Error> {
        let mut found = Self {
            start: ptr::null_mut(),
            bytes: 0,
        };
        let _running = database.enter(Access::Read)?;
        // SAFETY: the database is open and held; the callback is the one for a `Found`, which outlives the call.
        let status = unsafe {
            sys::library().pmemkv_get(
                database.raw(),
                key.as_ptr().cast(),
                key.len(),
                Some(Self::note),
                (&raw mut found).cast(),
            )
        };
        match Status::from_raw(status) {
            Status::NotFound => Ok(None),
            status => status.into_result().map(|()| Some(found)),
        }
    }

    unsafe extern "C" fn note(value: *const c_char, value_bytes: usize, arg: *mut c_void) {
        // SAFETY: `arg` is the `Found` whose owner is waiting inside pmemkv_get on this thread.
        let found = unsafe { &mut *arg.cast::<Self>() };
        found.start = value.cast_mut().cast();
        found.bytes = value_bytes;
    }
}
