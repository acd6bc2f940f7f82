//! Persistent memory behind a processor's caches: what is durable, and what may be.
//!
//! A line that was stored to may be written back at any moment, so each value that it was seen to hold since it was last
//! durable may be what the memory has. A thread's fence ends that for the lines that the thread has flushed: of each, at
//! least what it held at the flush is durable.

use std::collections::{BTreeMap, HashMap};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::trace::{Event, LINE_BYTES, Line};

/// Values that are remembered of one line. Locks in the pool change often and are never flushed.
const VALUES_MAX: usize = 16;

/// A line that differs from what is durable.
#[derive(Debug, Default)]
pub struct Pending {
    /// What it was seen to hold since, in order; never empty.
    values: Vec<Line>,
    /// How many values were forgotten or became durable.
    before: u64,
    /// The last value that each thread has flushed, counted over all.
    flushed: Vec<(u32, u64)>,
    /// The fence after which it was last stored to or flushed.
    touched: u64,
}

impl Pending {
    /// What it was seen to hold, the last value at the end.
    pub fn values(&self) -> &[Line] {
        &self.values
    }

    /// What it holds.
    pub fn last(&self) -> &Line {
        self.values.last().expect("a pending line has a value")
    }
}

/// The memory and the caches.
pub struct Memory {
    durable: Vec<u8>,
    pending: BTreeMap<u32, Pending>,
    flushed: HashMap<u32, Vec<u32>>,
    fences: u64,
    hash: u64,
}

impl Memory {
    /// A memory of which all is durable.
    pub fn new(durable: &[u8]) -> Self {
        let mut memory = Self {
            durable: Vec::new(),
            pending: BTreeMap::new(),
            flushed: HashMap::new(),
            fences: 0,
            hash: 0,
        };
        memory.grow(durable.len());
        for (number, line) in (0..).zip(durable.as_chunks::<LINE_BYTES>().0) {
            if *line != [0; LINE_BYTES] {
                memory.set_durable(number, line);
            }
        }
        memory
    }

    /// What is durable.
    pub fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// A line as it is durable.
    pub fn durable_line(&self, number: u32) -> &Line {
        let start = number as usize * LINE_BYTES;
        self.durable[start..]
            .first_chunk()
            .expect("lines lie in the memory")
    }

    /// The lines that may be lost.
    pub fn pending(&self) -> &BTreeMap<u32, Pending> {
        &self.pending
    }

    /// The lines that were stored to or flushed since the last fence: the others were left unflushed by an earlier step.
    pub fn fresh(&self) -> impl Iterator<Item = u32> {
        let fresh = self.pending.iter();
        fresh
            .filter(|(_, line)| line.touched == self.fences)
            .map(|(&number, _)| number)
    }

    /// A hash of what a power cut leaves that lets these lines, and no others, be more than durable.
    pub fn hash_with<'a>(&self, lines: impl Iterator<Item = (u32, &'a Line)>) -> u64 {
        lines.fold(self.hash, |hash, (number, line)| {
            hash ^ hash_of(number, self.durable_line(number)) ^ hash_of(number, line)
        })
    }

    /// What the event does.
    pub fn apply(&mut self, event: Event<'_>) {
        match event {
            Event::Map(bytes) => self.grow(bytes),
            Event::Write(number, line) => self.store(number, line),
            Event::Flush {
                thread,
                offset,
                bytes,
            } => self.flush(thread, offset, bytes),
            Event::Fence(thread) => self.fence(thread),
            Event::Link | Event::Sent(_) | Event::Answered(_) | Event::Synced(_) => {}
        }
    }

    fn grow(&mut self, bytes: usize) {
        if self.durable.len() < bytes {
            self.durable.resize(bytes.next_multiple_of(LINE_BYTES), 0);
        }
    }

    fn store(&mut self, number: u32, line: &Line) {
        let fences = self.fences;
        let pending = self.pending.entry(number).or_default();
        if pending.values.len() == VALUES_MAX {
            pending.values.remove(0);
            pending.before += 1;
        }
        pending.values.push(*line);
        pending.touched = fences;
    }

    fn flush(&mut self, thread: u32, offset: usize, bytes: usize) {
        let first = u32::try_from(offset / LINE_BYTES).expect("pools are smaller");
        let end = u32::try_from((offset + bytes).div_ceil(LINE_BYTES)).expect("pools are smaller");
        for (&number, pending) in self.pending.range_mut(first..end) {
            let newest = pending.before + pending.values.len() as u64;
            pending.flushed.retain(|&(other, _)| other != thread);
            pending.flushed.push((thread, newest));
            pending.touched = self.fences;
            self.flushed.entry(thread).or_default().push(number);
        }
    }

    fn fence(&mut self, thread: u32) {
        self.fences += 1;
        for number in self.flushed.remove(&thread).unwrap_or_default() {
            let Some(pending) = self.pending.get_mut(&number) else {
                continue;
            };
            let Some(at) = pending.flushed.iter().position(|&(of, _)| of == thread) else {
                continue;
            };
            let (_, newest) = pending.flushed.swap_remove(at);
            // Another thread's fence may have come later in the line's life.
            let Some(count) = newest
                .checked_sub(pending.before)
                .filter(|&count| count > 0)
            else {
                continue;
            };
            let count = usize::try_from(count).expect("at most VALUES_MAX");
            let line = pending.values[count - 1];
            pending.values.drain(..count);
            pending.before = newest;
            if pending.values.is_empty() {
                self.pending.remove(&number);
            }
            self.set_durable(number, &line);
        }
    }

    fn set_durable(&mut self, number: u32, line: &Line) {
        self.hash ^= hash_of(number, self.durable_line(number)) ^ hash_of(number, line);
        let start = number as usize * LINE_BYTES;
        self.durable[start..start + LINE_BYTES].copy_from_slice(line);
    }
}

/// A line's share in the hash of a memory; that of zeros is none.
fn hash_of(number: u32, line: &Line) -> u64 {
    if *line == [0; LINE_BYTES] {
        0
    } else {
        xxh3_64_with_seed(line, u64::from(number) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Line = [7; LINE_BYTES];
    const LATER: Line = [8; LINE_BYTES];

    fn flush(thread: u32, line: u32) -> Event<'static> {
        Event::Flush {
            thread,
            offset: line as usize * LINE_BYTES + 8,
            bytes: 8,
        }
    }

    #[test]
    fn only_what_was_flushed_and_fenced_is_durable() {
        let mut memory = Memory::new(&[0; 4 * LINE_BYTES]);
        memory.apply(Event::Write(1, &LINE));
        memory.apply(Event::Write(2, &LINE));
        memory.apply(flush(5, 1));
        assert_eq!(memory.pending().len(), 2);
        // Of another thread.
        memory.apply(Event::Fence(6));
        assert_eq!(memory.pending().len(), 2);
        memory.apply(Event::Write(1, &LATER));
        memory.apply(Event::Fence(5));
        assert_eq!(memory.durable_line(1), &LINE);
        assert_eq!(memory.pending()[&1].values(), [LATER]);
        assert_eq!(memory.durable_line(2), &[0; LINE_BYTES]);
        memory.apply(flush(5, 1));
        memory.apply(Event::Fence(5));
        assert_eq!(memory.durable_line(1), &LATER);
        assert_eq!(memory.pending().keys().collect::<Vec<_>>(), [&2]);
    }

    #[test]
    fn the_hash_is_that_of_the_bytes() {
        let mut memory = Memory::new(&[0; 4 * LINE_BYTES]);
        memory.apply(Event::Write(3, &LINE));
        let kept = memory.hash_with([(3, &LINE)].into_iter());
        assert_ne!(memory.hash_with(std::iter::empty()), kept);
        memory.apply(flush(1, 3));
        memory.apply(Event::Fence(1));
        assert_eq!(memory.hash_with(std::iter::empty()), kept);
        assert_eq!(
            Memory::new(memory.durable()).hash_with(std::iter::empty()),
            kept
        );
    }
}
