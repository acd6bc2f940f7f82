//! Looks ahead at the requests that wait in the input, to see which keys they will use.

use smallvec::{Array, SmallVec};

/// A request's name and its first argument. For most commands that argument is a key.
pub type Glance<'a> = (&'a [u8], &'a [u8]);

/// A glance skips requests of more arguments. Such a request may arrive piece by piece, and a glance at each piece would
/// read it from the start again.
const ARGUMENTS_MAX: usize = 64;

/// No valid number is longer.
const NUMBER_BYTES_MAX: usize = 10;

/// Looks at the whole requests at the start of `input` and adds them to `found`, until `found` is full. Stops at a request
/// that is incomplete or not a plain array of arguments; returns the bytes before that. The parser checks these requests
/// later, so this function does not.
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

/// Reads one request; returns what to glance at and the input after it. A request of a single argument has no key, so its
/// glance is `None`.
fn request(input: &[u8]) -> Option<(Option<Glance<'_>>, &[u8])> {
    let (count, mut rest) = number(input, b'*')?;
    if count > ARGUMENTS_MAX {
        return None;
    }
    let mut glance: [&[u8]; 2] = [&[]; 2];
    for i in 0..count {
        let (length, after) = number(rest, b'$')?;
        let (argument, after) = after.split_at_checked(length)?;
        rest = after.get(2..)?;
        if let Some(place) = glance.get_mut(i) {
            *place = argument;
        }
    }
    let [name, first] = glance;
    Some(((count > 1).then_some((name, first)), rest))
}

/// Reads a line that begins with `mark`; returns its number and the input after it.
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
