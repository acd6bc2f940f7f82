//! Reads the requests that wait in the input ahead of their turn, to see which keys they will use.
//!
//! It reads whole requests of the usual form, an array of arguments, and refuses all others: the
//! [`RequestParser`](super::RequestParser) reads these when their turn comes, and knows what is wrong with them.

use super::request::short_line;

/// Requests that are read ahead together.
pub const REQUESTS_AHEAD: usize = 16;

/// A request of more arguments is left to the parser. Such a request may arrive piece by piece, and a look at each piece would
/// read it from the start again.
const ARGUMENTS_MAX: usize = 64;

/// No valid number is longer.
const NUMBER_BYTES_MAX: usize = 10;

/// Requests that were read ahead, in their order.
#[derive(Debug, Default)]
pub struct Lookahead {
    /// Start and end of each argument in the input, of all requests.
    arguments: Vec<(usize, usize)>,
    /// For each request, where its arguments end in `arguments`, and where it ends in the input.
    requests: Vec<(usize, usize)>,
    /// How many of them were taken.
    taken: usize,
}

impl Lookahead {
    /// Reads up to [`REQUESTS_AHEAD`] requests of `input` from `start` on, and forgets those that were read before. No argument
    /// may be longer than `bulk_bytes_max`.
    pub fn read(&mut self, input: &[u8], start: usize, bulk_bytes_max: usize) {
        self.clear();
        let mut at = start;
        while self.requests.len() < REQUESTS_AHEAD {
            let before = self.arguments.len();
            let Some(end) = self.request(input, at, bulk_bytes_max) else {
                self.arguments.truncate(before);
                break;
            };
            self.requests.push((self.arguments.len(), end));
            at = end;
        }
    }

    /// Reads the request at `at`; returns its end, or `None` where the parser must read it.
    #[inline]
    fn request(&mut self, input: &[u8], at: usize, bulk_bytes_max: usize) -> Option<usize> {
        let (count, mut at) = line(input, at, b'*')?;
        if count == 0 || count > ARGUMENTS_MAX {
            return None;
        }
        for _ in 0..count {
            let (length, start) = line(input, at, b'$')?;
            let end = start + length;
            if length > bulk_bytes_max || input.len() < end + 2 {
                return None;
            }
            self.arguments.push((start, end));
            // Like Redis, does not check the two bytes after an argument.
            at = end + 2;
        }
        Some(at)
    }

    /// Without requests.
    pub const fn new() -> Self {
        Self {
            arguments: Vec::new(),
            requests: Vec::new(),
            taken: 0,
        }
    }

    /// Forgets all requests.
    pub fn clear(&mut self) {
        self.arguments.clear();
        self.requests.clear();
        self.taken = 0;
    }

    /// Whether no request is left to take.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.taken >= self.requests.len()
    }

    /// How many requests were read.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// The next request: start and end of each argument, and the request's end, all in the input.
    #[inline]
    pub fn take(&mut self) -> Option<(&[(usize, usize)], usize)> {
        let &(end_of_arguments, end) = self.requests.get(self.taken)?;
        let start = match self.taken {
            0 => 0,
            taken => self.requests[taken - 1].0,
        };
        self.taken += 1;
        Some((&self.arguments[start..end_of_arguments], end))
    }

    /// Start and end of each argument in the input, of each request that has one behind the command's name.
    pub fn calls(&self) -> impl Iterator<Item = &[(usize, usize)]> {
        let mut start = 0;
        let calls = self.requests.iter().map(move |&(end, _)| {
            let arguments = &self.arguments[start..end];
            start = end;
            arguments
        });
        calls.filter(|arguments| arguments.len() > 1)
    }
}

/// Reads the line at `at`, which begins with `mark`; returns its number and where the next line begins.
#[inline]
fn line(input: &[u8], at: usize, mark: u8) -> Option<(usize, usize)> {
    match short_line(input, at) {
        Some((kind, number, next)) => (kind == mark).then_some((number, next)),
        None => long_line(input, at, mark),
    }
}

fn long_line(input: &[u8], at: usize, mark: u8) -> Option<(usize, usize)> {
    let (&first, digits) = input.get(at..)?.split_first()?;
    if first != mark {
        return None;
    }
    let mut value = 0usize;
    for (i, &byte) in digits.iter().enumerate().take(NUMBER_BYTES_MAX + 1) {
        match byte {
            // A number has no digits behind a zero that it begins with.
            b'0'..=b'9' if i == 0 || value > 0 => {
                value = value * 10 + usize::from(byte - b'0');
            }
            b'\r' if i > 0 && digits.len() > i + 1 => return Some((value, at + i + 3)),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Parsed, RequestLimits, RequestParser};
    use super::*;

    type Requests = Vec<(Vec<Vec<u8>>, usize)>;

    fn ahead(input: &[u8], start: usize) -> Requests {
        let mut ahead = Lookahead::default();
        ahead.read(input, start, 1000);
        let mut requests = Vec::new();
        while let Some((arguments, end)) = ahead.take() {
            let words = arguments
                .iter()
                .map(|&(start, end)| input[start..end].to_vec());
            requests.push((words.collect(), end));
        }
        assert!(ahead.is_empty() && ahead.len() == requests.len());
        requests
    }

    /// What the parser reads, up to its first refusal.
    fn parsed(input: &[u8]) -> Requests {
        let limits = RequestLimits {
            bulk_bytes_max: 1000,
            authenticated: true,
        };
        let mut parser = RequestParser::default();
        let (mut start, mut requests) = (0, Vec::new());
        while let Ok(Parsed::Request { consumed }) = parser.parse(&input[start..], limits) {
            let words = parser.arguments().iter();
            let words = words.map(|&(from, to)| input[start + from..start + to].to_vec());
            let words = words.collect();
            start += consumed;
            requests.push((words, start));
        }
        requests
    }

    #[test]
    fn reads_whole_requests_and_stops_at_the_rest() {
        let get = b"*2\r\n$3\r\nGET\r\n$2\r\nk1\r\n";
        let set = b"*3\r\n$3\r\nset\r\n$0\r\n\r\n$4\r\n\r\n\r\n\r\n";
        let ping = b"*1\r\n$4\r\nPING\r\n";
        let all = [&get[..], ping, set, get].concat();
        assert_eq!(ahead(&all, 0), parsed(&all));
        assert_eq!(ahead(&all, 0).len(), 4);
        assert_eq!(ahead(&all, get.len())[..], parsed(&all)[1..]);
        let mut lookahead = Lookahead::default();
        lookahead.read(&all, 0, 1000);
        let word = |&(start, end): &(usize, usize)| &all[start..end];
        let calls = lookahead
            .calls()
            .map(|words| (word(&words[0]), word(&words[1])));
        assert_eq!(
            calls.collect::<Vec<_>>(),
            [(&b"GET"[..], &b"k1"[..]), (b"set", b""), (b"GET", b"k1"),]
        );
        let cut = [&get[..], &set[..set.len() - 1]].concat();
        assert_eq!(ahead(&cut, 0), parsed(&get[..]));
        let many = get.repeat(REQUESTS_AHEAD + 1);
        assert_eq!(ahead(&many, 0).len(), REQUESTS_AHEAD);
    }

    #[test]
    fn leaves_the_unusual_to_the_parser() {
        let words = |count: usize| format!("*{count}\r\n{}", "$1\r\nx\r\n".repeat(count));
        assert_eq!(ahead(words(ARGUMENTS_MAX).as_bytes(), 0).len(), 1);
        let long = format!("*1\r\n$1001\r\n{}\r\n", "x".repeat(1001));
        for input in [
            &b""[..],
            b"*",
            b"*2",
            b"*2\r",
            b"*2\r\n$3\r\nGE",
            b"GET k\r\n",
            b"*0\r\n",
            b"*-1\r\n",
            b"*\r\n$1\r\nx\r\n",
            b"*01\r\n$1\r\nx\r\n",
            b"*1\r\n$01\r\nx\r\n",
            b"*1\r\n$001\r\nx\r\n",
            b"*1\r\n$\r\n\r\n",
            b"*99999999999999999999\r\n",
            b"*9999999999\r\n$9999999999\r\n",
            b"*1\r\n$99999999999\r\n",
            b"*2\r\n:3\r\n",
            words(ARGUMENTS_MAX + 1).as_bytes(),
            long.as_bytes(),
        ] {
            assert_eq!(ahead(input, 0), [], "{}", input.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn reads_what_the_parser_reads(
            requests in prop::collection::vec(prop::collection::vec(0..200usize, 1..8), 1..6),
            changed in prop::option::of((any::<prop::sample::Index>(), prop::sample::select(&b"*$0159\r\nx-"[..]))),
        ) {
            let mut input = Vec::new();
            for words in requests {
                input.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
                for length in words {
                    input.extend_from_slice(format!("${length}\r\n{}\r\n", "v".repeat(length)).as_bytes());
                }
            }
            if let Some((at, byte)) = changed {
                let at = at.index(input.len());
                input[at] = byte;
            }
            let (ahead, parsed) = (ahead(&input, 0), parsed(&input));
            prop_assert!(parsed.starts_with(&ahead));
            if changed.is_none() {
                prop_assert_eq!(ahead, parsed);
            }
        }
    }
}
