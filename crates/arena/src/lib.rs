//! An arena: memory in a file in shared memory, which outlives the process that fills it.
//!
//! A process that is killed leaves all that its processor has stored, in the order of its stores. What it was about to do
//! is half done, and what it has done may be more than what counts. So a [`Region`] notes the old value of each word before
//! it stores a new one, and the next process stores the old values back. What a region held at the last
//! [published](Arena::publish) moment is what the next process finds.
//!
//! May use: the file system, memory mappings. Never: knows what the words mean.
//!
//! Layout of the file: pieces of 2 MiB, each of 512 extents of 4 KiB. The first extent of each piece holds a word for each
//! extent of the piece, which says whose it is. The second extent of the first piece is the header.

mod header;
mod map;
mod owner;
mod region;
#[cfg(test)]
mod tests;
mod words;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::{FallocateFlags, Flock, FlockArg, fallocate};
use parking_lot::Mutex;

pub use header::{Identity, Point};
use map::Map;
pub use owner::{Kind, Owner};
#[cfg(feature = "testing")]
pub use region::testing;
pub use region::{Found, Region};
pub use words::{Lines, Run, Word};

/// Bytes of an extent.
pub const EXTENT_BYTES: usize = 4096;

/// Words of an extent.
pub const EXTENT_WORDS: usize = EXTENT_BYTES / 8;

/// Words of a line: a line of the processor's cache.
pub const LINE_WORDS: usize = 8;

/// Lines of an extent.
pub const EXTENT_LINES: usize = EXTENT_WORDS / LINE_WORDS;

/// Extents of a piece, by which the file grows.
const PIECE_EXTENTS: u32 = 512;

const PIECE_BYTES: usize = PIECE_EXTENTS as usize * EXTENT_BYTES;

/// The mark of a fresh arena, which none of its regions has to go back to.
const FIRST_MARK: u64 = 1;

/// The extent that holds the header.
const HEADER_EXTENT: u32 = 1;

/// What [`Arena::open`] has found.
#[derive(Debug)]
pub enum Opening {
    /// Nothing that counts; the text says why.
    Fresh(String),
    /// What an earlier process has left, as it was at this point, once every region has [taken back](Region::reopen) what
    /// came later.
    Left(Point, Vec<Found>),
}

/// The memory. It lives as long as the process, so that its words may be named anywhere.
#[derive(Debug)]
pub struct Arena {
    path: PathBuf,
    map: Map,
    file: Mutex<Option<Flock<File>>>,
    space: Mutex<Space>,
    /// The number of the last mark that was begun.
    mark: AtomicU64,
    /// The number of the mark that the header names.
    published: AtomicU64,
}

#[derive(Debug, Default)]
struct Space {
    /// The first extent that was never given out.
    next: u32,
    /// Extents that were given back, each with the mark at that time.
    free: std::collections::VecDeque<(u64, u32)>,
}

impl Arena {
    /// Opens the file at `path`, or makes it. It may grow to `bytes_max`. Fails where there can be no such file; a file that
    /// another process has open is an error of the kind `WouldBlock`.
    pub fn open(
        path: &Path,
        bytes_max: usize,
        identity: &Identity,
    ) -> io::Result<(&'static Self, Opening)> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_CLOEXEC)
            .open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.uid() != nix::unistd::geteuid().as_raw() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it is no file of this user",
            ));
        }
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, errno)| io::Error::from(errno))?;
        let pieces_max = (bytes_max / PIECE_BYTES + 1).min(u32::MAX as usize / 512);
        let arena: &'static Self = Box::leak(Box::new(Self {
            path: path.to_owned(),
            map: Map::reserve(pieces_max * PIECE_BYTES)?,
            file: Mutex::new(Some(file)),
            space: Mutex::default(),
            mark: AtomicU64::new(0),
            published: AtomicU64::new(0),
        }));
        let found = arena.take_over(metadata.len(), identity);
        let opening = match found {
            Ok((point, found)) => Opening::Left(point, found),
            Err(why) => {
                arena.begin(identity)?;
                Opening::Fresh(why)
            }
        };
        Ok((arena, opening))
    }

    /// Makes an empty arena of the file.
    pub fn begin(&self, identity: &Identity) -> io::Result<()> {
        {
            let mut space = self.space.lock();
            self.map.forget();
            *space = Space::default();
            if let Some(file) = &*self.file.lock() {
                file.set_len(0)?;
            }
            if !self.grow() {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            space.next = HEADER_EXTENT + 1;
        }
        self.mark.store(FIRST_MARK, Ordering::Release);
        self.published.store(0, Ordering::Release);
        header::begin(self.header(), identity);
        Ok(())
    }

    /// Maps what an earlier process has left, and checks it. The text of the error says why it does not count.
    fn take_over(&self, len: u64, identity: &Identity) -> Result<(Point, Vec<Found>), String> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len == 0 {
            return Err("there is none".to_owned());
        }
        if len % PIECE_BYTES != 0 || len > self.map.reserved_bytes() {
            return Err(format!("it has {len} bytes"));
        }
        let ((point, mark), (found, next)) = {
            let file = self.file.lock();
            let file = file.as_ref().ok_or("it was given up")?;
            self.map
                .add_file(file.as_fd(), len)
                .map_err(|error| error.to_string())?;
            let header = header::check(self.header(), identity, len)?;
            (header, owner::all(file, len)?)
        };
        self.space.lock().next = next;
        // What this process changes comes after all that the earlier one has changed.
        self.published.store(point.mark, Ordering::Release);
        self.mark.store(mark + 1, Ordering::Release);
        header::note_mark(self.header(), mark + 1);
        Ok((point, found))
    }

    /// Says that a pool was opened once more, which this arena belongs to.
    pub fn adopt(&self, identity: &Identity) {
        header::adopt(self.header(), identity);
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The word that says whether the arena counts. Zero there means that it does not.
    pub fn state(&self) -> &AtomicU64 {
        header::state(self.header())
    }

    /// Whether the next process may find anything here. It may not once the arena was [poisoned](Self::poison), or when the file
    /// could not grow.
    pub fn counts(&self) -> bool {
        self.state().load(Ordering::Acquire) != 0
    }

    /// Says that the arena does not count any more, whatever happens to it.
    pub fn poison(&self) {
        self.state().store(0, Ordering::SeqCst);
    }

    /// Says that the next start must not use what the arena holds now, because of a change that nothing takes back. What is
    /// published by a mark that begins later counts again.
    pub fn risk(&self) {
        header::risk(self.header());
    }

    /// Whether no change is unfinished that nothing takes back.
    pub fn is_settled(&self) -> bool {
        header::is_settled(self.header())
    }

    /// Whether no mark was begun yet. Until then regions note no old values, since there is nothing to go back to.
    pub fn is_unmarked(&self) -> bool {
        self.mark() == FIRST_MARK
    }

    /// Begins a mark: returns its number. The caller then has each region [note](Region::note_mark) it.
    pub fn begin_mark(&self) -> Mark {
        let risks = header::risks(self.header());
        let number = self.mark.load(Ordering::Acquire) + 1;
        header::note_mark(self.header(), number);
        self.mark.store(number, Ordering::Release);
        Mark { number, risks }
    }

    /// Has the next process find what all regions held when they noted the mark.
    pub fn publish(&self, mark: Mark, point: Point) {
        let point = Point {
            mark: mark.number,
            ..point
        };
        header::publish(self.header(), &point, mark.risks);
        self.published.store(mark.number, Ordering::Release);
    }

    /// Lets another process have the file. The memory stays.
    pub fn release(&self) {
        drop(self.file.lock().take());
    }

    /// Bytes of extents that were given out and not given back.
    pub fn used_bytes(&self) -> usize {
        let space = self.space.lock();
        (space.next as usize - space.free.len()) * EXTENT_BYTES
    }

    fn header(&self) -> &[AtomicU64] {
        self.words(HEADER_EXTENT)
    }

    /// The words of an extent.
    ///
    /// # Panics
    ///
    /// If there is no such extent.
    fn words(&self, extent: u32) -> &[AtomicU64] {
        self.map.words(extent as usize * EXTENT_WORDS, EXTENT_WORDS)
    }

    /// Words of the memory, by their number.
    ///
    /// # Panics
    ///
    /// If there are none of these numbers.
    #[inline]
    pub fn slice(&self, first: usize, count: usize) -> &[AtomicU64] {
        self.map.words(first, count)
    }

    /// The number of the last mark that was begun.
    pub fn mark(&self) -> u64 {
        self.mark.load(Ordering::Acquire)
    }

    /// The number of the mark that counts.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// Gives out an extent whose words are zeros.
    pub(crate) fn take(&self, owner: (Kind, Owner)) -> u32 {
        let mut space = self.space.lock();
        let published = self.published();
        let extent = match space.free.front() {
            // The next process may find what it held before.
            Some(&(mark, extent)) if mark < published => {
                space.free.pop_front();
                for word in self.words(extent) {
                    word.store(0, Ordering::Relaxed);
                }
                extent
            }
            _ => {
                if space.next.is_multiple_of(PIECE_EXTENTS) {
                    if self.map.len_bytes() <= space.next as usize * EXTENT_BYTES {
                        assert!(self.grow(), "the index has outgrown its arena");
                    }
                    space.next += 1;
                }
                space.next += 1;
                space.next - 1
            }
        };
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
        owner::set(self, extent, owner);
        extent
    }

    /// Takes extents back.
    pub(crate) fn put_back(&self, extents: impl Iterator<Item = u32>) {
        let mark = self.mark();
        let mut space = self.space.lock();
        space.free.extend(extents.map(|extent| (mark, extent)));
    }

    /// Adds a piece. Where the file has no room, memory of this process does, and what the arena holds dies with it.
    fn grow(&self) -> bool {
        let len = self.map.len_bytes();
        let file = self.file.lock();
        let in_file = file.as_ref().is_some_and(|file| {
            let number = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
            let (offset, length) = (number(len), number(PIECE_BYTES));
            fallocate(file.as_fd(), FallocateFlags::empty(), offset, length).is_ok()
                && self.map.add_file(file.as_fd(), len + PIECE_BYTES).is_ok()
        });
        if in_file {
            header::note_length(self.header(), self.map.len_bytes());
            return true;
        }
        if len > 0 {
            header::lose(self.header());
        }
        len > 0 && self.map.add_memory(PIECE_BYTES)
    }
}

/// A mark that was begun; see [`Arena::begin_mark`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Its number.
    pub number: u64,
    risks: u64,
}
