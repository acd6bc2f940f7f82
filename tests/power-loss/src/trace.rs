//! The log that `shim.c` and the client write together.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// What a processor writes back at a time.
pub const LINE_BYTES: usize = 64;

/// A cache line's bytes.
pub type Line = [u8; LINE_BYTES];

/// An event's bytes without the line that follows a WRITE: kind, thread, offset, length.
const EVENT_BYTES: usize = 24;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A line of the pool, by its number, was found to hold something new.
    Write(u32, &'a Line),
    /// A thread asked for these bytes to be written back.
    Flush {
        /// The thread.
        thread: u32,
        /// Where they begin.
        offset: usize,
        /// How many they are.
        bytes: usize,
    },
    /// What the thread has flushed is durable.
    Fence(u32),
    /// The pool got its name.
    Link,
    /// A process has mapped the pool, which is of this size.
    Map(usize),
    /// The client is about to send what may bring the pool's contents to this state.
    Sent(usize),
    /// The server has answered everything up to this state.
    Answered(usize),
    /// The server has said that everything up to this state is on the disk.
    Synced(usize),
}

const WRITE: u32 = 1;
const FLUSH: u32 = 2;
const FENCE: u32 = 3;
const LINK: u32 = 5;
const MAP: u32 = 6;
const SENT: u32 = 7;
const ANSWERED: u32 = 8;
const SYNCED: u32 = 9;

/// A whole log.
pub struct Trace(Vec<u8>);

impl Trace {
    /// Reads a log.
    pub fn read(path: &Path) -> io::Result<Self> {
        std::fs::read(path).map(Self)
    }

    /// Its events in the order in which they happened.
    pub fn events(&self) -> impl Iterator<Item = Event<'_>> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (header, after) = rest.split_first_chunk::<EVENT_BYTES>()?;
            rest = after;
            Some(decode(header, &mut rest).expect("the log is whole"))
        })
    }
}

fn decode<'a>(header: &[u8; EVENT_BYTES], rest: &mut &'a [u8]) -> Option<Event<'a>> {
    let half = |at: usize| {
        let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
        u32::from_le_bytes(bytes)
    };
    let word =
        |at: usize| usize::try_from(u64::from(half(at + 4)) << 32 | u64::from(half(at))).ok();
    let (thread, offset, bytes) = (half(4), word(8)?, word(16)?);
    Some(match half(0) {
        WRITE => {
            let (line, after) = rest.split_first_chunk::<LINE_BYTES>()?;
            *rest = after;
            Event::Write(u32::try_from(offset / LINE_BYTES).ok()?, line)
        }
        FLUSH => Event::Flush {
            thread,
            offset,
            bytes,
        },
        FENCE => Event::Fence(thread),
        LINK => Event::Link,
        MAP => Event::Map(bytes),
        SENT => Event::Sent(offset),
        ANSWERED => Event::Answered(offset),
        SYNCED => Event::Synced(offset),
        _ => return None,
    })
}

/// Writes the client's own events into the log.
pub struct Notes(File);

impl Notes {
    /// Opens a log that may not be there yet.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(file))
    }

    /// See [`Event::Sent`].
    pub fn sent(&mut self, state: usize) -> io::Result<()> {
        self.note(SENT, state)
    }

    /// See [`Event::Answered`].
    pub fn answered(&mut self, state: usize) -> io::Result<()> {
        self.note(ANSWERED, state)
    }

    /// See [`Event::Synced`].
    pub fn synced(&mut self, state: usize) -> io::Result<()> {
        self.note(SYNCED, state)
    }

    fn note(&mut self, kind: u32, state: usize) -> io::Result<()> {
        let mut event = [0; EVENT_BYTES];
        event[..4].copy_from_slice(&kind.to_le_bytes());
        event[8..16].copy_from_slice(&(state as u64).to_le_bytes());
        // One call: it stands between two of the server's events, not among their bytes.
        self.0.write_all(&event)
    }
}
