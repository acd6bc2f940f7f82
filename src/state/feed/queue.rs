//! Effects that wait for their turn: tickets may be filled in any order, and leave in their own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::{Filled, Part, Parts, Replica};

/// Effects of more bytes than this must not wait for their turn: replicas lose their place then.
const WAITING_BYTES_MAX: usize = 1 << 30;

/// Notes where the stream is when all changes before the marker are in it.
#[derive(Debug)]
pub struct Marker {
    /// The replica that follows from there.
    pub replica: Arc<Replica>,
    /// Hears the stream's id and its end.
    pub reply: oneshot::Sender<(String, u64)>,
}

/// A ticket's place.
#[derive(Debug)]
pub enum Slot {
    /// The call has not ended.
    Awaited,
    /// What replicas must do, which may be nothing.
    Filled(Parts),
    /// A marker.
    Marker(Marker),
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    slots: Mutex<Slots>,
    bell: Condvar,
}

#[derive(Debug)]
#[allow(clippy::struct_field_names)] // The slots, and what belongs to them.
struct Slots {
    /// The ticket of the first slot.
    first: u64,
    slots: VecDeque<Slot>,
    bytes: usize,
    /// Effects were dropped.
    lost: bool,
    /// Replicas must tell where they are.
    asks: bool,
    ends: bool,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            first: 1,
            slots: VecDeque::new(),
            bytes: 0,
            lost: false,
            asks: false,
            ends: false,
        }
    }
}

/// What the thread has to do.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// The slots whose turn has come.
    pub slots: Vec<Slot>,
    /// The ticket behind them.
    pub next: u64,
    /// Effects were dropped, so the history has a hole.
    pub lost: bool,
    /// Replicas must tell where they are.
    pub asks: bool,
    pub ends: bool,
}

impl Slots {
    fn put(&mut self, ticket: u64, slot: Slot) {
        let Some(at) = ticket.checked_sub(self.first) else {
            return;
        };
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        while self.slots.len() <= at {
            self.slots.push_back(Slot::Awaited);
        }
        self.slots[at] = slot;
    }

    fn lose(&mut self) {
        self.lost = true;
        self.bytes = 0;
        for slot in &mut self.slots {
            if let Slot::Filled(parts) = slot {
                *parts = Parts::new();
            }
        }
    }

    /// Whether there is something to do that must not wait.
    fn is_urgent(&self) -> bool {
        self.asks || self.ends || self.lost
    }

    fn is_due(&self) -> bool {
        let first = self.slots.front();
        first.is_some_and(|slot| !matches!(slot, Slot::Awaited))
    }
}

fn bytes_of(parts: &[Part]) -> usize {
    parts.iter().map(|part| part.bytes.len()).sum()
}

impl Queue {
    pub fn fill(&self, filled: Filled) {
        let mut slots = self.slots.lock();
        let was_due = slots.is_due();
        for (ticket, parts) in filled {
            slots.bytes += bytes_of(&parts);
            slots.put(ticket, Slot::Filled(parts));
        }
        if slots.bytes > WAITING_BYTES_MAX {
            slots.lose();
        }
        if !was_due && slots.is_due() {
            self.bell.notify_one();
        }
    }

    pub fn mark(&self, ticket: u64, marker: Marker) {
        self.slots.lock().put(ticket, Slot::Marker(marker));
        self.bell.notify_one();
    }

    /// Drops all effects: the history has a hole, and replicas need full copies.
    pub fn lose(&self) {
        self.slots.lock().lose();
        self.bell.notify_one();
    }

    pub fn ask(&self) {
        self.slots.lock().asks = true;
        self.bell.notify_one();
    }

    pub fn end(&self) {
        self.slots.lock().ends = true;
        self.bell.notify_one();
    }

    /// Waits until something is due, but not for longer than `patience`. Returns whether effects are due that may wait for
    /// more.
    pub fn wait(&self, patience: Duration) -> bool {
        let mut slots = self.slots.lock();
        if !slots.is_due() && !slots.is_urgent() {
            self.bell.wait_for(&mut slots, patience);
        }
        slots.is_due() && !slots.is_urgent()
    }

    /// Waits for more effects, unless something comes that must not wait. The caller knows that effects are due, so
    /// others that come ring no bell.
    pub fn gather(&self, time: Duration) {
        let mut slots = self.slots.lock();
        if !slots.is_urgent() {
            self.bell.wait_for(&mut slots, time);
        }
    }

    /// Takes what is due.
    pub fn take(&self) -> Due {
        let mut slots = self.slots.lock();
        let mut due = Due {
            lost: std::mem::take(&mut slots.lost),
            asks: std::mem::take(&mut slots.asks),
            ends: slots.ends,
            ..Due::default()
        };
        while slots.is_due()
            && let Some(slot) = slots.slots.pop_front()
        {
            slots.first += 1;
            if let Slot::Filled(parts) = &slot {
                slots.bytes = slots.bytes.saturating_sub(bytes_of(parts));
            }
            due.slots.push(slot);
        }
        due.next = slots.first;
        due
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::state::feed::recording::removal;

    #[test]
    fn effects_leave_in_the_order_of_their_tickets() {
        let queue = Queue::default();
        let keys = |due: Due| -> Vec<usize> {
            let parts = due.slots.into_iter().flat_map(|slot| match slot {
                Slot::Filled(parts) => parts,
                Slot::Awaited | Slot::Marker(_) => Parts::new(),
            });
            parts.map(|part| part.db).collect()
        };
        queue.fill(smallvec![
            (2, smallvec![removal(2, b"k")]),
            (3, smallvec![])
        ]);
        let due = queue.take();
        assert_eq!((due.next, keys(due)), (1, vec![]));
        queue.fill(smallvec![(5, smallvec![removal(5, b"k")])]);
        queue.fill(smallvec![(1, smallvec![removal(1, b"k")])]);
        let due = queue.take();
        assert_eq!((due.next, keys(due)), (4, vec![1, 2]));
        queue.fill(smallvec![(4, smallvec![removal(4, b"k")])]);
        let due = queue.take();
        assert_eq!((due.next, keys(due)), (6, vec![4, 5]));
    }
}
