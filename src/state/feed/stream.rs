//! The stream of effects: what replicas read, and how much of it the server keeps for those that were away.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::batch::{Dbs, select};
use super::kept::Kept;
use super::pieces::Pieces;
use super::{Left, encode};

/// Replicas of the last process come back within this time, however much clients write meanwhile. Until then the stream keeps
/// what they may lack, up to so many bytes.
const RETURN_TIME: Duration = Duration::from_secs(10);
const RETURN_BYTES_MAX: u64 = 64 << 20;

/// For so many appends the stream remembers where it ended.
const ENDS_MAX: usize = 4096;

/// The id of a history that there is not.
pub(super) const NO_ID: &str = "0000000000000000000000000000000000000000";

/// The last bytes of one history.
#[derive(Debug)]
pub struct Stream {
    pub(super) id: String,
    /// The history before this one, and up to where its bytes are this one's too.
    pub(super) former: Option<(String, u64)>,
    /// How many bytes the history has.
    pub(super) end: u64,
    pub(super) bytes: Pieces,
    /// Whether bytes are kept for replicas that were away.
    pub(super) keeps: bool,
    /// From where on, and until when, bytes are kept for replicas of the last process.
    awaited: Option<(u64, Instant)>,
    /// Whether the bytes are those of a master that this server follows, and nothing is added to them.
    pub(super) passes: bool,
    /// The file that has the stream's end too, for the next process.
    pub(super) kept: Option<Arc<Kept>>,
    /// Bytes of that master that are applied here, and not durable yet.
    pub(super) pending: Vec<u8>,
    /// The database that the last command selected; `None` if the next one must select its own.
    pub(super) db: Option<usize>,
    /// The ticket behind all effects in the stream.
    next_ticket: u64,
    /// Where the stream ended behind the effects up to some tickets, which rise.
    pub(super) ends: VecDeque<(u64, u64)>,
}

/// The figures of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// The history's id.
    pub id: String,
    /// The id of the history before.
    pub former_id: String,
    /// Where the history before ended, one byte behind; -1 without one.
    pub former_end: i64,
    /// How many bytes the history has.
    pub end: u64,
    /// Whether there is a backlog.
    pub keeps: bool,
    /// How many bytes the backlog has.
    pub kept_bytes: usize,
    /// The number of its first byte, counted from 1; 0 without a backlog.
    pub first_byte: u64,
}

impl Stream {
    pub(super) fn new() -> Self {
        Self {
            id: new_id(),
            former: None,
            end: 0,
            bytes: Pieces::default(),
            keeps: false,
            awaited: None,
            passes: false,
            kept: None,
            pending: Vec::new(),
            db: None,
            next_ticket: 1,
            ends: VecDeque::new(),
        }
    }

    /// The number of bytes before the first kept one.
    fn start(&self) -> u64 {
        self.end - self.bytes.len() as u64
    }

    pub(super) fn state(&self) -> StreamState {
        let (former_id, former_end) = match &self.former {
            Some((id, end)) => (id.clone(), i64::try_from(*end).map_or(-1, |end| end + 1)),
            None => (NO_ID.to_owned(), -1),
        };
        StreamState {
            id: self.id.clone(),
            former_id,
            former_end,
            end: self.end,
            keeps: self.keeps,
            kept_bytes: self.bytes.len(),
            first_byte: if self.keeps { self.start() + 1 } else { 0 },
        }
    }

    /// Whether bytes are kept.
    pub(super) fn state_keeps(&self) -> bool {
        self.keeps
    }

    /// Where the stream ended when it got the effect of a ticket, or a little later. `None` if it does not have it yet.
    pub(super) fn end_behind(&self, ticket: u64) -> Option<u64> {
        if ticket >= self.next_ticket {
            return None;
        }
        let at = self.ends.partition_point(|&(next, _)| next <= ticket);
        Some(self.ends.get(at).map_or(self.end, |&(_, end)| end))
    }

    /// All effects before this ticket are in the stream.
    pub(super) fn set_next_ticket(&mut self, ticket: u64) {
        self.next_ticket = ticket;
        if self.ends.back().is_none_or(|&(_, end)| end != self.end) {
            self.ends.push_back((ticket, self.end));
        } else if let Some((next, _)) = self.ends.back_mut() {
            *next = ticket;
        }
        if self.ends.len() > ENDS_MAX {
            self.ends.pop_front();
        }
    }

    /// A copy of the data is taken at this end of the stream. Keeps what follows from now on.
    pub(super) fn copied(&mut self) -> u64 {
        self.keeps = true;
        self.db = None;
        self.end
    }

    /// Where a replica goes on that has the first `offset` bytes of a history. `None` if it needs a full copy.
    pub(super) fn place_of(&self, id: &str, offset: u64) -> Option<u64> {
        let is_known = id == self.id
            || (self.former.as_ref()).is_some_and(|(former, end)| id == former && offset <= *end);
        let has = self.keeps && (self.start()..=self.end).contains(&offset);
        (is_known && has).then_some(offset)
    }

    /// Copies up to `bytes_max` bytes from `place` on. Returns how many they are; `None` if they are not kept any more.
    pub(super) fn read(&self, place: u64, bytes_max: usize, into: &mut Vec<u8>) -> Option<usize> {
        let from = place.checked_sub(self.start())?;
        let from = usize::try_from(from).ok()?;
        let to = from.saturating_add(bytes_max).min(self.bytes.len());
        if from > to {
            return None;
        }
        self.bytes.copy(from, to, into);
        Some(to - from)
    }

    fn append(&mut self, bytes: &[u8]) {
        if let Some(kept) = &self.kept {
            kept.append(self.end, bytes);
        }
        self.end += bytes.len() as u64;
        self.bytes.extend(bytes);
    }

    /// Appends commands.
    pub(super) fn append_effects(&mut self, dbs: Dbs, bytes: &[u8]) {
        if self.passes {
            return;
        }
        if self.db != Some(dbs.first) {
            self.append(&select(dbs.first));
        }
        self.db = Some(dbs.last);
        self.append(bytes);
    }

    /// Appends a command that is for the replicas themselves.
    pub(super) fn append_command(&mut self, words: &[&[u8]]) {
        if self.passes {
            return;
        }
        self.append(&encode(words.iter().copied()));
    }

    /// Drops what neither the backlog nor a replica at `least` needs.
    pub(super) fn trim(&mut self, backlog_bytes: u64, least: Option<u64>) {
        let backlog = self
            .end
            .saturating_sub(if self.keeps { backlog_bytes } else { 0 });
        let is_awaited = |&(from, until): &(u64, Instant)| {
            self.end.saturating_sub(from) <= RETURN_BYTES_MAX && Instant::now() < until
        };
        self.awaited = self.awaited.filter(is_awaited);
        let awaited = self.awaited.map(|(from, _)| from);
        let keep_from = [least, awaited]
            .into_iter()
            .flatten()
            .fold(backlog, u64::min);
        let dropped = keep_from.saturating_sub(self.start());
        let dropped = usize::try_from(dropped).unwrap_or(usize::MAX);
        self.bytes.drop_first(dropped);
    }

    /// Whether the effects of all tickets before this one are in the stream.
    pub(super) fn has_all_before(&self, ticket: u64) -> bool {
        self.next_ticket >= ticket
    }

    /// The history with its last bytes, if there are replicas that may know it.
    pub(super) fn leave(&self, tail_bytes_max: usize) -> Option<Left> {
        let tail_bytes = self.bytes.len().min(tail_bytes_max);
        let mut tail = Vec::new();
        self.read(self.end - tail_bytes as u64, tail_bytes, &mut tail)?;
        self.keeps.then(|| Left {
            id: self.id.clone(),
            end: self.end,
            tail,
        })
    }

    /// Goes on from a history, under an id of its own: a copy of the pool may go on from it too.
    pub(super) fn go_on(&mut self, left: Left) {
        self.forget(true);
        self.former = Some((left.id, left.end));
        self.end = left.end;
        self.bytes.extend(&left.tail);
        self.await_replicas();
    }

    /// Keeps what there is, and what follows, for replicas of the last process, which are about to come back.
    pub(super) fn await_replicas(&mut self) {
        self.awaited = Some((self.start(), Instant::now() + RETURN_TIME));
    }

    /// Begins a history whose first bytes are those of another one.
    pub(super) fn take_over(&mut self, id: &str, offset: u64) {
        self.forget(true);
        self.former = Some((id.to_owned(), offset));
        self.end = offset;
        self.ends.clear();
    }

    /// Ends the history: what follows is another one, which no replica knows.
    pub(super) fn forget(&mut self, keeps: bool) {
        self.id = new_id();
        self.former = None;
        self.bytes = Pieces::default();
        self.keeps = keeps;
        self.awaited = None;
        self.db = None;
    }
}

/// 40 random hexadecimal digits.
pub fn new_id() -> String {
    let random = RandomState::new();
    let part = |n: u32| random.hash_one((n, SystemTime::now()));
    format!("{:016x}{:016x}{:08x}", part(0), part(1), part(2) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(stream: &mut Stream, db: usize, name: &[u8]) {
        let dbs = Dbs {
            first: db,
            last: db,
        };
        stream.append_effects(dbs, &encode([name].into_iter()));
    }

    fn text(stream: &Stream, place: u64) -> String {
        let mut bytes = Vec::new();
        stream.read(place, 1 << 20, &mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let words = text
            .split("\r\n")
            .filter(|line| !line.starts_with(['*', '$']));
        words.collect::<Vec<_>>().join(" ").trim().to_owned()
    }

    #[test]
    fn effects_select_their_databases() {
        let mut stream = Stream::new();
        let start = stream.copied();
        append(&mut stream, 0, b"A");
        append(&mut stream, 0, b"B");
        stream.append_effects(Dbs { first: 0, last: 3 }, &encode([&b"C"[..]].into_iter()));
        append(&mut stream, 3, b"D");
        assert_eq!(text(&stream, start), "SELECT 0 A B C D");
        // A replica that begins now knows of no database.
        let start = stream.copied();
        append(&mut stream, 3, b"E");
        assert_eq!(text(&stream, start), "SELECT 3 E");
    }

    #[test]
    fn the_end_behind_a_ticket_is_remembered() {
        let mut stream = Stream::new();
        stream.copied();
        append(&mut stream, 0, b"A");
        let first = stream.state().end;
        stream.set_next_ticket(3);
        stream.append_command(&[b"PING"]);
        stream.set_next_ticket(4);
        append(&mut stream, 0, b"B");
        assert_eq!(stream.end_behind(4), None);
        stream.set_next_ticket(5);
        let ends = [1, 2, 3, 4, 5].map(|ticket| stream.end_behind(ticket));
        let last = stream.state().end;
        assert_eq!(ends[..2], [Some(first), Some(first)]);
        assert!(ends[2].is_some_and(|end| first < end && end < last));
        assert_eq!(ends[3..], [Some(last), None]);
    }

    #[test]
    fn a_backlog_keeps_as_much_as_it_may_and_replicas_need() {
        let mut stream = Stream::new();
        stream.copied();
        for _ in 0..100 {
            append(&mut stream, 0, b"PING");
        }
        let (id, end) = (stream.state().id, stream.state().end);
        stream.trim(100, Some(end - 500));
        assert_eq!(stream.state().kept_bytes, 500);
        stream.trim(100, Some(end));
        assert_eq!(stream.state().kept_bytes, 100);
        assert_eq!(stream.state().first_byte, end - 99);
        assert_eq!(stream.place_of(&id, end - 100), Some(end - 100));
        assert_eq!(stream.place_of(&id, end - 101), None);
        assert_eq!(stream.place_of(&id, end + 1), None);
        assert_eq!(stream.place_of(NO_ID, end), None);
        let mut read = Vec::new();
        assert_eq!(stream.read(end, 10, &mut read), Some(0));
        assert_eq!(stream.read(end - 101, 10, &mut read), None);
        assert_eq!(stream.read(end - 14, 4, &mut read), Some(4));
        assert_eq!(read, b"*1\r\n");
        stream.forget(false);
        assert_eq!(stream.place_of(&id, end), None);
        assert_eq!(stream.state().end, end);
    }

    #[test]
    fn replicas_of_the_last_process_are_awaited_for_a_while() {
        let mut stream = Stream::new();
        let left = Left {
            id: new_id(),
            end: 5000,
            tail: vec![b'x'; 50],
        };
        let id = left.id.clone();
        stream.go_on(left);
        let effect = [b'y'; 1000];
        for _ in 0..1000 {
            append(&mut stream, 0, &effect);
            stream.trim(100, None);
        }
        assert_eq!(stream.place_of(&id, 4950), Some(4950));
        assert_eq!(stream.place_of(&id, 4949), None);
        // Some came back already, and the others are awaited still.
        stream.trim(100, Some(stream.end));
        assert_eq!(stream.place_of(&id, 5000), Some(5000));
        let mut late = Stream::new();
        late.go_on(stream.leave(300).expect("it has a backlog"));
        late.awaited = late.awaited.map(|(from, _)| (from, Instant::now()));
        append(&mut late, 0, &effect);
        late.trim(100, None);
        assert_eq!(late.state().kept_bytes, 100, "the time is over");
        while stream.end < 5000 + RETURN_BYTES_MAX {
            append(&mut stream, 0, &effect);
        }
        stream.trim(100, None);
        assert_eq!(stream.state().kept_bytes, 100, "that is too much");
    }
}
