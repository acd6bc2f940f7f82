//! A note in the pool that a process of this boot has opened the file and found it sound, so that the next start need
//! not try the open in a child first.
//!
//! The note names the boot and the file, and the last time at which the process lived. A file that has changed since, by
//! its times, was changed by something else; then the note is worth nothing. (Stores of the process itself between its
//! last sign of life and its end look the same.) That holds on tmpfs, where the file's times are those of the last
//! changes and nothing beneath it changes its bytes: pools elsewhere get no note.
//!
//! A server that crashes may have stored anywhere before: its signal handlers take the note away. A crash while the
//! trusted pool is opened finds the note gone already.

use std::ffi::c_int;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use nix::libc::{c_void, siginfo_t};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use nix::time::{ClockId, clock_gettime};
use xxhash_rust::xxh3::xxh3_64;

use super::file::{self, ROOT_OFFSET_AT};
use super::root::{FORMAT_WITHOUT_COPY, Note, TRUST_AT};
use super::{Inner, Pool};
use crate::backing::{Backing, backing};

/// The signals by which a process ends that may have stored where it should not.
const CRASHES: [Signal; 5] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGILL,
    Signal::SIGFPE,
    Signal::SIGABRT,
];

// The numbers of a note.
const IDENTITY: usize = 0;
const ALIVE_AT: usize = 1;

/// Pools of one process whose notes the signal handlers know. A pool beyond them gets no note.
const TRUSTED_MAX: usize = 8;

/// The notes of this process's open pools; null where there is none.
static NOTES: [AtomicPtr<AtomicU64>; TRUSTED_MAX] =
    [const { AtomicPtr::new(ptr::null_mut()) }; TRUSTED_MAX];

impl Pool {
    /// Notes in the pool that its file is sound, for [`take_trust`](Self::take_trust) of a later process. Call it once
    /// everything in the pool has been opened and checked, and [`note_alive`](Self::note_alive) from then on.
    ///
    /// A file system other than tmpfs, or a pool of the former format, gets no note.
    pub fn trust(&self) {
        if !self.has_copy() {
            return;
        }
        let Some(note) = identity(self.path()) else {
            return;
        };
        let place = &self.note()[IDENTITY];
        let raw = ptr::from_ref(place).cast_mut();
        let is_known = NOTES.iter().any(|slot| {
            slot.compare_exchange(ptr::null_mut(), raw, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        });
        if is_known {
            watch_for_crashes();
            self.note_alive();
            place.store(note, Ordering::Release);
        }
    }

    /// Notes that this process lives: the file's changes until now were its own.
    #[inline]
    pub fn note_alive(&self) {
        self.note()[ALIVE_AT].store(tick(), Ordering::Release);
    }

    fn note(&self) -> &Note {
        // SAFETY: the root object is mapped as long as `inner` lives, and the note is made of atomics.
        unsafe { &(*self.inner.root.as_ptr()).trust }
    }

    /// Whether the pool at `path` is as a process of this boot has left it that [trusted](Self::trust) it. Takes the note
    /// away: who opens the pool gives it a new one afterwards.
    ///
    /// It answers `false` for whatever it cannot read.
    pub fn take_trust(path: impl AsRef<Path>) -> bool {
        let path = path.as_ref();
        identity(path).is_some_and(|identity| take_note(path, identity).unwrap_or(false))
    }
}

impl Inner {
    /// The signal handlers must not touch the pool once it is closed.
    pub(super) fn forget_note(&self) {
        // SAFETY: the root object is mapped until the pool is closed, which the caller is about to do.
        let place = unsafe { &raw mut (*self.root.as_ptr()).trust[IDENTITY] };
        for slot in &NOTES {
            // Most slots hold another pool's note, or none.
            let _ =
                slot.compare_exchange(place, ptr::null_mut(), Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}

fn take_note(path: &Path, identity: u64) -> io::Result<bool> {
    let is_newest =
        file::inspect(path).is_ok_and(|header| header.format_version > FORMAT_WITHOUT_COPY);
    if !is_newest {
        return Ok(false);
    }
    let file = File::options().read(true).write(true).open(path)?;
    // `inspect` has checked that the root object lies in the file.
    let at = file::read_u64(&file, ROOT_OFFSET_AT)? + TRUST_AT;
    let number = |index: usize| file::read_u64(&file, at + 8 * index as u64);
    if number(IDENTITY)? != identity || changed_at(&file.metadata()?) >= number(ALIVE_AT)? {
        return Ok(false);
    }
    file.write_all_at(&[0; size_of::<Note>()], at)?;
    Ok(true)
}

/// A number for this boot and the file at `path`, never 0; `None` where a note would say nothing.
fn identity(path: &Path) -> Option<u64> {
    if backing(path) != Backing::Tmpfs {
        return None;
    }
    let mut identity = fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    let metadata = fs::metadata(path).ok()?;
    for number in [metadata.dev(), metadata.ino(), metadata.len()] {
        identity.extend_from_slice(&number.to_le_bytes());
    }
    Some(xxh3_64(&identity).max(1))
}

/// When the file changed last, in nanoseconds of the system's clock.
fn changed_at(metadata: &Metadata) -> u64 {
    let modified = nanoseconds(metadata.mtime(), metadata.mtime_nsec());
    modified.max(nanoseconds(metadata.ctime(), metadata.ctime_nsec()))
}

/// The time of the kernel's last tick, in nanoseconds of the system's clock: the file's times are never earlier than the
/// tick before a change.
fn tick() -> u64 {
    clock_gettime(ClockId::CLOCK_REALTIME_COARSE)
        .map_or(0, |time| nanoseconds(time.tv_sec(), time.tv_nsec()))
}

fn nanoseconds(seconds: i64, rest: i64) -> u64 {
    let nanoseconds = i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    u64::try_from(nanoseconds).unwrap_or(0)
}

/// Has the crash of this process store zero in a word first: one that says whether memory counts that outlives the process.
/// `false` if there are too many such words already.
pub fn void_on_crash(word: &'static AtomicU64) -> bool {
    let raw = ptr::from_ref(word).cast_mut();
    let is_known = NOTES.iter().any(|slot| {
        slot.compare_exchange(ptr::null_mut(), raw, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    });
    if is_known {
        watch_for_crashes();
    }
    is_known
}

/// Has each of [`CRASHES`] take the notes away first, and then do what it did before.
fn watch_for_crashes() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        for (signal, before) in CRASHES.into_iter().zip(&BEFORE) {
            let handler = SigAction::new(
                SigHandler::SigAction(crashed),
                SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK,
                SigSet::empty(),
            );
            // SAFETY: the handler only stores into atomics and calls what POSIX allows in a handler.
            if let Ok(old) = unsafe { sigaction(signal, &handler) } {
                // The handler has the default action until this store, which is safe too.
                before.store(Box::into_raw(Box::new(old)), Ordering::Release);
            }
        }
    });
}

/// What each signal did before; null stands for the default action.
static BEFORE: [AtomicPtr<SigAction>; CRASHES.len()] =
    [const { AtomicPtr::new(ptr::null_mut()) }; CRASHES.len()];

extern "C" fn crashed(number: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    for slot in &NOTES {
        let note = slot.load(Ordering::Acquire);
        if !note.is_null() {
            // SAFETY: a pool takes its note out of the slots before it is unmapped, and the other words live for ever.
            unsafe { &*note }.store(0, Ordering::Release);
        }
    }
    let Some((signal, before)) = CRASHES
        .into_iter()
        .zip(&BEFORE)
        .find(|(signal, _)| *signal as c_int == number)
    else {
        return;
    };
    // SAFETY: the kernel gives a handler of this kind a valid record.
    let is_sent = unsafe { (*info).si_code } <= 0;
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    let before = before.load(Ordering::Acquire);
    // SAFETY: null or a box that is never freed.
    let before = unsafe { before.as_ref() }.filter(|_| !is_sent);
    // SAFETY: puts back a handler that was installed before, or the default.
    let _ = unsafe { sigaction(signal, before.unwrap_or(&default)) };
    if is_sent {
        // A fault comes again as the handler returns; a signal that a process has sent does not.
        let _ = raise(signal);
    }
}
