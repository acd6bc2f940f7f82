//! A glance at the requests that wait in the input: which keys they will use.

use smallvec::{Array, SmallVec};

/// The name and the first argument of a request, which is a key for most commands.
pub type Glance<'a> = (&'a [u8], &'a [u8]);

/// Requests of more words are left to themselves: glances at one that arrives piece by piece must not add up.
const WORDS_MAX: usize = 64;

/// Longer lines hold no number that a request begins with.
const NUMBER_BYTES_MAX: usize = 10;

/// Glances at whole requests at the start of `input`, at most as many as `found` has room for beside what it holds.
/// Returns how many bytes these take: up to what is incomplete, or not a plain array of words. It checks nothing that
/// the parser will check.
pub fn glance<'a>(input: &'a [u8], found: &mut SmallVec<impl Array<Item = Glance<'a>>>) -> usize {
    let mut rest = input;
    while found.len() < found.inline_size() {
        let Some((glance, after)) = request(rest) else {
            break;
        };
        rest = after;
        found.extend(glance);
    }
    input.len() - rest.len()
}

/// A request and what follows it. One of a single word is none to glance at.
fn request(input: &[u8]) -> Option<(Option<Glance<'_>>, &[u8])> {
    let (words, mut rest) = number(input, b'*')?;
    if words > WORDS_MAX {
        return None;
    }
    let mut glance: [&[u8]; 2] = [&[]; 2];
    for i in 0..words {
        let (length, after) = number(rest, b'$')?;
        let (word, after) = after.split_at_checked(length)?;
        rest = after.get(2..)?;
        if let Some(place) = glance.get_mut(i) {
            *place = word;
        }
    }
    let [name, first] = glance;
    Some(((words > 1).then_some((name, first)), rest))
}

/// The number of a line that begins with `mark`, and what follows the line.
#[inline]
fn number(input: &[u8], mark: u8) -> Option<(usize, &[u8])> {
    let (&first, digits) = input.split_first()?;
    if first != mark {
        return None;
    }
    let mut value = 0usize;
    for (i, &byte) in digits.iter().enumerate().take(NUMBER_BYTES_MAX) {
        match byte {
            b'0'..=b'9' => value = value * 10 + usize::from(byte - b'0'),
            b'\r' => return Some((value, digits.get(i + 2..)?)),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(input: &[u8]) -> (Vec<String>, usize) {
        let mut found = SmallVec::<[Glance<'_>; 3]>::new();
        let bytes = glance(input, &mut found);
        let text =
            |(name, key): &Glance<'_>| format!("{} {}", name.escape_ascii(), key.escape_ascii());
        (found.iter().map(text).collect(), bytes)
    }

    #[test]
    fn sees_whole_requests_and_stops_at_the_rest() {
        let get = b"*2\r\n$3\r\nGET\r\n$2\r\nk1\r\n";
        let set = b"*3\r\n$3\r\nset\r\n$0\r\n\r\n$4\r\n\r\n\r\n\r\n";
        let ping = b"*1\r\n$4\r\nPING\r\n";
        let all = [&get[..], ping, set, get, get].concat();
        let (seen, bytes) = keys(&all);
        assert_eq!(seen, ["GET k1", "set ", "GET k1"]);
        assert_eq!(bytes, all.len() - get.len());
        let cut = [&get[..], &set[..set.len() - 1]].concat();
        assert_eq!(keys(&cut), (vec!["GET k1".to_owned()], get.len()));
    }

    #[test]
    fn takes_anything() {
        for input in [
            &b""[..],
            b"*",
            b"*2",
            b"*2\r",
            b"*2\r\n$3\r\nGE",
            b"GET k\r\n",
            b"*-1\r\n",
            b"*99999999999999999999\r\n",
            b"*9999999999\r\n$9999999999\r\n",
            b"*2\r\n:3\r\n",
        ] {
            assert_eq!(keys(input), (Vec::new(), 0), "{}", input.escape_ascii());
        }
        assert_eq!(keys(b"*0\r\n"), (Vec::new(), 4));
    }
}
