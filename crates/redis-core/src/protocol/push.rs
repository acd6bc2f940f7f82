//! Messages that a server sends without a request: arrays in RESP2, pushes in RESP3.

/// An encoded message. Only its first byte differs between the protocols, so the server encodes it once for all
/// receivers.
#[derive(Debug, Default)]
pub struct Push {
    bytes: Vec<u8>,
}

impl Push {
    /// A message of these parts.
    pub fn new(parts: &[&[u8]]) -> Self {
        let mut push = Self::default();
        push.set(parts);
        push
    }

    /// Replaces the message by one of these parts.
    pub fn set(&mut self, parts: &[&[u8]]) {
        let size: usize = parts.iter().map(|part| part.len() + 16).sum();
        self.bytes.clear();
        self.bytes.reserve(size + 8);
        self.line(b'*', parts.len());
        for part in parts {
            self.bulk(part);
        }
    }

    /// The RESP3 form of `invalidate`, with a key, or with null for all keys.
    pub fn invalidation(key: Option<&[u8]>) -> Self {
        let mut push = Self::default();
        push.line(b'>', 2);
        push.bulk(b"invalidate");
        match key {
            Some(key) => push.keys(key),
            None => push.bytes.extend_from_slice(b"_\r\n"),
        }
        push
    }

    /// The RESP2 form of `invalidate`: a message of pub/sub.
    pub fn invalidation_message(key: Option<&[u8]>) -> Self {
        let mut push = Self::default();
        push.line(b'*', 3);
        push.bulk(b"message");
        push.bulk(b"__redis__:invalidate");
        match key {
            Some(key) => push.keys(key),
            None => push.bytes.extend_from_slice(b"$-1\r\n"),
        }
        push
    }

    /// Tells that client `id`, which received the invalidations, is gone. Only RESP3 has this message.
    pub fn broken_redirection(id: u64) -> Self {
        let mut push = Self::default();
        push.line(b'>', 2);
        push.bulk(b"tracking-redir-broken");
        push.bytes.push(b':');
        push.number(id);
        push
    }

    /// The encoded bytes for protocol version `resp`, which is 2 or 3.
    pub fn bytes(&mut self, resp: u8) -> &[u8] {
        if let Some(kind) = self.bytes.first_mut() {
            *kind = if resp == 3 { b'>' } else { b'*' };
        }
        &self.bytes
    }

    fn keys(&mut self, key: &[u8]) {
        self.line(b'*', 1);
        self.bulk(key);
    }

    fn bulk(&mut self, part: &[u8]) {
        self.line(b'$', part.len());
        self.bytes.extend_from_slice(part);
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn line(&mut self, kind: u8, number: usize) {
        self.bytes.push(kind);
        self.number(number as u64);
    }

    fn number(&mut self, number: u64) {
        let mut digits = itoa::Buffer::new();
        self.bytes
            .extend_from_slice(digits.format(number).as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_for_both_protocols() {
        let mut push = Push::new(&[b"message", b"news", b"a\r\nb"]);
        let rest = "3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$4\r\na\r\nb\r\n";
        assert_eq!(push.bytes(2), format!("*{rest}").as_bytes());
        assert_eq!(push.bytes(3), format!(">{rest}").as_bytes());
        push.set(&[b""]);
        assert_eq!(push.bytes(2), b"*1\r\n$0\r\n\r\n");
    }

    #[test]
    fn invalidations() {
        let text = |mut push: Push, resp| String::from_utf8_lossy(push.bytes(resp)).into_owned();
        assert_eq!(
            text(Push::invalidation(Some(b"k")), 3),
            ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"
        );
        assert_eq!(
            text(Push::invalidation(None), 3),
            ">2\r\n$10\r\ninvalidate\r\n_\r\n"
        );
        assert_eq!(
            text(Push::invalidation_message(Some(b"k")), 2),
            "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nk\r\n"
        );
        assert_eq!(
            text(Push::invalidation_message(None), 2),
            "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n"
        );
        assert_eq!(
            text(Push::broken_redirection(17), 3),
            ">2\r\n$21\r\ntracking-redir-broken\r\n:17\r\n"
        );
    }
}
