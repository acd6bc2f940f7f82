//! Effects that wait for their turn: tickets may be filled in any order, and leave in their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::Replica;
use super::batch::{Batch, Dbs};

/// Effects of more bytes than this must not wait for their turn: replicas lose their place then.
const WAITING_BYTES_MAX: usize = 1 << 30;

/// Effects are gathered in pieces of this many bytes, unless one is longer.
const PIECE_BYTES: usize = 64 * 1024;

/// So many pieces are used again, and no longer ones than this.
const SPARE_PIECES_MAX: usize = 16;
const SPARE_BYTES_MAX: usize = 2 * PIECE_BYTES;

/// Notes where the stream is when all changes before the marker are in it.
#[derive(Debug)]
pub struct Marker {
    /// The replica that follows from there.
    pub replica: Arc<Replica>,
    /// Hears the stream's id and its end.
    pub reply: Option<oneshot::Sender<(String, u64)>>,
}

/// What the stream gets.
#[derive(Debug)]
pub(super) enum Item {
    /// Commands.
    Effects(Dbs, Vec<u8>),
    /// A marker.
    Marker(Marker),
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    slots: Mutex<Slots>,
    bell: Condvar,
}

/// Something that came before its turn.
#[derive(Debug)]
enum Early {
    /// Commands, and the ticket behind them. What came early of a batch shares its memory.
    Effects(u64, Dbs, Bytes),
    /// A marker.
    Marker(Marker),
}

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // Independent things that the thread must know.
struct Slots {
    /// The ticket behind all whose turn has come.
    next: u64,
    /// That ticket when the thread took the last ones.
    taken: u64,
    /// Whose turn has come.
    ready: Vec<Item>,
    /// Those that wait, by their first ticket.
    early: BTreeMap<u64, Early>,
    /// Empty pieces.
    spare: Vec<Vec<u8>>,
    bytes: usize,
    /// The thread waits for more, and effects ring no bell.
    gathers: bool,
    /// Effects were dropped.
    lost: bool,
    /// Replicas must tell where they are.
    asks: bool,
    ends: bool,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            next: 1,
            taken: 1,
            ready: Vec::new(),
            early: BTreeMap::new(),
            spare: Vec::new(),
            bytes: 0,
            gathers: false,
            lost: false,
            asks: false,
            ends: false,
        }
    }
}

/// What the thread has to do.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// That whose turn has come.
    pub items: Vec<Item>,
    /// How many tickets that is.
    pub tickets: u64,
    /// The ticket behind them.
    pub next: u64,
    /// Effects were dropped, so the history has a hole.
    pub lost: bool,
    /// Replicas must tell where they are.
    pub asks: bool,
    pub ends: bool,
}

impl Slots {
    /// The turn of these effects has come. `next` is the ticket behind them.
    fn put(&mut self, next: u64, dbs: Dbs, bytes: &[u8]) {
        self.next = next;
        if bytes.is_empty() {
            return;
        }
        if let Some(Item::Effects(last, piece)) = self.ready.last_mut()
            && last.last == dbs.first
            && piece.len() + bytes.len() <= PIECE_BYTES
        {
            last.last = dbs.last;
            piece.extend_from_slice(bytes);
            return;
        }
        let mut piece = self.spare.pop().unwrap_or_default();
        piece.extend_from_slice(bytes);
        self.ready.push(Item::Effects(dbs, piece));
    }

    fn put_early(&mut self, first: u64, early: Early) {
        // No ticket is filled twice.
        if first >= self.next {
            self.early.insert(first, early);
        }
    }

    /// The turn of those has come that follow without a gap.
    fn advance(&mut self) {
        while let Some(entry) = self.early.first_entry()
            && *entry.key() == self.next
        {
            match entry.remove() {
                Early::Effects(next, dbs, bytes) => self.put(next, dbs, &bytes),
                Early::Marker(marker) => {
                    self.next += 1;
                    self.ready.push(Item::Marker(marker));
                }
            }
        }
    }

    fn lose(&mut self) {
        self.lost = true;
        self.bytes = 0;
        self.ready.retain(|item| matches!(item, Item::Marker(_)));
        for early in self.early.values_mut() {
            if let Early::Effects(_, _, bytes) = early {
                *bytes = Bytes::new();
            }
        }
    }

    /// Whether there is something to do that must not wait.
    fn is_urgent(&self) -> bool {
        self.asks || self.ends || self.lost
    }

    fn is_due(&self) -> bool {
        self.next != self.taken
    }
}

impl Queue {
    /// Takes the effects of a batch.
    pub fn fill(&self, batch: &mut Batch) {
        let mut slots = self.slots.lock();
        let was_due = slots.is_due();
        slots.bytes += batch.bytes.len();
        if let [run] = &batch.runs[..]
            && run.bytes > PIECE_BYTES
            && run.first == slots.next
        {
            slots.next = run.next;
            let item = Item::Effects(run.dbs, std::mem::take(&mut batch.bytes));
            slots.ready.push(item);
            batch.clear();
        }
        let (mut at, mut shared) = (0, None);
        for run in &batch.runs {
            let range = at..at + run.bytes;
            at = range.end;
            if run.first == slots.next {
                slots.put(run.next, run.dbs, &batch.bytes[range]);
                slots.advance();
            } else {
                let shared = shared.get_or_insert_with(|| Bytes::copy_from_slice(&batch.bytes));
                let early = Early::Effects(run.next, run.dbs, shared.slice(range));
                slots.put_early(run.first, early);
            }
        }
        slots.advance();
        if slots.bytes > WAITING_BYTES_MAX {
            slots.lose();
        }
        let rings = !was_due && slots.is_due() && !slots.gathers;
        drop(slots);
        if rings {
            self.bell.notify_one();
        }
    }

    pub fn mark(&self, ticket: u64, marker: Marker) {
        let mut slots = self.slots.lock();
        slots.put_early(ticket, Early::Marker(marker));
        slots.advance();
        drop(slots);
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

    /// Waits for effects to come together, unless something comes that must not wait.
    pub fn gather(&self, time: Duration) {
        let mut slots = self.slots.lock();
        if !slots.is_urgent() {
            slots.gathers = true;
            self.bell.wait_for(&mut slots, time);
            slots.gathers = false;
        }
    }

    /// Takes what is due. The pieces of what `due` had are used again.
    pub fn take(&self, due: &mut Due) {
        let mut slots = self.slots.lock();
        for item in due.items.drain(..) {
            if let Item::Effects(_, mut piece) = item
                && slots.spare.len() < SPARE_PIECES_MAX
                && piece.capacity() <= SPARE_BYTES_MAX
            {
                piece.clear();
                slots.spare.push(piece);
            }
        }
        std::mem::swap(&mut due.items, &mut slots.ready);
        due.next = slots.next;
        due.tickets = slots.next - slots.taken;
        slots.taken = slots.next;
        due.lost = std::mem::take(&mut slots.lost);
        due.asks = std::mem::take(&mut slots.asks);
        due.ends = slots.ends;
        let taken: usize = due.items.iter().map(Item::len).sum();
        slots.bytes = slots.bytes.saturating_sub(taken);
    }
}

impl Item {
    pub fn is_effects(&self) -> bool {
        matches!(self, Item::Effects(..))
    }

    fn len(&self) -> usize {
        match self {
            Item::Effects(_, bytes) => bytes.len(),
            Item::Marker(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::state::feed::recording::removal;
    use crate::state::feed::{Filled, Parts};

    fn fill(queue: &Queue, filled: Filled) {
        let mut batch = Batch::default();
        batch.add_all(filled);
        queue.fill(&mut batch);
    }

    fn one(ticket: u64) -> (u64, Parts) {
        let key = format!("key:{ticket}");
        (ticket, smallvec![removal(0, key.as_bytes())])
    }

    /// The ticket behind what is due, and the keys of its effects.
    fn taken(queue: &Queue, due: &mut Due) -> (u64, Vec<u64>) {
        queue.take(due);
        let bytes = due.items.iter().flat_map(|item| match item {
            Item::Effects(_, bytes) => bytes.clone(),
            Item::Marker(_) => Vec::new(),
        });
        let bytes: Vec<u8> = bytes.collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let keys = text
            .split("\r\n")
            .filter_map(|line| line.strip_prefix("key:")?.parse().ok());
        (due.next, keys.collect())
    }

    #[test]
    fn effects_leave_in_the_order_of_their_tickets() {
        let (queue, mut due) = (Queue::default(), Due::default());
        fill(&queue, smallvec![one(2), (3, smallvec![])]);
        assert_eq!(taken(&queue, &mut due), (1, vec![]));
        fill(&queue, smallvec![one(5), one(7), one(8)]);
        fill(&queue, smallvec![one(1)]);
        assert_eq!(taken(&queue, &mut due), (4, vec![1, 2]));
        assert_eq!(due.tickets, 3);
        fill(&queue, smallvec![one(4)]);
        assert_eq!(taken(&queue, &mut due), (6, vec![4, 5]));
        fill(&queue, smallvec![one(6)]);
        assert_eq!(taken(&queue, &mut due), (9, vec![6, 7, 8]));
        assert_eq!(taken(&queue, &mut due), (9, vec![]));
        assert_eq!(queue.slots.lock().bytes, 0);
    }

    #[test]
    fn pieces_are_used_again_and_not_mixed_up() {
        let (queue, mut due) = (Queue::default(), Due::default());
        let mut ticket = 0;
        for round in 0..50 {
            let mut wanted = Vec::new();
            for _ in 0..round * 100 {
                ticket += 1;
                wanted.push(ticket);
                fill(&queue, smallvec![one(ticket)]);
            }
            assert_eq!(taken(&queue, &mut due), (ticket + 1, wanted));
        }
        let slots = queue.slots.lock();
        let spare: usize = slots.spare.iter().map(Vec::capacity).sum();
        assert!((1..=SPARE_PIECES_MAX * SPARE_BYTES_MAX).contains(&spare));
    }

    #[test]
    fn lost_effects_leave_their_tickets() {
        let (queue, mut due) = (Queue::default(), Due::default());
        fill(&queue, smallvec![one(1), one(3)]);
        queue.lose();
        fill(&queue, smallvec![one(2), one(4)]);
        assert_eq!(taken(&queue, &mut due), (5, vec![2, 4]));
        assert!(due.lost);
        queue.take(&mut due);
        assert!(!due.lost);
    }
}
