//! A file's memory, which outlives the process that stores into it: what a process has stored is there for the next one,
//! however the first one ended. It does not outlive a reboot.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::posix_fallocate;
use nix::libc;

/// The bytes of a word.
const WORD: usize = size_of::<u64>();

/// A mapped file. Its bytes are read and written as words, each of them at once.
#[derive(Debug)]
pub struct SharedFile {
    words: NonNull<AtomicU64>,
    count: usize,
    identity: (u64, u64),
}

// SAFETY: the mapping belongs to no thread: the kernel lets all threads of a process use it, and `drop` unmap it.
unsafe impl Send for SharedFile {}

// SAFETY: all that a shared reference gives access to are atomics.
unsafe impl Sync for SharedFile {}

impl SharedFile {
    /// Makes a file of so many words, all zero, in place of one that is there.
    ///
    /// # Errors
    /// What the operating system says, also where the file system has no room.
    pub fn create(path: &Path, words: usize) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        let bytes = libc::off_t::try_from(words * WORD).map_err(io::Error::other)?;
        // A store into a block that the file system cannot give would end the process.
        posix_fallocate(&file, 0, bytes).inspect_err(|_| {
            // It would be of no use.
            let _ = fs::remove_file(path);
        })?;
        Self::map(&file, words)
    }

    /// Opens a file that a process of the same user has made.
    ///
    /// # Errors
    /// What the operating system says, and a file that is somebody else's or has no whole words.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)?;
        let metadata = file.metadata()?;
        let is_own = metadata.is_file() && metadata.uid() == nix::unistd::geteuid().as_raw();
        let bytes = usize::try_from(metadata.len()).map_err(io::Error::other)?;
        // Blocks that are missing would end the process at the first store.
        let is_whole = metadata.blocks() * 512 >= metadata.len();
        if !is_own || !is_whole || bytes == 0 || !bytes.is_multiple_of(WORD) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Self::map(&file, bytes / WORD)
    }

    fn map(file: &File, count: usize) -> io::Result<Self> {
        let metadata = file.metadata()?;
        // SAFETY: a new mapping of a file that is open, at an address of the kernel's choice.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                count * WORD,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        let words = NonNull::new(address.cast()).filter(|_| address != libc::MAP_FAILED);
        Ok(Self {
            words: words.ok_or_else(io::Error::last_os_error)?,
            count,
            identity: (metadata.dev(), metadata.ino()),
        })
    }

    /// The words.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has `count` words, begins at a page, and lives as long as `self`; any bytes are atomics.
        unsafe { slice::from_raw_parts(self.words.as_ptr(), self.count) }
    }

    /// Writes bytes from the place `at` on. No other thread may write there meanwhile, or its words and these would mix.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn write(&self, at: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let words = self.words();
        let (first, skipped) = (at / WORD, at % WORD);
        let head = bytes.len().min((WORD - skipped) % WORD);
        let (head, rest) = bytes.split_at(head);
        put(&words[first], skipped, head);
        let first = first + usize::from(skipped > 0);
        let (whole, tail) = rest.as_chunks::<WORD>();
        let words = &words[first..];
        for (word, bytes) in words[..whole.len()].iter().zip(whole) {
            word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        if !tail.is_empty() {
            put(&words[whole.len()], 0, tail);
        }
    }

    /// Reads `len` bytes from the place `at` on.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn read(&self, at: usize, len: usize) -> Vec<u8> {
        let first = at / WORD;
        let words = &self.words()[first..(at + len).div_ceil(WORD)];
        let bytes = words
            .iter()
            .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes());
        bytes.skip(at % WORD).take(len).collect()
    }

    /// Removes the file at `path` if it is this one. The memory stays until the value is dropped.
    pub fn unlink(&self, path: &Path) -> io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        if (metadata.dev(), metadata.ino()) == self.identity {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// Replaces a part of a word.
fn put(word: &AtomicU64, at: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let mut whole = word.load(Ordering::Relaxed).to_le_bytes();
    whole[at..at + bytes.len()].copy_from_slice(bytes);
    word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
}

impl Drop for SharedFile {
    fn drop(&mut self) {
        // SAFETY: the mapping that `map` has made, which nothing uses any more: all references to it borrow `self`.
        unsafe { libc::munmap(self.words.as_ptr().cast(), self.count * WORD) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_there_for_the_next_one() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("shared");
        let first = SharedFile::create(&path, 16)?;
        first.write(3, b"hello, world");
        first.write(5, b"LL");
        drop(first);
        let second = SharedFile::open(&path)?;
        assert_eq!(second.words().len(), 16);
        assert_eq!(second.read(3, 12), b"heLLo, world");
        assert_eq!(second.read(0, 5), b"\0\0\0he");
        assert_eq!(second.read(120, 8), [0; 8]);
        // Another one takes its place; the memory stays.
        let third = SharedFile::create(&path, 8)?;
        second.unlink(&path)?;
        assert_eq!(second.read(3, 5), b"heLLo");
        assert_eq!(third.read(0, 64), [0; 64]);
        third.unlink(&path)?;
        assert!(!path.exists());
        Ok(())
    }

    #[test]
    fn bytes_lie_where_they_were_written() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let file = SharedFile::create(&folder.path().join("shared"), 8)?;
        let mut wanted = [0u8; 64];
        let mut round = 0u8;
        for at in 0..=64 {
            for len in 0..=64 - at {
                round = round.wrapping_add(37);
                let bytes = vec![round; len];
                file.write(at, &bytes);
                wanted[at..at + len].copy_from_slice(&bytes);
                assert_eq!(file.read(0, 64), wanted, "{len} bytes at {at}");
            }
        }
        Ok(())
    }

    #[test]
    fn what_is_no_such_file_is_refused() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("shared");
        assert!(SharedFile::open(&path).is_err());
        fs::write(&path, b"123")?;
        assert!(SharedFile::open(&path).is_err());
        // A hole.
        File::create(&path)?.set_len(1 << 20)?;
        assert!(SharedFile::open(&path).is_err());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link)?;
        assert!(SharedFile::open(&link).is_err());
        Ok(())
    }
}
