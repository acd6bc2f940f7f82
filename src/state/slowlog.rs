//! The slow log, the last commands that took longer than slowlog-log-slower-than, and its like: the logs of large requests and
//! replies.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::acl::{REDACTED, Reach, Subjects};
use crate::catalog::Command;
use crate::protocol::Args;

/// How many arguments of a call the log keeps, and how many bytes of each. Redis's numbers.
const WORDS_MAX: usize = 32;
const WORD_BYTES_MAX: usize = 128;

/// A command that took long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowCall {
    /// Ascending; never used again in this process.
    pub id: u64,
    /// When the command ended, seconds since the Unix epoch.
    pub at_s: i64,
    /// How long the command took, µs; in the logs of large calls, bytes.
    pub amount: u64,
    /// The arguments, shortened.
    pub arguments: Vec<Bytes>,
    /// What a user must reach to see the arguments.
    pub subjects: Subjects,
    /// How many arguments at the beginning name the command: everybody sees those.
    pub name_len: usize,
    /// The client's address.
    pub addr: String,
    /// The client's name.
    pub name: String,
}

/// The last slow commands.
#[derive(Debug, Default)]
pub struct Slowlog {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The calls, newest first.
    calls: VecDeque<SlowCall>,
    next_id: u64,
}

impl SlowCall {
    /// The call as a user sees it who may reach what `reach` says.
    #[must_use]
    pub fn seen_by(mut self, reach: &Reach<'_>) -> Self {
        // A shortened argument does not tell which key it was.
        let argument = |position: usize| {
            let argument = self.arguments.get(position)?;
            (argument.len() <= WORD_BYTES_MAX).then_some(argument.as_ref())
        };
        if !reach.sees(&self.subjects, argument) {
            let hidden = self.arguments.iter_mut().skip(self.name_len);
            hidden.for_each(|word| *word = Bytes::from_static(REDACTED));
        }
        self
    }
}

impl Slowlog {
    /// Adds a call, gives it its id, and keeps only the newest `len_max` calls.
    pub fn push(&self, mut call: SlowCall, len_max: usize) {
        let mut state = self.state.lock();
        call.id = state.next_id;
        state.next_id += 1;
        state.calls.push_front(call);
        state.calls.truncate(len_max);
    }

    /// The newest calls, up to `count` of them.
    pub fn newest(&self, count: usize) -> Vec<SlowCall> {
        self.state
            .lock()
            .calls
            .iter()
            .take(count)
            .cloned()
            .collect()
    }

    /// How many calls the log keeps.
    pub fn len(&self) -> usize {
        self.state.lock().calls.len()
    }

    /// Whether the log is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all calls. Ids continue.
    pub fn reset(&self) {
        self.state.lock().calls.clear();
    }
}

/// How many arguments of a call of `len` arguments the log keeps as such.
fn kept(len: usize) -> usize {
    if len > WORDS_MAX { WORDS_MAX - 1 } else { len }
}

/// What of a call a user must reach to see the arguments that the log keeps.
pub fn subjects(command: &Command, args: Args<'_>) -> Subjects {
    let mut subjects = Subjects::of(command, args);
    subjects.shorten(kept(args.len()));
    subjects
}

/// Shortens the arguments of a call for the slow log. A note in Redis's arguments replaces what is left out.
pub fn shortened<'a>(arguments: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Bytes> {
    let all = arguments.len();
    let kept = kept(all);
    let mut short: Vec<Bytes> = arguments
        .take(kept)
        .map(|word| match word.get(WORD_BYTES_MAX..) {
            None | Some([]) => Bytes::copy_from_slice(word),
            Some(rest) => {
                let note = format!("... ({} more bytes)", rest.len());
                Bytes::from([&word[..WORD_BYTES_MAX], note.as_bytes()].concat())
            }
        })
        .collect();
    if all > kept {
        short.push(Bytes::from(format!("... ({} more arguments)", all - kept)));
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(arguments: &[&[u8]]) -> SlowCall {
        SlowCall {
            id: 0,
            at_s: 1,
            amount: 2,
            arguments: shortened(arguments.iter().copied()),
            subjects: Subjects::default(),
            name_len: 1,
            addr: String::new(),
            name: String::new(),
        }
    }

    #[test]
    fn keeps_the_newest_and_goes_on_counting() {
        let log = Slowlog::default();
        for _ in 0..5 {
            log.push(call(&[b"get", b"k"]), 3);
        }
        let ids =
            |log: &Slowlog| -> Vec<u64> { log.newest(10).iter().map(|call| call.id).collect() };
        assert_eq!(ids(&log), [4, 3, 2]);
        log.reset();
        assert!(log.is_empty());
        log.push(call(&[b"get", b"k"]), 3);
        assert_eq!(ids(&log), [5]);
        log.push(call(&[b"get", b"k"]), 0);
        assert!(log.is_empty());
    }

    #[test]
    fn shortens_as_redis_does() {
        let long = [b'x'; 130];
        let arguments = call(&[b"set", &long[..129], &long[..128], &long]).arguments;
        assert_eq!(arguments[1].len(), 128 + "... (1 more bytes)".len());
        assert!(arguments[1].ends_with(b"x... (1 more bytes)"));
        assert_eq!(arguments[2].len(), 128);
        assert!(arguments[3].ends_with(b"... (2 more bytes)"));
        let many: Vec<&[u8]> = vec![b"w"; 32];
        assert_eq!(call(&many).arguments.len(), 32);
        assert_eq!(call(&many).arguments[31], "w");
        let many: Vec<&[u8]> = vec![b"w"; 33];
        assert_eq!(call(&many).arguments.len(), 32);
        assert_eq!(call(&many).arguments[31], "... (2 more arguments)");
    }
}
