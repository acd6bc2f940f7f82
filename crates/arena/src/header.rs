//! The header: whose arena this is, whether it counts, and which moment the next process goes back to.

use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use xxhash_rust::xxh3::xxh3_64;

/// Names the format. Another version of the program that stores something else in the arena has another number.
const MAGIC: u64 = u64::from_le_bytes(*b"pmkvidx\x02");

// The numbers of the header's words.
const IDENTITY: usize = 0;
const IDENTITY_WORDS: usize = 8;
const IDENTITY_SUM: usize = 8;
const STATE: usize = 16;
const MARK: usize = 17;
/// The mark that counts, times two, and the number of its slot.
const PUBLISHED: usize = 18;
const RISKS: usize = 19;
const SETTLED: usize = 20;
const LENGTH: usize = 21;
const SLOTS: [usize; 2] = [24, 40];

/// Of [`STATE`]. Everything else says that the arena does not count.
const LIVE: u64 = u64::from_le_bytes(*b"it lives");
const BUILDING: u64 = u64::from_le_bytes(*b"building");

/// Words of a point beside its mark.
const POINT_WORDS: usize = 10;

/// What an arena belongs to. Only the same one takes it over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Stands for the meaning of the arena's words.
    pub layout: u64,
    /// The seed of the pool's hashes.
    pub seed: u64,
    /// The pool's file: its file system and its number there.
    pub file: [u64; 2],
    /// How often the pool was opened before.
    pub opens: u64,
    /// The boot of the system.
    pub boot: [u64; 2],
}

impl Identity {
    fn words(&self) -> [u64; IDENTITY_WORDS] {
        let [dev, ino] = self.file;
        let [b0, b1] = self.boot;
        [MAGIC, self.layout, self.seed, dev, ino, self.opens, b0, b1]
    }
}

/// A moment that the next process goes back to. The words mean what the arena's user says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// The number of the mark.
    pub mark: u64,
    /// What the user has noted.
    pub words: [u64; POINT_WORDS],
}

impl Point {
    fn sum(&self) -> u64 {
        sum(&[&[self.mark][..], &self.words[..]].concat())
    }
}

/// The checksum of words.
fn sum(words: &[u64]) -> u64 {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    xxh3_64(&bytes)
}

fn set(header: &[AtomicU64], at: usize, value: u64) {
    // A killed process leaves its stores in their order, so the compiler must keep it.
    compiler_fence(Ordering::SeqCst);
    header[at].store(value, Ordering::Release);
    compiler_fence(Ordering::SeqCst);
}

fn get(header: &[AtomicU64], at: usize) -> u64 {
    header[at].load(Ordering::Acquire)
}

/// Begins an arena that does not count before something is published.
pub(crate) fn begin(header: &[AtomicU64], identity: &Identity) {
    set(header, STATE, BUILDING);
    for at in [PUBLISHED, RISKS, SETTLED] {
        set(header, at, 0);
    }
    set(header, MARK, super::FIRST_MARK);
    adopt(header, identity);
}

/// Notes what the arena belongs to.
pub(crate) fn adopt(header: &[AtomicU64], identity: &Identity) {
    let words = identity.words();
    // Until the sum fits again, the arena belongs to nothing.
    for (at, word) in (IDENTITY..).zip(words) {
        set(header, at, word);
    }
    set(header, IDENTITY_SUM, sum(&words));
}

/// Whether the arena counts and belongs to this pool, in a file of `len` bytes: the point that it goes back to, and the last
/// mark that was begun. Otherwise why it does not.
pub(crate) fn check(
    header: &[AtomicU64],
    identity: &Identity,
    len: usize,
) -> Result<(Point, u64), String> {
    let words: [u64; IDENTITY_WORDS] = std::array::from_fn(|n| get(header, IDENTITY + n));
    let expected = identity.words();
    let named = [
        "is of another format",
        "is of another version",
        "is of another pool",
        "is of another pool's file",
        "is of another pool's file",
        "is not of the last process that has opened the pool",
        "is of another boot",
        "is of another boot",
    ];
    for ((found, wanted), why) in words.iter().zip(expected).zip(named) {
        if *found != wanted {
            return Err(format!("it {why}"));
        }
    }
    if get(header, IDENTITY_SUM) != sum(&words) {
        return Err("its header is damaged".to_owned());
    }
    match get(header, STATE) {
        LIVE => {}
        BUILDING => return Err("it is not complete".to_owned()),
        _ => return Err("the process that had it crashed, or lost it".to_owned()),
    }
    if get(header, RISKS) != get(header, SETTLED) {
        return Err("a change was not finished that nothing takes back".to_owned());
    }
    if get(header, LENGTH) > len as u64 {
        return Err("its end is missing".to_owned());
    }
    let published = get(header, PUBLISHED);
    let slot = SLOTS[usize::from(published % 2 == 1)];
    let published = published / 2;
    let point = Point {
        mark: get(header, slot),
        words: std::array::from_fn(|n| get(header, slot + 1 + n)),
    };
    let mark = get(header, MARK);
    let fits = point.mark == published && get(header, slot + 1 + POINT_WORDS) == point.sum();
    if !fits || mark < published {
        return Err("its point is damaged".to_owned());
    }
    Ok((point, mark))
}

/// The word that says whether the arena counts.
pub(crate) fn state(header: &[AtomicU64]) -> &AtomicU64 {
    &header[STATE]
}

/// Says that the memory is in part the process's own.
pub(crate) fn lose(header: &[AtomicU64]) {
    set(header, STATE, 0);
}

/// Notes how long the file is at least.
pub(crate) fn note_length(header: &[AtomicU64], bytes: usize) {
    set(header, LENGTH, bytes as u64);
}

pub(crate) fn note_mark(header: &[AtomicU64], mark: u64) {
    set(header, MARK, mark);
}

pub(crate) fn risk(header: &[AtomicU64]) {
    compiler_fence(Ordering::SeqCst);
    header[RISKS].fetch_add(1, Ordering::SeqCst);
    compiler_fence(Ordering::SeqCst);
}

pub(crate) fn is_settled(header: &[AtomicU64]) -> bool {
    get(header, RISKS) == get(header, SETTLED)
}

pub(crate) fn risks(header: &[AtomicU64]) -> u64 {
    get(header, RISKS)
}

/// Has the point count. The one before counts until the last store.
pub(crate) fn publish(header: &[AtomicU64], point: &Point, risks: u64) {
    let other = 1 - get(header, PUBLISHED) % 2;
    let slot = SLOTS[usize::from(other == 1)];
    set(header, slot, point.mark);
    for (at, word) in (slot + 1..).zip(point.words) {
        set(header, at, word);
    }
    set(header, slot + 1 + POINT_WORDS, point.sum());
    set(header, PUBLISHED, point.mark * 2 + other);
    set(header, SETTLED, risks);
    if get(header, STATE) == BUILDING {
        set(header, STATE, LIVE);
    }
}
