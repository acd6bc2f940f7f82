//! The buffer that replies are encoded into.

mod encode;

use bytes::{BufMut, BytesMut};

use super::Protocol;

/// When a buffer of at least this size is full, the output sets it aside and goes on in another. To grow it instead would
/// copy it, and would take the memory of both for a moment.
const SET_ASIDE_BYTES: usize = 256 * 1024;

/// The size of the buffer that follows one that was set aside.
const NEXT_BUFFER_BYTES: usize = 512 * 1024;

/// A connection's output: encoded replies, ready to be sent.
///
/// A buffer has a limit that holds even while one reply grows: bytes beyond it are not stored, and from then on the output
/// is [overflown](Self::is_overflown). Overflown output has gaps, so it must not be sent.
#[derive(Debug)]
pub struct ReplyBuffer {
    /// The beginning of the output, in full buffers.
    full: Vec<BytesMut>,
    full_bytes: usize,
    /// The end of the output.
    tail: BytesMut,
    limit_bytes: usize,
    overflown: bool,
    /// How replies are encoded.
    pub protocol: Protocol,
}

impl ReplyBuffer {
    /// An empty buffer that speaks `protocol` and has no limit.
    pub fn new(protocol: Protocol) -> Self {
        Self {
            full: Vec::new(),
            full_bytes: 0,
            tail: BytesMut::new(),
            limit_bytes: usize::MAX,
            overflown: false,
            protocol,
        }
    }

    /// An empty buffer for a part of a reply. Its limit is what is left of this buffer's limit, and
    /// [`append`](Self::append) adds it to this buffer.
    #[must_use]
    pub fn part(&self) -> Self {
        let mut part = Self::new(self.protocol);
        part.limit_bytes = self.room();
        part.overflown = self.overflown;
        part
    }

    /// How many more bytes fit. A command that collects more than that for its reply can stop and call
    /// [`overflow`](Self::overflow).
    pub fn room(&self) -> usize {
        self.limit_bytes.saturating_sub(self.len())
    }

    /// Sets how many bytes the output may hold from now on.
    pub fn set_limit(&mut self, bytes: usize) {
        self.limit_bytes = bytes;
    }

    /// Whether a reply exceeded the limit.
    #[inline]
    pub fn is_overflown(&self) -> bool {
        self.overflown
    }

    /// Marks the output as overflown: a reply exceeds the limit, and its command stopped early.
    pub fn overflow(&mut self) {
        self.overflown = true;
    }

    /// How many bytes the output holds.
    #[inline]
    pub fn len(&self) -> usize {
        self.full_bytes + self.tail.len()
    }

    /// Whether the output is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole output if it lies in one buffer, otherwise `None`.
    pub fn in_one(&self) -> Option<&[u8]> {
        self.full.is_empty().then_some(&self.tail)
    }

    /// Removes everything from byte `len` on. Overflown output stays overflown.
    pub fn truncate(&mut self, len: usize) {
        while len < self.full_bytes {
            let Some(last) = self.full.pop() else { break };
            self.full_bytes -= last.len();
            self.tail = last;
        }
        self.tail.truncate(len - self.full_bytes);
    }

    /// Removes a reply that the client must not get, from byte `len` on. Even if this reply exceeded the limit, the output is
    /// not overflown.
    pub fn discard(&mut self, len: usize) {
        self.truncate(len);
        self.overflown = false;
    }

    /// Whether the output has more memory than one buffer of `kept_bytes`.
    pub fn has_grown(&self, kept_bytes: usize) -> bool {
        !self.full.is_empty() || self.tail.capacity() > kept_bytes
    }

    /// Empties the output and keeps one buffer of up to `kept_bytes`.
    pub fn clear(&mut self, kept_bytes: usize) {
        self.full.clear();
        self.full_bytes = 0;
        self.tail.clear();
        if self.tail.capacity() > kept_bytes {
            self.tail = BytesMut::new();
        }
    }

    /// Removes and returns the buffers before the last one.
    pub fn take_full(&mut self) -> Vec<BytesMut> {
        self.full_bytes = 0;
        std::mem::take(&mut self.full)
    }

    /// The last buffer.
    pub fn tail_mut(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Appends encoded bytes.
    pub fn put(&mut self, bytes: &[u8]) {
        if self.has_room(bytes.len()) {
            self.tail.put_slice(bytes);
        }
    }

    /// Appends another buffer's output.
    pub fn append(&mut self, other: ReplyBuffer) {
        let len = other.len();
        if other.overflown || self.len() + len > self.limit_bytes {
            self.overflown = true;
            return;
        }
        if other.full.is_empty() {
            self.put(&other.tail);
            return;
        }
        self.set_aside();
        self.full.extend(other.full);
        self.full_bytes += other.full_bytes;
        self.tail = other.tail;
    }

    /// Removes and returns everything from byte `len` on.
    #[must_use]
    pub fn split_off(&mut self, len: usize) -> Self {
        let mut part = self.part();
        part.limit_bytes = usize::MAX;
        let mut behind = Vec::new();
        let mut last = std::mem::take(&mut self.tail);
        while len < self.full_bytes {
            let Some(before) = self.full.pop() else { break };
            self.full_bytes -= before.len();
            behind.push(std::mem::replace(&mut last, before));
        }
        let rest = last.split_off(len - self.full_bytes);
        self.tail = last;
        for buffer in std::iter::once(rest).chain(behind.into_iter().rev()) {
            part.set_aside();
            part.tail = buffer;
        }
        part
    }

    /// Makes space for `bytes` more in the tail. Returns `false` if they would exceed the limit.
    #[inline]
    fn has_room(&mut self, bytes: usize) -> bool {
        self.tail.capacity() - self.tail.len() >= bytes || self.make_room(bytes)
    }

    /// Only this path checks the limit, since a buffer that need not grow takes no more memory.
    #[cold]
    fn make_room(&mut self, bytes: usize) -> bool {
        if self.overflown || self.len() + bytes > self.limit_bytes {
            self.overflown = true;
            return false;
        }
        if self.tail.len() >= SET_ASIDE_BYTES {
            self.set_aside();
            self.tail = BytesMut::with_capacity(bytes.max(NEXT_BUFFER_BYTES));
        } else {
            self.tail.reserve(bytes);
        }
        true
    }

    fn set_aside(&mut self) {
        let tail = std::mem::take(&mut self.tail);
        if !tail.is_empty() {
            self.full_bytes += tail.len();
            self.full.push(tail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reply;
    use super::*;

    fn whole(out: &mut ReplyBuffer) -> Vec<u8> {
        let mut buffers = out.take_full();
        buffers.push(out.tail_mut().clone());
        buffers.concat()
    }

    #[test]
    fn a_large_output_lies_in_several_buffers() {
        let mut out = ReplyBuffer::new(Protocol::Resp2);
        let mut expected = Vec::new();
        for n in 0..40u8 {
            let value = vec![n; 100_000];
            out.bulk(&value);
            expected.extend_from_slice(b"$100000\r\n");
            expected.extend_from_slice(&value);
            expected.extend_from_slice(b"\r\n");
        }
        assert!(out.in_one().is_none());
        assert_eq!(out.len(), expected.len());
        // Cut the output at any byte and append the rest again: the bytes stay the same.
        for cut in [3_999_000, 2_000_017, 100_000, 3, 0] {
            let end = out.split_off(cut);
            assert_eq!((out.len(), end.len()), (cut, expected.len() - cut));
            out.append(end);
        }
        out.truncate(3_000_001);
        expected.truncate(3_000_001);
        out.put(b"end");
        expected.extend_from_slice(b"end");
        assert_eq!(out.len(), expected.len());
        assert!(whole(&mut out) == expected);
    }

    #[test]
    fn the_limit_holds_while_a_reply_grows() {
        let mut out = ReplyBuffer::new(Protocol::Resp2);
        out.set_limit(1_000_000);
        let value = vec![b'v'; 300_000];
        let items = vec![Reply::bulk(&value); 100];
        out.ok();
        let mark = out.len();
        out.reply(&Reply::Array(items));
        assert!(out.is_overflown() && out.len() < 1_000_000);
        out.truncate(mark);
        assert!(out.is_overflown(), "what is missing is missing");
        out.discard(mark);
        assert!(!out.is_overflown());
        out.bulk(&value);
        assert!(!out.is_overflown());
        let mut part = out.part();
        part.bulk(&value);
        part.bulk(&value);
        assert!(!part.is_overflown());
        part.bulk(&value);
        out.append(part);
        assert!(out.is_overflown());
    }
}
