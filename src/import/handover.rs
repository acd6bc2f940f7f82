//! What the thread that reads a file hands to those that store its keys.
//!
//! The batches leave in the order in which they came, and a failure is known by the number of its batch. So of several
//! failures the one that comes first in the file is told, whichever thread finds its own first.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};
use rdb::Keys;

use super::Refusal;

/// The reader goes on as long as no more bytes of keys than this wait or are being stored. A single key may be longer.
const BYTES_MAX: usize = 256 * 1024;

/// Keys of one database.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub db: usize,
    pub keys: Keys,
}

/// Batches on their way, and what has failed.
#[derive(Debug, Default)]
pub(super) struct Handover {
    state: Mutex<State>,
    /// There is a batch, or an end.
    filled: Condvar,
    /// A batch is stored, or there is an end.
    stored: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Batch>,
    /// Bytes of all batches that are not stored yet.
    bytes: usize,
    /// The number of the next batch that is taken.
    next: u64,
    /// Whether no batch will come, or none is to be taken.
    is_over: bool,
    failure: Option<(u64, Refusal)>,
    /// For the next batches.
    spare: Vec<Keys>,
}

impl Handover {
    /// Memory for the next batch.
    pub fn spare(&self) -> Keys {
        self.state.lock().spare.pop().unwrap_or_default()
    }

    /// Hands a batch over, and waits until few bytes are left to store. `false` if it is useless to go on.
    pub fn put(&self, batch: Batch) -> bool {
        let mut state = self.state.lock();
        if !state.is_over {
            state.bytes += batch.keys.bytes();
            state.waiting.push_back(batch);
            self.filled.notify_one();
        }
        while !state.is_over && state.bytes > BYTES_MAX {
            self.stored.wait(&mut state);
        }
        !state.is_over
    }

    /// The next batch, with its number; `None` at the end.
    pub fn take(&self) -> Option<(u64, Batch)> {
        let mut state = self.state.lock();
        loop {
            if state.failure.is_some() {
                return None;
            }
            if let Some(batch) = state.waiting.pop_front() {
                state.next += 1;
                return Some((state.next, batch));
            }
            if state.is_over {
                return None;
            }
            self.filled.wait(&mut state);
        }
    }

    /// Says that a batch is stored.
    pub fn done(&self, keys: Keys) {
        let mut state = self.state.lock();
        state.bytes -= keys.bytes();
        state.spare.push(keys);
        self.stored.notify_one();
    }

    /// Says that no batch will come.
    pub fn end(&self) {
        self.state.lock().is_over = true;
        self.filled.notify_all();
        self.stored.notify_all();
    }

    /// Says that this batch, or the end of a thread, has failed: no more batches are taken.
    pub fn fail(&self, number: u64, refusal: Refusal) {
        let mut state = self.state.lock();
        if state
            .failure
            .as_ref()
            .is_none_or(|&(first, _)| number < first)
        {
            state.failure = Some((number, refusal));
        }
        drop(state);
        self.end();
    }

    /// What has failed first.
    pub fn into_failure(self) -> Option<Refusal> {
        self.state.into_inner().failure.map(|(_, refusal)| refusal)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use rdb::{Keys, Limits, Reader};

    use super::{BYTES_MAX, Batch, Handover};
    use crate::import::Refusal;

    /// A batch of one key.
    fn batch(bytes: usize) -> Batch {
        let mut file = b"REDIS0011\x00\x01k\x80".to_vec();
        file.extend_from_slice(&u32::try_from(bytes).expect("it is small").to_be_bytes());
        file.resize(file.len() + bytes, b'v');
        let mut reader = Reader::new(&file[..], Limits::default()).expect("the head is right");
        let mut keys = Keys::default();
        let read = reader.next_keys(&mut keys, 1);
        assert!(matches!(read, Ok(None)), "{read:?}");
        Batch { db: 0, keys }
    }

    fn refusal(text: &str) -> Refusal {
        Refusal::Text(text.to_owned())
    }

    #[test]
    fn the_first_failure_is_told() {
        let handover = Handover::default();
        for _ in 0..3 {
            assert!(handover.put(batch(1)));
        }
        let numbers: Vec<u64> = (0..3)
            .filter_map(|_| handover.take())
            .map(|(number, _)| number)
            .collect();
        handover.fail(numbers[1], refusal("second"));
        handover.fail(numbers[0], refusal("first"));
        handover.fail(numbers[2], refusal("third"));
        assert!(!handover.put(batch(1)));
        assert!(handover.take().is_none());
        let failure = handover.into_failure().map(|refusal| refusal.to_string());
        assert_eq!(failure.as_deref(), Some("first"));
    }

    #[test]
    fn what_was_handed_over_is_stored_at_the_end() {
        let handover = Handover::default();
        assert!(handover.put(batch(1)));
        handover.end();
        assert!(handover.take().is_some());
        assert!(handover.take().is_none());
        assert!(handover.into_failure().is_none());
    }

    #[test]
    fn the_reader_waits_for_a_large_key() {
        let handover = Handover::default();
        let is_put = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(handover.put(batch(BYTES_MAX)));
                is_put.store(true, Ordering::SeqCst);
            });
            let (_, taken) = handover.take().expect("there is one");
            thread::sleep(Duration::from_millis(50));
            assert!(!is_put.load(Ordering::SeqCst));
            handover.done(taken.keys);
        });
        assert!(is_put.into_inner());
    }
}
