//! The history in a file beside the pool, whose memory outlives the process: after `kill -9` the next process goes on from
//! there, and replicas need no copy.
//!
//! The file has two parts. The *backlog* has the stream's last bytes. Nothing is sent to replicas before it is there, and all that
//! is there was durable in the pool before. The *log* names keys: each one before it changes, until the change's effect is in the
//! backlog. So after a crash every change in the pool is either in the backlog, or its key is in the log. The next process
//! tells replicas what such keys hold now, which is right whether or not the change has become durable.
//!
//! A secret in the pool says which file belongs to it. Each start takes another one, so that a pool which was copied
//! back from elsewhere does not match.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io};

use parking_lot::Mutex;

use super::stream::{NO_ID, Stream};
use crate::store::{DATABASES, SharedFile};

/// The form of the file.
const VERSION: u64 = u64::from_le_bytes(*b"PMKVBL01");

// The words of the header.
const FORM: usize = 0;
/// Whether the file says anything.
const VALID: usize = 1;
/// Which boot and which pool it belongs to.
const OWNER: usize = 2;
/// The secret that the pool has too, and the one that it is about to get.
const SECRET: usize = 3;
const NEXT_SECRET: usize = 4;
/// Whether a key may have changed that is not in the log.
const HAS_HOLE: usize = 5;
const BACKLOG_BYTES: usize = 6;
const LOG_WORDS: usize = 7;
/// The number of bytes of the history before the first one in the file.
const BASE: usize = 8;
/// How many bytes the history has, and where the bytes end that are being written.
const END: usize = 9;
const WRITING: usize = 10;
/// Where the log begins and ends, in words that were ever written.
const LOG_TAIL: usize = 11;
const LOG_HEAD: usize = 12;
/// The end of the history before, plus 1; 0 is none.
const FORMER_END: usize = 13;
/// All keys with a deadline up to this one were told to be gone, ms.
const EXPIRED: usize = 14;
const ID: usize = 16;
const FORMER_ID: usize = ID + ID_WORDS;
const HEADER_WORDS: usize = 32;

const ID_BYTES: usize = 40;
const ID_WORDS: usize = ID_BYTES / 8;

/// What the log can name.
const LOG_WORDS_MAX: usize = (4 << 20) / 8;

/// The file keeps no more of the stream than this, whatever `repl-backlog-size` says.
const BACKLOG_BYTES_MAX: u64 = 1 << 30;

/// A longer key is a hole.
const KEY_BYTES_MAX: usize = 64 * 1024;

/// An entry of the log that names no key, but all.
const ALL: u64 = 0xff;

/// What a change is about to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'k> {
    /// A key of a database.
    Key(usize, &'k [u8]),
    /// Databases, or libraries of functions.
    All,
}

/// The history of a process that is gone.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub id: String,
    /// The history before it, and how much of it is this one's too.
    pub former: Option<(String, u64)>,
    /// How many bytes it has.
    pub end: u64,
    /// The last ones.
    pub bytes: Vec<u8>,
    /// The keys that may have changed since.
    pub keys: Vec<(usize, Vec<u8>)>,
}

/// A batch of changes that has begun.
#[derive(Debug)]
struct Begun {
    /// Where its first entry begins in the log.
    start: u64,
    /// The ticket behind which its effects are in the stream; `None` while it runs.
    ticket: Option<u64>,
}

/// What a thread is about to change: all that it names, until its batch has come to an end.
#[derive(Debug)]
pub struct Intent {
    kept: Arc<Kept>,
    /// The batch.
    number: u64,
}

impl Intent {
    /// A batch whose first change is about to be made to `subject`.
    pub fn begin(kept: Arc<Kept>, subject: Subject<'_>) -> Self {
        let number = kept.begin_intent(subject);
        Self { kept, number }
    }

    /// Names something else. Returns whether it could: it belongs to the file of this number.
    pub fn add(&self, file: u64, subject: Subject<'_>) -> bool {
        let fits = self.kept.number == file;
        if fits {
            self.kept.name(&mut self.kept.log.lock(), subject);
        }
        fits
    }

    /// The changes have come to an end: their effects have no ticket above this one.
    pub fn end(self, ticket: u64) {
        self.kept.end(self.number, ticket);
    }
}

#[derive(Debug, Default)]
struct Log {
    tail: u64,
    head: u64,
    /// The number of the first entry.
    first: u64,
    entries: VecDeque<Begun>,
    has_hole: bool,
    /// Times of which all that expired up to them has lower tickets.
    expired: VecDeque<(u64, i64)>,
}

/// The file.
#[derive(Debug)]
pub struct Kept {
    file: SharedFile,
    path: PathBuf,
    backlog_at: usize,
    backlog_bytes: u64,
    /// No other file of this process has the same. Not 0.
    pub(super) number: u64,
    log: Mutex<Log>,
}

/// The number of the next file.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

impl Kept {
    /// Makes a file that says nothing yet.
    pub fn create(path: &Path, owner: u64, backlog_bytes: u64) -> io::Result<Self> {
        let bytes = backlog_bytes
            .clamp(16 * 1024, BACKLOG_BYTES_MAX)
            .next_multiple_of(8);
        let words = usize::try_from(bytes).map_err(io::Error::other)? / 8;
        let file = SharedFile::create(path, HEADER_WORDS + LOG_WORDS_MAX + words)?;
        let set = |word: usize, value: u64| file.words()[word].store(value, Ordering::Relaxed);
        set(OWNER, owner);
        set(BACKLOG_BYTES, bytes);
        set(LOG_WORDS, LOG_WORDS_MAX as u64);
        set(FORM, VERSION);
        Ok(Self::of(file, path, bytes))
    }

    fn of(file: SharedFile, path: &Path, backlog_bytes: u64) -> Self {
        Self {
            file,
            path: path.to_owned(),
            backlog_at: 8 * (HEADER_WORDS + LOG_WORDS_MAX),
            backlog_bytes,
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            log: Mutex::default(),
        }
    }

    /// Opens the file of an earlier process, and reads what it has, if it is the file of this boot, this pool and this secret.
    pub fn open(path: &Path, owner: u64, secret: u64) -> io::Result<(Self, Found)> {
        let refused = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        let file = SharedFile::open(path)?;
        if file.words().len() < HEADER_WORDS {
            return Err(refused("it is too short"));
        }
        let word = |at: usize| file.words()[at].load(Ordering::Acquire);
        let (bytes, log_words) = (word(BACKLOG_BYTES), word(LOG_WORDS));
        let fits = bytes <= BACKLOG_BYTES_MAX
            && bytes > 0
            && bytes.is_multiple_of(8)
            && log_words == LOG_WORDS_MAX as u64
            && HEADER_WORDS as u64 + log_words + bytes / 8 == file.words().len() as u64;
        if word(FORM) != VERSION || !fits {
            return Err(refused("it has another form"));
        }
        if word(VALID) != 1 || word(OWNER) != owner {
            return Err(refused("it belongs to another boot or pool"));
        }
        if secret == 0 || ![word(SECRET), word(NEXT_SECRET)].contains(&secret) {
            return Err(refused("it is not that of the pool's last process"));
        }
        if word(HAS_HOLE) != 0 {
            return Err(refused("more had changed at once than it could name"));
        }
        let kept = Self::of(file, path, bytes);
        let found = kept.found().map_err(refused)?;
        // Bytes that were being written may have taken the room of others that a shorter end would bring back.
        kept.set(BASE, found.end - found.bytes.len() as u64);
        Ok((kept, found))
    }

    /// The time up to which all keys past their deadlines were told to be gone, as a file says that may be the right one.
    pub fn expired_through(path: &Path) -> Option<i64> {
        let file = SharedFile::open(path).ok()?;
        let word = |at: usize| Some(file.words().get(at)?.load(Ordering::Acquire));
        (word(FORM)? == VERSION).then_some(word(EXPIRED)?.cast_signed())
    }

    fn word(&self, at: usize) -> u64 {
        self.file.words()[at].load(Ordering::Acquire)
    }

    fn set(&self, at: usize, value: u64) {
        self.file.words()[at].store(value, Ordering::Release);
    }

    fn id_at(&self, at: usize) -> Option<String> {
        let bytes = self.file.read(8 * at, ID_BYTES);
        let is_id = bytes.iter().all(u8::is_ascii_hexdigit);
        String::from_utf8(bytes).ok().filter(|_| is_id)
    }

    /// What the file has; or why it is of no use.
    fn found(&self) -> Result<Found, &'static str> {
        let keys = self.logged_keys()?;
        self.history(keys).ok_or("it is damaged")
    }

    fn history(&self, keys: Vec<(usize, Vec<u8>)>) -> Option<Found> {
        let (base, end) = (self.word(BASE), self.word(END));
        let written = self.word(WRITING).max(end);
        let start = base
            .max(written.saturating_sub(self.backlog_bytes))
            .min(end);
        if base > end || i64::try_from(written).is_err() {
            return None;
        }
        let former = match self.word(FORMER_END) {
            0 => None,
            end => Some((self.id_at(FORMER_ID)?, end - 1)),
        };
        let at = usize::try_from(start % self.backlog_bytes).ok()?;
        let len = usize::try_from(end - start).ok()?;
        let ring = usize::try_from(self.backlog_bytes).ok()?;
        let first = len.min(ring - at);
        let mut bytes = self.file.read(self.backlog_at + at, first);
        bytes.extend(self.file.read(self.backlog_at, len - first));
        Some(Found {
            id: self.id_at(ID)?,
            former,
            end,
            bytes,
            keys,
        })
    }

    /// The keys that the log names.
    fn logged_keys(&self) -> Result<Vec<(usize, Vec<u8>)>, &'static str> {
        const DAMAGED: &str = "its log is damaged";
        let (mut at, head) = (self.word(LOG_TAIL), self.word(LOG_HEAD));
        if head
            .checked_sub(at)
            .is_none_or(|len| len > LOG_WORDS_MAX as u64)
        {
            return Err(DAMAGED);
        }
        let mut keys = Vec::new();
        while at < head {
            let entry = self.log_word(at);
            if entry == ALL {
                return Err("databases or libraries of functions were about to change");
            }
            let (len, db) = (
                usize::try_from(entry >> 8).unwrap_or(usize::MAX),
                entry & 0xff,
            );
            let words = len.div_ceil(8) as u64;
            if db >= DATABASES as u64 || len > KEY_BYTES_MAX || words > head - at - 1 {
                return Err(DAMAGED);
            }
            let mut key = Vec::with_capacity(len + 8);
            for word in 0..words {
                key.extend_from_slice(&self.log_word(at + 1 + word).to_le_bytes());
            }
            key.truncate(len);
            keys.push((usize::try_from(db).unwrap_or(0), key));
            at += 1 + words;
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    fn log_word(&self, position: u64) -> u64 {
        self.word(log_at(position))
    }

    /// The pool is about to get this secret.
    pub fn expect(&self, secret: u64) {
        self.set(NEXT_SECRET, secret);
    }

    /// The pool has the secret durably.
    pub fn is_expected(&self, secret: u64) {
        self.set(SECRET, secret);
        self.set(NEXT_SECRET, 0);
    }

    /// Takes a history in place of what the file had. The stream is locked.
    pub(super) fn begin(&self, stream: &Stream) {
        self.set(VALID, 0);
        self.file.write(8 * ID, stream.id.as_bytes());
        let (former, end) = match &stream.former {
            Some((id, end)) => (id.as_str(), end + 1),
            None => (NO_ID, 0),
        };
        self.file.write(8 * FORMER_ID, former.as_bytes());
        self.set(FORMER_END, end);
        let start = stream.end - stream.bytes.len() as u64;
        self.set(BASE, start);
        self.set(WRITING, stream.end);
        let mut at = start;
        for bytes in stream.bytes.slices() {
            self.put(at, bytes);
            at += bytes.len() as u64;
        }
        self.set(END, stream.end);
        self.set(VALID, 1);
    }

    /// Adds bytes of the stream, which are not counted before [`seal`](Self::seal). `end` is where they begin.
    pub(super) fn append(&self, end: u64, bytes: &[u8]) {
        self.set(WRITING, end + bytes.len() as u64);
        self.put(end, bytes);
    }

    /// The history has so many bytes: those that were appended count from now on.
    pub(super) fn seal(&self, end: u64) {
        self.set(END, end);
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        let ring = usize::try_from(self.backlog_bytes).unwrap_or(usize::MAX);
        let skipped = bytes.len().saturating_sub(ring);
        let (mut at, mut rest) = (at + skipped as u64, &bytes[skipped..]);
        while !rest.is_empty() {
            let place = usize::try_from(at % self.backlog_bytes).unwrap_or(0);
            let (now, later) = rest.split_at(rest.len().min(ring - place));
            self.file.write(self.backlog_at + place, now);
            (at, rest) = (at + now.len() as u64, later);
        }
    }

    /// Names what is about to change. Returns the number of the batch that this begins, for [`end`](Self::end).
    pub fn begin_intent(&self, subject: Subject<'_>) -> u64 {
        let mut log = self.log.lock();
        let begun = Begun {
            start: log.head,
            ticket: None,
        };
        log.entries.push_back(begun);
        self.name(&mut log, subject);
        log.first + log.entries.len() as u64 - 1
    }

    fn name(&self, log: &mut Log, subject: Subject<'_>) {
        let (entry, key) = match subject {
            Subject::Key(db, key) if key.len() <= KEY_BYTES_MAX => {
                ((key.len() as u64) << 8 | (db as u64 & 0xff), key)
            }
            Subject::Key(..) | Subject::All => (ALL, &b""[..]),
        };
        let words = 1 + key.len().div_ceil(8) as u64;
        if log.head + words - log.tail > LOG_WORDS_MAX as u64 {
            log.has_hole = true;
            self.set(HAS_HOLE, 1);
        }
        if log.has_hole {
            return;
        }
        let mut at = log.head;
        let mut put = |word: u64| {
            self.file.words()[log_at(at)].store(word, Ordering::Relaxed);
            at += 1;
        };
        put(entry);
        let (whole, rest) = key.as_chunks::<8>();
        for word in whole {
            put(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            put(u64::from_le_bytes(word));
        }
        log.head = at;
        self.set(LOG_HEAD, at);
    }

    /// A batch of changes has come to an end: its effects have no ticket above this one.
    pub fn end(&self, number: u64, ticket: u64) {
        let mut log = self.log.lock();
        let at = number.checked_sub(log.first).map(usize::try_from);
        if let Some(Ok(at)) = at
            && let Some(begun) = log.entries.get_mut(at)
        {
            begun.ticket = Some(ticket);
        }
    }

    /// All effects with tickets below this one are sealed: what they have changed need not be named any more.
    pub fn release(&self, next_ticket: u64) {
        let mut log = self.log.lock();
        while let Some(begun) = log.entries.front()
            && begun.ticket.is_some_and(|ticket| ticket < next_ticket)
        {
            log.entries.pop_front();
            log.first += 1;
        }
        // A batch names more for as long as it runs, among what others name.
        let tail = log.entries.front().map_or(log.head, |begun| begun.start);
        if log.has_hole && log.entries.is_empty() {
            // Nothing is under way that is not named.
            log.has_hole = false;
            self.set(LOG_TAIL, tail);
            self.set(HAS_HOLE, 0);
        } else if tail != log.tail {
            self.set(LOG_TAIL, tail);
        }
        log.tail = tail;
        let mut expired = None;
        while let Some(&(ticket, time)) = log.expired.front()
            && ticket <= next_ticket
        {
            expired = Some(time);
            log.expired.pop_front();
        }
        if let Some(time) = expired {
            self.set(EXPIRED, time.cast_unsigned());
        }
    }

    /// All keys whose deadline is not after `time` were told to be gone, with tickets below this one.
    pub fn has_expired(&self, time: i64, next_ticket: u64) {
        let mut log = self.log.lock();
        if log.expired.len() < 64 {
            log.expired.push_back((next_ticket, time));
        }
    }

    /// Goes on with the log of an earlier process, behind what that one has named. Returns the number that stands for all of
    /// that, for [`end`](Self::end).
    pub fn adopt_log(&self) -> u64 {
        let mut log = self.log.lock();
        (log.tail, log.head) = (self.word(LOG_TAIL), self.word(LOG_HEAD));
        let begun = Begun {
            start: log.tail,
            ticket: None,
        };
        log.entries.push_back(begun);
        log.first
    }

    /// The file says nothing any more, and its name goes.
    pub fn discard(&self) {
        self.set(VALID, 0);
        // Somebody may have removed it.
        let _ = self.file.unlink(&self.path);
    }
}

/// The word of the file that has this word of the log.
fn log_at(position: u64) -> usize {
    HEADER_WORDS + usize::try_from(position % LOG_WORDS_MAX as u64).unwrap_or(0)
}

/// A number for this boot and for the pool at `path`; `None` where the system does not tell.
pub fn owner_of(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let digits = boot.chars().filter_map(|digit| digit.to_digit(16));
    let number = digits.fold(0u64, |sum, digit| {
        sum.wrapping_mul(0x0100_0000_01b3) ^ u64::from(digit)
    });
    let mixed = number.rotate_left(23) ^ metadata.dev().rotate_left(41);
    Some((mixed ^ metadata.ino()).max(1))
}

#[cfg(test)]
mod tests;
