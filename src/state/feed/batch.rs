//! What a thread's calls have left for replicas since it entered the gate, until it gives all of it to the queue at once.

use super::effect::{HEADER_BYTES_MAX, bytes_max, put, put_header};
use super::{Filled, Part, encode};

/// A batch with so many bytes goes to the queue without waiting for its end.
const BYTES_MAX: usize = 64 * 1024;

/// A longer batch keeps its memory to itself.
const KEPT_BYTES: usize = 2 * BYTES_MAX;

/// Tickets that follow one another, and what replicas must do for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first ticket.
    pub first: u64,
    /// The ticket behind the last one.
    pub next: u64,
    /// How many bytes the commands have.
    pub bytes: usize,
    pub dbs: Dbs,
}

/// The database in which commands must begin, and the one that is selected behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dbs {
    pub first: usize,
    pub last: usize,
}

/// Effects in the order of their tickets. Their bytes lie one behind the other.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) runs: Vec<Run>,
    pub(super) bytes: Vec<u8>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether it is long enough to go.
    pub(super) fn is_long(&self) -> bool {
        self.bytes.len() > BYTES_MAX
    }

    /// The highest ticket; 0 without one.
    pub(super) fn last(&self) -> u64 {
        let behind = self.runs.iter().map(|run| run.next).max();
        behind.map_or(0, |next| next - 1)
    }

    /// Adds tickets, which are above all that are in it.
    pub(super) fn add_all(&mut self, filled: Filled) {
        for (ticket, parts) in filled {
            self.add(ticket, &parts);
        }
    }

    /// Adds a ticket with commands that replicas run as one step, if there are several.
    fn add(&mut self, ticket: u64, parts: &[Part]) {
        let before = self.bytes.len();
        let is_step = parts.len() > 1;
        let mut dbs = None;
        for part in parts {
            let dbs = dbs.get_or_insert(Dbs {
                first: part.db,
                last: part.db,
            });
            if is_step && self.bytes.len() == before {
                self.bytes.extend(encode([&b"MULTI"[..]].into_iter()));
            }
            if dbs.last != part.db {
                dbs.last = part.db;
                self.bytes.extend(select(part.db));
            }
            self.bytes.extend_from_slice(&part.bytes);
        }
        if is_step {
            self.bytes.extend(encode([&b"EXEC"[..]].into_iter()));
        }
        self.note(ticket, self.bytes.len() - before, dbs);
    }

    /// Adds a ticket with one command of so many words.
    pub(super) fn add_command<'w>(
        &mut self,
        ticket: u64,
        db: usize,
        count: usize,
        words: impl Iterator<Item = &'w [u8]> + Clone,
    ) {
        let before = self.bytes.len();
        self.bytes.reserve(bytes_max(words.clone()));
        put(&mut self.bytes, count, words);
        let dbs = Dbs {
            first: db,
            last: db,
        };
        self.note(ticket, self.bytes.len() - before, Some(dbs));
    }

    /// Adds a ticket with one command of so many words, of which `sent` are all but the first one as a client has sent them: each
    /// behind its length, and the first length behind the end of the name.
    pub(super) fn add_sent(
        &mut self,
        ticket: u64,
        db: usize,
        (count, name): (usize, &[u8]),
        sent: &[u8],
    ) {
        let before = self.bytes.len();
        let bytes_max = HEADER_BYTES_MAX + name.len() + sent.len();
        self.bytes.reserve(bytes_max);
        put_header(&mut self.bytes, count, name.len());
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(sent);
        self.bytes.extend_from_slice(b"\r\n");
        let dbs = Dbs {
            first: db,
            last: db,
        };
        self.note(ticket, self.bytes.len() - before, Some(dbs));
    }

    /// The last bytes are the effect of this ticket. Without databases there are none.
    fn note(&mut self, ticket: u64, bytes: usize, dbs: Option<Dbs>) {
        if let Some(run) = self.runs.last_mut()
            && run.next == ticket
        {
            let is_same = match dbs {
                None => true,
                Some(dbs) if run.bytes == 0 => {
                    run.dbs = dbs;
                    true
                }
                Some(dbs) => run.dbs.last == dbs.first,
            };
            if is_same {
                run.next += 1;
                run.bytes += bytes;
                run.dbs.last = dbs.map_or(run.dbs.last, |dbs| dbs.last);
                return;
            }
        }
        self.runs.push(Run {
            first: ticket,
            next: ticket + 1,
            bytes,
            dbs: dbs.unwrap_or(Dbs { first: 0, last: 0 }),
        });
    }

    /// Forgets everything, and keeps memory for the next effects.
    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.runs.shrink_to(KEPT_BYTES / size_of::<Run>());
    }
}

/// The command that selects a database.
pub(super) fn select(db: usize) -> bytes::Bytes {
    let mut number = itoa::Buffer::new();
    encode([&b"SELECT"[..], number.format(db).as_bytes()].into_iter())
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::state::feed::Parts;

    fn part(db: usize, name: &'static [u8]) -> Part {
        let bytes = encode([name].into_iter());
        Part { db, bytes }
    }

    fn words(bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let words = text
            .split("\r\n")
            .filter(|line| !line.starts_with(['*', '$']));
        words.collect::<Vec<_>>().join(" ").trim().to_owned()
    }

    #[test]
    fn tickets_in_a_row_are_one_run_while_the_database_stays() {
        let mut batch = Batch::default();
        batch.add(4, &[]);
        batch.add(5, &[part(2, b"A")]);
        batch.add_command(6, 2, 1, [&b"B"[..]].into_iter());
        batch.add(7, &[part(2, b"C"), part(3, b"D")]);
        batch.add(8, &[]);
        batch.add(9, &[part(3, b"E")]);
        batch.add(10, &[part(2, b"F")]);
        batch.add(12, &[part(2, b"G")]);
        let runs: Vec<_> = batch
            .runs
            .iter()
            .map(|run| (run.first, run.next, run.dbs.first, run.dbs.last))
            .collect();
        assert_eq!(runs, [(4, 10, 2, 3), (10, 11, 2, 2), (12, 13, 2, 2)]);
        let first = batch.runs[0].bytes;
        assert_eq!(
            words(&batch.bytes[..first]),
            "A B MULTI C SELECT 3 D EXEC E"
        );
        assert_eq!(words(&batch.bytes[first..]), "F G");
        let bytes: usize = batch.runs.iter().map(|run| run.bytes).sum();
        assert_eq!((bytes, batch.last()), (batch.bytes.len(), 12));
        batch.clear();
        assert_eq!((batch.is_empty(), batch.last()), (true, 0));
    }

    #[test]
    fn a_call_as_it_was_sent_is_the_same_as_its_words() {
        let (mut sent, mut encoded) = (Batch::default(), Batch::default());
        let value = vec![b'v'; 1234];
        let words = [&b"set"[..], b"", b"key", &value];
        encoded.add_command(1, 3, words.len(), words.into_iter());
        let (_, behind_name) = encoded.bytes.split_at(b"*4\r\n$3\r\nset".len());
        let without_end = &behind_name[..behind_name.len() - 2];
        sent.add_sent(1, 3, (4, b"set"), without_end);
        assert_eq!((&sent.bytes, &sent.runs), (&encoded.bytes, &encoded.runs));
    }

    #[test]
    fn effects_without_commands_are_runs_too() {
        let filled: Filled = smallvec![(1, Parts::new()), (2, smallvec![]), (4, smallvec![])];
        let mut batch = Batch::default();
        batch.add_all(filled);
        let runs: Vec<_> = batch
            .runs
            .iter()
            .map(|run| (run.first, run.next, run.bytes))
            .collect();
        assert_eq!(runs, [(1, 3, 0), (4, 5, 0)]);
    }
}
